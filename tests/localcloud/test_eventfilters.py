"""Advanced filters, against the examples of "Understand event filtering"."""

from __future__ import annotations

import pytest

from localcloud.eventfilters import FilterError, parse_filters
from localcloud.state import Json

EVENT: Json = {
    "subject": "Base/Node:9",
    "data": {"size": 5, "on": True, "none": None, "tags": ["a", "b"], "target": {"tag": "Nine"}},
}


@pytest.mark.parametrize(
    ("operator", "key", "values", "passes"),
    [
        ("StringIn", "data.target.tag", ["eight", "nine"], True),
        ("StringIn", "DATA.Target.Tag", ["eight"], False),
        ("StringNotIn", "data.target.tag", ["eight"], True),
        ("StringNotIn", "data.target.tag", ["NINE"], False),
        ("StringNotIn", "data.absent.tag", ["nine"], True),
        ("StringBeginsWith", "subject", ["base/"], True),
        ("StringNotBeginsWith", "subject", ["base/"], False),
        ("StringEndsWith", "subject", [":8", ":9"], True),
        ("StringNotEndsWith", "subject", [":8"], True),
        ("StringContains", "subject", ["node"], True),
        ("StringNotContains", "subject", ["node"], False),
        ("StringContains", "data.size", ["5"], False),
        ("NumberIn", "data.size", [4, 5], True),
        ("NumberNotIn", "data.size", [4, 5], False),
        ("NumberInRange", "data.size", [[1, 4], [5, 6]], True),
        ("NumberNotInRange", "data.size", [[1, 4]], True),
        ("NumberIn", "data.on", [1], False),
        ("StringIn", "data.tags", ["a"], False),
    ],
)
def test_values(operator: str, key: str, values: list[object], passes: bool) -> None:  # noqa: FBT001 - a parameter
    """An operator with several values is met by one of them, its opposite by none."""
    (found,) = parse_filters(
        [{"operatorType": operator, "key": key, "values": values}], in_arrays=False
    )
    assert found.passes(EVENT) is passes


@pytest.mark.parametrize(
    ("operator", "key", "value", "passes"),
    [
        ("NumberLessThan", "data.size", 5, False),
        ("NumberLessThanOrEquals", "data.size", 5, True),
        ("NumberGreaterThan", "data.size", 4, True),
        ("NumberGreaterThanOrEquals", "data.size", 6, False),
        ("BoolEquals", "data.on", True, True),
        ("BoolEquals", "data.size", True, False),
    ],
)
def test_a_value(operator: str, key: str, value: object, passes: bool) -> None:  # noqa: FBT001 - a parameter
    """An operator with one value compares with it."""
    (found,) = parse_filters(
        [{"operatorType": operator, "key": key, "value": value}], in_arrays=False
    )
    assert found.passes(EVENT) is passes


def test_presence_and_arrays() -> None:
    """A key may be asked for alone, and an array passes by an element where that is wanted."""
    absent, present, element = parse_filters(
        [
            {"operatorType": "IsNullOrUndefined", "key": "data.none"},
            {"operatorType": "IsNotNull", "key": "data.size.more"},
            {"operatorType": "StringIn", "key": "data.tags", "values": ["B"]},
        ],
        in_arrays=True,
    )
    assert absent.passes(EVENT)
    assert not present.passes(EVENT)
    assert element.passes(EVENT)


@pytest.mark.parametrize(
    "entry",
    [
        {"operatorType": "StringLike", "key": "subject", "values": ["a"]},
        {"operatorType": "StringIn", "values": ["a"]},
        {"operatorType": "StringIn", "key": "subject", "values": []},
        {"operatorType": "NumberLessThan", "key": "data.size"},
        {"operatorType": "NumberInRange", "key": "data.size", "values": [[1]]},
    ],
)
def test_wrong_filters(entry: Json) -> None:
    """A filter without operator, key or values is refused."""
    with pytest.raises(FilterError):
        parse_filters([entry], in_arrays=False)
