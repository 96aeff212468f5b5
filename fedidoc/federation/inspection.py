"""`fedidoc inspect`: what this instance's inbox would do with a document in a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from fedidoc.activitypub.documents import Limits
from fedidoc.activitypub.inspect import inspect_bytes


def inspect_file(path: Path, limits: Limits | None = None) -> dict[str, Any]:
    """One judged file as a record; never raises for what the file is or holds.

    `ok` is false when the file cannot be read or an inbox would refuse it; then `reason` is a
    machine word that says why. The rest is `activitypub.inspect.Inspection`.
    """
    limits = limits or Limits()
    record: dict[str, Any] = {
        "file": os.fsencode(path).decode("utf-8", "replace"),
        "ok": False,
        "type": None,
        "object_type": None,
        "actor": None,
        "audience": "none",
        "effect": "refuse",
    }
    try:
        body = _read(path, limits.max_bytes)
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        return record | {"reason": "not_a_file" if kind == "ValueError" else "unreadable"}
    judged = inspect_bytes(body, limits)
    return record | {
        "ok": judged.effect != "refuse",
        "type": judged.type,
        "object_type": judged.object_type,
        "actor": judged.actor,
        "audience": judged.audience,
        "effect": judged.effect,
        "reason": judged.reason,
    }


def _read(path: Path, most: int) -> bytes:
    """The bytes of a regular file, one more than `most` at most; a pipe would wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError
        return file.read(most + 1)
