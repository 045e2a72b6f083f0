"""The functions of ARM's expressions that need nothing but their arguments: one table.

Source: learn.microsoft.com, "ARM template functions". One that is not here is refused by
name.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote, urljoin

from localcloud.templates.expressions import TemplateError
from localcloud.templates.hashing import guid, unique_string

type Value = Any

_HOLE = re.compile(r"\{\{|\}\}|\{(\d+)(?::([A-Za-z]\d*))?\}")


def text_of(value: Value) -> str:
    """Return how ARM writes a value as text."""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "" if value is None else str(value)


def look_up(value: dict[str, Value], key: str) -> tuple[bool, Value]:
    """Return whether an object has a property, whose case does not matter, and its value."""
    if key in value:
        return True, value[key]
    for name, held in value.items():
        if name.lower() == key.lower():
            return True, held
    return False, None


def item(value: Value, key: Value) -> Value:
    """Return a property of an object or an item of an array.

    Raises:
        TemplateError: It has none.
    """
    if isinstance(value, dict) and isinstance(key, str):
        there, held = look_up(value, key)
        if there:
            return held
        raise TemplateError(
            f"The language expression property '{key}' doesn't exist, available properties are"
            f" '{', '.join(value)}'."
        )
    if isinstance(value, list) and isinstance(key, int):
        if 0 <= key < len(value):
            return value[key]
        raise TemplateError(
            f"The language expression property array index '{key}' is out of bounds."
        )
    raise TemplateError(
        f"The language expression property '{key}' can't be evaluated, the value is"
        f" '{type(value).__name__}'."
    )


def format_text(pattern: str, *arguments: Value) -> str:
    """Return a text with its holes filled, as .NET does."""

    def fill(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        value, kind = arguments[int(match[1])], match[2]
        if kind is None:
            return text_of(value)
        if kind[0].upper() == "D" and isinstance(value, int):
            return f"{value:0{kind[1:] or 1}d}"
        if kind[0] in "xX" and isinstance(value, int):
            return f"{value:0{kind[1:] or 1}{kind[0]}}"
        raise TemplateError(f"The local cloud does not know the format '{kind}' of format().")

    try:
        return _HOLE.sub(fill, pattern)
    except IndexError as error:
        raise TemplateError(f"format() has too few arguments for '{pattern}'.") from error


def _contains(container: Value, wanted: Value) -> bool:
    if isinstance(container, dict):
        return look_up(container, str(wanted))[0]
    return wanted in container


def _length(value: Value) -> int:
    return len(value)


def _union(*values: Value) -> Value:
    if isinstance(values[0], dict):
        merged: dict[str, Value] = {}
        for value in values:
            merged = _merged(merged, value)
        return merged
    kept: list[Value] = []
    for entry in itertools.chain(*values):
        if entry not in kept:
            kept.append(entry)
    return kept


def _merged(held: dict[str, Value], given: dict[str, Value]) -> dict[str, Value]:
    result = dict(held)
    for key, value in given.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value)  # noqa: PLW2901 - what is laid over what is held
        result[key] = value
    return result


def _intersection(first: Value, *others: Value) -> Value:
    if isinstance(first, dict):
        return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
    return [entry for entry in first if all(entry in other for other in others)]


def _concat(*values: Value) -> Value:
    if values and isinstance(values[0], list):
        return list(itertools.chain(*values))
    return "".join(map(text_of, values))


def _int(value: Value) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise TemplateError(f"int() cannot convert '{value}'.") from error


def _bool(value: Value) -> bool:
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def _split(text: str, by: Value) -> list[str]:
    separators = [by] if isinstance(by, str) else by
    return re.split("|".join(map(re.escape, separators)), text)


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if start < 0 or end > len(text):
        raise TemplateError("substring() reaches beyond the end of its text.")
    return text[start:end]


def _take(value: Value, count: int) -> Value:
    return value[: max(count, 0)]


def _skip(value: Value, count: int) -> Value:
    return value[max(count, 0) :]


def _fail(message: str) -> Value:
    raise TemplateError(message)


def _first(value: Value) -> Value:
    return value[0] if value else ("" if isinstance(value, str) else None)


def _last(value: Value) -> Value:
    return value[-1] if value else ("" if isinstance(value, str) else None)


def _numbers(values: Sequence[Value]) -> list[int]:
    return list(values[0]) if values and isinstance(values[0], list) else list(values)


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise TemplateError("div() cannot divide by zero.")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _object(*pairs: Value) -> dict[str, Value]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _items(value: dict[str, Value]) -> list[Value]:
    ordered = sorted(value.items(), key=lambda entry: entry[0].lower())
    return [{"key": key, "value": held} for key, held in ordered]


def _try_get(value: Value, *keys: Value) -> Value:
    for key in keys:
        if value is None:
            return None
        try:
            value = item(value, key)
        except TemplateError:
            return None
    return value


def _try_index_from_end(value: Value, index: int) -> Value:
    return value[-index] if value is not None and 0 < index <= len(value) else None


def _index_from_end(value: Value, index: int) -> Value:
    return item(value, len(value) - index)


def _pad_left(value: Value, width: int, character: str = " ") -> str:
    return text_of(value).rjust(width, character)


def _index_of(container: Value, wanted: Value) -> int:
    if isinstance(container, list):
        return container.index(wanted) if wanted in container else -1
    return int(container.lower().find(wanted.lower()))


def _last_index_of(container: Value, wanted: Value) -> int:
    if isinstance(container, list):
        return max((i for i, held in enumerate(container) if held == wanted), default=-1)
    return int(container.lower().rfind(wanted.lower()))


def _shallow_merge(values: list[dict[str, Value]]) -> dict[str, Value]:
    return {key: held for value in values for key, held in value.items()}


def _array(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


def _data_uri(text: str) -> str:
    return "data:text/plain;charset=utf8;base64," + base64.b64encode(text.encode()).decode()


def _join(values: list[Value], by: str) -> str:
    return by.join(map(text_of, values))


def _parse(text: str) -> Value:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TemplateError("json() was given a text that is no JSON.") from error


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "add": lambda a, b: a + b,
    "array": _array,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64tojson": lambda text: _parse(base64.b64decode(text).decode()),
    "base64tostring": lambda text: base64.b64decode(text).decode(),
    "bool": _bool,
    "concat": _concat,
    "contains": _contains,
    "createarray": lambda *values: list(values),
    "createobject": _object,
    "datauri": _data_uri,
    "div": _divide,
    "empty": lambda value: value is None or len(value) == 0,
    "endswith": lambda text, end: text.lower().endswith(end.lower()),
    "equals": lambda a, b: type(a) is type(b) and a == b,
    "fail": _fail,
    "false": lambda: False,
    "first": _first,
    "flatten": lambda values: list(itertools.chain(*values)),
    "float": float,
    "format": format_text,
    "greater": lambda a, b: a > b,
    "greaterorequals": lambda a, b: a >= b,
    "guid": lambda *parts: guid(parts),
    "indexfromend": _index_from_end,
    "indexof": _index_of,
    "int": _int,
    "intersection": _intersection,
    "items": _items,
    "join": _join,
    "json": _parse,
    "last": _last,
    "lastindexof": _last_index_of,
    "length": _length,
    "less": lambda a, b: a < b,
    "lessorequals": lambda a, b: a <= b,
    "max": lambda *values: max(_numbers(values)),
    "min": lambda *values: min(_numbers(values)),
    "mod": lambda a, b: a - b * _divide(a, b),
    "mul": lambda a, b: a * b,
    "not": lambda value: not value,
    "null": lambda: None,
    "objectkeys": lambda value: sorted(value, key=str.lower),
    "padleft": _pad_left,
    "range": lambda start, count: list(range(start, start + count)),
    "replace": lambda text, old, new: text.replace(old, new),
    "shallowmerge": _shallow_merge,
    "skip": _skip,
    "split": _split,
    "startswith": lambda text, start: text.lower().startswith(start.lower()),
    "string": text_of,
    "sub": lambda a, b: a - b,
    "substring": _substring,
    "take": _take,
    "tolower": lambda text: text.lower(),
    "toupper": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "true": lambda: True,
    "tryget": _try_get,
    "tryindexfromend": _try_index_from_end,
    "union": _union,
    "uniquestring": lambda *parts: unique_string(parts),
    "uri": urljoin,
    "uricomponent": lambda text: quote(text, safe=""),
    "uricomponenttostring": unquote,
}
"""Every function by its name in lower case."""
