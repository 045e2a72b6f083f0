"""The $filter of runs: OData's comparisons, `contains`, `and`, `or`, parentheses.

Source of the fields and the limits: RunFilter in azure-mgmt-containerregistry 10.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from localcloud.arm.errors import ArmError
from localcloud.state import Json

_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([(),])|([^\s(),']+))")
_FIELDS = {
    "runid": "runId",
    "runtype": "runType",
    "status": "status",
    "createtime": "createTime",
    "finishtime": "finishTime",
    "outputimagemanifests": "outputImages",
    "isarchiveenabled": "isArchiveEnabled",
    "taskname": "task",
    "agentpoolname": "agentPoolName",
}
_TIMES = frozenset({"createTime", "finishTime"})
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}

type Predicate = Callable[[Json], bool]


def parse_filter(text: str, *, mind_case: bool = False) -> Predicate:
    """Return what a $filter asks of a run's properties; text is compared with its case or not.

    Raises:
        ArmError: It is not such a filter.
    """
    parser = _Parser(text, mind_case=mind_case)
    predicate = parser.either()
    if parser.tokens:
        raise parser.wrong()
    return predicate


class _Parser:
    def __init__(self, text: str, *, mind_case: bool) -> None:
        self._text = text
        self._mind_case = mind_case
        self.tokens: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.wrong()
            self.tokens.append(match[0].strip())
            position = match.end()

    def wrong(self) -> ArmError:
        return ArmError(400, "InvalidFilter", f"The filter {self._text!r} is not supported.")

    def _next(self) -> str:
        if not self.tokens:
            raise self.wrong()
        return self.tokens.pop(0)

    def _take(self, word: str) -> bool:
        if self.tokens and self.tokens[0].lower() == word:
            self.tokens.pop(0)
            return True
        return False

    def either(self) -> Predicate:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return lambda run: any(part(run) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return lambda run: all(part(run) for part in parts)

    def _one(self) -> Predicate:
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise self.wrong()
            return inner
        if self._take("contains"):
            if not self._take("("):
                raise self.wrong()
            field = self._field()
            if not self._take(","):
                raise self.wrong()
            wanted = self._value()
            if not self._take(")"):
                raise self.wrong()
            return lambda run: wanted in _value_of(run, field)
        field = self._field()
        compare = _COMPARISONS.get(self._next().lower())
        if compare is None:
            raise self.wrong()
        mind = self._mind_case
        wanted = _comparable(self._value(), field, mind_case=mind)
        if not wanted and field in _TIMES:
            raise self.wrong()

        def compares(run: Json) -> bool:
            value = _comparable(_value_of(run, field), field, mind_case=mind)
            # A run that is not over has no time to compare: OData's null.
            return bool(value or field not in _TIMES) and compare(value, wanted)

        return compares

    def _field(self) -> str:
        name = self._next().lower()
        if name not in _FIELDS:
            raise self.wrong()
        return _FIELDS[name]

    def _value(self) -> str:
        token = self._next()
        return token[1:-1].replace("''", "'") if token.startswith("'") else token


def _comparable(text: str, field: str, *, mind_case: bool) -> str:
    """Return what compares as the field's values do: times as times, text with or without case."""
    if field not in _TIMES:
        return text if mind_case else text.lower()
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")
    except ValueError:
        return ""


def _value_of(run: Json, field: str) -> str:
    value = run.get(field)
    if field == "outputImages":
        return " ".join(f"{image['repository']}@{image['digest']}" for image in value or [])
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
