"""Instructions: their flags, how many arguments they take, and what of them reads images.

Source of the rules: BuildKit, `instructions/parse.go`, `instructions/bflag.go`,
`instructions/commands*.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._instructions.checks import (
    Check,
    Files,
    Folder,
    Ports,
    Run,
    Signal,
    Volumes,
)
from rebuilder.core.dockerfile._instructions.git import git_source, may_be_remote
from rebuilder.core.dockerfile._instructions.mounts import (
    CACHE_MOUNT,
    PLAIN_CACHE_MOUNT,
    Mount,
    csv_fields,
    read_mount,
)
from rebuilder.core.dockerfile._instructions.values import duration
from rebuilder.core.dockerfile._parser.tree import COPY_FROM, Node, heredoc_word
from rebuilder.core.dockerfile._shell.lexer import WordError, asks
from rebuilder.core.dockerfile._text import SPACE, boolean, integer, quoted
from rebuilder.errors import InvalidBuildFile

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_SHORTEST = 10**6  # nanoseconds
_SPECIAL = re.compile(r"[$'\"]")
# An error of `${v?}`, or one of Windows' paths, or more than a path.
_NOTABLE = re.compile(r"[$'\":\\]|(?:^| )//|github\.com/")
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
# Those of COPY that the classic builder knows as well.
_FLAGS_OF_BOTH = frozenset({"chown", "from"})
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
        words: Words that are expanded when the stage is built, if they are not plain.
        texts: Texts of heredocs whose variables are replaced then.
        check: What is checked then.
        sets: The names and values that an ENV sets, in turn.
        args: The names of an ARG, each with its default.
        trigger: What an ONBUILD runs in stages that are built on this one.
        buildkit: What of it is for BuildKit alone: in words for a person, and whether the classic
            builder refuses it for sure.
        varies: Whether what BuildKit makes of it depends on the variables of its stage.
    """

    line: int
    text: str = ""
    copies_from: str = ""
    mounts: tuple[Mount, ...] = ()
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    check: Check | None = None
    sets: tuple[str, ...] = ()
    args: tuple[tuple[str, str | None], ...] = ()
    trigger: str = ""
    buildkit: tuple[tuple[str, bool], ...] = ()
    varies: bool = False

    @property
    def idle(self) -> bool:
        """Whether it neither says nor changes anything that is looked at when it is carried out."""
        return not (self.check or self.sets or self.args or self.words or self.texts)


class Stage(Struct):
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


class GlobalArg(NamedTuple):
    """An ARG before the first FROM.

    Attributes:
        name: Its name.
        default: Its default; None if it has none.
        line: Its line.
    """

    name: str
    default: str | None
    line: int


class Instructions(NamedTuple):
    """The instructions of a file.

    Attributes:
        args: The ARGs before the first FROM.
        stages: The stages.
        varies: Whether what BuildKit makes of any of them depends on the variables of its stage.
    """

    args: Sequence[GlobalArg]
    stages: Sequence[Stage]
    varies: bool


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


def _checked(line: int, check: Check) -> Command:
    return Command(line, check=check, varies=check.varies())


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
    _flags(node)
    if not node.args:
        raise Bad(f"{node.keyword.upper()} requires at least one argument")
    if not all(node.args[::2]):
        raise Bad(f"{node.keyword.upper()} names can not be blank")


def _files(node: Node, frontend: Frontend) -> Command | None:
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
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    if "<<" in node.text:
        if _heredoc(node.args[-1], frontend) is not None:
            raise Bad(f"{keyword} cannot accept a heredoc as a destination")
        found = [(path, _heredoc(path, frontend)) for path in paths]
        paths = tuple(path for path, name in found if name is None)
        names = tuple(name for _, name in found if name is not None)
        texts = tuple(h.content for h in node.heredocs if h.expands and "$" in h.content)
    check = _files_check(node, flags, paths, names)
    # Most have nothing but what both builders know.
    plain = keyword == "COPY" and not names and flags.keys() <= _FLAGS_OF_BOTH
    buildkit = () if plain else _files_of_buildkit(keyword, flags, paths, names)
    if not (copies_from or texts or check or buildkit):
        return None
    return Command(
        node.line,
        text=f"{keyword} --from={copies_from}",
        copies_from=copies_from,
        texts=texts,
        check=check,
        buildkit=buildkit,
        varies=("$" in node.text and check is not None and check.varies())
        or (bool(texts) and asks(*texts)),
    )


