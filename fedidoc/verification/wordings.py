"""Words that a reviewer may begin a decision with, and change before they are sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fedidoc.config import ReviewTemplate


@dataclass(frozen=True, slots=True)
class Wording:
    """`kind` is where it is offered: `approve`, `ask` or `refuse`; `name` is for a list."""

    kind: str
    name: str
    text: str


_BUILT_IN: Final = (
    Wording("approve", "Register and licence", "The register's row has the same name and licence"
            " number, and I saw the licence itself."),
    Wording("approve", "Called the employer", "I called the medical staff office on its published"
            " number; they confirmed name, profession and licence."),
    Wording("ask", "Name differs", "The register has another name for this licence number. Which"
            " name is on your licence, and has it changed?"),
    Wording("ask", "Number not found", "We cannot find this licence number. Please check it, and"
            " the state or country that gave it."),
    Wording("ask", "Document needed", "Please upload a photograph of your licence or of your"
            " hospital badge; only reviewers see it, and it is destroyed afterwards."),
    Wording("refuse", "Licence not active", "The register says that this licence is not active."
            " Apply again once it is."),
    Wording("refuse", "Could not be shown", "What you sent does not show that you are the person"
            " who holds this licence. Apply again with a document or from a hospital's e-mail."),
    Wording("refuse", "Profession not taken", "This instance is for other professions. Your"
            " application says nothing against you."),
)  # fmt: skip


def wordings(configured: Mapping[str, ReviewTemplate]) -> tuple[Wording, ...]:
    """The instance's own first, then those that come with fedidoc; one of the same kind and name
    takes the place of fedidoc's."""
    own = [
        Wording(each.kind, name.replace("-", " ").replace("_", " ").capitalize(), each.text)
        for name, each in configured.items()
    ]
    taken = {(wording.kind, wording.name) for wording in own}
    rest = [wording for wording in _BUILT_IN if (wording.kind, wording.name) not in taken]
    return (*own, *rest)
