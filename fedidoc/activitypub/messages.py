"""One HTTP request as bytes, free of any framework."""

from dataclasses import dataclass
from typing import Final

_PROFILE: Final = "https://www.w3.org/ns/activitystreams"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in or is about to go out.

    ``method`` is upper case. ``url`` is the absolute target URI as this server believes it was
    addressed (scheme, authority, path, query; no fragment): behind a proxy it is built from the
    configured domain, not from headers anybody can send. ``headers`` are (lower-case name, value)
    in the order of the message, duplicates kept, values without surrounding white space.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The field's value, several lines joined with ``", "`` (RFC 9110 section 5.3)."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """Each line of the field, in order; ``name`` is lower case."""
        return tuple([value for field, value in self.headers if field == name])


def is_activity_type(content_type: str | None) -> bool:
    """Whether a ``Content-Type`` says ActivityStreams (ActivityPub section 7, W3C AS2 section 1).

    That is ``application/activity+json``, or ``application/ld+json`` with the ActivityStreams
    profile; parameters may follow.
    """
    name, _, parameters = (content_type or "").partition(";")
    name = name.strip().lower()
    if name == "application/activity+json":
        # Two Content-Type lines, joined, must not pass for one.
        return "," not in parameters
    return name == "application/ld+json" and any(
        _PROFILE in value.strip(' "').split()
        for key, _, value in (part.partition("=") for part in parameters.split(";"))
        if key.strip().lower() == "profile"
    )
