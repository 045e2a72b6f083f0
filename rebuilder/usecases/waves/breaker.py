"""The breaker: how many tasks of a wave failed that had not failed before."""

from __future__ import annotations

import hashlib
import json
import logging
from copy import replace
from datetime import timedelta

from rebuilder.core.rebuilds.rebuild import Failure, Rebuild, State
from rebuilder.errors import Conflict
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_TRIES = 20
_EARLIER = 20
_KEPT = timedelta(days=90)
_MOST = 1000
"""So many failures are kept of a wave; no limit is higher."""


def note(context: Context, over: Rebuild) -> None:
    """Count a rebuild that was given up and whose task did not fail before, if a breaker asks.

    Raises:
        TransientError: The store cannot be reached.
        Conflict: Too many fail at once.
    """
    policies = context.in_force.now(context.steering, context.now()).policies
    if policies is None or all(p.values.breaker is None for p in policies.policies.values()):
        return
    if over.state is not State.GIVEN_UP or not _is_of_the_base(over) or not _new(context, over):
        return
    name = over.task.short
    for last in range(_TRIES):
        mark = context.bookmarks.read(_place(over.began_with))
        known = _read(mark.place)
        if name in known or len(known) >= _MOST:
            return
        failed = json.dumps([*known, name])
        try:
            until = context.now() + _KEPT
            context.bookmarks.save(replace(mark, place=failed, kept_until=until))
        except Conflict:
            # Each conflict is another's progress.
            if last == _TRIES - 1:
                raise
        else:
            log.warning("wave %s: %d new failure(s)", over.began_with, len(known) + 1)
            return


def failures(context: Context, wave: str) -> tuple[str, ...]:
    """Return the tasks of a wave that failed and had not failed before, as `REGISTRY/TASK`."""
    return _read(context.bookmarks.read(_place(wave)).place)


def _is_of_the_base(over: Rebuild) -> bool:
    """Tell whether it may be the image's fault: what Azure refused, or a person ended, is not."""
    return over.failure not in (Failure.REFUSED, Failure.CANCELED)


def _new(context: Context, over: Rebuild) -> bool:
    """Tell whether a task succeeded on what it was built on before."""
    for rebuild in context.ledger.rebuilds(over.task, _EARLIER, over.sequence):
        if rebuild.key != over.key and rebuild.state is not State.SKIPPED:
            return rebuild.state is State.SUCCEEDED
    # No rebuild of the product: ACR's record is of a run that succeeded.
    indexed = context.index.view(over.task)
    return indexed is not None and any(d.built_on for d in indexed.view.dependencies)


def _place(wave: str) -> str:
    return f"failed/{hashlib.sha256(wave.encode()).hexdigest()}"


def _read(place: str) -> tuple[str, ...]:
    return tuple(map(str, json.loads(place))) if place else ()
