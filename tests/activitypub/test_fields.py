"""Structured fields against the working group's own tests."""

import json
from base64 import b32decode
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from fedidoc.activitypub.fields import (
    Date,
    DisplayString,
    FieldError,
    InnerList,
    Item,
    Token,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_member,
    serialize_parameters,
)


def _plain_value(value: Any) -> Any:
    """A parsed value in the form the tests write theirs, kinds kept apart."""
    if isinstance(value, DisplayString):
        return ("displaystring", str(value))
    if isinstance(value, Token):
        return ("token", str(value))
    if isinstance(value, Date):
        return ("date", int(value))
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, Decimal):
        return ("decimal", float(value))
    if isinstance(value, int):
        return ("integer", value)
    if isinstance(value, bytes):
        return ("binary", value)
    return ("string", value)


def _plain_member(member: Any) -> Any:
    parameters = [(name, _plain_value(value)) for name, value in member.parameters.items()]
    if isinstance(member, InnerList):
        return ([_plain_member(item) for item in member.items], parameters)
    return (_plain_value(member.value), parameters)


def _expected_value(value: Any) -> Any:
    if isinstance(value, dict):
        kind = value["__type"]
        return (kind, b32decode(value["value"]) if kind == "binary" else value["value"])
    kinds = {bool: "boolean", int: "integer", float: "decimal", str: "string"}
    return (kinds[type(value)], value)


def _expected_member(member: Any) -> Any:
    value, parameters = member
    named = [(name, _expected_value(part)) for name, part in parameters]
    if isinstance(value, list):
        return ([_expected_member(item) for item in value], named)
    return (_expected_value(value), named)


def _parse(kind: str, text: str) -> Any:
    if kind == "item":
        return _plain_member(parse_item(text))
    if kind == "list":
        return [_plain_member(member) for member in parse_list(text)]
    return [(name, _plain_member(member)) for name, member in parse_dictionary(text).items()]


def _expect(case: dict[str, Any]) -> Any:
    if case["header_type"] == "item":
        return _expected_member(case["expected"])
    if case["header_type"] == "list":
        return [_expected_member(member) for member in case["expected"]]
    return [(name, _expected_member(member)) for name, member in case["expected"]]


def _serialize(kind: str, text: str) -> list[str]:
    if kind == "item":
        return [serialize_member(parse_item(text))]
    if kind == "list":
        return [", ".join(serialize_member(member) for member in parse_list(text))]
    parts = []
    for name, member in parse_dictionary(text).items():
        if isinstance(member, Item) and member.value is True:
            parts.append(name + serialize_parameters(member.parameters))
        else:
            parts.append(f"{name}={serialize_member(member)}")
    return [", ".join(parts)]


def test_working_group_vectors(corpora: Path) -> None:
    wrong: list[str] = []
    seen = 0
    for file in sorted((corpora / "structured-field-tests").glob("*.json")):
        for case in json.loads(file.read_text()):
            seen += 1
            kind, text = case["header_type"], ", ".join(case["raw"])
            label = f"{file.name}: {case['name']}"
            try:
                result = _parse(kind, text)
            except FieldError:
                if not case.get("must_fail") and not case.get("can_fail"):
                    wrong.append(f"{label}: refused")
                continue
            if case.get("must_fail"):
                wrong.append(f"{label}: accepted as {result}")
            elif result != _expect(case):
                wrong.append(f"{label}: {result}")
            else:
                canonical = [part for part in case.get("canonical", case["raw"]) if part]
                if [part for part in _serialize(kind, text) if part] != canonical:
                    wrong.append(f"{label}: serialised {_serialize(kind, text)}")
    assert seen > 200
    assert not wrong, "\n".join(wrong)


def test_working_group_serialisation_vectors(corpora: Path) -> None:
    cases: list[dict[str, Any]] = []
    for file in sorted((corpora / "structured-field-tests" / "serialisation-tests").glob("*.json")):
        cases += json.loads(file.read_text(), parse_float=Decimal)
    values = [case for case in cases if case["header_type"] == "item" and not case["expected"][1]]
    plain = [case for case in values if not isinstance(case["expected"][0], dict)]
    assert len(plain) >= 9
    for case in plain:
        item = Item(case["expected"][0])
        if case.get("must_fail"):
            with pytest.raises(FieldError):
                serialize_member(item)
        else:
            assert [serialize_member(item)] == case["canonical"], case["name"]


@pytest.mark.parametrize("text", ["a=1, a=2", "a=(1);b;b", "a=1;b=1;b=1", "a=(1;b;b)"])
def test_repetition_is_refused_where_it_would_be_ambiguous(text: str) -> None:
    parse_dictionary(text)
    with pytest.raises(FieldError):
        parse_dictionary(text, unique=True)


@pytest.mark.parametrize(
    "text",
    [
        "a=" + '"' + "\\\\" * 50_000,
        "a=(" + '"x" ' * 50_000,
        "a" + ";b" * 50_000 + ";",
        "a=:" + "A" * 100_000,
        "a=" + "-" * 100_000,
        "a" * 100_000 + "=" + "1" * 100_000,
        " " * 100_000 + "\x00",
        "a" + "\t" * 100_000 + "x",
        'a=%"' + "%61" * 50_000,
    ],
)
def test_hostile_text_costs_linear_time(text: str) -> None:
    started = process_time()
    with pytest.raises(FieldError):
        parse_dictionary(text)
    assert process_time() - started < 2
