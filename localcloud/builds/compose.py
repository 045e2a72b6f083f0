"""`docker compose build` and `push`: the services of compose files, as builds.

Source: github.com/docker/compose, cmd/compose/build.go, pkg/compose/build.go, push.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import replace
from pathlib import PurePosixPath
from typing import Any

from localcloud.builds import bake, composefiles
from localcloud.builds.bake import COMPOSE_FILES, Target
from localcloud.builds.dockercli import Compose
from localcloud.builds.job import BuildError, Find

_OVERRIDES = ("compose.override.yml", "compose.override.yaml")
_OLD_OVERRIDES = ("docker-compose.override.yml", "docker-compose.override.yaml")


def directory(command: Compose) -> str:
    """Return the project's folder, from where its paths begin: as told, or the first file's."""
    first = command.files[0] if command.files else ""
    return command.directory or str(PurePosixPath(first).parent)


def read(command: Compose, find: Find, project: str) -> list[Target]:
    """Return the services that are built, each after what it stands on.

    Args:
        command: What is asked for.
        find: Finds a file that the command names.
        project: What compose calls the project, unless it is told.

    Raises:
        BuildError: The files are not there or wrong, or have what is not done here.
    """
    texts = []
    for name in command.files or _usual(find):
        try:
            texts.append((name, find(name).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise BuildError(f"open {name}: no such file or directory") from error
    variables = composefiles.with_file(command.variables, find(f"{directory(command)}/.env"))
    services = composefiles.read(texts, variables)
    unknown = [name for name in command.services if name not in services]
    if unknown:
        raise BuildError(f"no such service: {unknown[0]}")
    targets: dict[str, Target] = {}
    active = {*command.profiles, *variables.get("COMPOSE_PROFILES", "").split(",")}
    there = [
        service.name
        for service in services.values()
        if not service.profiles or "*" in active or not active.isdisjoint(service.profiles)
    ]
    for name in command.services or there:
        _add(name, services, replace(command, project=command.project or project), targets)
    return list(targets.values())


def _usual(find: Find) -> list[str]:
    for name in COMPOSE_FILES:
        if find(name).is_file():
            overrides = _OLD_OVERRIDES if name.startswith("docker-") else _OVERRIDES
            return [name, *(other for other in overrides if find(other).is_file())]
    raise BuildError("no configuration file provided: not found")


def _add(
    name: str,
    services: Mapping[str, composefiles.Service],
    command: Compose,
    found: dict[str, Target],
    above: tuple[str, ...] = (),
) -> None:
    service = services.get(name)
    if name in above or service is None:
        raise BuildError(f"service {name}: it is not there, or stands on itself")
    if service.build is None or name in found:
        return
    attributes: dict[str, Any] = dict(service.build)
    for context in attributes.get("contexts", {}).values():
        if context.startswith("target:"):
            _add(context.removeprefix("target:"), services, command, found, (*above, name))
    image = service.image or f"{command.project}-{name}"
    attributes["tags"] = [image, *attributes.get("tags", [])]
    attributes["args"] = {**attributes.get("args", {}), **command.arguments}
    build = bake.build_of(name, attributes)
    # What has no name in the file is not pushed under the one that compose makes up.
    push = command.push and bool(service.image)
    found[name] = Target(name, replace(build, push=push, kept=True))
