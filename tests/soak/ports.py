"""The simulated Azure behind the product's ports, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import replace
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from rebuilder.core.acr.access import PullAccess
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import (
    IMAGE_UPDATE,
    MANUAL,
    Dependency,
    DockerStep,
    Kind,
    Run,
    RunStatus,
    Task,
    TriggerType,
)
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.errors import Denied, NotFound, Refused, SourceUnavailable
from rebuilder.ports.acr import TaskPage
from rebuilder.ports.dead_letters import DeadEvents
from rebuilder.ports.foreign import Seen
from rebuilder.ports.sources import SourceFile
from tests.soak.azure import HOSTS, Azure, SimRun, SimTask

if TYPE_CHECKING:
    from datetime import datetime

_TRIGGERS = {"product": MANUAL, "native": IMAGE_UPDATE, "commit": "Commit"}
_PAGE = 5


def _task(task: SimTask) -> Task:
    names = dict.fromkeys(task.record)
    first = next(iter(names), "")
    dependencies = tuple(
        Dependency(
            ImageReference.parse(name),
            Kind.RUNTIME if name == first else Kind.BUILD_TIME,
            task.record[name],
        )
        for name in names
        if task.record[name]
    )
    return Task(
        task.id,
        task.enabled,
        True,  # noqa: FBT003 - has a step
        TriggerType.ALL if task.native else None,
        dependencies,
        step=DockerStep(
            f"https://github.com/o/{task.id.name}.git#main",
            "Dockerfile",
            images=(f"apps/{task.id.name}:latest",),
        ),
        native_trigger=task.native,
        other_triggers=task.triggers,  # every edit is a commit that starts a run
    )


@dataclass
class SimTasks:
    """ARM."""

    azure: Azure
    lists: dict[RegistryId, tuple[datetime, dict[TaskId, Task]]] = field(default_factory=dict)

    def registry(self, registry: RegistryId) -> Registry:
        """Read a registry."""
        return Registry(registry, f"{registry.name}.azurecr.io")

    def _there(self, registry: RegistryId) -> list[SimTask]:
        found = [t for t in self.azure.tasks.values() if t.exists and t.id.registry == registry]
        return sorted(found, key=lambda task: task.id.name)

    def tasks(self, registry: RegistryId) -> Iterable[Task]:
        """Read the tasks of a registry."""
        return [_task(task) for task in self._there(registry)]

    def page(self, registry: RegistryId, after: str = "") -> TaskPage:
        """Read some of the tasks of a registry."""
        rest = [task for task in self._there(registry) if task.id.name > after]
        first = rest[:_PAGE]
        more = first[-1].id.name if len(rest) > _PAGE else None
        return TaskPage(tuple(map(_task, first)), (), more)

    def task(self, task: TaskId, age: timedelta = timedelta()) -> Task:
        """Read a task; if it may be older, off a list that is kept for as long as it is good."""
        if age > timedelta():
            began, listed = self.lists.get(task.registry, (self.azure.now, {}))
            if not listed or self.azure.now - began > age:
                began, listed = self.azure.now, {t.id: t for t in self.tasks(task.registry)}
                self.lists[task.registry] = began, listed
            if task in listed and self.azure.now > began:
                return replace(listed[task], age=self.azure.now - began)
        found = self.azure.tasks.get(task)
        if found is None or not found.exists:
            raise NotFound(f"{task} is not there")
        return _task(found)

    def schedule(self, task: TaskId, token: str) -> str:
        """Start a run."""
        found = self.azure.tasks.get(task)
        if found is None or not found.exists:
            raise NotFound(f"{task} is not there")
        if not found.enabled or found.scheduling_refused:
            raise Refused("TaskDisabled", f"{task} is disabled")
        return self.azure.schedule(found, "product", token=token).run_id

    def run(self, registry: RegistryId, run_id: str) -> Run:
        """Read a run."""
        if (registry, run_id) not in self.azure.runs:
            raise NotFound(f"{run_id} is not there")
        return self._run(self.azure.runs[registry, run_id])

    def runs(self, registry: RegistryId, *, task: str | None = None, top: int) -> list[Run]:
        """Read the newest runs."""
        self.azure.listed += task is not None
        found = [
            self._run(run)
            for (where, _), run in self.azure.runs.items()
            if where == registry and task in (None, run.task.name)
        ]
        return found[::-1][:top]

    def secrets(self, task: TaskId) -> frozenset[str]:
        """Read the names of secret arguments: no task has any."""
        del task
        return frozenset()

    def log_end(self, registry: RegistryId, run_id: str) -> str:
        """Read the end of a run's log."""
        del registry
        return f"Run ID: {run_id} failed after 1s. Error: failed during run, err: exit status 1"

    def _run(self, run: SimRun) -> Run:
        return Run(
            run.run_id,
            run.task.name,
            run.status,
            "Linux",
            _TRIGGERS[run.by],
            run.created,
            run.started,
            run.finished,
            (run.output,) if run.output else (),
            run.token if self.azure.shows_tokens else None,
            None if run.status is not RunStatus.FAILED else "exit status 1",
            (run.moved,) if run.moved else (),
        )

    def close(self) -> None:
        """Do nothing."""


