"""One spelling for characters that look alike, so that a pattern sees what a reader sees.

Full-width digits, Arabic-Indic digits, typographic dashes, no-break spaces, zero-width characters
and combining marks are how an identifier slips past a pattern that was written in ASCII, mostly by
accident: phones, PDF readers and word processors put them in.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

_SAME = {
    "\N{MINUS SIGN}": "-",
    "\N{HYPHEN BULLET}": "-",
    "\N{FRACTION SLASH}": "/",
    "\N{DIVISION SLASH}": "/",
    "\N{ONE DOT LEADER}": ".",
    "\N{IDEOGRAPHIC FULL STOP}": ".",
    "\N{MIDDLE DOT}": ".",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{MODIFIER LETTER APOSTROPHE}": "'",
    "\N{RATIO}": ":",
}
_GONE = {
    "Cf",
    "Mn",
    "Me",
}  # zero-width and joining characters; marks; the key-cap of an emoji digit


@dataclass(frozen=True, slots=True)
class Folded:
    """`text` to search in, and the way back: offsets in it to offsets in the original."""

    text: str
    _cuts: tuple[int, ...]  # offsets in `text` at which characters were left out, ascending
    _original: int

    def start(self, offset: int) -> int:
        """Where the character at `offset` begins in the original, in code points."""
        return offset + bisect_right(self._cuts, offset)

    def end(self, offset: int) -> int:
        """Where the character before `offset` ends in the original."""
        return self.start(offset - 1) + 1 if offset else 0


def fold(text: str) -> Folded:
    """Fold `text`; one code point becomes one or none. Linear in the length."""
    if text.isascii():
        return Folded(text, (), len(text))
    table = {ord(c): _folded(c) for c in set(text) if not c.isascii()}
    if "" not in table.values():
        return Folded(text.translate(table), (), len(text))
    gone = {chr(code) for code, to in table.items() if to == ""}
    cuts = [offset for offset, c in enumerate(text) if c in gone]
    # The n-th character left out (from 0) stood at `cuts[n]`, which is `cuts[n] - n` in the rest.
    return Folded(text.translate(table), tuple(at - n for n, at in enumerate(cuts)), len(text))


def _folded(c: str) -> str:
    if c in _SAME:
        return _SAME[c]
    category = unicodedata.category(c)
    if category in _GONE:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(c))
    if category == "Pd":
        return "-"
    if category == "Zs":
        return " "
    if category == "No":
        return c  # a superscript: the 2 of m² is no digit of a number before it
    plain = unicodedata.normalize("NFKC", c)
    return plain if len(plain) == 1 and plain.isascii() else c
