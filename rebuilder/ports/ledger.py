"""What the use cases need from outside. Adapters: `azure`, `sqlite`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from rebuilder.core.acr.access import Permission, PullAccess
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import PushedRegistry, Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Run, Task
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.reasons import Decision
from rebuilder.core.dependencies.evidence import ImageContent, TaskView
from rebuilder.core.dependencies.index import IndexedTask, Sweep
from rebuilder.core.doctor.setup import (
    EventSubscription,
    RegistrySetup,
    RoleDefinition,
    Site,
    Topic,
)
from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import RebuilderError

type Clock = Callable[[], datetime]
"""The time, with its zone."""


class PushRecord(Struct, frozen=True):
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


class FirstDelivery(Struct, frozen=True):
    """A push, and when it was first delivered."""

    push: Push
    at: datetime


class IgnoredRecord(Struct, frozen=True):
    """An event that started nothing, as the ledger knows it."""

    code: str
    sentence: str
    source: str
    subject: str
    first_at: datetime
    last_at: datetime
    deliveries: int


class DecisionRecord(Struct, frozen=True):
    """A decision as the ledger knows it; the same decision again moves `last_at` only."""

    decision: Decision
    first_at: datetime
    last_at: datetime


class Retired(Struct, frozen=True):
    """What came of a step through what is kept.

    Attributes:
        removed: How many records were removed.
        place: Where the next step goes on, in the store's own words; "" if all was looked at.
    """

    removed: int
    place: str


class Ledger(Protocol):
    """The product's memory: what was pushed, what was decided, what was rebuilt.

    Every method raises TransientError if the store cannot be reached.
    """

    def record_events(self, events: Sequence[Push | Ignored], at: datetime) -> None:
        """Remember that events were delivered, in as few requests as the store takes.

        A push is unplanned from then on; of an event that starts nothing, the reason is kept.
        Whatever interrupts this, the same events recorded again make it whole.
        """

    def record_push(self, push: Push, at: datetime) -> None:
        """Remember that `push` was delivered, as `record_events` does."""

    def record_ignored(self, ignored: Ignored, at: datetime) -> None:
        """Remember that an event started nothing, and why, as `record_events` does."""

    def record_decisions(self, push: Push, decisions: Sequence[Decision], at: datetime) -> None:
        """Remember decisions of one push; an equal one is not repeated."""

    def planned(self, push: Push) -> None:
        """Remember that what a push leads to is decided, until it is delivered again."""

    def unplanned(self) -> list[PushRecord]:
        """Return the pushes that were delivered and not planned since, oldest first."""

    def push(self, key: str) -> PushRecord | None:
        """Return one push, by `Push.key`."""

    def pushes(
        self, registry: PushedRegistry, repository: str, tag: str, limit: int = 20
    ) -> list[PushRecord]:
        """Return at most `limit` pushes of a tag, the one that was delivered last first."""

    def pushes_of(
        self, registry: PushedRegistry, repository: str, digest: str, limit: int = 20
    ) -> list[PushRecord]:
        """Return at most `limit` pushes of a digest, the one that was delivered last first."""

    def pushes_between(self, since: datetime, until: datetime) -> list[FirstDelivery]:
        """Return the pushes first delivered in a time span, oldest first; reads its days only.

        Of a day that is retired, what was delivered again since may be missing.
        """

    def ignored(self, source: str, repository: str, limit: int = 20) -> list[IgnoredRecord]:
        """Return at most `limit` ignored events, newest first.

        Args:
            source: Their topic, a resource id; in any case.
            repository: What their subject is about; see `core.events.repository_of`.
            limit: How many at most.
        """

    def decisions(self, push: Push, task: TaskId | None = None) -> list[DecisionRecord]:
        """Return the decisions of a push, oldest first; those about one task, if it is named."""

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

    def rebuilds(self, task: TaskId, limit: int = 20, before: int | None = None) -> list[Rebuild]:
        """Return at most `limit` rebuilds of a task, newest first.

        Args:
            task: The task.
            limit: How many at most.
            before: Only those of a lower sequence.
        """

    def newest_success(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task that succeeded."""

    def unsettled(self, *, tidy: bool = False) -> list[Rebuild]:
        """Return every rebuild that something is still to happen to; see `Rebuild.unsettled`.

        Whatever interrupts `claim` and `save`, none is missing.

        Args:
            tidy: Whether to remove what a process that died has left behind, as a sweep does; a
                question changes nothing.
        """

    def unsettled_after(self, task: TaskId) -> list[Rebuild]:
        """Return the unsettled rebuilds that rebuilds of a task led to: it is in their `chain`."""

    def producer(self, image: str) -> Rebuild | None:
        """Return the newest rebuild whose run pushed an image, by a reference with tag and digest.

        Known of a rebuild from when it is saved with `output_images`.
        """

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what is old; a step takes seconds at most.

        Args:
            before: What was last told, decided or over before that is old; of rebuilds
                `core.history.may_go` says more.
            place: Where the step before ended; "" for the beginning.
        """

    def close(self) -> None:
        """Close the connections."""


class Bookmarks(Protocol):
    """Named places in long work, which instances share.

    Every method raises TransientError if the store cannot be reached.
    """

    def read(self, name: str) -> Bookmark:
        """Return a bookmark; one of version 0 if it was never saved."""

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Store a change of a bookmark.

        Args:
            bookmark: The changed bookmark, with the version that it was made from.

        Returns:
            The bookmark as stored, with the next version.

        Raises:
            Conflict: The stored one has another version.
        """

    def retire(self, now: datetime, place: str) -> Retired:
        """Forget some of what is kept until `now` only; see `Ledger.retire`."""

    def close(self) -> None:
        """Close the connections."""


