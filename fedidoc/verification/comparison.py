"""A claim beside a register's row, field by field, for a person to judge.

Registers write names in capitals without accents, shorten them, and keep maiden names for years; so
names are compared loosely and the result is a word, not a decision. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fedidoc.model import Role, Specialty
from fedidoc.verification.professions import professions_of
from fedidoc.verification.registries import Licence, RegisterRow


class Mark(StrEnum):
    SAME = "same"
    SIMILAR = "similar"
    DIFFERENT = "different"
    MISSING = "missing"  # one side does not say


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of both sides. `note` says in words what a reviewer should know, or is empty."""

    field: str
    claimed: str
    registered: str
    mark: Mark
    note: str = ""


# Names that stand for each other in the United States' registers, one family a line.
_FAMILIES: Final = """
abigail abby abbie gail
albert al bert
alexander alex sasha xander
alexandra alex sandra sasha
andrew andy drew
anthony tony
barbara barb
benjamin ben
catherine katherine kathryn katharine cathy kathy kate katie cate
charles charlie chuck
christina christine chris tina christy
christopher chris
daniel dan danny
david dave
deborah debra debbie deb
donald don
edward ed eddie ted
elizabeth elisabeth liz beth betty eliza lisa
eugene gene
frances fran
francis frank
frederick fred
gerald jerry
gregory greg
harold hal
henry harry hank
jacob jake
james jim jimmy jamie
jeffrey jeff geoffrey
jennifer jen jenny
jessica jess
john jack johnny jon
jonathan jon
joseph joe joey
joshua josh
judith judy
kenneth ken
lawrence larry laurence
leonard leo len
margaret maggie meg peggy marge
martin marty
matthew matt
michael mike mick
mohammed mohammad muhammad mohamed
nathaniel nathan nate
nicholas nick
pamela pam
patricia pat patty trish
patrick pat
peter pete
philip phillip phil
raymond ray
rebecca becky becca
richard rick dick rich
robert bob rob bobby bert
ronald ron
samuel sam
stephen steven steve
stephanie steph
susan sue susie
theodore ted theo
thomas tom tommy
timothy tim
victoria vicky tori
vincent vince
walter walt
william bill will billy liam
zachary zach zack
"""
_KIN: Final[dict[str, set[str]]] = {}
for _line in _FAMILIES.split("\n"):
    for _name in _line.split():
        _KIN.setdefault(_name, set()).update(_line.split())

# Letters that do not decompose into a base letter and an accent.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d", "ð": "d", "Ð": "d", "þ": "th",
     "Þ": "th", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ı": "i"}
)  # fmt: skip
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa"})
# What people write around their names. Some of these are names too (Minh Do, Md Rahman).
_TITLES: Final = frozenset(
    (
        "dr", "prof", "md", "do", "mbbs", "mbchb", "np", "pa", "rn", "dnp", "phd", "mph", "facs",
        "facp", "facc", "jr", "sr", "ii", "iii", "iv",
    )
)  # fmt: skip
_BEST: Final = (Mark.SAME, Mark.SIMILAR, Mark.DIFFERENT)


def surnames_in(name: str) -> tuple[str, ...]:
    """What may be the surname, folded, of somebody who writes their name so: each word but the
    first by itself, the first too (some write it in front), and the last ones together."""
    words = [w for w in _words(name) if w not in _TITLES] or _words(name)
    ends = [" ".join(words[at:]) for at in range(1, len(words))]
    return tuple(dict.fromkeys([*ends, *words[1:], *words[:1]]))[:24]


def compare_names(claimed: str, row: RegisterRow) -> Mark:
    """`same` but for case, accents, punctuation and middle names; `similar` with a nickname, an
    initial, a part of a double surname, a spelling of an umlaut or a slip of one letter."""
    words = _words(claimed)
    readings = _readings(row)
    if not words or not readings:
        return Mark.MISSING
    bare = [w for w in words if w not in _TITLES]
    marks = {_compare(claimed, parts, *reading) for parts in (words, bare) for reading in readings}
    return next(mark for mark in _BEST if mark in marks)


