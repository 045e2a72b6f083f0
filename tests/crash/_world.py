"""A small ARM and registries whose state is in files: it outlives the process that changed it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rebuilder.core.acr.access import PullAccess
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import MANUAL, Dependency, DockerStep, Kind, Run, RunStatus, Task
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.errors import Denied, NotFound, SourceUnavailable
from rebuilder.ports.acr import TaskPage
from rebuilder.ports.dead_letters import DeadEvents
from rebuilder.ports.foreign import Seen
from rebuilder.ports.sources import SourceFile

BASE = RegistryId("s1", "g", "mybase")
APPS = RegistryId("s1", "g", "myapps")
OLD, NEW = (f"sha256:{letter * 64}" for letter in "ab")
NODE = "mybase.azurecr.io/images/node:9"
ALPINE = "docker.io/library/alpine:3"
ONES = "myapps.azurecr.io/apps/one:latest"
TASKS = {TaskId(APPS, "one"): (NODE,), TaskId(APPS, "two"): (NODE, ALPINE)}
START = datetime(2026, 3, 1, tzinfo=UTC)
_BUILD = timedelta(seconds=40)


@dataclass
class Azure:
    """Everything of Azure that the functions ask."""

    folder: Path
    now: datetime = START

    # A wave: the second task stands on what the first one pushes, whose first run fails.

    def have_wave(self) -> None:
        """Make the tasks two of a wave, of which the first one fails at first."""
        (self.folder / "wave").touch()

    @property
    def wave(self) -> bool:
        """Whether they are."""
        return (self.folder / "wave").exists()

    # Tasks

    def _lines(self) -> list[dict[str, str]]:
        file = self.folder / "runs"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def scheduled(self, task: TaskId) -> int:
        """Return how many runs a task was given."""
        return sum(line["task"] == task.name for line in self._lines())

    def began(self, task: TaskId) -> datetime:
        """Return when the first run of a task began."""
        times = [line["at"] for line in self._lines() if line["task"] == task.name]
        return datetime.fromisoformat(min(times))

    def most_at_once(self) -> int:
        """Return how many runs went on at once at most."""
        times = [datetime.fromisoformat(line["at"]) for line in self._lines()]
        return max(sum(other <= at < other + _BUILD for other in times) for at in times)

    def registry(self, registry: RegistryId) -> Registry:
        """Read a registry."""
        return Registry(registry, f"{registry.name}.azurecr.io")

    def tasks(self, registry: RegistryId) -> Iterable[Task]:
        """Read every task."""
        del registry
        return [self.task(task) for task in TASKS]

    def page(self, registry: RegistryId, after: str = "") -> TaskPage:
        """Read the tasks, one by one."""
        del registry
        rest = [task for task in TASKS if task.name > after]
        return TaskPage((self.task(rest[0]),), (), rest[0].name if len(rest) > 1 else None)

    def task(self, task: TaskId, age: timedelta = timedelta()) -> Task:
        """Read a task; its record changes when its run is over."""
        del age
        if task not in TASKS:
            raise NotFound(str(task))
        runs = self.runs(task.registry, task=task.name, top=99)
        built = NEW if any(run.status is RunStatus.SUCCEEDED for run in runs) else OLD
        kinds = (Kind.RUNTIME, Kind.BUILD_TIME)
        names = (NODE, ONES) if self.wave and task.name == "two" else TASKS[task]
        dependencies = tuple(
            Dependency(ImageReference.parse(name), kind, OLD if name == ONES else built)
            for name, kind in zip(names, kinds, strict=False)
        )
        step = DockerStep(
            "https://github.com/o/a.git", "Dockerfile", images=(f"apps/{task.name}:latest",)
        )
        # Enabled, with a step.
        return Task(task, True, True, None, dependencies, step=step if self.wave else None)  # noqa: FBT003

    def schedule(self, task: TaskId, token: str) -> str:
        """Start a run."""
        line = {"task": task.name, "token": token, "at": self.now.isoformat()}
        with (self.folder / "runs").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return f"ca{len(self._lines())}"

    def run(self, registry: RegistryId, run_id: str) -> Run:
        """Read a run."""
        for run in self.runs(registry, top=99):
            if run.run_id == run_id:
                return run
        raise NotFound(run_id)

    def secrets(self, task: TaskId) -> frozenset[str]:
        """Read the names of secret arguments: no task has any."""
        del task
        return frozenset()

    def log_end(self, registry: RegistryId, run_id: str) -> str:
        """Read the end of a run's log: no run of these fails."""
        raise NotFound(f"{registry} {run_id}: it has no log")

    def runs(self, registry: RegistryId, *, task: str | None = None, top: int) -> list[Run]:
        """Read the newest runs."""
        del registry
        found, seen = [], set[str]()
        for number, line in enumerate(self._lines(), 1):
            at = datetime.fromisoformat(line["at"])
            over = self.now >= at + _BUILD
            first = self.wave and line["task"] == "one" and "one" not in seen
            seen.add(line["task"])
            ends = RunStatus.FAILED if first else RunStatus.SUCCEEDED
            if task in (None, line["task"]):
                found.append(
                    Run(
                        f"ca{number}",
                        line["task"],
                        ends if over else RunStatus.RUNNING,
                        "Linux",
                        MANUAL,
                        at,
                        at,
                        at + _BUILD if over else None,
                        (),
                        line["token"],
                        None,
                    )
                )
        return found[::-1][:top]

    # Registries, sources, access

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return what a tag names."""
        digests = {NODE: NEW, ONES: OLD} if self.wave else {NODE: NEW}
        return digests.get(f"{login_server}/{repository}:{tag}")

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest came."""
        del repository, digest
        if not login_server.endswith(".azurecr.io"):
            raise Denied(f"{login_server} is none of Azure's")
        return START - timedelta(minutes=1)

    def tagged(self, login_server: str, repository: str, tag: str, digest: str) -> datetime | None:
        """Return when a tag was last written: never but once."""
        del tag
        return self.created(login_server, repository, digest)

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """No image is known."""
        del login_server, repository, reference, platform
        return None

    def pull(self, registry: RegistryId, principal: str) -> PullAccess:
        """Everybody may pull."""
        del registry, principal
        return PullAccess(True, "AcrPull")  # noqa: FBT003 - allowed

    def read_source(self, context: str, path: str) -> SourceFile:
        """No build file can be read."""
        raise SourceUnavailable(f"{path} of {context}")

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag of a foreign registry names."""
        del known
        return Seen(NEW if str(reference) == ALPINE else None)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Sources:
    """Build files, none of which can be read."""

    azure: Azure

    def read(self, context: str, path: str) -> SourceFile:
        """Read a file."""
        return self.azure.read_source(context, path)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class DeadEventBlobs:
    """Event Grid's dead letters, as files."""

    folder: Path

    def read(self) -> list[DeadEvents]:
        """Return the blobs."""
        files = sorted(self.folder.glob("*.blob"))
        return [DeadEvents(file.name, file.read_bytes()) for file in files]

    def forget(self, name: str) -> None:
        """Delete a blob."""
        (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing."""
