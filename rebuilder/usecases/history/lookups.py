"""The part of a task's history that something concerns, without reading the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.times import CLOCKS_DIFFER
from rebuilder.ports.ledger import Ledger

_SOME = 10
_EARLIER = 20


def rebuilds_since(ledger: Ledger, task: TaskId, since: datetime) -> Iterator[Rebuild]:
    """Yield the rebuilds of a task that were not over at a time, newest first, and what was before.

    What was before is the last success, and what failed or was skipped after it; twenty at most.

    Raises:
        TransientError: The store cannot be reached.
    """
    earlier, before = 0, None
    while earlier < _EARLIER:
        page = ledger.rebuilds(task, _SOME, before)
        for rebuild in page:
            yield rebuild
            if _over(rebuild, since):
                earlier += 1
                if rebuild.state is State.SUCCEEDED or earlier == _EARLIER:
                    return
        if len(page) < _SOME:
            return
        before = page[-1].sequence


def _over(rebuild: Rebuild, since: datetime) -> bool:
    # By a clock that was days behind, one record would hide every rebuild before it.
    ended = rebuild.ended_at
    return rebuild.state.over and ended is not None and ended < since - CLOCKS_DIFFER
