"""Aliases: what the agent does with a task file before its templates and its YAML are read.

Source: github.com/Azure/acr-builder at 90b22f3, graph/preprocessor.go,
graph/global-defaults-linux.go, templating/template.go, cmd/acb/commands/exec/exec.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import yaml

from localcloud.builds.job import BuildError
from localcloud.builds.sourcetext import Source, Writer

type Render = Callable[[Source], Source]

_FIRST_WITH_ALIASES = "v1.1.0"
_KNOWN: Mapping[str, str] = {
    **{
        name: f"{{{{.Run.{name}}}}}"
        for name in (
            *("ID", "SharedVolume", "Registry", "RegistryName", "Date", "OS", "Architecture"),
            *("Commit", "Branch"),
        )
    },
    "acr": "mcr.microsoft.com/acr/acr-cli:0.19",
    "az": "mcr.microsoft.com/acr/azure-cli:2ff604c",
    "bash": "mcr.microsoft.com/acr/bash:2ff604c",
    "curl": "mcr.microsoft.com/acr/curl:2ff604c",
    "cssc": "mcr.microsoft.com/acr/cssc:2ff604c",
}
_SECTION = re.compile(r"alias\s*:.*")
_TOP_LEVEL = re.compile(r"[^\s:]+[^:]*:.*")
_NAME = re.compile(r"[a-zA-Z0-9]+")
_NAME_CHARACTER = re.compile(r"[a-zA-Z0-9]")
_QUOTES = "'\""


def without_comments(text: str) -> Source:
    """Return a task file without the lines that are comments, wherever they stand.

    The agent leaves them out before anything else, so no template in them counts.
    """
    kept = [
        (line, number)
        for number, line in enumerate(text.split("\n"), 1)
        if not line.strip().startswith("#")
    ]
    return Source("\n".join(line for line, _ in kept), tuple(n for _, n in kept) or (1,))


def find_version(text: str) -> str:
    """Return the version that a task file says it has, as the agent looks for it.

    Every line is looked at, and the first that names a version counts; quotes are none of it.
    """
    for line in _lines(text):
        if not line.strip() or line.strip().startswith("#"):
            continue
        if not line.lstrip(_QUOTES).startswith("version"):
            continue
        name, colon, value = line.partition(":")
        if colon and name.strip().strip(_QUOTES) == "version":
            return value.strip().strip(_QUOTES)
    return ""


@dataclass(frozen=True, slots=True)
class Aliases:
    """What a file's aliases stand for; of a file without them, nothing does."""

    values: Mapping[str, str]

    def expand_command(self, command: str) -> str:
        """Return a command whose first word, if it is an alias, is what that stands for."""
        first, space, rest = command.strip().partition(" ")
        return self.values.get(first, first) + space + rest


def replace_aliases(source: Source, render: Render) -> tuple[Source, Aliases]:
    """Replace `$name` by what the alias stands for; `$$` is one directive, the rest stays.

    Args:
        source: A task file, without its comments.
        render: Fills in the templates of the alias section, which the agent does before its YAML
            is read.

    Returns:
        The file without its alias section, and what every alias stands for.

    Raises:
        BuildError: The alias section is wrong; it names the line.
    """
    if find_version(source.text) < _FIRST_WITH_ALIASES:
        return source, Aliases({})
    section, rest = _separate(source)
    directive, own = _read(render(section) if section.text else section)
    known = {**_KNOWN, **own}
    return _replace(rest, directive, known), Aliases(known)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _separate(source: Source) -> tuple[Source, Source]:
    """Split a file, which has no comments, into its alias section and the rest."""
    section: list[tuple[str, int]] = []
    rest: list[tuple[str, int]] = []
    inside = False
    for index, line in enumerate(_lines(source.text)):
        if _SECTION.fullmatch(line) and not inside:
            inside = True
        elif _TOP_LEVEL.fullmatch(line) and inside:
            inside = False
        (section if inside else rest).append((f"{line}\n", source.line(index)))
    return _joined(section), _joined(rest)


def _joined(lines: list[tuple[str, int]]) -> Source:
    last = lines[-1][1] + 1 if lines else 1
    return Source("".join(text for text, _ in lines), (*(n for _, n in lines), last))


def _read(section: Source) -> tuple[str, dict[str, str]]:
    """Return the directive and the values of a rendered alias section."""

    def wrong(node: yaml.Node, words: str) -> BuildError:
        return BuildError(f"line {section.line(node.start_mark.line)}: {words}")

    root = yaml.compose(section.text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or _is_empty(root.value[0][1]):
        return "$", {}
    inner = root.value[0][1]
    if not isinstance(inner, yaml.MappingNode):
        raise wrong(inner, "alias is not a mapping")
    directive, own = "$", {}
    for key, value in inner.value:
        if key.value == "directive" and not _is_empty(value):
            directive = str(value.value)
            if len(directive) != 1:
                words = "$ directive can only be overwritten by a single character"
                raise wrong(key, words)
            if _NAME.fullmatch(directive):
                raise wrong(key, "overwritten directives may not be alphanumeric characters")
        elif key.value == "values" and not _is_empty(value):
            if not isinstance(value, yaml.MappingNode):
                raise wrong(value, "alias: values is not a mapping")
            own = {str(name.value): _value(name, text, wrong) for name, text in value.value}
        elif key.value == "src" and not _is_empty(value):
            raise wrong(key, "alias: the local cloud does not do src")
        elif key.value not in ("directive", "values", "src"):
            raise wrong(key, f"alias: ACR knows no {key.value}, and would overlook it")
    return directive, own


def _value(name: yaml.Node, value: yaml.Node, wrong: Callable[[yaml.Node, str], BuildError]) -> str:
    if not _NAME.fullmatch(str(name.value)):
        words = f"alias key names only support alphanumeric characters: {name.value}"
        raise wrong(name, words)
    if not isinstance(value, yaml.ScalarNode):
        raise wrong(value, f"the alias {name.value} is not a text")
    return "" if value.tag == "tag:yaml.org,2002:null" else str(value.value)


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.tag == "tag:yaml.org,2002:null" or node.value == ""
    return not node.value


def _replace(source: Source, directive: str, known: Mapping[str, str]) -> Source:
    """Replace as the agent's state machine does, one character after another.

    An alias that nothing stands for takes the character after it along, so in `$unknown$ID` the
    second is none.
    """
    text, writer = source.text, Writer()
    at = copied = 0
    while at < len(text):
        if text[at] != directive:
            at += 1
            continue
        writer.copy(source, copied, at)
        stands, copied = _one(text, at, directive, known)
        writer.put(stands, source.line_at(at))
        at = copied
    writer.copy(source, copied, len(text))
    return writer.source()


def _one(text: str, at: int, directive: str, known: Mapping[str, str]) -> tuple[str, int]:
    """Return what stands for the directive at a position, and where the text goes on."""
    end = at + 1
    while end < len(text) and _NAME_CHARACTER.match(text[end]):
        end += 1
    name, after = text[at + 1 : end], text[end : end + 1]
    if not name and after == directive:
        return directive, end + 1
    if name in known:
        return known[name], end  # what comes next may be a directive again
    return directive + name + after, end + 1
