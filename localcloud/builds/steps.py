"""Multi-step tasks: YAML with templates and aliases becomes steps in order.

Source: learn.microsoft.com, "ACR Tasks reference: YAML"; the agent, github.com/Azure/acr-builder at
90b22f3, cmd/acb/commands/exec/exec.go (what comes after what), graph/dag.go (`when`), graph/task.go
and graph/step.go (properties, defaults, errors), builder/builder.go and context.go (what it runs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import Any

import yaml

from localcloud.builds import commands, gotemplates, scanner
from localcloud.builds.aliases import replace_aliases, without_comments
from localcloud.builds.commands import WORKSPACE, Script
from localcloud.builds.job import BuildError
from localcloud.builds.scanner import ScanError
from localcloud.builds.sourcetext import Source

STEP_TIMEOUT = 600
"""Seconds that a step has unless it or the task says otherwise."""

type Values = Mapping[str, Any]

_KIT = "DOCKER_BUILDKIT=1"
_VERSIONS = frozenset({"1.0-preview-1", "v1.0.0", "v1.1.0"})
_TASK = frozenset({"version", "steps", "stepTimeout", "workingDirectory", "env"})
_STEP = frozenset(
    {
        *("id", "build", "push", "cmd", "when", "env", "timeout", "retries", "retryDelay"),
        *("startDelay", "repeat", "ignoreErrors", "entryPoint", "workingDirectory", "cache"),
        *("disableWorkingDirectoryOverride",),
        # These change nothing where no container is looked into.
        *("keep", "pull"),
    }
)
# What ACR knows and the local cloud does not do.
_TASK_NOT_DONE = frozenset({"secrets", "networks", "volumes"})
_STEP_NOT_DONE = frozenset(
    {
        *("detach", "privileged", "ports", "expose", "network", "isolation", "user", "cpus"),
        *("volumeMounts", "volumeMount", "secret", "exitedWith", "exitedWithout"),
        *("retryOnErrors",),
    }
)
# As good as not given.
_NOTHING = frozenset({"", "false", "False", "no", "off", "null", "~", "default", "disabled"})
_YES = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_ROOT = "acb_root"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run.

    Attributes:
        id: Its name.
        build: The arguments of `docker build`, if it builds.
        push: The images to push, if it pushes.
        cmd: The image and its arguments, if it runs one.
        when: The ids of the steps that come first.
        environment: Its variables, with the task's.
        entry_point: What a command starts instead of the image's own entry point.
        directory: Where it starts, below /workspace or with its whole path; None for where the
            image says.
        timeout: Seconds of cloud time that it has; 0 for as many as the run has.
        start_delay: Seconds before it begins.
        retries: How often it is tried again.
        retry_delay: Seconds before each of these.
        repeat: How often it is done again after it succeeded.
        ignore_errors: Whether its failure is none of the run.
        cached: Whether its build uses the build cache, for which BuildKit builds.
    """

    id: str
    build: str = ""
    push: tuple[str, ...] = ()
    cmd: str = ""
    when: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    entry_point: str = ""
    directory: str | None = ""
    timeout: int = STEP_TIMEOUT
    start_delay: int = 0
    retries: int = 0
    retry_delay: int = 5
    repeat: int = 0
    ignore_errors: bool = False
    cached: bool = False

    @property
    def kit(self) -> bool:
        """Whether the agent takes its build to be BuildKit's."""
        return self.cached or _KIT in self.environment

    def script(self, build: str | None = None, directory: str | None = None) -> Script:
        """Return what the agent's shell does for it.

        Args:
            build: Other arguments of its build.
            directory: Another folder that it starts in.

        Raises:
            BuildError: It is wrong, or has what is not done here.
        """
        start = self.directory if directory is None else directory
        environment = list(self.environment)
        if self.build and not self.kit:
            # As the agent has it: it cannot ask BuildKit for the digests of base images.
            environment.append("DOCKER_BUILDKIT=0")
        line = ["docker run --rm"]
        if self.entry_point and not self.build:
            line.append(f"--entrypoint {self.entry_point}")
        line += [f"--env {entry}" for entry in environment]
        if start is not None:
            line.append(f"--workdir {working_directory(start)}")
        given = self.build if build is None else build
        if self.build and self.cached:
            line.append(f"buildx build --load {given}")
        else:
            line.append(f"docker build {given}" if self.build else self.cmd)
        return commands.read(" ".join(line))


def working_directory(directory: str) -> str:
    """Return the whole path of a step's folder in its container."""
    if directory.startswith("/"):
        return normpath(directory)
    return normpath(f"{WORKSPACE}/{directory}")


