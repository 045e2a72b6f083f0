from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.foreign_json import read_json, read_object
from rebuilder.errors import InvalidJson

DEEP = "[" * 64 + "]" * 64


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, -2.5, true, null, "\xc3\xa9"]}', {"a": [1, -2.5, True, None, "é"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('["é", "\\ud83d\\ude00"]', ["é", "😀"]),
        (DEEP, json.loads(DEEP)),
        ("9" * 40, int("9" * 40)),
        # What is inside of a string is no bracket, no comma and no half of a character.
        (json.dumps("[{," * 100_000), "[{," * 100_000),
        (json.dumps('\\"[' * 1000), '\\"[' * 1000),
        (json.dumps("\\ud800"), "\\ud800"),
    ],
)
def test_what_is_json_is_read(text: str | bytes, value: object) -> None:
    """Within the bounds the answer is the standard reader's."""
    assert read_json(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: Expecting value"),
        ("{", "not JSON"),
        ('{"a": 1,}', "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        ("[" * 100_000, "nested deeper than 64"),
        ('{"a":' * 100_000, "nested deeper than 64"),
        ("[" + "1," * 200_001 + "1]", "more than 200000 values"),
        ("[[]" + ",[]" * 100_000 + "]", "more than 200000 values"),
        ("9" * 41, "a number of more than 40 digits"),
        ("-" + "9" * 5000, "a number of more than 40 digits"),
        ("1e999", "too large or too long"),
        ("0." + "1" * 5000, "too large or too long"),
        ("NaN", "NaN, which is no number"),
        ("[-Infinity]", "-Infinity, which is no number"),
        ('"\\ud800"', "half a character"),
        ('{"\\uDFFF": 1}', "half a character"),
        ('["\ud800"]', "half a character"),
        ('"' + "a" * 4 * 1024 * 1024, "longer than 4194304 bytes"),
    ],
)
def test_what_is_none_or_too_much_is_refused(text: str | bytes, reason: str) -> None:
    """One error, with the reason."""
    with pytest.raises(InvalidJson, match=reason):
        read_json(text)


def test_the_caller_may_set_a_limit() -> None:
    """It counts bytes."""
    assert read_json(b'"ab"', limit=4) == "ab"
    with pytest.raises(InvalidJson, match="longer than 3 bytes"):
        read_json(b'"ab"', limit=3)


def test_half_characters_may_be_mended() -> None:
    """Where one bad event must not cost the others, the halves become question marks."""
    text = '{"a\\ud800": ["\\udfff", "\\ud83d\\ude00", "é"]}'

    assert read_json(text, repair=True) == {"a?": ["?", "😀", "é"]}


def test_an_object_is_an_object() -> None:
    """Anything else is refused by its kind."""
    assert read_object("{}") == {}
    with pytest.raises(InvalidJson, match="list, not an object"):
        read_object("[]")


@pytest.mark.parametrize("secret", ["s3cr3t", '{"token": s3cr3t}', '{"token": "s3cr3t'])
def test_an_error_tells_nothing_of_the_text(secret: str) -> None:
    """Tokens are read so, too."""
    with pytest.raises(InvalidJson) as raised:
        read_json(secret)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    "piece", ["[[],", '["",', '{"":{},', '"\\"', "[1,", "{", "[257,", '"a":[', '\\ud800"']
)
def test_four_megabytes_of_anything_stay_small(piece: str) -> None:
    """Memory is bounded whatever it is made of, and it comes to an end."""
    text = (piece * (4 * 1024 * 1024 // len(piece))).encode()
    tracemalloc.start()
    with pytest.raises(InvalidJson):
        read_json(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 32 * 1024 * 1024


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_whatever_was_written_is_read(value: Any) -> None:  # noqa: ANN401 - JSON
    """The bounds change no answer."""
    try:
        assert read_json(json.dumps(value)) == value
    except InvalidJson as error:
        assert "digits" in str(error) or "large" in str(error)  # noqa: PT017


@given(st.text() | st.binary())
def test_nothing_else_is_raised(text: str | bytes) -> None:
    """Whatever comes ends in a value or in the one error."""
    try:
        read_json(text)
    except InvalidJson:
        return
