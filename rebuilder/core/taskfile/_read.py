"""From the bytes of a task file to its steps."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml

from rebuilder.core.build_files import UnknownImage
from rebuilder.core.contexts import file_path
from rebuilder.core.references import ImageReference
from rebuilder.core.taskfile import _aliases, _docker, _template, _words, _yaml
from rebuilder.core.taskfile._steps import BuildStep, CommandStep, RunContext, TaskFile
from rebuilder.core.taskfile._text import Hidden, Mapped, Unknowns
from rebuilder.errors import InvalidBuildFile, InvalidReference, SourceUnavailable

_LIMIT = 256 * 1024
_VERSIONS = frozenset({"1.0-preview-1", "v1.0.0", "v1.1.0"})
_KINDS = ("build", "cmd", "push")
_WORKSPACES = ("/workspace", "c:/workspace")
_DOCKER = ImageReference.parse("docker")
_NOWHERE = RunContext()


def read_task_file(
    content: bytes,
    *,
    values_content: bytes = b"",
    values: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
    run: RunContext = _NOWHERE,
) -> TaskFile:
    """Read a task file as the agent does, as far as that can be done before a run.

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
    values_text = _decode(values_content, "the values file")
    given = dict(values or {})
    unknowns = Unknowns(text, values_text, *given.values(), run.registry, run.task)
    known = _template.Values(run, _values(values_text), given, hidden)
    try:
        rendered, aliases = _prepare(text, known, unknowns)
        reader = _Reader(rendered, aliases, unknowns, windows=run.os == "windows")
        steps = reader.steps()
    except Hidden as found:
        where = UnknownImage(found.text, found.line, found.reason)
        return TaskFile((), (where,))
    return TaskFile(_with_pushes(steps, reader.pushed, reader.renamed), (), unknowns.all())


def fill_in(
    text: str,
    *,
    values: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
    run: RunContext = _NOWHERE,
) -> tuple[str, tuple[str, ...]]:
    """Fill in the templates of a text outside of task files, as in a task's build arguments.

    Args:
        text: The text.
        values: As in `read_task_file`.
        hidden: As in `read_task_file`.
        run: As in `read_task_file`.

    Returns:
        The text, with stand-ins for what is not known, and why that is not known.

    Raises:
        InvalidBuildFile: The agent would refuse a template.
    """
    given = dict(values or {})
    unknowns = Unknowns(text, *given.values(), run.registry, run.task)
    lines = tuple(range(1, text.count("\n") + 2))
    try:
        filled = _template.render(
            Mapped(text, lines), _template.Values(run, {}, given, hidden), unknowns
        ).text
    except Hidden as found:
        return text, (found.reason,)
    return filled, unknowns.reasons(filled)


def _decode(content: bytes, what: str) -> str:
    if len(content) > _LIMIT:
        raise InvalidBuildFile(0, f"{what} is longer than {_LIMIT} bytes")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InvalidBuildFile(0, f"{what} is not text in UTF-8") from None


def _values(text: str) -> Mapping[str, yaml.Node]:
    try:
        return _yaml.fields(_yaml.compose(text, _values_line), _values_line, "the values file")
    except InvalidBuildFile as error:
        where = f"line {error.line} of " if error.line else ""
        raise InvalidBuildFile(0, f"{where}the values file: {error.problem}") from None


def _values_line(index: int) -> int:
    return index + 1


def _prepare(
    text: str, values: _template.Values, unknowns: Unknowns
) -> tuple[Mapped, _aliases.Aliases]:
    """Replace aliases, then fill in templates."""
    whole = Mapped(text, tuple(range(1, text.count("\n") + 2)))
    aliases = _aliases.Aliases()
    if _aliases.enabled(_aliases.version(text)):
        section, rest = _aliases.separate(text)
        if ".Values" in section.text:
            reason = "the agent fills in no values in the alias section"
            raise Hidden("alias", section.line(0), reason)
        bare = _template.Values(values.run)
        section = _template.render(section, bare, unknowns)
        whole, aliases = _aliases.replace(section, rest, values.run.os, unknowns)
    return _template.render(whole, values, unknowns), aliases


@dataclass(frozen=True, slots=True)
class _Step:
    """What the steps of every kind have."""

    line: int
    folder: str
    environment: Mapping[str, str]


