"""The United States' National Provider Identifier, as far as it can be judged by itself.

Ten digits, the first 1 or 2; the last is the Luhn check digit (ISO/IEC 7812) computed with the
card-issuer prefix 80840 in front (CMS, "Requirements for National Provider Identifier (NPI) and NPI
Check Digit"). Pure.
"""

from __future__ import annotations

from typing import Final

# Luhn over "80840" in front of any ten-digit number adds 24.
_PREFIX_SUM: Final = 24
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_LENGTH: Final = 10


def valid(npi: str) -> bool:
    """Whether `npi` is ten ASCII digits that begin with 1 or 2 and end with their check digit.

    Says nothing of whether the number was ever given to anybody.
    """
    if len(npi) != _LENGTH or npi[0] not in "12" or not (npi.isascii() and npi.isdigit()):
        return False
    digits = [ord(c) - 48 for c in npi]
    total = _PREFIX_SUM + sum(digits[1::2]) + sum(_DOUBLED[d] for d in digits[0::2])
    return total % 10 == 0


def normalise(text: str) -> str:
    """What a person typed without blanks and hyphens; not yet checked."""
    return "".join(c for c in text if not c.isspace() and c not in "-\u2010\u2011\u2012\u2013")
