"""Patterns of the guard: names of people, where a title, a word or a given name gives them away.

A warning only: eponyms, authors and colleagues look the same. `find` takes folded text and yields
(kind, start, end).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources

Span = tuple[str, int, int]

_LAST = r"[A-Z](?:\.|[a-z'-][\w'-]{0,25})"
_NAME = r"(?:[A-Z]\.(?: ?[A-Z]\.)? ?)?[A-Z](?:[\w'-]{1,25}|\.)(?: (?:[A-Z]\. )?" + _LAST + r")?"
_TITLED = re.compile(
    r"(?<![\w.])(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Herr|Frau|Sra|Mme|Signora)\.? {1,2}"
    r"(?P<name>" + _NAME + ")"
)
_PERSON = (
    r"(?:patients?|pts?|man|woman|males?|females?|boy|girl|child|infant|baby|lady|gentleman|son"
    r"|daughter|husband|wife|mother|father|brother|sister|[0-9]{1,3}[ -]?"
    r"(?:year[ -]old|yo|y/o|[MF]))"
)
_NAMED = re.compile(
    r"(?<![\w])(?i:"
    + _PERSON
    + r"),? (?i:named|called|known as|identified as|name is|name:|name,?|is)"
    r" {1,2}(?P<name>" + _NAME + ")"
)
_NAME_FIELD = re.compile(
    r"(?<![\w])(?i:(?:patient|pt|full|first|last|maiden)(?:'s)? ?name|name of (?:the )?patient"
    r"|named)(?i: is)?[ :]{1,3}(?P<name>" + _NAME + ")"
)
_PAIR = re.compile(r"(?<![\w'.-])(?P<given>[A-Z][a-z]{2,15}) (?:[A-Z]\. )?" + _LAST)
# A place, a finding or an author's work named after somebody.
_NOT_A_PERSON = re.compile(
    r"(?i)(?:'s)? (?:[a-z-]{1,20} ){0,2}(?:syndromes?|disease|sign|signs|test|score|scale|index"
    r"|criteria|murmur|fracture|procedure|operation|classification|maneuver|manoeuvre|tumou?r"
    r"|hospital|clinic|medical cent(?:er|re)|university|institute|foundation"
    r"|college|school|et al)\b"
)


@cache
def given_names() -> frozenset[str]:
    """Common given names, one a line in `data/given_names.txt`, as they are written."""
    lines = resources.files("fedidoc.clinical").joinpath("data/given_names.txt").read_text("utf-8")
    return frozenset(line for line in lines.split() if line)


def find(text: str) -> Iterator[Span]:
    """Names after a title, after words such as "patient named", and given name with surname."""
    for match in _TITLED.finditer(text):
        yield "name", match.start(), match.end()
    for pattern in (_NAMED, _NAME_FIELD):
        for match in pattern.finditer(text):
            if not _NOT_A_PERSON.match(text, match.end()):
                yield "name", match.start("name"), match.end("name")
    known = given_names()
    for match in _PAIR.finditer(text):
        if match["given"] in known and not _NOT_A_PERSON.match(text, match.end()):
            yield "name", match.start(), match.end()