def _readings(row: RegisterRow) -> list[tuple[list[str], list[str], list[str]]]:
    """First, middle and last names. A register with one column for all may mean several things."""
    if row.last_name:
        parts = _words(row.first_name), _words(row.middle_name), _words(row.last_name)
        return [parts] if parts[2] else []
    family, comma, given = row.full_name.partition(",")
    if comma:
        return [(_words(given)[:1], _words(given)[1:], _words(family))] if _words(family) else []
    whole = [w for w in _words(row.full_name) if w not in _TITLES]
    if len(whole) < 2:
        return []
    nobody: list[str] = []
    splits = [(whole[:at], nobody, whole[at:]) for at in range(1, len(whole))]
    return [*splits, (whole[:1], whole[1:-1], whole[-1:]), (whole[-1:], nobody, whole[:-1])]


def _compare(
    claimed: str, parts: list[str], first: list[str], middle: list[str], last: list[str]
) -> Mark:
    if len(parts) < 2:
        return Mark.DIFFERENT
    if (_ends(parts, last) and _begins(parts, first)) or parts == last + first:
        return Mark.SAME
    if _surname_like(claimed, parts, last) and _given_like(parts, first, middle):
        return Mark.SIMILAR
    return Mark.DIFFERENT


def _surname_like(claimed: str, parts: list[str], last: list[str]) -> bool:
    # A double name of which one side has but one half.
    if _ends(parts, last) or parts[-1] in last or last[-1] in parts[1:]:
        return True
    spelt = _words(claimed.lower().translate(_UMLAUTS))
    whole = "".join(last)
    if "".join(spelt[1:]).endswith(whole) or "".join(parts[1:]).endswith(whole):
        return True
    return len(parts[-1]) > 4 and _one_edit(whole, parts[-1])


def _given_like(parts: list[str], first: list[str], middle: list[str]) -> bool:
    given = parts[0]
    known = first[:1] + middle[:1]
    if not known:
        return False
    for name in known:
        if given == name or name in _KIN.get(given, ()):
            return True
        if len(given) == 1 or len(name) == 1:
            if given[0] == name[0]:
                return True
        elif len(given) > 3 and len(name) > 3 and _one_edit(given, name):
            return True
    # Somebody who goes by a middle name writes it second.
    return len(parts) > 2 and bool(first) and first[0] in parts[:-1]


def _ends(parts: list[str], last: list[str]) -> bool:
    return len(parts) > len(last) > 0 and parts[-len(last) :] == last


def _begins(parts: list[str], first: list[str]) -> bool:
    return bool(first) and parts[: len(first)] == first


