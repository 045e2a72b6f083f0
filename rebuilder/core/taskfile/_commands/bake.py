"""`docker buildx bake`: builds that a file describes.

Source: docs.docker.com, the Bake file reference; github.com/docker/buildx, bake/bake.go (which
files, how they are joined) and bake/hclparser. Of HCL's expressions those are worked out that name
variables; any other is a placeholder.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile._commands import compose
from rebuilder.core.taskfile._commands.builds import Described, described_build, pushes
from rebuilder.core.taskfile._commands.flags import grammar, read
from rebuilder.core.taskfile._commands.world import Place, World
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

_BAKE = grammar(
    "allow builder call file list metadata-file progress provenance sbom set var",
    "check debug load no-cache print pull push",
    "f=file D=debug",
)
_FILES = (
    *("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    *("docker-bake.json", "docker-bake.hcl", "docker-bake.override.json"),
    "docker-bake.override.hcl",
)
_HCL_LIMIT = 32 * 1024
_TARGETS = 200
_TARGET = "target:"
"""What a context begins with that is another target of the file."""
_DEPTH = 20
_PART = re.compile(r"\$\$\{|\$\{\s*([A-Za-z_][\w-]*)\s*\}|\$\{|%\{")
_BARE = re.compile(r"(?:\$\{)?\s*([A-Za-z_][\w-]*)\s*\}?")


class _Expression(str):
    """An expression of HCL, as opposed to a text in quotes."""

    __slots__ = ()


class _Files(Struct):
    """What the files say, joined."""

    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: dict[str, compose.Service] = field(default_factory=dict)
    groups: dict[str, list[Any]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)


def bake(world: World, place: Place, words: Sequence[str]) -> None:
    """Follow what `docker buildx bake WORDS` does.

    Raises:
        InvalidBuildFile: docker refuses the words.
    """
    asked = read(words, _BAKE, place.line)
    text = " ".join(["docker buildx bake", *words])
    if asked.on("print") or asked.on("check") or "list" in asked.flags:
        return
    if asked.unknown or any("://" in word for word in asked.words):
        world.unclear(text, "where its files are is not known", place.line)
        return
    try:
        files = _read_files(world, place, asked.all("file"))
    except SourceUnavailable as error:
        world.unclear(text, str(error), place.line)
        return
    baker = _Baker(world, place, files, text, push=asked.on("push"))
    for override in asked.all("set"):
        baker.override(override)
    baker.go(asked.words or ["default"])


# Reading the files.


def _read_files(world: World, place: Place, names: Sequence[str]) -> _Files:
    found = _Files()
    last = ""
    for name in names or _FILES:
        try:
            content = world.read(place.path(name))
        except SourceUnavailable as error:
            if names:
                raise
            last = str(error)
            continue
        _add(found, world, place, name, content)
    if not (found.targets or found.services or found.groups):
        raise SourceUnavailable(f"none of {', '.join(_FILES)} can be read: {last}")
    return found


def _add(found: _Files, world: World, place: Place, name: str, content: bytes) -> None:
    if name.endswith((".yaml", ".yml")):
        place = compose.with_usual_env(world, place)
        found.services = compose.joined(
            found.services, compose.services(world, place, name, content)
        )
        built = [service.name for service in found.services.values() if service.own is not None]
        if built:
            found.groups["default"] = [
                *dict.fromkeys((*found.groups.get("default", ()), *built)),
            ]
        return
    for kind, label, body in _json(name, content) if name.endswith("json") else _hcl(name, content):
        if kind == "variable":
            found.variables[label] = body.get("default")
        elif kind == "group":
            found.groups[label] = _list(body.get("targets"))
        elif kind == "target":
            found.targets[label] = {**found.targets.get(label, {}), **body}


def _json(name: str, content: bytes) -> Iterator[tuple[str, str, dict[str, Any]]]:
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        raise SourceUnavailable(f"{name} is not JSON") from None
    for kind, blocks in given.items() if isinstance(given, dict) else ():
        for label, body in blocks.items() if isinstance(blocks, dict) else ():
            # Blocks of one label may stand in a list.
            for one in body if isinstance(body, list) else [body]:
                if isinstance(one, dict):
                    yield kind, label, one


def _hcl(name: str, content: bytes) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if len(content) > _HCL_LIMIT:
        raise SourceUnavailable(f"{name} is longer than {_HCL_LIMIT} bytes")
    import hcl2  # noqa: PLC0415 - few files need it, and it takes its time

    try:
        given: dict[str, Any] = hcl2.loads(content.decode())
    except Exception as error:  # noqa: BLE001 - its parser raises errors of many kinds
        raise SourceUnavailable(f"{name} is not HCL: {type(error).__name__}") from None
    for kind, blocks in given.items():
        for block in blocks if isinstance(blocks, list) else ():
            for label, body in block.items() if isinstance(block, dict) else ():
                if isinstance(body, dict):
                    yield kind, _unquoted(label), _plain(body)


def _plain(found: object) -> Any:  # noqa: ANN401 - JSON's values
    """Return what python-hcl2 makes of a body as JSON has it: texts without their quotes."""
    if isinstance(found, dict):
        return {
            _unquoted(str(key)): _plain(value)
            for key, value in found.items()
            if key != "__is_block__"
        }
    if isinstance(found, list):
        return [_plain(value) for value in found]
    if isinstance(found, str):
        if found.startswith('"<<'):
            return "\n".join(found[1:-1].split("\n")[1:-1]) + "\n"
        quoted = len(found) > 1 and found[0] == found[-1] == '"'
        return _unquoted(found) if quoted else _Expression(found)
    return found


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text


def _list(found: object) -> list[Any]:
    return list(found) if isinstance(found, list) else [] if found is None else [found]


# Building the targets.


class _Baker:
    """Builds the targets that are asked for."""

    def __init__(self, world: World, place: Place, files: _Files, text: str, *, push: bool) -> None:
        self._world = world
        self._place = place
        self._files = files
        self._text = text
        self._push = push
        self._overrides: list[tuple[str, str, str]] = []
        self._done: set[str] = set()
        self._joined: dict[str, dict[str, Any]] = {}
        self._asked: frozenset[str] = frozenset()

    def override(self, text: str) -> None:
        """Take a `--set TARGET.KEY=VALUE` into account.

        Raises:
            InvalidBuildFile: It is none.
        """
        place, equals, value = text.partition("=")
        target, dot, key = place.partition(".")
        if not equals or not dot:
            reason = f"invalid override {text}, expected target.name=value"
            raise InvalidBuildFile(self._place.line, reason)
        self._overrides.append((target, key, value))

    def go(self, names: Iterable[Any]) -> None:
        """Build targets, and those of groups."""
        asked = dict.fromkeys(self._targets(names, set()))
        self._asked = frozenset(asked)
        self._go(asked, push=True)

    def _go(self, names: Iterable[str], *, push: bool) -> None:
        for name in names:
            if name in self._done:
                continue
            self._done.add(name)
            if len(self._done) > _TARGETS:
                self._unclear(f"there are more than {_TARGETS} targets")
                return
            asked = push or name in self._asked  # what is built for others only is not pushed
            service = self._files.services.get(name)
            if service is not None and service.build is not None:
                self._build(service.build, push=self._push and asked)
            elif name in self._files.targets:
                self._build_target(name, push=asked)
            else:
                self._unclear(f"failed to find target {self._world.unknowns.readable(name)}")

    def _unclear(self, reason: str) -> None:
        self._world.unclear(self._text, reason, self._place.line)

    def _targets(self, names: Iterable[Any], groups: set[str]) -> Iterator[str]:
        for given in names:
            name = self._word(given)
            group = self._files.groups.get(name)
            if group is None:
                yield name
            elif name not in groups and len(groups) < _TARGETS:
                groups.add(name)
                yield from self._targets(group, groups)

    def _build(self, asked: Described, *, push: bool) -> None:
        name = f"{_TARGET}{asked.name.removeprefix('target ')}"
        build = described_build(self._world, self._place, asked, push=push, known_as=name)
        self._world.build(build, Builder.BUILDKIT, self._place.line)

    def _contexts(self, found: object) -> dict[str, str]:
        """Return what takes the place of images; targets among it are built first."""
        if not isinstance(found, dict):
            return {} if found is None else {"*": "*"}
        contexts = {str(name): self._word(where) for name, where in found.items()}
        for where in contexts.values():
            name = where.removeprefix(_TARGET)
            if name != where and name not in self._done:
                self._go([name], push=False)
        return contexts

    def _build_target(self, name: str, *, push: bool) -> None:
        body = {**self._inherited(name, ())}
        for pattern, key, value in self._overrides:
            if fnmatch.fnmatchcase(name, pattern):
                _set(body, key, value)
        unknown = ["its matrix is not followed"] if "matrix" in body else []
        arguments = body.get("args")
        if not isinstance(arguments, dict | None):
            unknown.append("its args are not worked out")
        asked = Described(
            f"target {name}",
            context=self._word(body.get("context")),
            dockerfile=self._word(body.get("dockerfile")),
            inline=self._word(body.get("dockerfile-inline")),
            arguments=self._arguments(arguments if isinstance(arguments, dict) else {}),
            target=self._word(body.get("target")),
            platforms=self._words(body.get("platforms")),
            tags=self._words(body.get("tags")),
            contexts=self._contexts(body.get("contexts")),
            unknown=tuple(unknown),
        )
        outputs = self._words(body.get("output"))
        self._build(asked, push=push and (self._push or any(map(pushes, outputs))))

    def _inherited(self, name: str, inside: tuple[str, ...]) -> dict[str, Any]:
        """Return a target with what it inherits; each is joined once, however many inherit it."""
        if name in self._joined:
            return self._joined[name]
        own = self._files.targets.get(name, {})
        found: dict[str, Any] = {}
        for parent in _list(own.get("inherits")):
            known = self._word(parent)
            if known not in (*inside, name) and len(inside) < _DEPTH:
                _join(found, self._inherited(known, (*inside, name)))
        _join(found, {key: value for key, value in own.items() if key != "inherits"})
        self._joined[name] = found
        return found

    # Values.

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in given.items():
            if value is not None:
                found[name] = self._word(value)
            elif name in self._place.variables:
                # Without a value, that of the environment, or none.
                found[name] = self._place.variables[name]
        return found

    def _words(self, found: object) -> tuple[str, ...]:
        if isinstance(found, _Expression) and (match := _BARE.fullmatch(found)):
            found = self._variable(match[1], 0)
        return tuple(word for item in _list(found) if (word := self._word(item)))

    def _word(self, found: object, depth: int = 0) -> str:
        """Return a value as text, with placeholders for what is not worked out."""
        if isinstance(found, _Expression):
            match = _BARE.fullmatch(found)
            return (
                self._word(self._variable(match[1], depth), depth + 1)
                if match
                else self._odd(found)
            )
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, str):
            return self._filled(found, depth) if "{" in found else found
        if isinstance(found, int | float):
            return str(found)
        return "" if found is None else self._odd(str(found))

    def _filled(self, text: str, depth: int) -> str:
        parts: list[str] = []
        position = 0
        for match in _PART.finditer(text):
            parts.append(text[position : match.start()])
            position = match.end()
            if match[1]:
                parts.append(self._word(self._variable(match[1], depth), depth + 1))
            elif match[0] == "$${":
                parts.append("${")
            else:
                # Where an expression ends depends on what is in it.
                parts.append(self._odd(text[match.start() :]))
                return "".join(parts)
        return "".join((*parts, text[position:]))

    def _variable(self, name: str, depth: int) -> object:
        if name in self._place.variables and name in self._files.variables:
            return self._place.variables[name]
        if name not in self._files.variables or depth == _DEPTH:
            return _Expression(f"{name} of no variable")
        return self._files.variables[name]

    def _odd(self, text: str) -> str:
        reason = f"what {text} is worth is not worked out"
        return self._world.unknowns.word(text, reason, self._place.line, may_be_empty=True)


def _set(body: dict[str, Any], key: str, value: str) -> None:
    name, dot, inner = key.partition(".")
    if dot:
        before = body.get(name)
        body[name] = {**(before if isinstance(before, dict) else {}), inner: value}
    elif name in ("platform", "tags", "output"):
        body["platforms" if name == "platform" else name] = [value]
    else:
        body[name] = value


def _join(found: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        before = found.get(key)
        if key in ("args", "contexts") and isinstance(value, dict) and isinstance(before, dict):
            found[key] = {**before, **value}
        else:
            found[key] = value
