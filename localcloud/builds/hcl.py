"""HCL files of `docker buildx bake`: blocks and the values of their attributes.

PyPI python-hcl2 reads the file; the expressions in it are evaluated here, as far as bake files
commonly have them. Source: github.com/hashicorp/hcl, hclsyntax/spec.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import hcl2
from lark.exceptions import LarkError

from localcloud.builds.job import BuildError

type Blocks = dict[str, dict[str, dict[str, Any]]]
"""The attributes of blocks, not evaluated, by their type and label."""

type Lookup = Callable[[str], Any]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|\$\{(?:[^{}"]|"[^"]*")*\}|[^"\\])*")|(?P<number>-?\d+(?:\.\d+)?)|
    (?P<name>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)|
    (?P<mark>==|!=|<=|>=|&&|\|\||[?:!(),\[\]<>+]))""",
    re.VERBOSE,
)
_HEREDOC = re.compile(r"<<-?\s*(\w+)\n(.*?)\n?\s*\1", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_DEEPEST = 50


class _NotKnown(Exception):
    """An expression is something that is not done here, or wrong."""


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "equal": lambda a, b: a == b,
    "notequal": lambda a, b: a != b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "trimspace": lambda text: text.strip(),
    "trimprefix": lambda text, start: text.removeprefix(start),
    "trimsuffix": lambda text, end: text.removesuffix(end),
    "replace": _replace,
    "coalesce": lambda *values: next((v for v in values if v not in (None, "")), None),
    "concat": lambda *lists: [item for part in lists for item in part],
    "join": lambda separator, items: separator.join(items),
    "split": lambda separator, text: text.split(separator),
}


def read(text: str, name: str) -> Blocks:
    """Return the blocks of an HCL file.

    Raises:
        BuildError: It is none.
    """
    try:
        content = hcl2.loads(text)
    except (LarkError, RecursionError, ValueError) as error:
        raise BuildError(f"{name}: {str(error).splitlines()[0]}") from error
    found: Blocks = {}
    for kind, blocks in content.items():
        if not isinstance(blocks, list):  # an attribute of the file is a variable, too
            found.setdefault("variable", {})[kind] = {"default": blocks}
            continue
        for block in blocks:
            for label, attributes in block.items():
                if not isinstance(attributes, dict):
                    raise BuildError(f"{name}: the local cloud does not do the block {kind}")
                kept = found.setdefault(kind, {}).setdefault(plain(label), {})
                kept |= {k: v for k, v in attributes.items() if not k.startswith("__")}
    return found


def plain(text: str) -> str:
    """Return a name without the quotes that it may have."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def evaluate(value: Any, lookup: Lookup) -> Any:  # noqa: ANN401 - HCL's values
    """Return what an attribute of an HCL file is.

    Args:
        value: As python-hcl2 gives it: texts in quotes are templates, others are expressions.
        lookup: Gives the value of a name; it raises KeyError for one that is not known.

    Raises:
        BuildError: It has what is not done here.
    """
    if isinstance(value, list):
        return [evaluate(item, lookup) for item in value]
    if isinstance(value, dict):
        pairs = value.items()
        return {plain(k): evaluate(v, lookup) for k, v in pairs if not k.startswith("__")}
    if not isinstance(value, str):
        return value
    if value.startswith('"'):
        return template(_unescaped(plain(value)), lookup)
    inner = value[2:-1] if value.startswith("${") and value.endswith("}") else value
    return _expression(inner, lookup)


def template(text: str, lookup: Lookup) -> Any:  # noqa: ANN401 - HCL's values
    """Return a text with what its `${...}` stand for; one that is nothing else keeps its type."""
    parts: list[Any] = []
    at = 0
    while at < len(text):
        opened = text.find("${", at)
        if "%{" in text[at : opened if opened >= 0 else len(text)].replace("%%{", ""):
            raise BuildError(f"the local cloud does not evaluate {text}")
        if opened < 0:
            parts.append(text[at:].replace("%%{", "%{"))
            break
        if text[opened - 1 : opened] == "$" and opened > 0:
            parts.append(text[at : opened - 1].replace("%%{", "%{") + "${")
            at = opened + 2
            continue
        closed = _closing(text, opened + 2)
        if opened > at:
            parts.append(text[at:opened].replace("%%{", "%{"))
        parts.append(_expression(text[opened + 2 : closed], lookup))
        at = closed + 1
    if len(parts) == 1:
        return parts[0]
    return "".join(as_text(part) for part in parts)


def as_text(value: object) -> str:
    """Return a value as a text of HCL.

    Raises:
        BuildError: It is null, a list or a map.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise BuildError("The expression result is null. Cannot include a null value in a string")
    return str(value)


