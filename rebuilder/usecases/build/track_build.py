"""Track: follow a run to its end and record what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import replace
from datetime import datetime, timedelta
from uuid import uuid4

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Run, RunStatus, Task
from rebuilder.core.dependencies.outputs import Verdict
from rebuilder.core.events.pushes import Push
from rebuilder.core.failures.pulls import RateLimited
from rebuilder.core.failures.run_logs import shown
from rebuilder.core.rebuilds.messages import BUILDS, REFRESH, RUNS, Refresh, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import (
    LONGEST_WAIT,
    REPAIR_WAITS,
    Check,
    Failure,
    Rebuild,
    State,
    next_wait,
)
from rebuilder.errors import Conflict, NotFound, RebuilderError, TransientError
from rebuilder.isolation import attempt
from rebuilder.ports.acr import LATELY
from rebuilder.telemetry import metrics, signals
from rebuilder.telemetry.dimensions import REGISTRY, lines_of_its_own, of_task
from rebuilder.usecases.build._causes import with_cause
from rebuilder.usecases.build._told import about, changed
from rebuilder.usecases.build.output import check_output, task_of
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import refresh_known
from rebuilder.usecases.messages.tell import tell
from rebuilder.usecases.steering import places
from rebuilder.usecases.steering.gate import attempts
from rebuilder.usecases.waves.wake import wake

log = logging.getLogger(__name__)

_RATE_WAIT = timedelta(hours=1)
"""How long a registry is left alone that does not say how long. Docker Hub counts over six hours,
and by address: another agent may have another one."""

_QUEUED_LONG = timedelta(minutes=30)
"""After so long in ACR's queue a run is reported. No setting: nothing else depends on it, and
Azure's own agents take a run within minutes, even at their limit."""

_MOST_UNREAD = 60
"""How often what came of a run is looked at again if it cannot be read: a quarter of an hour, by
default. Counted and not timed, for the clock of whoever looks may be wrong."""

_LATER = REPAIR_WAITS
"""When it is looked at once more, each time so long after the look before, if it could not be read
until then. The rebuild is over meanwhile: nobody waits for it."""


class _Sent(Struct, frozen=True):
    """A message that is to be sent."""

    queue: str
    body: str
    delay: timedelta = timedelta()


class _Next(Struct, frozen=True):
    """What a look at a run leads to.

    Attributes:
        rebuild: The record as it is to be stored.
        messages: What is to be sent first: a record without its message would never be gone on
            with, a message without its record is dropped.
    """

    rebuild: Rebuild
    messages: tuple[_Sent, ...] = ()


@lines_of_its_own
def track_build(context: Context, message: TrackBuild) -> Rebuild | None:
    """Look at a run once; come back later unless it is over.

    Returns:
        The rebuild when it is over; None if its run goes on, or if another message has overtaken
        this one.

    Raises:
        TransientError: Nothing was learnt.
    """
    signals.note(of_task(message.task))
    if message.task.registry not in context.settings.task_registries:
        # The record stays as it is: if the registry is named again, a sweep goes on with it.
        log.warning("task %s: its registry is no task registry any more", message.task)
        return None
    try:
        if message.unread > _MOST_UNREAD:
            return _look_later(context, message)
        found = _look(context, message)
        if found is None:
            return None
        _send(context, found.messages)
        tell(context, found.rebuild)
        saved = context.ledger.save(found.rebuild)
    except Conflict as error:
        # Two messages for one record, at once: the other was quicker, and goes on.
        log.info("task %s: %s", message.task, error)
        return None
    if not saved.state.over:
        return None
    places.leave(context, saved)
    changed(context, saved)
    wake(context, saved)
    log.log(
        logging.INFO if saved.state is State.SUCCEEDED else logging.ERROR,
        "task %s: run %s, rebuild %s is %s: %s%s",
        saved.task,
        saved.run_id,
        saved.id,
        saved.state,
        saved.outcome,
        f"; {saved.cause.sentence()}" if saved.cause else "",
    )
    return saved


