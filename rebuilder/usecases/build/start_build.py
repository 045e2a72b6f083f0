"""Start: claim the rebuild of a task, schedule its run, record the run's id.

The claim is written before the effect and the result after it. Whatever dies in between leaves a
claim whose lease runs out; then the next delivery looks into ARM for the run before it schedules
one. Every change is a compare-and-swap: of any number of deliveries one goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from copy import replace
from datetime import datetime, timedelta
from uuid import uuid4

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import MANUAL, Run, RunStatus, Task
from rebuilder.core.decisions.reasons import (
    AlreadyBuiltOn,
    Base,
    Circle,
    NoStep,
    NotConfigured,
    OwnOutput,
    RebuildFailed,
    RebuildUnderWay,
    TagGone,
    TaskDecision,
    TaskDisabled,
    TaskGone,
    TaskUnreadable,
)
from rebuilder.core.dependencies.index import IndexedTask, with_view
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    LONGEST_DELAY,
    REFRESH,
    RUNS,
    Refresh,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.pace import LONGEST_TURN, expired
from rebuilder.core.rebuilds.rebuild import (
    LONGEST_LEASE,
    Failure,
    Hold,
    Native,
    Rebuild,
    State,
    rebuild_key,
)
from rebuilder.core.times import CLOCKS_DIFFER
from rebuilder.errors import (
    Conflict,
    Denied,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    Refused,
    Throttled,
    TransientError,
)
from rebuilder.settings import TASK_REGISTRIES
from rebuilder.usecases.build import _pace
from rebuilder.usecases.build._circles import dependents
from rebuilder.usecases.build._native import (
    Runs,
    could_see,
    newest_runs,
    used_bases,
    wait_until,
)
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since
from rebuilder.usecases.index.refresh_index import refresh_known
from rebuilder.usecases.plan.deciding import (
    decide_for,
    not_named,
    other_bases,
    other_digest,
    pushed_base,
    pushed_reference,
    was_away,
)
from rebuilder.usecases.plan.moves import Moves

log = logging.getLogger(__name__)

_REQUEST = timedelta(seconds=70)
"""Longer than a request to ARM may take; see `azure.tasks`. So much of a lease must be left."""

_SOON = timedelta(seconds=1)

_LONGEST = timedelta(minutes=5)
"""The longest time between two looks at whether a run is over that something waits for."""

_RUNS = 20

_WRONG_CLOCK = "claimed by an instance whose clock was ahead"

_MOVED_ON = "the base moved on before a run was scheduled"


class PutBack(Struct, frozen=True):
    """That a message is to be delivered again later.

    Attributes:
        delay: How much later.
        reason: What it waits for.
        counted: Whether it is one of those that wait for the same, of which one goes on; else it
            has something of its own, a turn.
    """

    delay: timedelta
    reason: str
    counted: bool = True


def start_build(context: Context, message: StartBuild, owner: str) -> TaskDecision | Rebuild | None:
    """Start the run that a plan asked for, unless there is no more reason to.

    Args:
        context: The ports.
        message: The task and the push.
        owner: A name for this delivery, unique among all, to hold the lease with.

    Returns:
        The rebuild as it is now, or why there is none, or None if the message was put back to
        be delivered later.

    Raises:
        TransientError: Nothing was started, or the claim's lease still protects what was.
    """
    start = _Start(context, message, owner)
    try:
        found = start.go()
    except Conflict as error:
        # Another delivery was quicker. What it does is seen when this one comes back.
        found = PutBack(context.settings.track_interval, str(error))
    if not isinstance(found, PutBack):
        return found
    if found.counted:
        _wait(context, start.message, found, owner)
    else:
        _put_back(context, start.message, found)
    return None


class _Start:
    """One delivery of one message.

    Attributes:
        message: The message, with the turn that it has been given.
    """

    def __init__(self, context: Context, message: StartBuild, owner: str) -> None:
        self._context = context
        self.message = message
        self._owner = owner
        self._ledger = context.ledger
        self._runs = Runs()
        self._moves: Moves | None = None
        self._task: Task | None = None

    def go(self) -> TaskDecision | Rebuild | PutBack:
        context, message = self._context, self.message
        if message.turn is not None and expired(message.turn, context.now()):
            message = self.message = replace(message, turn=None)
        head = self._ledger.head(message.task)
        if head is not None and head.state is State.CLAIMED:
            if self._is_of_a_wrong_clock(head):
                head = self._put_right(head)
            if context.now() < head.lease_until:
                # Soon the claim is a run; if it is not by the second look, its holder has died.
                left = head.lease_until - context.now()
                soon = context.settings.track_interval
                wait = min(left, soon) if context.settings.lease - left < soon else left
                return PutBack(wait, f"lease of {head.id}")
            head = self._taken_over(head)
        if foreign := self._not_configured():
            return self._decided(head, foreign)
        # Before anything is read: a thousand messages that wait do not all ask ARM twice.
        crowded = message.turn is None and _pace.crowded(
            context, message.task.registry.subscription
        )
        if crowded and (later := self._turn_later()):
            return later
        try:
            recorded = context.tasks.task(message.task)
        except NotFound:
            context.index.remove(message.task, context.now())
            return self._decided(head, TaskGone(message.task))
        except Denied as error:
            return self._decided(head, TaskUnreadable(message.task, str(error)))
        self._runs = newest_runs(context, recorded)
        # What only other sources than ACR's record know is in the index.
        indexed = self._view(recorded)
        task = with_view(recorded, indexed.view if indexed else None)
        reference = pushed_reference(context, message.push)
        base = pushed_base(context, reference, message.push)
        if base is None:
            return self._decided(head, TagGone(task.id, str(reference)))
        if head is not None and head.state is State.CLAIMED and other_digest(head, base):
            # It is ours by now and no run was started for it, so that none will change the image.
            head = self._skipped(head, _MOVED_ON)
        self._task, self._moves = task, Moves(context, base)
        decision = decide_for(context, task, base, self._moves)
        if isinstance(decision, AlreadyBuiltOn):
            if other := self._runs.under_way():
                return self._until_run(other)  # it may end with an image on the one before
            if not self._asked_for(head):
                return self._decided(head, decision)
        elif not decision.rebuild:
            return self._decided(head, decision)
        return self._rebuild(head, task, recorded, base)

    def _not_configured(self) -> NotConfigured | None:
        """Tell which registry the settings do not name: messages outlive them, and are forged."""
        settings, task, pushed = self._context.settings, self.message.task, self.message.push
        if task.registry not in settings.task_registries:
            return NotConfigured(task, str(task.registry), TASK_REGISTRIES)
        setting = not_named(self._context, pushed.registry)
        return NotConfigured(task, str(pushed.registry), setting) if setting else None

    def _asked_for(self, head: Rebuild | None) -> bool:
        """Tell whether somebody asked for a rebuild, and none was begun since."""
        newest = 0 if head is None else head.sequence
        return self.message.anew and self.message.after == newest

    def _view(self, recorded: Task) -> IndexedTask | None:
        """Return what the index knows; what a commit may have changed since is read first.

        Raises:
            TransientError: What the task makes was never looked at, and cannot be now.
        """
        context = self._context
        indexed = context.index.view(recorded.id)
        known = indexed is not None and indexed.view.output is not None
        if indexed is not None and known and not self._runs.ended_since(indexed.read_at):
            return indexed
        now = context.now()
        try:
            refresh_known(context, recorded, now)
        except TransientError as error:
            if not known:
                raise
            log.warning("task %s: going by what was known before: %s", recorded.id, error)
            context.queue.send(REFRESH, Refresh.of(recorded.id, now).encode())
        return context.index.view(recorded.id)

    def _taken_over(self, head: Rebuild) -> Rebuild:
        """Go on with a claim whose holder is gone: with its run, if it came so far."""
        held = self._ledger.save(self._leased(head))
        run = _find_run(self._context, held)
        held = replace(held, outcome=None)
        return held if run is None else _scheduled(self._context, held, run)

    def _is_of_a_wrong_clock(self, head: Rebuild) -> bool:
        """Tell whether a claim's lease says nothing of whether its holder is at work.

        It ends later than one can, or ended so long ago that somebody had gone on with it by now.
        """
        now = self._context.now()
        if impossible(f"the lease of {head.id}", head.lease_until, now, LONGEST_LEASE):
            return True
        return now - head.lease_until > LONGEST_LEASE

    def _put_right(self, head: Rebuild) -> Rebuild:
        """Give a claim the times of a clock that is right, or at least our own.

        Its holder may be at work, so it gets as long as any other.
        """
        now = self._context.now()
        right = replace(head, lease_until=now + self._context.settings.lease)
        if head.claimed_at > now:
            right = replace(right, claimed_at=now, outcome=_WRONG_CLOCK)
        return self._ledger.save(right)

    def _leased(self, rebuild: Rebuild) -> Rebuild:
        until = self._context.now() + self._context.settings.lease
        return replace(rebuild, owner=self._owner, lease_until=until)

    def _decided(self, head: Rebuild | None, decision: TaskDecision) -> TaskDecision:
        """Record why nothing is built, and that nothing waits for it any more."""
        context = self._context
        context.ledger.record_decisions(self.message.push, [decision], context.now())
        if (
            head is not None
            and head.unsettled
            and head.state not in _IN_FLIGHT
            and self._concerns(head, decision)
        ):
            self._skipped(head, decision.sentence())
        log.info("task %s not rebuilt (%s): %s", decision.task, decision.code, decision.sentence())
        return decision

    def _concerns(self, head: Rebuild, decision: TaskDecision) -> bool:
        """Tell whether a decision is about the image that a rebuild waits for, or all of them."""
        if isinstance(decision, TaskGone | TaskUnreadable | TaskDisabled | NoStep):
            return True
        if isinstance(decision, NotConfigured) and decision.registry == str(head.task.registry):
            return True
        push, waits = self.message.push, Push.from_key(head.push)
        return (push.registry, push.repository, push.tag) == (
            waits.registry,
            waits.repository,
            waits.tag,
        )

    def _skipped(self, head: Rebuild, reason: str) -> Rebuild:
        if head.state.over:
            return self._ledger.save(replace(head, due=None))
        now = self._context.now()
        return self._ledger.save(
            replace(head, state=State.SKIPPED, due=None, finished_at=now, outcome=reason)
        )

    def _rebuild(
        self, head: Rebuild | None, task: Task, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        context = self._context
        bases = [base, *other_bases(context, task, base, head)]
        now = context.now()
        wanted = Rebuild(
            task=task.id,
            sequence=1 if head is None else head.sequence + 1,
            key=rebuild_key(task.id, bases),
            bases=_names(bases),
            push=self.message.push.key,
            state=State.CLAIMED,
            claimed_at=now,
            owner=self._owner,
            lease_until=now + context.settings.lease,
            repair=int(self._asked_for(head)),
        )
        if head is None:
            return self._attempt(wanted, None, recorded, base)
        if head.key == wanted.key:
            return self._same_digests(head, wanted, recorded, base)
        if head.state in _IN_FLIGHT:
            # Two runs at once may finish in any order: the one on older digests ends first.
            _track(context, head)
            return self._until_end(head.id, head.claimed_at)
        if _pushed(head, base):
            own = OwnOutput(task.id, str(base.reference), base.digest, head.run_id)
            return self._decided(head, own)
        repair_waits = head.state is State.SUCCEEDED and head.due is not None
        if head.unsettled and not repair_waits:
            self._skipped(head, _MOVED_ON)
        found = self._attempt(wanted, None, recorded, base)
        if repair_waits and isinstance(found, Circle):
            # What moved is no reason to build; that the last run left an old base in is still one,
            # and nobody else would find it: what ACR has recorded is the new one.
            return self._repair(head, wanted, recorded, base)
        if repair_waits and isinstance(found, Rebuild):
            self._skipped(head, _MOVED_ON)
        return found

    def _same_digests(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        context = self._context
        on = str(base.reference.at(base.digest)) in head.bases
        match head.state:
            case State.SUCCEEDED if self._asked_for(head) or self._was_away(head):
                again = replace(wanted, repair=head.repair + 1)
                return self._attempt(again, None, recorded, base)
            case State.SUCCEEDED if on and head.repairable:
                return self._repair(head, wanted, recorded, base)
            case State.SUCCEEDED if on:
                return self._done(head, base, "ledger of rebuilds")
            case State.SCHEDULED | State.RUNNING:
                _track(context, head)
                if self._was_away(head):
                    return self._until_end(head.id, head.claimed_at)
                return self._decided(head, RebuildUnderWay(head.task, head.id, head.run_id))
            case State.GIVEN_UP if not self._may_be_tried(head):
                return self._decided(head, given_up(head))
            case State.FAILED:
                if (
                    head.due is not None
                    and self._is_to_wait(head, head.due)
                    and not self._asked_for(head)
                ):
                    attempt = f"attempt {head.attempt + 1} of {head.id}"
                    return PutBack(head.due - context.now(), attempt)
                again = replace(
                    wanted, attempt=head.attempt + 1, chain=head.chain, repair=head.repair
                )
                return self._attempt(again, head, recorded, base)
            case State.HELD | State.CLAIMED:
                return self._attempt(head, head, recorded, base)
        return self._attempt(wanted, None, recorded, base)

    def _was_away(self, head: Rebuild) -> bool:
        """Tell whether the tag named another digest while a rebuild on this one was under way."""
        task, moves = self._task, self._moves
        if task is None or moves is None:
            return False
        return was_away(self._context, task, head, moves) is not None

    def _may_be_tried(self, head: Rebuild) -> bool:
        # Messages of the versions before do not tell after which rebuild they were sent.
        return self._asked_for(head) or (self.message.anew and self.message.after is None)

    def _done(self, head: Rebuild, base: Base, known_from: str) -> TaskDecision:
        name = str(base.reference)
        return self._decided(head, AlreadyBuiltOn(head.task, name, base.digest, known_from))

    def _repair(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        """Build again what a run left on an old base, unless another run has seen to it."""
        if head.due is not None and self._is_to_wait(head, head.due):
            wait = head.due - self._context.now()
            return PutBack(wait, f"repair {head.repair + 1} after {head.id}")
        newer = _newer_run(self._context, head)
        if newer is not None:
            head = self._ledger.save(replace(head, due=None, stale_by=None))
            return self._done(head, base, f"run {newer.run_id}, which ended later")
        again = replace(wanted, repair=head.repair + 1, chain=head.chain)
        return self._attempt(again, head, recorded, base)

    def _attempt(
        self, rebuild: Rebuild, before: Rebuild | None, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        """Claim a rebuild and schedule its run, unless it has to wait for something.

        Args:
            rebuild: The rebuild: a new one, or one that was held or taken over.
            before: The task's newest rebuild, if it is on the same digests.
            recorded: The task as ARM tells of it.
            base: The tag that moved.
        """
        context = self._context
        if before is None:
            found = self._chain(rebuild, base)
            if not isinstance(found, Rebuild):
                return found
            rebuild = found
        now = context.now()
        if (
            rebuild.hold is Hold.ARM
            and rebuild.due is not None
            and now + _SOON < rebuild.due
            and self._is_to_wait(rebuild, rebuild.due)
        ):
            return PutBack(rebuild.due - now, f"ARM: {rebuild.outcome}")
        if could_see(recorded, base, self.message.push):
            run = self._runs.native(base)
            used = None if run is None else used_bases(context, run, rebuild, base)
            if run is not None and used is not None:
                if other := self._runs.under_way(before=run):
                    return self._until_run(other)
                claimed = self._claimed(rebuild)
                adopted = replace(claimed, bases=_names(used), native=Native.ADOPTED)
                log.info("task %s: native run %s is %s", rebuild.task, run.run_id, rebuild.id)
                return _scheduled(context, adopted, run.run_id)
            held = rebuild.state is State.HELD and rebuild.hold is not Hold.ARM
            if held and rebuild.due is not None and self._is_to_wait(rebuild, rebuild.due):
                return PutBack(rebuild.due - now, "the native trigger")
            if before is None:
                due = wait_until(context, self.message.push)
                if now < due:
                    self._hold(rebuild, due)
                    return PutBack(due - now, "the native trigger")
            if before is None or held:
                rebuild = replace(rebuild, native=Native.MISSED)
        if other := self._runs.under_way():
            return self._until_run(other)
        if self.message.turn is None and (later := self._turn_later()):
            return later
        return self._schedule(self._claimed(rebuild))

    def _is_to_wait(self, rebuild: Rebuild, due: datetime) -> bool:
        now = self._context.now()
        return now < due and not impossible(
            f"what rebuild {rebuild.id} waits for", due, now, rebuild.longest_wait
        )

    def _until_run(self, other: Run) -> PutBack:
        return self._until_end(f"run {other.run_id}", other.created)

    def _until_end(self, of: str, began: datetime | None) -> PutBack:
        """Return when to look again whether something is over that has gone on for a while.

        What has taken long is looked at less often: each look puts a message back, and one whose
        sending was not answered is there twice from then on.
        """
        context = self._context
        least = context.settings.track_interval
        lasted = timedelta() if began is None else context.now() - began
        return PutBack(max(least, min(lasted / 4, _LONGEST)), f"end of {of}")

    def _turn_later(self) -> PutBack | None:
        """Take a turn at ARM; return when it is, unless that is now."""
        now = self._context.now()
        turn = _pace.turn(self._context, self.message.task.registry.subscription)
        if turn > now + LONGEST_TURN:
            return PutBack(LONGEST_TURN, "a place in the line at ARM", counted=False)
        self.message = replace(self.message, turn=turn)
        if turn <= now + _SOON:
            return None
        return PutBack(turn - now, f"its turn at {turn:%T}", counted=False)

    def _chain(self, rebuild: Rebuild, base: Base) -> Rebuild | TaskDecision | PutBack:
        """Find out which rebuilds led to the push; a task in its own chain is not rebuilt."""
        context = self._context
        image = str(base.reference.at(base.digest))
        producer = self._ledger.producer(image)
        if producer is None:
            if context.task_registry(base.reference.domain):
                # Its run may have pushed the image and not be recorded yet.
                for other in self._may_close_circle(rebuild.task):
                    if later := self._pushing(other):
                        return later
                producer = self._ledger.producer(image)
            if producer is None:
                return rebuild
        chain = (*producer.chain, str(producer.task))
        if str(rebuild.task) in chain:
            name = str(base.reference)
            return self._decided(None, Circle(rebuild.task, name, base.digest, chain))
        return replace(rebuild, chain=chain)

    def _may_close_circle(self, task: TaskId) -> list[Rebuild]:
        """Return the newest rebuilds of the tasks that stand on what a task pushes, and others.

        Only they can be in a circle with it, so only of them it matters what led to what. What a
        rebuild that is under way led to is known by its chain, whatever the index knows.
        """
        standing = dependents(self._context, task)
        return [*self._ledger.unsettled_after(task), *self._ledger.heads(standing).values()]

    def _pushing(self, other: Rebuild) -> PutBack | None:
        """Return when to look again at a rebuild whose run may push, or have pushed, an image."""
        if other.state in _IN_FLIGHT:
            _track(self._context, other)
            return self._until_end(other.id, other.claimed_at)
        if other.state is State.CLAIMED:
            # A run may have been started for it; whoever takes it over finds out.
            # No lease is longer, whatever the clock of who holds it, or this one, may say.
            left = min(other.lease_until - self._context.now(), LONGEST_LEASE)
            return PutBack(max(left, self._context.settings.track_interval), f"claim of {other.id}")
        return None

    def _hold(self, rebuild: Rebuild, due: datetime) -> None:
        held = replace(
            rebuild,
            state=State.HELD,
            due=due,
            outcome="waiting for ACR's own base image trigger",
        )
        if not self._ledger.claim(held):
            raise Conflict(f"task {rebuild.task}: {rebuild.id} was claimed by another delivery")

    def _claimed(self, rebuild: Rebuild) -> Rebuild:
        """Make a rebuild ours: a new one, one that was held, or one that is taken over."""
        now = self._context.now()
        if rebuild.state is State.HELD:
            claim = replace(
                rebuild,
                state=State.CLAIMED,
                claimed_at=now,
                due=None,
                hold=Hold.NATIVE,
                outcome=None,
            )
            return self._ledger.save(self._leased(claim))
        if rebuild.version > 1:
            return rebuild  # taken over by this delivery
        if not self._ledger.claim(rebuild):
            raise Conflict(f"task {rebuild.task}: {rebuild.id} was claimed by another delivery")
        return rebuild

    def _schedule(self, rebuild: Rebuild) -> TaskDecision | Rebuild | PutBack:
        context = self._context
        if context.now() + _REQUEST > rebuild.lease_until:
            # This process was slow. Whoever took the claim over meanwhile has changed it.
            rebuild = self._ledger.save(self._leased(rebuild))
            if context.now() + _REQUEST > rebuild.lease_until:
                late = TransientError(f"rebuild {rebuild.id}: no time left of its lease")
                self._not_sent(rebuild, late, context.now())
                raise late
        subscription = rebuild.task.registry.subscription
        try:
            run_id = context.tasks.schedule(rebuild.task, rebuild.token)
        except OutcomeUnknown as error:
            # The lease keeps everybody off until a run that was started can be seen in ARM.
            log.warning("rebuild %s of %s: %s", rebuild.id, rebuild.task, error)
            return PutBack(context.settings.lease, "whether a run was started")
        except TransientError as error:
            if not isinstance(error, Throttled):
                self._not_sent(rebuild, error, context.now())
                raise
            asked = _pace.WAIT if error.retry_after is None else error.retry_after
            self._not_sent(rebuild, error, context.now() + min(asked, LONGEST_TURN))
            _pace.slow_down(context, subscription, error.retry_after)
            turn = _pace.turn(context, subscription)
            self.message = replace(self.message, turn=turn)
            return PutBack(max(turn - context.now(), _SOON), str(error), counted=False)
        except PermanentError as error:
            # Disabled or deleted since it was read? Then it is no failure, and may be over.
            left = self._left(rebuild.task)
            return self._refused(rebuild, error) if left is None else self._decided(rebuild, left)
        return _scheduled(context, rebuild, run_id)

    def _not_sent(self, rebuild: Rebuild, error: TransientError, due: datetime) -> None:
        """Hold a claim that nothing was sent for: nobody has to wait for it, or to ask for runs."""
        held = replace(
            rebuild,
            state=State.HELD,
            hold=Hold.ARM,
            due=due,
            lease_until=self._context.now(),
            outcome=f"not asked for yet: {error}",
        )
        self._ledger.save(held)

    def _left(self, task: TaskId) -> TaskDecision | None:
        try:
            found = self._context.tasks.task(task)
        except NotFound:
            self._context.index.remove(task, self._context.now())
            return TaskGone(task)
        except Denied:
            return None
        return None if found.enabled else TaskDisabled(task)

    def _refused(self, rebuild: Rebuild, error: PermanentError) -> Rebuild:
        log.error("task %s: rebuild %s was not scheduled: %s", rebuild.task, rebuild.id, error)
        return self._ledger.save(
            replace(
                rebuild,
                state=State.GIVEN_UP,
                finished_at=self._context.now(),
                outcome=str(error),
                failure=Failure.REFUSED,
                advice=_advice(rebuild, error),
            )
        )


_IN_FLIGHT = (State.SCHEDULED, State.RUNNING)


def given_up(head: Rebuild) -> RebuildFailed:
    """Return why a task is not tried again on the same digests."""
    outcome = head.outcome or ""
    cause = head.cause.sentence() if head.cause else None
    return RebuildFailed(head.task, head.id, head.run_id, outcome, head.attempt, head.advice, cause)


def _advice(rebuild: Rebuild, error: PermanentError) -> str | None:
    match error:
        case Refused(code="TasksOperationsNotAllowed"):
            return (
                "Azure does not let this subscription run ACR Tasks, as on free credits: ask"
                f" Azure support, then `rebuilder retry {rebuild.task}`"
            )
        case Denied():
            return (
                "give the function app's identity the role of infra/rebuilder-role.json on"
                f" {rebuild.task.registry}, then `rebuilder retry {rebuild.task}`"
            )
    return None


def _names(bases: Iterable[Base]) -> tuple[str, ...]:
    return tuple(sorted(str(base.reference.at(base.digest)) for base in bases))


def _pushed(rebuild: Rebuild, base: Base) -> bool:
    """Tell whether a rebuild's run pushed what a tag names now."""
    pushed = str(base.reference.at(base.digest))
    return any(image.lower() == pushed.lower() for image in rebuild.output_images)


