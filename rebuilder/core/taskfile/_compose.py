"""`docker compose`: builds that a compose file describes.

Source: github.com/compose-spec/compose-spec, 12-interpolation.md and build.md; docs.docker.com,
`docker compose build`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml

from rebuilder.core.effects import Builder
from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._builds import Described, described_build
from rebuilder.core.taskfile._flags import grammar, read
from rebuilder.core.taskfile._world import Place, World
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

_GLOBAL = grammar(
    "ansi env-file file parallel profile progress project-directory project-name",
    "all-resources compatibility dry-run verbose version",
    "f=file p=project-name",
)
_BUILD = grammar(
    "build-arg builder memory progress provenance sbom ssh",
    "check no-cache print pull push quiet with-dependencies compress force-rm no-rm parallel",
    "m=memory q=quiet",
)
_OTHER = grammar(
    "scale timeout exit-code-from pull",
    "build detach force-recreate no-build quiet ignore-push-failures include-deps no-start wait"
    " ignore-buildable ignore-pull-failures abort-on-container-exit remove-orphans"
    " quiet-pull no-deps",
    "d=detach q=quiet t=timeout V=renew-anon-volumes",
)
_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDES = (
    *("compose.override.yaml", "compose.override.yml", "docker-compose.override.yaml"),
    "docker-compose.override.yml",
)
_SERVICES = 200
_VARIABLE = re.compile(
    r"\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|\{([A-Za-z_]\w*)(:?[-?+])([^{}$]*)\}|(.?))"
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a compose file.

    Attributes:
        name: Its name.
        image: The image that it runs, or that its build is called; "" if it has no name.
        build: How its image is built; None if it is not.
    """

    name: str
    image: str
    build: Described | None


def compose(world: World, place: Place, words: Sequence[str], builder: Builder) -> None:
    """Follow what `docker compose WORDS` does.

    Raises:
        InvalidBuildFile: docker refuses the words.
    """
    text = " ".join(["docker compose", *words])
    asked = read(words, _GLOBAL, place.line, until_word=True)
    command, *rest = asked.words or ["version"]
    if asked.unknown or asked.last("project-directory"):
        world.unclear(text, "where its files are is not known", place.line)
    elif command in ("build", "push", "pull", "up", "create"):
        try:
            found = _read_files(world, place, asked.all("file"))
        except SourceUnavailable as error:
            world.unclear(text, str(error), place.line)
            return
        _carry_out(world, place, command, rest, found, builder)
    elif command in ("run", "exec"):
        world.unclear(text, f"what compose {command} runs is not followed", place.line)


def _carry_out(
    world: World,
    place: Place,
    command: str,
    words: Sequence[str],
    found: Mapping[str, Service],
    builder: Builder,
) -> None:
    asked = read(words, _BUILD if command == "build" else _OTHER, place.line)
    for name in asked.words:
        if name not in found:
            reason = "there is no such service"
            world.unclear(f"docker compose {command} {name}", reason, place.line)
    more = dict(text.partition("=")[::2] for text in asked.all("build-arg") if "=" in text)
    for service in [found[name] for name in asked.words if name in found] or found.values():
        build = service.build
        if command == "push":
            if build is not None and service.image:
                world.push(service.image, place.line)
        elif command == "pull":
            if build is None and service.image:
                world.pull(service.image, place.line)
        elif build is not None:
            build = replace(build, arguments={**build.arguments, **more})
            pushed = asked.on("push")
            world.build(described_build(world, place, build, push=pushed), builder, place.line)
        elif command != "build" and service.image:
            world.run(service.image, place.line, ("docker compose",))


def _read_files(world: World, place: Place, names: Sequence[str]) -> dict[str, Service]:
    if names:
        return {
            service.name: service
            for name in names
            for service in services(world, place, name, world.read(place.path(name)))
        }
    found: dict[str, Service] = {}
    last = ""
    # The first of either kind that is there.
    for group in (_FILES, _OVERRIDES):
        for name in group:
            try:
                content = world.read(place.path(name))
            except SourceUnavailable as error:
                last = str(error)
                continue
            found |= {s.name: s for s in services(world, place, name, content)}
            break
        if not found:
            raise SourceUnavailable(f"none of {', '.join(_FILES)} can be read: {last}")
    return found


