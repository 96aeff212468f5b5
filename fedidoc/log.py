"""Structured logging that cannot carry bodies, credentials or patient text.

One JSON object a line on standard error. A log line is an event's name and a few fields; fields
whose names are not listed in `_FIELDS` are refused when the line is written (an error in the code,
found by the tests), and every value is cut to 200 characters with control characters taken out.
Nothing that a person typed, no header, no body, no e-mail address, no name is among the fields.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

# What a line may say. Opaque ids, hosts, counts, durations, reasons from our own code.
_FIELDS = frozenset(
    {
        "activity_type", "attempts", "bytes", "cause", "code", "count", "database", "dead",
        "done", "effect", "error", "event", "host", "job", "method", "ms", "object",
        "peer", "port", "queue", "reason", "route", "scheme", "seconds", "software",
        "status", "version", "waiting", "worker",
    }
)  # fmt: skip
_LIMIT = 200


class UnknownField(TypeError):
    """The code tried to log a field that is not listed."""


class Log:
    """`log = Log("inbox"); log.info("refused", host=..., reason=...)`."""

    def __init__(self, room: str) -> None:
        self._logger = logging.getLogger(f"fedidoc.{room}")
        self._room = room

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        unknown = fields.keys() - _FIELDS
        if unknown:
            raise UnknownField(f"log fields not allowed: {', '.join(sorted(unknown))}")
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"fields": fields, "room": self._room})


def cause_of(error: BaseException) -> str:
    """An exception as a log field: its class only, since messages may quote what was sent."""
    return type(error).__name__


def _clean(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)[: _LIMIT + 1]
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "room": getattr(record, "room", record.name),
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            # A library's own message may quote anything that was sent: only where it came from.
            line["event"] = "library_message"
            line["cause"] = f"{record.module}:{record.lineno}"
        else:
            line["event"] = record.getMessage()
            line.update({name: _clean(value) for name, value in fields.items()})
        return json.dumps(line, ensure_ascii=False)


def configure(level: str = "info") -> None:
    """Send all logging through the formatter above; libraries only from warnings upward."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fedidoc").setLevel(level.upper())
