"""The $filter of runs: OData's comparisons, `contains`, `and`, `or`, parentheses.

Source of the fields and the limits: RunFilter in azure-mgmt-containerregistry 10.3.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from localcloud.arm.errors import ArmError
from localcloud.state import Json

_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([(),])|([^\s(),']+))")

type _Kind = Literal["text", "time", "flag"]
type Predicate = Callable[[Json], bool]

_FIELDS: dict[str, tuple[str, _Kind]] = {
    "runid": ("runId", "text"),
    "runtype": ("runType", "text"),
    "status": ("status", "text"),
    "createtime": ("createTime", "time"),
    "finishtime": ("finishTime", "time"),
    "outputimagemanifests": ("outputImages", "text"),
    "isarchiveenabled": ("isArchiveEnabled", "flag"),
    "taskname": ("task", "text"),
    "agentpoolname": ("agentPoolName", "text"),
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


def parse_filter(text: str) -> Predicate:
    """Return what a $filter asks of a run's properties.

    Names of fields and operators and the compared words are taken in any case.

    Raises:
        ArmError: It is not such a filter.
    """
    parser = _Parser(text)
    predicate = parser.either()
    if parser.tokens:
        raise parser.wrong()
    return predicate


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
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

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self.wrong()

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
            self._need(")")
            return inner
        return self._contains() if self._take("contains") else self._comparison()

    def _contains(self) -> Predicate:
        self._need("(")
        field, kind = self._field()
        self._need(",")
        part = self._literal(kind)
        self._need(")")
        if not isinstance(part, str):
            raise self.wrong()
        return lambda run: part in (_value(run, field, kind) or "")

    def _comparison(self) -> Predicate:
        field, kind = self._field()
        name = self._next().lower()
        if name not in _COMPARISONS or (kind == "flag" and name not in ("eq", "ne")):
            raise self.wrong()
        compare, literal = _COMPARISONS[name], self._literal(kind)

        def holds(run: Json) -> bool:
            value = _value(run, field, kind)
            # What is not known differs from everything, and is neither before nor after it.
            return name == "ne" if value is None else compare(value, literal)

        return holds

    def _field(self) -> tuple[str, _Kind]:
        name = self._next().lower()
        if name not in _FIELDS:
            raise self.wrong()
        return _FIELDS[name]

    def _literal(self, kind: _Kind) -> str | bool | datetime:
        token = self._next()
        quoted = token.startswith("'")
        text = token[1:-1].replace("''", "'") if quoted else token
        if kind == "text" and quoted:
            return text.lower()
        if kind == "flag" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "time":
            try:
                return _time(text)
            except ValueError as error:
                raise self.wrong() from error
        raise self.wrong()


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _value(run: Json, field: str, kind: _Kind) -> Any:  # noqa: ANN401 - as the field's kind says
    value = run.get(field)
    if field == "outputImages":
        images = [f"{image['repository']}@{image['digest']}" for image in value or []]
        return " ".join(images).lower() or None
    if value is None:
        return None
    if kind == "text":
        return str(value).lower()
    return _time(value) if kind == "time" else value
