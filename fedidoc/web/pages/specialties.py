"""Choosing a specialty by typing: a label of the list, or a NUCC code."""

from __future__ import annotations

from fedidoc.model import Specialty
from fedidoc.web import gate
from fedidoc.web.forms import Form


async def chosen_specialty(form: Form, name: str = "specialty") -> Specialty | None:
    """The specialty in a field; None if it is empty. What is in no list is refused beside it."""
    typed = form.line(name)
    if not typed:
        return None
    specialties = gate.services().specialties
    found = await specialties.find(typed)
    if found is None:
        wanted = typed.casefold()
        common = await specialties.common()
        exact = [s for s in common if s.label.casefold() == wanted]
        partly = exact or [s for s in common if wanted in s.label.casefold()]
        found = partly[0] if len(partly) == 1 else None
    if found is None:
        form.refuse(name, "Choose a specialty from the list that opens as you type.")
    return found
