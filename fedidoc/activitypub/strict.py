"""JSON from strangers, read strictly: what two readers could understand differently is refused.

Python's ``json`` keeps the last of two equal keys, accepts ``NaN`` and lone surrogates, and reads
integers that other languages round (RFC 8259 sections 4, 6, 8.2; RFC 7493, I-JSON). A signature is
worth nothing when signer and reader see different values, so all of these are errors here.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from fedidoc.activitypub.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one document: bytes, nesting of arrays and objects, members of any one array."""

    max_bytes: int = 1 << 20
    max_depth: int = 32
    max_items: int = 256


MAX_INTEGER = 1 << 53

# A whole JSON string, or the rest of the text when the string is never closed; possessive, so that
# a hostile text cannot make the expression go back.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^\[\]{}]+")
# Escapes that may stand for half a surrogate pair or for NUL; only then is every string looked at.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def decode(body: bytes | str, limits: Limits | None = None) -> Any:
    """Any JSON value, read within ``limits``.

    Raises DocumentError for malformed JSON or UTF-8, equal keys, non-finite numbers, integers
    beyond 2^53, lone surrogates, NUL characters (no database column takes them), and excess of
    size or depth. Array lengths are not looked at here.
    """
    limits = limits or Limits()
    try:
        text = _text(body, limits.max_bytes)
        _check_depth(text, limits.max_depth)
        value = _DECODER.decode(text)
        if _SUSPECT_ESCAPE.search(text):
            _check_strings(value)
    except UnicodeError as error:
        raise DocumentError("bad_encoding", "The document is not valid UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError("bad_json", "The document is not well-formed JSON.") from error
    return value


def _text(body: bytes | str, max_bytes: int) -> str:
    raw = body.encode("utf-8") if isinstance(body, str) else body
    if len(raw) > max_bytes:
        raise DocumentError("too_large", f"The document is larger than {max_bytes} bytes.")
    return body if isinstance(body, str) else raw.decode("utf-8")


def _check_depth(text: str, max_depth: int) -> None:
    """Bound the nesting before the parser recurses over it."""
    if text.count("{") + text.count("[") <= max_depth:
        return
    depth = 0
    for bracket in _NOT_BRACKETS.sub("", _STRING.sub("", text)):
        if bracket in "{[":
            depth += 1
            if depth > max_depth:
                raise DocumentError(
                    "too_deep", f"The document is nested deeper than {max_depth} levels."
                )
        else:
            depth -= 1


def _check_strings(value: Any) -> None:
    if isinstance(value, str):
        value.encode("utf-8")
        if "\0" in value:
            raise DocumentError("nul_character", "The document contains a NUL character.")
    elif isinstance(value, dict):
        for key, member in value.items():
            _check_strings(key)
            _check_strings(member)
    elif isinstance(value, list):
        for member in value:
            _check_strings(member)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DocumentError("duplicate_key", "The document names one key twice in one object.")
    return members


def _integer(digits: str) -> int:
    # The length comes first: turning a million digits into an int is slow by itself.
    if len(digits) > 17 or abs(number := int(digits)) > MAX_INTEGER:
        raise DocumentError("number_too_large", "The document has an integer beyond 2^53.")
    return number


def _real(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise DocumentError("number_too_large", "The document has a number that is not finite.")
    return number


def _constant(_: str) -> NoReturn:
    raise DocumentError("bad_json", "The document is not well-formed JSON.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_real, parse_constant=_constant
)
