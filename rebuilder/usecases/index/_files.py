"""What the build files of a task say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import replace

from msgspec import Struct, field

from rebuilder.core.acr.tasks import DockerStep, EncodedStep, FileStep, Kind, Task
from rebuilder.core.dependencies.build_files import ImageUse
from rebuilder.core.dependencies.contexts import parse_context
from rebuilder.core.dependencies.effects import Effects
from rebuilder.core.dependencies.evidence import Evidence, Said, Source
from rebuilder.core.dependencies.hidden import depending, may_be_hidden, with_hidden
from rebuilder.core.taskfile import RunContext, read_docker_step, read_task_file
from rebuilder.errors import Denied, PermanentError, SourceUnavailable, TransientError
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_OWN_FILE = "the task's own YAML"


class Files(Struct):
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
