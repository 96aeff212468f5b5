"""The headers that carry a signature, read strictly: draft-cavage-12 and RFC 9421. Pure.

Both families use the name ``Signature``; a request with ``Signature-Input`` is RFC 9421. What is
repeated, ambiguous, too long or of an unknown algorithm is refused rather than interpreted.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedidoc.activitypub.errors import SignatureError
from fedidoc.activitypub.fields import (
    FieldError,
    InnerList,
    Item,
    Parameters,
    decode_base64,
    parse_dictionary,
    serialize_member,
)
from fedidoc.activitypub.messages import Request

MAX_HEADER_LENGTH: Final = 8192
MAX_KEY_ID_LENGTH: Final = 2048
MAX_COMPONENTS: Final = 32
MAX_PARAMETERS: Final = 16


class Family(StrEnum):
    """Which of the two specifications a signature follows."""

    CAVAGE = "cavage"
    RFC9421 = "rfc9421"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as read from the headers: nothing of it is believed yet.

    ``components`` are the covered names as the family writes them (``(request-target)``, ``host``;
    ``@method``, ``content-digest``), without repetition. ``algorithm`` is what the sender says,
    lower case. ``created`` and ``expires`` are milliseconds since 1970. ``parameters`` is RFC
    9421's value of ``@signature-params``.
    """

    family: Family
    key_id: str
    algorithm: str | None
    components: tuple[str, ...]
    created: int | None
    expires: int | None
    value: bytes
    parameters: str = ""


_CAVAGE_ALGORITHMS: Final = frozenset({None, "hs2019", "rsa-sha256", "ed25519"})
_RFC9421_ALGORITHMS: Final = frozenset({None, "rsa-v1_5-sha256", "ed25519"})
_DERIVED: Final = frozenset(
    {"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"}
)

