"""A rebuild: a task to be built on certain digests, from claim to outcome.

Each attempt is a record of its own, so that every run has its own token and its own history.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from copy import replace
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import StillStale
from rebuilder.core.decisions.operators import Rejected
from rebuilder.core.failures.cause import Cause
from rebuilder.core.policies.holds import Held

LONGEST_WAIT = timedelta(hours=24)
"""The longest wait for a next attempt, however often it failed and whatever a registry asks for."""

REPAIR_WAITS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
"""How long after a run that left its image on an old base the next one is made; then it is left."""

LONGEST_LEASE = timedelta(hours=1)
"""The longest that the setting `lease` allows."""

LONGEST_HOLD = timedelta(hours=2)
"""The longest wait for ACR's own trigger: that of a setting, and an hour for its poll."""

LONGEST_GATE = timedelta(hours=24)
"""How long what operators hold is not looked at at most: it may be held for weeks."""

MOVED_ON = "the base moved on before a run was scheduled"
"""The outcome of a rebuild that another one is to take the place of."""

LONGEST_LOOK = timedelta(hours=1)
"""The longest that the setting `track_interval` allows."""


class State(StrEnum):
    """How far a rebuild has come; docs/architecture.md draws it."""

    HELD = "held"  # it waits until it is due; `hold` tells for what
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

    @property
    def in_flight(self) -> bool:
        """Whether a run is known that is not over."""
        return self in (State.SCHEDULED, State.RUNNING)


class Hold(StrEnum):
    """What a rebuild that is held waits for."""

    NATIVE = "native"  # ACR's own base image trigger, whose run would be its run
    ARM = "arm"  # ARM, which took no request just now: nothing was sent
    GATE = "gate"  # what operators decided; `held` tells the reasons


class Failure(StrEnum):
    """Why a rebuild did not succeed, as far as it tells what to do next."""

    INFRASTRUCTURE = "infrastructure"  # ACR's own: Error, Timeout, no agent
    BUILD = "build"  # the build itself: Failed
    CANCELED = "canceled"  # somebody did not want it: not tried again
    REFUSED = "refused"  # Azure said no: not tried again, the outcome names the fix
    REJECTED = "rejected"  # somebody was asked, and said no: not begun


class Native(StrEnum):
    """What came of waiting for ACR's own base image trigger."""

    ADOPTED = "adopted"  # its run came, and is this rebuild's run
    MISSED = "missed"  # it did not come in time


class Check(StrEnum):
    """What the image that a run pushed is found to stand on."""

    NEW = "new"  # the new base
    STALE = "stale"  # rebuilt, but still on another base; `check_reason` tells the likely cause
    UNKNOWN = "unknown"  # it could not be told; `check_reason` tells why


class Likely(StrEnum):
    """Why an image most likely does not stand on the base that it was rebuilt for."""

    REPLICA = "replica lag"  # the run was quicker than the copy of the base to its region
    CACHE = "cache"  # the build took the base, or the layers on it, from a cache
    PLATFORM = "platform"  # a cache, or it is built for a platform that was not compared with
    TAG = "another tag"  # the build file names another one
    PIN = "pin"  # the build file names a digest
    MOVED = "moved"  # the tag names another digest by now

    @property
    def repairable(self) -> bool:
        """Whether another run of the same task may do better."""
        return self in (Likely.REPLICA, Likely.CACHE, Likely.PLATFORM)


