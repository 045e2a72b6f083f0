"""Multi-step tasks: YAML with templates and aliases becomes steps in order.

Source: learn.microsoft.com, "ACR Tasks reference: YAML"; the agent, github.com/Azure/acr-builder,
graph/preprocessor.go (aliases), graph/dag.go (`when`), graph/task.go and graph/step.go (properties,
defaults, errors).
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
_RUN_ALIASES = {
    name: f"{{{{.Run.{name}}}}}"
    for name in (
        *("ID", "SharedVolume", "Registry", "RegistryName", "Date", "OS", "Architecture"),
        *("Commit", "Branch", "TaskName"),
    )
}
# The reference's table; a cmd may begin with one of them without the directive.
_IMAGE_ALIASES = {
    "acr": "mcr.microsoft.com/acr/acr-cli:0.14",
    "az": "mcr.microsoft.com/acr/azure-cli:9fb281c",
    "bash": "mcr.microsoft.com/acr/bash:9fb281c",
    "curl": "mcr.microsoft.com/acr/curl:9fb281c",
    "cssc": "mcr.microsoft.com/acr/cssc:9fb281c",
}
_TASK = frozenset({"version", "steps", "stepTimeout", "workingDirectory", "env"})
_STEP = frozenset(
    {
        *("id", "build", "push", "cmd", "when", "env", "timeout", "retries", "retryDelay"),
        *("startDelay", "repeat", "ignoreErrors", "entryPoint", "workingDirectory"),
        *("disableWorkingDirectoryOverride",),
        # These change nothing where nothing is cached and no container is looked into.
        *("keep", "pull"),
    }
)
# What ACR knows and the local cloud does not do.
_TASK_NOT_DONE = frozenset({"secrets", "networks", "volumes"})
_STEP_NOT_DONE = frozenset(
    {
        *("detach", "privileged", "ports", "expose", "network", "isolation", "user", "cpus"),
        *("cache", "volumeMounts", "volumeMount", "secret", "exitedWith", "exitedWithout"),
        *("retryOnErrors",),
    }
)
# As good as not given.
_NOTHING = frozenset({"", "false", "False", "no", "off", "null", "~", "default", "disabled"})
_YES = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_NAME = re.compile(r"\$?\.?(Run|Values)((?:\.\w+)+)")
_TOP_LEVEL = re.compile(r"[^\s:#][^:]*:")
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
        environment: Its variables.
        entry_point: What a command starts instead of the image's own entry point.
        directory: Where it starts, below /workspace or with its whole path; None for where the
            image says.
        timeout: Seconds of cloud time that it has; 0 for as many as the run has.
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
        BuildError: A template is something else, or names what is not there; of a longer text, it
            names the line.
    """

    def one(match: re.Match[str]) -> str:
        number = text.count("\n", 0, match.start()) + 1
        where = f"line {number}: " if "\n" in text else ""
        name = _NAME.fullmatch(match[1])
        if name is None:
            raise BuildError(f"{where}the local cloud does not know the template {match[0]}")
        found: Any = run if name[1] == "Run" else values
        for part in name[2].strip(".").split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise BuildError(f"{where}the template {match[0]} names what is not there: {part}")
            found = found[part]
        return _text(found)

    return _TEMPLATE.sub(one, text)


