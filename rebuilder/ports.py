"""What the use cases need from outside. Adapters: `azure`, `sqlite`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from rebuilder.core.access import PullAccess
from rebuilder.core.decisions import Decision
from rebuilder.core.events import Ignored, Push
from rebuilder.core.evidence import ImageContent, TaskView
from rebuilder.core.index import IndexedTask, Sweep
from rebuilder.core.rebuilds import Rebuild
from rebuilder.core.registries import Registry, RegistryId, TaskId
from rebuilder.core.tasks import Run, Task

type Clock = Callable[[], datetime]
"""The time, with its zone."""


@dataclass(frozen=True, slots=True)
class PushRecord:
    """A push as the ledger knows it.

    Attributes:
        push: The push, with the time and event of its first delivery.
        first_at: When it was first delivered.
        last_at: When it was last delivered.
        deliveries: How often it was delivered.
    """

    push: Push
    first_at: datetime
    last_at: datetime
    deliveries: int


@dataclass(frozen=True, slots=True)
class IgnoredRecord:
    """An event that started nothing, as the ledger knows it."""

    code: str
    sentence: str
    source: str
    subject: str
    first_at: datetime
    last_at: datetime
    deliveries: int


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision as the ledger knows it; the same decision again moves `last_at` only."""

    decision: Decision
    first_at: datetime
    last_at: datetime


class Ledger(Protocol):
    """The product's memory: what was pushed, what was decided, what was rebuilt.

    Every method raises TransientError if the store cannot be reached.
    """

    def record_push(self, push: Push, at: datetime) -> None:
        """Remember that `push` was delivered."""

    def record_ignored(self, ignored: Ignored, at: datetime) -> None:
        """Remember that an event started nothing, and why."""

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions of one push; an equal one is not repeated."""

    def pushes(self, registry: RegistryId, repository: str) -> list[PushRecord]:
        """Return the pushes to a repository, newest first."""

    def ignored(self, source: str) -> list[IgnoredRecord]:
        """Return the ignored events of a source (topic, resource id; in any case), newest first."""

    def decisions(self, push: Push) -> list[DecisionRecord]:
        """Return the decisions of a push, oldest first."""

    def head(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task."""

    def heads(self, tasks: Collection[TaskId]) -> dict[TaskId, Rebuild]:
        """Return the newest rebuild of each of many tasks; one without rebuilds is left out."""

    def claim(self, rebuild: Rebuild) -> bool:
        """Store a new rebuild if it is the task's next.

        Returns:
            Whether it was stored: False if the task has a rebuild of this sequence already. Of
            any number of callers with the same task and sequence, one gets True.
        """

    def save(self, rebuild: Rebuild) -> Rebuild:
        """Store a change of a rebuild.

        Args:
            rebuild: The changed record, with the version of the record that it was made from.

        Returns:
            The record as stored, with the next version.

        Raises:
            Conflict: The stored record has another version.
        """

    def rebuild(self, task: TaskId, sequence: int) -> Rebuild | None:
        """Return one rebuild of a task."""

    def rebuilds(self, task: TaskId) -> list[Rebuild]:
        """Return the rebuilds of a task, newest first."""

    def close(self) -> None:
        """Close the connections."""


class WorkQueue(Protocol):
    """The queues between the functions; a message is delivered at least once."""

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; nobody sees it before `delay` has passed.

        Raises:
            TransientError: The store cannot be reached.
        """

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue.

        Raises:
            TransientError: The store cannot be reached; some of them may be in the queue.
        """

    def close(self) -> None:
        """Close the connections."""


class DependencyIndex(Protocol):
    """Who is built on a repository, answered without asking ARM.

    A task's view is written under the task and under each repository that it names. Whatever
    interrupts that, the next refresh of the task mends it; until then a task may stand under a
    repository too many, but not under one too few that it stood under before.

    Every method raises TransientError if the store cannot be reached.
    """

    def dependents(self, repository: str) -> list[IndexedTask]:
        """Return the tasks that name a repository; reads that repository's partition only.

        Args:
            repository: Registry and path, as `ImageReference.repository` gives them.
        """

    def view(self, task: TaskId) -> IndexedTask | None:
        """Return what is known of a task."""

    def views(self, registry: RegistryId) -> list[IndexedTask]:
        """Return what is known of every task of a registry."""

    def replace(self, view: TaskView, at: datetime) -> bool:
        """Store what is known of a task.

        Args:
            view: What is known.
            at: When reading its sources began.

        Returns:
            Whether it was stored: False if what is stored was read later.
        """

    def replace_many(self, views: Sequence[IndexedTask]) -> None:
        """Store what is known of many tasks, as `replace` does."""

    def remove(self, task: TaskId, at: datetime) -> bool:
        """Forget a task that was found to be gone.

        Args:
            task: The task.
            at: When it was looked for.

        Returns:
            Whether it is forgotten: False if what is stored was read later.
        """

    def unseen(self, registry: RegistryId, since: datetime) -> list[TaskId]:
        """Return the tasks of a registry whose sources were last read before `since`."""

    def refreshed(self, registry: RegistryId) -> datetime | None:
        """Return when the last complete sweep of a registry began; None if there was none."""

    def refreshes(self) -> dict[RegistryId, datetime]:
        """Return the same for every registry that was ever swept."""

    def mark_refreshed(self, registry: RegistryId, at: datetime) -> None:
        """Remember that a sweep which began at `at` is complete; the newest one counts."""

    def sweep(self, registry: RegistryId) -> Sweep | None:
        """Return the sweep of a registry that is not complete."""

    def save_sweep(self, sweep: Sweep) -> None:
        """Remember how far a sweep has come, so that anybody can go on."""

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some of the tasks of a registry.

    Attributes:
        tasks: Tasks with their dependencies.
        brief: Tasks whose dependencies the list leaves out; they are to be read one by one.
        after: What gives the next page; None after the last one.
    """

    tasks: tuple[Task, ...]
    brief: tuple[TaskId, ...] = ()
    after: str | None = None


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

    def task(self, task: TaskId) -> Task:
        """Read one task."""

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


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a build context.

    Attributes:
        content: Its bytes.
        revision: The state of the context that was read: a commit, a digest, or "".
        address: The context without credentials, for a person.
    """

    content: bytes
    revision: str
    address: str


class BuildSources(Protocol):
    """The files of build contexts, wherever ACR Tasks takes them from."""

    def read(self, context: str, path: str) -> SourceFile:
        """Read a file of a context.

        Args:
            context: The context as a task names it: a git address with `#branch:folder`, a
                tarball's address, an OCI artifact, or a path of ACR's own upload store.
            path: The file, relative to the context.

        Raises:
            SourceUnavailable: It cannot be had: not there, not allowed, too large, uploaded.
            TransientError: Its host did not answer.
        """

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
