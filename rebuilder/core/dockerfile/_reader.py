"""From the text of a Dockerfile to the images that a build of it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from rebuilder.core.build_files import BuildImages, ImageUse, UnknownImage
from rebuilder.core.dockerfile._directives import Syntax, read_directives
from rebuilder.core.dockerfile._graph import Graph, State
from rebuilder.core.dockerfile._instructions import GlobalArg, Stage, read_instructions
from rebuilder.core.dockerfile._platforms import parse_platform, predefined
from rebuilder.core.dockerfile._text import FILE_LIMIT, SPACE, parse_reference, short
from rebuilder.core.dockerfile._tree import read_tree
from rebuilder.core.dockerfile._words import Lexer, Variable, WordError
from rebuilder.core.references import ImageReference
from rebuilder.core.tasks import Kind
from rebuilder.errors import InvalidBuildFile, InvalidReference

_MARK = b"\xef\xbb\xbf"
# The frontends that read Dockerfiles, wherever they are mirrored to.
_DOCKERFILE_FRONTENDS = frozenset({"dockerfile", "dockerfile-upstream"})
_SYNTAX_ARG = "BUILDKIT_SYNTAX"
_WAY_LIMIT = 20
_NOTHING: tuple[Variable, ...] = ()
# White space for Python, but not for Go: as good as any other character that is nothing at all.
_NO_SPACE = "\x1c\x1d\x1e\x1f"
_NO_SPACE_ELSEWHERE = dict.fromkeys(map(ord, _NO_SPACE), "\ufffd")
_NO_ARGS: Mapping[str, str] = {}


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
        build_args: The build arguments, as of `--build-arg`.
        target: The name of the stage to build, in any case; "" for the last one.
        platform: What to build for.

    Returns:
        The images, each with the line of its instruction, or 0 for a frontend that a build
        argument names. `unknown` says what a frontend of another language leaves open. What the
        ONBUILDs of a base image add stands in that image, not in the file, and is not told.

    Raises:
        InvalidBuildFile: For what BuildKit refuses, with its line and reason; and for what is
            larger than this reader's limits (see `_text.py`).
    """
    if not content:
        raise InvalidBuildFile(0, "the Dockerfile cannot be empty")
    if len(content) > FILE_LIMIT:
        raise InvalidBuildFile(0, f"the Dockerfile is larger than {FILE_LIMIT} bytes")
    text = content.removeprefix(_MARK).decode(errors="replace")
    if any(character in text for character in _NO_SPACE):
        text = text.translate(_NO_SPACE_ELSEWHERE)
    lines = text.split("\n")
    try:
        return _read_lines(text, lines, build_args, target, platform)
    except InvalidBuildFile as error:
        raise InvalidBuildFile(error.line, short(error.problem)) from None


def _read_lines(
    text: str, lines: list[str], build_args: Mapping[str, str], target: str, platform: str
) -> BuildImages:
    directives = read_directives(text, lines)
    syntax = directives.syntax
    if build_args.get(_SYNTAX_ARG):
        image = build_args[_SYNTAX_ARG].strip(SPACE).partition(" ")[0]
        syntax = Syntax(image, 0, f"--build-arg {_SYNTAX_ARG}={image}")
    if syntax is None:
        return _read(lines, directives.escape, build_args, target, platform)
    return _read_by_frontend(syntax, lines, directives.escape, build_args, target, platform)


def _read_by_frontend(
    syntax: Syntax,
    lines: list[str],
    escape: str,
    build_args: Mapping[str, str],
    target: str,
    platform: str,
) -> BuildImages:
    try:
        reference = parse_reference(syntax.image)
    except InvalidReference as error:
        raise InvalidBuildFile(syntax.line, f"invalid reference format: {error.problem}") from None
    frontend = ImageUse(reference, Kind.FRONTEND, syntax.line, (syntax.text,))
    own = reference.path.rpartition("/")[2] in _DOCKERFILE_FRONTENDS
    try:
        read = _read(lines, escape, build_args, target, platform)
    except InvalidBuildFile:
        if own:
            raise
        reason = f"only the frontend {reference} knows what the file says"
        return BuildImages((frontend,), None, (UnknownImage(syntax.text, syntax.line, reason),))
    unknown: tuple[UnknownImage, ...] = ()
    if not own:
        reason = f"it is read as a Dockerfile; the frontend {reference} may read it otherwise"
        unknown = (UnknownImage(syntax.text, syntax.line, reason),)
    return BuildImages((frontend, *read.images), read.final, unknown)


