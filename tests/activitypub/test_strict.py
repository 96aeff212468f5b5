"""JSON read strictly: what two readers could understand differently is refused."""

import time
from pathlib import Path

import pytest

from fedidoc.activitypub.errors import DocumentError
from fedidoc.activitypub.strict import Limits, decode

# Valid JSON that is refused here all the same, and why (RFC 7493 and our databases).
STRICTER = {
    "y_object_duplicated_key.json": "duplicate_key",
    "y_object_duplicated_key_and_value.json": "duplicate_key",
    "y_object_escaped_null_in_key.json": "nul_character",
}


def reason_of(body: bytes | str, limits: Limits | None = None) -> str:
    with pytest.raises(DocumentError) as caught:
        decode(body, limits)
    return caught.value.reason


def test_json_test_suite(corpora: Path) -> None:
    accepted, refused = [], []
    for path in sorted((corpora / "JSONTestSuite").glob("*.json")):
        try:
            decode(path.read_bytes())
        except DocumentError as error:
            refused.append(path.name)
            assert error.reason == STRICTER.get(path.name, error.reason)
        else:
            accepted.append(path.name)
    assert len(accepted) > 30
    assert len(refused) > 90
    assert [name for name in accepted if name.startswith("n_")] == []
    assert {name for name in refused if name.startswith("y_")} == set(STRICTER)
    # What the suite leaves open: lone surrogates, overflowing numbers, other encodings.
    assert [name for name in accepted if name.startswith("i_")] == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"a":1,"a":2}', "duplicate_key"),
        ('{"a":1,"\\u0061":2}', "duplicate_key"),
        ('{"x":[{"y":{"id":1,"id":1}}]}', "duplicate_key"),
        ('{"a":NaN}', "bad_json"),
        ('{"a":-Infinity}', "bad_json"),
        ('{"a":1e999}', "number_too_large"),
        ('{"a":9007199254740993}', "number_too_large"),
        ('{"a":-9007199254740993}', "number_too_large"),
        ('{"a":' + "9" * 500_000 + "}", "number_too_large"),
        ('{"a":"\\ud800"}', "bad_encoding"),
        ('{"\\uDFFF":1}', "bad_encoding"),
        ('{"a":"\ud800"}', "bad_encoding"),
        ('{"a":"\\u0000"}', "nul_character"),
        (b'{"a":"\xff"}', "bad_encoding"),
        (b'\xef\xbb\xbf{"a":1}', "bad_json"),
        ("", "bad_json"),
        ('{"a":1} {"a":2}', "bad_json"),
        ('{"a":"\t"}', "bad_json"),
    ],
)
def test_refused(body: bytes | str, reason: str) -> None:
    assert reason_of(body) == reason


def test_accepted_at_the_edges() -> None:
    assert decode('{"a":9007199254740992}') == {"a": 1 << 53}
    assert decode('"\\ud83d\\ude00"') == "😀"
    assert decode('"\\\\u0000 \\\\ud800"') == "\\u0000 \\ud800"


def test_size_is_bytes() -> None:
    limits = Limits(max_bytes=6)
    assert decode('"éé"', limits) == "éé"
    assert reason_of('"ééé"', limits) == "too_large"
    assert reason_of(b'"1234567"', limits) == "too_large"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    assert decode(opening * 31 + "[]" + closing * 31)
    assert reason_of(opening * 32 + "[]" + closing * 32) == "too_deep"
    assert reason_of(opening * 150_000) == "too_deep"


def test_brackets_in_text_are_not_depth() -> None:
    text = '{"a":"' + "[{" * 5_000 + '\\"[[\\\\","b":[]}'
    assert decode(text)["b"] == []
    # A quoted bracket must not hide a real one, nor an escaped quote the end of a string.
    assert reason_of('{"a":"\\\\","b":' + "[" * 40 + "]" * 40 + "}") == "too_deep"


@pytest.mark.parametrize(
    "body",
    [
        "[" * 40 + '"' + '\\"' * 500_000,
        "[" * 40 + '"' * 900_001,
        '{"a":"' + "\\u0000" * 170_000 + '"}',
        "[" + "{}," * 340_000 + "{}]",
        "[" * 40 + "\\" * 1_000_000,
    ],
)
def test_hostile_texts_are_bounded_in_time(body: str) -> None:
    started = time.process_time()
    try:
        decode(body, Limits(max_bytes=1 << 20))
    except DocumentError:
        pass
    assert time.process_time() - started < 2
