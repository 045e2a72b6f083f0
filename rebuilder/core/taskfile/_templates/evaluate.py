"""Templates: Go's text/template with sprig's functions, as far as task files use them.

Source of the rules: pkg.go.dev/text/template and its parser; templating/engine.go of the agent, by
which a key that is missing is nothing. What is not understood becomes a placeholder; what decides
on the shape of the file and is not known hides the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._templates import functions
from rebuilder.core.taskfile._templates.arguments import Refused, is_empty, printed
from rebuilder.core.taskfile._templates.nodes import (
    Action,
    Branch,
    Call,
    Literal,
    Node,
    Operand,
    Pipeline,
)
from rebuilder.core.taskfile._templates.pipelines import DEPTH
from rebuilder.core.taskfile._templates.tree import OPEN, Tree
from rebuilder.core.taskfile._templates.values import Unknown, Values
from rebuilder.core.taskfile._text import Hidden, Mapped, Unknowns, Writer
from rebuilder.errors import InvalidBuildFile

_STEPS = 20_000
"""How many nodes are carried out; loops and templates that call each other can go on for ever."""

_PLAIN = re.compile(r"\.(Values|Run)\.([A-Za-z_]\w*)")


def render(source: Mapped, values: Values, unknowns: Unknowns) -> Mapped:
    """Fill in the templates of a text.

    Raises:
        InvalidBuildFile: Go's parser refuses a template, or its evaluation fails.
        Hidden: The shape of the text depends on what is not known.
    """
    if OPEN not in source.text:
        return source
    writer = Writer()
    tree = Tree(source)
    _Run(tree, values, unknowns, writer).go()
    return writer.mapped()


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

    def __init__(self, tree: Tree, values: Values, unknowns: Unknowns, writer: Writer) -> None:
        self._tree = tree
        self._values = values
        self._unknowns = unknowns
        self._writer = writer
        self._variables: list[tuple[str, object]] = [("$", _ROOT)]
        self._steps = 0
        self._depth = 0

    def go(self) -> None:
        self._write(self._tree.nodes, _ROOT)

    def _write(self, nodes: Sequence[Node], dot: object) -> None:
        for node in nodes:
            self._steps += 1
            if isinstance(node, Literal):
                self._writer.write_lines(node.text, node.lines)
            elif isinstance(node, Action):
                self._count(node.line)
                found = self._value(node, dot)
                if not node.pipeline.declared:
                    self._writer.write(self._text(found, node), node.line)
            elif isinstance(node, Branch):
                self._branch(node, dot)
            elif isinstance(node, Call):
                self._call(node, dot)
            else:
                raise _Stop(node.word)

    def _count(self, line: int) -> None:
        if self._steps > _STEPS:
            raise InvalidBuildFile(line, f"the templates take more than {_STEPS} steps")

    # Actions that hold others.

    def _branch(self, node: Branch, dot: object) -> None:
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

    def _range(self, node: Branch, found: object, dot: object) -> None:
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

    def _call(self, node: Call, dot: object) -> None:
        self._count(node.line)
        nodes = self._tree.templates.get(node.name)
        if nodes is None:
            raise InvalidBuildFile(node.line, f'template "{node.name}" not defined')
        if self._depth == DEPTH:
            raise InvalidBuildFile(node.line, "the templates call each other too deeply")
        given = None if node.action is None else self._value(node.action, dot)
        outside, self._variables = self._variables, [("$", given)]
        self._depth += 1
        self._write(nodes, given)
        self._depth -= 1
        self._variables = outside

    # Values.

    def _value(self, action: Action, dot: object, *, declare: bool = True) -> object:
        plain = _PLAIN.fullmatch(action.text)
        if plain is not None and dot is _ROOT:
            of = self._values.value if plain[1] == "Values" else self._values.of_run
            return of(plain[2])
        found = self._pipeline(action.pipeline, dot, action.line)
        names = action.pipeline.declared
        if names and declare:
            self._set(names[-1], found, action)
        return found

    def _set(self, name: str, found: object, action: Action) -> None:
        if not action.pipeline.assigns:
            self._variables.append((name, found))
            return
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, found)
                return
        raise InvalidBuildFile(action.line, f"undefined variable {name}")

    def _pipeline(self, pipeline: Pipeline, dot: object, line: int) -> object:
        last: tuple[object, ...] = ()
        for command in pipeline.commands:
            last = (self._command(command, dot, last, line),)
        return last[0]

    def _command(
        self, command: tuple[Operand, ...], dot: object, last: tuple[object, ...], line: int
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

    def _operand(self, operand: Operand, dot: object, line: int) -> object:
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
            case "pipe" if isinstance(operand.value, Pipeline):
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
        except Refused as error:
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
        return is_empty(found)

    def _text(self, found: object, action: Action) -> str:
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
        text = printed(found)
        if text is None:
            return self._unknowns.word(word, f"{action.text} is no text", action.line)
        return text