def _read(
    lines: list[str], escape: str, build_args: Mapping[str, str], target: str, platform: str
) -> BuildImages:
    instructions = read_instructions(read_tree(lines, escape))
    lexer = Lexer(escape)
    stages = instructions.stages
    variables = _global_variables(
        instructions.args, lexer, build_args, target or stages[-1].name, platform
    )
    graph = Graph(lexer, build_args)
    for stage in stages:
        graph.add(stage, *_base_of(stage, lexer, variables))
    built = graph.target(target)
    return _images(graph.reach(built), built)


def _global_variables(
    args: Sequence[GlobalArg],
    lexer: Lexer,
    build_args: Mapping[str, str],
    target: str,
    platform: str,
) -> dict[str, Variable]:
    """What FROM may name: the ARGs before the first FROM, and the predefined ones."""
    try:
        variables = dict(_platform_variables(platform))
    except ValueError as error:
        problem = f"failed to parse target platform {platform}: {error}"
        raise InvalidBuildFile(0, problem) from None
    variables["TARGETSTAGE"] = Variable("TARGETSTAGE", target or "default", "the target")
    for name in build_args.keys() & variables.keys() if build_args else ():
        variables[name] = Variable(name, build_args[name], "--build-arg")
    for arg in args:
        if arg.name in build_args:
            value, origin, uses = build_args[arg.name], "--build-arg", _NOTHING
        elif arg.default is None:
            continue
        else:
            try:
                value = lexer.expand(arg.default, variables)
            except WordError as error:
                raise InvalidBuildFile(arg.line, str(error)) from None
            origin, uses = f"ARG on line {arg.line}", tuple(lexer.used)
        variables[arg.name] = Variable(arg.name, value, origin, uses)
    return variables


@lru_cache(maxsize=16)  # a platform may be anything that a caller is given
def _platform_variables(platform: str) -> dict[str, Variable]:
    origin = f"the platform {platform}"
    values = predefined(platform).items()
    return {name: Variable(name, value, origin) for name, value in values}


def _base_of(
    stage: Stage, lexer: Lexer, variables: Mapping[str, Variable]
) -> tuple[str, tuple[str, ...]]:
    """What a stage is built on, and how the text became that."""
    try:
        name = lexer.expand(stage.base, variables)
        used = lexer.used
        if not name:
            problem = f"base name ({stage.base}) should not be blank"
            raise InvalidBuildFile(stage.line, problem)
        if stage.platform:
            _check_platform(stage, lexer.expand(stage.platform, variables))
    except WordError as error:
        raise InvalidBuildFile(stage.line, str(error)) from None
    return name, (short(f"FROM {stage.base}"), *_steps(used, name))


def _check_platform(stage: Stage, platform: str) -> None:
    if not platform:
        problem = f"empty platform value from expression {stage.platform}"
        raise InvalidBuildFile(stage.line, problem)
    try:
        parse_platform(platform)
    except ValueError as error:
        problem = f"failed to parse platform {stage.platform}: {error}"
        raise InvalidBuildFile(stage.line, problem) from None


def _steps(used: Sequence[Variable], result: str) -> list[str]:
    """Where the values of variables are from, and those that they are made of."""
    steps: dict[str, None] = {}
    waiting = list(used)
    while waiting and len(steps) < _WAY_LIMIT:
        variable = waiting.pop(0)
        # A value that does not show in the name is nobody's business.
        shown = f"={variable.value}" if variable.value in result else ""
        steps[short(f"{variable.name}{shown}") + f" from {variable.origin}"] = None
        waiting += variable.uses
    return list(steps)


def _images(reached: Sequence[State], built: State) -> BuildImages:
    root = built
    while root.base is not None:
        root = root.base
    images: dict[tuple[Kind, ImageReference], ImageUse] = {}
    for state in sorted(reached, key=lambda state: state.line):
        if state.base is not None or state.reference is None:
            continue
        kind = Kind.RUNTIME if state is root else Kind.BUILD_TIME
        images.setdefault(
            (kind, state.reference), ImageUse(state.reference, kind, state.line, state.way)
        )
    return BuildImages(tuple(images.values()), root.reference)
