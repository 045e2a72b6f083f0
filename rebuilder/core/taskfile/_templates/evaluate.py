"""Templates: Go's text/template with sprig's functions, as far as task files use them.

Source of the rules: pkg.go.dev/text/template and its parser; templating/engine.go of the agent, by
which a key that is missing is nothing. What is not understood becomes a stand-in; what decides on
the shape of the file and is not known hides the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import yaml
from msgspec import Struct, field

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._templates import functions
from rebuilder.core.taskfile._templates.values import Unknown, Values
from rebuilder.core.taskfile._text import Hidden, Mapped, Unknowns, Writer
from rebuilder.errors import InvalidBuildFile

_DEPTH = 50
_STEPS = 20_000
"""How many nodes are carried out; loops and templates that call each other can go on for ever."""

_OPEN, _CLOSE = "{{", "}}"
_SPACE = " \t\r\n"
_SPACES = frozenset(_SPACE)
_DIGITS = 19
_TOKEN = re.compile(
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
_PLAIN = re.compile(r"\.(Values|Run)\.([A-Za-z_]\w*)")
_OPENING = frozenset({"if", "with", "range", "define", "block"})
_KEYWORDS = _OPENING | {"else", "end", "template", "break", "continue"}


# What a template is made of.


class _Literal(Struct, frozen=True):
    text: str
    lines: Sequence[int]


class _Operand(Struct, frozen=True):
    """A value, and the fields that are asked of it.

    `kind` is literal, dot, variable, call, pipe or odd; `value` is the literal, the variable's or
    function's name, or the pipeline.
    """

    kind: str
    value: object = None
    fields: tuple[str, ...] = ()


class _Pipeline(Struct, frozen=True):
    commands: tuple[tuple[_Operand, ...], ...]
    declared: tuple[str, ...] = ()
    assigns: bool = False


class _Action(Struct, frozen=True):
    text: str
    pipeline: _Pipeline
    line: int


class _Branch(Struct):
    """An `if`, `with` or `range`: what decides, what then comes, what comes else."""

    word: str
    decides: _Action
    body: list[_Node] = field(default_factory=list)
    otherwise: list[_Node] = field(default_factory=list)


class _Call(Struct, frozen=True):
    """The text of another template."""

    name: str
    action: _Action | None
    line: int


class _Jump(Struct, frozen=True):
    word: str


type _Node = _Literal | _Action | _Branch | _Call | _Jump


def render(source: Mapped, values: Values, unknowns: Unknowns) -> Mapped:
    """Fill in the templates of a text.

    Raises:
        InvalidBuildFile: Go's parser refuses a template, or its evaluation fails.
        Hidden: The shape of the text depends on what is not known.
    """
    if _OPEN not in source.text:
        return source
    writer = Writer()
    tree = _Tree(source)
    _Run(tree, values, unknowns, writer).go()
    return writer.mapped()


# Parsing.


class _Piece(Struct, frozen=True):
    """What stands between {{ and }}."""

    text: str
    line: int


class _Tree:
    """A parsed text: its nodes, and the templates that it defines."""

    def __init__(self, source: Mapped) -> None:
        self.templates: dict[str, list[_Node]] = {}
        self.nodes: list[_Node] = []
        # Of each that is open: its word, where it is, and the nodes around it.
        self._open: list[tuple[str, _Branch | str, list[_Node]]] = []
        self._current = self.nodes
        for piece in _pieces(source):
            if isinstance(piece, _Literal):
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
            self._enter(word, _Branch(word, _action(rest, piece.line)), piece.line)
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
            self._current.append(_Call(name, action, piece.line))
        elif word in ("break", "continue"):
            if all(open_[0] != "range" for open_ in self._open):
                raise InvalidBuildFile(piece.line, f"{{{{{word}}}}} outside {{{{range}}}}")
            self._current.append(_Jump(word))
        else:
            self._current.append(_action(piece.text, piece.line))

    def _enter(self, word: str, opened: _Branch | str, line: int) -> None:
        if len(self._open) == _DEPTH:
            raise InvalidBuildFile(line, "the templates are nested too deeply")
        self._open.append((word, opened, self._current))
        if isinstance(opened, _Branch):
            self._current.append(opened)
            self._current = opened.body
        else:
            self._current = self.templates.setdefault(opened, [])

    def _define(self, word: str, rest: str, line: int) -> None:
        name, action = _named(rest, line)
        if word == "block":
            self._current.append(_Call(name, action, line))
        elif self._open or action is not None:
            raise InvalidBuildFile(line, "unexpected {{define}}")
        self.templates[name] = []
        self._enter(word, name, line)

    def _else(self, rest: str, line: int) -> None:
        word, opened, _ = self._open[-1] if self._open else ("", "", [])
        if not isinstance(opened, _Branch) or opened.otherwise is self._current:
            raise InvalidBuildFile(line, "unexpected {{else}}")
        self._current = opened.otherwise
        following = _first_word(rest)
        if not rest:
            return
        if following not in ("if", "with") or word == "range":
            raise InvalidBuildFile(line, f"unexpected {rest} after {{{{else}}}}")
        branch = _Branch(following, _action(rest[len(following) :].strip(), line))
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


def _named(text: str, line: int) -> tuple[str, _Action | None]:
    found = _TOKEN.match(text)
    if found is None or found.lastgroup != "string":
        raise InvalidBuildFile(line, "a template has no name")
    rest = text[found.end() :].strip()
    return str(_string(found["string"])), _action(rest, line) if rest else None


def _action(text: str, line: int) -> _Action:
    try:
        return _Action(text, _parse(text), line)
    except _Odd as error:
        raise InvalidBuildFile(line, f"{{{{{text}}}}}: {error}") from None


class _Odd(Exception):
    """Go's parser refuses a template."""


