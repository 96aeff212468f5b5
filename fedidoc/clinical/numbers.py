"""Patterns of the guard: numbers that belong to one person (social security, record, insurance).

`find` takes folded text (see `folding`) and yields (kind, start, end).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[str, int, int]

_SSN = re.compile(
    r"(?<![\w.,/-])(?<![0-9] )[0-9]{3}(?P<gap>[-. ])[0-9]{2}(?P=gap)[0-9]{4}"
    r"(?![\w-]|[.,/][0-9]| [0-9])"
)
_MASKED_SSN = re.compile(r"(?i)(?<![\w])[x*#•]{3}[- ]?[x*#•]{2}[- ]?[0-9]{4}(?![\w])")
_LABELLED_SSN = re.compile(
    r"(?i)(?<![a-z])(?:ssn|ss ?#|ss (?:no|number)|soc(?:ial)?\.? sec(?:urity)?\.?)(?![a-z])"
    r"[ :#.=(]{0,4}(?:(?:number|num|no|is|was|last|four|4|digits|ending|in|with)[ :#.=(]{1,3}){0,6}"
    r"#?(?P<value>[0-9](?:[ .-]?[0-9]){3,8})(?![\w])"
)

_JOIN = (
    r"[ \t:#=.(\-]{0,6}(?:(?:number|num|no|nr|id|code|is|was|of|as|under|listed|ending|includes"
    r"|policy|with|issues|card|plan)[ \t:#=.(\-]{1,4}){0,4}"
)
_VALUE = (
    r"(?P<value>[A-Za-z0-9](?:[A-Za-z0-9._/\-]{0,30}[A-Za-z0-9])?(?: [0-9]{2,4}(?![\w.,/])){0,4})"
)
# Words after which a number is an identifier, whatever it looks like.
_STRONG = re.compile(
    r"(?i)(?<![a-z])(?:mrns?|mr ?#|m\.r\.n\.|med(?:ical)?\.? ?rec(?:ord)?s?\.?(?! show)"
    r"|chart ?(?:#|no\b|number|id\b)|hosp(?:ital)?\.? ?(?:#|no\b|number|id\b)"
    r"|(?:patient|pt|pat)(?:'s)?\.? ?(?:#|no\b|number|id\b|identifier)"
    r"|(?:encounter|visit|episode|accession|account|acct|member|subscriber|beneficiary|policy"
    r"|insurance|insurer|claim|certificate|licen[cs]e|passport|serial|device|record|case|specimen"
    r"|sample)\.? ?(?:#|no\b|number|id\b)|csn|medicare|medicaid|mbi|hicn|nhs ?(?:#|no\b|number)"
    r"|driver'?s? licen[cs]e|licen[cs]e plate|vin(?= ?[:#])|health plan ?(?:#|no\b|number|id\b)"
    r"|plan ?(?:#|id\b|number))" + _JOIN + _VALUE
)
# Words that stand before ordinary numbers too: the number itself must look like an identifier.
_WEAK = re.compile(
    r"(?i)(?<![a-z])(?:e[mh]r|id(?= ?[:#])|identifier|record|chart|insurance|insurer|policy|plan"
    r"|ins|acct|account|member|ref(?:erence)?\.?|case|file|dossier|group|study)(?![a-z])"
    + _JOIN
    + _VALUE
)
_DATE_LIKE = re.compile(
    r"[0-9]{1,2}(?P<gap>[./-])[0-9]{1,2}(?P=gap)(?:[0-9]{4}|[0-9]{2})|(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}(?P<iso>[./-])[0-9]{1,2}(?P=iso)[0-9]{1,2}|[0-9]{1,2}/[0-9]{2,4}"
)
_UNIT = re.compile(
    r"(?i) ?(?:mg|mcg|µg|ug|ng|pg|g|kg|ml|l|dl|units?|iu|u|miu|mm|cm|m|%|mmhg|bpm|copies|cells|cfu"
    r"|mmol|meq|kcal|rads?|steps|patients|people|participants|persons|women|men|children|cases"
    r"|subjects|platelets|usd|dollars|/ ?[a-zµ])(?![a-z])"
)
_LONG = re.compile(r"(?<![\w.,/-])[0-9]{7,20}(?![\w-]|[.,/][0-9])")
_ZIP_PLUS = re.compile(r"(?<![\w.,/-])[0-9]{5}-[0-9]{4}(?![\w-]|[.,/][0-9])")
# Numbers of the literature, of trials and of code systems are nobody's.
_PUBLIC = re.compile(
    r"(?i)(?:pmid|pmcid|pmc|nct|isrctn|eudract|chictr|drks|isbn|issn|doi|snomed(?:[ -]ct)?|loinc"
    r"|rxnorm|rxcui|cas|ndc|icd(?:-?[0-9]{1,2})?|cpt|hcpcs|orpha|omim|rs|grant|trial|registration"
    r"|prospero|crd)[ :#.]{0,3}(?:id|no|number|code)?[ :#.]{0,3}$"
)


def find(text: str) -> Iterator[Span]:
    """Social security numbers, labelled identifiers, and long bare numbers."""
    for pattern in (_SSN, _MASKED_SSN):
        for match in pattern.finditer(text):
            yield "ssn", match.start(), match.end()
    for match in _LABELLED_SSN.finditer(text):
        yield "ssn", match.start("value"), match.end("value")
    for match in _STRONG.finditer(text):
        if _identifies(match["value"], 3, 2):
            yield "mrn", match.start("value"), match.end("value")
    for match in _WEAK.finditer(text):
        if _identifies(match["value"], 5, 4) and not _UNIT.match(text, match.end()):
            yield "mrn", match.start("value"), match.end("value")
    for pattern in (_LONG, _ZIP_PLUS):
        for match in pattern.finditer(text):
            before = text[max(0, match.start() - 24) : match.start()]
            if not _UNIT.match(text, match.end()) and not _PUBLIC.search(before):
                yield "number", match.start(), match.end()


def _identifies(value: str, bare: int, mixed: int) -> bool:
    """Whether `value` has enough digits: `bare` alone, `mixed` beside letters."""
    if _DATE_LIKE.fullmatch(value):
        return False  # the patterns of dates have the better words for it
    digits = sum(c.isdigit() for c in value)
    letters = any(c.isalpha() for c in value)
    return digits >= (mixed if letters else bare)
