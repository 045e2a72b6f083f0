"""`docker buildx bake`: targets and groups of JSON, HCL and compose files, as builds.

Source: github.com/docker/buildx, bake/bake.go, bake/compose.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import replace
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from localcloud.builds import composefiles, dockercli, flags, hcl, platforms
from localcloud.builds.contexts import is_remote
from localcloud.builds.dockercli import Bake, DockerBuild
from localcloud.builds.hcl import Blocks
from localcloud.builds.job import HERE, BuildError, Find

COMPOSE_FILES = (
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
)
"""What compose looks for, the first before the others."""

_FILES = (
    *COMPOSE_FILES,
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
)
_LISTS = frozenset({"tags", "platforms", "output", "inherits"})
_MAPS = frozenset({"args", "labels", "contexts"})
_TEXTS = frozenset({"context", "dockerfile", "dockerfile-inline", "target"})
# What changes nothing where nothing is cached and nothing is attested.
_NOTHING = frozenset(
    {
        *("cache-from", "cache-to", "description", "pull", "no-cache", "no-cache-filter"),
        *("attest", "annotations", "network", "shm-size", "ulimits", "extra-hosts"),
    }
)
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Target:
    """A target: what it is called, and its build."""

    name: str
    build: DockerBuild


@dataclass(slots=True)
class _Definition:
    """What the files say, together."""

    variables: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)


def read(command: Bake, find: Find) -> list[Target]:
    """Return what is built, each after what it stands on.

    Args:
        command: What is asked for.
        find: Finds a file that the command names.

    Raises:
        BuildError: The files are not there or wrong, or have what is not done here.
    """
    definition = _definition(command, find)
    overrides = _overrides(command.overrides, definition)
    wanted: list[str] = []
    for name in command.targets:
        for chosen in _matching(name.replace(".", "_"), definition):
            wanted += _members(chosen, definition, 0)
    found: dict[str, Target] = {}
    for name in dict.fromkeys(wanted):
        _add(name, definition, overrides, wanted, found)
    return list(found.values())


def _definition(command: Bake, find: Find) -> _Definition:
    definition = _Definition()
    blocks: list[Blocks] = []
    composed: list[tuple[str, str]] = []
    for name in command.files or _FILES:
        try:
            text = find(name.removeprefix("cwd://")).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if not command.files:
                continue
            raise BuildError(f"open {name}: no such file or directory") from error
        if name.lower().endswith((".yml", ".yaml")):
            composed.append((name, text))
        else:
            blocks.append(_blocks(name, text))
    if not blocks and not composed:
        raise BuildError("couldn't find a bake definition")
    if composed:
        _compose(composed, composefiles.with_file(command.variables, find(".env")), definition)
    for block in blocks:
        definition.variables |= block.get("variable", {})
    evaluator = _Evaluator(definition, command.variables, blocks)
    for block in blocks:
        unknown = set(block) - {"variable", "group", "target", "function"}
        if unknown:
            raise BuildError(f"the local cloud does not do {unknown.pop()} in a bake file")
        for name, attributes in block.get("group", {}).items():
            members = evaluator.of(attributes.get("targets", []))
            known = definition.groups.setdefault(name, [])
            known += [member for member in members if member not in known]
        for name, attributes in block.get("target", {}).items():
            _merge(definition.targets.setdefault(name, {}), evaluator.target(name, attributes))
    return definition


def _blocks(name: str, text: str) -> Blocks:
    if not name.lower().endswith(".json"):
        return hcl.read(text, name)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BuildError(f"{name}: {error}") from error
    if not isinstance(content, dict):
        raise BuildError(f"{name}: it is not a JSON object")
    # In JSON every text is a template.
    return {
        kind: {label: _templates(value) for label, value in (blocks or {}).items()}
        for kind, blocks in content.items()
    }


def _templates(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _templates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_templates(item) for item in value]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else value


def _compose(
    files: Iterable[tuple[str, str]],
    variables: Mapping[str, str],
    definition: _Definition,
) -> None:
    project = composefiles.read(files, variables)
    group = definition.groups.setdefault("default", [])
    for service in project.values():
        if service.build is None:
            continue
        name = service.name.replace(".", "_")
        group.append(name)
        target = dict(service.build)
        if not target.get("tags") and service.image:
            target["tags"] = [service.image]
        _merge(definition.targets.setdefault(name, {}), target)


class _Evaluator:
    """Evaluates attributes: variables are what the environment says, or their defaults."""

    def __init__(
        self, definition: _Definition, environment: Mapping[str, str], blocks: Iterable[Blocks]
    ) -> None:
        self._definition = definition
        self._environment = environment
        self._targets: dict[str, dict[str, Any]] = {}
        for block in blocks:
            for name, attributes in block.get("target", {}).items():
                self._targets.setdefault(name, {}).update(attributes)
        self._asking: list[str] = []

    def of(self, value: Any) -> Any:  # noqa: ANN401 - HCL's values
        return hcl.evaluate(value, self._lookup)

    def target(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return a target's attributes, each as what it is to be."""
        found: dict[str, Any] = {}
        for key, given in attributes.items():
            if key in _NOTHING:
                continue
            value = self.of(given)
            if value is None:
                continue
            if key in _LISTS and isinstance(value, list):
                found[key] = [
                    _output(item) if key == "output" else hcl.as_text(item) for item in value
                ]
            elif key in _MAPS and isinstance(value, dict):
                found[key] = {k: hcl.as_text(v) for k, v in value.items() if v is not None}
            elif key in _TEXTS:
                found[key] = hcl.as_text(value)
            else:
                raise BuildError(f"target {name}: the local cloud does not do {key}")
        return found

    def _lookup(self, name: str) -> Any:  # noqa: ANN401 - HCL's values
        kind, _, rest = name.partition(".")
        if rest:
            target, _, key = rest.partition(".")
            if kind != "target" or key not in self._targets.get(target, {}):
                raise KeyError(name)
            return self._guarded(name, self._targets[target][key])
        if name == "BAKE_LOCAL_PLATFORM":
            return HERE
        if name not in self._definition.variables:
            raise KeyError(name)
        default = self._guarded(name, self._definition.variables[name].get("default"))
        said = self._environment.get(name)
        if said is None:
            return default
        if isinstance(default, bool):
            return flags.truth(said)
        if isinstance(default, int | float):
            try:
                return json.loads(said)
            except ValueError as error:
                raise BuildError(f"failed to parse {name} as number: {said}") from error
        return said

    def _guarded(self, name: str, value: Any) -> Any:  # noqa: ANN401 - HCL's values
        if name in self._asking:
            raise BuildError(f"variable cycle not allowed for {name}")
        self._asking.append(name)
        try:
            return self.of(value)
        finally:
            self._asking.pop()


