"""Advanced filters of event subscriptions.

Source: learn.microsoft.com, "Understand event filtering for Event Grid subscriptions".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.state import Json

_ABSENT = object()

type Test = Callable[[Any, Any], bool]


def _number(value: Any) -> float | None:  # noqa: ANN401 - JSON
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _numbers(test: Callable[[float, float], bool]) -> Test:
    def compare(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - JSON
        left, right = _number(value), _number(wanted)
        return left is not None and right is not None and test(left, right)

    return compare


def _within(value: Any, bounds: Any) -> bool:  # noqa: ANN401 - JSON
    number = _number(value)
    return number is not None and bounds[0] <= number <= bounds[1]


def _texts(test: Callable[[str, str], bool]) -> Test:
    def compare(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - JSON
        # Event Grid compares strings without their case.
        return isinstance(value, str) and test(value.lower(), str(wanted).lower())

    return compare


_TESTS: dict[str, Test] = {
    "numberin": _numbers(lambda value, wanted: value == wanted),
    "numberlessthan": _numbers(lambda value, wanted: value < wanted),
    "numberlessthanorequals": _numbers(lambda value, wanted: value <= wanted),
    "numbergreaterthan": _numbers(lambda value, wanted: value > wanted),
    "numbergreaterthanorequals": _numbers(lambda value, wanted: value >= wanted),
    "numberinrange": _within,
    "boolequals": lambda value, wanted: isinstance(value, bool) and value == wanted,
    "stringin": _texts(lambda value, wanted: value == wanted),
    "stringcontains": _texts(lambda value, wanted: wanted in value),
    "stringbeginswith": _texts(lambda value, wanted: value.startswith(wanted)),
    "stringendswith": _texts(lambda value, wanted: value.endswith(wanted)),
}
# The opposite of another operator: every value must fail it, and an absent key passes.
_OPPOSITES = {
    "numbernotin": "numberin",
    "numbernotinrange": "numberinrange",
    "stringnotin": "stringin",
    "stringnotcontains": "stringcontains",
    "stringnotbeginswith": "stringbeginswith",
    "stringnotendswith": "stringendswith",
}
_PRESENCE = {"isnullorundefined": True, "isnotnull": False}


class FilterError(Exception):
    """A filter that Event Grid would refuse, with the reason."""


@dataclass(frozen=True, slots=True)
class AdvancedFilter:
    """A condition that an event must meet.

    Attributes:
        operator: In lower case: stringin, numberlessthan, isnotnull ...
        key: What is compared: `subject`, or below the data `data.target.repository`.
        values: With which values; one is enough, or for an operator with Not each must hold.
        in_arrays: Whether an array meets it by one of its elements.
    """

    operator: str
    key: str
    values: tuple[Any, ...]
    in_arrays: bool = False

    def passes(self, event: Json) -> bool:
        """Tell whether an event meets it."""
        found = _find(event, self.key)
        if self.operator in _PRESENCE:
            return (found is _ABSENT or found is None) == _PRESENCE[self.operator]
        positive = _OPPOSITES.get(self.operator)
        test = _TESTS[positive or self.operator]
        present = found is not _ABSENT and found is not None
        several = self.in_arrays and isinstance(found, list)
        candidates = found if several else [found] if present else []
        met = any(test(candidate, value) for candidate in candidates for value in self.values)
        return met != (positive is not None)


def parse_filters(entries: Sequence[Json], *, in_arrays: bool) -> tuple[AdvancedFilter, ...]:
    """Return the filters of a subscription's `advancedFilters`.

    Raises:
        FilterError: One has no such operator, no key, or no value.
    """
    return tuple(_parse(entry, in_arrays=in_arrays) for entry in entries)


def _parse(entry: Json, *, in_arrays: bool) -> AdvancedFilter:
    name, key = str(entry.get("operatorType") or ""), str(entry.get("key") or "")
    operator = name.lower()
    if operator not in _TESTS and operator not in _OPPOSITES and operator not in _PRESENCE:
        raise FilterError(f"advancedFilters: there is no operator {name!r}")
    if not key:
        raise FilterError(f"advancedFilters: {name} has no key")
    if operator in _PRESENCE:
        return AdvancedFilter(operator, key, (), in_arrays)
    values: list[Any] = entry["values"] if "values" in entry else [entry.get("value")]
    ranges = operator.endswith("inrange")
    if not values or None in values or (ranges and any(len(bounds) != 2 for bounds in values)):  # noqa: PLR2004 - from, to
        raise FilterError(f"advancedFilters: {name} of {key} has no values")
    kept = tuple(tuple(value) if isinstance(value, list) else value for value in values)
    return AdvancedFilter(operator, key, kept, in_arrays)


def _find(event: Json, key: str) -> Any:  # noqa: ANN401 - JSON
    found: Any = event
    for part in key.split("."):
        if not isinstance(found, dict):
            return _ABSENT
        # Event Grid finds keys without their case.
        names = {name.lower(): name for name in found}
        if part.lower() not in names:
            return _ABSENT
        found = found[names[part.lower()]]
    return found
