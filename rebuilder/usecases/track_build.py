"""Track: follow a run to its end and record what came of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from rebuilder.core.messages import REFRESH, RUNS, Refresh, TrackBuild
from rebuilder.core.rebuilds import Rebuild, State
from rebuilder.core.tasks import RunStatus, Task
from rebuilder.errors import Conflict, NotFound, Throttled
from rebuilder.usecases._access import pull_advice
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_THROTTLED = timedelta(seconds=30)


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
        or rebuild.state is not State.SCHEDULED
        or rebuild.version != message.record
    ):
        log.info("task %s: another message follows rebuild %s", message.task, message.sequence)
        return None
    interval = context.settings.track_interval
    try:
        run = context.tasks.run(rebuild.task.registry, rebuild.run_id)
    except Throttled as error:
        context.queue.send(RUNS, message.encode(), error.retry_after or _THROTTLED)
        return None
    except NotFound as error:
        return _over(context, rebuild, State.FAILED, str(error))
    if not run.status.terminal:
        # As in start_build, the message goes before the record.
        again = replace(message, record=rebuild.version + 1)
        context.queue.send(RUNS, again.encode(), interval)
        context.ledger.save(rebuild)
        log.info("task %s: run %s is %s", rebuild.task, run.run_id, run.status)
        return None
    succeeded = run.status is RunStatus.SUCCEEDED
    task = _task(context, rebuild)
    rebuild = replace(
        rebuild,
        output_images=run.output_images,
        dependencies=_dependencies(task) if task else (),
        advice=pull_advice(context, task, rebuild.bases) if task and not succeeded else None,
    )
    outcome = f"{run.status}: {run.error}" if run.error else run.status.value
    return _over(context, rebuild, State.SUCCEEDED if succeeded else State.FAILED, outcome)


def _over(context: Context, rebuild: Rebuild, state: State, outcome: str) -> Rebuild:
    done = replace(rebuild, state=state, outcome=outcome, finished_at=context.now())
    # The run may have changed what is known of the task. The message goes before the record, for
    # a record that is over is not looked at again.
    context.queue.send(REFRESH, Refresh.of(done.task, context.now()).encode())
    saved = context.ledger.save(done)
    log.log(
        logging.INFO if state is State.SUCCEEDED else logging.ERROR,
        "task %s: run %s, rebuild %s: %s",
        done.task,
        done.run_id,
        done.id,
        outcome,
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
