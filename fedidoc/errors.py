"""Every error that fedidoc raises on purpose.

    FedidocError                 safe public text, HTTP status
    |-- BadInput                 400  a form or a document is wrong; may name the field
    |   `-- IdentifiersFound     400  the patient-identifier guard held the text back
    |-- NotSignedIn              401  log in first
    |-- Forbidden                403  known to exist, and this reader may not do this to it
    |-- NotFound                 404  does not exist, or this reader may not know that it does
    |-- Conflict                 409  the thing changed meanwhile, or exists already
    |-- TooMany                  429  a rate limit; carries the seconds to wait
    |-- PeerTrouble              502  another server refused or did not answer
    |-- Unavailable              503  this server cannot do it now (database away, shutting down)
    `-- ConfigError              the configuration is wrong; for commands only

`str(error)` is one sentence of safe text that says what to do. It never holds what the sender
sent: no bodies, no credentials, no patient text.
"""

from __future__ import annotations


class FedidocError(Exception):
    """Base of all. `text` may be shown to anybody; `status` is the HTTP status that fits."""

    status = 500

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class BadInput(FedidocError):
    """The input is wrong. `field` names the form field that `text` belongs beside, if one."""

    status = 400

    def __init__(self, text: str, *, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


class NotSignedIn(FedidocError):
    status = 401


class Forbidden(FedidocError):
    status = 403


class NotFound(FedidocError):
    """The same answer for what does not exist and for what may not be known."""

    status = 404

    def __init__(self, text: str = "There is nothing here, or it is not yours to see.") -> None:
        super().__init__(text)


class Conflict(FedidocError):
    status = 409


class TooMany(FedidocError):
    """A rate limit was reached; try again after `retry_after` seconds."""

    status = 429

    def __init__(self, text: str, *, retry_after: int) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class PeerTrouble(FedidocError):
    status = 502


class Unavailable(FedidocError):
    status = 503


class ConfigError(FedidocError):
    """The configuration file or an environment variable is wrong; `text` names the key."""