def services(world: World, place: Place, name: str, content: bytes) -> Iterator[Service]:
    """Return the services of a compose file.

    Raises:
        SourceUnavailable: It is none, or says what is not followed.
    """

    def line(index: int) -> int:
        return index + 1

    try:
        root = _yaml.fields(_yaml.compose(content.decode(), line), line, name)
        given = _yaml.fields(root.get("services"), line, "services")
        if "include" in root:
            raise SourceUnavailable(f"{name}: what it includes is not read")
        for number, (service, node) in enumerate(given.items()):
            if number == _SERVICES:
                raise SourceUnavailable(f"{name} has more than {_SERVICES} services")
            yield _Reader(world, place, line).service(service, node)
    except InvalidBuildFile as error:
        raise SourceUnavailable(f"{name}: {error}") from None
    except UnicodeDecodeError:
        raise SourceUnavailable(f"{name} is not text in UTF-8") from None


class _Reader:
    """Reads a service, with its variables filled in."""

    def __init__(self, world: World, place: Place, line: _yaml.Line) -> None:
        self._world = world
        self._place = place
        self._line = line

    def service(self, name: str, node: yaml.Node) -> Service:
        given = _yaml.fields(node, self._line, name)
        image = self._text(given.get("image"))
        build = given.get("build")
        if build is None:
            return Service(name, image, None)
        if isinstance(build, yaml.ScalarNode):
            asked = Described(f"service {name}", context=self._text(build))
        else:
            asked = self._build(name, _yaml.fields(build, self._line, "build"))
        unknown = ("what it extends is not read",) if "extends" in given else ()
        tags = tuple(filter(None, (image, *asked.tags)))
        platforms = asked.platforms or tuple(filter(None, (self._text(given.get("platform")),)))
        return Service(name, image, replace(asked, tags=tags, platforms=platforms, unknown=unknown))

    def _build(self, name: str, given: Mapping[str, yaml.Node]) -> Described:
        return Described(
            f"service {name}",
            context=self._text(given.get("context")),
            dockerfile=self._text(given.get("dockerfile")),
            inline=self._text(given.get("dockerfile_inline")),
            arguments=self._arguments(given.get("args")),
            target=self._text(given.get("target")),
            platforms=self._texts(given.get("platforms")),
            tags=self._texts(given.get("tags")),
            contexts=tuple(self._pairs(given.get("additional_contexts"))),
        )

    def _arguments(self, node: yaml.Node | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in self._pairs(node).items():
            if value is not None:
                found[name] = value
            elif name in self._place.variables:
                # Without a value, that of the environment, or none.
                found[name] = self._place.variables[name]
        return found

    def _pairs(self, node: yaml.Node | None) -> dict[str, str | None]:
        """Return what stands as a mapping, or as a list of NAME=VALUE."""
        if isinstance(node, yaml.SequenceNode):
            pairs = [text.partition("=") for text in self._texts(node)]
            return {name: value if equals else None for name, equals, value in pairs}
        return {
            name: None if _yaml.is_null(value) else self._text(value)
            for name, value in _yaml.fields(node, self._line, "a mapping").items()
        }

    def _texts(self, node: yaml.Node | None) -> tuple[str, ...]:
        return tuple(map(self._text, _yaml.items(node, self._line, "a list")))

    def _text(self, node: yaml.Node | None) -> str:
        return _VARIABLE.sub(self._filled, _yaml.string(node, self._line, "a value"))

    def _filled(self, match: re.Match[str]) -> str:
        dollar, plain, braced, name, operator, other, odd = match.groups()
        if dollar:
            return "$"
        if odd is not None:
            return self._unknown(match[0])
        variables = self._place.variables
        name = plain or braced or name
        value = variables.get(name)
        given = value is not None and (value != "" or ":" not in (operator or ""))
        if operator and operator[-1] == "+":
            return str(other) if given else ""
        if given:
            return str(value)
        # Where nothing sets it, docker takes the default; it may be set elsewhere, but not here.
        return str(other) if operator and operator[-1] == "-" else self._unknown(match[0])

    def _unknown(self, text: str) -> str:
        reason = f"{text} is filled in from an environment that is not known"
        return self._world.unknowns.word(text, reason, self._place.line, may_be_empty=True)
