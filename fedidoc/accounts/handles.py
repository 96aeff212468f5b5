"""What a pseudonym may be called: nothing that reads like a member's name or handle. Pure.

Handles are ASCII, so that what looks alike is a matter of digits for letters, of `rn` for `m`, and
of a letter more or less. Members' names are folded to ASCII first (Unicode NFKD without marks).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Final

from fedidoc.errors import BadInput

_HANDLE: Final = re.compile(r"[a-z0-9_]{3,30}")
# How digits and signs are read (Unicode TR 39 calls this a skeleton), for what ASCII can do.
_LIKE: Final = str.maketrans(
    {"0": "o", "1": "l", "i": "l", "2": "z", "3": "e", "4": "a", "5": "s", "6": "b", "7": "t",
     "8": "b", "9": "g", "_": "", "-": "", ".": "", " ": ""}
)  # fmt: skip
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("ph", "f"), ("ck", "k"))
# Letters that NFKD does not take apart, and those of other scripts that look like Latin ones.
_LETTERS: Final = str.maketrans(
    {"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
     "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ј": "j",
     "ѕ": "s", "к": "k", "м": "m", "т": "t", "в": "b", "н": "h", "α": "a", "ο": "o", "ρ": "p",
     "ν": "v", "τ": "t", "κ": "k", "ι": "i", "υ": "u", "ε": "e"}
)  # fmt: skip
_TITLES: Final = frozenset({"dr", "prof", "professor", "med", "md", "do", "phd", "mr", "mrs", "ms"})
_LEAST_PART: Final = 4


def check_handle(handle: str, members: Iterable[tuple[str, str]], others: Iterable[str]) -> str:
    """The handle in the spelling that is used; BadInput says what is wrong with it.

    `members` are (username, name) of everybody here; `others` are handles of pseudonyms. One's own
    name is refused like anybody's: the answer tells nothing of who asks.
    """
    handle = handle.strip().removeprefix("@").lower()
    if _HANDLE.fullmatch(handle) is None or sum(c.isalpha() for c in handle) < 3:
        raise BadInput(
            "A handle has 3 to 30 letters a to z, digits and underscores, three of them letters.",
            field="handle",
        )
    if handle in set(others):
        raise BadInput("This handle is taken; choose another.", field="handle")
    if any(is_similar(handle, username, name) for username, name in members):
        raise BadInput(
            "This reads like the name or handle of a member; choose something quite different.",
            field="handle",
        )
    return handle


def is_similar(handle: str, username: str, name: str) -> bool:
    """Whether a handle could be read as a member's username or name, or contains a part of it."""
    seen = skeleton(handle)
    parts = [part for part in _words(name) if part not in _TITLES]
    whole = [skeleton(username), skeleton("".join(parts)), skeleton("".join(reversed(parts)))]
    if len(parts) > 1:
        whole += [skeleton(parts[0][:1] + parts[-1]), skeleton(parts[-1] + parts[0][:1])]
    if any(_near(seen, other) for other in whole if other):
        return True
    long = [skeleton(part) for part in (*parts, username) if len(part) >= _LEAST_PART]
    return any(part in seen or _near(seen, part) for part in long)


def skeleton(text: str) -> str:
    """How a name looks: letters only, one for all that look like it."""
    found = _fold(text).translate(_LIKE)
    for pair, single in _PAIRS:
        found = found.replace(pair, single)
    return found


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", _fold(name))


def _near(a: str, b: str) -> bool:
    """Whether a letter more, less, other or swapped (two in longer names) makes one the other."""
    limit = 1 if min(len(a), len(b)) <= 6 else 2
    if abs(len(a) - len(b)) > limit:
        return False
    if sum(((Counter(a) - Counter(b)) + (Counter(b) - Counter(a))).values()) > 2 * limit:
        return False
    return distance(a, b) <= limit


def distance(a: str, b: str) -> int:
    """Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
