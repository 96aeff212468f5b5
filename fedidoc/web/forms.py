"""A form as it came: what was typed, what is wrong with it, and what the guard found in it.

Nothing typed is ever lost: a page that refuses a form shows the same `Form` again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quart import request
from werkzeug.datastructures import MultiDict

from fedidoc.clinical.phi import Finding, IdentifiersFound
from fedidoc.errors import BadInput

_PLACE = re.compile(r"(case|apply|settings)|(answer|edit|close|review):([0-9a-z]{1,40})")

# Fields that steer a form and are no part of what somebody wrote.
STEERING = frozenset({"csrf", "once", "action", "place", "next"})


@dataclass(slots=True)
class Form:
    """`values` as typed; `errors` and `findings` by field; the empty field is the whole form."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    findings: dict[str, tuple[Finding, ...]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """What stands in a field; empty if nothing does."""
        return self.values.get(name, "")

    def line(self, name: str) -> str:
        """A field of one line, with its spaces put in order."""
        return " ".join(self.get(name).split())

    def tidy(self, *names: str) -> None:
        """Take blanks off both ends, so that the guard's marks fit what is shown."""
        for name in names:
            if name in self.values:
                self.values[name] = self.values[name].strip()

    def chosen(self, name: str) -> tuple[str, ...]:
        """All values of a field that may be ticked more than once."""
        return self.lists.get(name, ())

    def ticked(self, name: str) -> bool:
        return bool(self.get(name))

    def refuse(self, name: str, text: str) -> None:
        """Put an error beside a field; the first one stays."""
        self.errors.setdefault(name, text)

    def refuse_for(self, error: BadInput, *, otherwise: str = "") -> None:
        """Put a room's refusal beside the field that it names."""
        if isinstance(error, IdentifiersFound):
            self.findings.update({name: tuple(found) for name, found in error.findings.items()})
            for name in error.findings:
                self.refuse(name, "The guard held this text back: see below it.")
        else:
            self.refuse(error.field or otherwise, error.text)

    @property
    def wrong(self) -> bool:
        return bool(self.errors)

    def draft(self) -> dict[str, str]:
        """What is worth keeping: the words, without what steers the form or is secret."""
        return {
            name: value
            for name, value in self.values.items()
            if name not in STEERING and "password" not in name and value.strip()
        }


def read(fields: MultiDict[Any, str]) -> Form:
    """A Form from what was sent: line ends made one kind, zero bytes and stray halves taken out."""
    form = Form()
    for name, values in fields.lists():
        if not isinstance(name, str):
            continue  # a part of a multipart form may have no name
        cleaned = tuple(_clean(value) for value in values if isinstance(value, str))
        if cleaned:
            form.values[name] = cleaned[0]
            form.lists[name] = cleaned
    return form


async def sent() -> Form:
    """The form of this request."""
    return read(await request.form)


def filled(values: Mapping[str, str], lists: Mapping[str, Iterable[str]] | None = None) -> Form:
    """A form to begin with."""
    return Form(dict(values), {name: tuple(items) for name, items in (lists or {}).items()})


def _clean(value: str) -> str:
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    # A lone surrogate is no text: no database takes it.
    return value.encode("utf-8", "replace").decode("utf-8")


def place_path(place: str) -> str | None:
    """The page of the form that a draft belongs to; None if there is no such place."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return None
    alone, kind, subject = found.groups()
    if alone:
        return {"case": "/cases/new", "apply": "/apply", "settings": "/settings"}[alone]
    if kind == "answer":
        return f"/cases/{subject}?answer={subject}#answer-form"
    return f"/admin/reviews/{subject}" if kind == "review" else f"/cases/{subject}/{kind}"
