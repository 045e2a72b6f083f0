"""Start: claim the rebuild of a task, schedule its run, record the run's id.

The claim is written before the effect and the result after it. Whatever dies in between leaves a
claim whose lease runs out; then the next delivery looks into ARM for the run before it schedules
one. Every change is a compare-and-swap: of any number of deliveries one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import replace

from rebuilder.core.acr.tasks import Run, RunStatus, Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, TagGone
from rebuilder.core.decisions.rebuilds import Circle, OwnOutput, RebuildFailed, RebuildUnderWay
from rebuilder.core.decisions.unreadable import TaskGone, TaskUnreadable
from rebuilder.core.dependencies.index import IndexedTask, with_view
from rebuilder.core.rebuilds.messages import REFRESH, Refresh, StartBuild
from rebuilder.core.rebuilds.pace import expired
from rebuilder.core.rebuilds.rebuild import Hold, Native, Rebuild, State, rebuild_key, rejected
from rebuilder.errors import Conflict, Denied, NotFound, TransientError
from rebuilder.telemetry import signals
from rebuilder.usecases import pace
from rebuilder.usecases.build._circles import follow_chain
from rebuilder.usecases.build._claim import claim, hold, is_of_a_wrong_clock, put_right, take_over
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._native import could_see, newest_runs, used_bases, wait_until
from rebuilder.usecases.build._schedule import follow, record_run, schedule
from rebuilder.usecases.build._waiting import (
    SOON,
    PutBack,
    is_to_wait,
    put_back,
    until_end,
    until_run,
    wait,
)
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import refresh_known
from rebuilder.usecases.plan.bases import other_bases, pushed_base, pushed_reference
from rebuilder.usecases.plan.deciding import decide_for, other_digest, run_since, was_away
from rebuilder.usecases.plan.moves import Moves
from rebuilder.usecases.steering.gate import (
    hold_back,
    ignored,
    still_held,
    waited,
    would_rebuild,
)

log = logging.getLogger(__name__)

_RUNS = 20

_MOVED_ON = "the base moved on before a run was scheduled"


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
    delivery = Delivery(context, message, owner)
    signals.note({signals.PUSH: message.push.key, signals.TASK: str(message.task)})
    try:
        found = _Start(delivery).go()
    except Conflict as error:
        # Another delivery was quicker. What it does is seen when this one comes back.
        found = PutBack(context.settings.track_interval, str(error))
    if not isinstance(found, PutBack):
        return found
    if found.counted:
        wait(context, delivery.message, found, owner)
    else:
        put_back(context, delivery.message, found)
    return None


class _Start:
    """What is found out in one delivery of a message, and what is done about it."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._context = delivery.context
        self._looked: tuple[Task, Moves] | None = None

    def go(self) -> TaskDecision | Rebuild | PutBack:
        context, message = self._context, self._delivery.message
        if message.turn is not None and expired(message.turn, context.now()):
            message = self._delivery.message = replace(message, turn=None)
        head = context.ledger.head(message.task)
        if head is not None and head.state is State.CLAIMED:
            if is_of_a_wrong_clock(context, head):
                head = put_right(context, head)
            if context.now() < head.lease_until:
                # Soon the claim is a run; if it is not by the second look, its holder has died.
                left = head.lease_until - context.now()
                soon = context.settings.track_interval
                wait = min(left, soon) if context.settings.lease - left < soon else left
                return PutBack(wait, f"lease of {head.id}")
            head = take_over(self._delivery, head)
        if foreign := self._delivery.not_configured():
            return self._delivery.decided(head, foreign)
        if head is not None and (held := still_held(self._delivery, head)):
            return held
        # Before anything is read: a thousand messages that wait do not all ask ARM twice.
        crowded = message.turn is None and pace.crowded(context, message.task.registry.subscription)
        if crowded and (later := self._delivery.turn_later()):
            return later
        try:
            recorded = context.tasks.task(message.task)
        except NotFound:
            context.index.remove(message.task, context.now())
            return self._delivery.decided(head, TaskGone(message.task))
        except Denied as error:
            return self._delivery.decided(head, TaskUnreadable(message.task, str(error)))
        self._delivery.runs = newest_runs(context, recorded)
        # What only other sources than ACR's record know is in the index.
        indexed = self._view(recorded)
        task = with_view(recorded, indexed.view if indexed else None)
        reference = pushed_reference(context, message.push)
        base = pushed_base(context, reference, message.push)
        if base is None:
            return self._delivery.decided(head, TagGone(task.id, str(reference)))
        if head is not None and head.state is State.CLAIMED and other_digest(head, base):
            # It is ours by now and no run was started for it, so that none will change the image.
            head = self._delivery.skipped(head, _MOVED_ON)
        moves = Moves(context, base)
        self._looked = (task, moves)
        answer = self._left(head, task, base, moves)
        return self._rebuild(head, task, recorded, base) if answer is None else answer

    def _left(
        self, head: Rebuild | None, task: Task, base: Base, moves: Moves
    ) -> TaskDecision | PutBack | None:
        """Return why nothing is to be built, or when to look again; None if there is a reason."""
        decision = decide_for(self._context, task, base, moves)
        if isinstance(decision, AlreadyBuiltOn):
            if other := self._delivery.runs.under_way():
                # It may end with an image on the one before.
                return until_run(self._context, other)
            if not self._delivery.asked_for(head):
                return self._delivery.decided(head, decision)
        elif not decision.rebuild:
            return self._delivery.decided(head, decision)
        by_policy = ignored(self._context, task, base)
        return None if by_policy is None else self._delivery.decided(head, by_policy)

    def _view(self, recorded: Task) -> IndexedTask | None:
        """Return what the index knows; what a commit may have changed since is read first.

        Raises:
            TransientError: What the task makes was never looked at, and cannot be now.
        """
        context = self._context
        indexed = context.index.view(recorded.id)
        known = indexed is not None and indexed.view.output is not None
        if indexed is not None and known and not self._delivery.runs.ended_since(indexed.read_at):
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
            push=self._delivery.message.push.key,
            state=State.CLAIMED,
            claimed_at=now,
            owner=self._delivery.owner,
            lease_until=now + context.settings.lease,
            repair=int(self._delivery.asked_for(head)),
        )
        wanted = replace(wanted, held=waited(head, wanted.key, _MOVED_ON))
        if head is None:
            return self._attempt(wanted, None, recorded, base)
        if head.key == wanted.key:
            return self._same_digests(head, wanted, recorded, base)
        if head.state.in_flight:
            # Two runs at once may finish in any order: the one on older digests ends first.
            follow(context, head)
            return until_end(context, head.id, head.claimed_at)
        if _pushed(head, base):
            own = OwnOutput(task.id, str(base.reference), base.digest, head.run_id)
            return self._delivery.decided(head, own)
        repair_waits = head.state is State.SUCCEEDED and head.due is not None
        if head.unsettled and not repair_waits:
            self._delivery.skipped(head, _MOVED_ON)
        found = self._attempt(wanted, None, recorded, base)
        if repair_waits and isinstance(found, Circle):
            # What moved is no reason to build; that the last run left an old base in is still one,
            # and nobody else would find it: what ACR has recorded is the new one.
            return self._repair(head, wanted, recorded, base)
        if repair_waits and isinstance(found, Rebuild):
            self._delivery.skipped(head, _MOVED_ON)
        return found

    def _same_digests(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        context = self._context
        on = str(base.reference.at(base.digest)) in head.bases
        match head.state:
            case State.SUCCEEDED if self._delivery.asked_for(head) or self._is_gone(head):
                again = replace(wanted, repair=head.repair + 1)
                return self._attempt(again, None, recorded, base)
            case State.SUCCEEDED if on and head.repairable:
                return self._repair(head, wanted, recorded, base)
            case State.SUCCEEDED if on:
                return self._done(head, base, "ledger of rebuilds")
            case State.SCHEDULED | State.RUNNING:
                follow(context, head)
                if self._was_away(head):
                    return until_end(context, head.id, head.claimed_at)
                return self._delivery.decided(
                    head, RebuildUnderWay(head.task, head.id, head.run_id)
                )
            case State.GIVEN_UP if not self._delivery.may_retry(head):
                return self._delivery.decided(head, rejected(head) or given_up(head))
            case State.FAILED:
                if (
                    head.due is not None
                    and is_to_wait(context, head, head.due)
                    and not self._delivery.asked_for(head)
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

    def _is_gone(self, head: Rebuild) -> bool:
        """Tell whether what a rebuild left is not, or may not be, what the task stands on."""
        return self._was_away(head) or (
            self._looked is not None and run_since(self._context, head, *self._looked)
        )

    def _was_away(self, head: Rebuild) -> bool:
        """Tell whether the tag named another digest while a rebuild on this one was under way."""
        return self._looked is not None and was_away(self._context, head, *self._looked) is not None

    def _done(self, head: Rebuild, base: Base, known_from: str) -> TaskDecision:
        name = str(base.reference)
        return self._delivery.decided(
            head, AlreadyBuiltOn(head.task, name, base.digest, known_from)
        )

    def _repair(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        """Build again what a run left on an old base, unless another run has seen to it."""
        if head.due is not None and is_to_wait(self._context, head, head.due):
            wait = head.due - self._context.now()
            return PutBack(wait, f"repair {head.repair + 1} after {head.id}")
        newer = _newer_run(self._context, head)
        if newer is not None:
            head = self._context.ledger.save(replace(head, due=None, stale_by=None))
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
            found = follow_chain(self._delivery, rebuild, base)
            if not isinstance(found, Rebuild):
                return found
            rebuild = found
        now = context.now()
        if (
            rebuild.hold is Hold.ARM
            and rebuild.due is not None
            and now + SOON < rebuild.due
            and is_to_wait(context, rebuild, rebuild.due)
        ):
            return PutBack(rebuild.due - now, f"ARM: {rebuild.outcome}")
        if could_see(recorded, base, self._delivery.message.push):
            run = self._delivery.runs.native(base)
            used = None if run is None else used_bases(context, run, rebuild, base)
            if run is not None and used is not None:
                if other := self._delivery.runs.under_way(before=run):
                    return until_run(context, other)
                claimed = claim(self._delivery, rebuild)
                adopted = replace(claimed, bases=_names(used), native=Native.ADOPTED)
                log.info("task %s: native run %s is %s", rebuild.task, run.run_id, rebuild.id)
                return record_run(context, adopted, run.run_id)
            held = rebuild.state is State.HELD and rebuild.hold is Hold.NATIVE
            if held and rebuild.due is not None and is_to_wait(context, rebuild, rebuild.due):
                return PutBack(rebuild.due - now, "the native trigger")
            if before is None:
                due = wait_until(context, self._delivery.message.push)
                if now < due:
                    hold(context, rebuild, due)
                    return PutBack(due - now, "the native trigger")
            if before is None or held:
                rebuild = replace(rebuild, native=Native.MISSED)
        if other := self._delivery.runs.under_way():
            return until_run(context, other)
        if kept := self._kept_back(rebuild, before, recorded, base):
            return kept
        if self._delivery.message.turn is None and (later := self._delivery.turn_later()):
            return later
        return schedule(self._delivery, claim(self._delivery, rebuild))

    def _kept_back(
        self, rebuild: Rebuild, before: Rebuild | None, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | None:
        """Return a rebuild that operators let not begin now; None if it may."""
        task = recorded if self._looked is None else self._looked[0]
        if held := hold_back(self._delivery, rebuild, task, base):
            return held
        observed = would_rebuild(self._context, rebuild, base)
        return None if observed is None else self._delivery.decided(before, observed)


def given_up(head: Rebuild) -> RebuildFailed:
    """Return why a task is not tried again on the same digests."""
    outcome = head.outcome or ""
    cause = head.cause.sentence() if head.cause else None
    return RebuildFailed(head.task, head.id, head.run_id, outcome, head.attempt, head.advice, cause)


def _names(bases: Iterable[Base]) -> tuple[str, ...]:
    return tuple(sorted(str(base.reference.at(base.digest)) for base in bases))


def _pushed(rebuild: Rebuild, base: Base) -> bool:
    """Tell whether a rebuild's run pushed what a tag names now."""
    pushed = str(base.reference.at(base.digest))
    return any(image.lower() == pushed.lower() for image in rebuild.output_images)


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
