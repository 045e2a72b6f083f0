"""Ask every source what a task is built on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from rebuilder.core.build_files import BuildImages, ImageUse
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.core.evidence import (
    Candidate,
    Evidence,
    ImageContent,
    Said,
    Source,
    TaskView,
    base_by_annotation,
    base_by_layers,
    join,
    recorded,
)
from rebuilder.core.gaps import BuildFiles, Command, Dockerfile
from rebuilder.core.references import ImageReference
from rebuilder.core.taskfile import (
    BuildStep,
    RunContext,
    TaskFile,
    images_of,
    read_task_file,
    single_build,
)
from rebuilder.core.tasks import (
    Argument,
    Dependency,
    DockerStep,
    EncodedStep,
    FileStep,
    Kind,
    Run,
    RunStatus,
    Task,
)
from rebuilder.errors import (
    Denied,
    InvalidBuildFile,
    InvalidReference,
    PermanentError,
    RebuilderError,
    SourceUnavailable,
    TransientError,
)
from rebuilder.ports import SourceFile
from rebuilder.usecases._parallel import attempts
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

# Looking for the last successful run; what a task with more failures in a row pushed is old.
_RUNS = 15
_OWN_FILE = "the task's own YAML"


@dataclass(frozen=True, slots=True)
class Look:
    """What was found out about a task.

    Attributes:
        task: The task.
        view: What its sources say.
        files: Its build files, for a comparison with ACR's scanner.
        outputs: The names of the images that it builds, with templates where only a run knows.
        last_run: Its last successful run; None if none is known, or nobody asked.
        failure: A source that did not answer now; None if all did.
    """

    task: Task
    view: TaskView
    files: BuildFiles
    outputs: tuple[str, ...]
    last_run: Run | None
    failure: TransientError | None


def gather(context: Context, task: Task) -> TaskView:
    """Return what is known of a task's dependencies.

    The output image is looked at only where neither the record nor the build file names its base:
    that costs a request to ARM and some to registries, and a sweep reads every task.

    Raises:
        TransientError: A source did not answer now; what is known from before is better than a
            view without it.
    """
    found = look(context, task, thorough=False)
    if found.failure is not None:
        raise found.failure
    return found.view


def look(context: Context, task: Task, *, thorough: bool = True) -> Look:
    """Find out all about a task; a source that does not answer is a problem in its evidence.

    Args:
        context: Where to look.
        task: The task, with ACR's record of it.
        thorough: Whether to look at the output image although its base is known.
    """
    record = recorded(task)
    files = _Files(context, task)
    evidence = [record, files.evidence()]
    view = join(task.id, evidence)
    failure, last_run = files.failure, None
    known = any(dependency.kind is Kind.RUNTIME for dependency in view.dependencies)
    if task.has_step and (thorough or not known):
        output = _Output(context, task, view.dependencies)
        view = join(task.id, [*evidence, output.evidence()])
        failure, last_run = failure or output.failure, output.last_run
    return Look(task, view, files.found(), files.outputs, last_run, failure)


def look_at_all(context: Context, tasks: Iterable[Task], *, thorough: bool = True) -> list[Look]:
    """Find out all about many tasks, several at a time."""
    found: list[Look] = []
    for result in attempts(partial(look, context, thorough=thorough), tasks):
        if isinstance(result, RebuilderError):
            raise result
        found.append(result)
    return found


@dataclass(slots=True)
class _Files:
    """The build files of a task."""

    context: Context
    task: Task
    failure: TransientError | None = None
    outputs: tuple[str, ...] = ()
    revision: str = ""
    name: str = ""
    task_file: TaskFile | None = None
    images: BuildImages | None = None
    problem: str | None = None
    _read: dict[tuple[str, str], SourceFile | str] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        try:
            self.task_file = self._task_file()
            self.images = images_of(self.task_file, self._images_of)
        except PermanentError as error:
            where = f"{self.name}: " if self.name else ""
            self.problem = f"{where}{error}"
        except TransientError as error:
            self.problem = self._not_now(error)
        if self.images is None or self.task_file is None:
            return Evidence(Source.BUILD_FILE, (), self.problem, self.revision)
        readable = self.task_file.readable
        self.outputs = tuple(
            readable(tag)
            for step in self.task_file.steps
            if isinstance(step, BuildStep) and step.pushed
            for tag in step.tags
        )
        said = tuple(
            Said(use.reference, use.kind, None, self._where(use)) for use in self.images.images
        )
        open_ = [f"{missing.text}: {missing.reason}" for missing in self.images.unknown]
        return Evidence(Source.BUILD_FILE, said, "; ".join(open_) or None, self.revision)

    def found(self) -> BuildFiles:
        """Return the files for a comparison with ACR's scanner."""
        if self.images is None or self.task_file is None:
            return BuildFiles(problem=self.problem)
        dockerfiles: list[Dockerfile] = []
        unread: dict[str, str] = {}
        for step in self.task_file.steps:
            if not isinstance(step, BuildStep) or step.unknown:
                continue
            name = self.task_file.readable(step.dockerfile)
            file = self._file(step.context or self._context, step.dockerfile)
            if isinstance(file, str):
                unread[name] = file
            else:
                dockerfiles.append(self._as_built(name, step, file))
        commands = tuple(
            Command(self.name, use.line, use.reference)
            for use in self.images.images
            if use.way and use.way[-1].startswith("cmd: ")
        )
        names = {*unread, *(file.name for file in dockerfiles)}
        unknown = tuple(
            (self._place(missing.line) + missing.text, missing.reason)
            for missing in self.images.unknown
            if missing.text not in names
        )
        problem = "; ".join(f"{name}: {reason}" for name, reason in unread.items()) or None
        words = (
            w for stand_in in self.task_file.stand_ins for w in (stand_in.word, stand_in.other)
        )
        return BuildFiles(tuple(dockerfiles), commands, unknown, problem, tuple(words))

    def _as_built(self, name: str, step: BuildStep, file: SourceFile) -> Dockerfile:
        images: BuildImages | InvalidBuildFile
        try:
            images = self._dockerfile(step, file)
        except InvalidBuildFile as error:
            images = error
        return Dockerfile(name, file.content, step.build_args, step.target, images)

    def _place(self, line: int) -> str:
        """Return where something stands in a task file; nowhere, if the task has none."""
        return f"{self.name}, line {line}: " if self.name else ""

    def _where(self, use: ImageUse) -> str:
        first, *rest = use.way or ("",)
        if rest:
            first = f"{first}: {rest[0]}"
            first += f" ({', '.join(rest[1:])})" if rest[1:] else ""
        return self._place(use.line) + first

    @property
    def _context(self) -> str:
        return self.task.step.context if self.task.step is not None else ""

    def _task_file(self) -> TaskFile:
        run = self._run()
        match self.task.step:
            case DockerStep() as step:
                return single_build(step, run)
            case EncodedStep() as step:
                self.name = _OWN_FILE
                return _of_yaml(step.content(), step.values_content(), step.values, run)
            case FileStep() as step:
                self.name = step.task_file
                read = self.context.sources.read(step.context, step.task_file)
                self.revision = read.revision
                values = b""
                if step.values_file:
                    values = self.context.sources.read(step.context, step.values_file).content
                return _of_yaml(read.content, values, step.values, run)
        what = "is of a kind that is not known" if self.task.has_step else "builds nothing"
        raise SourceUnavailable(f"the task's step {what}")

    def _run(self) -> RunContext:
        system, architecture = self.task.platform.split("/")[:2]
        try:
            host = self.context.host(self.task.id.registry)
        except PermanentError as error:
            log.warning(
                "task %s: its registry's login server is not known: %s", self.task.id, error
            )
            host = ""
        return RunContext(host, self.task.id.name, system, architecture)

    def _images_of(self, step: BuildStep) -> BuildImages | str:
        file = self._file(step.context or self._context, step.dockerfile)
        if isinstance(file, str):
            return file
        try:
            return self._dockerfile(step, file)
        except InvalidBuildFile as error:
            return f"the builder refuses it: {error}"

    def _dockerfile(self, step: BuildStep, file: SourceFile) -> BuildImages:
        return read_dockerfile(
            file.content,
            build_args=step.build_args,
            target=step.target,
            platform=step.platform or self.task.platform,
        )

    def _file(self, context: str, path: str) -> SourceFile | str:
        """Return a file, or why it cannot be had; read once."""
        key = (context, path)
        if key not in self._read:
            try:
                self._read[key] = self.context.sources.read(context, path)
            except PermanentError as error:
                self._read[key] = str(error)
            except TransientError as error:
                self._read[key] = self._not_now(error)
        found = self._read[key]
        if not isinstance(found, str):
            self.revision = self.revision or found.revision
        return found

    def _not_now(self, error: TransientError) -> str:
        log.warning("task %s: its build file cannot be read now: %s", self.task.id, error)
        self.failure = self.failure or error
        return f"not reachable now: {error}"


