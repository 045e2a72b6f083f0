"""From the text of a Dockerfile to the images that a build of it reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import (
    BuildImages,
    BuildKitOnly,
    ImageUse,
    UnknownImage,
)
from rebuilder.core.dockerfile._frontends import NEWEST, Frontend, frontend_of
from rebuilder.core.dockerfile._instructions.commands import Instructions
from rebuilder.core.dockerfile._instructions.reading import read_instructions
from rebuilder.core.dockerfile._parser.directives import (
    Directives,
    Syntax,
    check_options,
    read_directives,
    read_escape,
)
from rebuilder.core.dockerfile._parser.tree import read_tree
from rebuilder.core.dockerfile._platforms import Platform, parse_platform, predefined
from rebuilder.core.dockerfile._shell.lexer import Lexer
from rebuilder.core.dockerfile._shell.variables import Variable
from rebuilder.core.dockerfile._stages.arguments import GlobalArgs
from rebuilder.core.dockerfile._stages.graph import Graph
from rebuilder.core.dockerfile._stages.names import Names
from rebuilder.core.dockerfile._stages.results import images_of, united
from rebuilder.core.dockerfile._text import (
    FILE_LIMIT,
    PLATFORM_LIMIT,
    SPACE,
    TOGETHER_LIMIT,
    boolean,
    parse_reference,
    short,
)
from rebuilder.errors import ArgumentMissing, InvalidBuildFile, InvalidReference

_MARK = b"\xef\xbb\xbf"
_SYNTAX_ARG = "BUILDKIT_SYNTAX"
_CHECK_ARG = "BUILDKIT_DOCKERFILE_CHECK"
_SEVERAL_ARG = "BUILDKIT_MULTI_PLATFORM"
# White space for Python, but not for Go: as good as any other character that is nothing at all.
_NO_SPACE_ELSEWHERE = dict.fromkeys(range(0x1C, 0x20), "\ufffd")
_NO_ARGS: Mapping[str, str] = {}


class _File(NamedTuple):
    """A Dockerfile, and for what it is read.

    Attributes:
        text: All of it, without its byte order mark.
        lines: Its lines, without line feeds.
        bad_lines: Those of them, counted from 0, that hold bytes that are no text.
        build_args: The build arguments.
        target: The stage to build; "" for the last one.
        platforms: What to build for.
    """

    text: str
    lines: list[str]
    bad_lines: frozenset[int]
    build_args: Mapping[str, str]
    target: str
    platforms: tuple[str, ...]


def read_dockerfile(
    content: bytes,
    *,
    build_args: Mapping[str, str] = _NO_ARGS,
    target: str = "",
    platform: str = "linux/amd64",
) -> BuildImages:
    """Read every image that a build of a Dockerfile reads.

    Args:
        content: The Dockerfile.
        build_args: The build arguments, as of `--build-arg`. One that is there and empty is given
            as empty; one that is not there is not given.
        target: The name of the stage to build, in any case; "" for the last one.
        platform: What to build for, as `--platform` takes it: one platform, or several with commas
            between them.

    Returns:
        The images, each with the line of its instruction, or 0 for a frontend that a build
        argument names. `unknown` says what a frontend of another language leaves open. What the
        ONBUILDs of a base image add stands in that image, not in the file, and is not told.

        For several platforms it is what any of them reads. Where they differ, the last step of a
        way tells for which platforms an image is read, and `final` is that of the first platform.

    Raises:
        ArgumentMissing: For what BuildKit refuses only because a build argument is not given, or is
            empty.
        InvalidBuildFile: For what BuildKit refuses, with its line and reason; and for what is
            larger than this reader's limits (see `_text.py`).
    """
    if len(content) > FILE_LIMIT:
        raise InvalidBuildFile(0, f"the Dockerfile is larger than {FILE_LIMIT} bytes")
    try:
        platforms = _platforms(platform)
        _check_arguments(build_args, platforms)
        return _read_file(_file(content, build_args, target, platforms))
    except InvalidBuildFile as error:
        problem, missing = short(error.problem), tuple(map(short, error.missing))
        if problem is error.problem and missing == error.missing:
            raise
        if missing:
            raise ArgumentMissing(error.line, problem, missing) from None
        raise InvalidBuildFile(error.line, problem) from None


def _platforms(text: str) -> tuple[str, ...]:
    """The platforms, each once."""
    if "," not in text:
        return (text,)
    names: dict[Platform, str] = {}
    for name in text.split(",", PLATFORM_LIMIT):
        if len(names) == PLATFORM_LIMIT or "," in name:
            raise InvalidBuildFile(0, f"there are more than {PLATFORM_LIMIT} platforms")
        names.setdefault(_platform(name), name)
    return tuple(names.values())


@lru_cache(maxsize=64)  # a platform may be anything that a caller is given
def _platform(name: str) -> Platform:
    try:
        return parse_platform(name)
    except ValueError as error:
        problem = f"failed to parse target platform {name}: {error}"
        raise InvalidBuildFile(0, problem) from None


@lru_cache(maxsize=64)
def _automatic(name: str) -> dict[str, Variable]:
    _platform(name)
    origin = f"the platform {name}"
    return {
        key: Variable(key, value, origin, automatic=True) for key, value in predefined(name).items()
    }


def _check_arguments(build_args: Mapping[str, str], platforms: tuple[str, ...]) -> None:
    """Refuse what BuildKit refuses of build arguments that are its own."""
    if not build_args:
        return
    several = build_args.get(_SEVERAL_ARG)
    if several:
        value = boolean(several)
        if value is None:
            raise InvalidBuildFile(0, f"invalid boolean value for multi-platform: {several}")
        if not value and len(platforms) > 1:
            problem = "conflicting config: returning multiple target platforms is not allowed"
            raise InvalidBuildFile(0, problem)
    if _CHECK_ARG in build_args:
        try:
            check_options(build_args[_CHECK_ARG])
        except ValueError as error:
            raise InvalidBuildFile(0, f"failed to parse build-arg:{_CHECK_ARG}: {error}") from None


def _file(
    content: bytes, build_args: Mapping[str, str], target: str, platforms: tuple[str, ...]
) -> _File:
    if not content:
        raise InvalidBuildFile(0, "the Dockerfile cannot be empty")
    content = content.removeprefix(_MARK)
    bad_lines: frozenset[int] = frozenset()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode(errors="replace")
        raw = enumerate(content.split(b"\n"))
        bad_lines = frozenset(number for number, line in raw if not _is_text(line))
    if "\x1c" in text or "\x1d" in text or "\x1e" in text or "\x1f" in text:
        text = text.translate(_NO_SPACE_ELSEWHERE)
    return _File(text, text.split("\n"), bad_lines, build_args, target, platforms)


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_file(file: _File) -> BuildImages:
    directives = read_directives(file.text, file.lines)
    syntax = directives.syntax
    if _SYNTAX_ARG in file.build_args:
        image = file.build_args[_SYNTAX_ARG].strip(SPACE).partition(" ")[0]
        syntax = Syntax(image, 0, f"--build-arg {_SYNTAX_ARG}={image}")
    if syntax is None:
        return _read(file, directives, NEWEST)
    return _read_by_frontend(file, directives, syntax)


def _read_by_frontend(file: _File, directives: Directives, syntax: Syntax) -> BuildImages:
    try:
        reference = parse_reference(syntax.image)
    except InvalidReference as error:
        raise InvalidBuildFile(syntax.line, f"invalid reference format: {error.problem}") from None
    use = ImageUse(reference, Kind.FRONTEND, syntax.line, (syntax.text,))
    frontend = frontend_of(reference)
    try:
        read = _read(file, directives, frontend)
    except InvalidBuildFile:
        if frontend.own:
            raise
        reason = f"only the frontend {reference} knows what the file says"
        image = UnknownImage(syntax.text, syntax.line, reason)
        # The classic builder takes the directive for a comment, and the file for a Dockerfile.
        only = BuildKitOnly(syntax.line, syntax.text, refused=True)
        return BuildImages((use,), None, (image,), needs_buildkit=(only,))
    unknown = read.unknown
    if not frontend.own:
        reason = f"it is read as a Dockerfile; the frontend {reference} may read it otherwise"
        unknown = (UnknownImage(syntax.text, syntax.line, reason), *unknown)
    return BuildImages((use, *read.images), read.final, unknown, read.unused, read.needs_buildkit)


def _read(file: _File, directives: Directives, frontend: Frontend) -> BuildImages:
    if _CHECK_ARG not in file.build_args and directives.check:
        try:
            check_options(directives.check)
        except ValueError as error:
            problem = f"failed to parse check options: {error}"
            raise InvalidBuildFile(directives.check_line, problem) from None
    escape = read_escape(file.lines)
    nodes = read_tree(file.lines, escape, frontend, bad_lines=file.bad_lines)
    instructions = read_instructions(nodes, frontend)
    varies = instructions.varies
    if varies:
        # Rare enough to go through it once more, for what sets variables.
        nodes = read_tree(file.lines, escape, frontend, variables=True, bad_lines=file.bad_lines)
        instructions = read_instructions(nodes, frontend)
    if len(file.platforms) == 1:
        return _read_for(file, instructions, Lexer(escape, frontend), file.platforms[0], varies)
    if len(file.text) * len(file.platforms) > TOGETHER_LIMIT:
        count = len(file.platforms)
        raise InvalidBuildFile(0, f"the Dockerfile is too large to be read for {count} platforms")
    read: dict[str, BuildImages | InvalidBuildFile] = {}
    lexer = Lexer(escape, frontend)
    for platform in file.platforms:
        try:
            read[platform] = _read_for(file, instructions, lexer, platform, varies)
        except InvalidBuildFile as error:
            read[platform] = error
    return united(read)


def _read_for(
    file: _File,
    instructions: Instructions,
    lexer: Lexer,
    platform: str,
    tracks: bool,  # noqa: FBT001 - it is called in one place
) -> BuildImages:
    """Read the instructions of a file for one platform."""
    args = GlobalArgs(instructions, lexer, file.build_args, _automatic(platform), file.target)
    names = Names(args, lexer)
    graph = Graph(lexer, args.build_args, args.outer, _platform(platform).os, tracks=tracks)
    for stage in instructions.stages:
        base = names.base_of(stage)
        graph.add(stage, base.name, base.way, base.system, base.note)
    target = graph.target(file.target)
    reached = graph.reach(target)
    return images_of(reached, graph.up_to(target), target, names)
