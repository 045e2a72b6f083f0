"""Go's templates, as far as task files use them: fields, variables, pipes, `if`, some functions.

Source: the language of Go's text/template; the functions of Masterminds/sprig, which the agent
adds, github.com/Azure/acr-builder, templating/engine.go. What is missing is nothing, not an error.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.builds.job import BuildError
from localcloud.builds.sourcetext import Source, Writer

_ACTION = re.compile(
    r"\{\{(?P<left>-\s)?(?P<body>(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|(?!\}\}|\s-\}\}).)*)"
    r"(?P<right>\s-)?\}\}",
    re.DOTALL,
)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>"(?:\\.|[^"\\\n])*")|(?P<raw>`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|
    (?P<field>(?:\$\w*)?(?:\.\w+)+|\.)|(?P<variable>\$\w*)|(?P<word>[A-Za-z_]\w*)|
    (?P<mark>:=|=|\||\(|\))
    )""",
    re.VERBOSE,
)
# Numbers with these exponents Go writes as powers of ten.
_SMALLEST, _LARGEST = 1e-4, 1e21
_DEEPEST = 100


class _NotKnown(Exception):
    """A template is something that is not done here, or wrong."""


def go_text(value: object) -> str:
    """Return a value as Go's templates write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if isinstance(value, float):
        if value and not _SMALLEST <= abs(value) < _LARGEST:
            return repr(value)
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Mapping):
        pairs = (f"{go_text(k)}:{go_text(value[k])}" for k in sorted(value, key=str))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{' '.join(go_text(item) for item in value)}]"
    return str(value)


def _index(value: Any, *keys: Any) -> Any:  # noqa: ANN401 - YAML's values
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise _NotKnown
    return value


def _truncated(length: int, text: object) -> str:
    whole = go_text(text)
    return whole[:length] if length >= 0 else whole[length:]


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "default": lambda instead, value=None: value or instead,
    "coalesce": lambda *values: next((value for value in values if value), None),
    "ternary": lambda yes, no, value: yes if value else no,
    "empty": lambda value: not value,
    "quote": lambda *values: " ".join(
        json.dumps(go_text(value), ensure_ascii=False) for value in values if value is not None
    ),
    "squote": lambda *values: " ".join(f"'{go_text(v)}'" for v in values if v is not None),
    "lower": lambda text: go_text(text).lower(),
    "upper": lambda text: go_text(text).upper(),
    "trim": lambda text: go_text(text).strip(),
    "trimPrefix": lambda start, text: go_text(text).removeprefix(start),
    "trimSuffix": lambda end, text: go_text(text).removesuffix(end),
    "replace": lambda old, new, text: go_text(text).replace(old, new),
    "contains": lambda part, text: part in go_text(text),
    "hasPrefix": lambda start, text: go_text(text).startswith(start),
    "hasSuffix": lambda end, text: go_text(text).endswith(end),
    "trunc": _truncated,
    "toString": go_text,
    "b64enc": lambda text: base64.b64encode(go_text(text).encode()).decode(),
    "eq": lambda value, *others: value in others,
    "ne": lambda value, other: value != other,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "index": _index,
    "print": lambda *values: "".join(go_text(value) for value in values),
}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a template: plain text, or an action; where it is, and where its own text is."""

    start: int
    end: int
    action: str | None = None


@dataclass(slots=True)
class _State:
    """The values that a template sees: of its data, and of its own variables."""

    data: Mapping[str, Any]
    variables: dict[str, Any] = field(default_factory=dict)


def render(source: Source, data: Mapping[str, Any]) -> Source:
    """Fill in a template.

    Args:
        source: The template.
        data: What `.` is.

    Raises:
        BuildError: It is wrong, or has what is not done here; of a longer text, it names the line.
    """
    rendering = _Rendering(source, data)
    if rendering.block(0, writes=True, depth=0) != len(rendering.pieces):
        raise rendering.wrong(rendering.pieces[rendering.at])
    return rendering.writer.source()