# Possessive throughout: no input makes these backtrack.
_CAVAGE_PARAMETER = re.compile(
    r'[ \t]*+([A-Za-z]++)[ \t]*+=[ \t]*+(?:"([^"\\]*+)"|([A-Za-z0-9_.+\-]++))[ \t]*+(,|\Z)'
)
_SECONDS = re.compile(r"0|[1-9][0-9]{0,11}")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+\-.^_`|~]++")
_PRINTABLE = re.compile(r"[!-~]++")


def read(request: Request) -> Signature:
    """The one signature of a request, by grammar alone; ``signatures.parse`` adds what it must
    cover. Raises ``SignatureError``.
    """
    inputs = request.all("signature-input")
    values = request.all("signature")
    authorizations = tuple(
        value[10:] for value in request.all("authorization") if value[:10].lower() == "signature "
    )
    if sum(map(len, (*inputs, *values, *authorizations))) > MAX_HEADER_LENGTH:
        raise SignatureError("signature_too_long", "The signature headers are too long.")
    if inputs:
        if authorizations:
            raise _ambiguous()
        return _read_rfc9421(", ".join(inputs), ", ".join(values))
    # draft-cavage section 3.1 has the same parameters under Authorization.
    given = (*values, *authorizations)
    if not given:
        raise SignatureError("signature_missing", "The request must be signed.")
    if len(given) > 1:
        raise _ambiguous()
    return _read_cavage(given[0])


def _read_cavage(text: str) -> Signature:
    parameters = _read_cavage_parameters(text)
    algorithm = parameters.get("algorithm")
    algorithm = algorithm.lower() if algorithm is not None else None
    if algorithm not in _CAVAGE_ALGORITHMS:
        raise _algorithm_refused()
    # The draft's default, should the parameter be missing.
    components = tuple(parameters.get("headers", "(created)").lower().split())
    for name in components:
        if name not in ("(request-target)", "(created)", "(expires)"):
            _check_header_name(name)
    _check_components(components)
    created = _read_seconds(parameters.get("created"))
    expires = _read_seconds(parameters.get("expires"))
    for name, seconds in (("(created)", created), ("(expires)", expires)):
        # Section 2.3: an error if the parameter is missing or the algorithm names RSA.
        if name in components and (seconds is None or (algorithm or "").startswith("rsa")):
            raise _malformed()
    return Signature(
        family=Family.CAVAGE,
        key_id=_check_key_id(parameters.get("keyId")),
        algorithm=algorithm,
        components=components,
        created=created,
        expires=expires,
        value=_check_value(_decode(parameters.get("signature", ""))),
    )


def _read_cavage_parameters(text: str) -> dict[str, str]:
    """``name="value"`` or ``name=value``, by commas; an unknown name is kept and means nothing."""
    parameters: dict[str, str] = {}
    seen: set[str] = set()
    at = 0
    while True:
        match = _CAVAGE_PARAMETER.match(text, at)
        if match is None:
            raise _malformed()
        name, quoted, bare, comma = match.groups()
        if name.lower() in seen:
            raise _ambiguous()
        seen.add(name.lower())
        parameters[name] = bare if quoted is None else quoted
        if not comma:
            return parameters
        if len(seen) >= MAX_PARAMETERS:
            raise _malformed()
        at = match.end()


def _read_seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if _SECONDS.fullmatch(text) is None:
        raise _malformed()
    return int(text) * 1000


def _decode(text: str) -> bytes:
    try:
        return decode_base64(text)
    except FieldError as error:
        raise _malformed() from error


def _read_rfc9421(input_text: str, signature_text: str) -> Signature:
    try:
        inputs = parse_dictionary(input_text, unique=True)
        values = parse_dictionary(signature_text, unique=True)
        if len(inputs) != 1 or inputs.keys() != values.keys():
            raise _ambiguous()
        (covered,), (value,) = inputs.values(), values.values()
        if not isinstance(covered, InnerList) or not isinstance(value, Item):
            raise _malformed()
        if not isinstance(value.value, bytes):
            raise _malformed()
        parameters = serialize_member(covered)
    except FieldError as error:
        raise _malformed() from error
    algorithm = _text(covered.parameters, "alg")
    if algorithm not in _RFC9421_ALGORITHMS:
        raise _algorithm_refused()
    return Signature(
        family=Family.RFC9421,
        key_id=_check_key_id(_text(covered.parameters, "keyid")),
        algorithm=algorithm,
        components=_read_components(covered),
        created=_milliseconds(covered.parameters, "created"),
        expires=_milliseconds(covered.parameters, "expires"),
        value=_check_value(value.value),
        parameters=parameters,
    )


def _read_components(covered: InnerList) -> tuple[str, ...]:
    names: list[str] = []
    for item in covered.items:
        # ``sf``, ``key``, ``bs``, ``req`` and ``name`` change what is covered; nobody needs them.
        if type(item.value) is not str or item.parameters:
            raise _malformed()
        if item.value not in _DERIVED:
            _check_header_name(item.value)
        names.append(item.value)
    components = tuple(names)
    _check_components(components)
    return components


def _text(parameters: Parameters, name: str) -> str | None:
    value = parameters.get(name)
    if value is not None and type(value) is not str:
        raise _malformed()
    return value


def _milliseconds(parameters: Parameters, name: str) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 10**12:
        raise _malformed()
    return value * 1000


def _check_header_name(name: str) -> None:
    if _HEADER_NAME.fullmatch(name) is None:
        raise _malformed()


def _check_components(components: tuple[str, ...]) -> None:
    if len(components) > MAX_COMPONENTS:
        raise _malformed()
    if len(set(components)) != len(components):
        raise _ambiguous()


def _check_key_id(key_id: str | None) -> str:
    if not key_id or len(key_id) > MAX_KEY_ID_LENGTH or _PRINTABLE.fullmatch(key_id) is None:
        raise SignatureError("key_id_malformed", "The signature names no key that can be found.")
    return key_id


def _check_value(value: bytes) -> bytes:
    if not value:
        raise _malformed()
    return value


def _malformed() -> SignatureError:
    return SignatureError("signature_malformed", "The signature headers cannot be read.")


def _ambiguous() -> SignatureError:
    return SignatureError(
        "signature_ambiguous", "Send one signature, with each part of it said once."
    )


def _algorithm_refused() -> SignatureError:
    return SignatureError(
        "algorithm_refused", "Sign with RSA (PKCS #1 v1.5, SHA-256) or with Ed25519."
    )