def render(text: str, run: Values, values: Values) -> str:
    """Fill in `{{.Run.name}}`, `{{.Values.name}}` and other templates.

    Args:
        text: With templates.
        run: What `.Run` holds.
        values: What `.Values` holds; may be nested.

    Raises:
        BuildError: A template is wrong, or not done here; of a longer text, it names the line.
    """
    return _render(Source.of(text), run, values).text


def _render(source: Source, run: Values, values: Values) -> Source:
    build = {"ID": run.get("ID")}
    return gotemplates.render(source, {"Run": run, "Values": values, "Build": build})


class _Loader(yaml.SafeLoader):
    """Reads YAML as the agent's library does: a time is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in known if entry[0] != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_values(text: str) -> dict[str, Any]:
    """Return the values of a values file.

    Raises:
        BuildError: It is not a YAML mapping.
    """
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise BuildError(f"error converting YAML of the values: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BuildError("the values are not a YAML mapping")
    return values


def parse_steps(text: str, run: Values, values: Values) -> list[Step]:
    """Return the steps of a task file, in an order in which they may run: that of the file.

    Args:
        text: The file.
        run: What `.Run` holds.
        values: What `.Values` holds.

    Raises:
        BuildError: It is no task, or asks for what the local cloud does not do; it names the line
            and the property.
    """
    try:
        source = without_comments(text)
        replaced, aliases = replace_aliases(source, lambda part: _render(part, run, values))
        rendered = _render(replaced, run, values)
        # Nodes, not values: they know their lines, and their text as it was written.
        root = yaml.compose(rendered.text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BuildError(f"failed to deserialize task: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise BuildError("failed to deserialize task: it is not a YAML mapping")
    task = _Properties("the task", root, _TASK, _TASK_NOT_DONE, rendered)
    version = task.text("version", "v1.0.0").lower()
    if version not in _VERSIONS:
        raise task.wrong("version", f'invalid version specified: "{version}"')
    entries = task.entries("steps")
    if not entries:
        raise BuildError("the task has no steps")
    nodes = [entry for entry in entries if isinstance(entry, yaml.MappingNode)]
    if len(nodes) != len(entries):
        raise task.wrong("steps", "steps is not a list of mappings")
    steps: list[Step] = []
    for number, node in enumerate(nodes):
        given = _Properties(_id(number, node), node, _STEP, _STEP_NOT_DONE, rendered)
        before = [step.id for step in steps]
        steps.append(_step(given, task, aliases.expand_command, before))
    return steps


class _Properties:
    """The properties of a mapping, whose errors name the line.

    Args:
        name: Of what they are.
        node: The mapping.
        done: The names of what the local cloud does.
        known: The names of what ACR does.
        source: The text that they are read from.
    """

    def __init__(
        self,
        name: str,
        node: yaml.MappingNode,
        done: frozenset[str],
        known: frozenset[str],
        source: Source,
    ) -> None:
        self.name = name
        self._source = source
        self.line = self._line(node)
        self._nodes: dict[str, yaml.Node] = {}
        for key, value in node.value:
            word = str(key.value)
            self._nodes[word] = value
            if word in done or (word in known and _is_nothing(value)):
                continue
            if word in known:
                words = f"the local cloud does not do {word}"
            else:
                words = f"ACR knows no {word}, and would overlook it"
            raise BuildError(f"line {self._line(key)}: {name}: {words}")

    def wrong(self, key: str, words: str) -> BuildError:
        """Return an error at a property, or at the mapping if it is not there."""
        node = self._nodes.get(key)
        return BuildError(f"line {self.line if node is None else self._line(node)}: {words}")

    def _line(self, node: yaml.Node) -> int:
        return self._source.line(node.start_mark.line)

    def _given(self, key: str) -> yaml.Node | None:
        node = self._nodes.get(key)
        empty = node is None or node.tag == "tag:yaml.org,2002:null"
        return None if empty else node

    def text(self, key: str, default: str = "") -> str:
        node = self._given(key)
        if node is None:
            return default
        if not isinstance(node, yaml.ScalarNode):
            raise self.wrong(key, f"{self.name}: {key} is not a text")
        return str(node.value)

    def number(self, key: str) -> int:
        text = self.text(key, "0")
        node = self._given(key)
        if node is not None and node.tag != "tag:yaml.org,2002:int":
            raise self.wrong(key, f"{self.name}: {key} is not a whole number: {text}")
        number = int(yaml.safe_load(text))
        if number < 0:
            raise self.wrong(key, f"{self.name}: step must specify {key} >= 0")
        return number

    def flag(self, key: str) -> bool:
        text = self.text(key, "false")
        if text not in _YES | _NO:
            raise self.wrong(key, f"{self.name}: {key} is neither true nor false: {text}")
        return text in _YES

    def entries(self, key: str) -> list[yaml.Node]:
        node = self._given(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self.wrong(key, f"{self.name}: {key} is not a list")
        return list(node.value)

    def texts(self, key: str) -> list[str]:
        entries = self.entries(key)
        if not all(isinstance(entry, yaml.ScalarNode) for entry in entries):
            raise self.wrong(key, f"{self.name}: {key} is not a list of texts")
        return [str(entry.value) for entry in entries]


def _is_nothing(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.value in _NOTHING
    return not node.value


def _step(
    given: _Properties,
    task: _Properties,
    expand: Callable[[str], str],
    before: Sequence[str],
) -> Step:
    """Return a step; `before` are the ids of those that come before it in the file."""
    name = given.name
    _check_id(given, before)
    build, push, cmd = given.text("build"), given.texts("push"), given.text("cmd")
    kinds = [kind for kind, value in (("build", build), ("push", push), ("cmd", cmd)) if value]
    if not kinds:
        raise given.wrong("", f"{name}: step is missing a cmd, build, or push property")
    if len(kinds) > 1:
        words = "step must only contain a single build, cmd, or push property"
        raise given.wrong(kinds[1], f"{name}: {words}")
    cached = given.text("cache").lower()
    if cached not in ("", "enabled", "disabled"):
        words = "invalid value for cache property. Valid values are 'enabled', 'disabled'"
        raise given.wrong("cache", f"{name}: {words}")
    directory = given.text("workingDirectory") or task.text("workingDirectory")
    try:
        environment = merge(given.texts("env"), task.texts("env"))
    except BuildError as error:
        words = f"failed to merge task and step environment variables: {error}"
        where = task if "task environment" in str(error) else given
        raise where.wrong("env", f"{name}: {words}") from error
    step = Step(
        name,
        build,
        tuple(push),
        expand(cmd) if cmd else "",
        _when(given, before),
        tuple(environment),
        given.text("entryPoint"),
        None if given.flag("disableWorkingDirectoryOverride") else directory,
        given.number("timeout") or task.number("stepTimeout") or STEP_TIMEOUT,
        given.number("startDelay"),
        given.number("retries"),
        given.number("retryDelay") or 5,
        given.number("repeat"),
        given.flag("ignoreErrors"),
        bool(build) and cached == "enabled",
    )
    if not push:
        try:
            scanner.request(build)
            step.script()
        except (BuildError, ScanError) as error:
            raise given.wrong(kinds[0], f"{name}: {kinds[0]}: {error}") from error
    return step


def merge(own: Sequence[str], common: Iterable[str]) -> list[str]:
    """Return a step's variables with the task's, as the agent joins them.

    A task's entry may hold several, joined by commas. Only where the task has any are those of the
    step looked at.

    Raises:
        BuildError: One has no value.
    """
    shared = [pair for entry in common for pair in entry.split(",")]
    found = list(own)
    if not shared:
        return found
    for kind, entries in (("step", own), ("task", shared)):
        for entry in entries:
            if "=" not in entry:
                raise BuildError(f"cannot parse {kind} environment variable {entry} correctly")
    names = {entry.partition("=")[0] for entry in own}
    return found + [entry for entry in shared if entry.partition("=")[0] not in names]


def _id(number: int, node: yaml.MappingNode) -> str:
    ids = [value.value for key, value in node.value if key.value == "id"]
    return str(ids[0]) if ids and isinstance(ids[0], str) and ids[0] else f"acb_step_{number}"


def _check_id(given: _Properties, before: Sequence[str]) -> None:
    name = given.name
    given.text("id")
    if " " in name:
        raise given.wrong("id", f"{name}: step ID cannot contain spaces")
    if name == _ROOT:
        raise given.wrong("id", f"{name} is a reserved ID, it can't be used")
    if name in before:
        raise given.wrong("id", f"duplicate step ID: {name}")


def _when(given: _Properties, before: Sequence[str]) -> tuple[str, ...]:
    """Return the steps that come first: those named, none for `-`, or else the one before.

    As the agent reads the file from its top, only steps further up can be named.
    """
    named = given.texts("when")
    if "-" in named:
        if len(named) > 1:
            words = (
                "step cannot contain other IDs in when if the immediate execution token is"
                " specified"
            )
            raise given.wrong("when", f"{given.name}: {words}")
        return ()
    if given.name in named:
        raise given.wrong("when", f"Step ID: {given.name} is self-referenced")
    unknown = [name for name in named if name not in before]
    if unknown:
        raise given.wrong(
            "when", f"{given.name}: when names {unknown[0]}, which is no step further up"
        )
    return tuple(named or before[-1:])
