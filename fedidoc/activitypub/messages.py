"""One HTTP request as bytes, free of any framework."""

from dataclasses import dataclass


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
        return tuple(value for field, value in self.headers if field == name)
