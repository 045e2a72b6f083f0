"""Instructions: their flags, how many arguments they take, and what of them reads images.

Source of the rules: BuildKit, `instructions/parse.go`, `instructions/bflag.go`,
`instructions/commands*.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rebuilder.core.dockerfile._mounts import (
    CACHE_MOUNT,
    PLAIN_CACHE_MOUNT,
    Mount,
    csv_fields,
    read_mount,
)
from rebuilder.core.dockerfile._text import SPACE, quoted
from rebuilder.core.dockerfile._tree import COPY_FROM, Node, heredoc_word
from rebuilder.core.dockerfile._words import WordError
from rebuilder.errors import InvalidBuildFile

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_DURATION = re.compile(r"[-+]?(?:0|((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_SHORTEST = 1e-3
_RETRIES = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_MOST_RETRIES = 2**31 - 1
_SPECIAL = re.compile(r"[$'\"]")
_WITH_NAME = 3

# What a flag takes: one text, a boolean, or a text each time it is given.
_TEXT, _BOOLEAN, _TEXTS = "text", "boolean", "texts"
_FLAGS: dict[str, Mapping[str, str]] = {
    "add": {
        "chown": _TEXT, "chmod": _TEXT, "link": _BOOLEAN, "keep-git-dir": _BOOLEAN,
        "checksum": _TEXT, "unpack": _BOOLEAN, "exclude": _TEXTS,
    },
    "copy": {
        "chown": _TEXT, "from": _TEXT, "chmod": _TEXT, "link": _BOOLEAN, "exclude": _TEXTS,
        "parents": _BOOLEAN,
    },
    "from": {"platform": _TEXT},
    "healthcheck": {
        "interval": _TEXT, "timeout": _TEXT, "start-period": _TEXT, "start-interval": _TEXT,
        "retries": _TEXT,
    },
    "run": {"device": _TEXTS, "mount": _TEXTS, "network": _TEXT, "security": _TEXT},
}  # fmt: skip
_NO_FLAGS: Mapping[str, str] = {}


class Bad(Exception):
    """An instruction that BuildKit refuses; the message tells why."""


class Command(NamedTuple):
    """What of an instruction matters to the images of a build.

    Attributes:
        line: The line on which it begins.
        text: The instruction as a person writes it, without what does not matter.
        copies_from: The stage, number or image of `COPY --from`; "" if there is none.
        mounts: The values of `RUN --mount`.
        sources: The paths that a COPY copies, to be checked when its stage is built.
        words: Words that are expanded when the stage is built, if they are not plain.
        texts: Texts of heredocs whose variables are replaced then.
        defaults: Words of an ARG that are expanded then, unless a build argument replaces them.
        trigger: What an ONBUILD runs in stages that are built on this one.
    """

    line: int
    text: str = ""
    copies_from: str = ""
    mounts: tuple[Mount, ...] = ()
    sources: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    defaults: tuple[tuple[str, str], ...] = ()
    trigger: str = ""


@dataclass(slots=True)
class Stage:
    """A FROM and what follows it.

    Attributes:
        base: What stands after FROM.
        name: Its name, in lower case; "" if it has none.
        platform: The platform as written; "" if there is none.
        line: The line of the FROM.
        commands: What follows.
    """

    base: str
    name: str
    platform: str
    line: int
    commands: list[Command] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GlobalArg:
    """An ARG before the first FROM.

    Attributes:
        name: Its name.
        default: Its default; None if it has none.
        line: Its line.
    """

    name: str
    default: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Instructions:
    """The instructions of a file.

    Attributes:
        args: The ARGs before the first FROM.
        stages: The stages.
    """

    args: Sequence[GlobalArg]
    stages: Sequence[Stage]


def read_instructions(nodes: Sequence[Node]) -> Instructions:
    """Check every instruction, and sort them into stages.

    Raises:
        InvalidBuildFile: For what BuildKit refuses, whichever stage is built.
    """
    args: list[GlobalArg] = []
    stages: list[Stage] = []
    for node in nodes:
        try:
            if node.keyword == "from":
                stages.append(_from(node))
                continue
            read = _READERS.get(node.keyword)
            if read is None:
                raise Bad(f"unknown instruction: {node.name}")  # noqa: TRY301 - with its line
            command = read(node)
        except Bad as error:
            raise InvalidBuildFile(node.line, str(error)) from None
        if stages:
            if command is not None:
                stages[-1].commands.append(command)
        elif node.keyword == "arg":
            args += [GlobalArg(*pair, node.line) for pair in _arg_pairs(node)]
        else:
            raise InvalidBuildFile(node.line, "no build stage in current context")
    if not stages:
        raise InvalidBuildFile(0, "dockerfile contains no stages to build")
    return Instructions(args, stages)


def read_trigger(node: Node) -> Command | None:
    """What an ONBUILD runs.

    Raises:
        Bad: For what BuildKit refuses.
    """
    read = _READERS.get(node.keyword)
    if read is None:
        raise Bad(f"unknown instruction: {node.name}")
    return read(node)


def _flags(node: Node) -> dict[str, list[str]]:
    """The flags of an instruction, each with its values."""
    if not node.flags:
        return {}
    known = _FLAGS.get(node.keyword, _NO_FLAGS)
    found: dict[str, list[str]] = {}
    for flag in node.flags:
        spelled, equals, value = flag.partition("=")
        name = spelled[2:]
        kind = known.get(name)
        if kind is None:
            raise Bad(f"unknown flag: {spelled}")
        if name in found and kind != _TEXTS:
            raise Bad(f"duplicate flag specified: {spelled}")
        if (kind == _BOOLEAN and equals and not value) or (kind != _BOOLEAN and not equals):
            raise Bad(f"missing a value on flag: {spelled}")
        if kind == _BOOLEAN and value.lower() not in ("", "true", "false"):
            raise Bad(f"expecting boolean value for flag {spelled}, not: {value}")
        found.setdefault(name, []).append(value)
    return found


def _one(flags: Mapping[str, Sequence[str]], name: str) -> str:
    return flags[name][0] if name in flags else ""


def _special(*words: str) -> tuple[str, ...]:
    return tuple(word for word in words if _SPECIAL.search(word))


def _from(node: Node) -> Stage:
    args = node.args
    name = ""
    if len(args) == _WITH_NAME and args[1].casefold() == "as":
        name = args[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise Bad(
                f"invalid name for build stage: {quoted(args[2])},"
                " name can't start with a number or contain symbols"
            )
    elif len(args) != 1:
        raise Bad("FROM requires either one or three arguments")
    platform = _one(_flags(node), "platform") if node.flags else ""
    return Stage(args[0], name, platform, node.line)


def _arg_pairs(node: Node) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    for word in node.args:
        name, equals, default = word.partition("=")
        pairs.append((name, default if equals else None))
    return pairs


def _arg(node: Node) -> Command | None:
    if not node.args:
        raise Bad("ARG requires at least one argument")
    if any(word.startswith("=") for word in node.args):
        raise Bad("ARG names can not be blank")
    defaults = tuple(
        (name, default) for name, default in _arg_pairs(node) if default and _special(default)
    )
    return Command(node.line, defaults=defaults) if defaults else None


def _pairs(node: Node) -> Command | None:
    """ENV and LABEL."""
    _flags(node)
    if not node.args:
        raise Bad(f"{node.keyword.upper()} requires at least one argument")
    if not all(node.args[::2]):
        raise Bad(f"{node.keyword.upper()} names can not be blank")
    words = _special(*node.args)
    return Command(node.line, words=words) if words else None


def _files(node: Node) -> Command | None:
    """ADD and COPY."""
    keyword = node.keyword.upper()
    if len(node.args) < 2:  # noqa: PLR2004 - a source and a destination
        raise Bad(
            f"{keyword} requires at least two arguments, but only one was provided."
            " Destination could not be determined"
        )
    flags = _flags(node)
    copies_from = _one(flags, "from")
    paths: tuple[str, ...] = node.args[:-1]
    texts: tuple[str, ...] = ()
    if "<<" in node.text:
        if _opens_heredoc(node.args[-1]):
            raise Bad(f"{keyword} cannot accept a heredoc as a destination")
        paths = tuple(word for word in paths if not _opens_heredoc(word))
        texts = tuple(h.content for h in node.heredocs if h.expands and "$" in h.content)
    words: tuple[str, ...] = ()
    if _SPECIAL.search(node.text):
        expanded = (_one(flags, name) for name in ("chown", "chmod", "checksum"))
        words = _special(*paths, node.args[-1], *expanded)
    sources: tuple[str, ...] = ()
    if "://" in node.text and keyword == "COPY":
        sources = tuple(path for path in paths if "://" in path)
    if not (copies_from or words or texts or sources):
        return None
    return Command(
        node.line,
        text=f"{keyword} --from={copies_from}",
        copies_from=copies_from,
        sources=sources,
        words=words,
        texts=texts,
    )


def _opens_heredoc(word: str) -> bool:
    try:
        return "<<" in word and heredoc_word(word) is not None
    except WordError:
        return False


def _run(node: Node) -> Command | None:
    if not node.flags:
        return None
    flags = _flags(node)
    for device in flags.get("device", ()):
        _fields(device, "devices")
    mounts = []
    for value in flags.get("mount", ()):
        if PLAIN_CACHE_MOUNT(value):
            mounts.append(CACHE_MOUNT)
            continue
        fields = _fields(value, "mounts")
        try:
            mounts.append(read_mount(value, fields))
        except ValueError as error:
            raise Bad(str(error)) from None
    network, security = _one(flags, "network"), _one(flags, "security")
    if "network" in flags and network not in ("default", "none", "host"):
        raise Bad(f"invalid network mode {quoted(network)}")
    if "security" in flags and security not in ("insecure", "sandbox"):
        raise Bad(f"security {quoted(security)} is not valid")
    return Command(node.line, mounts=tuple(mounts)) if mounts else None


def _fields(value: str, what: str) -> list[str]:
    try:
        return csv_fields(value)
    except ValueError as error:
        raise Bad(f"failed to parse csv {what}: {error}") from None


def _plain(node: Node) -> Command | None:
    """CMD and ENTRYPOINT."""
    _flags(node)
    return None


def _shell(node: Node) -> Command | None:
    _flags(node)
    if not node.args:
        raise Bad("SHELL requires at least one argument")
    if not node.json:
        raise Bad("SHELL requires the arguments to be in JSON form")
    return None


def _listed(node: Node) -> Command | None:
    """EXPOSE and VOLUME."""
    if not node.args:
        raise Bad(f"{node.keyword.upper()} requires at least one argument")
    _flags(node)
    if node.keyword == "volume" and not all(word.strip(SPACE) for word in node.args):
        raise Bad("VOLUME specified can not be an empty string")
    words = _special(*node.args)
    return Command(node.line, words=words) if words else None


def _single(node: Node) -> Command | None:
    """MAINTAINER, STOPSIGNAL, USER and WORKDIR."""
    if len(node.args) != 1:
        raise Bad(f"{node.keyword.upper()} requires exactly one argument")
    if node.keyword != "stopsignal":
        _flags(node)
    words = _special(*node.args) if node.keyword != "maintainer" else ()
    return Command(node.line, words=words) if words else None


def _healthcheck(node: Node) -> Command | None:
    if not node.args:
        raise Bad("HEALTHCHECK requires at least one argument")
    kind, *rest = node.args
    if kind.upper() == "NONE":
        if rest:
            raise Bad("HEALTHCHECK NONE takes no arguments")
        return None
    flags = _flags(node)
    if kind.upper() != "CMD":
        raise Bad(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not rest:
        raise Bad("Missing command after HEALTHCHECK CMD")
    for name in ("interval", "timeout", "start-period", "start-interval"):
        _check_duration(name, _one(flags, name))
    retries = _one(flags, "retries")
    if retries:
        if not _RETRIES.fullmatch(retries) or int(retries) > _MOST_RETRIES:
            raise Bad(f"strconv.ParseInt: parsing {quoted(retries)}: invalid syntax")
        if int(retries) < 0:
            raise Bad(f"--retries cannot be negative ({int(retries)})")
    return None


def _check_duration(name: str, text: str) -> None:
    if not text:
        return
    if not _DURATION.fullmatch(text):
        raise Bad(f"time: invalid duration {quoted(text)}")
    seconds = sum(float(part[1]) * _UNITS[part[2]] for part in _PART.finditer(text))
    if seconds and (text.startswith("-") or seconds < _SHORTEST):
        raise Bad(f"Interval {quoted(name)} cannot be less than 1ms")


_ONBUILD = re.compile(r"ONBUILD[\t\n\f\r ]*", re.IGNORECASE)


def _onbuild(node: Node) -> Command:
    if not node.args:
        raise Bad("ONBUILD requires at least one argument")
    _flags(node)
    trigger = node.args[0].upper()
    if trigger == "ONBUILD":
        raise Bad("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise Bad(f"{trigger} isn't allowed as an ONBUILD trigger")
    text = _ONBUILD.sub("", node.text, count=1)
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in node.heredocs)
    return Command(node.line, trigger=text + bodies)


def _copy_from(node: Node) -> Command:
    source = node.args[0]
    return Command(node.line, f"COPY --from={source}", source)


_READERS: dict[str, Callable[[Node], Command | None]] = {
    COPY_FROM: _copy_from,
    "add": _files,
    "arg": _arg,
    "cmd": _plain,
    "copy": _files,
    "entrypoint": _plain,
    "env": _pairs,
    "expose": _listed,
    "healthcheck": _healthcheck,
    "label": _pairs,
    "maintainer": _single,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _single,
    "user": _single,
    "volume": _listed,
    "workdir": _single,
}
