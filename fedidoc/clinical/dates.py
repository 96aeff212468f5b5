"""Patterns of the guard: dates that are finer than a year, and ages over 89.

`find` takes folded text (see `folding`) and yields (kind, start, end).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[str, int, int]

_MONTHS = (
    r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
)
_FOREIGN = (
    r"januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember|janvier"
    r"|février|fevrier|mars|avril|juin|juillet|août|aout|septembre|octobre|novembre|décembre"
    r"|decembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre"
    r"|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|janeiro"
    r"|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro|januari|februari"
    r"|maart|mei|augustus"
)
_YEAR = r"(?:(?:19|20)[0-9]{2}|'[0-9]{2})(?![0-9A-Za-z])"
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"

_ISO = re.compile(
    r"(?<![\w.,/-])(?:19|20)[0-9]{2}(?P<gap>[-/.])(?:0?[1-9]|1[0-2])(?P=gap)"
    r"(?:0[1-9]|[12][0-9]|3[01]|[1-9])(?![0-9])"
)
_COMPACT = re.compile(
    r"(?<![\w.,/-])(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![\w-]|[.,/][0-9])"
)
_NUMERIC = re.compile(
    r"(?<![\w.,/-])(?P<a>[0-9]{1,2})(?P<gap> ?[-/.] ?)(?P<b>[0-9]{1,2})(?P=gap)"
    r"(?P<year>(?:19|20)[0-9]{2}|[0-9]{2})(?![\w/]|[.,-][0-9])"
)
_DAY_MONTH_NUMERIC = re.compile(
    r"(?i)(?<![a-z])(?P<word>on|dated?|dob|d\.o\.b\.?|dos|birthday|born|admitted|discharged|seen|adm"
    r"|dc'?d?|date of (?:birth|service|admission|surgery|death))[ :]{1,3}(?:on )?"
    r"(?P<date>(?P<a>[0-9]{1,2})/(?P<b>[0-9]{1,2}))(?![\w/]|[.,-][0-9])"
)
_MONTH_DAY = re.compile(
    r"(?i)(?<![a-z0-9])(?P<month>" + _MONTHS + r")(?:\.? {0,3}|[-/])(?:the )?(?P<day>" + _DAY + r")"
    r"(?P<nth>st|nd|rd|th)?(?![0-9A-Za-z]|\.[0-9])(?: ?(?:-|to|and|&) ?" + _DAY +
    r"(?:st|nd|rd|th)?(?![0-9A-Za-z]))?(?P<year>(?:, {0,3}| {1,3}|-|/)(?:of |in )?" + _YEAR + r")?"
)  # fmt: skip
_DAY_MONTH = re.compile(
    r"(?i)(?<![\w.,/-])(?P<day>" + _DAY + r")(?P<nth>st|nd|rd|th|\.)?(?P<gap>[ ./-]{0,3})"
    r"(?:(?:of|de|day of) {1,2})?(?P<month>" + _MONTHS + "|" + _FOREIGN + r")(?![a-zà-ÿ])\.?"
    r"(?P<year>(?:,? {1,3}|[-/.])(?:(?:of|de|del) )?"
    + _YEAR
    + r"|(?:19|20)?[0-9]{2}(?![0-9A-Za-z]))?"
)
_MONTH_YEAR = re.compile(
    r"(?i)(?<![a-z0-9])(?P<month>"
    + _MONTHS
    + "|"
    + _FOREIGN
    + r")\.?(?:,? {1,3}|[-/])(?:of |de )?"
    + _YEAR
)
_LAST_MONTH = re.compile(r"(?i)(?<![a-z])(?:last|this past|next) (?:" + _MONTHS + r")(?![a-z])")
_NUMERIC_MONTH_YEAR = re.compile(
    r"(?<![\w.,/-])(?:(?:0?[1-9]|1[0-2])/(?:19|20)[0-9]{2}|0[1-9]-(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2]))(?![\w/-]|[.,][0-9])"
)
# What makes three numbers a series of measurements.
_MEASURE = re.compile(
    r"(?i) ?(?:mg|mcg|µg|ug|g|kg|ml|l|units?|iu|mm|cm|%|mins?|minutes?|hours?|hrs?|h|days?|weeks?"
    r"|wks?|months?|years?|yrs?|mmhg|patients|people|participants|cases|points?|times|degrees)(?![a-z])"
)
_SCALE_BEFORE = re.compile(
    r"(?i)(?:apgars?|scores?|grades?|strength|power|reflexes|at)[a-z :,]{0,12}$"
)
_SCALES = {4, 5, 6, 8, 10}

_AGE = r"(?P<age>9[0-9]|1[0-2][0-9])"
# After a bare number: what makes it a weight, a saturation, a count of days.
_NO_MEASURE = (
    r"(?![\w/%°]|[.,-][0-9]| ?(?:%|°|/|[-–] ?[0-9]|kg|lbs?|pounds?|cm|mm|mg|ml|bpm|beats|degrees"
    r"|minutes?|hours?|h|days?|weeks?|months?|percent|points?|on|systolic|pack)(?![a-z]))"
)
_AGES = (
    re.compile(
        r"(?i)(?<![\w.,/-])" + _AGE + r"[ -]{0,2}(?:years?|yrs?|y)[ -]{0,2}"
        r"(?:olds?|/?o\b|\.o\.?|of age)"
    ),
    re.compile(r"(?i)(?<![\w.,/-])" + _AGE + r" ?(?:yo|y/o|y\.o\.|yof|yom|yrs?/o)(?![a-z])"),
    re.compile(
        r"(?i)(?<![a-z])(?:aged?|age of|age is|age was|turned|turning) ?[:=]? ?" + _AGE +
        r"(?![\w/%]|[.,-][0-9])"
    ),
    re.compile(
        r"(?<![\w.,/-])" + _AGE + r" ?[FM](?= ?(?:,? (?:with|who|w/|c/o|presents"
        r"|presenting|presented|admitted|s/p|hx|h/o|brought|found|patient|pt)\b|,? w/))"
    ),
    re.compile(
        r"(?i)(?<![a-z])(?P<age>ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
        r"|(?:one|a) hundred(?: and)?(?:[ -](?:one|two|three|four|five|six|seven|eight|nine|ten))?)"
        r"[ -]years?(?:[ -]old| of age)"
    ),
    re.compile(
        r"(?i)(?<![a-z])(?:(?:(?:wo)?man|lady|gentleman|(?:fe)?male|patient|person) of"
        r"|(?:she|he|who|(?:wo)?man|patient) (?:is|was)(?: now)?) " + _AGE + _NO_MEASURE
    ),
    re.compile(r"(?i)(?<![\w.,/-])" + _AGE + r"(?:st|nd|rd|th) birthday"),
    re.compile(r"(?i)(?<![a-z])(?P<age>centenarian)(?![a-z])"),
)  # fmt: skip
# "90 or older" is what the guard asks for, and "over 90" speaks of a group.
_AGE_GROUP_AFTER = re.compile(
    r"(?i) ?(?:\+|(?:years? )?(?:old )?(?:or|and|&) (?:older|over|above|more|up))"
)
_AGE_GROUP_BEFORE = re.compile(
    r"(?i)(?:over|above|older than|at least|more than|under|below|younger than|up to|until|[<>≥≤]=?"
    r"|beyond|past|exceeding)(?: the)?(?: age)?(?: of)? ?$"
)


def find(text: str) -> Iterator[Span]:
    """Dates with a day, months of a year, ages over 89."""
    for pattern in (_ISO, _COMPACT):
        for match in pattern.finditer(text):
            yield "date", match.start(), match.end()
    yield from _numeric(text)
    for match in _MONTH_DAY.finditer(text):
        if _means_month(match, text):
            yield "date", match.start(), match.end()
    for match in _DAY_MONTH.finditer(text):
        tight = not match["gap"] and not match["nth"]
        if (match["year"] or not tight) and _means_month(match, text):
            yield "date", match.start(), match.end()
    for pattern in (_MONTH_YEAR, _LAST_MONTH, _NUMERIC_MONTH_YEAR):
        for match in pattern.finditer(text):
            if match.group() != "1/2000":  # a dilution
                yield "month_year", match.start(), match.end()
    yield from _ages(text)


def _means_month(match: re.Match[str], text: str) -> bool:
    """Whether a month's name beside a small number is one: in `may 5%` it is a verb."""
    if match["year"] or (match["nth"] and match["nth"] != "."):
        return True
    if _MEASURE.match(text, match.end()):
        return False
    word = match["month"]
    return word not in {
        "may",
        "march",
        "mar",
        "dec",
        "sep",
        "mars",
        "mai",
        "mei",
        "MAR",
        "DEC",
        "SEP",
    }


