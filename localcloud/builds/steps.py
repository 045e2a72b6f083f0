"""Multi-step tasks: YAML with templates and aliases becomes steps in order.

Source: learn.microsoft.com, "ACR Tasks reference: YAML"; the agent, github.com/Azure/acr-builder,
graph/preprocessor.go (aliases), graph/task.go and graph/step.go (properties, defaults, errors).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from localcloud.builds.job import BuildError

STEP_TIMEOUT = 600
"""Seconds that a step has unless it or the task says otherwise."""

type Values = Mapping[str, Any]

_VERSIONS = frozenset({"1.0-preview-1", "v1.0.0", "v1.1.0"})
_ALIASES = {
    name: f"{{{{.Run.{name}}}}}"
    for name in (
        *("ID", "SharedVolume", "Registry", "RegistryName", "Date", "OS", "Architecture"),
        *("Commit", "Branch", "TaskName"),
    )
}
_TASK = frozenset({"version", "steps", "stepTimeout", "workingDirectory", "env", "alias"})
_STEP = frozenset(
    {
        *("id", "build", "push", "cmd", "when", "env", "timeout", "retries", "retryDelay"),
        *("startDelay", "repeat", "ignoreErrors", "keep", "entryPoint", "workingDirectory"),
        *("disableWorkingDirectoryOverride", "pull"),
    }
)
_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_NAME = re.compile(r"\$?\.?(Run|Values)((?:\.\w+)+)")
_TOP_LEVEL = re.compile(r"[^\s:#][^:]*:")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run.

    Attributes:
        id: Its name.
        build: The arguments of `docker build`, if it builds.
        push: The images to push, if it pushes.
        cmd: The image and its arguments, if it runs one.
        when: The ids of the steps that come first.
        environment: Variables of a command.
        entry_point: What a command starts instead of the image's own entry point.
        directory: Where a command starts, below /workspace; None for where the image says.
        timeout: Seconds of cloud time that it has.
        start_delay: Seconds before it begins.
        retries: How often it is tried again.
        retry_delay: Seconds before each of these.
        repeat: How often it is done again after it succeeded.
        ignore_errors: Whether its failure is none of the run.
    """

    id: str
    build: tuple[str, ...] = ()
    push: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    entry_point: tuple[str, ...] = ()
    directory: str | None = ""
    timeout: int = STEP_TIMEOUT
    start_delay: int = 0
    retries: int = 0
    retry_delay: int = 5
    repeat: int = 0
    ignore_errors: bool = False


def render(text: str, run: Values, values: Values) -> str:
    """Fill in `{{.Run.name}}` and `{{.Values.name}}`.

    Args:
        text: With templates.
        run: What `.Run` holds.
        values: What `.Values` holds; may be nested.

    Raises:
        BuildError: A template is something else, or names what is not there.
    """

    def one(match: re.Match[str]) -> str:
        name = _NAME.fullmatch(match[1])
        if name is None:
            raise BuildError(f"the local cloud does not know the template {match[0]}")
        found: Any = run if name[1] == "Run" else values
        for part in name[2].strip(".").split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise BuildError(f"the template {match[0]} names what is not there: {part}")
            found = found[part]
        return str(found)

    return _TEMPLATE.sub(one, text)