def _of_yaml(
    content: bytes, values_content: bytes, values: Iterable[Argument], run: RunContext
) -> TaskFile:
    given = {value.name: value.value for value in values if value.value is not None}
    hidden = [value.name for value in values if value.value is None]
    return read_task_file(
        content, values_content=values_content, values=given, hidden=hidden, run=run
    )


@dataclass(slots=True)
class _Output:
    """The image that the last successful run of a task pushed."""

    context: Context
    task: Task
    known: tuple[Dependency, ...]
    failure: TransientError | None = None
    last_run: Run | None = None

    def evidence(self) -> Evidence:
        try:
            return self._evidence()
        except Denied as error:
            role = "AcrPull on the task's registry (ABAC: Container Registry Repository Reader)"
            return self._silent(f"{error}; {role} would let it be read")
        except PermanentError as error:
            return self._silent(str(error))
        except TransientError as error:
            log.warning("task %s: its output cannot be read now: %s", self.task.id, error)
            self.failure = error
            return self._silent(f"not reachable now: {error}")

    def _silent(self, problem: str) -> Evidence:
        return Evidence(Source.OUTPUT_IMAGE, (), problem)

    def _evidence(self) -> Evidence:
        runs = self.context.tasks.runs(self.task.id.registry, task=self.task.id.name, top=_RUNS)
        self.last_run = next((r for r in runs if r.status is RunStatus.SUCCEEDED), None)
        if self.last_run is None:
            return self._silent("no successful run is known")
        outputs = dict(_outputs(self.last_run))
        if not outputs:
            return self._silent(f"run {self.last_run.run_id} pushed no image")
        said: dict[ImageReference, Said] = {}
        candidates: list[Candidate] | None = None
        for digest, output in outputs.items():
            content = self._content(output, digest)
            if content is None:
                return self._silent(f"{output} is gone from its registry")
            if candidates is None:
                candidates = list(self._candidates())
            found = base_by_annotation(str(output), content, candidates)
            for entry in found or base_by_layers(str(output), content, candidates):
                said.setdefault(entry.reference, entry)
        if said:
            return Evidence(Source.OUTPUT_IMAGE, tuple(said.values()), None, next(iter(outputs)))
        names = ", ".join(dict.fromkeys(str(c.reference) for c in candidates or ()))
        tried = f"its layers are those of none of {names}" if names else "no base can be read"
        output = next(iter(outputs.values()))
        return self._silent(f"no annotation of {output} names its base, and {tried}")

    def _content(self, image: ImageReference, reference: str) -> ImageContent | None:
        platform = self.task.platform
        return self.context.images.content(image.domain, image.path, reference, platform)

    def _candidates(self) -> Iterator[Candidate]:
        """Return what the known dependencies were and are, as far as we may look."""
        hosts = self.context.base_hosts()
        for dependency in self.known:
            reference = dependency.reference
            if reference.domain not in hosts or dependency.kind is Kind.FRONTEND:
                continue
            used = (reference.digest, dependency.built_on, reference.tag)
            for wanted in dict.fromkeys(filter(None, used)):
                try:
                    content = self._content(reference, wanted)
                except PermanentError as error:
                    log.warning("%s: cannot be compared with: %s", reference, error)
                    break
                if content is not None:
                    yield Candidate(reference, dependency.kind, content)


def _outputs(run: Run) -> Iterator[tuple[str, ImageReference]]:
    """Return what a run pushed, by its digest; once, whatever number of tags it has."""
    for text in reversed(run.output_images):
        try:
            image = ImageReference.parse(text)
        except InvalidReference as error:
            log.warning("run %s: an output is left out: %s", run.run_id, error)
            continue
        if image.digest is not None:
            yield image.digest, image.at(None)