def _output(item: Any) -> str:  # noqa: ANN401 - HCL's values
    if isinstance(item, dict):
        return ",".join(f"{key}={hcl.as_text(value)}" for key, value in item.items())
    return hcl.as_text(item)


def _merge(held: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Lay attributes over others: maps are joined, all else is replaced."""
    for key, value in given.items():
        held[key] = {**held.get(key, {}), **value} if key in _MAPS else value


def _matching(pattern: str, definition: _Definition) -> list[str]:
    if not re.search(r"[*?\[\]]", pattern):
        return [pattern]
    names = [n for n in (*definition.groups, *definition.targets) if fnmatchcase(n, pattern)]
    if not names:
        raise BuildError(f'could not find any target matching "{pattern}"')
    return names


def _members(name: str, definition: _Definition, depth: int) -> list[str]:
    if name not in definition.groups or depth > _DEEPEST:
        return [name]
    # A target may have its group's name.
    return [
        member
        for part in definition.groups[name]
        for member in ([part] if part == name else _members(part, definition, depth + 1))
    ]


def _overrides(given: Iterable[str], definition: _Definition) -> dict[str, list[tuple[str, str]]]:
    """Return what `--set` says of each target: keys, with `+` if they add, and values."""
    found: dict[str, list[tuple[str, str]]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        pattern, dot, rest = key.partition(".")
        if not dot or not equals:
            raise BuildError(f"invalid override {text}, expected target.name=value")
        names = [name for name in definition.targets if fnmatchcase(name, pattern)]
        if not names:
            raise BuildError(f"could not find any target matching '{pattern}'")
        for name in names:
            found.setdefault(name, []).append((rest, value))
    return found


def _resolved(
    name: str,
    definition: _Definition,
    overrides: Mapping[str, list[tuple[str, str]]],
    visited: tuple[str, ...],
) -> dict[str, Any]:
    """Return a target's attributes with those it inherits, and what `--set` says of each."""
    if name not in definition.targets:
        raise BuildError(f"failed to find target {name}")
    own = definition.targets[name]
    found: dict[str, Any] = {}
    for parent in own.get("inherits", []):
        if parent not in visited:
            _merge(found, _resolved(parent, definition, overrides, (*visited, name)))
    _merge(found, own)
    replaced: set[str] = set()
    for key, value in overrides.get(name, []):
        _override(found, key, value, replaced)
    return found


def _override(found: dict[str, Any], key: str, value: str, replaced: set[str]) -> None:
    plain, _, part = key.removesuffix("+").partition(".")
    kept = {"platform": "platforms"}.get(plain, plain)
    if plain in ("push", "load"):
        found[plain] = flags.truth(value)
    elif kept in ("tags", "platforms", "output"):
        if not key.endswith("+") and kept not in replaced:
            found[kept] = []
        replaced.add(kept)
        found[kept] = [*found.get(kept, []), value]
    elif plain in _MAPS and part:
        found[plain] = {**found.get(plain, {}), part: value}
    elif plain in ("context", "dockerfile", "target"):
        found[plain] = value
    elif plain not in _NOTHING:
        raise BuildError(f"unknown key: {plain}")


def _add(
    name: str,
    definition: _Definition,
    overrides: Mapping[str, list[tuple[str, str]]],
    wanted: Iterable[str],
    found: dict[str, Target],
    above: tuple[str, ...] = (),
) -> None:
    """Add a target after those that its contexts name; these alone are not kept."""
    if name in above:
        raise BuildError(f"infinite loop from {above[-1]} to {name}")
    if name in found:
        return
    attributes = _resolved(name, definition, overrides, ())
    for context in attributes.get("contexts", {}).values():
        if context.startswith("target:"):
            linked = context.removeprefix("target:")
            _add(linked, definition, overrides, wanted, found, (*above, name))
    build = build_of(name, attributes)
    if name not in wanted:
        build = replace(build, tags=(), push=False, kept=False)
    found[name] = Target(name, build)


def build_of(name: str, attributes: Mapping[str, Any]) -> DockerBuild:
    """Return the build of a target.

    Raises:
        BuildError: It asks for what is not done here.
    """
    context = str(attributes.get("context") or ".").removeprefix("cwd://")
    file = str(attributes.get("dockerfile") or "Dockerfile")
    if not is_remote(context) and not file.startswith(("/", "cwd://")):
        file = f"{context}/{file}"
    contexts = dict(attributes.get("contexts", {}))
    for key, value in contexts.items():
        if not value.startswith(("target:", "docker-image://")):
            raise BuildError(
                f"target {name}: the local cloud does not do the context {key}={value}"
            )
    outputs = list(attributes.get("output", []))
    push, kept = dockercli.outputs(outputs)
    # As buildx has it, an output of another kind is not made one that pushes.
    types = [re.search(r"type=(\w+)", output) for output in outputs]
    if attributes.get("push") and all(t is None or t[1] in ("docker", "image") for t in types):
        push = kept = True
    if attributes.get("push") is False:
        push = False
    tags = [tag for tag in attributes.get("tags", []) if tag]
    asked = [part for text in attributes.get("platforms", []) for part in text.split(",") if part]
    return DockerBuild(
        context,
        tuple(dict.fromkeys(dockercli.reference(tag, "-t, --tag") for tag in tags)),
        file.removeprefix("cwd://"),
        str(attributes.get("dockerfile-inline") or ""),
        dict(attributes.get("args", {})),
        str(attributes.get("target") or ""),
        tuple(dict.fromkeys(platforms.parse(part) for part in asked)),
        dict(attributes.get("labels", {})),
        {key.lower(): value for key, value in contexts.items()},
        push=push,
        kept=kept or bool(attributes.get("load")),
    )
