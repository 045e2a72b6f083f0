"""YAML as the agent reads it, with bounds, by nodes, so that every value keeps its line.

The agent decodes with gopkg.in/yaml.v2 at v2.4.0: its decode.go tells which node fits which type
and what a merge does, its resolve.go what a plain scalar means. Of a document only the first
counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from rebuilder.core.taskfile._text import names
from rebuilder.errors import InvalidBuildFile

# A task has a handful of steps; a file beyond these was made to harm.
_DEPTH = 50
_EVENTS = 20_000
_PAIRS = 20_000
_DIGITS = 20

_TAG = "tag:yaml.org,2002:"
_PLAIN = "?"
"""The tag of a plain scalar: what it means is worked out here, not by PyYAML."""

# What block collections may begin with; no line nests deeper than it has such characters.
_STRUCTURE = re.compile(r"^[ \t:?-]{%d}" % _DEPTH, re.MULTILINE)  # noqa: UP031 - braces in it

_BOOLEANS = {
    **dict.fromkeys(names("y Y yes Yes YES true True TRUE on On ON"), True),
    **dict.fromkeys(names("n N no No NO false False FALSE off Off OFF"), False),
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_FINITE = re.compile(r"\.nan|\.NaN|\.NAN|[-+]?(?:\.inf|\.Inf|\.INF)")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
_INTEGER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]+|0|[1-9][0-9]*)|-0b[01]+"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INT_64 = range(-(2**63), 2**64)

type Line = Callable[[int], int]
"""Gives the file's line for a line of the text, counted from 0."""


class Uncertain:
    """A value whose text the product does not work out."""


class _Tags:
    """What a composer asks for a tag of a node that has none of its own."""

    def resolve(self, _kind: object, _value: object, implicit: Any) -> str:  # noqa: ANN401
        """Tell plain scalars from all else."""
        plain = implicit if isinstance(implicit, bool) else implicit[0]
        return _PLAIN if plain else ""

    def descend_resolver(self, _parent: object, _index: object) -> None:
        """Follow nothing: tags here do not depend on their place."""

    def ascend_resolver(self) -> None:
        """Follow nothing."""


class _Python(_Tags, Reader, Scanner, Parser, Composer):
    """Reads YAML where PyYAML came without libyaml."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)

    def dispose(self) -> None:
        """Let go of the text."""


def _composer() -> type[Any]:
    try:
        from yaml._yaml import CParser  # noqa: PLC0415 - not every build of PyYAML has it
    except ImportError:
        return _Python
    return type("_Fast", (_Tags, CParser), {})


_Composer = _composer()


def compose(text: str, line: Line) -> yaml.Node | None:
    """Return the first document of a text; None if there is none.

    Raises:
        InvalidBuildFile: It is not YAML, or beyond the bounds.
    """
    try:
        _check(text, line)
        composer = _Composer(text)
        try:
            found: yaml.Node | None = composer.get_node() if composer.check_node() else None
        finally:
            composer.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = line(mark.line) if mark else 0
        raise InvalidBuildFile(where, f"not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidBuildFile(0, f"not YAML: {str(error).splitlines()[0][:200]}") from None
    return found


def _check(text: str, line: Line) -> None:
    """Refuse a text that nests too deeply for a recursive composer, or holds too much."""
    flows = text.count("[") + text.count("{")
    size = text.count("\n") + text.count(",") + text.count(": ") + 3 * flows
    if flows < _DEPTH // 2 and 4 * size < _EVENTS and not _STRUCTURE.search(text):
        return  # neither bound can be reached
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH or count > _EVENTS:
            where = line(event.start_mark.line) if event.start_mark else 0
            raise InvalidBuildFile(where, "the YAML is nested too deeply or has too many values")


# Nodes, as the types of the agent take them.


def fields(node: yaml.Node | None, line: Line, what: str) -> dict[str, yaml.Node]:
    """Return the fields of a mapping; of equal ones the last counts. Nothing has none.

    Raises:
        InvalidBuildFile: It is no mapping, or its merges are wrong or too many.
    """
    if node is None or is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise _misfit(node, line, f"{what} is not a mapping")
    found: dict[str, yaml.Node] = {}
    for count, (key, value) in enumerate(_pairs(node, line, ())):
        if count == _PAIRS:
            raise _misfit(node, line, f"{what} has too many fields, merged ones among them")
        if key is not None:
            found[key] = value
    return found


def _pairs(
    node: yaml.MappingNode, line: Line, inside: tuple[int, ...]
) -> Iterator[tuple[str | None, yaml.Node]]:
    """Return the fields in the order in which they are set; a merge sets its own in its place."""
    if id(node) in inside:
        raise _misfit(node, line, "an anchor's value contains itself")
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _misfit(key, line, "a key is not a string")
        if key.tag == f"{_TAG}merge" or (key.tag == _PLAIN and key.value == "<<"):
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):
                if not isinstance(source, yaml.MappingNode):
                    reason = "map merge requires map or sequence of maps as the value"
                    raise _misfit(source, line, reason)
                if len(inside) == _DEPTH:
                    raise _misfit(source, line, "the YAML is nested too deeply")
                # Counted even where there is nothing in it: a million of these take their time.
                yield None, source
                yield from _pairs(source, line, (*inside, id(node)))
        else:
            yield str(key.value), value


def items(node: yaml.Node | None, line: Line, what: str) -> list[yaml.Node]:
    """Return the items of a list; nothing is an empty one.

    Raises:
        InvalidBuildFile: It is no list: the agent takes no single value for one.
    """
    if node is None or is_null(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise _misfit(node, line, f"{what} is not a list")
    return list(node.value)


def string(node: yaml.Node | None, line: Line, what: str) -> str:
    """Return a value's own text, whatever it would be resolved to; nothing is "".

    Raises:
        InvalidBuildFile: It is a list or a mapping.
    """
    if node is None or is_null(node):
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise _misfit(node, line, f"{what} is not a string")
    return str(node.value)


def strings(node: yaml.Node | None, line: Line, what: str) -> list[str]:
    """Return the texts of a list.

    Raises:
        InvalidBuildFile: It is no list of texts.
    """
    return [string(item, line, what) for item in items(node, line, what)]


def integer(node: yaml.Node | None, line: Line, what: str) -> int:
    """Return a whole number; nothing is 0.

    Raises:
        InvalidBuildFile: It is none.
    """
    found = 0 if node is None else value(node)
    if isinstance(found, float) and abs(found) < float(2**63):
        found = int(found)
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int):
        raise _misfit(node, line, f"{what} is not a number")
    return found


def boolean(node: yaml.Node | None, line: Line, what: str) -> bool:
    """Return a truth value; nothing is false.

    Raises:
        InvalidBuildFile: It is none.
    """
    found = False if node is None else value(node)
    if found is None:
        return False
    if not isinstance(found, bool):
        raise _misfit(node, line, f"{what} is not true or false")
    return found


def _misfit(node: yaml.Node | None, line: Line, problem: str) -> InvalidBuildFile:
    return InvalidBuildFile(line(node.start_mark.line) if node is not None else 0, problem)


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node says nothing."""
    return isinstance(node, yaml.ScalarNode) and (
        node.tag == f"{_TAG}null" or (node.tag == _PLAIN and node.value in _NULLS)
    )


