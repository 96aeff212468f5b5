"""Structured field values of HTTP (RFC 9651, which contains RFC 8941): parse and serialise. Pure.

Signature-Input, Signature and Content-Digest are such fields. Parsing takes time linear in the
length of the text: every expression is possessive, so none can backtrack.

Values: ``int``, ``Decimal``, ``str``, ``Token``, ``bytes``, ``bool``, ``Date`` (seconds since 1970)
and ``DisplayString``.
"""

import binascii
import re
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple


class FieldError(ValueError):
    """The text is not a structured field of the kind that was asked for."""


class Token(str):
    """A bare word such as ``sha-256``; a ``str`` of another kind than a quoted string."""

    __slots__ = ()


class DisplayString(str):
    """A string that may hold any Unicode (RFC 9651 section 3.3.8)."""

    __slots__ = ()


class Date(int):
    """Seconds since 1970 (RFC 9651 section 3.3.7)."""

    __slots__ = ()


BareItem = int | Decimal | str | bytes | bool
Parameters = Mapping[str, BareItem]
NO_PARAMETERS: Final[Parameters] = MappingProxyType({})


class Item(NamedTuple):
    """A value and its parameters."""

    value: BareItem
    parameters: Parameters = NO_PARAMETERS


class InnerList(NamedTuple):
    """A list in parentheses and the parameters of the whole."""

    items: tuple[Item, ...]
    parameters: Parameters = NO_PARAMETERS


Member = Item | InnerList

_SPACES = re.compile(r" *+")
_COMMA = re.compile(r"[ \t]*+(?:(,)[ \t]*+|\Z)")
_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*+")
_NUMBER = re.compile(r"-?+([0-9]++)(?:\.([0-9]*+))?+")
_STRING = re.compile(r'"([ !#-\[\]-~]*+(?:\\["\\][ !#-\[\]-~]*+)*+)"')
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*+")
_BYTES = re.compile(r":([A-Za-z0-9+/=]*+):")
_DATE = re.compile(r"@(-?+[0-9]{1,15}+)(?![0-9.])")
_DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*+)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED_OCTET = re.compile(rb"%([0-9a-f]{2})")


def parse_dictionary(text: str, *, unique: bool = False) -> dict[str, Member]:
    """A Dictionary, in order. A later key replaces an earlier one, as the RFC has it, unless
    ``unique``: then a repeated key or parameter is a ``FieldError``, as a signature must have it.
    """
    parser = _Parser(text, unique)
    members: dict[str, Member] = {}
    while parser.more():
        key = parser.key()
        if unique and key in members:
            raise FieldError("a key is repeated")
        if parser.take("="):
            members[key] = parser.member()
        else:
            members[key] = Item(True, parser.parameters())
        parser.comma()
    return members


def parse_list(text: str, *, unique: bool = False) -> list[Member]:
    """A List; ``unique`` refuses repeated parameters."""
    parser = _Parser(text, unique)
    members: list[Member] = []
    while parser.more():
        members.append(parser.member())
        parser.comma()
    return members


def parse_item(text: str, *, unique: bool = False) -> Item:
    """A single Item; ``unique`` refuses repeated parameters."""
    parser = _Parser(text, unique)
    item = parser.item()
    if parser.more():
        raise FieldError("something follows the item")
    return item