def _unescaped(text: str) -> str:
    match = _HEREDOC.fullmatch(text)
    if match:
        return match[2] + "\n"
    found, depth, at = [], 0, 0
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
        elif text[at] == "}" and depth:
            depth -= 1
        if text[at] == "\\" and not depth and text[at + 1 : at + 2] in _ESCAPES:
            found.append(_ESCAPES[text[at + 1]])
            at += 2
            continue
        found.append(text[at])
        at += 1
    return "".join(found)


def _closing(text: str, at: int) -> int:
    depth, quoted = 1, False
    for place in range(at, len(text)):
        if text[place] == '"' and text[place - 1] != "\\":
            quoted = not quoted
        elif not quoted and text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            if not depth:
                return place
    raise BuildError(f"unclosed template interpolation sequence: {text}")


def _expression(text: str, lookup: Lookup) -> Any:  # noqa: ANN401 - HCL's values
    try:
        return _Expression(text, lookup).value()
    except (_NotKnown, TypeError, AttributeError, RecursionError) as error:
        raise BuildError(f"the local cloud does not evaluate {text}") from error
    except KeyError as error:
        raise BuildError(f"There is no variable named {error}.") from error


class _Expression:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self._lookup = lookup
        self._tokens: list[tuple[str, str]] = []
        at, stripped = 0, text.rstrip()
        while at < len(stripped):
            match = _TOKEN.match(stripped, at)
            if match is None or match.lastgroup is None:
                raise _NotKnown
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._at = self._depth = 0

    def value(self) -> Any:  # noqa: ANN401 - HCL's values
        found = self._conditional()
        if self._at != len(self._tokens):
            raise _NotKnown
        return found

    def _next(self, *marks: str) -> bool:
        """Go on if one of these comes next; tell whether it did."""
        if self._at < len(self._tokens) and self._tokens[self._at] in [("mark", m) for m in marks]:
            self._at += 1
            return True
        return False

    def _conditional(self) -> Any:  # noqa: ANN401 - HCL's values
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _NotKnown
        found = self._either()
        if self._next("?"):
            yes = self._conditional()
            if not self._next(":"):
                raise _NotKnown
            no = self._conditional()
            found = yes if found else no
        self._depth -= 1
        return found

    def _either(self) -> Any:  # noqa: ANN401 - HCL's values
        found = self._both()
        while self._next("||"):
            other = self._both()
            found = bool(found) or bool(other)
        return found

    def _both(self) -> Any:  # noqa: ANN401 - HCL's values
        found = self._compared()
        while self._next("&&"):
            other = self._compared()
            found = bool(found) and bool(other)
        return found

    def _compared(self) -> Any:  # noqa: ANN401 - HCL's values
        found = self._operand()
        if self._next("=="):
            return found == self._operand()
        if self._next("!="):
            return found != self._operand()
        return found

    def _operand(self) -> Any:  # noqa: ANN401 - HCL's values
        if self._next("!"):
            return not self._operand()
        if self._next("("):
            found = self._conditional()
            if not self._next(")"):
                raise _NotKnown
            return found
        if self._next("["):
            return self._list("]")
        if self._at >= len(self._tokens):
            raise _NotKnown
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "text":
            return template(_unescaped(text[1:-1]), self._lookup)
        if kind == "number":
            return json.loads(text)
        if kind != "name":
            raise _NotKnown
        if self._next("("):
            function = _FUNCTIONS.get(text)
            if function is None:
                raise _NotKnown
            return function(*self._list(")"))
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        return self._lookup(text)

    def _list(self, end: str) -> list[Any]:
        found: list[Any] = []
        while not self._next(end):
            found.append(self._conditional())
            if not self._next(",") and self._tokens[self._at : self._at + 1] != [("mark", end)]:
                raise _NotKnown
        return found