def value(node: yaml.Node) -> object:
    """Return what a node means to yaml.v2: text, number, truth value, None; or the node itself.

    A list or a mapping is returned as its node, for its parts to be asked for one by one: a text
    of a few lines can mean a mapping of billions.
    """
    if not isinstance(node, yaml.ScalarNode):
        return node
    text = str(node.value)
    if node.tag in ("", f"{_TAG}str"):
        return text
    if node.tag != _PLAIN:
        return Uncertain()
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "+-.0123456789":
        return text
    return _number(text)


def _number(text: str) -> object:
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1).lower())
    # A date stays a text, and there are no numbers to the base of 60.
    if _TIMESTAMP.fullmatch(text):
        return text
    # A point in front is no sign that underscores are taken out.
    plain = text if text[0] == "." else text.replace("_", "")
    if len(plain) <= _DIGITS and _INTEGER.fullmatch(plain):
        found = _whole(plain)
        if found in _INT_64:
            return found
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return text


def _whole(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def unserialisable(root: yaml.Node | None) -> yaml.Node | None:
    """Return what keeps values from being written as JSON, which the agent does with all of them.

    That is a mapping inside of the values (to yaml.v2 its keys may be anything, and encoding/json
    takes only texts), or a number that is not finite.
    """
    waiting: list[yaml.Node] = []
    if isinstance(root, yaml.MappingNode):
        waiting = [entry for _, entry in root.value]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            return node
        if isinstance(node, yaml.SequenceNode) and id(node) not in seen:
            seen.add(id(node))
            waiting += node.value
        elif node.tag == _PLAIN and _NOT_FINITE.fullmatch(str(node.value)):
            return node
    return None


def go_float(number: float) -> str:
    """Return a number as Go prints it: the shortest digits, an exponent from 1e+06 and 1e-05 on."""
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(number)]
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) + int(exponent) - 1 if number else 0
    minus = "-" if sign else ""
    if power < -4 or power >= 6:  # noqa: PLR2004 - strconv's bounds for the shortest %g
        mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
        return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{text}"
    whole = text[: power + 1].ljust(power + 1, "0")
    rest = text[power + 1 :]
    return f"{minus}{whole}{f'.{rest}' if rest else ''}"
