"""The ordered checks between bytes from anywhere and an activity that may be stored.

Nothing is fetched before the hosts of the key and of the actor are known to be allowed, and before
everything that costs no fetch has been checked. What comes out is a value that only this module can
make: holding a ``VerifiedActivity`` is the proof that its actor signed exactly these bytes for
exactly this server.
"""

from dataclasses import InitVar, dataclass
from typing import Any, Final, Literal, Protocol

from fedidoc.activitypub.addressing import host_of, same_origin
from fedidoc.activitypub.documents import Limits, ids, parse, types
from fedidoc.activitypub.errors import (
    DocumentError,
    FetchError,
    Refused,
    SignatureError,
)
from fedidoc.activitypub.messages import Request, is_activity_type
from fedidoc.activitypub.signatures import (
    Scheme,
    Signature,
    VerifyingKey,
    check_dates,
    check_digest,
    scheme_of,
    verify,
)
from fedidoc.activitypub.signatures import parse as parse_signature

_LIMITS: Final = Limits()
_MAX_ID_LENGTH: Final = 2048
_TOKEN: Final = object()


class Peers(Protocol):
    """Which hosts this server speaks with; synchronous, from memory."""

    def allows(self, host: str) -> bool:
        """``host`` is as ``addressing.host_of`` gives it: lower case, with a port not default."""
        ...


class Keys(Protocol):
    """Finds public keys; the only thing here that may fetch."""

    async def find(self, key_id: str, *, refresh: bool = False) -> VerifyingKey:
        """The key of that id, from a cache that also remembers failures.

        It must come from a document that the key's own origin serves, with key and owner pointing
        to each other. ``refresh`` asks for a new fetch, as after a failed verification; since
        anybody can cause one, an implementation grants it only so often per key and otherwise
        answers what it has. Raises ``SignatureError`` or ``FetchError``.
        """
        ...


@dataclass(frozen=True, slots=True)
class VerifiedActivity:
    """An activity whose actor signed it. Only ``receive`` makes one.

    ``signer`` and ``actor`` are the actor's id, on the origin of ``activity_id`` and of the key.
    ``body`` is the bytes as received, ``document`` what they say, ``host`` the actor's authority,
    ``received`` milliseconds since 1970. What the activity claims of other objects is not checked.
    """

    signer: str
    activity_id: str
    type: str
    actor: str
    body: bytes
    document: dict[str, Any]
    host: str
    scheme: Scheme
    received: int
    token: InitVar[object]

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            raise TypeError("only receive() makes a VerifiedActivity")

    @property
    def verified_by_receive(self) -> Literal[True]:
        """The brand that the inbox table asks for."""
        return True


@dataclass(frozen=True, slots=True)
class VerifiedReader:
    """The actor who signed a GET, and its authority. Only ``authenticate`` makes one."""

    actor: str
    host: str
    token: InitVar[object]

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            raise TypeError("only authenticate() makes a VerifiedReader")


async def receive(
    request: Request, *, peers: Peers, keys: Keys, now_ms: int, limits: Limits = _LIMITS
) -> VerifiedActivity:
    """Check a POST to an inbox; raises ``Refused`` with the status to answer.

    In this order: method (405), signature headers and coverage (401), host of the key allowed
    (403), size (413), media type (415), dates and digest (401), document (400), host of the actor
    allowed (403), key, actor and activity of one origin (401, 400), signature (401), owner of the
    key is the actor (401). A key that cannot be fetched just now is 503, so that the peer tries
    again. An activity that another than its actor delivers is refused.
    """
    try:
        return await _receive(request, peers, keys, now_ms, limits)
    except (SignatureError, DocumentError, FetchError) as error:
        raise _refusal(error) from error