class _Rendering:
    def __init__(self, source: Source, data: Mapping[str, Any]) -> None:
        self._source = source
        self._state = _State(data, {"$": data})
        self.pieces = _pieces(source.text)
        self.writer = Writer()
        self.at = 0

    def wrong(self, piece: _Piece) -> BuildError:
        text = self._source.text
        where = f"line {self._source.line_at(piece.start)}: " if "\n" in text else ""
        shown = text[piece.start : piece.end]
        return BuildError(f"{where}the local cloud does not know the template {shown}")

    def block(self, start: int, *, writes: bool, depth: int) -> int:
        """Write pieces up to an `else` or `end`; return the place of that, or the end of all."""
        self.at = start
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            if piece.action is None:
                if writes:
                    self.writer.copy(self._source, piece.start, piece.end)
                self.at += 1
                continue
            keyword = piece.action.split(maxsplit=1)[0] if piece.action.strip() else ""
            if keyword in ("else", "end"):
                return self.at
            if keyword == "if":
                self._if(piece, writes=writes, depth=depth + 1)
                continue
            if writes:
                self._act(piece)
            self.at += 1
        return self.at

    def _if(self, opening: _Piece, *, writes: bool, depth: int) -> None:
        if depth > _DEEPEST:
            raise self.wrong(opening)
        condition: str | None = str(opening.action).split("if", 1)[1]
        done = not writes
        piece = opening
        while True:
            chosen = not done and (condition is None or bool(self._value(piece, condition)))
            done = done or chosen
            place = self.block(self.at + 1, writes=chosen, depth=depth)
            if place == len(self.pieces):
                raise self.wrong(opening)
            last, piece = condition is None, self.pieces[place]
            words = str(piece.action).split(maxsplit=2)
            if words == ["end"]:
                self.at = place + 1
                return
            if last or words[0] == "end" or words[1:2] not in ([], ["if"]):
                raise self.wrong(piece)
            condition = words[2] if words[1:2] == ["if"] and len(words) > 2 else None  # noqa: PLR2004 - else if condition
            if words[1:2] == ["if"] and condition is None:
                raise self.wrong(piece)

    def _act(self, piece: _Piece) -> None:
        text = str(piece.action)
        if _COMMENT.fullmatch(text):
            return
        match = re.match(r"\s*(\$\w+)\s*:?=(?!=)(.*)", text, re.DOTALL)
        if match:
            self._state.variables[match[1]] = self._value(piece, match[2])
            return
        value = go_text(self._value(piece, text))
        self.writer.put(value, self._source.line_at(piece.start))

    def _value(self, piece: _Piece, text: str) -> Any:  # noqa: ANN401 - YAML's values
        try:
            return _Expression(text, self._state).value()
        except (_NotKnown, TypeError, AttributeError, RecursionError) as error:
            raise self.wrong(piece) from error


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = 0
    trim = False
    for match in _ACTION.finditer(text):
        start, end = at, match.start()
        if trim:
            start += len(text[start:end]) - len(text[start:end].lstrip())
        if match["left"]:
            end = start + len(text[start:end].rstrip())
        pieces += [_Piece(start, end), _Piece(match.start(), match.end(), match["body"])]
        at, trim = match.end(), bool(match["right"])
    rest = text[at:]
    pieces.append(_Piece(at + (len(rest) - len(rest.lstrip()) if trim else 0), len(text)))
    opened = text.find("{{", at)
    if opened >= 0:  # without its end, it is no template
        pieces.append(_Piece(opened, len(text), "}}"))
    return pieces


class _Expression:
    """A pipeline: commands whose results are the last argument of the next one."""

    def __init__(self, text: str, state: _State) -> None:
        self._state = state
        self._tokens: list[tuple[str, str]] = []
        at = 0
        stripped = text.rstrip()
        while at < len(stripped):
            match = _TOKEN.match(stripped, at)
            if match is None or match.lastgroup is None:
                raise _NotKnown
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._at = 0

    def value(self) -> Any:  # noqa: ANN401 - YAML's values
        found = self._pipeline()
        if self._at != len(self._tokens):
            raise _NotKnown
        return found

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _pipeline(self) -> Any:  # noqa: ANN401 - YAML's values
        found = self._command([])
        while self._peek() == ("mark", "|"):
            self._at += 1
            if self._peek()[0] != "word":
                raise _NotKnown
            found = self._command([found])
        return found

    def _command(self, piped: list[Any]) -> Any:  # noqa: ANN401 - YAML's values
        kind, text = self._peek()
        if kind == "word" and text not in ("true", "false", "nil"):
            self._at += 1
            function = _FUNCTIONS.get(text)
            if function is None:
                raise _NotKnown
            arguments = []
            while self._peek() not in (("", ""), ("mark", "|"), ("mark", ")")):
                arguments.append(self._operand())
            return function(*arguments, *piped)
        return self._operand()

    def _operand(self) -> Any:  # noqa: ANN401 - one kind of operand each
        kind, text = self._peek()
        self._at += 1
        if kind == "text":
            return json.loads(text)
        if kind == "raw":
            return text[1:-1]
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "field":
            name, *parts = text.split(".")
            found = self._variable(name) if name else self._state.data
            return _path(found, [part for part in parts if part])
        if kind == "variable":
            return self._variable(text)
        if (kind, text) == ("mark", "("):
            found = self._pipeline()
            if self._peek() != ("mark", ")"):
                raise _NotKnown
            self._at += 1
            return found
        if kind == "word" and text in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[text]
        raise _NotKnown

    def _variable(self, name: str) -> Any:  # noqa: ANN401 - YAML's values
        if name not in self._state.variables:
            raise _NotKnown
        return self._state.variables[name]


def _path(value: Any, parts: Sequence[str]) -> Any:  # noqa: ANN401 - YAML's values
    for part in parts:
        if not isinstance(value, Mapping):
            raise _NotKnown  # as Go has it, of nothing there are no fields
        value = value.get(part)
    return value
