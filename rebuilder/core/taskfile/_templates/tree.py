"""The text around templates, cut into its nodes.

Source of the rules: the parser of Go's text/template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from rebuilder.core.taskfile._templates.nodes import Action, Branch, Call, Jump, Literal, Node
from rebuilder.core.taskfile._templates.pipelines import (
    DEPTH,
    SPACE,
    SPACES,
    TOKEN,
    Odd,
    parse,
    unquoted,
)
from rebuilder.core.taskfile._text import Mapped
from rebuilder.errors import InvalidBuildFile

OPEN, _CLOSE = "{{", "}}"
_OPENING = frozenset({"if", "with", "range", "define", "block"})
_KEYWORDS = _OPENING | {"else", "end", "template", "break", "continue"}


class _Piece(Struct, frozen=True):
    """What stands between {{ and }}."""

    text: str
    line: int


class Tree:
    """A parsed text: its nodes, and the templates that it defines."""

    def __init__(self, source: Mapped) -> None:
        self.templates: dict[str, list[Node]] = {}
        self.nodes: list[Node] = []
        # Of each that is open: its word, where it is, and the nodes around it.
        self._open: list[tuple[str, Branch | str, list[Node]]] = []
        self._current = self.nodes
        for piece in _pieces(source):
            if isinstance(piece, Literal):
                self._current.append(piece)
            else:
                self._add(piece)
        if self._open:
            raise InvalidBuildFile(source.line(10**9), f"an {{{{{self._open[-1][0]}}}}} has no end")

    def _add(self, piece: _Piece) -> None:
        # Most begin with a point, and so with none of the words.
        word = "" if piece.text[0] == "." else _first_word(piece.text)
        rest = piece.text[len(word) :].strip()
        if word in ("if", "with", "range"):
            self._enter(word, Branch(word, _action(rest, piece.line)), piece.line)
        elif word in ("define", "block"):
            self._define(word, rest, piece.line)
        elif word == "else":
            self._else(rest, piece.line)
        elif word == "end":
            if not self._open:
                raise InvalidBuildFile(piece.line, "unexpected {{end}}")
            self._leave()
        elif word == "template":
            name, action = _named(rest, piece.line)
            self._current.append(Call(name, action, piece.line))
        elif word in ("break", "continue"):
            if all(open_[0] != "range" for open_ in self._open):
                raise InvalidBuildFile(piece.line, f"{{{{{word}}}}} outside {{{{range}}}}")
            self._current.append(Jump(word))
        else:
            self._current.append(_action(piece.text, piece.line))

    def _enter(self, word: str, opened: Branch | str, line: int) -> None:
        if len(self._open) == DEPTH:
            raise InvalidBuildFile(line, "the templates are nested too deeply")
        self._open.append((word, opened, self._current))
        if isinstance(opened, Branch):
            self._current.append(opened)
            self._current = opened.body
        else:
            self._current = self.templates.setdefault(opened, [])

    def _define(self, word: str, rest: str, line: int) -> None:
        name, action = _named(rest, line)
        if word == "block":
            self._current.append(Call(name, action, line))
        elif self._open or action is not None:
            raise InvalidBuildFile(line, "unexpected {{define}}")
        self.templates[name] = []
        self._enter(word, name, line)

    def _else(self, rest: str, line: int) -> None:
        word, opened, _ = self._open[-1] if self._open else ("", "", [])
        if not isinstance(opened, Branch) or opened.otherwise is self._current:
            raise InvalidBuildFile(line, "unexpected {{else}}")
        self._current = opened.otherwise
        following = _first_word(rest)
        if not rest:
            return
        if following not in ("if", "with") or word == "range":
            raise InvalidBuildFile(line, f"unexpected {rest} after {{{{else}}}}")
        branch = Branch(following, _action(rest[len(following) :].strip(), line))
        # One {{end}} closes both.
        self._enter("else", branch, line)

    def _leave(self) -> None:
        while True:
            word, _, self._current = self._open.pop()
            if word != "else":
                return


def _first_word(text: str) -> str:
    found = re.match(r"[A-Za-z]+(?![\w.])", text)
    return found[0] if found and found[0] in _KEYWORDS else ""


def _named(text: str, line: int) -> tuple[str, Action | None]:
    found = TOKEN.match(text)
    if found is None or found.lastgroup != "string":
        raise InvalidBuildFile(line, "a template has no name")
    rest = text[found.end() :].strip()
    return str(unquoted(found["string"])), _action(rest, line) if rest else None


def _action(text: str, line: int) -> Action:
    try:
        return Action(text, parse(text), line)
    except Odd as error:
        raise InvalidBuildFile(line, f"{{{{{text}}}}}: {error}") from None


def _pieces(source: Mapped) -> Iterator[Literal | _Piece]:
    text, position, line, trim = source.text, 0, 0, False
    while True:
        start = text.find(OPEN, position)
        literal = text[position:] if start < 0 else text[position:start]
        trim_left, trim = trim, start >= 0 and text[start + 2 : start + 3] == "-"
        trim = trim and text[start + 3 : start + 4] in SPACES
        if found := _literal(source, literal, line, left=trim_left, right=trim):
            yield found
        if start < 0:
            return
        line += literal.count("\n")
        inside = start + (3 if trim else 2)
        end = _end(text, inside, source.line(line))
        content = text[inside:end]
        trim = content[-1:] == "-" and content[-2:-1] in SPACES
        action = (content[:-1] if trim else content).strip()
        if not action.startswith("/*"):
            if not action:
                raise InvalidBuildFile(source.line(line), "a template says nothing")
            yield _Piece(action, source.line(line))
        line += content.count("\n")
        position = end + 2


def _literal(source: Mapped, text: str, line: int, *, left: bool, right: bool) -> Literal | None:
    if left:
        trimmed = text.lstrip(SPACE)
        line += text[: len(text) - len(trimmed)].count("\n")
        text = trimmed
    if right:
        text = text.rstrip(SPACE)
    if not text:
        return None
    # The source's own lines need not follow each other.
    lines = source.lines[line : line + text.count("\n") + 1]
    return Literal(text, lines or source.lines[-1:])


def _end(text: str, position: int, line: int) -> int:
    """Return where an action ends: at the first }} outside of its strings."""
    if text.startswith("/*", position) or text[position : position + 3].strip() == "/*":
        close = text.find("*/", position)
        end = text.find(_CLOSE, close) if close >= 0 else -1
        if end < 0:
            raise InvalidBuildFile(line, "a template's comment is not closed")
        return end
    end = text.find(_CLOSE, position)
    inner = text[position:end]
    if end >= 0 and '"' not in inner and "`" not in inner:
        return end
    quote = ""
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\" and quote == '"':
                position += 1
            elif char == quote:
                quote = ""
        elif char in '"`':
            quote = char
        elif text.startswith(_CLOSE, position):
            return position
        position += 1
    raise InvalidBuildFile(line, "a template is not closed")
