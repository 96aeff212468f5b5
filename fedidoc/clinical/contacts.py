"""Patterns of the guard: ways to reach somebody (phone, fax, e-mail, links, addresses).

`find` takes folded text (see `folding`) and yields (kind, start, end). Every pattern is bounded
and starts at a fixed character or word, so that the time is linear in the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

Span = tuple[str, int, int]

_HOST = re.compile(r"(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_LOCAL = frozenset("._%+'-")
# "@name@mastodon.example" is a colleague's handle, but nobody has a handle on these.
_MAILBOXES = re.compile(
    r"(?i)(?:gmail|googlemail|outlook|hotmail|yahoo|icloud|aol|gmx|proton|protonmail|live|msn)\."
)
_SPELT_AT = re.compile(
    r"(?i)(?P<at> ?[\[({<] ?at ?[\])}>] ?| at )"
    r"(?P<host>[\w-]{1,63}(?: ?[\[({<]? ?(?:\.|dot) ?[\])}>]? ?[\w-]{1,63}){1,4})"
)
_SPACED_AT = re.compile(
    r"(?P<at> {0,2}@ {0,2})(?P<host>(?:[\w-]{1,63}\.){1,4}(?:com|org|net|edu|gov))(?!\w)"
)
_DOT_WORD = re.compile(r"(?i)[\s\])}]dot[\s\[({]|[\[({<] ?(?:dot|\.) ?[\])}>]")

_URL = re.compile(r"(?i)(?<![a-z])(?:(?:https?|ftps?)://|www\.)[^\s<>\"]{1,2048}")
_BARE_URL = re.compile(
    r"(?i)(?<![\w@./-])(?:[a-z0-9-]{1,63}\.){1,5}"
    r"(?:com|org|net|edu|gov|io|info|health|care|co|me|uk|de)/[^\s<>\"]{1,2048}"
)
_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")

# North American numbers with separators; spaces alone need an area code and exchange that exist,
# because three columns of results look like that too.
_PHONES = (
    re.compile(
        r"(?<![\w.,/+-])(?:\+?1[ .-]{0,2})?(?:\([0-9]{3}\) ?[.-]?|[0-9]{3}[.-])[0-9]{3}"
        r"[ .-][0-9]{4}"
        r"(?: ?(?:x|ext\.?) ?[0-9]{1,6})?(?![\w-]|[.,/][0-9])"
    ),
    re.compile(
        r"(?<![\w.,/+-])(?<![0-9] )(?:\+?1 )?[2-9][0-9]{2} [2-9][0-9]{2}[ -][0-9]{4}"
        r"(?![\w-]|[.,/][0-9]| [0-9])"
    ),
    # International, with the plus.
    re.compile(r"(?<![\w+])\+ ?[1-9](?:[ ().-]{0,3}[0-9]){7,14}(?![\w])"),
    # National with a trunk zero, as in most of Europe: at least nine digits in two to four groups.
    re.compile(
        r"(?<![\w.,/+-])\(?0[1-9][0-9]{1,4}\)?[ /-]{1,3}[0-9]{3,8}(?:[ -][0-9]{2,6}){0,2}"
        r"(?![\w-])"
    ),
)  # fmt: skip
_TRUNK = _PHONES[3]
_LABELLED_PHONE = re.compile(
    r"(?i)(?<![a-z])(?P<label>phones?|telephone|tel|cell|mobile|handy|fax|facsimile|pager|beeper"
    r"|whats ?app|call(?:ed)?|text(?:ed)?|dial|contact|callback|reach(?:ed|able)?)(?![a-z])"
    r"[^0-9\n+]{0,24}(?P<number>\+?\(?[0-9](?:[ ().-]{0,2}[0-9]){6,14})(?![\w]|[.,/][0-9])"
)
_FAX = re.compile(r"(?i)(?<![a-z])(?:fax|facsimile|telefax)")
_UNIT = re.compile(
    r"(?i) ?(?:mg|mcg|µg|ug|g|kg|ml|l|dl|units?|iu|u|mm|cm|%|mmhg|bpm|copies|cells|cfu)"
    r"(?![a-z])"
)

_DIRECTION = r"(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.? {1,2})?"
_STREETS = (
    re.compile(
        r"(?<![\w.,/+-])[0-9]{1,6}(?:-[0-9]{1,4})?[A-Za-z]? {1,2}" + _DIRECTION +
        r"(?:(?:[A-Z][\w'-]{0,25}\.?|[0-9]{1,3}(?:st|nd|rd|th)) {1,2}){1,4}"
        r"(?:Street|Str\b|St\b(?!\. [A-Z])|Avenue|Ave\b|Road|Rd\b|Boulevard|Blvd\b|Lane|Ln\b"
        r"|Drive|Dr\b(?!\.? [A-Z])|Court|Ct\b|Place|Pl\b|Way|Terrace|Ter\b|Circle|Cir\b|Parkway"
        r"|Pkwy\b|Highway|Hwy\b|Square|Sq\b|Trail|Trl\b|Alley|Crescent|Close|Plaza|Turnpike)\b\.?"
        r"(?:,? {1,2}(?:[Aa]pt|[Aa]partment|[Ss]uite|[Ss]te|[Uu]nit|#)\.? ?#?[0-9A-Za-z]{1,6})?"
    ),
    re.compile(
        r"(?<![\w.,/+-])[0-9]{1,6} (?:[a-z][a-z'-]{1,25} ){1,3}"
        r"(?:street|avenue|boulevard|road|lane)\b"
    ),
    re.compile(r"(?<![\w.,/+-])[0-9]{1,6} (?:N|S|E|W|North|South|East|West)?\.? ?Broadway\b"),
    re.compile(r"(?i)(?<![a-z])p\.? ?o\.? ?box {1,2}#?[0-9]{1,8}"),
    re.compile(
        r"(?<!\w)[A-ZÄÖÜ][\w-]{1,30}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse)"
        r" [0-9]{1,4} ?[a-z]?\b"
    ),
    re.compile(
        r"(?i)(?<![\w.,/+-])[0-9]{1,4},? (?:bis |ter )?(?:rue|chemin|impasse|quai|via|calle|plaza)"
        r" (?:(?:de|du|des|la|le|les|del|d') ?){0,3}[^\W\d_]{2,30}"
    ),
)  # fmt: skip
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ"
    "|NM|NY|NC|ND|OH|OK|OR|PA|PR|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|Alabama|Alaska|Arizona"
    "|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois"
    "|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota"
    "|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York"
    "|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina"
    "|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin"
    "|Wyoming"
)
_ZIPS = (
    re.compile(
        r"(?<!\w)(?:[A-Z][a-z'.]{1,20} ){0,2}[A-Z][a-z'.]{1,20},? {1,2}(?:" + _STATES + r"),?"
        r" {1,2}[0-9]{5}(?:-[0-9]{4})?(?![\w]|[.,/-][0-9])"
    ),
    re.compile(
        r"(?i)(?<![a-z])(?:zip(?: ?code)?|postal code|post ?code|plz)[ :#]{0,3}(?:is |of |in )?"
        r"(?P<at>[0-9]{5}(?:-[0-9]{4})?|[a-z]{1,2}[0-9][a-z0-9]? ?[0-9][a-z]{2}"
        r"|[a-z][0-9][a-z] ?[0-9][a-z][0-9])(?![\w])"
    ),
)


def find(text: str) -> Iterator[Span]:
    """E-mail, links, internet addresses, phone and fax numbers, postal addresses."""
    yield from _emails(text)
    for pattern in (_URL, _BARE_URL):
        for match in pattern.finditer(text):
            link = match.group().rstrip(".,;:!?)]}'")
            yield "url", match.start(), match.start() + len(link)
    yield from _internet(text)
    yield from _phones(text)
    for pattern in _STREETS:
        for match in pattern.finditer(text):
            yield "address", match.start(), match.end()
    for pattern in _ZIPS:
        for match in pattern.finditer(text):
            yield "address", match.start(), match.end()


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        host = _HOST.match(text, at + 1)
        start = _local_start(text, at)
        if host and start < at:
            handle = start > 0 and text[start - 1] == "@"
            if not handle or _MAILBOXES.match(host.group()):
                yield "email", start, host.end()
        at = text.find("@", at + 1)
    for match in _SPACED_AT.finditer(text):
        start = _local_start(text, match.start("at"))
        if start < match.start("at"):
            yield "email", start, match.end()
    for match in _SPELT_AT.finditer(text):
        start = _local_start(text, match.start("at"))
        bracketed = match["at"].strip() != "at"
        if start < match.start("at") and (bracketed or _DOT_WORD.search(match["host"])):
            yield "email", start, match.end()


def _local_start(text: str, at: int) -> int:
    start = at
    while (
        start > 0 and at - start < 64 and (text[start - 1].isalnum() or text[start - 1] in _LOCAL)
    ):
        start -= 1
    return start


def _internet(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        parts = match.group().split(".")
        # 1.2.3.4 is a heading or a version.
        if all(int(part) < 256 for part in parts) and any(len(part) > 1 for part in parts):
            yield "ip", match.start(), match.end()
    for match in _IPV6.finditer(text):
        try:
            ipaddress.IPv6Address(match.group())
        except ValueError:
            continue
        if len(match.group()) > 4:
            yield "ip", match.start(), match.end()


def _phones(text: str) -> Iterator[Span]:
    for pattern in _PHONES:
        for match in pattern.finditer(text):
            digits = sum(c.isdigit() for c in match.group())
            if pattern is _TRUNK and not 9 <= digits <= 13:
                continue
            before = text[max(0, match.start() - 24) : match.start()]
            if before[-6:].strip(" :").upper().endswith("NDC"):
                continue  # a drug's code, 0069-0315-30
            yield ("fax" if _FAX.search(before) else "phone"), match.start(), match.end()
    for match in _LABELLED_PHONE.finditer(text):
        if _UNIT.match(text, match.end()):
            continue
        kind = "fax" if _FAX.match(match["label"]) else "phone"
        yield kind, match.start("number"), match.end("number")
