"""A rebuild: a task to be built on certain digests, from claim to outcome.

Each attempt is a record of its own, so that every run has its own token and its own history.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from rebuilder.core.decisions import Base
from rebuilder.core.registries import TaskId

CLOCKS_DIFFER = timedelta(seconds=5)
"""How far the clocks of two instances, or of Azure's services, may be apart."""


LONGEST_LEASE = timedelta(hours=1)
"""The longest that REBUILDER_LEASE_SECONDS allows."""

LONGEST_HOLD = timedelta(hours=2)
"""The longest wait for ACR's own trigger: that of a setting, and an hour for its poll."""

LONGEST_RETRY = timedelta(hours=24)
"""The longest wait between two attempts, however often it was doubled."""

LONGEST_LOOK = timedelta(hours=1)
"""The longest that REBUILDER_TRACK_SECONDS allows."""


class State(StrEnum):
    """How far a rebuild has come; docs/architecture.md draws it."""

    HELD = "held"  # it waits until it is due; `outcome` tells for what
    CLAIMED = "claimed"  # somebody holds the lease and is about to schedule a run
    SCHEDULED = "scheduled"  # ARM has given a run id
    RUNNING = "running"  # an agent works on the run
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # this attempt did not succeed; the next one is due, if `due` says so
    GIVEN_UP = "given up"  # no more attempts on these digests: the circuit is open
    SKIPPED = "skipped"  # there was no more reason to build before a run was scheduled

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to this record's run."""
        return self in (State.SUCCEEDED, State.FAILED, State.GIVEN_UP, State.SKIPPED)


class Failure(StrEnum):
    """Why a rebuild did not succeed, as far as it tells what to do next."""

    INFRASTRUCTURE = "infrastructure"  # ACR's own: Error, Timeout, no agent
    BUILD = "build"  # the build itself: Failed
    CANCELED = "canceled"  # somebody did not want it: not tried again
    REFUSED = "refused"  # Azure said no: not tried again, the outcome names the fix


class Native(StrEnum):
    """What came of waiting for ACR's own base image trigger."""

    ADOPTED = "adopted"  # its run came, and is this rebuild's run
    MISSED = "missed"  # it did not come in time


class Check(StrEnum):
    """What the image that a run pushed is found to stand on."""

    NEW = "new"  # the new base
    STALE = "stale"  # rebuilt, but still on another base; `check_reason` tells the likely cause
    UNKNOWN = "unknown"  # it could not be told; `check_reason` tells why


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One attempt to rebuild one task.

    Attributes:
        task: The task.
        sequence: Counts the attempts of the task from 1.
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
        outcome: The run's last status, or why there was no run, or what it is held for.
        output_images: What the run pushed, with digests.
        dependencies: What the task is recorded to be built on after the run, with digests.
        advice: What to do about a failure, if it is known.
        attempt: Which attempt on these digests, from 1.
        due: When something is to happen next: held, the build; followed, the next look; failed,
            the next attempt. None if nothing is.
        failure: Why it did not succeed.
        native: What came of waiting for the native trigger; None if it was not waited for.
        check: What the pushed image stands on; None if it was not looked at.
        check_reason: The evidence or the likely cause, for a person.
        chain: The tasks whose rebuilds led to the push that caused this one, oldest first: a task
            that is in its own chain is in a circle.
        follower: Whose message follows the run, of those who may have sent one at once.
        unknown: What a newer version has recorded besides, as it stands there; it is kept.
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
    attempt: int = 1
    due: datetime | None = None
    failure: Failure | None = None
    native: Native | None = None
    check: Check | None = None
    check_reason: str | None = None
    chain: tuple[str, ...] = ()
    follower: str = ""
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def id(self) -> str:
        """Names the rebuild in logs and tells it from a later one on the same digests."""
        return f"{self.key[:16]}-{self.sequence}"

    @property
    def token(self) -> str:
        """The update trigger token of its run: ARM wants it in Base64."""
        return base64.b64encode(self.id.encode()).decode()

    @property
    def unsettled(self) -> bool:
        """Whether something is still to happen: a run, a look at one, or another attempt."""
        return not self.state.over or (self.state is State.FAILED and self.due is not None)

    @property
    def longest_wait(self) -> timedelta:
        """The longest that `due`, or else the lease, can lie ahead in its state."""
        return _LONGEST.get(self.state, LONGEST_LOOK)


_LONGEST = {
    State.CLAIMED: LONGEST_LEASE,
    State.HELD: LONGEST_HOLD,
    State.FAILED: LONGEST_RETRY,
}


def rebuild_key(task: TaskId, bases: Iterable[Base]) -> str:
    """What a task is to be built on, as one hash: the same key twice is one rebuild."""
    lines = [str(task), *sorted(f"{base.reference}@{base.digest}" for base in bases)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
