"""The guard: finds what could tell who a patient is, before anything is stored or sent.

Pure: text in, findings out; no database, no clock, no network. It follows the identifiers of the
HIPAA Safe Harbor method (45 CFR 164.514(b)(2)(i)) that have a recognisable shape, and it leaves
clinical numbers alone (blood pressures, doses, laboratory values, gradings, codes of diagnoses).
It cannot see that a story itself is unique; the pages say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fedidoc.clinical import contacts, dates, names, numbers
from fedidoc.clinical.folding import fold
from fedidoc.errors import BadInput
from fedidoc.model import ClearedText

GUARD = "1"
"""The version of the rules; stored with every text they cleared."""


class Severity(StrEnum):
    BLOCK = "block"  # must be removed or rewritten
    WARN = "warn"  # the author may confirm that it is no patient's


class Kind(StrEnum):
    """What was found; the values are stable, for `fedidoc phi scan` and for forms."""

    SSN = "ssn"
    MRN = "mrn"  # record, insurance, account and device numbers with a word that says so
    PHONE = "phone"
    FAX = "fax"
    EMAIL = "email"
    URL = "url"
    DATE = "date"
    AGE_OVER_89 = "age_over_89"
    ADDRESS = "address"
    IP = "ip"
    NAME = "name"
    NUMBER = "number"
    MONTH_YEAR = "month_year"


_WORDS = {
    Kind.SSN: "This looks like a social security number; leave it out.",
    Kind.MRN: "This looks like a record, insurance or account number; leave it out.",
    Kind.PHONE: "This looks like a phone number; leave it out.",
    Kind.FAX: "This looks like a fax number; leave it out.",
    Kind.EMAIL: "This looks like an e-mail address; leave it out, or write a colleague's handle.",
    Kind.URL: "A link may lead to a patient; keep it only if it is literature or public.",
    Kind.DATE: "A full date can identify; write the year, or “three weeks later”.",
    Kind.AGE_OVER_89: "An age over 89 can identify; write “90 or older”.",
    Kind.ADDRESS: "This looks like an address; write the state or the kind of place instead.",
    Kind.IP: "This looks like an internet address; leave it out if it is a patient's.",
    Kind.NAME: "This may be a person's name; write “the patient”, or confirm it is no patient's.",
    Kind.NUMBER: "A long number may be an identifier; leave it out, or confirm that it is none.",
    Kind.MONTH_YEAR: "A month may identify; write the year, or confirm that it is no patient's.",
}
_WARNS = {Kind.URL, Kind.IP, Kind.NAME, Kind.NUMBER, Kind.MONTH_YEAR}
# Where two findings overlap the earlier one in this order is shown.
_ORDER = {kind: place for place, kind in enumerate(
    (Kind.EMAIL, Kind.MRN, Kind.SSN, Kind.FAX, Kind.PHONE, Kind.DATE, Kind.AGE_OVER_89,
     Kind.ADDRESS, Kind.URL, Kind.IP, Kind.MONTH_YEAR, Kind.NUMBER, Kind.NAME)
)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """Code points `start` to `end` (exclusive) of the text, and what to write instead."""

    start: int
    end: int
    kind: Kind
    severity: Severity
    words: str


class IdentifiersFound(BadInput):
    """The guard held one or more fields back; `findings` has them by the form field's name."""

    def __init__(self, findings: Mapping[str, list[Finding]]) -> None:
        super().__init__(
            "The text may identify a patient; change the marked words and send it again.",
            field=next(iter(findings), None),
        )
        self.findings = findings


def scan(text: str) -> list[Finding]:
    """What may identify somebody, in the order of the text, without overlaps.

    Time grows linearly with the text, whatever it holds; a megabyte takes a few seconds at most.
    """
    folded = fold(text)
    spans: list[tuple[Kind, int, int]] = []
    for room in (contacts.find, numbers.find, dates.find, names.find):
        spans += [(Kind(kind), start, end) for kind, start, end in room(folded.text)]
    found = [
        Finding(
            folded.start(start),
            folded.end(end),
            kind,
            Severity.WARN if kind in _WARNS else Severity.BLOCK,
            _WORDS[kind],
        )
        for kind, start, end in _apart(spans, folded.text)
    ]
    return sorted(found, key=lambda finding: finding.start)


def _apart(spans: Iterable[tuple[Kind, int, int]], text: str) -> list[tuple[Kind, int, int]]:
    links = [(start, end) for kind, start, end in spans if kind is Kind.URL]
    taken = bytearray(len(text))
    quiet = bytearray(len(text))
    for start, end in links:
        # The path of an article's address is full of digits and dates; a query part may well
        # carry a patient's.
        question = text.find("?", start, end)
        quiet[start : end if question < 0 else question] = b"\1" * (
            (end if question < 0 else question) - start
        )
    kept = []
    for kind, start, end in sorted(spans, key=lambda s: (_ORDER[s[0]], s[1], -s[2])):
        in_path = quiet[start] and kind not in {Kind.URL, Kind.SSN, Kind.MRN, Kind.EMAIL}
        if in_path or taken.find(1, start, end) >= 0:
            continue
        taken[start:end] = b"\1" * (end - start)
        kept.append((kind, start, end))
    return kept


def clear(text: str, *, confirmed: Collection[str] = ()) -> ClearedText | list[Finding]:
    """The text as ClearedText, or what stands in its way (every `block`, and unconfirmed `warn`).

    `confirmed` are kinds of warning whose every finding in this text the author has looked at and
    confirmed to be no identifier. A kind that blocks cannot be confirmed.
    """
    findings = scan(text)
    kinds = {str(f.kind) for f in findings if f.severity is Severity.WARN}
    against = [
        f for f in findings if f.severity is Severity.BLOCK or str(f.kind) not in set(confirmed)
    ]
    if against:
        return against
    return ClearedText(text, GUARD, tuple(sorted(kinds)))


def join(parts: Iterable[ClearedText]) -> ClearedText:
    """Cleared texts as one, with what was confirmed in any of them."""
    cleared = list(parts)
    confirmed = {kind for part in cleared for kind in part.confirmed}
    whole = "\n\n".join(part.text for part in cleared if part.text)
    return ClearedText(whole, GUARD, tuple(sorted(confirmed)))


def clear_fields(
    fields: Mapping[str, str], *, confirmed: Collection[str] = ()
) -> dict[str, ClearedText]:
    """Clear several fields of one form together; IdentifiersFound names all that were held back."""
    cleared: dict[str, ClearedText] = {}
    held: dict[str, list[Finding]] = {}
    for name, text in fields.items():
        result = clear(text, confirmed=confirmed)
        if isinstance(result, ClearedText):
            cleared[name] = result
        else:
            held[name] = result
    if held:
        raise IdentifiersFound(held)
    return cleared
