"""Aliases: `$Registry` and others, replaced in the text before anything else happens.

The agent's own algorithm, character by character (graph/preprocessor.go): it decides what
`$a$b` and `$$a` mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import yaml
from msgspec import Struct, field

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._text import LIMIT, Mapped, Unknowns
from rebuilder.errors import InvalidBuildFile

_SINCE = "v1.1.0"
_RUN = ("ID", "SharedVolume", "Registry", "RegistryName", "Date", "OS", "Architecture", "Commit")
_RUN_ALIASES = {name: f"{{{{.Run.{name}}}}}" for name in (*_RUN, "Branch")}
_IMAGES = {
    "acr": "mcr.microsoft.com/acr/acr-cli",
    "az": "mcr.microsoft.com/acr/azure-cli",
    "bash": "mcr.microsoft.com/acr/bash",
    "curl": "mcr.microsoft.com/acr/curl",
    "cssc": "mcr.microsoft.com/acr/cssc",
}
_ALIAS = re.compile(r"alias\s*:.*")
_TOP_LEVEL = re.compile(r"[^\s:]+[^:]*:.*")
_KEY = re.compile(r"[a-zA-Z0-9]+")
_NAME = re.compile(r"[a-zA-Z0-9]*")


class Aliases(Struct, frozen=True):
    """The aliases of a file.

    Attributes:
        own: What those of the file itself stand for.
        images: The images that are aliases of the agent.
        agents: Whether there are aliases of the agent.
        elsewhere: Whether other aliases come from files that `alias.src` names.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    agents: bool = False
    elsewhere: bool = False

    def find(self, name: str, unknowns: Unknowns) -> str | None:
        """Return what an alias stands for; None if it is none."""
        found = self.own.get(name)
        if found is not None or not name:
            return found
        if self.elsewhere:
            reason = (
                f"the alias {name} may come from a file that alias.src names, which is not read"
            )
            return unknowns.word(f"${name}", reason, may_be_empty=True)
        if name in self.images:
            image = self.images[name]
            reason = (
                f"{name} is an alias of the agent; which tag of {image} it stands for depends on"
                " the agent's release"
            )
            return f"{image}:{unknowns.word(f'<tag of {name}>', reason)}"
        return _RUN_ALIASES.get(name) if self.agents else None


def version(content: str) -> str:
    """Return the version that decides on aliases: that of the first line that names one.

    Not YAML's: a comment behind it belongs to it, as in the agent.
    """
    for text in content.split("\n"):
        if not text.lstrip("'\"").startswith("version"):
            continue
        name, colon, found = text.partition(":")
        if colon and name.strip().strip("'\"") == "version":
            return found.strip().strip("'\"")
    return ""


def separate(whole: Mapped) -> tuple[Mapped, Mapped]:
    """Return the alias section and the rest of a file, which has no comment lines any more."""
    if not whole.text.startswith("alias") and "\nalias" not in whole.text:
        return Mapped("", (1,)), whole
    section: list[str] = []
    rest: list[str] = []
    lines: tuple[list[int], list[int]] = ([], [])
    inside = False
    for text, line in zip(whole.text.split("\n"), whole.lines, strict=True):
        if not inside and text.startswith("alias") and _ALIAS.match(text):
            inside = True
        elif inside and _TOP_LEVEL.match(text):
            inside = False
        (section if inside else rest).append(text)
        lines[not inside].append(line)
    return _mapped(section, lines[0]), _mapped(rest, lines[1])


def _mapped(texts: list[str], lines: list[int]) -> Mapped:
    return Mapped("\n".join(texts), tuple(lines) or (1,))


def enabled(found: str) -> bool:
    """Tell whether a version has aliases; the agent compares texts."""
    return found >= _SINCE


def replace(section: Mapped, rest: Mapped, os: str, unknowns: Unknowns) -> tuple[Mapped, Aliases]:
    """Replace the aliases in the rest of a file.

    Args:
        section: The alias section, with its templates filled in.
        rest: Everything else.
        os: The operating system of the agent.
        unknowns: Makes placeholders.

    Raises:
        InvalidBuildFile: The agent refuses the section.
    """
    given: Mapping[str, yaml.Node] = {}
    if section.text:
        root = _yaml.compose(section.text, section.line)
        whole = _yaml.fields(root, section.line, "the alias section")
        given = _yaml.fields(whole.get("alias"), section.line, "alias")
    own = {
        name: _yaml.string(node, section.line, f"the alias {name}")
        for name, node in _yaml.fields(given.get("values"), section.line, "alias.values").items()
    }
    directive = _yaml.string(given.get("directive"), section.line, "alias.directive") or "$"
    wrong = next((name for name in own if not _KEY.fullmatch(name)), None)
    first = section.line(0)
    if wrong is not None:
        raise InvalidBuildFile(first, "alias key names only support alphanumeric characters")
    if len(directive) != 1 or _KEY.fullmatch(directive):
        raise InvalidBuildFile(first, "alias.directive is not one character that is no letter")
    elsewhere = bool(_yaml.strings(given.get("src"), section.line, "alias.src"))
    aliases = Aliases(own, {} if os == "windows" else _IMAGES, True, elsewhere)  # noqa: FBT003 - of the agent
    return _replaced(rest, directive, aliases, unknowns), aliases


def expand(words: str, aliases: Aliases, unknowns: Unknowns) -> str:
    """Return a command whose first word may be an alias without its directive."""
    first, space, others = words.strip().partition(" ")
    found = aliases.find(first, unknowns) if _KEY.fullmatch(first) else None
    return words if found is None else f"{found}{space}{others}"


def _replaced(rest: Mapped, directive: str, aliases: Aliases, unknowns: Unknowns) -> Mapped:
    if directive not in rest.text:
        return rest

    def resolve(name: str) -> str | None:
        return aliases.find(name, unknowns)

    pieces: list[str] = []
    lines: list[int] = []
    size = at = 0
    for piece, own in _pieces(rest.text, directive, resolve):
        pieces.append(piece)
        size += len(piece)
        breaks = piece.count("\n")
        if own:
            lines += rest.lines[at : at + breaks]
            at += breaks
        else:
            lines += [rest.lines[at]] * breaks
        if size > LIMIT:
            problem = f"the file becomes longer than {LIMIT} characters"
            raise InvalidBuildFile(rest.lines[at], problem)
    return Mapped("".join(pieces), (*lines, *rest.lines[at:]))


def _pieces(
    text: str, directive: str, resolve: Callable[[str], str | None]
) -> Iterator[tuple[str, bool]]:
    """Replace the aliases of a text; tell of each piece whether it stands there already.

    The end of a line ends every alias: a name has no line break in it.
    """
    position = 0
    while (start := text.find(directive, position)) >= 0:
        yield text[position:start], True
        at = start + 1
        while True:
            if text.startswith(directive, at):
                yield directive, True
                position = at + 1
                break
            name = _NAME.match(text, at)[0]  # type: ignore[index] # it matches nothing, too
            end = at + len(name)
            found = resolve(name)
            yield (directive + name, True) if found is None else (found, False)
            # After an alias that is known another may follow at once; after any other it may not.
            if found is not None and text.startswith(directive, end):
                at = end + 1
                continue
            yield text[end : end + 1], True
            position = end + 1
            break
    yield text[position:], True