@dataclass
class SimImages:
    """Registries of Azure."""

    azure: Azure

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return what a tag names."""
        if login_server not in HOSTS:
            raise Denied(f"{login_server} is none of Azure's")
        return self.azure.tags.get(f"{login_server}/{repository}:{tag}")

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest came."""
        if login_server not in HOSTS:
            raise Denied(f"{login_server} is none of Azure's")
        return self.azure.came.get((f"{login_server}/{repository}", digest))

    def tagged(self, login_server: str, repository: str, tag: str, digest: str) -> datetime | None:
        """Return when a tag was last written."""
        name = f"{login_server}/{repository}:{tag}"
        if login_server not in HOSTS:
            raise Denied(f"{login_server} is none of Azure's")
        return self.azure.written[name] if self.azure.tags.get(name) == digest else None

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of: it is annotated with what it was built on."""
        del platform
        if login_server not in HOSTS:
            raise Denied(f"{login_server} is none of Azure's")
        name = f"{login_server}/{repository}"
        tagged = self.azure.tags.get(f"{name}:{reference}", reference)
        if (name, tagged) not in self.azure.came:
            return None
        run = self.azure.makers.get(f"{name}:latest@{tagged}")
        if run is not None:
            base, digest = next(iter(run.pulled.items()))
            return ImageContent(tagged, tagged, base, digest or "")
        return ImageContent(tagged, tagged)

    def close(self) -> None:
        """Do nothing."""


class SimAccess:
    """Everybody may pull."""

    def pull(self, registry: RegistryId, principal: str) -> PullAccess:
        """Tell whether an identity may pull."""
        del registry, principal
        return PullAccess(True, "AcrPull")  # noqa: FBT003 - allowed

    def close(self) -> None:
        """Do nothing."""


@dataclass
class SimSources:
    """GitHub."""

    azure: Azure

    def read(self, context: str, path: str) -> SourceFile:
        """Read a Dockerfile."""
        name = context.partition("/o/")[2].partition(".git")[0]
        for task in self.azure.tasks.values():
            if task.id.name == name and path == "Dockerfile":
                first, *others = task.bases
                lines = [f"FROM {first}", *(f"COPY --from={other} /a /a" for other in others)]
                return SourceFile("\n".join(lines).encode(), "c0ffee", context)
        raise SourceUnavailable(f"{path} of {context}")

    def close(self) -> None:
        """Do nothing."""


@dataclass
class SimForeign:
    """Docker Hub and the like."""

    azure: Azure

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag names."""
        del known
        digest = self.azure.tags.get(str(reference))
        return Seen(digest, digest or "", timedelta())

    def close(self) -> None:
        """Do nothing."""


class SimDeadEvents:
    """Blobs by name."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def read(self) -> list[DeadEvents]:
        """Return the blobs."""
        return [DeadEvents(name, content) for name, content in sorted(self.blobs.items())]

    def forget(self, name: str) -> None:
        """Delete a blob."""
        self.blobs.pop(name, None)

    def close(self) -> None:
        """Do nothing."""


class Faulty:
    """A port that goes wrong as its guard says, before and after each call's effect."""

    def __init__(self, port: object, kind: str, guard: Callable[[str, str, bool], None]) -> None:
        self._port = port
        self._kind = kind
        self._guard = guard

    def __getattr__(self, name: str) -> object:
        method = getattr(self._port, name)
        if name == "close":
            return method

        def call(*args: object, **options: object) -> object:
            self._guard(self._kind, name, False)  # noqa: FBT003 - before the effect
            answer = method(*args, **options)
            self._guard(self._kind, name, True)  # noqa: FBT003 - after the effect
            return answer

        return call
