"""Builders: values of this instance in, ActivityPub documents out. Pure.

No database, no HTTP, no clock. Documents come without `@context`; `whole` puts the one fixed one
on top of what leaves, since several peers refuse a second one inside.
"""

from fedidoc.activitypub.documents import CONTEXT, dump

__all__ = ["whole", "write"]


def whole(document: dict[str, object]) -> dict[str, object]:
    """The document as it leaves, with the fixed context on top."""
    return {"@context": CONTEXT, **document}


def write(document: dict[str, object]) -> bytes:
    """The bytes that leave: the document with its context, compact UTF-8."""
    return dump(whole(document))