class _Reader:
    """Reads the steps of a task file."""

    def __init__(
        self, text: Mapped, aliases: _aliases.Aliases, unknowns: Unknowns, *, windows: bool
    ) -> None:
        self._line: Callable[[int], int] = text.line
        self._aliases = aliases
        self._unknowns = unknowns
        self._windows = windows
        self.pushed: set[str] = set()
        self.renamed: dict[str, str] = {}
        root = _yaml.compose(text.text, self._line)
        self._task = _yaml.fields(root, self._line, "the task file")

    def steps(self) -> list[BuildStep | CommandStep]:
        """Return the steps that read images; what is pushed is kept aside.

        Raises:
            InvalidBuildFile: The agent refuses the file.
        """
        version = _yaml.string(self._task.get("version"), self._line, "version") or "v1.0.0"
        if version.lower() not in _VERSIONS:
            raise InvalidBuildFile(
                self._line(self._task["version"].start_mark.line),
                f'invalid version specified: "{version}"',
            )
        found: list[BuildStep | CommandStep] = []
        ids: set[str] = set()
        for number, node in enumerate(_yaml.items(self._task.get("steps"), self._line, "steps")):
            line = self._line(node.start_mark.line)
            given = _yaml.fields(node, self._line, "a step")
            name = _yaml.string(given.get("id"), self._line, "id") or f"acb_step_{number}"
            if name in ids:
                raise InvalidBuildFile(line, f"duplicate step ID: {name}")
            ids.add(name)
            found += self._step(given, line)
        return found

    def _step(self, given: Mapping[str, yaml.Node], line: int) -> Iterable[BuildStep | CommandStep]:
        kinds = [kind for kind in _KINDS if kind in given and not _yaml.is_null(given[kind])]
        if not kinds:
            raise InvalidBuildFile(line, "step is missing a cmd, build, or push property")
        if len(kinds) > 1:
            raise InvalidBuildFile(
                line, "step must only contain a single build, cmd, or push property"
            )
        if kinds == ["push"]:
            self._push(
                _yaml.string(node, self._line, "push")
                for node in _yaml.items(given["push"], self._line, "push")
            )
            return []
        directory = _yaml.string(
            given.get("workingDirectory"), self._line, "workingDirectory"
        ) or _yaml.string(self._task.get("workingDirectory"), self._line, "workingDirectory")
        environment = self._environment(self._task.get("env")) | self._environment(given.get("env"))
        step = _Step(line, directory, environment)
        text = _yaml.string(given[kinds[0]], self._line, kinds[0])
        if kinds == ["build"]:
            return [self._build(step, self._split(text, line))]
        return self._command(step, text)

    def _environment(self, node: yaml.Node | None) -> dict[str, str]:
        found = {}
        for item in _yaml.items(node, self._line, "env"):
            name, equals, value = _yaml.string(item, self._line, "env").partition("=")
            if not equals:
                raise InvalidBuildFile(
                    self._line(item.start_mark.line), f"the environment variable {name} has no ="
                )
            found[name] = value
        return found

    def _split(self, text: str, line: int) -> list[str]:
        return _words.split(text, line, self._unknowns, windows=self._windows)

    def _push(self, images: Iterable[str]) -> None:
        self.pushed |= {canonical(image) for image in images}

    # Commands.

    def _command(self, step: _Step, text: str) -> list[BuildStep | CommandStep]:
        expanded = _aliases.expand(text, self._aliases, self._unknowns)
        words = _docker.after_run_flags(self._split(expanded, step.line))
        way = () if expanded == text else (f"{text.split(maxsplit=1)[0]} is an alias",)
        found: list[BuildStep | CommandStep] = [self._run(step, words, way)]
        if words and _is_docker(words[0]):
            found += self._docker(step, words[1:])
        return found

    def _run(self, step: _Step, words: Sequence[str], way: tuple[str, ...]) -> CommandStep:
        if not words or not words[0]:
            return CommandStep(step.line, "", (), ("the command names no image",))
        return CommandStep(step.line, words[0], way, self._unknowns.reasons(words[0]))

    def _docker(self, step: _Step, words: Sequence[str]) -> list[BuildStep | CommandStep]:
        """Follow what a container of docker's own image does with images."""
        # The image's entry point puts docker in front of its commands, written or not.
        match [*(words[1:] if words[:1] == ["docker"] else words)]:
            case ["build", *rest] | ["buildx" | "image" | "builder", "build", *rest]:
                return [self._build(step, rest)]
            case ["run", *rest] | ["container", "run", *rest]:
                return [self._run(step, _docker.after_run_flags(rest), ("docker run",))]
            case ["push", *rest] | ["image", "push", *rest]:
                self._push(word for word in rest if not word.startswith("-"))
            case ["tag", old, new] | ["image", "tag", old, new]:
                self.renamed[canonical(new)] = canonical(old)
        return []

    # Builds.

    def _build(self, step: _Step, words: Sequence[str]) -> BuildStep:
        asked = _docker.parse_build(words, step.line)
        # The agent's own scan takes the folder itself where the command names nothing.
        context = asked.contexts[-1] if asked.contexts else "."
        tags = tuple(asked.flags.get("tag", [])) + tuple(asked.flags.get("image", []))
        unknown = [f"the flag {flag} is not known" for flag in asked.unknown]
        for what in asked.contexts:
            unknown += self._unknowns.reasons(what)
        if len(asked.contexts) > 1 and not unknown:
            raise InvalidBuildFile(
                step.line, f"docker build takes one context, not {len(asked.contexts)}"
            )
        for what in (asked.last("file"), asked.last("target"), asked.last("platform")):
            unknown += self._unknowns.reasons(what)
        if "build-context" in asked.flags:
            unknown.append("--build-context puts other images in place of the Dockerfile's")
        address, dockerfile = "", ""
        try:
            address, dockerfile = self._files(step, context, asked.last("file"))
        except SourceUnavailable as error:
            unknown.append(str(error))
        arguments, unknown_arguments = self._arguments(step, asked.flags.get("build-arg", []))
        return BuildStep(
            step.line,
            dockerfile,
            address,
            arguments,
            asked.last("target"),
            asked.last("platform"),
            tags,
            asked.on("push") or any(map(_pushes, asked.flags.get("output", []))),
            unknown_arguments,
            tuple(dict.fromkeys(unknown)),
        )

    def _files(self, step: _Step, context: str, file: str) -> tuple[str, str]:
        """Return where a build takes its files from and the Dockerfile's path there.

        docker looks for the Dockerfile of `-f` from where it is started, whatever the context is;
        the agent starts it in the context itself where that is an address.
        """
        if context == "-" or file == "-":
            raise SourceUnavailable("the build reads its standard input")
        if "://" in file:
            raise SourceUnavailable("the Dockerfile is an address")
        if "://" in context or context.startswith(("git@", "github.com/")):
            return context, file_path("", file or "Dockerfile")
        if self._windows:
            context, file = context.replace("\\", "/"), file.replace("\\", "/")
        start = _in_workspace(step.folder.replace("\\", "/"), "")
        name = file or posixpath.join(context, "Dockerfile")
        return "", file_path(start, _in_workspace(name, start))

    def _arguments(
        self, step: _Step, given: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        arguments: dict[str, str] = {}
        unknown: dict[str, str] = {}
        for argument in given:
            name, equals, value = argument.partition("=")
            if not equals:
                # Without a value, docker takes that of its own environment, or none.
                if name not in step.environment:
                    continue
                value = step.environment[name]
            arguments[name] = value
            reasons = self._unknowns.reasons(argument) or self._unknowns.reasons(value)
            unknown.pop(name, None)
            if reasons:
                unknown[name] = "; ".join(reasons)
        return arguments, unknown


def _in_workspace(path: str, start: str) -> str:
    """Return a path of the agent's containers from the context's root, or from `start`."""
    for workspace in _WORKSPACES:
        if path.lower() == workspace or path.lower().startswith(f"{workspace}/"):
            return posixpath.relpath(f"/{path[len(workspace) :]}", f"/{start}")
    if posixpath.isabs(path):
        raise SourceUnavailable(f"{path!r} is outside of the context")
    return path


def _is_docker(image: str) -> bool:
    try:
        found = ImageReference.parse(image)
    except InvalidReference:
        return False
    return found.repository == _DOCKER.repository


def _pushes(output: str) -> bool:
    fields = dict(part.partition("=")[::2] for part in output.split(","))
    return fields.get("type") == "registry" or fields.get("push") == "true"


def canonical(image: str) -> str:
    """Return the name under which an image of the file is known, whatever is unknown in it."""
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image


def _with_pushes(
    steps: Sequence[BuildStep | CommandStep], pushed: set[str], renamed: dict[str, str]
) -> tuple[BuildStep | CommandStep, ...]:
    """Say of each build whether its image is pushed, under any of its names."""
    names = set(pushed)
    for new, old in reversed(renamed.items()):
        if new in names:
            names.add(old)
    return tuple(
        replace(step, pushed=step.pushed or bool(names & {canonical(tag) for tag in step.tags}))
        if isinstance(step, BuildStep)
        else step
        for step in steps
    )