class DeadLetters(Protocol):
    """What could not be worked off, and why.

    Every method raises TransientError if the store cannot be reached.
    """

    def record_failure(self, queue: str, body: str, reason: str, at: datetime) -> None:
        """Remember why a message could not be worked off; the last reason counts."""

    def failure(self, queue: str, body: str) -> str | None:
        """Return the last reason why a message could not be worked off."""

    def record(self, letter: DeadLetter) -> None:
        """Keep a dead letter; one that is known, and was not replayed since, stays as it is."""

    def all(self) -> list[DeadLetter]:
        """Return every dead letter, oldest first."""

    def waiting(self) -> list[DeadLetter]:
        """Return the dead letters that nobody has replayed, oldest first."""

    def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter."""

    def mark_replayed(self, letter_id: str, at: datetime) -> None:
        """Remember that a dead letter was replayed; nothing happens if it is not known."""

    def remove(self, letter_id: str) -> None:
        """Forget a dead letter for good; nothing happens if it is not known."""

    def retire(self, before: datetime, place: str) -> Retired:
        """Forget some of what failed or was replayed before a time; see `Ledger.retire`."""

    def close(self) -> None:
        """Close the connections."""


class PoisonMessage(Struct, frozen=True):
    """A message that the Functions host gave up, hidden from others for a while.

    Attributes:
        queue: The queue that it was meant for.
        body: The message as it was sent.
        at: When the host gave it up.
        handle: What `WorkQueue.forget` knows it by.
        encoded: Whether it was written as the host reads messages; else no function ever saw it.
    """

    queue: str
    body: str
    at: datetime
    handle: tuple[str, str]
    encoded: bool = True


class WorkQueue(Protocol):
    """The queues between the functions; a message is delivered at least once."""

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue; nobody sees it before `delay` has passed.

        It is put off for `core.messages.LONGEST_DELAY` at most, which is all that Azure allows.

        Raises:
            TransientError: The store cannot be reached.
            Refused: It is larger than `core.messages.MOST_BYTES`.
        """

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue.

        Raises:
            TransientError: The store cannot be reached; some of them may be in the queue.
            Refused: One is larger than `core.messages.MOST_BYTES`; none is in the queue.
        """

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return some of the messages that the host gave up, from the queue's poison queue.

        Raises:
            TransientError: The store cannot be reached.
        """

    def forget(self, message: PoisonMessage) -> None:
        """Delete a message from its poison queue; nothing happens if somebody else has it.

        Raises:
            TransientError: The store cannot be reached.
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


class TaskPage(Struct, frozen=True):
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

    def close(self) -> None:
        """Close the connections."""


class Preflight(Protocol):
    """What Azure tells of a set-up, asked by a person.

    Every method raises Throttled, another TransientError, Denied or NotFound.
    """

    def tokens(self) -> list[tuple[str, RebuilderError]]:
        """Ask for a token for each service; return those that gave none, with the reason."""

    def caller(self) -> str:
        """Return the object id of who asks."""

    def principal(self, name: str) -> str:
        """Return an identity's object id.

        Args:
            name: The object id itself, or the resource id of a user-assigned identity or of a
                resource that has one identity.
        """

    def registry(self, registry: RegistryId) -> RegistrySetup:
        """Read how a registry is set up."""

    def permissions(self, scope: str, principal: str) -> list[Permission]:
        """Return what an identity holds at a scope, by its assignments there and above.

        Args:
            scope: A resource id.
            principal: The identity's object id; "" for the caller.
        """

    def permissions_below(self, scope: str, principal: str) -> list[Permission]:
        """Return the same, with what is held at parts of the resource only."""

    def roles(self, scope: str) -> list[RoleDefinition]:
        """Return the roles that may be assigned at a scope."""

    def topics(self, registry: RegistryId) -> list[Topic]:
        """Return the system topics of a registry; Azure allows one."""

    def subscriptions(
        self, registry: RegistryId, topics: Sequence[Topic]
    ) -> list[EventSubscription]:
        """Return the subscriptions to a registry's events, made on it or on its topics."""

    def site(self, resource_id: str) -> Site:
        """Read a function app."""

    def functions(self, site: str) -> list[str]:
        """Return the names of a function app's functions."""

    def storage_account(self, subscription: str, name: str) -> str | None:
        """Return the resource id of a subscription's storage account; None if it has none."""

    def has_container(self, account: str, container: str) -> bool:
        """Tell whether a storage account has a container."""

    def peek(self) -> None:
        """Look into every queue, without taking anything."""

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


