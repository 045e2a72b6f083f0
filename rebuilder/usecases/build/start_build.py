"""Start: claim the rebuild of a task, schedule its run, record the run's id.

The claim is written before the effect and the result after it. Whatever dies in between leaves a
claim whose lease runs out; then the next delivery looks into ARM for the run before it schedules
one. Every change is a compare-and-swap: of any number of deliveries one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from copy import replace
from functools import partial

from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, NeverRan, TagGone
from rebuilder.core.decisions.rebuilds import Cycle, OwnOutput, RebuildFailed, RebuildUnderWay
from rebuilder.core.decisions.unreadable import TaskGone, TaskUnreadable
from rebuilder.core.dependencies.index import with_view
from rebuilder.core.rebuilds.messages import StartBuild
from rebuilder.core.rebuilds.next_step import Step, Wanted, next_step, of_claim, waits
from rebuilder.core.rebuilds.pace import expired
from rebuilder.core.rebuilds.rebuild import Hold, Native, Rebuild, State, rebuild_key, rejected
from rebuilder.errors import Conflict, Denied, NotFound
from rebuilder.telemetry import signals
from rebuilder.telemetry.dimensions import lines_of_its_own, of_task
from rebuilder.usecases import pace
from rebuilder.usecases.build._cycles import follow_chain
from rebuilder.usecases.build._claim import claim, hold, put_right, take_over
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._native import could_see, newer_run, used_bases, wait_until
from rebuilder.usecases.build._schedule import follow, record_run
from rebuilder.usecases.build._waiting import (
    PutBack,
    put_back,
    until_due,
    until_end,
    until_run,
    wait,
)
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.bases import other_bases, pushed_base, pushed_reference
from rebuilder.usecases.plan.deciding import decide_for, other_digest, run_since, was_away
from rebuilder.usecases.plan.moves import Moves
from rebuilder.usecases.steering import places
from rebuilder.usecases.steering.gate import (
    begin,
    hold_back,
    ignored,
    still_held,
    waited,
    would_rebuild,
)

log = logging.getLogger(__name__)


@lines_of_its_own
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
    signals.note(of_task(message.task, message.push.key))
    try:
        found = _Start(delivery).go()
    except Conflict as error:
        # Another delivery was quicker. What it does is seen when this one comes back.
        found = PutBack(context.settings.track_interval, str(error))
    finally:
        if delivery.lined:
            places.settle(context, message.task)
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
        if head is not None and (step := of_claim(head, context.now())):
            if step is Step.PUT_RIGHT:
                head = put_right(context, head)
            if step is not Step.TAKE_OVER:
                return self._until_claimed(head)
            self._delivery.lined = True  # it may have had a place
            head = take_over(self._delivery, head)
        if foreign := self._delivery.not_configured():
            return self._delivery.decided(head, foreign)
        if head is not None and (held := still_held(self._delivery, head)):
            return held
        # Before anything is read: a thousand messages that wait do not all ask ARM twice.
        crowded = message.turn is None and pace.crowded(context, message.task.registry.subscription)
        if crowded and (later := self._delivery.turn_later()):
            return later
        return self._decide(head, partial(self._delivery.read, head))

    def _decide(
        self, head: Rebuild | None, read: Callable[[], Task]
    ) -> TaskDecision | Rebuild | PutBack:
        """Decide by what ARM tells of the task now; what a list told lets no task alone."""
        context, message = self._context, self._delivery.message
        try:
            recorded = read()
        except NotFound:
            context.index.remove(message.task, context.now())
            return self._delivery.decided(head, TaskGone(message.task))
        except Denied as error:
            return self._delivery.decided(head, TaskUnreadable(message.task, str(error)))
        # What only other sources than ACR's record know is in the index.
        indexed = self._delivery.view(recorded)
        task = with_view(recorded, indexed.view if indexed else None)
        reference = pushed_reference(context, message.push)
        base = pushed_base(context, reference, message.push)
        if base is None:
            return self._delivery.decided(head, TagGone(task.id, str(reference)))
        if head is not None and head.state is State.CLAIMED and other_digest(head.bases, base):
            # It is ours by now and no run was started for it, so that none will change the image.
            head = self._delivery.overtaken(head)
        moves = Moves(context, base)
        self._looked = (task, moves)
        left = self._left(head, task, base, moves)
        if isinstance(left, PutBack):
            return left
        if left is None:
            return self._rebuild(head, task, recorded, base)
        if recorded.age:
            return self._decide(head, partial(context.tasks.task, task.id))
        return self._delivery.decided(head, left)

    def _until_claimed(self, head: Rebuild) -> PutBack:
        """Return when to look again at a claim whose holder is at work."""
        # Soon the claim is a run; if it is not by the second look, its holder has died.
        left = head.lease_until - self._context.now()
        soon = self._context.settings.track_interval
        wait = min(left, soon) if self._context.settings.lease - left < soon else left
        return PutBack(wait, f"lease of {head.id}")

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
                return decision
        elif not decision.rebuild:
            by_hand = self._delivery.message.hand is not None and self._delivery.asked_for(head)
            if not (by_hand and isinstance(decision, NeverRan)):
                return decision
        return ignored(self._delivery, task, base)

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
        wanted = replace(wanted, held=waited(head, wanted.key))
        if head is None:
            return self._attempt(wanted, None, recorded, base)
        if head.state is State.SUCCEEDED and other_digest(head.bases, base):
            self._delivery.built_at = head.claimed_at
        if head.state.in_flight:
            follow(context, head)
        return self._go_on(head, wanted, recorded, base)

    def _go_on(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        """Do what comes next for a task that was rebuilt before."""
        step = next_step(head, self._wanted(head, wanted, base), self._context.now())
        match step:
            case Step.BUILT | Step.UNDER_WAY | Step.GIVEN_UP | Step.OWN_OUTPUT:
                return self._delivery.decided(head, _nothing(step, head, base))
            case Step.WAIT_FOR_RUN:
                return until_end(self._context, head.id, head.claimed_at)
            case Step.WAIT_UNTIL_DUE:
                return until_due(head, self._context.now())
        if head.due is not None:
            # It is not waited for; whose clock is wrong is told.
            what = f"what rebuild {head.id} waits for"
            impossible(what, head.due, self._context.now(), head.longest_wait)
        match step:
            case Step.GO_ON:
                return self._attempt(head, head, recorded, base)
            case Step.ATTEMPT:
                again = replace(
                    wanted.in_place_of(head), attempt=head.attempt + 1, repair=head.repair
                )
                return self._attempt(again, head, recorded, base)
            case Step.REPAIR:
                return self._repair(head, wanted, recorded, base)
            case Step.BEGIN_AGAIN:
                wanted = replace(wanted, repair=head.repair + 1)
            case Step.BEGIN_INSTEAD:
                self._delivery.overtaken(head)
            case Step.BEGIN_BESIDE_REPAIR:
                return self._beside_repair(head, wanted, recorded, base)
        return self._attempt(wanted, None, recorded, base)

    def _wanted(self, head: Rebuild, wanted: Rebuild, base: Base) -> Wanted:
        """Return what is wanted; what only a look tells is looked at where it matters."""
        asked, image = self._delivery.asked_for(head), base.image
        away = False
        if head.key == wanted.key:
            done = head.state is State.SUCCEEDED and not asked
            away = self._is_gone(head) if done else head.state.in_flight and self._was_away(head)
        retry = self._delivery.may_retry(head)
        return Wanted(wanted.key, image, self._delivery.owner, asked, retry, away)

    def _is_gone(self, head: Rebuild) -> bool:
        """Tell whether what a rebuild left is not, or may not be, what the task stands on."""
        return self._was_away(head) or (
            self._looked is not None and run_since(self._context, head, *self._looked)
        )

    def _was_away(self, head: Rebuild) -> bool:
        """Tell whether the tag named another digest while a rebuild on this one was under way."""
        return self._looked is not None and was_away(self._context, head, *self._looked) is not None

    def _beside_repair(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        """Begin a rebuild on other digests while the newest one waits for its repair."""
        # The repair itself may ask for it: the task's other images are others since it was edited.
        if base.image in head.bases and (seen_to := self._seen_to(head, base)):
            return seen_to
        found = self._attempt(wanted, None, recorded, base)
        if isinstance(found, Cycle):
            # What moved is no reason to build; that the last run left an old base in is still one,
            # and nobody else would find it: what ACR has recorded is the new one.
            now = self._context.now()
            if waits(head, now):
                return until_due(head, now)
            return self._repair(head, wanted, recorded, base)
        if isinstance(found, Rebuild):
            self._delivery.overtaken(head)
        return found

    def _repair(
        self, head: Rebuild, wanted: Rebuild, recorded: Task, base: Base
    ) -> TaskDecision | Rebuild | PutBack:
        """Build again what a run left on an old base, unless another run has seen to it."""
        if seen_to := self._seen_to(head, base):
            return seen_to
        again = replace(wanted.in_place_of(head), repair=head.repair + 1)
        return self._attempt(again, head, recorded, base)

    def _seen_to(self, head: Rebuild, base: Base) -> TaskDecision | None:
        """End a repair, if another run has made the image since; None if none has."""
        newer = newer_run(self._context, head)
        if newer is None:
            return None
        head = self._context.ledger.save(replace(head, due=None, stale_by=None))
        return self._delivery.decided(
            head, _built(head, base, f"run {newer.run_id}, which ended later")
        )

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
            if held and rebuild.due is not None and waits(rebuild, now):
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
        return begin(self._delivery, claim(self._delivery, self._delivery.begun(rebuild)))

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


def _nothing(step: Step, head: Rebuild, base: Base) -> TaskDecision:
    """Return why nothing is built, by what comes next."""
    match step:
        case Step.UNDER_WAY:
            return RebuildUnderWay(head.task, head.id, head.run_id)
        case Step.GIVEN_UP:
            return rejected(head) or given_up(head)
        case Step.OWN_OUTPUT:
            return OwnOutput(head.task, str(base.reference), base.digest, head.run_id)
    return _built(head, base, "ledger of rebuilds")


def _built(head: Rebuild, base: Base, known_from: str) -> AlreadyBuiltOn:
    return AlreadyBuiltOn(head.task, str(base.reference), base.digest, known_from)


def _names(bases: Iterable[Base]) -> tuple[str, ...]:
    return tuple(sorted(base.image for base in bases))
