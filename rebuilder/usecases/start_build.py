"""Start: claim the rebuild of a task, schedule its run, record the run's id.

The claim is written before the effect and the result after it. Whatever dies in between leaves a
claim whose lease runs out; then the next delivery looks into ARM for the run before it schedules
one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from rebuilder.core.decisions import (
    AlreadyBuiltOn,
    Base,
    OwnOutput,
    RebuildFailed,
    RebuildUnderWay,
    TagGone,
    TaskDecision,
    TaskGone,
    wants,
)
from rebuilder.core.index import with_view
from rebuilder.core.messages import BUILDS, RUNS, StartBuild, TrackBuild
from rebuilder.core.rebuilds import Rebuild, State, rebuild_key
from rebuilder.core.tasks import MANUAL, Task
from rebuilder.errors import (
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    Throttled,
    TransientError,
)
from rebuilder.usecases._deciding import current_base, decide_for, pushed_reference
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
"""Longer than a request to ARM may take, so that a live holder is not overtaken."""

_THROTTLED = timedelta(seconds=30)
_CLOCKS_DIFFER = timedelta(seconds=5)
_RUNS = 20


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
    try:
        return _start(context, message, owner)
    except Conflict as error:
        # Another delivery was quicker. What it does is seen when this one comes back.
        _later(context, message, context.settings.track_interval, str(error))
        return None


def _start(context: Context, message: StartBuild, owner: str) -> TaskDecision | Rebuild | None:
    try:
        task = context.tasks.task(message.task)
    except NotFound:
        return _decided(context, message, TaskGone(message.task))
    # What only other sources than ACR's record know is in the index.
    indexed = context.index.view(task.id)
    task = with_view(task, indexed.view if indexed else None)
    reference = pushed_reference(context, message.push)
    base = current_base(context, reference, message.push.digest)
    if base is None:
        return _decided(context, message, TagGone(task.id, str(reference)))
    decision = decide_for(context, task, base)
    if not decision.rebuild:
        return _decided(context, message, decision)
    bases = [base, *_other_bases(context, task, base)]
    now = context.now()
    head = context.ledger.head(task.id)
    wanted = Rebuild(
        task=task.id,
        sequence=1 if head is None else head.sequence + 1,
        key=rebuild_key(task.id, bases),
        bases=tuple(sorted(str(b.reference.at(b.digest)) for b in bases)),
        push=message.push.key,
        state=State.CLAIMED,
        claimed_at=now,
        owner=owner,
        lease_until=now + LEASE,
    )
    if head is not None and head.key == wanted.key:
        return _same_digests(context, message, head, wanted, base)
    if head is not None and not head.state.over:
        return _other_digests(context, message, head, owner)
    if head is not None and _pushed(head, base):
        own = OwnOutput(task.id, str(reference), base.digest, head.run_id)
        return _decided(context, message, own)
    if not context.ledger.claim(wanted):
        raise Conflict(f"task {task.id}: rebuild {wanted.id} was claimed by another delivery")
    return _schedule(context, message, wanted)


def _pushed(rebuild: Rebuild, base: Base) -> bool:
    """Tell whether a rebuild's run pushed what a tag names now."""
    pushed = str(base.reference.at(base.digest))
    return any(image.lower() == pushed.lower() for image in rebuild.output_images)


def _decided(context: Context, message: StartBuild, decision: TaskDecision) -> TaskDecision:
    context.ledger.record_decisions(message.push, [decision], context.now())
    log.info("task %s not rebuilt (%s): %s", decision.task, decision.code, decision.sentence())
    return decision


def _other_bases(context: Context, task: Task, pushed: Base) -> list[Base]:
    """Return what the task's other tags in base registries name now: the run will use them too."""
    hosts = context.base_hosts()
    recorded = {
        dependency.reference: dependency.built_on or ""
        for dependency in task.dependencies
        if dependency.reference.digest is None
        and dependency.reference.domain in hosts
        and dependency.reference != pushed.reference
        and wants(task, dependency, context.settings.rebuild_for)
    }
    found = [current_base(context, ref, built_on) for ref, built_on in recorded.items()]
    return [base for base in found if base is not None and base.digest]


