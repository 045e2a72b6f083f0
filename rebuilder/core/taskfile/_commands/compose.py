"""`docker compose`: builds that a compose file describes.

Source: github.com/compose-spec/compose-spec, 12-interpolation.md, 13-merge.md, 15-profiles.md and
build.md; docs.docker.com, `docker compose build`, and "Environment variables: .env file".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import replace

import yaml
from msgspec import Struct

from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._commands.builds import Described, described_build
from rebuilder.core.taskfile._commands.flags import Asked, grammar, read
from rebuilder.core.taskfile._commands.world import Place, Rewritten, World
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


class Service(Struct, frozen=True):
    """A service of a compose file.

    Attributes:
        name: Its name.
        image: The image that it runs, or that its build is called; "" if it has no name.
        own: What it says itself of how its image is built; None if it is not.
        platform: What it runs on, and its image is built for unless its build says otherwise.
        profiles: The profiles of which one has to be asked for; empty if it is always there.
    """

    name: str
    image: str = ""
    own: Described | None = None
    platform: str = ""
    profiles: tuple[str, ...] = ()

    @property
    def build(self) -> Described | None:
        """How its image is built; None if it is not."""
        if self.own is None:
            return None
        tags = tuple(filter(None, (self.image, *self.own.tags)))
        platforms = self.own.platforms or tuple(filter(None, (self.platform,)))
        return replace(self.own, tags=tags, platforms=platforms)


def joined(found: Mapping[str, Service], more: Iterable[Service]) -> dict[str, Service]:
    """Return the services of several files, of which the later ones add to, and go before."""
    services = dict(found)
    for service in more:
        before = services.get(service.name, Service(service.name))
        services[service.name] = Service(
            service.name,
            service.image or before.image,
            _joined(before.own, service.own),
            service.platform or before.platform,
            (*before.profiles, *service.profiles),
        )
    return services


def _joined(before: Described | None, after: Described | None) -> Described | None:
    if before is None or after is None:
        return after or before
    # A Dockerfile of one kind takes the place of one of the other.
    inline = after.inline or ("" if after.dockerfile else before.inline)
    return Described(
        after.name,
        after.context or before.context,
        after.dockerfile or ("" if after.inline else before.dockerfile),
        inline,
        {**before.arguments, **after.arguments},
        after.target or before.target,
        (*before.platforms, *after.platforms),
        (*before.tags, *after.tags),
        {**before.contexts, **after.contexts},
        (*before.unknown, *after.unknown),
    )


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
            inside = _with_env(world, place, asked)
            found = _read_files(world, inside, asked.all("file"))
            found = _there(world, found, _active(inside, asked), rest)
        except SourceUnavailable as error:
            world.unclear(text, str(error), place.line)
            return
        _carry_out(world, _project(place, asked), command, rest, found, builder)
    elif command in ("run", "exec"):
        world.unclear(text, f"what compose {command} runs is not followed", place.line)


def _project(place: Place, asked: Asked) -> Place:
    """Return where the paths of the files begin: in the folder of the first one."""
    folder = posixpath.dirname(next(iter(asked.all("file")), ""))
    if not folder or place.folder is None:
        return place
    return replace(place, folder=posixpath.normpath(posixpath.join(place.folder, folder)))


def _active(place: Place, asked: Asked) -> Collection[str]:
    """Return the profiles that are asked for."""
    return (*asked.all("profile"), *place.variables.get("COMPOSE_PROFILES", "").split(","))


def _there(
    world: World, found: Mapping[str, Service], active: Collection[str], named: Collection[str]
) -> dict[str, Service]:
    """Leave out the services of which no profile is asked for; to name one asks for it.

    Raises:
        SourceUnavailable: Which are asked for is not known.
    """
    profiles = {profile for service in found.values() for profile in service.profiles}
    reasons = world.unknowns.reasons(" ".join((*active, *profiles))) if profiles else ()
    if reasons:
        raise SourceUnavailable(f"which profiles are asked for: {'; '.join(reasons)}")
    return {
        name: service
        for name, service in found.items()
        if not service.profiles
        or name in named
        or "*" in active
        or not set(active).isdisjoint(service.profiles)
    }


def _with_env(world: World, place: Place, asked: Asked) -> Place:
    """Return a place with the variables of the files that compose reads them from.

    Raises:
        SourceUnavailable: One that is named cannot be had, or what one says is not followed.
    """
    variables: dict[str, str] = {}
    files = asked.all("env-file")
    first = next(iter(asked.all("file")), "")
    for name in files or [posixpath.join(posixpath.dirname(first), ".env")]:
        try:
            content = world.read(place.path(name))
        except Rewritten:
            raise
        except SourceUnavailable:
            if files:
                raise
            continue
        variables |= _variables(world, place, name, content)
    found = {**variables, **place.variables}
    if "COMPOSE_FILE" in found and not asked.all("file"):
        raise SourceUnavailable("the files that COMPOSE_FILE names are not looked for")
    return replace(place, variables=found)


def with_usual_env(world: World, place: Place) -> Place:
    """Return a place with the variables of its `.env`, if there is one.

    Raises:
        SourceUnavailable: What it says is not followed.
    """
    return _with_env(world, place, Asked())


def _variables(world: World, place: Place, name: str, content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise SourceUnavailable(f"{name} is not text in UTF-8") from None
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").lstrip()
        if not text or text.startswith("#"):
            continue
        match = _SETTING.fullmatch(text)
        if match is None:
            raise SourceUnavailable(f"{name}, line {number}: it is not followed")
        variable, single, double, bare = match.groups()
        if single is None and any(mark in (double or bare or "") for mark in "$\\"):
            reason = f"what {name}, line {number}, makes of {variable} is not worked out"
            found[variable] = world.unknowns.word(
                f"${variable} of {name}", reason, place.line, may_be_empty=True
            )
        else:
            found[variable] = next(v for v in (single, double, bare, "") if v is not None).strip()
    return found


_SETTING = re.compile(
    r"""([A-Za-z_]\w*)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^'"\s#](?:(?!\s\#).)*)?)\s*(?:\#.*)?"""
)


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
    found: dict[str, Service] = {}
    for name in names:
        found = joined(found, services(world, place, name, world.read(place.path(name))))
    if names:
        return found
    last = ""
    # The first of either kind that is there.
    for group in (_FILES, _OVERRIDES):
        for name in group:
            try:
                content = world.read(place.path(name))
            except SourceUnavailable as error:
                last = str(error)
                continue
            found = joined(found, services(world, place, name, content))
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
        platform = self._text(given.get("platform"))
        profiles = self._texts(given.get("profiles"))
        unknown = ("what it extends is not read",) if "extends" in given else ()
        build = given.get("build")
        if build is None and unknown:
            raise SourceUnavailable(f"{unknown[0]}: {name}")
        if build is None:
            return Service(name, image, None, platform, profiles)
        if isinstance(build, yaml.ScalarNode):
            asked = Described(f"service {name}", context=self._text(build))
        else:
            asked = self._build(name, _yaml.fields(build, self._line, "build"))
        return Service(name, image, replace(asked, unknown=unknown), platform, profiles)

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
            contexts={
                where: value or ""
                for where, value in self._pairs(given.get("additional_contexts")).items()
            },
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
