"""Azure Container Registry: tasks and runs, images, and who may do what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct, field

from rebuilder.core.acr.access import PullAccess
from rebuilder.core.acr.registries import Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Run, Task
from rebuilder.core.dependencies.evidence import ImageContent

NEWEST_RUNS = 20
"""So many of the newest runs are looked at: more than begin while one waits or is claimed."""

LATELY = timedelta(seconds=5)
"""How old an answer about tasks may be where many are asked for at once: as far as the clocks of
Azure and ours may differ, so that nobody who compares their times is told less."""


class TaskPage(Struct, frozen=True):
    """Some of the tasks of a registry.

    Attributes:
        tasks: Tasks with their dependencies.
        brief: Tasks whose dependencies the list leaves out; they are to be read one by one.
        after: What gives the next page; None after the last one.
        written: When each of them was last written, runs aside, as far as the list tells.
    """

    tasks: tuple[Task, ...]
    brief: tuple[TaskId, ...] = ()
    after: str | None = None
    written: Mapping[TaskId, datetime] = field(default_factory=dict)


class LogPart(Struct, frozen=True):
    """A part of a run's log.

    Attributes:
        text: Whole lines, some kilobytes of them, as ACR wrote them.
        place: What gives the part after it.
        more: Whether there is more to be read at once.
        complete: Whether nothing will come after it.
        left_out: How many bytes before it were left out, because the log is so long.
    """

    text: str
    place: str
    more: bool = False
    complete: bool = False
    left_out: int = 0


class Tasks(Protocol):
    """ACR tasks and runs, through ARM.

    Every method raises Throttled, another TransientError, Denied, NotFound or Refused.
    """

    def registry(self, registry: RegistryId) -> Registry:
        """Read a registry."""

    def tasks(self, registry: RegistryId) -> Iterable[Task]:
        """Read every task of a registry, with its dependencies."""

    def page(self, registry: RegistryId, after: str = "") -> TaskPage:
        """Read some of the tasks of a registry.

        Args:
            registry: The registry.
            after: The `after` of the page before; "" for the first one.
        """

    def task(self, task: TaskId, age: timedelta = timedelta()) -> Task:
        """Read one task.

        Args:
            task: The task.
            age: How long ago its registry may have been asked at most. If many are asked for, one
                list of the registry answers them all; the answer's `age` tells how old it is.
        """

    def secrets(self, task: TaskId) -> frozenset[str]:
        """Read the names of a task's secret build arguments, which other answers may leave out."""

    def schedule(self, task: TaskId, token: str) -> str:
        """Start a run of a task; sent once, never repeated by itself.

        Args:
            task: The task.
            token: The update trigger token that the run carries.

        Returns:
            The run's id.

        Raises:
            OutcomeUnknown: ARM gave no usable answer; a run may have been started.
        """

    def run(self, registry: RegistryId, run_id: str) -> Run:
        """Read one run."""

    def runs(self, registry: RegistryId, *, task: str | None = None, top: int) -> list[Run]:
        """Read the newest runs of a registry, or of one task of it, newest first."""

    def log_end(self, registry: RegistryId, run_id: str) -> str:
        """Read the end of a run's log: whole lines, some kilobytes of them, as ACR wrote them.

        What it holds is whatever a build printed. Raises SourceUnavailable, too, if ACR names an
        address that is none of Azure's storage.
        """

    def log_part(self, registry: RegistryId, run_id: str, place: str) -> LogPart:
        """Read a part of a run's log, which may still be written.

        What it holds is whatever a build printed. Raises NotFound if there is no log yet, and
        SourceUnavailable, too, as `log_end` does.

        Args:
            registry: The registry.
            run_id: The run.
            place: The `place` of the part before; "" for the beginning, or of a long log for what
                is not too far from its end.
        """

    def close(self) -> None:
        """Close the connections."""


class Access(Protocol):
    """Who may do what, through ARM.

    Every method raises Throttled, another TransientError, Denied or NotFound.
    """

    def pull(self, registry: RegistryId, principal: str) -> PullAccess:
        """Tell whether an identity, by its object id, may pull from a registry."""

    def close(self) -> None:
        """Close the connections."""


class Images(Protocol):
    """The images of a registry, through its own API.

    Every method raises Throttled, another TransientError, or Denied if the identity may not read
    the repository (or the registry's network rules keep it out).
    """

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return the digest that a tag names now; None if there is no such tag."""

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest first came to a repository; None if it is not there."""

    def tagged(self, login_server: str, repository: str, tag: str, digest: str) -> datetime | None:
        """Return when a tag was last written; None if it does not name the digest (any more).

        It names the digest since then at the latest. The same digest pushed again, or a lock put
        on the tag, may count as writing it.
        """

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of.

        Args:
            login_server: The registry.
            repository: The repository.
            reference: A tag or a digest.
            platform: Which image of an index is meant, as BuildKit writes it.

        Returns:
            None if the registry has no such image, or what is there is no image.
        """

    def close(self) -> None:
        """Close the connections."""