def _look(context: Context, message: TrackBuild) -> _Next | None:
    """Return what is to become of the record that a message is for; None if nothing is."""
    rebuild = context.ledger.rebuild(message.task, message.sequence)
    if rebuild is not None and rebuild.state.over:
        # Whoever ended it may have come no further.
        places.leave(context, rebuild)
        if rebuild.version == message.record + 1:
            wake(context, rebuild)
    if (
        rebuild is None
        or rebuild.run_id is None
        or rebuild.state.over
        or rebuild.version != message.record
        or message.follower not in ("", rebuild.follower)
    ):
        log.info("task %s: another message follows rebuild %s", message.task, message.sequence)
        return None
    signals.note(about(rebuild))
    try:
        run = context.tasks.run(rebuild.task.registry, rebuild.run_id)
    except NotFound as error:
        return _failed(context, rebuild, Failure.INFRASTRUCTURE, str(error), None)
    if not run.status.terminal:
        return _goes_on(context, message, rebuild, run)
    at = context.now()
    task = _task_after(context, rebuild, run)
    outcome = f"{run.status}: {shown(run.error)}" if run.error else run.status.value
    rebuild = replace(
        rebuild,
        output_images=run.output_images,
        run_ended=run.finished,
        dependencies=task.built_on if task else (),
        advice=None,
    )
    patient = message.unread < _MOST_UNREAD
    unread = replace(message, unread=message.unread + 1)
    if run.status is RunStatus.SUCCEEDED:
        try:
            verdict = check_output(context, rebuild, task, run, patient=patient)
        except TransientError as error:
            advice = f"run {run.run_id} succeeded; what it pushed is looked at again: {error}"
            return _goes_on(context, unread, rebuild, run, advice)
        # What was known before tells what is old, so this comes last.
        refreshed = _refreshed(context, task, at - task.age if task else at)
        return _succeeded(context, rebuild, verdict, outcome, refreshed=refreshed)
    failure = _FAILURES[run.status]
    if failure is Failure.CANCELED:
        return _failed(context, rebuild, failure, outcome, task)
    told = with_cause(context, rebuild, run, task, patient=patient)
    if told is None:
        return _goes_on(context, unread, rebuild, run)
    return _failed(context, told, failure, outcome, task)


def _look_later(context: Context, message: TrackBuild) -> Rebuild | None:
    """Look once more at what could not be read when its run was over; None if it cannot be now.

    What is told of a rebuild that is over was told then.

    Raises:
        Conflict: Another message for the record was quicker.
    """
    rebuild = context.ledger.head(message.task)
    if (
        rebuild is None
        or (rebuild.sequence, rebuild.version) != (message.sequence, message.record)
        or rebuild.state is not State.SUCCEEDED
        or rebuild.check is not Check.UNKNOWN
    ):
        log.info("task %s: another message follows rebuild %s", message.task, message.sequence)
        return None
    signals.note(about(rebuild))
    task = task_of(context, rebuild)
    if task is None:
        return None  # it is gone
    try:
        run = context.tasks.run(task.id.registry, rebuild.run_id or "")
    except NotFound:
        run = None
    looks = message.unread - _MOST_UNREAD
    try:
        verdict = check_output(context, rebuild, task, run, patient=True)
    except TransientError as error:
        log.warning("task %s: what run %s pushed: %s", task.id, rebuild.run_id, error)
        if looks < len(_LATER):
            _send(context, [_later(rebuild, rebuild.version, looks)])
        return None
    found = _succeeded(context, rebuild, verdict, rebuild.outcome or "", refreshed=True)
    _send(context, found.messages)
    return context.ledger.save(replace(found.rebuild, finished_at=rebuild.finished_at))


def _send(context: Context, messages: Iterable[_Sent]) -> None:
    for sent in messages:
        context.queue.send(sent.queue, sent.body, sent.delay)


def _task_after(context: Context, rebuild: Rebuild, run: Run) -> Task | None:
    """Return a task as it is after a run; None if it is gone.

    Where runs of many end together a list tells, if it was begun after this one had ended. It is
    believed if it names what the run was for: neither does anybody know whether ACR lists what it
    has just recorded, nor are its clock and ours the same. A run that failed records nothing.
    """
    if run.status is not RunStatus.SUCCEEDED or run.finished is None:
        return task_of(context, rebuild)
    task = task_of(context, rebuild, min(LATELY, context.now() - run.finished))
    if task is None or not task.age or _names(task, rebuild):
        return task
    return task_of(context, rebuild)


def _names(task: Task, rebuild: Rebuild) -> bool:
    """Tell whether ACR's record of a task names what a rebuild was for, as far as ACR sees that."""
    recorded = {d.reference: d.built_on for d in task.dependencies}
    bases = [ImageReference.parse(base) for base in rebuild.bases]
    seen = [base for base in bases if base.at(None) in recorded]
    return bool(seen) and all(recorded[base.at(None)] == base.digest for base in seen)


_FAILURES = {
    RunStatus.FAILED: Failure.BUILD,
    RunStatus.CANCELED: Failure.CANCELED,
    RunStatus.ERROR: Failure.INFRASTRUCTURE,
    RunStatus.TIMEOUT: Failure.INFRASTRUCTURE,
}


