"""The language of ARM's template expressions, read into a tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


class TemplateError(Exception):
    """A template that ARM refuses, in words that follow `InvalidTemplate`."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A text or a number."""

    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function, by its name with its namespace."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """A property or an item of something."""

    of: Node
    key: Node


type Node = Literal | Call | Access

_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+)|([A-Za-z_][\w$]*)|([.,()\[\]]))")


def is_expression(text: str) -> bool:
    """Tell whether a template's text is to be evaluated."""
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


@cache
def parse(text: str) -> Node:
    """Return the tree of an expression.

    Args:
        text: The expression, in its brackets.

    Raises:
        TemplateError: It is no expression.
    """
    reader = _Reader(text, text[1:-1])
    node = reader.expression()
    if reader.peek():
        raise reader.wrong()
    return node


class _Reader:
    def __init__(self, whole: str, text: str) -> None:
        self._whole = whole
        self._tokens: list[str] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.wrong()
            self._tokens.append(match[0].strip())
            position = match.end()
        self._next = 0

    def wrong(self) -> TemplateError:
        return TemplateError(
            f"The template language expression '{self._whole}' is not valid. Please see"
            " https://aka.ms/arm-functions for usage details."
        )

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise self.wrong()
        self._next += 1
        return token

    def _name(self) -> str:
        name = self._take()
        if not (name[0].isalpha() or name[0] == "_"):
            raise self.wrong()
        return name

    def expression(self) -> Node:
        token = self._take()
        if token.startswith("'"):
            node: Node = Literal(token[1:-1].replace("''", "'"))
        elif token.lstrip("-").isdecimal():
            node = Literal(int(token))
        elif token[0].isalpha() or token[0] == "_":
            name = token
            while self.peek() == ".":
                self._take()
                name += "." + self._name()
            node = Call(name, self._arguments())
        else:
            raise self.wrong()
        return self._accesses(node)

    def _arguments(self) -> tuple[Node, ...]:
        self._take("(")
        found: list[Node] = []
        while self.peek() != ")":
            if found:
                self._take(",")
            found.append(self.expression())
        self._take(")")
        return tuple(found)

    def _accesses(self, node: Node) -> Node:
        while self.peek() in (".", "["):
            if self._take() == ".":
                node = Access(node, Literal(self._name()))
            else:
                node = Access(node, self.expression())
                self._take("]")
        return node