class _Parser:
    """The position in one text; each method consumes what it names or raises ``FieldError``."""

    __slots__ = ("at", "end", "text", "unique")

    def __init__(self, text: str, unique: bool) -> None:
        self.text = text.rstrip(" ")
        self.end = len(self.text)
        self.at = 0
        self.unique = unique
        self.spaces()

    def more(self) -> bool:
        return self.at < self.end

    def spaces(self) -> None:
        match = _SPACES.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, character: str) -> bool:
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise FieldError(f"{what} is malformed or missing")
        self.at = match.end()
        return match

    def comma(self) -> None:
        """The end, or a comma that something follows."""
        if self.expect(_COMMA, "a comma").group(1) and not self.more():
            raise FieldError("nothing follows a comma")

    def key(self) -> str:
        return self.expect(_KEY, "a key").group()

    def member(self) -> Member:
        return self.inner_list() if self.text.startswith("(", self.at) else self.item()

    def inner_list(self) -> InnerList:
        self.at += 1
        items: list[Item] = []
        while True:
            self.spaces()
            if self.take(")"):
                return InnerList(tuple(items), self.parameters())
            items.append(self.item())
            if not self.text.startswith((" ", ")"), self.at):
                raise FieldError("a list in parentheses is malformed")

    def item(self) -> Item:
        return Item(self.bare_item(), self.parameters())

    def parameters(self) -> Parameters:
        if not self.text.startswith(";", self.at):
            return NO_PARAMETERS
        parameters: dict[str, BareItem] = {}
        while self.take(";"):
            self.spaces()
            key = self.key()
            if self.unique and key in parameters:
                raise FieldError("a parameter is repeated")
            parameters[key] = self.bare_item() if self.take("=") else True
        return parameters

    def bare_item(self) -> BareItem:
        first = self.text[self.at : self.at + 1]
        if first == '"':
            text = self.expect(_STRING, "a string").group(1)
            return _ESCAPE.sub(r"\1", text) if "\\" in text else text
        if first == ":":
            return decode_base64(self.expect(_BYTES, "a byte sequence").group(1))
        if first == "?":
            self.at += 2
            if self.text[self.at - 1 : self.at] not in ("0", "1"):
                raise FieldError("a boolean is malformed")
            return self.text[self.at - 1] == "1"
        if first == "@":
            return Date(self.expect(_DATE, "a date").group(1))
        if first == "%":
            return _read_display_string(self.expect(_DISPLAY, "a display string").group(1))
        if first == "-" or "0" <= first <= "9":
            return _read_number(self.expect(_NUMBER, "a number"))
        return Token(self.expect(_TOKEN, "a value").group())


def decode_base64(text: str) -> bytes:
    """Padded base64 (RFC 4648 section 4), nothing else between; raises ``FieldError``."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise FieldError("base64 is malformed") from error


def _read_number(match: re.Match[str]) -> int | Decimal:
    whole, fraction = match.group(1), match.group(2)
    if fraction is None:
        if len(whole) > 15:
            raise FieldError("an integer is too long")
        return int(match.group())
    if len(whole) > 12 or not 1 <= len(fraction) <= 3:
        raise FieldError("a decimal is too long or too short")
    return Decimal(match.group())


def _read_display_string(text: str) -> DisplayString:
    octets = _ESCAPED_OCTET.sub(
        lambda match: bytes((int(match.group(1), 16),)), text.encode("ascii")
    )
    try:
        return DisplayString(octets.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FieldError("a display string is not UTF-8") from error


def serialize_member(member: Member) -> str:
    """The one canonical text of an Item or an inner list (RFC 9651 section 4.1)."""
    if isinstance(member, InnerList):
        inner = " ".join(serialize_member(item) for item in member.items)
        return f"({inner}){serialize_parameters(member.parameters)}"
    return serialize_bare(member.value) + serialize_parameters(member.parameters)


def serialize_parameters(parameters: Parameters) -> str:
    """Parameters with their semicolons; a true one is its name alone."""
    return "".join(
        f";{key}" if value is True else f";{key}={serialize_bare(value)}"
        for key, value in parameters.items()
    )


def serialize_bare(value: BareItem) -> str:
    """One value; what cannot be said in the format is a ``FieldError``."""
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, Date):
        return f"@{int(value)}"
    if isinstance(value, int):
        if abs(value) > 999_999_999_999_999:
            raise FieldError("an integer is too long")
        return str(value)
    if isinstance(value, Decimal):
        return _serialize_decimal(value)
    if isinstance(value, bytes):
        return f":{b64encode(value).decode('ascii')}:"
    if isinstance(value, Token):
        return str(value)
    if isinstance(value, DisplayString):
        return _serialize_display_string(value)
    if not value.isascii() or not value.isprintable():
        raise FieldError("a string may hold only printable ASCII")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _serialize_decimal(value: Decimal) -> str:
    rounded = round(value, 3)
    if abs(rounded) >= 10**12:
        raise FieldError("a decimal is too long")
    text = f"{rounded:f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _serialize_display_string(value: str) -> str:
    octets = value.encode("utf-8")
    text = "".join(
        chr(octet) if 0x20 <= octet <= 0x7E and octet not in b'%"' else f"%{octet:02x}"
        for octet in octets
    )
    return f'%"{text}"'