@lru_cache(maxsize=1024)
def _parse(text: str) -> _Pipeline:
    return _Parser(text).whole()


class _Parser:
    """Parses one pipeline."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            (str(match.lastgroup), match[match.lastgroup or 0], match[0][0] in _SPACE)
            for match in _TOKEN.finditer(text)
        ]
        self._at = 0

    def whole(self) -> _Pipeline:
        found = self._pipeline(0)
        if self._at < len(self._tokens):
            raise _Odd(f"unexpected {self._tokens[self._at][1]!r}")
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

    def _pipeline(self, depth: int) -> _Pipeline:
        if depth > _DEPTH:
            raise _Odd("it is nested too deeply")
        names, assigns = self._declared()
        commands = [self._command(depth)]
        while self._is("|"):
            self._at += 1
            commands.append(self._command(depth))
        return _Pipeline(tuple(commands), names, assigns)

    def _command(self, depth: int) -> tuple[_Operand, ...]:
        operands: list[_Operand] = []
        while self._peek()[0] and not self._is("|") and not self._is(")"):
            operands.append(self._operand(depth))
        if not operands:
            raise _Odd("a value is missing")
        return tuple(operands)

    def _operand(self, depth: int) -> _Operand:
        kind, text, _ = self._peek()
        self._at += 1
        found = _Operand("odd")
        match kind:
            case "string":
                literal = _string(text)
                found = _Operand("odd") if literal is None else _Operand("literal", literal)
            case "number":
                found = _number(text)
            case "dot":
                return _Operand("dot")
            case "field":
                self._at -= 1
                found = _Operand("dot")
            case "variable":
                found = _Operand("variable", text)
            case "word" if text in _CONSTANTS:
                found = _Operand("literal", _CONSTANTS[text])
            case "word" if text in functions.NAMES:
                return _Operand("call", text)
            case "word":
                raise _Odd(f'function "{text}" not defined')
            case "mark" if text == "(":
                inner = self._pipeline(depth + 1)
                if not self._is(")"):
                    raise _Odd("a parenthesis is not closed")
                self._at += 1
                found = _Operand("pipe", inner)
            case _:
                raise _Odd(f"unexpected {text!r}")
        fields: list[str] = []
        while self._peek()[0] == "field" and (
            not self._peek()[2] or (kind == "field" and not fields)
        ):
            fields.append(self._peek()[1][1:])
            self._at += 1
        return _Operand(found.kind, found.value, tuple(fields)) if fields else found


def _string(text: str) -> str | None:
    if text[0] == "`":
        return text[1:-1]
    inner = text[1:-1]
    if not set(re.findall(r"\\.", inner)) <= _ESCAPES.keys():
        return None
    return re.sub(r"\\.", lambda found: _ESCAPES[found[0]], inner)


def _number(text: str) -> _Operand:
    if _NUMBER.fullmatch(text) and len(text) <= _DIGITS:
        return _Operand("literal", int(text))
    if _DECIMAL.fullmatch(text):
        return _Operand("literal", float(text))
    return _Operand("odd")


def _pieces(source: Mapped) -> Iterator[_Literal | _Piece]:
    text, position, line, trim = source.text, 0, 0, False
    while True:
        start = text.find(_OPEN, position)
        literal = text[position:] if start < 0 else text[position:start]
        trim_left, trim = trim, start >= 0 and text[start + 2 : start + 3] == "-"
        trim = trim and text[start + 3 : start + 4] in _SPACES
        if found := _literal(source, literal, line, left=trim_left, right=trim):
            yield found
        if start < 0:
            return
        line += literal.count("\n")
        inside = start + (3 if trim else 2)
        end = _end(text, inside, source.line(line))
        content = text[inside:end]
        trim = content[-1:] == "-" and content[-2:-1] in _SPACES
        action = (content[:-1] if trim else content).strip()
        if not action.startswith("/*"):
            if not action:
                raise InvalidBuildFile(source.line(line), "a template says nothing")
            yield _Piece(action, source.line(line))
        line += content.count("\n")
        position = end + 2


def _literal(source: Mapped, text: str, line: int, *, left: bool, right: bool) -> _Literal | None:
    if left:
        trimmed = text.lstrip(_SPACE)
        line += text[: len(text) - len(trimmed)].count("\n")
        text = trimmed
    if right:
        text = text.rstrip(_SPACE)
    if not text:
        return None
    # The source's own lines need not follow each other.
    lines = source.lines[line : line + text.count("\n") + 1]
    return _Literal(text, lines or source.lines[-1:])


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


# Evaluation.


class _Root:
    """`.` at the beginning: everything that a template may name."""


class _OfRun:
    """`.Run` as a whole."""


class _OfValues:
    """`.Values` as a whole."""


class _OfSecrets:
    """`.Secrets` as a whole."""


class _OfBuild:
    """`.Build` as a whole."""


_ROOT, _OF_RUN, _OF_VALUES = _Root(), _OfRun(), _OfValues()
_PARTS: dict[str, object] = {
    "Run": _OF_RUN,
    "Values": _OF_VALUES,
    "Secrets": _OfSecrets(),
    "Build": _OfBuild(),
}


class _Stop(Exception):
    """A {{break}} or {{continue}} on its way to its {{range}}."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class _Run:
    """Carries out a tree."""

    def __init__(self, tree: _Tree, values: Values, unknowns: Unknowns, writer: Writer) -> None:
        self._tree = tree
        self._values = values
        self._unknowns = unknowns
        self._writer = writer
        self._variables: list[tuple[str, object]] = [("$", _ROOT)]
        self._steps = 0
        self._depth = 0

    def go(self) -> None:
        self._write(self._tree.nodes, _ROOT)

    def _write(self, nodes: Sequence[_Node], dot: object) -> None:
        for node in nodes:
            self._steps += 1
            if isinstance(node, _Literal):
                self._writer.write_lines(node.text, node.lines)
            elif isinstance(node, _Action):
                self._count(node.line)
                found = self._value(node, dot)
                if not node.pipeline.declared:
                    self._writer.write(self._text(found, node), node.line)
            elif isinstance(node, _Branch):
                self._branch(node, dot)
            elif isinstance(node, _Call):
                self._call(node, dot)
            else:
                raise _Stop(node.word)

    def _count(self, line: int) -> None:
        if self._steps > _STEPS:
            raise InvalidBuildFile(line, f"the templates take more than {_STEPS} steps")

    # Actions that hold others.

    def _branch(self, node: _Branch, dot: object) -> None:
        self._count(node.decides.line)
        known = len(self._variables)
        found = self._value(node.decides, dot, declare=node.word != "range")
        if isinstance(found, Unknown) and found.value:
            found = None  # what nobody gives is nothing to a condition, and meant to be
        if isinstance(found, Unknown | _yaml.Uncertain):
            reason = found.reason if isinstance(found, Unknown) else "its text is not certain"
            text = f"{{{{{node.word} {node.decides.text}}}}}"
            raise Hidden(text, node.decides.line, reason)
        if node.word == "range":
            self._range(node, found, dot)
        elif self._empty(found):
            self._write(node.otherwise, dot)
        else:
            self._write(node.body, found if node.word == "with" else dot)
        del self._variables[known:]

    def _range(self, node: _Branch, found: object, dot: object) -> None:
        line = node.decides.line
        if isinstance(found, yaml.SequenceNode):
            found = [_yaml.value(item) for item in found.value]
        if found is None:
            found = []
        keys: Sequence[object] = range(len(found)) if isinstance(found, list) else ()
        if isinstance(found, dict):
            keys = sorted(found)  # as Go goes through a map
            found = [found[key] for key in keys]
        if not isinstance(found, list):
            text = f"{{{{range {node.decides.text}}}}}"
            raise Hidden(text, line, "what it goes through is not understood")
        if not found:
            self._write(node.otherwise, dot)
        names = node.decides.pipeline.declared
        known = len(self._variables)
        for key, item in zip(keys, found, strict=True):
            values = (key, item)[-len(names) :] if names else ()
            self._variables += zip(names, values, strict=True)
            try:
                self._write(node.body, item)
            except _Stop as stop:
                if stop.word == "break":
                    return
            finally:
                del self._variables[known:]
            self._steps += 1
            self._count(line)

    def _call(self, node: _Call, dot: object) -> None:
        self._count(node.line)
        nodes = self._tree.templates.get(node.name)
        if nodes is None:
            raise InvalidBuildFile(node.line, f'template "{node.name}" not defined')
        if self._depth == _DEPTH:
            raise InvalidBuildFile(node.line, "the templates call each other too deeply")
        given = None if node.action is None else self._value(node.action, dot)
        outside, self._variables = self._variables, [("$", given)]
        self._depth += 1
        self._write(nodes, given)
        self._depth -= 1
        self._variables = outside

    # Values.

    def _value(self, action: _Action, dot: object, *, declare: bool = True) -> object:
        plain = _PLAIN.fullmatch(action.text)
        if plain is not None and dot is _ROOT:
            of = self._values.value if plain[1] == "Values" else self._values.of_run
            return of(plain[2])
        found = self._pipeline(action.pipeline, dot, action.line)
        names = action.pipeline.declared
        if names and declare:
            self._set(names[-1], found, action)
        return found

    def _set(self, name: str, found: object, action: _Action) -> None:
        if not action.pipeline.assigns:
            self._variables.append((name, found))
            return
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, found)
                return
        raise InvalidBuildFile(action.line, f"undefined variable {name}")

    def _pipeline(self, pipeline: _Pipeline, dot: object, line: int) -> object:
        last: tuple[object, ...] = ()
        for command in pipeline.commands:
            last = (self._command(command, dot, last, line),)
        return last[0]

    def _command(
        self, command: tuple[_Operand, ...], dot: object, last: tuple[object, ...], line: int
    ) -> object:
        first, *others = command
        if first.kind == "call":
            given = [self._operand(operand, dot, line) for operand in others]
            return self._function(str(first.value), [*given, *last], line)
        if others or last:
            if first.kind == "odd":
                return Unknown("the template is not understood")
            raise InvalidBuildFile(line, "a template gives arguments to what is no function")
        return self._operand(first, dot, line)

    def _operand(self, operand: _Operand, dot: object, line: int) -> object:
        match operand.kind:
            case "literal":
                found = operand.value
            case "dot":
                found = dot
            case "variable":
                known = (
                    value for name, value in reversed(self._variables) if name == operand.value
                )
                try:
                    found = next(known)
                except StopIteration:
                    reason = f"undefined variable {operand.value}"
                    raise InvalidBuildFile(line, reason) from None
            case "call":
                found = self._function(str(operand.value), [], line)
            case "pipe" if isinstance(operand.value, _Pipeline):
                found = self._pipeline(operand.value, dot, line)
            case _:
                return Unknown("the template is not understood")
        for name in operand.fields:
            found = self._field(found, name, line)
        return found

    def _field(self, of: object, name: str, line: int) -> object:
        match of:
            case _Root():
                if name in ("ValuesJSON", "RunJSON"):
                    return Unknown("everything that a run knows is more than is known here", False)  # noqa: FBT003 - may be empty
                return _PARTS.get(name)
            case _OfValues():
                return self._values.value(name)
            case _OfRun():
                return self._values.of_run(name)
            case _OfBuild():
                return self._values.of_run("ID") if name == "ID" else None
            case _OfSecrets():
                return self._values.secret()
            case Unknown():
                return of
            case dict():
                return of.get(name)
        raise InvalidBuildFile(
            line, f"a template asks for .{name} of what is not there or has no fields"
        )

    def _function(self, name: str, arguments: list[object], line: int) -> object:
        if name == "index" and arguments:
            return self._index(arguments, line)
        if name == "hasKey" and len(arguments) == 2 and isinstance(arguments[0], _OfValues):  # noqa: PLR2004 - where and what
            return str(arguments[1]) in self._values
        given = [
            [_yaml.value(item) for item in argument.value]
            if isinstance(argument, yaml.SequenceNode)
            else argument
            for argument in arguments
        ]
        try:
            return functions.call(name, given)
        except functions.Refused as error:
            raise InvalidBuildFile(line, f"a template fails: {name}: {error}") from None

    def _index(self, arguments: list[object], line: int) -> object:
        found, *keys = arguments
        if found is None and not keys:
            raise InvalidBuildFile(line, "a template fails: index of nothing")
        for key in keys:
            if isinstance(found, Unknown) or isinstance(key, Unknown):
                return found if isinstance(found, Unknown) else key
            if isinstance(found, yaml.SequenceNode):
                found = [_yaml.value(item) for item in found.value]
            if isinstance(found, list) and isinstance(key, int) and not isinstance(key, bool):
                if not 0 <= key < len(found):
                    raise InvalidBuildFile(line, f"a template fails: index out of range: {key}")
                found = found[key]
            elif isinstance(key, str) and isinstance(
                found, _Root | _OfValues | _OfRun | _OfBuild | _OfSecrets
            ):
                found = self._field(found, key, line)
            elif isinstance(key, str) and isinstance(found, dict):
                found = found.get(key)
            else:
                raise InvalidBuildFile(line, "a template fails: index of what has no such keys")
        return found

    def _empty(self, found: object) -> bool:
        if isinstance(found, yaml.CollectionNode):
            return not found.value
        if isinstance(found, _OfValues):
            values = self._values
            return not (values.file or values.given or values.hidden)
        return functions.is_empty(found)

    def _text(self, found: object, action: _Action) -> str:
        word = f"{{{{{action.text}}}}}"
        if isinstance(found, Unknown):
            return self._unknowns.word(
                word,
                found.reason,
                action.line,
                may_be_empty=found.may_be_empty,
                value=found.value,
                later=found.later,
                host=found.host,
            )
        if isinstance(found, yaml.SequenceNode):
            found = [_yaml.value(item) for item in found.value]
        if isinstance(found, str):
            return found
        text = functions.printed(found)
        if text is None:
            return self._unknowns.word(word, f"{action.text} is no text", action.line)
        return text