def _files_check(
    node: Node,
    flags: Mapping[str, Sequence[str]],
    paths: tuple[str, ...],
    names: tuple[str, ...],
) -> Files | None:
    """What is checked when an ADD or COPY is carried out; None if there is nothing to check."""
    owner = _one(flags, "chown")
    notable = "chmod" in flags or "checksum" in flags or (owner and _SPECIAL.search(owner))
    if not notable and not _NOTABLE.search(" ".join(node.args)):
        return None
    if flags.keys() <= _FLAGS_OF_BOTH:
        return Files(paths, names, node.args[-1], owner, adds=node.keyword == "add")
    return Files(
        sources=paths,
        names=names,
        target=node.args[-1],
        owner=owner,
        mode=_one(flags, "chmod"),
        checksum=_one(flags, "checksum"),
        adds=node.keyword == "add",
        keeps=_one(flags, "keep-git-dir").lower() != "false" if "keep-git-dir" in flags else None,
        parents="parents" in flags and _one(flags, "parents").lower() != "false",
    )


def _heredoc(word: str, frontend: Frontend) -> str | None:
    """The name of the heredoc that a word opens; None if it opens none."""
    try:
        found = heredoc_word(word, frontend) if "<<" in word else None
    except WordError:
        return None
    return found[0] if found is not None else None


def _files_of_buildkit(
    keyword: str,
    flags: Mapping[str, Sequence[str]],
    paths: Sequence[str],
    names: Sequence[str],
) -> tuple[tuple[str, bool], ...]:
    """What of an ADD or COPY the classic builder refuses, or leaves out without a word."""
    found: list[tuple[str, bool]] = []
    for name, values in flags.items():
        if name == "chmod":
            # Since Docker 20.10 it is refused by name, unless it turns out to be empty.
            found.append((f"{keyword} --{name}", bool(values[0]) and "$" not in values[0]))
        elif name not in _FLAGS_OF_BOTH:
            found.append((f"{keyword} --{name}", False))
    if names:
        # Nothing is left to copy if it is the only source.
        found.append((f"{keyword} with a heredoc", not paths))
    if keyword == "ADD" and any(map(_is_git, paths)):
        found.append(("ADD of a git repository", False))
    return tuple(found)


def _is_git(path: str) -> bool:
    if "$" in path or not may_be_remote(path):
        return False
    try:
        git = git_source(path)
    except ValueError:
        return True
    return git is not None and not git.local


def _run(node: Node, _frontend: Frontend) -> Command | None:
    empty = node.json and not node.args
    if not node.flags and not empty and not node.bad_bytes:
        return Command(node.line, buildkit=_HEREDOC_RUN) if node.heredocs else None
    flags = _flags(node)
    mounts = tuple(map(_mount, flags["mount"])) if "mount" in flags else ()
    buildkit, device = _MOUNTING_RUN, False
    if not mounts or len(flags) > 1:
        device = _check_run(flags)
        # The classic builder knows no flag of RUN; old ones do not know the word either.
        buildkit = tuple((f"RUN --{name}", True) for name in flags)
    if node.heredocs:
        buildkit += _HEREDOC_RUN
    run = Run(mounts, device, empty, node.bad_bytes)
    if not any(run[1:]) and all(mount.plain for mount in mounts):
        return Command(node.line, mounts=mounts, buildkit=buildkit)
    return Command(node.line, mounts=mounts, check=run, buildkit=buildkit, varies=run.varies())