def _numeric(text: str) -> Iterator[Span]:
    for match in _NUMERIC.finditer(text):
        a, b, gap = match["a"], match["b"], match["gap"].strip()
        if not _is_day_and_month(int(a), int(b)):
            continue
        if len(match["year"]) == 2:
            if match["gap"] != gap:
                continue  # 3 / 4 / 20
            if gap != "/" and not (len(a) == 2 and len(b) == 2):
                continue  # 1.2.10, 2-3-10
            before = text[max(0, match.start() - 24) : match.start()]
            if _MEASURE.match(text, match.end()) or _SCALE_BEFORE.search(before):
                continue  # Apgar 7/8/10 at 1/5/10 minutes
        yield "date", match.start(), match.end()
    for match in _DAY_MONTH_NUMERIC.finditer(text):
        a, b = int(match["a"]), int(match["b"])
        if not _is_day_and_month(a, b) or (a, b) == (24, 7):
            continue
        padded = match["a"].startswith("0") or match["b"].startswith("0")
        on = match["word"].lower() in {"on", "seen"}
        if on and b in _SCALES and not padded:
            continue  # on 3/5 strength
        if not _MEASURE.match(text, match.end("date")):
            yield "date", match.start("date"), match.end("date")


def _is_day_and_month(a: int, b: int) -> bool:
    return 1 <= min(a, b) <= 12 and 1 <= max(a, b) <= 31


def _ages(text: str) -> Iterator[Span]:
    for pattern in _AGES:
        for match in pattern.finditer(text):
            after = _AGE_GROUP_AFTER.match(text, match.end("age"))
            after = after or _AGE_GROUP_AFTER.match(text, match.end())
            before = _AGE_GROUP_BEFORE.search(
                text[max(0, match.start("age") - 24) : match.start("age")]
            )
            if not after and not before:
                yield "age_over_89", match.start(), match.end()