def fold(text: str) -> str:
    """Lower case without accents; what is not a letter or digit becomes one blank."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    plain = re.sub(r"['\u2019`.]", "", plain)
    return " ".join(re.sub(r"[^\w]|_", " ", plain).split())


def _words(text: str) -> list[str]:
    return fold(text).split()


def _one_edit(a: str, b: str) -> bool:
    """Whether one letter inserted, left out, changed, or swapped with its neighbour makes `b`."""
    if a == b:
        return True
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    rest_a, rest_b = a[start:], b[start:]
    return (
        rest_a[1:] == rest_b[1:]
        or rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or (rest_a[:2] == rest_b[:2][::-1] and rest_a[2:] == rest_b[2:])
    )


def compare_licences(number: str, state: str, row: RegisterRow) -> Difference:
    """The claimed licence number against those the register has for that very state (or country).

    A list that does not say for which state its licences are has them for any.

    Punctuation, case and leading zeros do not count, nor the letters in front that some boards
    leave out (MD012345, 12345): those are `similar`.
    """
    here = [licence for licence in row.licences if licence.state in (state, "")]
    elsewhere = [licence for licence in row.licences if licence.state not in (state, "")]
    registered = ", ".join(dict.fromkeys(_licence(x.number, x.state) for x in row.licences))
    claimed = _licence(number, state) if number else ""

    def result(mark: Mark, note: str = "") -> Difference:
        return Difference("licence", claimed, registered, mark, note)

    plain = _plain(number)
    if not plain:
        return result(Mark.MISSING, "No licence number was given.")
    if not here:
        if any(_plain(x.number) == plain for x in elsewhere):
            return result(Mark.DIFFERENT, "The register has this number for another state.")
        return result(Mark.MISSING, "The register has no licence for this state.")
    if any(_plain(x.number) == plain for x in here):
        return result(Mark.SAME)
    digits = _digits(number)
    if digits and any(_digits(x.number) == digits for x in here):
        return result(Mark.SIMILAR, "The digits agree, the letters do not.")
    return result(Mark.DIFFERENT)


def _licence(number: str, state: str) -> str:
    return f"{number} ({state})" if state else number


def matching_licences(number: str, state: str, row: RegisterRow) -> list[Licence]:
    """Those of the row that are the claimed one, or nearly (`compare_licences`)."""
    plain, digits = _plain(number), _digits(number)
    here = [licence for licence in row.licences if plain and licence.state in (state, "")]
    same = [licence for licence in here if _plain(licence.number) == plain]
    return same or [x for x in here if digits and _digits(x.number) == digits]


def _plain(number: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", number.upper()).lstrip("0")


def _digits(number: str) -> str:
    return re.sub(r"[^0-9]", "", number).lstrip("0")


def compare_specialties(
    claimed: Specialty | None, row: RegisterRow, labels: dict[str, str]
) -> Difference:
    """`similar` when only the classification (the first four characters of the code) agrees.

    A register with words of its own, in whatever language, is compared by a person.
    """
    codes = [f"{labels.get(c, 'unknown')} ({c})" for c in row.taxonomies]
    registered = ", ".join(codes or row.specialties)
    words = f"{claimed.label} ({claimed.code})" if claimed else ""
    note = ""
    if claimed is None or not registered:
        mark = Mark.MISSING
    elif not row.taxonomies:
        same = fold(claimed.label) in [fold(own) for own in row.specialties]
        mark = Mark.SAME if same else Mark.MISSING
        note = "" if same else "The register has words of its own."
    elif claimed.code in row.taxonomies:
        mark = Mark.SAME
    elif any(code[:4] == claimed.code[:4] for code in row.taxonomies):
        mark = Mark.SIMILAR
    else:
        mark = Mark.DIFFERENT
    return Difference("specialty", words, registered, mark, note)


def compare_professions(
    claimed: Role, row: RegisterRow, groups: Mapping[str, tuple[str, str]] = MappingProxyType({})
) -> Difference:
    """Whether the register's words or codes stand for the profession that is claimed.

    `groups` has NUCC's grouping and classification of codes, where that list is loaded.
    """
    registered = ", ".join(p for p in (row.credential, *row.professions, *row.taxonomies) if p)
    fitting = [professions_of(code, groups.get(code)) for code in row.taxonomies]
    if row.roles is not None:
        fitting.append(row.roles)
    note = ""
    if not fitting:
        mark = Mark.MISSING
    elif any(claimed in roles for roles in fitting):
        mark = Mark.SAME
    else:
        mark = Mark.DIFFERENT
        meant = sorted({role.value.replace("_", " ") for roles in fitting for role in roles})
        note = f"The register's entry is for: {', '.join(meant) or 'another profession'}."
    return Difference("profession", claimed.value.replace("_", " "), registered, mark, note)


def compare_status(row: RegisterRow) -> Difference:
    """Whether the entry is a person's and in force."""
    if row.organisation:
        return Difference(
            "status", "a person", "an organisation", Mark.DIFFERENT,
            f"This number belongs to {row.last_name or 'an organisation'}, not to a person.",
        )  # fmt: skip
    if row.deactivated and not row.active:
        return Difference(
            "status", "active", f"deactivated on {row.deactivated}", Mark.DIFFERENT,
            "The register has deactivated this number.",
        )  # fmt: skip
    if not row.active:
        return Difference(
            "status", "active", row.status or "not active", Mark.DIFFERENT,
            "The register says that this entry is not in force.",
        )  # fmt: skip
    note = f"Reactivated on {row.reactivated}." if row.reactivated else ""
    return Difference("status", "active", row.status or "active", Mark.SAME, note)


def compare_expiry(day: str, today: str) -> Difference:
    """A licence's last day and today's date, both ISO."""
    if day < today:
        return Difference("expires", "", day, Mark.DIFFERENT, "The licence has run out.")
    return Difference("expires", "", day, Mark.SAME)


def compare_names_field(claimed: str, row: RegisterRow) -> Difference:
    return Difference("name", claimed, row.name, compare_names(claimed, row))
