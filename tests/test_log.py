from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fedidoc import log as house


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What would be written to standard error, with logging set up as the server does."""
    root, ours = logging.getLogger(), logging.getLogger("fedidoc")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    house.configure("info")
    written = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def test_a_line_is_one_json_object_with_an_event_and_its_fields(lines: io.StringIO) -> None:
    house.Log("inbox").info("refused", host="society.example", status=401, reason="date_old")
    line = json.loads(lines.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "room": "inbox",
        "event": "refused",
        "host": "society.example",
        "status": 401,
        "reason": "date_old",
    }


@pytest.mark.parametrize("name", ["body", "text", "email", "password", "headers", "name", "title"])
def test_a_field_that_could_carry_clinical_text_is_refused_at_any_level(name: str) -> None:
    with pytest.raises(house.UnknownField):
        house.Log("inbox").debug("refused", **{name: "x"})


def test_values_are_cut_and_cannot_forge_a_second_line(lines: io.StringIO) -> None:
    house.Log("inbox").info("refused", reason='x\n{"level":"info"}\x1b[31m', host="h" * 5_000)
    house.Log("inbox").info("refused", reason="\x9b31m \u202egnihsiw \u2028 \x85")
    written = lines.getvalue()
    assert written.count("\n") == 2
    assert len(written.splitlines()) == 2  # nor by what other programs take for a line's end
    assert all(c.isprintable() for c in written.replace("\n", ""))
    line = json.loads(written.splitlines()[0])
    assert len(line["host"]) == 200
    assert line["host"].endswith("…")


def test_levels_are_kept(lines: io.StringIO) -> None:
    log = house.Log("jobs")
    log.debug("quiet")
    assert lines.getvalue() == ""
    log.warning("loud")
    log.error("louder")
    assert [json.loads(line)["level"] for line in lines.getvalue().splitlines()] == [
        "warning",
        "error",
    ]


def test_a_library_cannot_put_what_was_sent_into_the_log(lines: io.StringIO) -> None:
    logging.getLogger("aiohttp.server").error("Bad request: %s", "SSN 078-05-1120")
    assert "078" not in lines.getvalue()
    line = json.loads(lines.getvalue())
    assert line["event"] == "library_message"
    assert "test_log" in line["cause"]


def test_an_exception_in_a_library_is_logged_without_its_words(lines: io.StringIO) -> None:
    try:
        raise ValueError("John Doe, MRN 12345678")
    except ValueError as error:
        logging.getLogger("uvicorn.error").exception("failed")
        assert house.cause_of(error) == "ValueError"
    assert "Doe" not in lines.getvalue()
    assert "Traceback" not in lines.getvalue()
