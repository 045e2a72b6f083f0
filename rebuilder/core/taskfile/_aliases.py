"""Aliases: `$Registry` and others, replaced in the text before anything else happens.

The agent's own algorithm, character by character (graph/preprocessor.go): it decides what
`$a$b` and `$$a` mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._text import Mapped, Unknowns, Writer
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
_COMMENT = re.compile(r"\s*#")
_KEY = re.compile(r"[a-zA-Z0-9]+")


@dataclass(frozen=True, slots=True)
class Aliases:
    """The aliases of a file.

    Attributes:
        values: What each stands for.
        elsewhere: Whether other aliases come from files that `alias.src` names.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    elsewhere: bool = False


def version(content: str) -> str:
    """Return the version that decides on aliases: that of the first line that says anything.

    Not YAML's: quotes and comments belong to it, as in the agent.
    """
    for text in content.split("\n"):
        trimmed = text.strip()
        if not trimmed or trimmed.startswith("#"):
            continue
        name, colon, found = text.partition(":")
        return found.strip() if colon and name.strip() == "version" and text[0] == "v" else ""
    return ""


def separate(content: str) -> tuple[Mapped, Mapped]:
    """Return the alias section and the rest, both without lines that are comments."""
    section, rest = Writer(), Writer()
    inside = False
    for number, text in enumerate(content.split("\n"), 1):
        if _COMMENT.match(text):
            continue
        if not inside and _ALIAS.match(text):
            inside = True
        elif inside and _TOP_LEVEL.match(text):
            inside = False
        (section if inside else rest).write(f"{text}\n", number)
    return section.mapped(), rest.mapped()


def enabled(found: str) -> bool:
    """Tell whether a version has aliases; the agent compares texts."""
    return found >= _SINCE


def replace(section: Mapped, rest: Mapped, os: str, unknowns: Unknowns) -> tuple[Mapped, Aliases]:
    """Replace the aliases in the rest of a file.

    Args:
        section: The alias section, with its templates filled in.
        rest: Everything else.
        os: The operating system of the agent.
        unknowns: Makes stand-ins.

    Raises:
        InvalidBuildFile: The section is not YAML. (The agent then replaces nothing, and the `$`
            of the aliases comes to its shell; no such file can have been meant.)
    """
    root = _yaml.fields(
        _yaml.compose(section.text, section.line), section.line, "the alias section"
    )
    given = _yaml.fields(root.get("alias"), section.line, "alias")
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
    elsewhere = bool(_yaml.items(given.get("src"), section.line, "alias.src"))
    values = dict(own)
    if not elsewhere:
        images = {} if os == "windows" else _IMAGES
        defaults = {**_RUN_ALIASES, **{name: _image(name, unknowns) for name in images}}
        values = {**defaults, **own}
    aliases = Aliases(values, elsewhere)
    return _replaced(rest, directive, aliases, unknowns), aliases


def expand(words: str, aliases: Aliases, unknowns: Unknowns) -> str:
    """Return a command whose first word may be an alias without its directive."""
    first, space, others = words.strip().partition(" ")
    found = aliases.values.get(first)
    if found is None and aliases.elsewhere and _KEY.fullmatch(first):
        found = _from_src(first, unknowns)
    return words if found is None else f"{found}{space}{others}"


def _image(name: str, unknowns: Unknowns) -> str:
    reason = (
        f"{name} is an alias of the agent; which tag of {_IMAGES[name]} it stands for depends on"
        " the agent's release"
    )
    return f"{_IMAGES[name]}:{unknowns.word(f'<tag of {name}>', reason)}"


def _from_src(name: str, unknowns: Unknowns) -> str:
    reason = f"the alias {name} may come from a file that alias.src names, which is not read"
    return unknowns.word(f"${name}", reason, may_be_empty=True)


def _replaced(rest: Mapped, directive: str, aliases: Aliases, unknowns: Unknowns) -> Mapped:
    writer = Writer()

    def resolve(name: str) -> str | None:
        found = aliases.values.get(name)
        if found is None and aliases.elsewhere and _KEY.fullmatch(name):
            return _from_src(name, unknowns)
        return found

    for index, text in enumerate(rest.text.split("\n")):
        line = rest.line(index)
        if index:
            writer.write("\n", line)
        for piece in _line(text, directive, resolve):
            writer.write(piece, line)
    return writer.mapped()


def _line(text: str, directive: str, resolve: Callable[[str], str | None]) -> Iterator[str]:
    """Replace the aliases of one line; the line break at its end ends every alias."""
    name: list[str] | None = None
    for char in f"{text}\n":
        if name is None:
            if char == directive:
                name = []
            elif char != "\n":
                yield char
        elif char == directive and not name:
            yield directive
            name = None
        elif _KEY.fullmatch(char):
            name.append(char)
        else:
            found = resolve("".join(name))
            yield directive + "".join(name) if found is None else found
            # After an alias that is known another may follow at once; after any other it may not.
            if found is not None and char == directive:
                name = []
            else:
                yield char.removesuffix("\n")
                name = None
