"""Builds, whether a command line or a file asks for them."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.dependencies.contexts import file_path
from rebuilder.core.dockerfile import outline
from rebuilder.core.taskfile._commands.world import Place, World
from rebuilder.core.taskfile._steps import Build
from rebuilder.errors import InvalidReference, SourceUnavailable


class Described(Struct, frozen=True):
    """A build as a bake file or a compose file describes it, with placeholders for the unknown.

    Attributes:
        name: What the file calls it.
        context: The context, from where docker is started.
        dockerfile: The Dockerfile, from the context.
        inline: The Dockerfile itself; "" if it is a file.
        arguments: The build arguments.
        target: The stage; "" for the last.
        platforms: What is built for.
        tags: The names of the image.
        contexts: What is put in place of images of the Dockerfile.
        unknown: What else is not known of it.
    """

    name: str
    context: str = ""
    dockerfile: str = ""
    inline: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def described_build(
    world: World, place: Place, asked: Described, *, push: bool, known_as: str = ""
) -> Build:
    """Return the build that a file describes.

    Args:
        world: Knows the placeholders.
        place: Where docker is started.
        asked: The description.
        push: Whether the image is pushed.
        known_as: The name that other builds know the image by.
    """
    reasons = world.unknowns.reasons
    platforms = ",".join(asked.platforms)
    unknown = [*asked.unknown]
    for text in (asked.context, asked.dockerfile, asked.inline, asked.target, platforms):
        unknown += reasons(text)
    unknown += odd_contexts(world, asked.contexts)
    address, dockerfile = "", asked.name
    if not asked.inline:
        try:
            address, dockerfile = _dockerfile(place, asked)
        except SourceUnavailable as error:
            unknown.append(str(error))
    return Build(
        dockerfile,
        address,
        asked.arguments,
        asked.target,
        platforms,
        asked.tags,
        push,
        unknown_arguments(world, asked.arguments),
        tuple(dict.fromkeys(unknown)),
        asked.inline.encode() if asked.inline else None,
        contexts=asked.contexts,
        known_as=known_as,
    )


IMAGE = "docker-image://"
"""What a context begins with that is an image."""


def odd_contexts(world: World, contexts: Mapping[str, str]) -> list[str]:
    """Return why it cannot be told what takes the place of images.

    Source of the forms: docs.docker.com, `docker buildx build --build-context`.
    """
    found: list[str] = []
    for name, where in contexts.items():
        reasons = world.unknowns.reasons(f"{name}={where}")
        if not reasons and ("::" in name or where.startswith(("oci-layout://", "service:", "*"))):
            reasons = (f"the context {name}={where} takes the place of images",)
        found += reasons
    return found


def _dockerfile(place: Place, asked: Described) -> tuple[str, str]:
    context = asked.context or "."
    name = asked.dockerfile or "Dockerfile"
    if "://" in name:
        raise SourceUnavailable("the Dockerfile is an address")
    if is_address(context):
        return context, file_path("", name)
    return "", place.path(posixpath.join(context, name))


def find_dockerfile(place: Place, context: str, file: str) -> tuple[str, str]:
    """Return where a `docker build` takes its files from and the Dockerfile's path there.

    docker looks for the Dockerfile of `-f` from where it is started, whatever the context is;
    the agent starts it in the context itself where that is an address.

    Raises:
        SourceUnavailable: It is none of the context's files.
    """
    if context == "-" or file == "-":
        raise SourceUnavailable("the build reads its standard input")
    if "://" in file:
        raise SourceUnavailable("the Dockerfile is an address")
    if is_address(context):
        return context, file_path("", file or "Dockerfile")
    if file:
        return "", place.path(file)
    slash = context.replace("\\", "/") if place.windows else context
    return "", place.path(posixpath.join(slash, "Dockerfile"))


def is_address(context: str) -> bool:
    """Tell whether docker fetches a context, instead of looking for a folder."""
    return "://" in context or context.startswith(("git@", "github.com/"))


def unknown_arguments(world: World, arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments that hold something unknown, each with its reason."""
    found = {}
    for name, value in arguments.items():
        if reasons := world.unknowns.reasons(f"{name}={value}"):
            found[name] = "; ".join(reasons)
    return found


def pushes(output: str) -> bool:
    """Tell whether an `--output` pushes."""
    fields = _output(output)
    return fields.get("type") == "registry" or fields.get("push") == "true"


def output_names(outputs: Iterable[str]) -> list[str]:
    """Return the images that `--output`s name."""
    given = ",".join(_output(output).get("name", "") for output in outputs)
    return [name for name in given.split(",") if name]


def _output(output: str) -> dict[str, str]:
    """Return the fields of an `--output`, which is a line of CSV."""
    try:
        parts = next(csv.reader([output]), [])
    except csv.Error:
        parts = output.split(",")
    return dict(part.partition("=")[::2] for part in parts)


def check_contexts(build: Build, content: bytes) -> None:
    """Refuse what is not followed: a context in place of a stage, or one that is no image.

    Raises:
        SourceUnavailable: There is such a context.
        InvalidBuildFile: The Dockerfile cannot be read.
    """
    if not build.contexts:
        return
    froms = (i.text.split() for i in outline(content) if i.keyword == "from")
    stages = {words[-1].lower() for words in froms if len(words) > 3}  # noqa: PLR2004 - FROM x AS y
    for name, where in build.contexts.items():
        if name.lower() in stages:
            raise SourceUnavailable(f"the context {name}={where} takes the place of a stage")
        if where.startswith(IMAGE):
            try:
                ImageReference.parse(where.removeprefix(IMAGE))
            except InvalidReference as error:
                raise SourceUnavailable(f"the context {name}: {error}") from None