def _scheduled(context: Context, rebuild: Rebuild, run_id: str) -> Rebuild:
    # The message goes first: a record without a message would never be followed, a message
    # without its record is dropped.
    interval = context.settings.track_interval
    due, follower = context.now() + interval, uuid4().hex
    done = replace(rebuild, state=State.SCHEDULED, run_id=run_id, due=due, follower=follower)
    track = TrackBuild(done.task, done.sequence, done.version + 1, follower)
    context.queue.send(RUNS, track.encode(), interval)
    saved = context.ledger.save(done)
    log.info(
        "task %s: run %s is rebuild %s on %s", done.task, run_id, done.id, ", ".join(done.bases)
    )
    return saved


def _track(context: Context, head: Rebuild) -> None:
    """Make sure that somebody follows the run; a second message for a record changes nothing."""
    track = TrackBuild(head.task, head.sequence, head.version)
    context.queue.send(RUNS, track.encode(), context.settings.track_interval)


def _wait(context: Context, message: StartBuild, back: PutBack, owner: str) -> None:
    """Put a message back, unless another one waits for the same already.

    A message whose sending was not answered is there twice, and each copy would be put back for
    as long as there is something to wait for. So those that wait are counted: the one that is
    marked goes on, and whichever comes after it, or counted alike, is dropped. It is sent before it
    is marked, so that there always is one.
    """
    words = f"{message.task} {message.push.key} {message.anew}"
    mark = context.bookmarks.read(f"wait/{hashlib.sha256(words.encode()).hexdigest()}")
    number, _, waiter = mark.place.partition(" ")
    newest = int(number or 0)
    alike = message.wait == newest and waiter not in ("", message.waiter)
    if 0 < message.wait < newest or (message.wait and alike):
        log.info("task %s: another message waits for: %s", message.task, back.reason)
        return
    count = max(newest, message.wait) + 1
    _put_back(context, replace(message, wait=count, waiter=owner), back)
    kept_until = context.now() + 2 * LONGEST_DELAY
    with suppress(Conflict):  # a copy was marked meanwhile, and goes on
        context.bookmarks.save(replace(mark, place=f"{count} {owner}", kept_until=kept_until))