class Rebuild(Struct, frozen=True):
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
            the next attempt; succeeded on an old base, the repair. None if nothing is.
        failure: Why it did not succeed.
        native: What came of waiting for the native trigger; None if it was not waited for.
        check: What the pushed image stands on; None if it was not looked at.
        check_reason: The evidence or the likely cause, for a person.
        chain: The tasks whose rebuilds led to the push that caused this one, oldest first: a task
            that is in its own chain is in a cycle.
        hold: What it is held for, if it is held.
        cause: Why its run failed, as far as the log tells; None if none failed.
        log: The end of the failed run's log: the lines that matter, escaped, without secrets.
        repair: How many rebuilds on the same digests had succeeded before it: those that left the
            image on an old base, and those that somebody asked for again.
        stale_by: Why the image likely does not stand on the new base; None unless it is stale.
        held: Why the gate holds it, or held it before it was begun; None if it never did.
        run_ended: When its run ended, as ARM tells; None if it is not over, or nobody recorded it.
        wave: The key of the push that its wave began with; "" for its own push.
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
    hold: Hold = Hold.NATIVE
    cause: Cause | None = None
    log: str = ""
    repair: int = 0
    stale_by: Likely | None = None
    follower: str = ""
    held: Held | None = None
    run_ended: datetime | None = None
    wave: str = ""
    unknown: Mapping[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Names the rebuild in logs and tells it from a later one on the same digests."""
        return f"{self.key[:16]}-{self.sequence}"

    @property
    def token(self) -> str:
        """The update trigger token of its run: ARM wants it in Base64."""
        return base64.b64encode(self.id.encode()).decode()

    @property
    def began_with(self) -> str:
        """The key of the push that its wave began with."""
        return self.wave or self.push

    def in_place_of(self, before: Rebuild) -> Rebuild:
        """Return it as one more attempt at what one before was for, in the same wave."""
        return replace(self, chain=before.chain, wave=before.began_with, repair=before.repair)

    @property
    def overtaken(self) -> bool:
        """Whether its base moved on before it was begun: another one is to take its place."""
        return self.state is State.SKIPPED and self.outcome == MOVED_ON

    @property
    def ended_at(self) -> datetime | None:
        """When it was over: by Azure's clock if it had a run, for one of ours may be days wrong."""
        return self.run_ended or self.finished_at

    @property
    def unsettled(self) -> bool:
        """Whether something is still to happen: a run, a look at one, or another attempt."""
        return not self.state.over or (
            self.state in (State.FAILED, State.SUCCEEDED) and self.due is not None
        )

    @property
    def missed(self) -> bool:
        """Whether it left its image on another base than it was for, and another run may do better.

        That the tag had moved on when it was looked at is no reason to repair it; that the tag
        came back since is one.
        """
        if self.stale_by is None or self.state is not State.SUCCEEDED:
            return False
        better = self.stale_by.repairable or self.stale_by is Likely.MOVED
        return better and self.repair < len(REPAIR_WAITS)

    @property
    def repairable(self) -> bool:
        """Whether it is to be repaired, while the tag names what it was for."""
        return self.missed and self.stale_by is not Likely.MOVED

    @property
    def gated(self) -> Held | None:
        """Why the gate holds it; None if the gate does not."""
        return self.held if self.state is State.HELD and self.hold is Hold.GATE else None

    def waits_for[R](self, kind: type[R]) -> R | None:
        """Return the gate's reason of one kind, if it holds the rebuild for such a reason."""
        reasons = self.gated.reasons if self.gated is not None else ()
        return next((reason for reason in reasons if isinstance(reason, kind)), None)

    @property
    def longest_wait(self) -> timedelta:
        """The longest that `due`, or else the lease, can lie ahead in its state."""
        if self.state is State.HELD and self.hold is Hold.GATE:
            return LONGEST_GATE
        return _LONGEST.get(self.state, LONGEST_LOOK)


_LONGEST = {
    State.CLAIMED: LONGEST_LEASE,
    State.HELD: LONGEST_HOLD,
    State.FAILED: LONGEST_WAIT,
    State.SUCCEEDED: REPAIR_WAITS[-1],
}


def rebuild_key(task: TaskId, bases: Iterable[Base]) -> str:
    """What a task is to be built on, as one hash: the same key twice is one rebuild."""
    lines = [str(task), *sorted(f"{base.reference}@{base.digest}" for base in bases)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def next_wait(first: timedelta, attempt: int) -> timedelta:
    """Return how long after a failed attempt the next one begins.

    Args:
        first: After the first attempt; each further wait is twice as long, a day at most.
        attempt: Which attempt failed, from 1.
    """
    # What is doubled more often is over a day, whatever it began with.
    doubled: int = 2 ** min(attempt - 1, 17)
    return min(first * doubled, LONGEST_WAIT)


def rejected(rebuild: Rebuild) -> Rejected | None:
    """Return that somebody rejected a rebuild; None if nobody did."""
    vote = None if rebuild.held is None else rebuild.held.rejected
    if vote is None:
        return None
    return Rejected(rebuild.task, rebuild.id, rebuild.bases, vote.who, vote.because, vote.at)


def still_stale(rebuild: Rebuild, base: Base) -> StillStale | None:
    """Return that a task is to be rebuilt although a rebuild on what a tag names succeeded.

    Args:
        rebuild: The task's newest rebuild.
        base: The tag and what it names now.

    Returns:
        None if that rebuild is on other digests, or its image is as good as it gets.
    """
    if base.image not in rebuild.bases:
        return None
    # One that was begun goes on: what it was begun for is told by the rebuild before it.
    begun = rebuild.repair > 0 and (not rebuild.state.over or rebuild.due is not None)
    if not begun and not rebuild.missed:
        return None
    reason = rebuild.check_reason or "it was begun again on the same digests"
    run = rebuild.run_id
    return StillStale(rebuild.task, str(base.reference), base.digest, rebuild.id, run, reason)
