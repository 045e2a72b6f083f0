"""What stands between {{ and }}: values, fields and calls of functions."""

from __future__ import annotations

import re
from functools import lru_cache

from rebuilder.core.taskfile._templates import functions
from rebuilder.core.taskfile._templates.nodes import Operand, Pipeline

DEPTH = 50
SPACE = " \t\r\n"
SPACES = frozenset(SPACE)
_DIGITS = 19

TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<number>[-+]?[0-9][0-9a-zA-Z_.]*)
      | (?P<variable>\$\w*)
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<dot>\.)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>:=|[=()|,])
      | (?P<other>[^ \t\r\n])
    )""",
    re.VERBOSE,
)

_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n", "\\t": "\t", "\\r": "\r", "\\'": "'"}
_CONSTANTS = {"true": True, "false": False, "nil": None}


class Odd(Exception):
    """Go's parser refuses a template."""


@lru_cache(maxsize=1024)
def parse(text: str) -> Pipeline:
    return _Parser(text).whole()


class _Parser:
    """Parses one pipeline."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            (str(match.lastgroup), match[match.lastgroup or 0], match[0][0] in SPACE)
            for match in TOKEN.finditer(text)
        ]
        self._at = 0

    def whole(self) -> Pipeline:
        found = self._pipeline(0)
        if self._at < len(self._tokens):
            raise Odd(f"unexpected {self._tokens[self._at][1]!r}")
        return found

    def _peek(self, ahead: int = 0) -> tuple[str, str, bool]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("", "", False)

    def _is(self, mark: str) -> bool:
        return self._peek()[:2] == ("mark", mark)

    def _declared(self) -> tuple[tuple[str, ...], bool]:
        names: list[str] = []
        ahead = 0
        while self._peek(ahead)[0] == "variable":
            names.append(self._peek(ahead)[1])
            kind, mark, _ = self._peek(ahead + 1)
            if kind == "mark" and mark in (":=", "="):
                self._at += ahead + 2
                return tuple(names), mark == "="
            if (kind, mark) != ("mark", ","):
                break
            ahead += 2
        return (), False

    def _pipeline(self, depth: int) -> Pipeline:
        if depth > DEPTH:
            raise Odd("it is nested too deeply")
        names, assigns = self._declared()
        commands = [self._command(depth)]
        while self._is("|"):
            self._at += 1
            commands.append(self._command(depth))
        return Pipeline(tuple(commands), names, assigns)

    def _command(self, depth: int) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._peek()[0] and not self._is("|") and not self._is(")"):
            operands.append(self._operand(depth))
        if not operands:
            raise Odd("a value is missing")
        return tuple(operands)

    def _operand(self, depth: int) -> Operand:
        kind, text, _ = self._peek()
        self._at += 1
        found = Operand("odd")
        match kind:
            case "string":
                literal = unquoted(text)
                found = Operand("odd") if literal is None else Operand("literal", literal)
            case "number":
                found = _number(text)
            case "dot":
                return Operand("dot")
            case "field":
                self._at -= 1
                found = Operand("dot")
            case "variable":
                found = Operand("variable", text)
            case "word" if text in _CONSTANTS:
                found = Operand("literal", _CONSTANTS[text])
            case "word" if text in functions.NAMES:
                return Operand("call", text)
            case "word":
                raise Odd(f'function "{text}" not defined')
            case "mark" if text == "(":
                inner = self._pipeline(depth + 1)
                if not self._is(")"):
                    raise Odd("a parenthesis is not closed")
                self._at += 1
                found = Operand("pipe", inner)
            case _:
                raise Odd(f"unexpected {text!r}")
        fields: list[str] = []
        while self._peek()[0] == "field" and (
            not self._peek()[2] or (kind == "field" and not fields)
        ):
            fields.append(self._peek()[1][1:])
            self._at += 1
        return Operand(found.kind, found.value, tuple(fields)) if fields else found


def unquoted(text: str) -> str | None:
    if text[0] == "`":
        return text[1:-1]
    inner = text[1:-1]
    if not set(re.findall(r"\\.", inner)) <= _ESCAPES.keys():
        return None
    return re.sub(r"\\.", lambda found: _ESCAPES[found[0]], inner)


def _number(text: str) -> Operand:
    if _NUMBER.fullmatch(text) and len(text) <= _DIGITS:
        return Operand("literal", int(text))
    if _DECIMAL.fullmatch(text):
        return Operand("literal", float(text))
    return Operand("odd")