def _goes_on(
    context: Context,
    message: TrackBuild,
    rebuild: Rebuild,
    run: Run,
    advice: str | None = None,
) -> _Next:
    now = context.now()
    follower = uuid4().hex
    again = replace(message, record=rebuild.version + 1, follower=follower)
    queued = run.status is RunStatus.QUEUED
    waited = now - (run.created or rebuild.claimed_at)
    if queued and waited > _QUEUED_LONG:
        advice = (
            f"no agent has taken run {run.run_id} since {run.created or rebuild.claimed_at:%F %T}:"
            " look at the agent pool, or at Azure's status; another run is not started beside it"
        )
        if advice != rebuild.advice:
            # Once, and not at each look.
            log.warning("task %s: %s", rebuild.task, advice)
            signals.tell(metrics.WITHOUT_AGENT, by={REGISTRY: rebuild.task.registry.name})
    state = State.SCHEDULED if queued else State.RUNNING
    if state is not rebuild.state:
        # A build may be looked at a hundred times.
        log.info("task %s: run %s is %s", rebuild.task, run.run_id, state)
    over = run.status.terminal  # what came of it is looked at again, so often
    wait = context.settings.track_interval if over else places.until_look(context, rebuild)
    return _Next(
        replace(rebuild, state=state, due=now + wait, advice=advice, follower=follower),
        (_Sent(RUNS, again.encode(), wait),),
    )


def _succeeded(
    context: Context, rebuild: Rebuild, verdict: Verdict, outcome: str, *, refreshed: bool
) -> _Next:
    """Have it done again later if its image stands on an old base, and that may help."""
    done = replace(
        rebuild,
        state=State.SUCCEEDED,
        outcome=outcome,
        due=None,
        check=verdict.check,
        check_reason=verdict.reason,
        stale_by=verdict.likely if verdict.check is Check.STALE else None,
    )
    if verdict.unread:
        return _over(context, done, _later(done, done.version + 1, 0), refreshed=refreshed)
    if not done.repairable:
        return _over(context, done, refreshed=refreshed)
    wait = REPAIR_WAITS[done.repair]
    done = replace(done, due=context.now() + wait)
    return _over(context, done, _again(done, wait), refreshed=refreshed)


def _failed(
    context: Context, rebuild: Rebuild, failure: Failure, outcome: str, task: Task | None
) -> _Next:
    """Have it tried again later, or give it up: then the circuit is open for these digests."""
    settings, cause = context.settings, rebuild.cause
    first = {
        Failure.INFRASTRUCTURE: settings.retry_wait,
        Failure.BUILD: settings.retry_build_wait,
    }.get(failure)
    rebuild = replace(rebuild, failure=failure, outcome=outcome)
    hopeless = cause is not None and not cause.heals
    if first is None or hopeless or rebuild.attempt >= attempts(context, rebuild, task):
        return _over(context, replace(rebuild, state=State.GIVEN_UP, due=None))
    wait = next_wait(first, rebuild.attempt)
    if isinstance(cause, RateLimited):
        asked = next_wait(_RATE_WAIT, rebuild.attempt) if cause.wait is None else cause.wait
        wait = min(max(wait, asked), LONGEST_WAIT)
    failed = replace(rebuild, state=State.FAILED, due=context.now() + wait)
    return _over(context, failed, _again(failed, wait))


def _again(rebuild: Rebuild, wait: timedelta) -> _Sent:
    message = StartBuild(Push.from_key(rebuild.push), rebuild.task)
    return _Sent(BUILDS, message.encode(), wait)


def _later(rebuild: Rebuild, record: int, looks: int) -> _Sent:
    """Return what has it looked at once more what a rebuild pushed, after so many later looks."""
    unread = _MOST_UNREAD + 1 + looks
    message = TrackBuild(rebuild.task, rebuild.sequence, record, unread=unread)
    return _Sent(RUNS, message.encode(), _LATER[looks])


def _over(context: Context, rebuild: Rebuild, *messages: _Sent, refreshed: bool = False) -> _Next:
    done = replace(rebuild, finished_at=context.now())
    if not refreshed:
        refresh = Refresh.of(done.task, context.now())
        messages = (*messages, _Sent(REFRESH, refresh.encode()))
    return _Next(done, messages)


def _refreshed(context: Context, task: Task | None, at: datetime) -> bool:
    """Store what the run changed about what is known of the task: it has just been read."""
    if task is None:
        return False
    refreshed = attempt(lambda known: refresh_known(context, known, at), task)
    if isinstance(refreshed, RebuilderError):
        log.warning("task %s: to be read again: %s", task.id, refreshed)
        return False
    return True