async def _receive(
    request: Request, peers: Peers, keys: Keys, now_ms: int, limits: Limits
) -> VerifiedActivity:
    if request.method != "POST":
        raise Refused(405, "method_not_allowed", "An inbox takes only POST.")
    signature = parse_signature(request)
    _check_peer(peers, _host_of_key(signature))
    if len(request.body) > limits.max_bytes:
        raise Refused(413, "too_large", f"A document may have {limits.max_bytes} bytes.")
    if not is_activity_type(request.header("content-type")):
        raise Refused(415, "media_type", "Send application/activity+json.")
    check_dates(signature, request, now_ms)
    check_digest(request)
    document = parse(request.body, limits)
    activity_id, kind, actor = _read_envelope(document)
    host = host_of(actor)
    _check_peer(peers, host)
    if not same_origin(signature.key_id, actor):
        raise Refused(401, "key_origin", "The key is not of the actor's own server.")
    if not same_origin(activity_id, actor):
        raise Refused(400, "id_origin", "The activity's id is not of the actor's own server.")
    key = await _verify(signature, request, keys)
    if key.owner != actor:
        raise Refused(401, "not_the_owner", "The actor must sign its activities itself.")
    return VerifiedActivity(
        signer=key.owner,
        activity_id=activity_id,
        type=kind,
        actor=actor,
        body=request.body,
        document=document,
        host=host,
        scheme=scheme_of(signature, key),
        received=now_ms,
        token=_TOKEN,
    )


async def authenticate(
    request: Request, *, peers: Peers, keys: Keys, now_ms: int
) -> VerifiedReader:
    """Check who signed a GET or HEAD; raises ``Refused``.

    Method (405), signature headers and coverage (401, ``signature_missing`` where there is none),
    host of the key allowed (403), dates (401), signature (401), owner of the key's origin (401).
    """
    if request.method not in ("GET", "HEAD"):
        raise Refused(405, "method_not_allowed", "This address takes only GET and HEAD.")
    try:
        signature = parse_signature(request)
        host = _host_of_key(signature)
        _check_peer(peers, host)
        check_dates(signature, request, now_ms)
        key = await _verify(signature, request, keys)
    except (SignatureError, DocumentError, FetchError) as error:
        raise _refusal(error) from error
    return VerifiedReader(actor=key.owner, host=host, token=_TOKEN)


def _host_of_key(signature: Signature) -> str:
    try:
        return host_of(signature.key_id)
    except DocumentError as error:
        raise Refused(401, "key_id_malformed", "The key id is not an http or https URL.") from error


def _check_peer(peers: Peers, host: str) -> None:
    if not peers.allows(host):
        raise Refused(403, "peer_not_allowed", "This server does not federate with yours.")


def _read_envelope(document: dict[str, Any]) -> tuple[str, str, str]:
    """Id, type and actor; each must be there and be one thing."""
    activity_id = document.get("id")
    if not isinstance(activity_id, str) or not 0 < len(activity_id) <= _MAX_ID_LENGTH:
        raise DocumentError("id_missing", "An activity must have an id.")
    kinds = types(document)
    if not kinds:
        raise DocumentError("type_missing", "An activity must have a type.")
    actors = ids(document.get("actor"))
    if len(actors) != 1:
        raise DocumentError("actor_missing", "An activity must have one actor.")
    return activity_id, kinds[0], actors[0]


async def _verify(signature: Signature, request: Request, keys: Keys) -> VerifyingKey:
    """The key under which the signature holds; asked for anew once, as peers rotate keys."""
    key = await keys.find(signature.key_id)
    try:
        _check_key(signature, request, key)
    except SignatureError:
        key = await keys.find(signature.key_id, refresh=True)
        _check_key(signature, request, key)
    return key


def _check_key(signature: Signature, request: Request, key: VerifyingKey) -> None:
    verify(signature, request, key)
    if not same_origin(key.owner, key.key_id):
        raise SignatureError("key_origin", "The key is not of its owner's own server.")


def _refusal(error: SignatureError | DocumentError | FetchError) -> Refused:
    """The answer for what went wrong."""
    if isinstance(error, SignatureError):
        return Refused(401, error.reason, error.text)
    if isinstance(error, DocumentError):
        return Refused(400, error.reason, error.text)
    if error.transient:
        return Refused(503, "key_unavailable", "Your key cannot be had now.")
    return Refused(401, "key_not_found", "The key cannot be had from your server.")
