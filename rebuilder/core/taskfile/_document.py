"""From the bytes of a task file to its steps, in the order of the agent.

Source: cmd/acb/commands/exec/exec.go (the order), templating/template.go (comments), graph/task.go,
graph/step.go and graph/dag.go (what is refused).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import yaml

from rebuilder.core.dependencies.build_files import UnknownImage
from rebuilder.core.taskfile import _aliases, _yaml
from rebuilder.core.taskfile._steps import RunContext, Step, TaskFile
from rebuilder.core.taskfile._templates import evaluate
from rebuilder.core.taskfile._templates.values import Values, read_values
from rebuilder.core.taskfile._text import Hidden, Mapped, Unknowns, names
from rebuilder.errors import InvalidBuildFile

_LIMIT = 256 * 1024
_LINE = 64 * 1024
_BYTES = 4  # of a character, at most
"""The agent takes a file with aliases apart by bufio.Scanner, which stops at a longer line."""

_VERSIONS = frozenset({"1.0-preview-1", "v1.0.0", "v1.1.0"})
_KINDS: tuple[Literal["build", "cmd", "push"], ...] = ("build", "cmd", "push")
_ROOT = "acb_root"
_WHITE = re.compile(r"\s")
_VOLUME = re.compile(r"[a-zA-Z0-9_-]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

_OPTIONS = ("user", "isolation", "cpus")
_FORMS = {
    **dict.fromkeys(
        names("id cmd build workingDirectory entryPoint user network isolation cpus cache"), "text"
    ),
    **dict.fromkeys(names("push env expose ports when retryOnErrors"), "list"),
    **dict.fromkeys(
        names(
            "timeout cmdDownloadRetries cmdDownloadRetryDelay startDelay retryDelay retries repeat"
        ),
        "number",
    ),
    **dict.fromkeys(("exitedWith", "exitedWithout"), "numbers"),
    **dict.fromkeys(
        names("keep detach privileged ignoreErrors disableWorkingDirectoryOverride pull"), "switch"
    ),
}
"""What each field of a step is; others the agent takes no notice of."""


def read_document(
    content: bytes,
    *,
    values_content: bytes = b"",
    values: Mapping[str, str],
    hidden: Collection[str] = (),
    run: RunContext,
) -> tuple[TaskFile, Unknowns]:
    """Return the steps of a task file, and the placeholders for what is not known in them.

    Args:
        content: The task file.
        values_content: The values file, if the task has one.
        values: The values that the task itself gives; they win over the file's.
        hidden: The names of values that the task gives and does not tell, because they are secret.
        run: What is known of the task's runs.

    Raises:
        InvalidBuildFile: The agent would refuse the file, with the line and the reason.
    """
    text = _decode(content, "the task file")
    values_text = _decode(values_content, "the values file").removeprefix("\ufeff")
    unknowns = Unknowns(text, values_text, *values.values(), run.registry, run.task)
    file = read_values(values_text) if values_text else {}
    known = Values(run, file, values, hidden, "secrets" in text)
    try:
        rendered, aliases = _prepare(text, known, unknowns)
        try:
            steps = _Reader(rendered, aliases, unknowns).steps()
        except InvalidBuildFile as error:
            return _depending(error, rendered, aliases, unknowns), unknowns
    except Hidden as found:
        where = UnknownImage(found.text, found.line, found.reason, makes=True)
        return TaskFile((), (where,)), unknowns
    return TaskFile(tuple(steps)), unknowns


def _depending(
    error: InvalidBuildFile, rendered: Mapped, aliases: _aliases.Aliases, unknowns: Unknowns
) -> TaskFile:
    """Tell of a file that is refused with placeholders in it whether that is the file's own fault.

    Raises:
        InvalidBuildFile: It is: the agent refuses it without what is not known, too.
    """
    found = unknowns.within(rendered.text)
    if not found:
        raise error
    text = rendered.text
    for placeholder in found:
        text = text.replace(placeholder.word, "" if placeholder.may_be_empty else "1")
    lacking = tuple(placeholder for placeholder in found if placeholder.value)
    reasons = "; ".join(unknowns.reasons(rendered.text))
    try:
        _Reader(Mapped(text, rendered.lines), aliases, unknowns).steps()
    except InvalidBuildFile as other:
        if not lacking:
            raise InvalidBuildFile(error.line, unknowns.readable(error.problem)) from None
        lack = "; ".join(dict.fromkeys(placeholder.reason for placeholder in lacking))
        raise InvalidBuildFile(other.line, f"{lack}; without it: {other.problem}") from None
    names = ", ".join(dict.fromkeys(placeholder.text for placeholder in found))
    reason = f"how it is read depends on {names}: {reasons}"
    return TaskFile((), (UnknownImage("the task file", error.line, reason, makes=True),), lacking)


def fill_in(
    text: str,
    *,
    values: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
    run: RunContext,
) -> tuple[str, tuple[str, ...]]:
    """Fill in the templates of a text outside of task files, as in a task's build arguments.

    Args:
        text: The text.
        values: As in `read_document`.
        hidden: As in `read_document`.
        run: As in `read_document`.

    Returns:
        The text, with placeholders for what is not known, and why that is not known.

    Raises:
        InvalidBuildFile: The agent would refuse a template.
    """
    given = dict(values or {})
    unknowns = Unknowns(text, *given.values(), run.registry, run.task)
    lines = tuple(range(1, text.count("\n") + 2))
    try:
        filled = evaluate.render(Mapped(text, lines), Values(run, {}, given, hidden), unknowns)
    except Hidden as found:
        return text, (found.reason,)
    return filled.text, unknowns.reasons(filled.text)


def _decode(content: bytes, what: str) -> str:
    if len(content) > _LIMIT:
        raise InvalidBuildFile(0, f"{what} is longer than {_LIMIT} bytes")
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InvalidBuildFile(0, f"{what} is not text in UTF-8") from None


def _prepare(text: str, values: Values, unknowns: Unknowns) -> tuple[Mapped, _aliases.Aliases]:
    """Leave out comments, replace aliases, then fill in templates."""
    # A byte order mark belongs to the line that the agent looks for the version in.
    has_aliases = _aliases.enabled(_aliases.version(text))
    whole = _without_comments(text.removeprefix("\ufeff"))
    aliases = _aliases.Aliases()
    if has_aliases:
        _check_lines(whole)
        section, rest = _aliases.separate(whole)
        if section.text:
            section = evaluate.render(section, values, unknowns)
        whole, aliases = _aliases.replace(section, rest, values.run.os, unknowns)
    return evaluate.render(whole, values, unknowns), aliases


def _without_comments(text: str) -> Mapped:
    if "#" not in text:
        return Mapped(text, tuple(range(1, text.count("\n") + 2)))
    kept = [
        (line, number)
        for number, line in enumerate(text.split("\n"), 1)
        if not line.lstrip().startswith("#")
    ]
    lines = tuple(number for _, number in kept)
    return Mapped("\n".join(line for line, _ in kept), lines or (1,))


def _check_lines(whole: Mapped) -> None:
    if len(whole.text) * _BYTES < _LINE:
        return  # no line of it can be as long
    for index, line in enumerate(whole.text.split("\n")):
        if len(line.encode(errors="surrogatepass")) >= _LINE:
            reason = "the agent reads nothing from a line of 64 KiB on"
            raise Hidden("the rest of the file", whole.line(index), reason)


class _Reader:
    """Reads the steps of a task file, and refuses what the agent refuses."""

    def __init__(self, text: Mapped, aliases: _aliases.Aliases, unknowns: Unknowns) -> None:
        self._line = text.line
        self._aliases = aliases
        self._unknowns = unknowns
        root = _yaml.compose(text.text, self._line)
        self._task = _yaml.fields(root, self._line, "the task file")
        self._environment = self._texts(self._task, "env")
        self._folder = self._text(self._task, "workingDirectory")
        self._volumes = self._named_volumes()

    def _text(self, given: Mapping[str, yaml.Node], name: str) -> str:
        return _yaml.string(given.get(name), self._line, name)

    def _texts(self, given: Mapping[str, yaml.Node], name: str) -> tuple[str, ...]:
        return tuple(_yaml.strings(given.get(name), self._line, name))

    def steps(self) -> list[Step]:
        """Return the steps.

        Raises:
            InvalidBuildFile: The agent refuses the file.
        """
        version = self._text(self._task, "version") or "v1.0.0"
        if version.lower() not in _VERSIONS:
            raise InvalidBuildFile(
                self._line(self._task["version"].start_mark.line),
                f'invalid version specified: "{version}"',
            )
        _yaml.integer(self._task.get("stepTimeout"), self._line, "stepTimeout")
        self._check_secrets()
        found: list[Step] = []
        ids: set[str] = set()
        for number, node in enumerate(_yaml.items(self._task.get("steps"), self._line, "steps")):
            line = self._line(node.start_mark.line)
            given = _yaml.fields(node, self._line, "a step")
            step = self._step(given, number, line)
            self._check_place(step.id, given, ids, line)
            ids.add(step.id)
            found.append(step)
        return found

    def _step(self, given: Mapping[str, yaml.Node], number: int, line: int) -> Step:
        texts: dict[str, str] = {}
        lists: dict[str, tuple[str, ...]] = {}
        others: dict[str, int] = {}
        for name, node in given.items():
            match _FORMS.get(name):
                case "text":
                    texts[name] = _yaml.string(node, self._line, name)
                case "list":
                    lists[name] = tuple(_yaml.strings(node, self._line, name))
                case "number":
                    others[name] = _yaml.integer(node, self._line, name)
                case "switch":
                    others[name] = _yaml.boolean(node, self._line, name)
                case "numbers":
                    for item in _yaml.items(node, self._line, name):
                        _yaml.integer(item, self._line, name)
        kind = self._kind(texts, lists, line)
        for name in ("retries", "repeat"):
            if others.get(name, 0) < 0:
                raise InvalidBuildFile(line, f"step must specify {name} >= 0")
        cache = texts.get("cache", "").lower()
        if cache not in ("", "enabled", "disabled"):
            raise InvalidBuildFile(line, "invalid value for cache property")
        if "volumeMounts" in given:
            self._check_mounts(given, kind, line)
        own = lists.get("env", ())
        environment = self._merged(own, line)
        text = "" if kind == "push" else texts[kind]
        expanded = text
        if kind == "cmd":
            expanded = _aliases.expand(text, self._aliases, self._unknowns)
        options = [f"-p {port}" for port in lists.get("ports", ())]
        options += [f"--expose {port}" for port in lists.get("expose", ())]
        options += [f"--{name} {texts[name]}" for name in _OPTIONS if texts.get(name)]
        return Step(
            line,
            texts.get("id") or f"acb_step_{number}",
            kind,
            expanded,
            lists["push"] if kind == "push" else (),
            texts.get("workingDirectory") or self._folder,
            environment,
            " ".join(options),
            texts.get("entryPoint", "") if kind == "cmd" else "",
            "DOCKER_BUILDKIT=1" in environment,
            cache == "enabled",
            bool(others.get("disableWorkingDirectoryOverride")),
            "" if expanded == text else text.split(maxsplit=1)[0],
            "when" in given,
        )

    @staticmethod
    def _kind(
        texts: Mapping[str, str], lists: Mapping[str, Sequence[str]], line: int
    ) -> Literal["build", "cmd", "push"]:
        kinds = [kind for kind in _KINDS if texts.get(kind) or lists.get(kind)]
        if not kinds:
            raise InvalidBuildFile(line, "step is missing a cmd, build, or push property")
        if len(kinds) > 1:
            raise InvalidBuildFile(
                line, "step must only contain a single build, cmd, or push property"
            )
        return kinds[0]

    def _merged(self, own: Sequence[str], line: int) -> tuple[str, ...]:
        """Return a step's variables with the task's, which are looked at only if there are any."""
        if not self._environment:
            return tuple(own)
        known: dict[str, str] = {}
        for text in own:
            name, equals, value = text.partition("=")
            if not equals:
                raise InvalidBuildFile(
                    line, f"cannot parse step environment variable {text} correctly"
                )
            known[name] = value
        found = list(own)
        for text in ",".join(self._environment).split(","):
            name, equals, _ = text.partition("=")
            if not equals:
                raise InvalidBuildFile(
                    line, f"cannot parse task environment variable {text} correctly"
                )
            if name not in known:
                found.append(text)
        return tuple(found)

    # What the agent refuses.

    def _check_place(
        self, name: str, given: Mapping[str, yaml.Node], before: Collection[str], line: int
    ) -> None:
        if _WHITE.search(name):
            raise InvalidBuildFile(line, "step ID cannot contain spaces")
        if name == _ROOT or name in before:
            raise InvalidBuildFile(line, f"duplicate step ID: {name}")
        if "when" not in given:
            return
        when = self._texts(given, "when")
        if "-" in when:
            if len(when) > 1:
                raise InvalidBuildFile(line, "step cannot wait for other IDs beside -")
            return
        for other in when:
            if other == name:
                raise InvalidBuildFile(line, f"Step ID: {name} is self-referenced")
            if other not in before and other != _ROOT:
                raise InvalidBuildFile(line, f"{other} does not exist as a vertex")

    def _named_volumes(self) -> frozenset[str]:
        found: set[str] = set()
        for node in _yaml.items(self._task.get("volumes"), self._line, "volumes"):
            line = self._line(node.start_mark.line)
            given = _yaml.fields(node, self._line, "a volume")
            name = self._text(given, "name")
            if not _VOLUME.fullmatch(name):
                raise InvalidBuildFile(line, "volume name is not well formed")
            if not _yaml.fields(given.get("secret"), self._line, "a volume's secret"):
                raise InvalidBuildFile(line, "currently only support for source type secret")
            if name in found:
                raise InvalidBuildFile(line, "volume with duplicate name found")
            found.add(name)
        return frozenset(found)

    def _check_mounts(self, given: Mapping[str, yaml.Node], kind: str, line: int) -> None:
        paths: set[str] = set()
        for node in _yaml.items(given.get("volumeMounts"), self._line, "volumeMounts"):
            mount = _yaml.fields(node, self._line, "a mount")
            name, path = self._text(mount, "name"), self._text(mount, "mountPath")
            if kind == "push" or not name or not path or path in paths:
                raise InvalidBuildFile(line, "invalid use of Mounts")
            if name not in self._volumes:
                reason = f"mount name, {name}, does not correspond to a volume"
                raise InvalidBuildFile(line, reason)
            paths.add(path)

    def _check_secrets(self) -> None:
        ids: set[str] = set()
        for node in _yaml.items(self._task.get("secrets"), self._line, "secrets"):
            line = self._line(node.start_mark.line)
            given = _yaml.fields(node, self._line, "a secret")
            name = self._text(given, "id")
            client = self._text(given, "clientID")
            if not name or _WHITE.search(name) or not self._text(given, "keyvault"):
                raise InvalidBuildFile(line, "a secret has no ID, or no key vault")
            if client and not _UUID.fullmatch(client) and not self._unknowns.within(client):
                raise InvalidBuildFile(line, "msi client ID is not a valid guid")
            if name in ids:
                raise InvalidBuildFile(line, f"duplicate secret found with ID: {name}")
            ids.add(name)
