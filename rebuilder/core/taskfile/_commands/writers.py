"""Programs that write files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence

from rebuilder.core.taskfile._commands.flags import grammar, read
from rebuilder.core.taskfile._commands.world import Place, World
from rebuilder.core.taskfile._text import names

_OUTPUT = names("-o -O --output --out --out-file --output-file --output-document --dest")


def _plain_words(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def _all(world: World, place: Place, words: Sequence[str]) -> None:
    for word in _plain_words(words):
        world.write(place, word)


_COPY_FILES = grammar(
    "target-directory suffix mode owner group",
    "archive force interactive no-clobber recursive verbose no-target-directory directory symbolic",
    "t=target-directory S=suffix m=mode o=owner g=group a=archive f=force i=interactive"
    " n=no-clobber r=recursive R=recursive v=verbose T=no-target-directory d=directory s=symbolic",
)


def _last(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _COPY_FILES, place.line)
    names = asked.words
    folder = asked.last("target-directory")
    if not folder and len(names) > 1:
        folder = names.pop()
    if folder:
        world.write(place, folder)
        for source in names:
            world.write(place, posixpath.join(folder, source.rpartition("/")[2]))


def _move(world: World, place: Place, words: Sequence[str]) -> None:
    _last(world, place, words)
    _all(world, place, words)


_IN_PLACE = re.compile(r"--in-place|-[a-zA-Z]*i")


def _edit(world: World, place: Place, words: Sequence[str]) -> None:
    if any(_IN_PLACE.match(word) for word in words):
        _all(world, place, words)


def _git(world: World, place: Place, words: Sequence[str]) -> None:
    names = _plain_words(words)
    if names[:1] == ["clone"]:
        for target in names[2:3] or [n.rpartition("/")[2].removesuffix(".git") for n in names[1:2]]:
            world.write(place, target)
    elif names[:1] and names[0] in (
        *("checkout", "pull", "reset", "merge", "rebase", "apply", "am", "switch", "restore"),
        *("submodule", "stash", "cherry-pick", "clean", "revert", "sparse-checkout", "lfs"),
    ):
        world.write_all(f"`git {names[0]}` changes files", place.line)


def _patch(world: World, place: Place, _: Sequence[str]) -> None:
    world.write_all("`patch` changes files", place.line)


def _oryx(world: World, place: Place, words: Sequence[str]) -> None:
    outputs(world, place, words)


def outputs(world: World, place: Place, words: Sequence[str]) -> None:
    """Take what a program is told to put its output into for written."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in _OUTPUT:
            target = value if equals else "".join(words[position + 1 : position + 2])
            if target.strip("./") and not target.startswith("-"):
                world.write(place, target)


WRITERS: Mapping[str, Callable[[World, Place, Sequence[str]], None]] = {
    "cp": _last,
    "mv": _move,
    "install": _last,
    "ln": _last,
    "tee": _all,
    "touch": _all,
    "truncate": _all,
    "rm": _all,
    "dos2unix": _all,
    "sed": _edit,
    "perl": _edit,
    "git": _git,
    "patch": _patch,
    "oryx": _oryx,
}