_MOUNTING_RUN: tuple[tuple[str, bool], ...] = (("RUN --mount", True),)
_HEREDOC_RUN: tuple[tuple[str, bool], ...] = (("RUN with a heredoc", False),)


def _mount(value: str) -> Mount:
    if PLAIN_CACHE_MOUNT(value):
        return CACHE_MOUNT
    fields = _fields(value, "mounts")
    try:
        return read_mount(value, fields)
    except ValueError as error:
        raise Bad(str(error)) from None


def _check_run(flags: Mapping[str, Sequence[str]]) -> bool:
    """See whether the flags of a RUN but its mounts are right; return whether one is a device."""
    for device in flags.get("device", ()):
        _check_device(_fields(device, "devices"))
    network, security = _one(flags, "network"), _one(flags, "security")
    if "network" in flags and network not in ("default", "none", "host"):
        raise Bad(f"invalid network mode {quoted(network)}")
    if "security" in flags and security not in ("insecure", "sandbox"):
        raise Bad(f"security {quoted(security)} is not valid")
    return "device" in flags


def _fields(value: str, what: str) -> list[str]:
    try:
        return csv_fields(value)
    except ValueError as error:
        raise Bad(f"failed to parse csv {what}: {error}") from None


def _check_device(fields: Sequence[str]) -> None:
    name = ""
    for text in fields:
        key, equals, value = text.partition("=")
        key = key.lower()
        if key == "required":
            if equals and boolean(value) is None:
                raise Bad(f"invalid value for {key}: {value}")
        elif key == "name" and equals:
            if name:
                raise Bad(f"device name already set to {name}")
            name = value
        elif not name:
            name = text
        elif not equals:
            raise Bad(f"invalid field '{text}' must be a key=value pair")
        else:
            raise Bad(f"unexpected key '{key}' in '{text}'")


def _plain(node: Node, _frontend: Frontend) -> Command | None:
    """CMD and ENTRYPOINT."""
    _flags(node)
    return None


def _shell(node: Node, _frontend: Frontend) -> Command | None:
    _flags(node)
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
    _flags(node)


def _maintainer(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    _flags(node)
    return None


def _stopsignal(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    return _checked(node.line, Signal(node.args[0]))


def _user(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    _flags(node)
    words = _special(*node.args)
    return Command(node.line, words=words, varies=asks(*words)) if words else None


def _workdir(node: Node, _frontend: Frontend) -> Command | None:
    _check_single(node)
    _flags(node)
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
    flags = _flags(node)
    if kind.upper() != "CMD":
        raise Bad(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not rest:
        raise Bad("Missing command after HEALTHCHECK CMD")
    try:
        for name in ("interval", "timeout", "start-period", "start-interval"):
            text = _one(flags, name)
            length = duration(text) if text else 0
            if length and length < _SHORTEST:
                raise Bad(f"Interval {quoted(name)} cannot be less than 1ms")
        retries = _one(flags, "retries")
        if retries and integer(retries, 32) < 0:
            raise Bad(f"--retries cannot be negative ({integer(retries)})")
    except ValueError as error:
        raise Bad(str(error)) from None
    return None


_ONBUILD = re.compile(r"ONBUILD[\t\n\f\r ]*", re.IGNORECASE)


def _onbuild(node: Node, _frontend: Frontend) -> Command:
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
    return Command(node.line, trigger=text + bodies, varies="$" in text + bodies)


def _copy_from(node: Node, _frontend: Frontend) -> Command:
    source = node.args[0]
    return Command(node.line, f"COPY --from={source}", source)


_READERS: dict[str, Callable[[Node, Frontend], Command | None]] = {
    COPY_FROM: _copy_from,
    "add": _files,
    "arg": _arg,
    "cmd": _plain,
    "copy": _files,
    "entrypoint": _plain,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
