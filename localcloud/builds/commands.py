"""What the agent does for a step: a line of its shell, as the commands that it is made of.

The agent hands `docker run ... COMMAND` to /bin/sh, so what follows `&&` or `;` runs in the agent's
own shell, which has docker. Source: github.com/Azure/acr-builder, builder/context.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import replace
from dataclasses import dataclass

from localcloud.builds import acrcli, azcli, commandline, dockercli
from localcloud.builds.acrcli import Purge
from localcloud.builds.azcli import AzCommand
from localcloud.builds.client import split
from localcloud.builds.commandline import Joiner
from localcloud.builds.dockercli import Container, DockerCommand
from localcloud.builds.job import BuildError

WORKSPACE = "/workspace"
"""Where a step's container sees the context."""

_HOME = "/acb/home"
_DEEPEST = 10
_SHELLS = frozenset({"sh", "/bin/sh", "ash", "bash", "/bin/bash", "/usr/bin/bash"})
_HUB_DOCKER = ("registry-1.docker.io", "library/docker")
_HUB_BUILDX = ("registry-1.docker.io", "library/buildx")
_MICROSOFT = "mcr.microsoft.com"
# Images whose programs the local cloud does by itself: what they have, and what they start with.
_PROGRAMS: Mapping[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    _HUB_DOCKER: ("docker", ()),
    _HUB_BUILDX: ("docker", ("docker", "buildx")),
    (_MICROSOFT, "acr/azure-cli"): ("az", ("az",)),
    (_MICROSOFT, "azure-cli"): ("az", ()),
    (_MICROSOFT, "acr/acr-cli"): ("acr", ("acr",)),
}


@dataclass(frozen=True, slots=True)
class Echo:
    """`echo`."""

    text: str


@dataclass(frozen=True, slots=True)
class Exit:
    """`true`, `false` and `exit`: a status, and whether the script ends with it."""

    status: int
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Strict:
    """`set`: whether a command that fails ends the script from here on; None to change nothing."""

    on: bool | None


@dataclass(frozen=True, slots=True)
class Part:
    """A command of a script, and what joins it to the one before."""

    joiner: Joiner
    action: Action


@dataclass(frozen=True, slots=True)
class Script:
    """Commands of one shell.

    Attributes:
        parts: The commands.
        directory: Where it is, as its container names it.
        strict: Whether a command that fails ends it.
    """

    parts: tuple[Part, ...]
    directory: str
    strict: bool = False


type Action = DockerCommand | AzCommand | Purge | Echo | Exit | Strict | Script


@dataclass(frozen=True, slots=True)
class _Shell:
    """Where a command is read.

    Attributes:
        program: The program that is there besides the shell's own.
        variables: Its variables.
        directory: Where it is.
        tag: The tag of docker's image that it is in.
        depth: In how many others it is.
    """

    program: str
    variables: Mapping[str, str]
    directory: str
    tag: str = ""
    depth: int = 0

    def inner(self) -> _Shell:
        """Return the same, one deeper.

        Raises:
            BuildError: It is too deep.
        """
        if self.depth >= _DEEPEST:
            raise BuildError("the local cloud does not do so many shells in one another")
        return replace(self, depth=self.depth + 1)


def read(line: str) -> Script:
    """Return what a line of the agent's shell does.

    Raises:
        BuildError: It is wrong, or has what is not done here.
    """
    return _script(line, _Shell("docker", {}, WORKSPACE))


def _script(text: str, shell: _Shell, *, strict: bool = False) -> Script:
    parts = [
        Part(
            simple.joiner,
            _action(
                simple.words,
                replace(shell.inner(), variables={**shell.variables, **simple.variables}),
            ),
        )
        for simple in commandline.split(text, shell.variables)
    ]
    return Script(tuple(parts), shell.directory, strict)


def _action(words: Sequence[str], shell: _Shell) -> Action:
    first, *rest = words
    name = first.rpartition("/")[2]
    if name == shell.program:
        return _program(rest, shell)
    if first in _SHELLS:
        return _nested(rest, shell)
    if first == "echo":
        return Echo(" ".join(word for word in rest if word not in ("-n", "-e")))
    if first in ("true", ":", "false"):
        return Exit(int(first == "false"))
    if first == "exit":
        return Exit(int(rest[0]) if rest and rest[0].isdecimal() else 0, ends=True)
    if first == "set":
        told = [word for word in rest if word[:1] in "-+" and "e" in word]
        return Strict(told[-1].startswith("-") if told else None)
    raise BuildError(f"the local cloud does not do `{first}` beside {shell.program}")


def _program(words: Sequence[str], shell: _Shell) -> Action:
    if shell.program == "az":
        return azcli.parse(words)
    if shell.program == "acr":
        return acrcli.parse(words)
    command = dockercli.parse(words, shell.variables, shell.tag)
    return _contained(command, shell) if isinstance(command, Container) else command


def _nested(words: Sequence[str], shell: _Shell) -> Script:
    """Return the script of `sh -c`."""
    strict, left = False, list(words)
    while left and left[0].startswith("-"):
        option = left.pop(0)
        if option == "-o":
            left = left[1:]
            continue
        strict = strict or "e" in option
        if "c" in option:
            if not left:
                raise BuildError("sh: -c requires an argument")
            return _script(left[0], shell.inner(), strict=strict)
    raise BuildError(f"the local cloud does not do `{' '.join(('sh', *words))}`")


def _contained(container: Container, shell: _Shell) -> Action:
    """Return what a container does, of an image whose program is done here; or the container."""
    host, repository, tag = split(container.image)
    known = _PROGRAMS.get((host, repository))
    if known is None:
        return container
    program, start = known
    words = [container.entry_point] if container.entry_point else list(start)
    words += container.words
    inner = replace(
        shell.inner(),
        program=program,
        variables={"HOME": _HOME, **container.environment},
        directory=container.directory or "/",
        tag=tag if program == "docker" else "",
    )
    own = not words or words[0].startswith("-") or words[0] in dockercli.NAMES
    if program == "docker" and own and not container.entry_point:
        words = ["docker", *words]
    if not words:
        return Exit(0)
    return Script((Part(";", _action(words, inner)),), inner.directory)
