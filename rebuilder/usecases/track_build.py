"""Track: follow a run to its end and record what came of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from rebuilder.core.events import Push
from rebuilder.core.messages import BUILDS, REFRESH, RUNS, Refresh, StartBuild, TrackBuild
from rebuilder.core.rebuilds import LONGEST_RETRY, Check, Failure, Rebuild, State
from rebuilder.core.tasks import Run, RunStatus, Task
from rebuilder.errors import Conflict, NotFound, RebuilderError
from rebuilder.usecases._access import pull_advice
from rebuilder.usecases._output import check_output
from rebuilder.usecases.context import Context
from rebuilder.usecases.refresh_index import refresh_known

log = logging.getLogger(__name__)


def track_build(context: Context, message: TrackBuild) -> Rebuild | None:
    """Look at a run once; come back later unless it is over.

    Returns:
        The rebuild when it is over; None if its run goes on, or if another message has overtaken
        this one.

    Raises:
        TransientError: Nothing was learnt.
    """
    try:
        return _look(context, message)
    except Conflict as error:
        # Two messages for one record, at once: the other was quicker, and goes on.
        log.info("task %s: %s", message.task, error)
        return None


def _look(context: Context, message: TrackBuild) -> Rebuild | None:
    rebuild = context.ledger.rebuild(message.task, message.sequence)
    if (
        rebuild is None
        or rebuild.run_id is None
        or rebuild.state.over
        or rebuild.version != message.record
        or message.follower not in ("", rebuild.follower)
    ):
        log.info("task %s: another message follows rebuild %s", message.task, message.sequence)
        return None
    try:
        run = context.tasks.run(rebuild.task.registry, rebuild.run_id)
    except NotFound as error:
        return _failed(context, rebuild, Failure.INFRASTRUCTURE, str(error))
    if not run.status.terminal:
        _goes_on(context, message, rebuild, run)
        return None
    at = context.now()
    task = _task(context, rebuild)
    outcome = f"{run.status}: {run.error}" if run.error else run.status.value
    rebuild = replace(
        rebuild,
        output_images=run.output_images,
        dependencies=_dependencies(task) if task else (),
        advice=None,
    )
    if run.status is RunStatus.SUCCEEDED:
        check, reason = check_output(context, rebuild, task)
        if check is Check.STALE:
            log.error("task %s: rebuilt but still stale: %s", rebuild.task, reason)
        rebuild = replace(rebuild, check=check, check_reason=reason)
        done = replace(rebuild, state=State.SUCCEEDED, outcome=outcome, due=None)
        return _over(context, done, refreshed=_refreshed(context, task, at))
    rebuild = replace(rebuild, advice=pull_advice(context, task, rebuild.bases) if task else None)
    return _failed(context, rebuild, _FAILURES[run.status], outcome)


_FAILURES = {
    RunStatus.FAILED: Failure.BUILD,
    RunStatus.CANCELED: Failure.CANCELED,
    RunStatus.ERROR: Failure.INFRASTRUCTURE,
    RunStatus.TIMEOUT: Failure.INFRASTRUCTURE,
}


def _goes_on(context: Context, message: TrackBuild, rebuild: Rebuild, run: Run) -> None:
    settings, now = context.settings, context.now()
    # As in start_build, the message goes before the record.
    follower = uuid4().hex
    again = replace(message, record=rebuild.version + 1, follower=follower)
    context.queue.send(RUNS, again.encode(), settings.track_interval)
    queued = run.status is RunStatus.QUEUED
    waited = now - (run.created or rebuild.claimed_at)
    advice = None
    if queued and waited > settings.queued_limit:
        advice = (
            f"no agent has taken run {run.run_id} since {run.created or rebuild.claimed_at:%F %T}:"
            " look at the agent pool, or at Azure's status; another run is not started beside it"
        )
        log.warning("task %s: %s", rebuild.task, advice)
    state = State.SCHEDULED if queued else State.RUNNING
    due = now + settings.track_interval
    context.ledger.save(replace(rebuild, state=state, due=due, advice=advice, follower=follower))
    log.info("task %s: run %s is %s", rebuild.task, run.run_id, run.status)


def _failed(context: Context, rebuild: Rebuild, failure: Failure, outcome: str) -> Rebuild:
    """Have it tried again later, or give it up: then the circuit is open for these digests."""
    settings = context.settings
    first = {
        Failure.INFRASTRUCTURE: settings.retry_wait,
        Failure.BUILD: settings.retry_build_wait,
    }.get(failure)
    rebuild = replace(rebuild, failure=failure, outcome=outcome)
    if first is None or rebuild.attempt >= settings.build_attempts:
        return _over(context, replace(rebuild, state=State.GIVEN_UP, due=None))
    wait = min(first * 2 ** (rebuild.attempt - 1), LONGEST_RETRY)
    again = StartBuild(Push.from_key(rebuild.push), rebuild.task)
    context.queue.send(BUILDS, again.encode(), wait)
    return _over(context, replace(rebuild, state=State.FAILED, due=context.now() + wait))


def _refreshed(context: Context, task: Task | None, at: datetime) -> bool:
    """Store what the run changed about what is known of the task: it has just been read."""
    if task is None:
        return False
    try:
        refresh_known(context, task, at)
    except RebuilderError as error:
        log.warning("task %s: to be read again: %s", task.id, error)
        return False
    return True


def _over(context: Context, rebuild: Rebuild, *, refreshed: bool = False) -> Rebuild:
    done = replace(rebuild, finished_at=context.now())
    if not refreshed:
        # The message goes before the record, for a record that is over is not looked at again.
        context.queue.send(REFRESH, Refresh.of(done.task, context.now()).encode())
    saved = context.ledger.save(done)
    log.log(
        logging.INFO if done.state is State.SUCCEEDED else logging.ERROR,
        "task %s: run %s, rebuild %s is %s: %s",
        done.task,
        done.run_id,
        done.id,
        done.state,
        done.outcome,
    )
    return saved


def _task(context: Context, rebuild: Rebuild) -> Task | None:
    try:
        return context.tasks.task(rebuild.task)
    except NotFound:
        return None


def _dependencies(task: Task) -> tuple[str, ...]:
    return tuple(
        sorted({str(d.reference.at(d.reference.digest or d.built_on)) for d in task.dependencies})
    )
