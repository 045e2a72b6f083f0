"""Dockerfiles: their stages, which of them are built, and what they read.

They are read by PyPI `dockerfile`, BuildKit's own parser. The two builders differ: docker's
classic one builds every stage up to the target, BuildKit those that the target stands on.

Source: github.com/moby/buildkit, frontend/dockerfile/dockerfile2llb/convert.go; of the classic
builder github.com/moby/moby, daemon/builder/dockerfile/dispatchers.go, copy.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dockerfile

from localcloud.builds import platforms
from localcloud.builds.build import Build
from localcloud.builds.job import HERE, BuildError

_VARIABLE = re.compile(r"\\\$|\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
_DIRECTIVE = re.compile(r"#\s*([A-Za-z]\w*)\s*=\s*(.+?)\s*")
_NEEDS_KIT = (
    "the --{} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how"
    " to build images with BuildKit enabled"
)
SCRATCH = "scratch"


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand $name, ${name}, ${name:-default} and ${name:+other}, as Dockerfiles do."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        name, how, other = match[1] or match[4], match[2] or "", match[3] or ""
        value = values.get(name)
        given = bool(value) if how.startswith(":") else value is not None
        if how.endswith("-"):
            return value or "" if given else expand(other, values)
        if how.endswith("+"):
            return expand(other, values) if given else ""
        return value or ""

    return _VARIABLE.sub(one, text)


def unquoted(text: str) -> str:
    """Return a text without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def flags_of(command: dockerfile.Command) -> dict[str, str]:
    """Return the flags of an instruction; of those given twice, the last."""
    return dict(flag.removeprefix("--").partition("=")[::2] for flag in command.flags)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a Dockerfile.

    Attributes:
        number: Its place, from 0.
        name: Its name, in lower case; empty if it has none.
        base: The image it begins with, `scratch`, or the name of another stage.
        parent: The place of the stage that it begins with; None if it begins with an image.
        platform: The platform of the image it begins with.
        opening: Its FROM.
        commands: Its other instructions.
        stages: The places of the stages that it reads, in its FROM or elsewhere.
        images: The images that it reads, in its FROM or elsewhere.
    """

    number: int
    name: str
    base: str
    parent: int | None
    platform: str
    opening: dockerfile.Command
    commands: tuple[dockerfile.Command, ...]
    stages: frozenset[int]
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build does.

    Attributes:
        text: The Dockerfile.
        arguments: The values of arguments that are declared before the first stage.
        automatic: The arguments that BuildKit gives without being told; none to the other.
        stages: The stages up to the target.
        built: The places of those that are built, in their order; the last is the target.
        syntax: The image of the `# syntax` line; empty if there is none.
    """

    text: str
    arguments: Mapping[str, str]
    automatic: Mapping[str, str]
    stages: tuple[Stage, ...]
    built: tuple[int, ...]
    syntax: str

    def reads(self) -> list[tuple[str, str]]:
        """Return each image that is read, with its platform, in the order of the stages."""
        found = [
            (image, stage.platform)
            for stage in (self.stages[number] for number in self.built)
            for image in stage.images
        ]
        return list(dict.fromkeys(found))


def plan(build: Build) -> Plan:
    """Read a Dockerfile, and say what is to be done.

    Raises:
        BuildError: It cannot be read, is wrong, or needs BuildKit and is not built by it.
    """
    try:
        text = build.dockerfile.read_text(encoding="utf-8-sig")
        commands = dockerfile.parse_string(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"unable to read the Dockerfile {build.dockerfile}: {error}") from error
    except dockerfile.GoParseError as error:
        raise BuildError(f"{build.dockerfile.name}: {error}") from error
    automatic = _automatic(build.platform) if build.kit else {}
    arguments, groups = _grouped(commands, build)
    stages: list[Stage] = []
    wanted = build.target.lower()
    for opening, rest in groups:
        stages.append(_stage(opening, rest, stages, build, {**automatic, **arguments}))
        if wanted and wanted in (stages[-1].name, str(stages[-1].number)):
            break
    else:
        if not stages or wanted:
            raise BuildError(f"target stage {build.target!r} could not be found")
    built = _needed(stages) if build.kit else range(len(stages))
    found = Plan(text, arguments, automatic, tuple(stages), tuple(built), _syntax(text))
    if not build.kit:
        _check_classic(stages)
    return found


