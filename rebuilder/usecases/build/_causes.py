"""Why a run failed, from the end of its log; the log is asked for once, when the run is over."""

from __future__ import annotations

import logging
from copy import replace
from datetime import timedelta

from rebuilder.core.acr.access import READ_LOG
from rebuilder.core.acr.tasks import Run, Task
from rebuilder.core.failures.builds import NotKnown
from rebuilder.core.failures.cause import Cause
from rebuilder.core.failures.failed_runs import BREAKS_OFF, classify
from rebuilder.core.failures.pulls import BaseDenied, BaseMissing, SignInDenied
from rebuilder.core.failures.run_logs import end
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import Denied, RebuilderError, Throttled, TransientError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.access import pull_advice

log = logging.getLogger(__name__)

_WRITTEN = timedelta(minutes=1)
"""So soon after the end of a run its log has been written."""

_WORTH_WAITING = timedelta(minutes=10)
"""So long after the end of a run ARM is asked again for its log, if it asks to wait."""

# What a role that is missing may be the reason of.
_OF_ACCESS = (BaseDenied, BaseMissing, SignInDenied, NotKnown)


def with_cause(
    context: Context, rebuild: Rebuild, run: Run, task: Task | None, *, patient: bool
) -> Rebuild | None:
    """Return a rebuild with why its run failed, what would fix it, and the end of the log.

    That the log cannot be read keeps nobody from going on: then the cause is not known, and says
    why. The log of a run that somebody cancelled is of no use.

    Args:
        context: The ports.
        rebuild: The rebuild.
        run: Its run, which failed.
        task: The task as ARM tells of it now; None if it is gone.
        patient: Whether the log can be read again later.

    Returns:
        None if the log is still to be written to its end, or cannot be read now, and it can be
        read again later.

    Raises:
        Throttled: ARM asks to wait, and the run has not ended long ago.
    """
    text, unread = "", ""
    try:
        text = context.tasks.log_end(rebuild.task.registry, run.run_id)
    except Throttled as error:
        if _ended_within(context, run, _WORTH_WAITING):
            raise
        unread = f"its log could not be read: {error}"
    except TransientError as error:
        if patient:
            return None
        unread = f"its log could not be read: {error}"
    except Denied:
        unread = f"its log may not be read without {READ_LOG} on {rebuild.task.registry}"
    except RebuilderError as error:
        unread = f"its log could not be read: {error}"
    cause = _classified(text, rebuild, run)
    if isinstance(cause, NotKnown) and unread:
        cause = replace(cause, reason=unread)
    if unread:
        log.warning("task %s: run %s: %s", rebuild.task, run.run_id, unread)
    breaks_off = isinstance(cause, NotKnown) and cause.reason == BREAKS_OFF
    if breaks_off and _ended_within(context, run, _WRITTEN):
        return None
    return replace(
        rebuild, cause=cause, log=end(text), advice=_advice(context, rebuild, cause, task)
    )


def _classified(text: str, rebuild: Rebuild, run: Run) -> Cause:
    cause = attempt(lambda said: classify(said, run.status, run.error, rebuild.bases), text)
    # Whatever a log holds: the run is over, and that must be recorded.
    return (
        NotKnown("", "its log was not understood") if isinstance(cause, RebuilderError) else cause
    )


def _ended_within(context: Context, run: Run, time: timedelta) -> bool:
    # A clock that says otherwise by more, in either direction, is wrong and tells nothing.
    return run.finished is not None and abs(context.now() - run.finished) < time


def _advice(context: Context, rebuild: Rebuild, cause: Cause, task: Task | None) -> str | None:
    """Return what would fix it: the very role that is missing, where one is known to be."""
    missing = None
    if task is not None and isinstance(cause, _OF_ACCESS):
        missing = pull_advice(context, task, rebuild.bases)
    return missing or cause.advice(rebuild.task)
