"""The command lines of docker: what `build` and `run` are asked for.

Source of the flags: docs.docker.com, `docker build`, `docker buildx build` and `docker run`; of
their forms: github.com/spf13/pflag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rebuilder.errors import InvalidBuildFile

_BUILD_VALUED = frozenset(
    {
        *("add-host", "allow", "annotation", "attest", "build-arg", "build-context", "builder"),
        *("cache-from", "cache-to", "call", "cgroup-parent", "cpu-period", "cpu-quota"),
        *("cpu-shares", "cpuset-cpus", "cpuset-mems", "file", "iidfile", "image", "isolation"),
        *("label", "memory", "memory-swap", "metadata-file", "network", "no-cache-filter"),
        *("output", "platform", "policy", "progress", "provenance", "sbom", "secret"),
        *("security-opt", "shm-size", "ssh", "tag", "target", "ulimit"),
    }
)
_BUILD_SWITCHES = frozenset(
    {
        *("check", "compress", "debug", "disable-content-trust", "force-rm", "load", "no-cache"),
        *("pull", "push", "quiet", "rm", "squash", "stream"),
    }
)
_BUILD_SHORT = {
    "t": "tag",
    "f": "file",
    "o": "output",
    "c": "cpu-shares",
    "m": "memory",
    "q": "quiet",
    "D": "debug",
}
_RUN_SWITCHES = frozenset(
    {
        *("detach", "disable-content-trust", "help", "init", "interactive", "no-healthcheck"),
        *("oom-kill-disable", "privileged", "publish-all", "quiet", "read-only", "rm"),
        *("sig-proxy", "tty"),
    }
)
_RUN_SHORT_SWITCHES = frozenset("diPqt")


@dataclass(slots=True)
class Asked:
    """What a `docker build` asks for.

    Attributes:
        flags: The values of each flag, in order; of a switch "true" or what it is set to.
        contexts: The words that are no flags.
        unknown: The flags that are not known, of which it cannot be told whether they take the
            word that follows.
    """

    flags: dict[str, list[str]] = field(default_factory=dict)
    contexts: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def last(self, name: str) -> str:
        """Return what counts of a flag that is meant once; "" if it is not there."""
        return "".join(self.flags.get(name, ())[-1:])

    def on(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.last(name).lower() in ("true", "1", "t")


def parse_build(words: Sequence[str], line: int) -> Asked:
    """Take the arguments of `docker build` apart.

    Raises:
        InvalidBuildFile: docker refuses them.
    """
    asked = Asked()
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "--":
            asked.contexts += reversed(left)
            break
        if word.startswith("--"):
            _long(word[2:], left, line, asked)
        elif word.startswith("-") and word != "-":
            _short(word[1:], left, line, asked)
        else:
            asked.contexts.append(word)
    return asked


def _long(flag: str, left: list[str], line: int, asked: Asked) -> None:
    name, equals, value = flag.partition("=")
    if name in _BUILD_VALUED and not equals:
        value = _next(f"--{name}", left, line)
    elif name in _BUILD_SWITCHES:
        value = value if equals else "true"
    elif name not in _BUILD_VALUED:
        asked.unknown.append(f"--{name}")
    asked.flags.setdefault(name, []).append(value)


def _short(letters: str, left: list[str], line: int, asked: Asked) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = _BUILD_SHORT.get(letter, "")
        if not name:
            asked.unknown.append(f"-{letter}")
            return
        if name in _BUILD_SWITCHES:
            asked.flags.setdefault(name, []).append("true")
            continue
        value = letters.removeprefix("=") if letters else _next(f"-{letter}", left, line)
        asked.flags.setdefault(name, []).append(value)
        return


def _next(flag: str, left: list[str], line: int) -> str:
    if not left:
        raise InvalidBuildFile(line, f"flag needs an argument: {flag}")
    return left.pop()


def after_run_flags(words: Sequence[str]) -> Sequence[str]:
    """Return the words of a `docker run` from its image on; empty if there is none.

    The agent puts a step's command behind `docker run`, so it may begin with more flags of it.
    """
    position = 0
    while position < len(words) and words[position].startswith("-"):
        word = words[position]
        position += 1
        if word == "--":
            break
        if word.startswith("--"):
            takes_next = "=" not in word and word[2:] not in _RUN_SWITCHES
        else:
            letters = word[1:].lstrip("".join(_RUN_SHORT_SWITCHES))
            takes_next = len(letters) == 1
        position += takes_next
    return words[position:]
