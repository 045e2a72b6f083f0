"""The Azure CLI, as far as it makes images: `az acr build`, `az acr import`.

Source: learn.microsoft.com, the reference of `az acr`; azure-cli, acr/import.py (how a source is
read) and acr/build.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile._commands.builds import find_dockerfile, unknown_arguments
from rebuilder.core.taskfile._commands.flags import grammar, read
from rebuilder.core.taskfile._commands.world import Place, World
from rebuilder.core.taskfile._steps import Build
from rebuilder.core.taskfile._text import names
from rebuilder.errors import SourceUnavailable

_COMMON = "subscription output query resource-group"
_SWITCHES = "debug verbose only-show-errors help"
_SHORT = "o=output g=resource-group h=help"
_IMPORT = grammar(
    f"{_COMMON} name source image registry repository username password",
    f"{_SWITCHES} force no-wait",
    f"{_SHORT} n=name t=image r=registry u=username p=password",
)
_BUILD = grammar(
    f"{_COMMON} registry image file build-arg secret-build-arg target platform timeout"
    " agent-pool auth-mode log-template source-acr-auth-id",
    f"{_SWITCHES} no-push no-logs no-format no-wait",
    f"{_SHORT} r=registry t=image f=file",
)
# What a task asks of ACR that makes no image.
_HARMLESS = names(
    "login show list check-health check-name credential repository manifest show-usage "
    "token scope-map replication webhook network-rule config update help"
)


def az(world: World, place: Place, words: Sequence[str]) -> None:
    """Follow what `az WORDS` does.

    Raises:
        InvalidBuildFile: A flag at the end lacks its value.
    """
    if words[:1] != ["acr"] or len(words) == 1:
        return
    command, rest = words[1], words[2:]
    if command == "import":
        _import(world, place, rest)
    elif command == "build":
        _build(world, place, rest)
    elif command not in _HARMLESS:
        text = " ".join(["az", *words])
        world.unclear(text, f"what az acr {command} makes is not followed", place.line)


def _registry(world: World, name: str) -> str | None:
    """Return the login server of a registry that is named; None if that is not known.

    A name does not tell it for sure: with a domain name label it ends otherwise.
    """
    own = world.registry
    if name and name.lower() in (own, own.partition(".")[0]):
        return own
    return name.lower() if "." in name else None


def _import(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _IMPORT, place.line)
    text = " ".join(["az acr import", *words])
    target, source = _registry(world, asked.last("name")), asked.last("source")
    if "registry" in asked.flags:
        of = _registry(world, asked.last("registry").rpartition("/")[2])
        source = f"{of}/{source}" if of else ""
    if asked.unknown or target is None or not source or "repository" in asked.flags:
        reason = "which image it takes from where, and to where, is not known"
        world.unclear(text, reason, place.line)
        return
    # Without a name, the image keeps its own.
    for name in asked.all("image") or [source.partition("/")[2]]:
        world.copy([source], f"{target}/{name}", place.line)


def _build(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _BUILD, place.line)
    registry = _registry(world, asked.last("registry"))
    unknown = [f"the flag {flag} is not known" for flag in asked.unknown]
    if registry is None:
        unknown.append("the login server of its registry is not known")
    context = asked.words[-1] if asked.words else "."
    for text in (context, asked.last("file"), asked.last("target"), asked.last("platform")):
        unknown += world.unknowns.reasons(text)
    address, dockerfile = "", ""
    try:
        # Its -f is of the context, unlike docker's, if the context is a folder and the file is
        # not where the command is given; both are the same where the context is ".".
        address, dockerfile = find_dockerfile(place, context, asked.last("file"))
    except SourceUnavailable as error:
        unknown.append(str(error))
    given = [*asked.all("build-arg"), *asked.all("secret-build-arg")]
    arguments = dict(text.partition("=")[::2] for text in given)
    build = Build(
        dockerfile,
        address,
        arguments,
        asked.last("target"),
        asked.last("platform"),
        tuple(f"{registry}/{name}" for name in asked.all("image")),
        not asked.on("no-push") and bool(asked.all("image")),
        unknown_arguments(world, arguments),
        tuple(dict.fromkeys(unknown)),
    )
    world.build(build, Builder.CLASSIC, place.line)
