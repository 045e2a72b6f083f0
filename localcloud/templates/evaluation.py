"""Evaluation of a template's values: expressions, loops of properties, lambdas, own functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import replace
from dataclasses import dataclass, field
from typing import Any

from localcloud.templates.expressions import (
    Access,
    Call,
    Literal,
    Node,
    TemplateError,
    is_expression,
    parse,
)
from localcloud.templates.functions import FUNCTIONS, item

type Value = Any


class Unknown(Exception):
    """A value that only a deployment can tell: what-if leaves the expression as it is."""


@dataclass(frozen=True, slots=True)
class Lambda:
    """A function that an expression hands to another one."""

    names: tuple[str, ...]
    body: Node
    scope: Scope


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may ask for.

    Attributes:
        names: Functions that need more than their arguments, by name in lower case.
        own: The template's own functions, by namespace and name in lower case.
        copies: The index of each loop; the resource's own is also under "".
        locals: A lambda's variables.
        keeps_unknown: Whether a value that only a deployment can tell stays an expression.
    """

    names: Mapping[str, Callable[..., Value]]
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)
    locals: Mapping[str, Value] = field(default_factory=dict)
    keeps_unknown: bool = False

    def within(self, loop: str, index: int, *, resource: bool = False) -> Scope:
        """Return the scope of one turn of a loop."""
        mine = {loop.lower(): index} | ({"": index} if resource else {})
        return replace(self, copies={**self.copies, **mine})


def evaluate(value: Value, scope: Scope) -> Value:
    """Return a template's value with every expression evaluated.

    Raises:
        TemplateError: ARM would refuse it, or the local cloud does not know a function.
        Unknown: Only a deployment can tell, and the scope does not keep expressions.
    """
    if isinstance(value, str):
        if is_expression(value):
            try:
                return run(parse(value), scope)
            except Unknown:
                if not scope.keeps_unknown:
                    raise
                return value
        return value[1:] if value.startswith("[[") else value
    if isinstance(value, list):
        return [evaluate(entry, scope) for entry in value]
    if isinstance(value, dict):
        result = {
            evaluate(key, scope): evaluate(held, scope)
            for key, held in value.items()
            if not (key == "copy" and isinstance(held, list))
        }
        if isinstance(value.get("copy"), list):
            result |= {loop["name"]: turns(loop, scope) for loop in value["copy"]}
        return result
    return value


def turns(loop: Mapping[str, Any], scope: Scope, name: str | None = None) -> list[Value]:
    """Return what a loop of a property, a variable or an output makes."""
    count = evaluate(loop["count"], scope)
    key = loop["name"] if name is None else name
    resource = name is not None
    return [
        evaluate(loop["input"], scope.within(key, index, resource=resource))
        for index in range(count)
    ]


def run(node: Node, scope: Scope) -> Value:
    """Return what an expression is."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Access):
        value = item(run(node.of, scope), run(node.key, scope))
    else:
        value = _call(node, scope)
    if isinstance(value, Unknown):
        raise value
    return value


def _call(node: Call, scope: Scope) -> Value:
    name, given = node.name.lower(), node.arguments
    lazy = _LAZY.get(name)
    if lazy is not None:
        return lazy(given, scope)
    arguments = [run(argument, scope) for argument in given]
    if name in scope.own:
        return _own(scope.own[name], arguments, scope)
    known = scope.names.get(name) or _HIGHER.get(name) or FUNCTIONS.get(name)
    if known is None:
        if name.startswith("list") and "list*" in scope.names:
            return scope.names["list*"](node.name, *arguments)
        raise TemplateError(
            f"The local cloud does not know the template function '{node.name}'. Azure may."
        )
    try:
        return known(*arguments)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise TemplateError(
            f"The template language function '{node.name}' was given the wrong arguments: {error}."
        ) from error


def _own(function: Mapping[str, Any], arguments: list[Value], scope: Scope) -> Value:
    names = [parameter["name"].lower() for parameter in function.get("parameters") or []]
    given = dict(zip(names, arguments, strict=False))
    mine = {**scope.names, "parameters": lambda name: given[name.lower()]}
    inner = replace(scope, names=mine, copies={}, locals={}, keeps_unknown=False)
    return evaluate(function["output"]["value"], inner)


def _if(given: tuple[Node, ...], scope: Scope) -> Value:
    return run(given[1] if run(given[0], scope) else given[2], scope)


def _and(given: tuple[Node, ...], scope: Scope) -> bool:
    return all(run(argument, scope) for argument in given)


def _or(given: tuple[Node, ...], scope: Scope) -> bool:
    return any(run(argument, scope) for argument in given)


def _coalesce(given: tuple[Node, ...], scope: Scope) -> Value:
    for argument in given:
        value = run(argument, scope)
        if value is not None:
            return value
    return None


def _lambda(given: tuple[Node, ...], scope: Scope) -> Lambda:
    names = tuple(str(run(name, scope)) for name in given[:-1])
    return Lambda(names, given[-1], scope)


def _variable(given: tuple[Node, ...], scope: Scope) -> Value:
    return scope.locals[run(given[0], scope)]


def _copy_index(given: tuple[Node, ...], scope: Scope) -> int:
    arguments = [run(argument, scope) for argument in given]
    name = arguments.pop(0).lower() if arguments and isinstance(arguments[0], str) else ""
    if name not in scope.copies:
        raise TemplateError(f"copyIndex('{name}') is used outside of its loop.")
    return scope.copies[name] + (arguments[0] if arguments else 0)


_LAZY: dict[str, Callable[[tuple[Node, ...], Scope], Value]] = {
    "if": _if,
    "and": _and,
    "or": _or,
    "coalesce": _coalesce,
    "lambda": _lambda,
    "lambdavariables": _variable,
    "copyindex": _copy_index,
}


def _apply(function: Lambda, *arguments: Value) -> Value:
    bound = {**function.scope.locals, **dict(zip(function.names, arguments, strict=False))}
    return run(function.body, replace(function.scope, locals=bound))


def _sort(values: list[Value], less: Lambda) -> list[Value]:
    result: list[Value] = []
    for value in values:
        place = next((i for i, held in enumerate(result) if _apply(less, value, held)), len(result))
        result.insert(place, value)
    return result


def _reduce(values: list[Value], start: Value, function: Lambda) -> Value:
    for index, value in enumerate(values):
        start = _apply(function, start, value, index)
    return start


def _to_object(values: list[Value], key: Lambda, value: Lambda | None = None) -> Value:
    return {_apply(key, entry): _apply(value, entry) if value else entry for entry in values}


def _group_by(values: list[Value], key: Lambda) -> Value:
    groups: dict[str, list[Value]] = {}
    for value in values:
        groups.setdefault(_apply(key, value), []).append(value)
    return groups


_HIGHER: dict[str, Callable[..., Value]] = {
    "map": lambda values, function: [_apply(function, v, i) for i, v in enumerate(values)],
    "filter": lambda values, function: [
        value for i, value in enumerate(values) if _apply(function, value, i)
    ],
    "reduce": _reduce,
    "sort": _sort,
    "toobject": _to_object,
    "groupby": _group_by,
    "mapvalues": lambda value, function: {k: _apply(function, v) for k, v in value.items()},
}


def show(value: Value) -> str:
    """Return a value for an error's words."""
    return value if isinstance(value, str) else json.dumps(value)