class SourceFile(Struct, frozen=True):
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


class Seen(Struct, frozen=True):
    """What a foreign registry answered about a tag.

    Attributes:
        digest: What the tag names; None if there is no such tag.
        etag: What to show the registry next time, so that it need not answer in full; "" if it
            gave nothing.
        wait: How long the registry asks not to be asked again; zero if it does not.
    """

    digest: str | None
    etag: str = ""
    wait: timedelta = timedelta()


class ForeignRegistries(Protocol):
    """Public and other registries that send no events, by the OCI distribution protocol."""

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag names now, without pulling anything.

        Args:
            reference: The tag.
            known: What was seen last, if anything: the answer may be that it is still so.

        Raises:
            Throttled: The registry asks to wait; with how long.
            TransientError: It did not answer.
            Denied: It wants credentials, or refuses those that it was shown.
            Refused: The host may not be asked, or does not speak the protocol.
        """

    def close(self) -> None:
        """Close the connections."""


class DeadEvents(Struct, frozen=True):
    """A blob of events that Event Grid could not deliver.

    Attributes:
        name: The blob's name.
        content: Its bytes: a JSON array of events, each with why it is there.
    """

    name: str
    content: bytes


class DeadEventStore(Protocol):
    """Where Event Grid puts what it could not deliver."""

    def read(self) -> list[DeadEvents]:
        """Return some of the blobs; none if there is no such place.

        Raises:
            TransientError, Denied: The store could not be read.
        """

    def forget(self, name: str) -> None:
        """Delete a blob; nothing happens if it is gone.

        Raises:
            TransientError, Denied: The store could not be reached.
        """

    def close(self) -> None:
        """Close the connections."""