def _put_back(context: Context, message: StartBuild, back: PutBack) -> None:
    context.queue.send(BUILDS, message.encode(), back.delay)
    log.info("task %s: back in %s, waiting for: %s", message.task, back.delay, back.reason)


def _newer_run(context: Context, rebuild: Rebuild) -> Run | None:
    """Return a run of the task that succeeded and ended after a rebuild's: it made the image."""
    runs = context.tasks.runs(rebuild.task.registry, task=rebuild.task.name, top=_RUNS)
    own = next((run for run in runs if run.run_id == rebuild.run_id), None)
    ended = rebuild.finished_at if own is None else own.finished
    for run in runs:
        later = run.finished is not None and (ended is None or run.finished > ended)
        if run.status is RunStatus.SUCCEEDED and run.run_id != rebuild.run_id and later:
            return run
    return None


def _find_run(context: Context, rebuild: Rebuild) -> str | None:
    """Return the run that an abandoned claim may have started.

    ARM may or may not show a run's token. A run without one that nobody else can have started
    is taken for ours: any run that began after the claim builds on the digests of the claim.
    """
    earliest = rebuild.claimed_at - CLOCKS_DIFFER
    if rebuild.outcome == _WRONG_CLOCK:
        # Nobody knows when it was claimed, only when that was noticed.
        earliest -= LONGEST_LEASE
    known = {r.run_id for r in rebuilds_since(context.ledger, rebuild.task, earliest)}
    runs = context.tasks.runs(rebuild.task.registry, task=rebuild.task.name, top=_RUNS)
    for run in runs:
        unmarked = run.token is None and run.trigger == MANUAL and run.run_id not in known
        if run.token == rebuild.token or (
            unmarked and run.created is not None and run.created >= earliest
        ):
            log.info("task %s: run %s belongs to %s", rebuild.task, run.run_id, rebuild.id)
            return run.run_id
    return None
