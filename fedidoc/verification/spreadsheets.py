"""The rows of a workbook's first sheet (.xlsx, ECMA-376), read as texts, strictly bounded.

What a register's office publishes is a plain table. So this reads cells and shared strings and
nothing else: no formulas, links, macros or other sheets. A document type is refused, which is where
XML's entities come from; sizes are bounded after decompression, whatever the archive says of them.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from xml.parsers import expat

from fedidoc.errors import BadInput

_MAX_SHEET: Final = 1 << 30
_MAX_STRINGS: Final = 96 << 20
_MAX_CELL: Final = 4096
_MAX_COLUMNS: Final = 256
_CHUNK: Final = 1 << 16
_SHEET: Final = re.compile(r"xl/worksheets/sheet[0-9]*\.xml")
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")


class _Broken(Exception):
    """The workbook is not one; the text says why, safe to show."""


def read_sheet(path: Path) -> Iterator[list[str]]:
    """The rows of the first sheet, cells in the order of their columns, each as it is stored: a
    date may be a number of days since 1899-12-30. BadInput when it is no workbook."""
    try:
        with zipfile.ZipFile(path) as book:
            names = [n for n in book.namelist() if _SHEET.fullmatch(n)]
            if not names:
                raise _Broken("it has no sheet")
            first = min(names, key=lambda name: (len(name), name))
            strings = _shared_strings(book)
            with book.open(first) as sheet:
                rows = _rows(sheet, strings)
                while (row := next(rows, None)) is not None:
                    yield row
    except (_Broken, expat.ExpatError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error) if isinstance(error, _Broken) else "it is damaged"
        raise BadInput(f"{path} is not a workbook that can be read: {reason}.") from None
    except (OSError, RuntimeError, NotImplementedError) as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__}).") from None


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise _Broken("it declares a document type")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def _feed(parser: expat.XMLParserType, stream: IO[bytes], most: int) -> Iterator[None]:
    """Pass the stream through; yields after each piece, so that a caller can take what came."""
    done = 0
    while chunk := stream.read(_CHUNK):
        done += len(chunk)
        if done > most:
            raise _Broken("it is too large")
        parser.Parse(chunk, False)
        yield
    parser.Parse(b"", True)
    yield


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _shared_strings(book: zipfile.ZipFile) -> list[str]:
    """The table of texts that cells refer to; phonetic readings are left out."""
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    strings: list[str] = []
    parts: list[str] = []
    inside = {"t": False, "rPh": False}

    def start(name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if name == "si":
            parts.clear()
        elif name in inside:
            inside[name] = True

    def end(name: str) -> None:
        name = _local(name)
        if name == "si":
            strings.append("".join(parts)[:_MAX_CELL])
        elif name in inside:
            inside[name] = False

    def text(data: str) -> None:
        if inside["t"] and not inside["rPh"]:
            parts.append(data)

    parser = _parser()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    with book.open("xl/sharedStrings.xml") as stream:
        for _ in _feed(parser, stream, _MAX_STRINGS):
            pass
    return strings


def _rows(sheet: IO[bytes], strings: list[str]) -> Iterator[list[str]]:
    reader = _SheetReader(strings)
    parser = _parser()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    for _ in _feed(parser, sheet, _MAX_SHEET):
        rows, reader.rows = reader.rows, []
        yield from rows


class _SheetReader:
    """Takes a sheet's elements, and has its rows."""

    def __init__(self, strings: list[str]) -> None:
        self._strings = strings
        self.rows: list[list[str]] = []
        self._row: list[str] = []
        self._place = 0
        self._kind = "n"
        self._parts: list[str] = []
        self._size = 0
        self._reading = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if name == "row":
            self._row, self._place = [], 0
        elif name == "c":
            self._kind = attributes.get("t", "n")
            self._parts, self._size = [], 0
            found = _REFERENCE.fullmatch(attributes.get("r", ""))
            if found:
                self._place = _column(found[1])
            if self._place >= _MAX_COLUMNS:
                raise _Broken(f"it has more than {_MAX_COLUMNS} columns")
        elif name in ("v", "t"):
            self._reading = True

    def end(self, name: str) -> None:
        name = _local(name)
        if name == "row":
            self.rows.append(self._row)
        elif name == "c":
            self._row.extend([""] * (self._place + 1 - len(self._row)))
            self._row[self._place] = self._value()
            self._place += 1
        elif name in ("v", "t"):
            self._reading = False

    def text(self, data: str) -> None:
        if self._reading:
            self._size += len(data)
            if self._size > _MAX_CELL:
                raise _Broken("a cell is too long")
            self._parts.append(data)

    def _value(self) -> str:
        text = "".join(self._parts).strip()
        if self._kind != "s" or not text:
            return text
        if not (text.isascii() and text.isdigit()) or int(text) >= len(self._strings):
            raise _Broken("a cell refers to a text that is not there")
        return self._strings[int(text)].strip()


def _column(letters: str) -> int:
    """A is 0, Z 25, AA 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