def _same_digests(
    context: Context, message: StartBuild, head: Rebuild, wanted: Rebuild, base: Base
) -> TaskDecision | Rebuild | None:
    """Leave the rebuild that exists alone, unless its claim was abandoned."""
    if head.state is State.SUCCEEDED:
        known_from = "ledger of rebuilds"
        done = AlreadyBuiltOn(head.task, str(base.reference), base.digest, known_from)
        return _decided(context, message, done)
    if head.state is State.FAILED:
        failed = RebuildFailed(head.task, head.id, head.run_id, head.outcome or "")
        return _decided(context, message, failed)
    if head.state is State.SCHEDULED:
        _track(context, head)
        return _decided(context, message, RebuildUnderWay(head.task, head.id, head.run_id))
    now = context.now()
    if now < head.lease_until:
        # Its holder may have died; soon the claim is a run, or the lease is over.
        delay = min(head.lease_until - now, context.settings.track_interval)
        _later(context, message, delay, f"lease of {head.id}")
        return None
    held = context.ledger.save(replace(head, owner=wanted.owner, lease_until=wanted.lease_until))
    run = _find_run(context, held)
    return _schedule(context, message, held) if run is None else _scheduled(context, held, run)


def _other_digests(
    context: Context, message: StartBuild, head: Rebuild, owner: str
) -> TaskDecision | Rebuild | None:
    """Let the rebuild on older digests end first: two runs at once may finish in any order."""
    now = context.now()
    if head.state is State.SCHEDULED:
        _track(context, head)
    elif head.lease_until <= now:
        held = context.ledger.save(replace(head, owner=owner, lease_until=now + LEASE))
        run = _find_run(context, held)
        if run is None:
            _failed(context, held, "the base moved on before a run was scheduled")
        else:
            _scheduled(context, held, run)
    _later(context, message, context.settings.track_interval, f"end of {head.id}")
    return None


def _schedule(context: Context, message: StartBuild, rebuild: Rebuild) -> Rebuild | None:
    try:
        run_id = context.tasks.schedule(rebuild.task, rebuild.token)
    except OutcomeUnknown as error:
        # The lease keeps everybody off until a run that was started can be seen in ARM.
        log.warning("rebuild %s of %s: %s", rebuild.id, rebuild.task, error)
        _later(context, message, LEASE, "whether a run was started")
        return None
    except TransientError as error:
        # Nothing was started, so nobody need wait for the lease.
        context.ledger.save(replace(rebuild, lease_until=context.now()))
        if isinstance(error, Throttled):
            _later(context, message, error.retry_after or _THROTTLED, str(error))
            return None
        raise
    except PermanentError as error:
        return _failed(context, rebuild, str(error))
    return _scheduled(context, rebuild, run_id)


def _scheduled(context: Context, rebuild: Rebuild, run_id: str) -> Rebuild:
    # The message goes first: a record without a message would never be followed, a message
    # without its record is dropped.
    done = replace(rebuild, state=State.SCHEDULED, run_id=run_id)
    track = TrackBuild(done.task, done.sequence, done.version + 1)
    context.queue.send(RUNS, track.encode(), context.settings.track_interval)
    saved = context.ledger.save(done)
    log.info(
        "task %s: run %s is rebuild %s on %s", done.task, run_id, done.id, ", ".join(done.bases)
    )
    return saved


def _failed(context: Context, rebuild: Rebuild, outcome: str) -> Rebuild:
    log.error("task %s: rebuild %s was not scheduled: %s", rebuild.task, rebuild.id, outcome)
    return context.ledger.save(
        replace(rebuild, state=State.FAILED, finished_at=context.now(), outcome=outcome)
    )


def _track(context: Context, head: Rebuild) -> None:
    """Make sure that somebody follows the run; a second message for a record changes nothing."""
    track = TrackBuild(head.task, head.sequence, head.version)
    context.queue.send(RUNS, track.encode(), context.settings.track_interval)


def _later(context: Context, message: StartBuild, delay: timedelta, reason: str) -> None:
    context.queue.send(BUILDS, message.encode(), delay)
    log.info("task %s: back in %s, waiting for: %s", message.task, delay, reason)


def _find_run(context: Context, rebuild: Rebuild) -> str | None:
    """Return the run that an abandoned claim may have started.

    ARM may or may not show a run's token. A run without one that nobody else can have started
    is taken for ours: any run that began after the claim builds on the digests of the claim.
    """
    known = {r.run_id for r in context.ledger.rebuilds(rebuild.task)}
    earliest = rebuild.claimed_at - _CLOCKS_DIFFER
    runs = context.tasks.runs(rebuild.task.registry, task=rebuild.task.name, top=_RUNS)
    for run in runs:
        unmarked = run.token is None and run.trigger == MANUAL and run.run_id not in known
        if run.token == rebuild.token or (
            unmarked and run.created is not None and run.created >= earliest
        ):
            log.info("task %s: run %s belongs to %s", rebuild.task, run.run_id, rebuild.id)
            return run.run_id
    return None