def _text(value: object) -> str:
    """Return a value as Go's templates write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


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
        replaced, aliases = _replace_aliases(text)
        # Nodes, not values: they know their lines, and their text as it was written.
        root = yaml.compose(render(replaced, run, values), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BuildError(f"failed to deserialize task: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise BuildError("failed to deserialize task: it is not a YAML mapping")
    task = _Properties("the task", root, _TASK, _TASK_NOT_DONE)
    version = task.text("version", "v1.0.0").lower()
    if version not in _VERSIONS:
        raise task.wrong("version", f'invalid version specified: "{version}"')
    entries = task.entries("steps")
    if not entries:
        raise BuildError("the task has no steps")
    nodes = [entry for entry in entries if isinstance(entry, yaml.MappingNode)]
    if len(nodes) != len(entries):
        raise task.wrong("steps", "steps is not a list of mappings")
    commands = {
        name: render(value, run, values)
        for name, value in aliases.items()
        if name not in _RUN_ALIASES
    }
    steps: list[Step] = []
    for number, node in enumerate(nodes):
        steps.append(_step(number, node, task, commands, [step.id for step in steps]))
    return steps


class _Properties:
    """The properties of a mapping, whose errors name the line.

    Args:
        name: Of what they are.
        node: The mapping.
        done: The names of what the local cloud does.
        known: The names of what ACR does.
    """

    def __init__(
        self, name: str, node: yaml.MappingNode, done: frozenset[str], known: frozenset[str]
    ) -> None:
        self.name = name
        self.line = _line(node)
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
            raise BuildError(f"line {_line(key)}: {name}: {words}")

    def wrong(self, key: str, words: str) -> BuildError:
        """Return an error at a property, or at the mapping if it is not there."""
        node = self._nodes.get(key)
        return BuildError(f"line {self.line if node is None else _line(node)}: {words}")

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

    def words(self, key: str, text: str | None = None) -> list[str]:
        given = self.text(key) if text is None else text
        try:
            return shlex.split(given)
        except ValueError as error:
            raise self.wrong(key, f"{self.name}: {key}: {error}: {given}") from error

    def environment(self) -> dict[str, str]:
        found = {}
        for entry in self.texts("env"):
            name, equals, value = entry.partition("=")
            if not equals:
                raise self.wrong(
                    "env", f"{self.name}: cannot parse environment variable {entry} correctly"
                )
            found[name] = value
        return found


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_nothing(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.value in _NOTHING
    return not node.value


def _step(
    number: int,
    node: yaml.MappingNode,
    task: _Properties,
    commands: Mapping[str, str],
    before: Sequence[str],
) -> Step:
    """Return a step; `before` are the ids of those that come before it in the file."""
    given = _Properties(_id(number, node), node, _STEP, _STEP_NOT_DONE)
    name = given.name
    _check_id(given, before)
    build, push, cmd = given.text("build"), given.texts("push"), given.text("cmd")
    kinds = [kind for kind, value in (("build", build), ("push", push), ("cmd", cmd)) if value]
    if not kinds:
        raise given.wrong("", f"{name}: step is missing a cmd, build, or push property")
    if len(kinds) > 1:
        words = "step must only contain a single build, cmd, or push property"
        raise given.wrong(kinds[1], f"{name}: {words}")
    first, space, rest = cmd.strip().partition(" ")
    directory = given.text("workingDirectory") or task.text("workingDirectory")
    if build:
        try:
            parse_build(name, given.words("build"))
        except BuildError as error:
            raise given.wrong("build", str(error)) from error
    return Step(
        name,
        tuple(given.words("build")),
        tuple(push),
        tuple(given.words("cmd", commands.get(first, first) + space + rest)),
        _when(given, before),
        {**task.environment(), **given.environment()},
        tuple(given.words("entryPoint")),
        None if given.flag("disableWorkingDirectoryOverride") else directory,
        given.number("timeout") or task.number("stepTimeout") or STEP_TIMEOUT,
        given.number("startDelay"),
        given.number("retries"),
        given.number("retryDelay") or 5,
        given.number("repeat"),
        given.flag("ignoreErrors"),
    )


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


def _replace_aliases(text: str) -> tuple[str, dict[str, str]]:
    """Replace `$name` by what the alias stands for; `$$` is one directive, the rest stays.

    Returns:
        The text, and what every alias stands for.
    """
    section, rest = _separate(text)
    node = yaml.compose(section, Loader=yaml.SafeLoader)
    own: dict[str, str] = {}
    directive = "$"
    if isinstance(node, yaml.MappingNode) and not _is_nothing(node.value[0][1]):
        inner = node.value[0][1]
        if not isinstance(inner, yaml.MappingNode):
            raise BuildError(f"line {_line(inner)}: alias is not a mapping")
        given = _Properties("alias", inner, frozenset({"values", "directive"}), frozenset({"src"}))
        directive = given.text("directive", "$")
        own = _alias_values(inner)
        if len(directive) != 1:
            words = "$ directive can only be overwritten by a single character"
            raise given.wrong("directive", words)
        if directive.isalnum():
            words = "overwritten directives may not be alphanumeric characters"
            raise given.wrong("directive", words)
    known = {**_RUN_ALIASES, **_IMAGE_ALIASES, **own}
    mark = re.escape(directive)

    def one(match: re.Match[str]) -> str:
        if match[1] == directive:
            return directive
        return known.get(match[1], match[0])

    return re.sub(rf"{mark}({mark}|[a-zA-Z0-9]+)", one, rest), known


def _alias_values(alias: yaml.MappingNode) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, values in alias.value:
        if key.value != "values" or _is_nothing(values):
            continue
        if not isinstance(values, yaml.MappingNode):
            raise BuildError(f"line {_line(values)}: alias: values is not a mapping")
        for name, value in values.value:
            if not re.fullmatch(r"[a-zA-Z0-9]+", str(name.value)):
                words = "alias key names only support alphanumeric characters"
                raise BuildError(f"line {_line(name)}: {words}: {name.value}")
            if not isinstance(value, yaml.ScalarNode):
                raise BuildError(f"line {_line(value)}: the alias {name.value} is not a text")
            found[str(name.value)] = str(value.value)
    return found


def _separate(text: str) -> tuple[str, str]:
    """Split a file into its alias section and the rest; both keep the numbers of their lines.

    Comments that begin a line are left out, as the agent does it: no template in them counts.
    """
    section: list[str] = []
    rest: list[str] = []
    inside = False
    for line in text.splitlines():
        if _TOP_LEVEL.match(line):
            inside = line.partition(":")[0].strip() == "alias"
        kept = "" if line.startswith("#") else line
        section.append(kept if inside else "")
        rest.append("" if inside else kept)
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


def parse_build(
    step: str, words: Sequence[str], environment: Mapping[str, str] | None = None
) -> BuildArguments:
    """Return what a build step asks for.

    Args:
        step: Its id.
        words: The arguments.
        environment: The step's variables, which `--build-arg name` takes its value from.

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
            raise BuildError(f"{step}: build: the local cloud does not do `docker build {flag}`")
        else:
            found["context"].append(word)
    if len(found["context"]) != 1:
        raise BuildError(f"{step}: build needs exactly one context: {' '.join(words)}")
    platforms = [p for p in found["platform"] if p.lower() not in ("linux", "linux/amd64")]
    if platforms:
        raise BuildError(f"{step}: the local cloud builds for linux/amd64, not {platforms[0]}")
    arguments: dict[str, str] = {}
    for pair in found["arg"]:
        name, equals, value = pair.partition("=")
        if equals or name in (environment or {}):
            arguments[name] = value if equals else (environment or {})[name]
    return BuildArguments(
        tuple(found["tag"]),
        "".join(found["file"][-1:]),
        arguments,
        "".join(found["target"][-1:]),
        found["context"][0],
    )
