"""Switches: mutable dataclasses that say how Azure behaves today, read and set by name.

Types, least values and meanings come from the dataclass itself, so a new field is a new switch.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin
from typing import get_type_hints as hints_of

_ATTRIBUTE = re.compile(r"^ {4}(\w+): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The least value of a number, in its annotation; without it, 0."""

    value: float


class WrongSwitch(Exception):
    """A name or value that is not allowed.

    Args:
        name: Which one.
        message: What is wrong with it.
        allowed: What would not be.
    """

    def __init__(self, name: str, message: str, allowed: str) -> None:
        super().__init__(message)
        self.name = name
        self.allowed = allowed


def meanings(kind: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each attribute."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    parts = _ATTRIBUTE.split(section)[1:]
    return {
        name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def describe(kind: type, value: object = None) -> dict[str, Any]:
    """Return meaning, type and default of every field, and its value if there is an object."""
    told = meanings(kind)
    described = {}
    for name, hint in _hints(kind).items():
        entry = {"meaning": told.get(name, ""), "type": allowed(hint)}
        default = _default(kind, name)
        if default is not MISSING:
            entry["default"] = default
        if value is not None:
            entry["value"] = getattr(value, name)
        described[name] = entry
    return described


def values(switches: object) -> dict[str, Any]:
    """Return every switch's value by name."""
    return {name: getattr(switches, name) for name in _hints(type(switches))}


def check(kind: type, given: Mapping[str, object], prefix: str = "") -> None:
    """Check that a dataclass has fields of these names, which allow these values.

    Raises:
        WrongSwitch: It has not, or one does not; its name begins with `prefix`.
    """
    hints = _hints(kind)
    for name, value in given.items():
        if name not in hints:
            raise WrongSwitch(f"{prefix}{name}", "There is no such name.", ", ".join(hints))
        if not _fits(hints[name], value):
            raise WrongSwitch(f"{prefix}{name}", "The value is not allowed.", allowed(hints[name]))


def reset(switches: object) -> None:
    """Set every switch to its default."""
    for name in _hints(type(switches)):
        setattr(switches, name, _default(type(switches), name))


def allowed(hint: Any) -> str:  # noqa: ANN401 - a type hint may be anything
    """Return in words which values a type hint allows."""
    least, hint = _least(hint)
    origin = get_origin(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if origin in (Union, types.UnionType):
        return " or ".join(allowed(part) for part in get_args(hint))
    if hint is types.NoneType:
        return "null"
    if hint in (int, float):
        kind = "a whole number" if hint is int else "a number"
        return f"{kind}, at least {least:g}"
    if origin is list:
        return f"a list, each {allowed(get_args(hint)[0])}"
    if origin is dict:
        return f"an object, each value {allowed(get_args(hint)[1])}"
    return {bool: "true or false", str: "a text"}[hint]


def _fits(hint: Any, value: object) -> bool:  # noqa: ANN401 - a type hint may be anything
    least, hint = _least(hint)
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(part, value) for part in get_args(hint))
    if origin is list:
        return isinstance(value, list) and all(_fits(get_args(hint)[0], item) for item in value)
    if origin is dict:
        item = get_args(hint)[1]
        return isinstance(value, dict) and all(_fits(item, entry) for entry in value.values())
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        # In Python, True is a number; in JSON, it is none.
        return isinstance(value, kinds) and not isinstance(value, bool) and value >= least
    return isinstance(value, hint)


def _least(hint: Any) -> tuple[float, Any]:  # noqa: ANN401 - a type hint may be anything
    """Return the least value of a number, and the bare type."""
    if isinstance(hint, TypeAliasType):
        return _least(hint.__value__)
    if get_origin(hint) is Annotated:
        bare, *notes = get_args(hint)
        return next((n.value for n in notes if isinstance(n, AtLeast)), 0), bare
    return 0, hint


def _hints(kind: type) -> dict[str, Any]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a dataclass")
    hints = hints_of(kind, include_extras=True)
    return {item.name: hints[item.name] for item in fields(kind)}


def _default(kind: type, name: str) -> Any:  # noqa: ANN401 - a switch may be of any type
    item = next(item for item in fields(kind) if item.name == name)
    return item.default if item.default_factory is MISSING else item.default_factory()
