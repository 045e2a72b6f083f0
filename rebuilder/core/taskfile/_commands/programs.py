"""What a program does that a step runs, as far as its command line tells.

The image of a step is a tool; its arguments are the tool's own business, unless they are those of
a program that makes images, or of a shell, or write files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from copy import replace
from functools import lru_cache, partial

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.taskfile._commands import az, compose, docker, shell
from rebuilder.core.taskfile._commands.builders import (
    COPIERS,
    LIKE_DOCKER,
    copier,
    kaniko,
    like_docker,
)
from rebuilder.core.taskfile._commands.world import DEPTH, Place, World
from rebuilder.core.taskfile._commands.writers import WRITERS, outputs
from rebuilder.core.taskfile._text import names
from rebuilder.errors import InvalidReference

_AGENTS_OWN = frozenset({"docker.io/library/docker:latest", "docker.io/library/buildx:latest"})
"""Images that the agent brings, under names without a registry (builder/builder.go)."""

_SHELLS = names("sh bash ash dash ksh zsh")
_POWERSHELLS = names("powershell powershell.exe pwsh cmd cmd.exe")
_WRAPPERS = names("env exec nohup sudo time command timeout nice")
_FOLLOWED_BY_NONE = names("xargs eval source . trap")
_SCRIPT = re.compile(r".*\.(?:sh|bash|ps1|cmd|bat)|(?:\./|.*/).*\.(?:py|rb|js|pl)")
_MAKERS = names(
    "make gmake just task buildctl pack ko jib bazel earthly nerdctl oras regctl cosign "
    "docker-buildx skaffold tilt"
)
"""Programs that may make images in ways that are not followed."""

_OPAQUE = _POWERSHELLS | _FOLLOWED_BY_NONE | _MAKERS

_PROGRAMS = (_SHELLS | _WRAPPERS | {"docker", "docker-compose"}) - docker.COMMANDS
"""What else than commands of docker is looked for in docker's image."""

# Where a program begins.


def container(
    world: World, place: Place, image: str, entry_point: str, arguments: Sequence[str]
) -> None:
    """Follow a container: the tool that its image is, "" if that was told, and its arguments.

    Raises:
        InvalidBuildFile: A program refuses its arguments.
    """
    name = _name(image)
    repository = name.partition("@")[0].rpartition(":")[0] or name
    tag = name.removeprefix(f"{repository}:") if name not in _AGENTS_OWN else ""
    if image and name not in _AGENTS_OWN:
        world.run(image, place.line, ())
    if place.depth > DEPTH:
        text = " ".join([image, *arguments])
        world.unclear(text, "too many containers and shells inside each other", place.line)
        return
    words = [entry_point, *arguments] if entry_point else [*arguments]
    last = repository.rpartition("/")[2]
    if not entry_point and words:
        if repository == "docker.io/library/docker":
            # Its entry point tries a word as a command of docker, then as a program.
            if words[0].rpartition("/")[2] not in _PROGRAMS:
                words = ["docker", *words]
        elif repository == "docker.io/library/buildx":
            words = ["docker", "buildx", *words]
        elif last == "azure-cli" and repository.startswith("mcr.microsoft.com/acr/"):
            words = words if words[0] == "az" else ["az", *words]
        elif last == "bash" and words[0].startswith("-"):
            words = ["bash", *words]
        else:
            words = _with_entry_point(repository, words)
    if words and words[0].startswith("-"):
        outputs(world, place, words)
    elif words and not world.unknowns.within(words[0]):
        program(world, place, words, tag if last == "docker" else "")


_ENTRY_POINTS = {
    "skopeo": "skopeo",
    "crane": "crane",
    "git": "git",
    "docker/compose": "docker-compose",
    "img": "img",
    "regctl": "regctl",
    "oras": "oras",
    "pack": "pack",
}
"""The programs that images begin with, by the word of the repository that tells them."""


def _with_entry_point(repository: str, words: list[str]) -> list[str]:
    """Return a container's words with the program that its image begins with, where it tells."""
    last = repository.rpartition("/")[2]
    if "kaniko" in repository and last in ("executor", "kaniko"):
        return ["/kaniko/executor", *words]
    parts = repository.split("/")[-2:]
    known = ("/".join(parts), *parts[::-1])
    program = next((_ENTRY_POINTS[part] for part in known if part in _ENTRY_POINTS), "")
    first = words[0].rpartition("/")[2]
    if not program or first in (program, *_SHELLS):
        return words
    return [program, *words]


@lru_cache(maxsize=1024)  # the agent's own images are those of most steps
def _name(image: str) -> str:
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image


