"""Compose files: the services that are built, with their variables filled in.

Source: github.com/compose-spec/compose-spec, build.md, 12-interpolation.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcloud.builds.job import BuildError

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<how>:?[-+?])(?P<other>(?:[^{}]|\{[^{}]*\})*))?\})"
)
_BUILD = frozenset({"context", "dockerfile", "dockerfile_inline", "args", "target", "tags"})
_READ = frozenset({"image", "build", "platform", "profiles"})
_BUILD_LISTS = frozenset({"tags", "platforms"})
# What changes nothing where nothing is cached, or is read elsewhere.
_NOTHING = frozenset(
    {
        *("cache_from", "cache_to", "no_cache", "pull", "network", "shm_size", "ulimits"),
        *("extra_hosts", "isolation", "provenance", "sbom", "x-bake"),
    }
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service.

    Attributes:
        name: Its name.
        image: Its image; empty if the file names none.
        build: Its build, as the attributes of a bake target; None if it is not built.
        profiles: The profiles of which one has to be asked for; empty if it is always there.
    """

    name: str
    image: str
    build: Mapping[str, Any] | None
    profiles: frozenset[str] = frozenset()


def with_file(variables: Mapping[str, str], file: Path) -> dict[str, str]:
    """Return variables with those of a `.env` file, which come after, if it is there."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value.partition(" #")[0].strip()
    return {**found, **variables}


def read(files: Iterable[tuple[str, str]], variables: Mapping[str, str]) -> dict[str, Service]:
    """Return the services of compose files, of which a later one is laid over those before.

    Args:
        files: Their names and texts.
        variables: What stands for their variables.

    Raises:
        BuildError: One is wrong, or has what is not done here.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, text in files:
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise BuildError(f"failed to parse {name}: {error}") from error
        services = (content or {}).get("services") if isinstance(content, dict | None) else None
        if not isinstance(services, dict):
            raise BuildError(f"{name}: empty compose file")
        for service, given in services.items():
            if not isinstance(given, dict | None):
                raise BuildError(f"{name}: services.{service} must be a mapping")
            wanted = {k: v for k, v in (given or {}).items() if k in _READ}
            filled = _filled(wanted, variables)
            held = found.setdefault(str(service), {})
            if "build" in filled:
                held["build"] = {
                    **held.get("build", {}),
                    **_build(service, filled["build"], variables),
                }
            held |= {key: value for key, value in filled.items() if key != "build"}
    return {name: _service(name, held) for name, held in found.items()}


def _service(name: str, held: Mapping[str, Any]) -> Service:
    build = held.get("build")
    if build is not None and held.get("platform") and "platforms" not in build:
        build = {**build, "platforms": [str(held["platform"])]}
    profiles = frozenset(map(str, held.get("profiles") or ()))
    return Service(name, str(held.get("image") or ""), build, profiles)


def _build(service: str, given: Any, variables: Mapping[str, str]) -> dict[str, Any]:  # noqa: ANN401 - YAML
    if isinstance(given, str):
        return {"context": given}
    if not isinstance(given, dict):
        raise BuildError(f"services.{service}.build must be a string or a mapping")
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key in _NOTHING or value is None:
            continue
        if key in ("args", "labels"):
            found[key] = _pairs(value, variables if key == "args" else {})
        elif key == "additional_contexts":
            contexts = _pairs(value, {})
            found["contexts"] = {
                name: text.replace("service:", "target:", 1)
                if text.startswith("service:")
                else text
                for name, text in contexts.items()
            }
        elif key in _BUILD_LISTS and isinstance(value, list):
            found[key] = [str(item) for item in value]
        elif key in _BUILD:
            found[str(key).replace("_", "-")] = str(value)
        else:
            raise BuildError(f"services.{service}.build: the local cloud does not do {key}")
    return found


def _pairs(value: Any, variables: Mapping[str, str]) -> dict[str, str]:  # noqa: ANN401 - YAML
    """Return a mapping, or a list of `NAME=VALUE`; what has no value has that of a variable."""
    pairs = (
        value.items()
        if isinstance(value, dict)
        else ((n, v if e else None) for n, e, v in (str(item).partition("=") for item in value))
    )
    found = {}
    for name, given in pairs:
        text = variables.get(str(name)) if given is None else given
        if text is not None:
            found[str(name)] = str(text).lower() if isinstance(text, bool) else str(text)
    return found


def _filled(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - YAML
    if isinstance(value, dict):
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, how, other = (
            match["name"] or match["braced"],
            match["how"] or "",
            match["other"] or "",
        )
        held = variables.get(name)
        given = bool(held) if how.startswith(":") else held is not None
        if how.endswith("?") and not given:
            raise BuildError(f'required variable {name} is missing a value: "{other}"')
        if how.endswith("-"):
            return held or "" if given else _filled(other, variables)
        if how.endswith("+"):
            return _filled(other, variables) if given else ""
        return held or ""

    return _VARIABLE.sub(one, value)