def _grouped(
    commands: Iterable[dockerfile.Command], build: Build
) -> tuple[dict[str, str], list[tuple[dockerfile.Command, list[dockerfile.Command]]]]:
    """Return the arguments before the first stage, and each FROM with what follows."""
    arguments: dict[str, str] = {}
    groups: list[tuple[dockerfile.Command, list[dockerfile.Command]]] = []
    for command in commands:
        name = command.cmd.upper()
        if name == "FROM":
            groups.append((command, []))
        elif groups:
            groups[-1][1].append(command)
        elif name == "ARG":
            for word in command.value:
                key, has_default, default = word.partition("=")
                value = build.arguments.get(key)
                if value is None and has_default:
                    value = expand(unquoted(default), arguments)
                if value is not None:
                    arguments[key] = value
        else:
            raise BuildError(f"no build stage in current context: {command.original}")
    return arguments, groups


def _automatic(platform: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, given in (("BUILD", HERE), ("TARGET", platform)):
        system, architecture, *variant = given.split("/")
        found |= {
            f"{kind}PLATFORM": given,
            f"{kind}OS": system,
            f"{kind}ARCH": architecture,
            f"{kind}VARIANT": "".join(variant),
        }
    return found


def _stage(
    opening: dockerfile.Command,
    commands: list[dockerfile.Command],
    before: list[Stage],
    build: Build,
    values: Mapping[str, str],
) -> Stage:
    if len(opening.value) not in (1, 3):
        raise BuildError("FROM requires either one or three arguments")
    base = expand(opening.value[0], values)
    if not base:
        raise BuildError(f"base name ({opening.value[0]}) should not be blank")
    name = opening.value[2].lower() if len(opening.value) > 2 else ""  # noqa: PLR2004 - FROM image AS name
    asked = flags_of(opening).get("platform")
    platform = build.platform
    if asked is not None:
        wanted = expand(asked, values)
        try:
            platform = platforms.parse(wanted)
        except BuildError as error:
            raise BuildError(f"failed to parse platform {wanted}: {error}") from error
    names = {stage.name: stage for stage in before if stage.name}
    parent = None if base.lower() in build.contexts else names.get(base.lower())
    stages, images = set(), []
    if parent is not None:
        stages.add(parent.number)
        platform = parent.platform
    elif base != SCRATCH:
        images.append(base)
    for source in _sources(commands):
        if (known := _stage_named(source, before, build)) is not None:
            stages.add(known)
        else:
            images.append(source)
    return Stage(
        len(before),
        name,
        base,
        None if parent is None else parent.number,
        platform,
        opening,
        tuple(commands),
        frozenset(stages),
        tuple(images),
    )


def _stage_named(source: str, before: list[Stage], build: Build) -> int | None:
    """Return the place of the stage that `COPY --from` means; None if it means an image."""
    if source.lower() in build.contexts:
        return None
    for stage in reversed(before):
        if source.lower() == stage.name:
            return stage.number
    if source.isdecimal():
        if int(source) >= len(before):
            raise BuildError(f"invalid from flag value {source}: index out of bounds")
        return int(source)
    return None


def _sources(commands: Iterable[dockerfile.Command]) -> list[str]:
    """Return what instructions read by `--from` and by `--mount=from=`."""
    found = []
    for command in commands:
        name = command.cmd.upper()
        if name in ("COPY", "ADD"):
            found += [flags_of(command).get("from", "")]
        elif name == "RUN":
            for flag in command.flags:
                key, _, value = flag.partition("=")
                if key == "--mount":
                    fields = dict(part.partition("=")[::2] for part in value.split(","))
                    found.append(unquoted(fields.get("from", "")))
    return [source for source in found if source]


def _needed(stages: list[Stage]) -> list[int]:
    """Return the places of the stages that the last one stands on, and its own."""
    needed = {len(stages) - 1}
    for stage in reversed(stages):
        if stage.number in needed:
            needed |= stage.stages
    return sorted(needed)


def _syntax(text: str) -> str:
    for line in text.splitlines():
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match[1].lower() == "syntax":
            return match[2].split()[0]
    return ""


def _check_classic(stages: Iterable[Stage]) -> None:
    """Refuse what docker's classic builder refuses.

    It passes over `--link`, and takes of a heredoc in RUN its first line only.

    Raises:
        BuildError: In docker's words.
    """
    for command in (command for stage in stages for command in stage.commands):
        name = command.cmd.upper()
        if name == "RUN" and command.flags:
            flag = command.flags[0].removeprefix("--").partition("=")[0]
            raise BuildError(_NEEDS_KIT.format(flag))
        if name in ("COPY", "ADD"):
            if "chmod" in flags_of(command):
                raise BuildError(_NEEDS_KIT.format("chmod"))
            files = [word for word in command.value[:-1] if not word.startswith("<<")]
            if not files:
                raise BuildError(f"{name} failed: no source files were specified")
