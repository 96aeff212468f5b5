"""What can go wrong between two servers.

Every error carries ``reason``, a short machine word for logs, counters and tests, and ``text``, one
sentence that may be shown to the peer: it never quotes the request.

    ProtocolError
    ├── DocumentError     bad JSON or ActivityStreams (HTTP 400)
    ├── SignatureError    missing, malformed, stale or wrong signature (HTTP 401)
    ├── Refused           the answer of ``receive``: a status and a reason
    └── FetchError        a document could not be had from another server
"""


class ProtocolError(Exception):
    """The root: ``reason`` is a machine word such as ``signature_missing``, ``text`` a sentence."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


class DocumentError(ProtocolError):
    """A document that is not the JSON or ActivityStreams this server accepts (HTTP 400)."""


class SignatureError(ProtocolError):
    """A signature that is missing, malformed, stale or does not verify (HTTP 401)."""


class Refused(ProtocolError):
    """A request that gets no further; ``status`` is the HTTP status to answer with."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.status = status


class FetchError(ProtocolError):
    """A document that could not be fetched.

    ``transient`` says that trying again later may help (a timeout, a 503); ``status`` is the HTTP
    status of the answer, None when there was none; ``gone`` says the origin answered 404 or 410
    or sent a Tombstone, so what was asked for is no longer there.
    """

    def __init__(
        self,
        reason: str,
        text: str,
        *,
        transient: bool = False,
        status: int | None = None,
        gone: bool = False,
    ) -> None:
        super().__init__(reason, text)
        self.transient = transient
        self.status = status
        self.gone = gone