def parse_values(text: str) -> dict[str, Any]:
    """Return the values of a values file.

    Raises:
        BuildError: It is not a YAML mapping.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildError(f"error converting YAML of the values: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BuildError("the values are not a YAML mapping")
    return values


def parse_steps(text: str, run: Values, values: Values) -> list[Step]:
    """Return the steps of a task file, in an order in which they may run.

    Args:
        text: The file.
        run: What `.Run` holds.
        values: What `.Values` holds.

    Raises:
        BuildError: It is no task, or asks for what the local cloud does not do.
    """
    try:
        task = yaml.safe_load(render(_replace_aliases(text), run, values))
    except yaml.YAMLError as error:
        raise BuildError(f"failed to deserialize task: {error}") from error
    if not isinstance(task, dict):
        raise BuildError("failed to deserialize task: it is not a YAML mapping")
    _known(task, _TASK, "task")
    version = str(task.get("version") or "v1.0.0").lower()
    if version not in _VERSIONS:
        raise BuildError(f'invalid version specified: "{version}"')
    given = task.get("steps") or []
    if not isinstance(given, list) or not all(isinstance(step, dict) for step in given):
        raise BuildError("steps is not a list of mappings")
    if not given:
        raise BuildError("the task has no steps")
    steps = [_step(number, entry, task) for number, entry in enumerate(given)]
    return _in_order(steps)


def _known(given: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    unknown = sorted(str(name) for name in given if name not in names)
    if unknown:
        raise BuildError(f"the local cloud does not do {', '.join(unknown)} of the {where}")


def _step(number: int, given: Mapping[str, Any], task: Mapping[str, Any]) -> Step:
    name = str(given.get("id") or f"acb_step_{number}")
    _known(given, _STEP, f"step {name}")
    kinds = [kind for kind in ("build", "push", "cmd") if given.get(kind)]
    if not kinds:
        raise BuildError(f"{name}: step is missing a cmd, build, or push property")
    if len(kinds) > 1:
        raise BuildError(f"{name}: step must only contain a single build, cmd, or push property")
    if " " in name:
        raise BuildError(f"{name}: step ID cannot contain spaces")
    numbers = {key: given.get(key, 0) for key in ("retries", "retryDelay", "startDelay", "repeat")}
    wrong = [key for key, value in numbers.items() if not isinstance(value, int) or value < 0]
    if wrong:
        raise BuildError(f"{name}: step must specify {wrong[0]} >= 0")
    directory = given.get("workingDirectory") or task.get("workingDirectory") or ""
    return Step(
        name,
        tuple(_words(name, given["build"])) if kinds == ["build"] else (),
        tuple(_list(given["push"])) if kinds == ["push"] else (),
        tuple(_words(name, given["cmd"])) if kinds == ["cmd"] else (),
        tuple(_list(given.get("when"))),
        {**_environment(name, task.get("env")), **_environment(name, given.get("env"))},
        tuple(_words(name, given.get("entryPoint") or "")),
        None if given.get("disableWorkingDirectoryOverride") else str(directory),
        int(given.get("timeout") or task.get("stepTimeout") or STEP_TIMEOUT),
        numbers["startDelay"],
        numbers["retries"],
        numbers["retryDelay"] or 5,
        numbers["repeat"],
        bool(given.get("ignoreErrors")),
    )


def _list(given: object) -> list[str]:
    if given is None:
        return []
    return [str(entry) for entry in given] if isinstance(given, list) else [str(given)]


def _words(name: str, text: object) -> list[str]:
    try:
        return shlex.split(str(text))
    except ValueError as error:
        raise BuildError(f"{name}: {error}: {text}") from error


def _environment(name: str, given: object) -> dict[str, str]:
    found = {}
    for entry in _list(given):
        key, equals, value = entry.partition("=")
        if not equals:
            raise BuildError(f"{name}: cannot parse step environment variable {entry} correctly")
        found[key] = value
    return found


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps so that each comes after those it waits for.

    Without `when`, a step waits for the one before it; `-` waits for none.
    """
    ids = [step.id for step in steps]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise BuildError(f"duplicate step ID: {twice}")
    waits: dict[str, set[str]] = {}
    for number, step in enumerate(steps):
        if not step.when:
            waits[step.id] = {ids[number - 1]} if number else set()
        elif "-" in step.when:
            if len(step.when) > 1:
                raise BuildError(
                    f"{step.id}: step cannot contain other IDs in when if the immediate execution"
                    " token is specified"
                )
            waits[step.id] = set()
        else:
            waits[step.id] = set(step.when)
        unknown = sorted(waits[step.id] - set(ids))
        if unknown:
            raise BuildError(f"{step.id}: when names a step that is not there: {unknown[0]}")
    ordered: list[Step] = []
    done: set[str] = set()
    left = list(steps)
    while left:
        ready = next((step for step in left if waits[step.id] <= done), None)
        if ready is None:
            raise BuildError(f"the steps wait for each other: {', '.join(s.id for s in left)}")
        left.remove(ready)
        done.add(ready.id)
        ordered.append(ready)
    return ordered


