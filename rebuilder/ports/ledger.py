"""The ledger: what was pushed, what was decided, what was rebuilt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from rebuilder.core.acr.registries import PushedRegistry, TaskId
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.rebuilds.rebuild import Rebuild


class PushRecord(Struct, frozen=True):
    """A push as the ledger knows it.

    Attributes:
        push: The push, with the time and event of its first delivery.
        first_at: When it was first delivered.
        last_at: When it was last delivered.
        deliveries: How often it was delivered.
        pushed_last: When it was pushed last, as its deliveries tell: an event that is delivered
            again tells the same time. None if version 0.2.0 counted the last delivery.
    """

    push: Push
    first_at: datetime
    last_at: datetime
    deliveries: int
    pushed_last: datetime | None = None


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
            repository: What their subject is about; see `core.events.pushes.repository_of`.
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
                `core.rebuilds.history.may_go` says more.
            place: Where the step before ended; "" for the beginning.
        """

    def close(self) -> None:
        """Close the connections."""
