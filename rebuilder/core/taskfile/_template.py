"""Templates: the part of Go's text/template and of sprig's functions that task files use.

Source of the rules: pkg.go.dev/text/template; templating/engine.go of the agent, by which a key
that is missing is nothing. What is not understood becomes a stand-in; what decides on the shape
of the file and is not known hides the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._steps import RunContext
from rebuilder.core.taskfile._text import LIMIT, Hidden, Mapped, Unknowns, Writer
from rebuilder.errors import InvalidBuildFile

_DEPTH = 20
_OPEN, _CLOSE = "{{", "}}"
_SPACE = " \t\r\n"
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<number>[-+]?[0-9]+(?![\w.]))
      | (?P<path>\$?(?:\.[A-Za-z_]\w*)+|\$|\.)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>[()|])
      | (?P<other>\S)
    )""",
    re.VERBOSE,
)
_ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n", "\\t": "\t", "\\r": "\r"}
_HIDING = frozenset({"range", "with", "define", "template", "block", "break", "continue"})
_PLAIN = re.compile(r"[ -!#-\[\]-~]*")
_LATER = {
    "ID": "the id of a run",
    "Date": "the date of a run",
    "SharedVolume": "the volume of a run",
    "Commit": "the commit of a run",
    "Branch": "the branch of a run",
    "GitTag": "the git tag of a run",
    "Repository": "the repository of a run",
    "TriggeredBy": "what triggered a run",
    "OSVersion": "the agent's version of its operating system",
    "OS": "the agent's operating system",
    "Architecture": "the agent's processor",
    "TaskName": "the task's name",
    "Registry": "the registry of a run",
    "RegistryName": "the registry of a run",
}
_NEVER_EMPTY = frozenset({"ID", "Date", "SharedVolume", "Registry", "RegistryName"})


@dataclass(frozen=True, slots=True)
class _Unknown:
    reason: str
    may_be_empty: bool = True


@dataclass(frozen=True, slots=True)
class Values:
    """What templates may name.

    Attributes:
        run: `.Run`, as far as it is known.
        file: The values of the values file.
        given: The values of the task, which win.
        hidden: Names of values that are secret.
    """

    run: RunContext
    file: Mapping[str, yaml.Node] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    hidden: Collection[str] = ()


def _line(index: int) -> int:
    """Return the line of the values file, which templates do not change."""
    return index + 1


@dataclass(frozen=True, slots=True)
class _Action:
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _Literal:
    text: str
    line: int


@dataclass(slots=True)
class _If:
    line: int
    branches: list[tuple[_Action | None, list[_Node]]] = field(default_factory=list)


type _Node = _Literal | _Action | _If


def render(source: Mapped, values: Values, unknowns: Unknowns) -> Mapped:
    """Fill in the templates of a text.

    Raises:
        InvalidBuildFile: Go's parser refuses a template, or its evaluation fails.
        Hidden: The shape of the text depends on what is not known.
    """
    writer = Writer()
    _write(_parse(source), values, unknowns, writer)
    return writer.mapped()


def _write(nodes: Sequence[_Node], values: Values, unknowns: Unknowns, writer: Writer) -> None:
    for node in nodes:
        match node:
            case _Literal(text, line):
                writer.write(text, line)
            case _Action(text, line):
                found = _evaluate(node, values)
                writer.write(_text(found, text, unknowns), line)
            case _If():
                for condition, body in node.branches:
                    if condition is None or _true(condition, values):
                        _write(body, values, unknowns, writer)
                        break


def _true(condition: _Action, values: Values) -> bool:
    found = _evaluate(condition, values)
    if isinstance(found, _Unknown | _yaml.Uncertain):
        reason = found.reason if isinstance(found, _Unknown) else "its text is not certain"
        raise Hidden(f"{{{{if {condition.text}}}}}", condition.line, reason)
    return not _empty(found)


def _empty(found: object) -> bool:
    if isinstance(found, yaml.CollectionNode):
        return not found.value
    return not found


def _text(found: object, source: str, unknowns: Unknowns) -> str:
    if isinstance(found, _Unknown):
        return unknowns.word(f"{{{{{source}}}}}", found.reason, may_be_empty=found.may_be_empty)
    if isinstance(found, _yaml.Uncertain):
        reason = f"how {source} is written depends on the agent's YAML parser; put it into quotes"
        return unknowns.word(f"{{{{{source}}}}}", reason)
    if isinstance(found, yaml.Node):
        return unknowns.word(f"{{{{{source}}}}}", f"{source} is a list or a mapping, not a text")
    return _go(found)