def _replace_aliases(text: str) -> str:
    """Replace `$name` by what the alias stands for; `$$` is one directive, the rest stays."""
    section, rest = _separate(text)
    given = (yaml.safe_load(section) or {}).get("alias") or {}
    if given.get("src"):
        raise BuildError("the local cloud does not load aliases from alias.src")
    own = {str(key): str(value) for key, value in (given.get("values") or {}).items()}
    wrong = [key for key in own if not re.fullmatch(r"[a-zA-Z0-9]+", key)]
    if wrong:
        raise BuildError(f"alias key names only support alphanumeric characters: {wrong[0]}")
    directive = str(given.get("directive") or "$")
    if len(directive) != 1:
        raise BuildError("$ directive can only be overwritten by a single character")
    if directive.isalnum():
        raise BuildError("overwritten directives may not be alphanumeric characters")
    known = {**_ALIASES, **own}
    mark = re.escape(directive)

    def one(match: re.Match[str]) -> str:
        if match[1] == directive:
            return directive
        return known.get(match[1], match[0])

    return re.sub(rf"{mark}({mark}|[a-zA-Z0-9]+)", one, rest)


def _separate(text: str) -> tuple[str, str]:
    """Split a file into its alias section and the rest, whose lines keep their numbers."""
    section: list[str] = []
    rest: list[str] = []
    inside = False
    for line in text.splitlines():
        if _TOP_LEVEL.match(line):
            inside = line.partition(":")[0].strip() == "alias"
        (section if inside else rest).append(line)
        if inside:
            rest.append("")
    return "\n".join(section), "\n".join(rest)


@dataclass(frozen=True, slots=True)
class BuildArguments:
    """The arguments of `docker build`, as far as the local cloud knows them.

    Attributes:
        tags: The names of the image.
        file: The Dockerfile; empty for the context's own.
        arguments: Build arguments.
        target: The stage; empty for the last.
        context: A folder or an address.
    """

    tags: tuple[str, ...]
    file: str
    arguments: Mapping[str, str]
    target: str
    context: str


_VALUED = {
    "-t": "tag",
    "--tag": "tag",
    "-f": "file",
    "--file": "file",
    "--build-arg": "arg",
    "--target": "target",
    "--platform": "platform",
}
# What changes nothing where nothing is cached and one platform is built for.
_HARMLESS = frozenset({"--no-cache", "--pull", "--rm", "--force-rm", "-q", "--quiet"})


def parse_build(step: str, words: Sequence[str]) -> BuildArguments:
    """Return what a build step asks for.

    Raises:
        BuildError: It asks for what the local cloud does not do, or names no context.
    """
    found: dict[str, list[str]] = {name: [] for name in {*_VALUED.values(), "context"}}
    left = list(words)
    while left:
        word = left.pop(0)
        flag, equals, value = word.partition("=")
        if word in _HARMLESS:
            continue
        if flag in _VALUED:
            if not equals and not left:
                raise BuildError(f"{step}: flag needs an argument: {flag}")
            found[_VALUED[flag]].append(value if equals else left.pop(0))
        elif word.startswith("-") and word != "-":
            raise BuildError(f"{step}: the local cloud does not do `docker build {flag}`")
        else:
            found["context"].append(word)
    if len(found["context"]) != 1:
        raise BuildError(f"{step}: a build needs exactly one context: {' '.join(words)}")
    platforms = [p for p in found["platform"] if p.lower() not in ("linux", "linux/amd64")]
    if platforms:
        raise BuildError(f"{step}: the local cloud builds for linux/amd64, not {platforms[0]}")
    return BuildArguments(
        tuple(found["tag"]),
        "".join(found["file"][-1:]),
        dict(pair.split("=", 1) for pair in found["arg"] if "=" in pair),
        "".join(found["target"][-1:]),
        found["context"][0],
    )
