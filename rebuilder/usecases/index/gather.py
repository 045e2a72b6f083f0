"""Ask every source what a task is built on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from copy import replace
from functools import partial

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import (
    Dependency,
    DockerStep,
    EncodedStep,
    FileStep,
    Kind,
    Makes,
    Output,
    Run,
    RunStatus,
    Task,
)
from rebuilder.core.dependencies.build_files import ImageUse
from rebuilder.core.dependencies.contexts import parse_context
from rebuilder.core.dependencies.effects import Effects, output_of, output_seen
from rebuilder.core.dependencies.evidence import (
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
from rebuilder.core.dependencies.hidden import depending, may_be_hidden, with_hidden
from rebuilder.core.taskfile import RunContext, read_docker_step, read_task_file
from rebuilder.errors import (
    Denied,
    InvalidReference,
    PermanentError,
    RebuilderError,
    SourceUnavailable,
    TransientError,
)
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

# Looking for the last successful run; what a task with more failures in a row pushed is old.
_RUNS = 15
_OWN_FILE = "the task's own YAML"


class Look(Struct, frozen=True):
    """What was found out about a task.

    Attributes:
        task: The task.
        view: What its sources say.
        effects: What its files say that its steps do; None if they cannot be read.
        problem: Why its files cannot be read; None if they can.
        name: The task file, for a person; "" if the task has none.
        last_run: Its last successful run; None if none is known, or nobody asked.
        failure: A source that did not answer now; None if all did.
        gone: The tags of base registries that it follows and that are there no more.
    """

    task: Task
    view: TaskView
    effects: Effects | None
    problem: str | None
    name: str
    last_run: Run | None
    failure: TransientError | None
    gone: tuple[ImageReference, ...] = ()


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
    dependencies = join(task.id, evidence).dependencies
    image = _Image(context, task, dependencies)
    known = any(dependency.kind is Kind.RUNTIME for dependency in dependencies)
    makes_none = files.effects is not None and output_of(files.effects).makes is Makes.NOTHING
    if task.has_step and (thorough or (not known and not makes_none)):
        evidence.append(image.evidence())
    view = join(task.id, evidence, _output(task, files, image))
    failure = files.failure or image.failure
    return Look(
        task,
        view,
        files.effects,
        files.problem,
        files.name,
        image.last_run,
        failure,
        tuple(image.gone),
    )


def _output(task: Task, files: _Files, image: _Image) -> Output | None:
    """Return what a task makes."""
    if files.effects is not None:
        return output_of(files.effects)
    if not task.has_step:
        return None
    run = image.last_run
    return output_seen(
        files.problem or "its files cannot be read",
        recorded=bool(task.dependencies),
        run="" if run is None else run.run_id,
        pushed=() if run is None else tuple(str(name) for _, name in _outputs(run)),
    )


def look_at_all(context: Context, tasks: Iterable[Task], *, thorough: bool = True) -> list[Look]:
    """Find out all about many tasks, several at a time; what stops one is its own problem."""
    asked = list(tasks)
    results = attempts(partial(look, context, thorough=thorough), asked)
    return [
        _unread(task, result) if isinstance(result, RebuilderError) else result
        for task, result in zip(asked, results, strict=True)
    ]


def _unread(task: Task, error: RebuilderError) -> Look:
    problem = str(error)
    evidence = [recorded(task), Evidence(Source.BUILD_FILE, (), problem)]
    return Look(task, join(task.id, evidence), None, problem, "", None, None)


class _Files(Struct):
    """The build files of a task."""

    context: Context
    task: Task
    failure: TransientError | None = None
    revision: str = ""
    name: str = ""
    effects: Effects | None = None
    problem: str | None = None
    _read: dict[tuple[str, str], bytes | str] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        try:
            self.effects = self._effects()
        except PermanentError as error:
            where = f"{self.name}: " if self.name else ""
            self.problem = f"{where}{error}"
        except TransientError as error:
            self.problem = self._not_now(error)
        if self.effects is None:
            return Evidence(Source.BUILD_FILE, (), self.problem, self.revision)
        said = {
            (use.reference, use.kind): Said(use.reference, use.kind, None, self._where(use))
            for use in self.effects.images
        }
        used = {reference for reference, _ in said}
        for build in self.effects.builds:
            for use in build.unused:
                if use.reference not in used:
                    way = (f"{build.dockerfile}, line {use.line}", *use.way)
                    where = self._where(replace(use, line=build.line, way=way))
                    said[use.reference, Kind.UNUSED] = Said(use.reference, Kind.UNUSED, None, where)
        images, tools = self._missing(tool=False), self._missing(tool=True)
        return Evidence(
            Source.BUILD_FILE, tuple(said.values()), images or None, self.revision, tools
        )

    def _missing(self, *, tool: bool) -> str:
        missed = self.effects.unknown if self.effects is not None else ()
        return "; ".join(
            f"{self._place(missing.line)}{missing.text}: {missing.reason}"
            for missing in missed
            if missing.tool is tool
        )

    def _place(self, line: int) -> str:
        """Return where something stands in a task file; nowhere, if the task has none."""
        if not self.name:
            return ""
        return f"{self.name}, line {line}: " if line else f"{self.name}: "

    def _where(self, use: ImageUse) -> str:
        first, *rest = use.way or ("",)
        if rest:
            first = f"{first}: {rest[0]}"
            first += f" ({', '.join(rest[1:])})" if rest[1:] else ""
        return self._place(use.line) + first

    @property
    def _context(self) -> str:
        return self.task.step.context if self.task.step is not None else ""

    def _folder(self) -> str:
        """Return where the context's root is in its repository, for a person."""
        try:
            return str(getattr(parse_context(self._context), "folder", ""))
        except SourceUnavailable:
            return ""

    def _effects(self) -> Effects:
        run, platform, folder = self._run(), self.task.platform, self._folder()
        match self.task.step:
            case DockerStep() as step:

                def effects_of(given: DockerStep) -> Effects:
                    return read_docker_step(
                        given, self._file, run=run, platform=platform, folder=folder
                    )

                return self._sure(step, effects_of)
            case EncodedStep() as step:
                self.name = _OWN_FILE
                content, values_content = step.content(), step.values_content()
            case FileStep() as step:
                self.name = step.task_file
                read = self.context.sources.read(step.context, step.task_file)
                self.revision = read.revision
                content, values_content = read.content, b""
                if step.values_file:
                    values_content = self.context.sources.read(
                        step.context, step.values_file
                    ).content
            case _:
                what = "is of a kind that is not known" if self.task.has_step else "builds nothing"
                raise SourceUnavailable(f"the task's step {what}")
        return read_task_file(
            content,
            self._file,
            values_content=values_content,
            values={v.name: v.value for v in step.values if v.value is not None},
            hidden=[v.name for v in step.values if v.value is None],
            run=run,
            platform=platform,
            folder=folder,
        )

    def _sure(self, step: DockerStep, read: Callable[[DockerStep], Effects]) -> Effects:
        """Read what a step builds, with what ARM may not show of it in mind.

        ACR's record of the last run confirms it; ARM is asked only where that does not.
        """
        effects = read(step)
        names = may_be_hidden(step, effects)
        if not names:
            return effects
        doubtful = read(with_hidden(step, names, surely=False))
        images = depending(effects, doubtful)
        if images <= {dependency.reference for dependency in self.task.dependencies}:
            return effects
        try:
            secret = self.context.tasks.secrets(self.task.id)
        except Denied as error:
            log.info("task %s: its secret arguments are not known: %s", self.task.id, error)
            return doubtful
        given = [name for name in names if name in secret]
        return read(with_hidden(step, given, surely=True)) if given else effects

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

    def _file(self, context: str, path: str) -> bytes:
        """Return a file of a context; see ReadFile. It is read once."""
        key = (context, path)
        if key not in self._read:
            try:
                found = self.context.sources.read(context or self._context, path)
                self._read[key] = found.content
                self.revision = self.revision or found.revision
            except PermanentError as error:
                self._read[key] = str(error)
            except TransientError as error:
                self._read[key] = self._not_now(error)
        known = self._read[key]
        if isinstance(known, str):
            raise SourceUnavailable(known)
        return known

    def _not_now(self, error: TransientError) -> str:
        log.warning("task %s: its build file cannot be read now: %s", self.task.id, error)
        self.failure = self.failure or error
        return f"not reachable now: {error}"


class _Image(Struct):
    """The image that the last successful run of a task pushed."""

    context: Context
    task: Task
    known: tuple[Dependency, ...]
    failure: TransientError | None = None
    last_run: Run | None = None
    gone: list[ImageReference] = field(default_factory=list)

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
        for dependency in self.known:
            reference = dependency.reference
            if dependency.kind in (Kind.FRONTEND, Kind.TOOL):
                continue
            if self.context.base_registry(reference.domain) is None:
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
                elif wanted == reference.tag:
                    self.gone.append(reference)


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