def _go(found: object) -> str:
    """Return a value as Go prints it."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        return repr(found).removesuffix(".0")
    return str(found)


# Parsing.


def _parse(source: Mapped) -> list[_Node]:
    nodes: list[_Node] = []
    open_ifs: list[tuple[_If, list[_Node]]] = []
    current = nodes
    for node in _pieces(source):
        if not isinstance(node, _Action):
            current.append(node)
            continue
        word = _first_word(node.text)
        if word in _HIDING or ":=" in node.text or re.match(r"\$\w*\s*=", node.text):
            reason = f"the template action {word or node.text} is not understood"
            raise Hidden(f"{{{{{node.text}}}}}", node.line, reason)
        if word == "if":
            if len(open_ifs) == _DEPTH:
                raise InvalidBuildFile(node.line, "the templates are nested too deeply")
            new = _If(node.line)
            current.append(new)
            open_ifs.append((new, current))
            current = _branch(new, _Action(node.text[2:].strip(), node.line))
        elif word in ("else", "end"):
            if not open_ifs:
                raise InvalidBuildFile(node.line, f"unexpected {{{{{word}}}}}")
            opened, outside = open_ifs[-1]
            if word == "end":
                open_ifs.pop()
                current = outside
            else:
                current = _branch(opened, _else(node))
        else:
            current.append(node)
    if open_ifs:
        raise InvalidBuildFile(open_ifs[-1][0].line, "an {{if}} has no {{end}}")
    return nodes


def _first_word(text: str) -> str:
    found = re.match(r"[A-Za-z]+", text)
    return found[0] if found else ""


def _branch(opened: _If, condition: _Action | None) -> list[_Node]:
    body: list[_Node] = []
    if opened.branches and opened.branches[-1][0] is None:
        raise InvalidBuildFile(opened.line, "an {{if}} has a branch after its {{else}}")
    opened.branches.append((condition, body))
    return body


def _else(node: _Action) -> _Action | None:
    rest = node.text[len("else") :].strip()
    if not rest:
        return None
    if _first_word(rest) != "if":
        raise Hidden(f"{{{{{node.text}}}}}", node.line, f"the action {node.text} is not understood")
    return _Action(rest[2:].strip(), node.line)


def _pieces(source: Mapped) -> Iterator[_Literal | _Action]:
    text, position, line, trim = source.text, 0, 0, False
    while True:
        start = text.find(_OPEN, position)
        literal = text[position:] if start < 0 else text[position:start]
        trim_left, trim = trim, start >= 0 and text[start + 2 : start + 3] == "-"
        trim = trim and text[start + 3 : start + 4] in tuple(_SPACE)
        yield from _literals(source, literal, line, left=trim_left, right=trim)
        if start < 0:
            return
        line += literal.count("\n")
        inside = start + (3 if trim else 2)
        end = _end(text, inside, source.line(line))
        content = text[inside:end]
        trim = content[-1:] == "-" and content[-2:-1] in tuple(_SPACE)
        action = (content[:-1] if trim else content).strip()
        if not action.startswith("/*"):
            if not action:
                raise InvalidBuildFile(source.line(line), "a template says nothing")
            yield _Action(action, source.line(line))
        line += content.count("\n")
        position = end + 2


def _literals(
    source: Mapped, text: str, line: int, *, left: bool, right: bool
) -> Iterator[_Literal]:
    if left:
        trimmed = text.lstrip(_SPACE)
        line += text[: len(text) - len(trimmed)].count("\n")
        text = trimmed
    if right:
        text = text.rstrip(_SPACE)
    # Line by line: the source's own lines need not follow each other.
    for piece in re.findall(r"[^\n]*\n|[^\n]+", text):
        yield _Literal(piece, source.line(line))
        line += 1


def _end(text: str, position: int, line: int) -> int:
    """Return where an action ends: at the first }} outside of its strings."""
    if text.startswith("/*", position) or text[position : position + 3].strip() == "/*":
        close = text.find("*/", position)
        end = text.find(_CLOSE, close) if close >= 0 else -1
        if end < 0:
            raise InvalidBuildFile(line, "a template's comment is not closed")
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


class _Parser:
    """Evaluates one pipeline while it reads it."""

    def __init__(self, action: _Action, values: Values) -> None:
        self._line = action.line
        self._values = values
        self._tokens = [
            (str(match.lastgroup), match[match.lastgroup or 0])
            for match in _TOKEN.finditer(action.text)
        ]
        self._at = 0
        self._depth = 0

    def whole(self) -> object:
        """Return the value of the whole action."""
        found = self._pipeline()
        if self._at < len(self._tokens):
            return _Unknown("the template is not understood")
        return found

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self) -> tuple[str, str]:
        found = self._peek()
        self._at += 1
        return found

    def _pipeline(self) -> object:
        self._depth += 1
        if self._depth > _DEPTH:
            raise InvalidBuildFile(self._line, "the templates are nested too deeply")
        found = self._command(())
        while self._peek()[1] == "|" and self._peek()[0] == "mark":
            self._take()
            found = self._command((found,))
        self._depth -= 1
        return found

    def _command(self, last: tuple[object, ...]) -> object:
        kind, text = self._peek()
        if kind == "word" and text not in ("true", "false", "nil"):
            self._take()
            return self._call(text, [*self._operands(), *last])
        operands = [*self._operands()]
        if len(operands) != 1 or last:
            return _Unknown("the template is not understood")
        return operands[0]

    def _operands(self) -> Iterator[object]:
        while True:
            kind, text = self._peek()
            if not kind or (kind == "mark" and text != "("):
                return
            self._take()
            yield self._operand(kind, text)

    def _operand(self, kind: str, text: str) -> object:
        match kind:
            case "string" if text[0] == "`":
                return text[1:-1]
            case "string":
                inner = text[1:-1]
                if not set(re.findall(r"\\.", inner)) <= _ESCAPES.keys():
                    return _Unknown("the template is not understood")
                return re.sub(r"\\.", lambda found: _ESCAPES[found[0]], inner)
            case "number":
                return int(text)
            case "path":
                return self._path(text.lstrip("$").lstrip(".").split(".") if text != "." else [])
            case "word":
                # A function without arguments, or a constant.
                constants = {"true": True, "false": False, "nil": None}
                return constants[text] if text in constants else self._call(text, [])
            case "mark":
                found = self._pipeline()
                if self._take() != ("mark", ")"):
                    raise InvalidBuildFile(self._line, "a parenthesis of a template is not closed")
                return found
            case _:
                return _Unknown("the template is not understood")

    def _path(self, names: list[str]) -> object:
        match names:
            case ["Values", name, *rest]:
                return self._value(name, rest)
            case ["Run", name]:
                return self._run(name)
            case ["Build", "ID"]:
                return self._run("ID")
            case ["Secrets", *_]:
                return _Unknown("secrets are not read")
            case ["Values" | "Run" | "Build" | "ValuesJSON" | "RunJSON" | ""] | []:
                return _Unknown("everything that a run knows is more than is known here")
            case ["Run" | "Build", *_]:
                return _Unknown("the template is not understood")
            case [_]:
                return None
            case _:
                raise self._nil(names[1])

    def _nil(self, name: str) -> InvalidBuildFile:
        return InvalidBuildFile(
            self._line, f"a template asks for .{name} of what is not there or has no fields"
        )

    def _run(self, name: str) -> object:
        run = self._values.run
        known = {
            "Registry": run.registry,
            "RegistryName": run.registry.partition(".")[0],
            "OS": run.os,
            "Architecture": run.architecture,
            "TaskName": run.task,
        }
        if name not in _LATER:
            return None
        if known.get(name):
            return known[name]
        reason = f"{_LATER[name]} is known only when it starts"
        return _Unknown(reason, name not in _NEVER_EMPTY)

    def _value(self, name: str, rest: list[str]) -> object:
        if name in self._values.hidden:
            return _Unknown(f"the value {name} is secret")
        if name in self._values.given:
            if rest:
                raise self._nil(rest[0])
            return self._values.given[name]
        node = self._values.file.get(name)
        for inner in rest:
            if not isinstance(node, yaml.MappingNode):
                raise self._nil(inner)
            node = _yaml.fields(node, _line, "the values").get(inner)
        return None if node is None else _yaml.value(node)

    def _call(self, name: str, arguments: list[object]) -> object:
        function = _FUNCTIONS.get(name)
        if function is None:
            return _Unknown(f"the template function {name} is not understood")
        for argument in arguments:
            if isinstance(argument, _Unknown):
                return argument
            if isinstance(argument, _yaml.Uncertain | yaml.Node):
                return _Unknown("the template is not understood")
        try:
            return function(*arguments)
        except (TypeError, ValueError):
            return _Unknown(f"what the template function {name} is given is not understood")


def _evaluate(action: _Action, values: Values) -> object:
    return _Parser(action, values).whole()


def _string(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError
    return found


def _quote(found: object) -> str:
    text = _go(found)
    if not _PLAIN.fullmatch(text):
        raise ValueError(text)
    return f'"{text}"'


def _equal(first: object, *others: object) -> bool:
    if not others or any(type(other) is not type(first) for other in others):
        raise TypeError
    return first in others


def _different(first: object, other: object) -> bool:
    return not _equal(first, other)


def _and(*given: object) -> object:
    return next((found for found in given if _empty(found)), given[-1])


def _or(*given: object) -> object:
    return next((found for found in given if not _empty(found)), given[-1])


def _default(instead: object, found: object = None) -> object:
    return instead if _empty(found) else found


def _replace(old: object, new: object, found: object) -> str:
    text, before, after = _string(found), _string(old), _string(new)
    if not before or len(text) * len(after) > LIMIT:
        raise ValueError(before)
    return text.replace(before, after)


_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "default": _default,
    "coalesce": lambda *given: next((found for found in given if not _empty(found)), None),
    "empty": _empty,
    "quote": _quote,
    "squote": lambda found: f"'{_go(found)}'",
    "toString": _go,
    "lower": lambda found: _string(found).lower(),
    "upper": lambda found: _string(found).upper(),
    "trim": lambda found: _string(found).strip(),
    "trimPrefix": lambda prefix, found: _string(found).removeprefix(_string(prefix)),
    "trimSuffix": lambda suffix, found: _string(found).removesuffix(_string(suffix)),
    "replace": _replace,
    "eq": _equal,
    "ne": _different,
    "and": _and,
    "or": _or,
    "not": _empty,
}
