"""The professions that NUCC's taxonomy codes stand for. Pure.

NUCC groups its codes: "Allopathic & Osteopathic Physicians", "Physician Assistants & Advanced
Practice Nursing Providers", "Student, Health Care". A register that gives somebody a code of a
group says which profession they have; one code, 390200000X, is that of all who are in training.
"""

from __future__ import annotations

from typing import Final

from fedidoc.model import Role

IN_TRAINING: Final = "390200000X"

_DOCTORS: Final = frozenset({Role.PHYSICIAN, Role.RESIDENT})
_PHYSICIANS: Final = "allopathic & osteopathic physicians"
_ADVANCED: Final = "physician assistants & advanced practice nursing providers"
_ADVANCED_ROLES: Final = {
    "nurse practitioner": frozenset({Role.NURSE_PRACTITIONER}),
    "physician assistant": frozenset({Role.PHYSICIAN_ASSISTANT}),
}
# How codes begin, for as long as the list itself is not imported.
_BEGINNINGS: Final = {
    "20": _DOCTORS,
    "363L": _ADVANCED_ROLES["nurse practitioner"],
    "363A": _ADVANCED_ROLES["physician assistant"],
}


def professions_of(code: str, group: tuple[str, str] | None = None) -> frozenset[Role]:
    """The professions that somebody with this code may have; none for all that is not medicine.

    `group` is the code's grouping and classification in NUCC's list, None where it is not loaded or
    has no such code. A resident may have a physician's code already; a student has none but the one
    of training.
    """
    if code == IN_TRAINING:
        return frozenset({Role.STUDENT, Role.RESIDENT})
    if group is None:
        return next((r for start, r in _BEGINNINGS.items() if code.startswith(start)), frozenset())
    grouping, classification = (" ".join(words.casefold().split()) for words in group)
    if grouping == _PHYSICIANS:
        return _DOCTORS
    if grouping == _ADVANCED:
        return _ADVANCED_ROLES.get(classification, frozenset())
    return frozenset()
