"""A rebuild: a task to be built on certain digests, claimed once, from claim to outcome."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rebuilder.core.decisions import Base
from rebuilder.core.registries import TaskId


class State(StrEnum):
    """How far a rebuild has come."""

    CLAIMED = "claimed"  # somebody holds the lease and is about to schedule a run
    SCHEDULED = "scheduled"  # ARM has given a run id
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the run ended otherwise, or ARM refused to schedule one

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.SUCCEEDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One rebuild of one task.

    Attributes:
        task: The task.
        sequence: Counts the rebuilds of the task from 1.
        key: What it is to be built on; see `rebuild_key`.
        bases: The same for a person: references with digests.
        push: The key of the push that caused it.
        state: How far it has come.
        claimed_at: When it was claimed.
        owner: Who holds the lease.
        lease_until: Until when nobody else may schedule a run for it.
        version: Counts the changes of the record; a change names the version it was made from.
        run_id: ARM's id of the run.
        finished_at: When it was over.
        outcome: The run's last status, or why there was no run.
        output_images: What the run pushed, with digests.
        dependencies: What the task is recorded to be built on after the run, with digests.
        advice: What to do about a failure, if it is known.
    """

    task: TaskId
    sequence: int
    key: str
    bases: tuple[str, ...]
    push: str
    state: State
    claimed_at: datetime
    owner: str
    lease_until: datetime
    version: int = 1
    run_id: str | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    output_images: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    advice: str | None = None

    @property
    def id(self) -> str:
        """Names the rebuild in logs and tells it from a later one on the same digests."""
        return f"{self.key[:16]}-{self.sequence}"

    @property
    def token(self) -> str:
        """The update trigger token of its run: ARM wants it in Base64."""
        return base64.b64encode(self.id.encode()).decode()


def rebuild_key(task: TaskId, bases: Iterable[Base]) -> str:
    """What a task is to be built on, as one hash: the same key twice is one rebuild."""
    lines = [str(task), *sorted(f"{base.reference}@{base.digest}" for base in bases)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
