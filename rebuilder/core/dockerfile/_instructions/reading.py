"""Instructions: their flags, how many arguments they take, and what of them reads images.

Source of the rules: BuildKit, `instructions/parse.go`, `instructions/bflag.go`,
`instructions/commands*.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._instructions.checks import Check, Folder, Ports, Signal, Volumes
from rebuilder.core.dockerfile._instructions.commands import (
    Bad,
    Command,
    GlobalArg,
    Instructions,
    Stage,
)
from rebuilder.core.dockerfile._instructions.files import SPECIAL, files
from rebuilder.core.dockerfile._instructions.flags import flags_of, one
from rebuilder.core.dockerfile._instructions.run import run
from rebuilder.core.dockerfile._instructions.values import duration
from rebuilder.core.dockerfile._parser.nodes import COPY_FROM, Node
from rebuilder.core.dockerfile._shell.lexer import asks
from rebuilder.core.dockerfile._text import SPACE, integer, quoted
from rebuilder.errors import InvalidBuildFile

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_SHORTEST = 10**6  # nanoseconds
_WITH_NAME = 3


def read_instructions(nodes: Sequence[Node], frontend: Frontend = NEWEST) -> Instructions:
    """Check every instruction, and sort them into stages.

    Args:
        nodes: The instructions.
        frontend: What reads them.

    Raises:
        InvalidBuildFile: For what BuildKit refuses, whichever stage is built.
    """
    args: list[GlobalArg] = []
    stages: list[Stage] = []
    varies = False
    for node in nodes:
        try:
            if node.keyword == "from":
                stages.append(_from(node))
                continue
            read = _READERS.get(node.keyword)
            if read is None:
                raise Bad(f"unknown instruction: {node.name}")  # noqa: TRY301 - with its line
            command = read(node, frontend)
        except Bad as error:
            raise InvalidBuildFile(node.line, str(error)) from None
        if stages:
            if command is not None:
                stages[-1].commands.append(command)
                varies = varies or command.varies
        elif command is not None and node.keyword == "arg":
            args += [GlobalArg(name, default, node.line) for name, default in command.args]
        else:
            raise InvalidBuildFile(node.line, "no build stage in current context")
    if not stages:
        raise InvalidBuildFile(0, "dockerfile contains no stages to build")
    return Instructions(args, stages, varies)


def read_trigger(node: Node, frontend: Frontend = NEWEST) -> Command | None:
    """What an ONBUILD runs.

    Args:
        node: The instruction.
        frontend: What reads it.

    Raises:
        Bad: For what BuildKit refuses.
    """
    read = _READERS.get(node.keyword)
    if read is None:
        raise Bad(f"unknown instruction: {node.name}")
    return read(node, frontend)


def _checked(line: int, check: Check) -> Command:
    return Command(line, check=check, varies=check.varies())


def _special(*words: str) -> tuple[str, ...]:
    return tuple(word for word in words if SPECIAL.search(word))


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
    platform = one(flags_of(node), "platform") if node.flags else ""
    return Stage(args[0], name, platform, node.line)


def _arg(node: Node, _frontend: Frontend) -> Command | None:
    if not node.args:
        raise Bad("ARG requires at least one argument")
    pairs: list[tuple[str, str | None]] = []
    varies = False
    for word in node.args:
        name, equals, default = word.partition("=")
        if equals:
            if not name:
                raise Bad("ARG names can not be blank")
            varies = varies or ("?" in default and asks(default))
        pairs.append((name, default if equals else None))
    return Command(node.line, args=tuple(pairs), varies=varies)


def _env(node: Node, _frontend: Frontend) -> Command | None:
    _check_pairs(node)
    return Command(node.line, sets=node.args, varies=asks(*node.args))


def _label(node: Node, _frontend: Frontend) -> Command | None:
    _check_pairs(node)
    words = _special(*node.args)
    return Command(node.line, words=words, varies=asks(*words)) if words else None


def _check_pairs(node: Node) -> None:
    flags_of(node)
    if not node.args:
        raise Bad(f"{node.keyword.upper()} requires at least one argument")
    if not all(node.args[::2]):
        raise Bad(f"{node.keyword.upper()} names can not be blank")


def _plain(node: Node, _frontend: Frontend) -> Command | None:
    """CMD and ENTRYPOINT."""
    flags_of(node)
    return None


def _shell(node: Node, _frontend: Frontend) -> Command | None:
    flags_of(node)
    if not node.args:
        raise Bad("SHELL requires at least one argument")
    if not node.json:
        raise Bad("SHELL requires the arguments to be in JSON form")
    return None


def _expose(node: Node, _frontend: Frontend) -> Command | None:
    _check_list(node)
    return _checked(node.line, Ports(tuple(sorted(node.args))))


def _volume(node: Node, _frontend: Frontend) -> Command | None:
    _check_list(node)
    paths = tuple(word.strip(SPACE) for word in node.args)
    if not all(paths):
        raise Bad("VOLUME specified can not be an empty string")
    return _checked(node.line, Volumes(paths)) if _special(*paths) else None


def _check_list(node: Node) -> None:
    if not node.args:
        raise Bad(f"{node.keyword.upper()} requires at least one argument")
    flags_of(node)


def _maintainer(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    flags_of(node)
    return None


def _stopsignal(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    return _checked(node.line, Signal(node.args[0]))


def _user(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    flags_of(node)
    words = _special(*node.args)
    return Command(node.line, words=words, varies=asks(*words)) if words else None


def _workdir(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    flags_of(node)
    return _checked(node.line, Folder(node.args[0]))


def _check_single(node: Node) -> None:
    if len(node.args) != 1:
        raise Bad(f"{node.keyword.upper()} requires exactly one argument")


def _healthcheck(node: Node, _frontend: Frontend) -> Command | None:
    if not node.args:
        raise Bad("HEALTHCHECK requires at least one argument")
    kind, *rest = node.args
    if kind.upper() == "NONE":
        if rest:
            raise Bad("HEALTHCHECK NONE takes no arguments")
        return None
    flags = flags_of(node)
    if kind.upper() != "CMD":
        raise Bad(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not rest:
        raise Bad("Missing command after HEALTHCHECK CMD")
    try:
        for name in ("interval", "timeout", "start-period", "start-interval"):
            text = one(flags, name)
            length = duration(text) if text else 0
            if length and length < _SHORTEST:
                raise Bad(f"Interval {quoted(name)} cannot be less than 1ms")
        retries = one(flags, "retries")
        if retries and integer(retries, 32) < 0:
            raise Bad(f"--retries cannot be negative ({integer(retries)})")
    except ValueError as error:
        raise Bad(str(error)) from None
    return None


_ONBUILD = re.compile(r"ONBUILD[\t\n\f\r ]*", re.IGNORECASE)


def _onbuild(node: Node, _frontend: Frontend) -> Command:
    if not node.args:
        raise Bad("ONBUILD requires at least one argument")
    flags_of(node)
    trigger = node.args[0].upper()
    if trigger == "ONBUILD":
        raise Bad("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise Bad(f"{trigger} isn't allowed as an ONBUILD trigger")
    text = _ONBUILD.sub("", node.text, count=1)
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in node.heredocs)
    return Command(node.line, trigger=text + bodies, varies="$" in text + bodies)


def _copy_from(node: Node, _frontend: Frontend) -> Command:
    source = node.args[0]
    return Command(node.line, f"COPY --from={source}", source)


_READERS: dict[str, Callable[[Node, Frontend], Command | None]] = {
    COPY_FROM: _copy_from,
    "add": files,
    "arg": _arg,
    "cmd": _plain,
    "copy": files,
    "entrypoint": _plain,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
