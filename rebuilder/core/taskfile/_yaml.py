"""YAML with bounds, by nodes, so that every value keeps its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from rebuilder.errors import InvalidBuildFile

# A task has a handful of steps; a file beyond these was made to harm.
_DEPTH = 50
_EVENTS = 20_000
_MERGES = 50

# libyaml's parser where the package has it, as every wheel of it does: many times faster.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,5})\.[0-9]{1,9}")
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SOMETIMES_BOOLEAN = re.compile(r"y|yes|n|no|on|off", re.IGNORECASE)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# What is a number to go-yaml and not to PyYAML.
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+")

type Line = Callable[[int], int]
"""Gives the file's line for a line of the text, counted from 0."""


class Uncertain:
    """A value whose text depends on the version of the YAML parser."""


def compose(text: str, line: Line) -> yaml.Node | None:
    """Return the first document of a text; None if there is none.

    Raises:
        InvalidBuildFile: It is not YAML, or beyond the bounds.
    """
    try:
        _check(text, line)
        loader = _Loader(text)
        try:
            # What go-yaml's Unmarshal takes: the first document, whatever follows.
            found: yaml.Node | None = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = line(mark.line) if mark else 0
        raise InvalidBuildFile(where, f"not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidBuildFile(0, f"not YAML: {str(error).splitlines()[0][:200]}") from None
    return found


def _check(text: str, line: Line) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH or count > _EVENTS:
            where = line(event.start_mark.line) if event.start_mark else 0
            raise InvalidBuildFile(where, "the YAML is nested too deeply or has too many values")


def fields(node: yaml.Node | None, line: Line, what: str) -> dict[str, yaml.Node]:
    """Return the fields of a mapping; of equal ones the last. Nothing has none.

    Raises:
        InvalidBuildFile: It is no mapping.
    """
    if node is None or is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise InvalidBuildFile(line(node.start_mark.line), f"{what} is not a mapping")
    return dict(_pairs(node, 0))


def _pairs(node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, yaml.Node]]:
    # What `<<` brings in comes first, so that the mapping's own fields win.
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag == f"{_TAG}merge" and depth < _MERGES:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):
                if isinstance(source, yaml.MappingNode):
                    yield from _pairs(source, depth + 1)
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
            yield str(key.value), value


def items(node: yaml.Node | None, line: Line, what: str) -> list[yaml.Node]:
    """Return the items of a list; a single value is a list of one, nothing is an empty one.

    Raises:
        InvalidBuildFile: It is a mapping.
    """
    if node is None or is_null(node):
        return []
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.ScalarNode):
        return [node]
    raise InvalidBuildFile(line(node.start_mark.line), f"{what} is not a list")


def string(node: yaml.Node | None, line: Line, what: str) -> str:
    """Return a value's own text, whatever it would be resolved to; nothing is "".

    Raises:
        InvalidBuildFile: It is a list or a mapping.
    """
    if node is None or is_null(node):
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise InvalidBuildFile(line(node.start_mark.line), f"{what} is not a string")
    return str(node.value)


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node says nothing."""
    return isinstance(node, yaml.ScalarNode) and _plain(node) and node.value in _NULLS


def value(node: yaml.Node) -> object:
    """Return what a node means to go-yaml: text, number, truth value, None; or the node itself.

    A list or a mapping is returned as its node, for its parts to be asked for one by one: a text
    of a few lines can mean a mapping of billions.
    """
    if not isinstance(node, yaml.ScalarNode):
        return node
    text = str(node.value)
    if not _plain(node):
        return text
    if node.tag == f"{_TAG}str":
        return Uncertain() if _unsure(text) else text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    # A date stays a text in go-yaml, and it knows no numbers to the base of 60.
    if node.tag == f"{_TAG}timestamp" or ":" in text:
        return text
    return Uncertain()


def _plain(node: yaml.ScalarNode) -> bool:
    # libyaml calls no quotes "", PyYAML None.
    return not node.style


def _unsure(text: str) -> bool:
    return bool(_SOMETIMES_BOOLEAN.fullmatch(text) or _NUMBER.fullmatch(text))
