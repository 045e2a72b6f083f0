"""Why a run failed, from the end of its log; the log is asked for once, when the run is over."""

from __future__ import annotations

import logging
from dataclasses import replace

from rebuilder.core.access import READ_LOG
from rebuilder.core.causes import BaseDenied, BaseMissing, Cause, NotKnown, SignInDenied
from rebuilder.core.failed_runs import classify
from rebuilder.core.rebuilds import Rebuild
from rebuilder.core.run_logs import end
from rebuilder.core.tasks import Run, Task
from rebuilder.errors import Denied, RebuilderError
from rebuilder.usecases._access import pull_advice
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

# What a role that is missing may be the reason of.
_OF_ACCESS = (BaseDenied, BaseMissing, SignInDenied, NotKnown)


def with_cause(context: Context, rebuild: Rebuild, run: Run, task: Task | None) -> Rebuild:
    """Return a rebuild with why its run failed, what would mend it, and the end of the log.

    That the log cannot be read keeps nobody from going on: then the cause is not known, and says
    why. The log of a run that somebody cancelled is of no use.

    Args:
        context: The ports.
        rebuild: The rebuild.
        run: Its run, which failed.
        task: The task as ARM tells of it now; None if it is gone.
    """
    text, unread = "", ""
    try:
        text = context.tasks.log_end(rebuild.task.registry, run.run_id)
    except Denied:
        unread = f"its log may not be read without {READ_LOG} on {rebuild.task.registry}"
    except RebuilderError as error:
        unread = f"its log could not be read: {error}"
    cause = classify(text, run.status, run.error, rebuild.bases)
    if isinstance(cause, NotKnown) and unread:
        cause = replace(cause, reason=unread)
    if unread:
        log.warning("task %s: run %s: %s", rebuild.task, run.run_id, unread)
    return replace(
        rebuild, cause=cause, log=end(text), advice=_advice(context, rebuild, cause, task)
    )


def _advice(context: Context, rebuild: Rebuild, cause: Cause, task: Task | None) -> str | None:
    """Return what would mend it: the very role that is missing, where one is known to be."""
    missing = None
    if task is not None and isinstance(cause, _OF_ACCESS):
        missing = pull_advice(context, task, rebuild.bases)
    return missing or cause.advice(rebuild.task)