def script(world: World, place: Place, text: str) -> None:
    """Follow the text of a shell.

    Raises:
        InvalidBuildFile: A quote is not closed, or a program refuses its arguments.
    """
    variables = None if place.agent else place.variables
    found = shell.parse(
        text, place.line, world.unknowns, variables=variables, windows=place.windows
    )
    for command in found.commands:
        place = _command(world, place, command)
    for piece in found.substitutions:
        if _MAY_MAKE.search(piece):
            world.unclear(piece, f"what `{piece}` does is not followed", place.line)
    if found.rest:
        reason = "what a shell does from here on is not followed"
        world.unclear(found.rest, reason, place.line)
        if _MAY_WRITE.search(found.left):
            world.write_all("what a shell does is not followed", place.line)


_MAY_WRITE = re.compile(
    r"(?<![0-9&])>(?!&)|[0-9]>(?![&0-9])(?!\s*/dev/null)"
    r"|\b(?:cp|mv|install|ln|tee|rm|sed|perl|git|patch|dos2unix|truncate|touch|oryx)\b"
)
_MAY_MAKE = re.compile(r"\b(?:docker|az|buildah|podman|img|skopeo|crane|executor|make)\b")


def _command(world: World, place: Place, command: shell.Command) -> Place:
    """Follow one command; return the place of the next one."""
    words = command.words
    for operator, target in command.redirects:
        if ">" in operator and operator != ">&":
            world.write(place, target)
    variables = {**place.variables, **command.assignments}
    if not words:
        # What is not exported is the shell's own, which it has filled in already.
        known = {name: value for name, value in variables.items() if name in place.variables}
        return replace(place, variables=known)
    if words[0] == "cd":
        return _moved(world, place, words[1:])
    if words[0] in ("export", "declare", "readonly"):
        pairs = (word.partition("=") for word in words[1:] if "=" in word)
        return replace(place, variables={**variables, **{name: value for name, _, value in pairs}})
    here = replace(place, variables=variables) if command.assignments else place
    if _reads_script(command):
        text = " ".join(words)
        world.unclear(text, "what a shell reads from its input is not followed", place.line)
    elif world.unknowns.within(words[0]):
        world.unclear(" ".join(words), "which program it runs is not known", place.line)
    else:
        program(world, here, words)
    return place


def _reads_script(command: shell.Command) -> bool:
    """Tell whether a command may be a shell whose commands come from a pipe or a file."""
    given = command.joined == "|" or any(mark.startswith("<") for mark, _ in command.redirects)
    return given and any(
        word.rpartition("/")[2] in _SHELLS and "-c" not in command.words[number:]
        for number, word in enumerate(command.words)
    )


def _moved(world: World, place: Place, words: Sequence[str]) -> Place:
    folder = words[0] if len(words) == 1 else ""
    unknown = folder.startswith(("-", "~")) or world.unknowns.within(folder)
    if not folder or unknown or place.folder is None:
        return replace(place, folder=None)
    return replace(place, folder=posixpath.normpath(posixpath.join(place.folder, folder)))


# Programs.


def program(world: World, place: Place, words: Sequence[str], docker_tag: str = "") -> None:
    """Follow what a program does with its arguments.

    Raises:
        InvalidBuildFile: The program refuses its arguments.
    """
    if not words or not words[0]:
        return
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name in _WRAPPERS:
        program(world, place, _unwrapped(name, rest), docker_tag)
    elif name in ("docker", "docker.exe"):
        docker.docker(world, place, rest, partial(container, world), docker_tag)
    elif name == "docker-compose":
        compose.compose(world, place, rest, docker.builder_of(place, docker_tag))
    elif name in _SHELLS:
        _shell_of(world, place, words)
    elif name in _OPAQUE or _SCRIPT.fullmatch(words[0]):
        world.unclear(" ".join(words), f"what {name} does is not followed", place.line)
    elif name == "az":
        az.az(world, place, rest)
    elif name == "executor" and "kaniko" in words[0]:
        kaniko(world, place, rest)
    elif name in LIKE_DOCKER:
        like_docker(world, place, name, rest, partial(container, world))
    elif name in COPIERS:
        copier(world, place, name, rest)
    elif name in WRITERS:
        WRITERS[name](world, place, rest)
    else:
        outputs(world, place, rest)


def _unwrapped(name: str, words: Sequence[str]) -> Sequence[str]:
    """Return the program that another one starts."""
    left = list(words)
    while left and (left[0].startswith("-") or (name == "env" and "=" in left[0])):
        left.pop(0)
    return left[1:] if name == "timeout" else left


def _shell_of(world: World, place: Place, words: Sequence[str]) -> None:
    """Follow `sh -c TEXT`; a shell that reads a script is not followed."""
    for position, word in enumerate(words[1:], 1):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            inside = replace(place, depth=place.depth + 1, agent=False)
            if inside.depth > DEPTH:
                break
            for text in words[position + 1 : position + 2]:
                script(world, inside, text)
            return
        if not word.startswith(("-", "+")) and word not in ("errexit", "pipefail"):
            break
    else:
        return
    world.unclear(" ".join(words), "what a script does is not followed", place.line)
