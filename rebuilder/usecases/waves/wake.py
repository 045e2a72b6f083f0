"""When a task is over in a wave: have those looked at that wait for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.wave_holds import WaitsForUpstream
from rebuilder.core.rebuilds.messages import BUILDS, StartBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.waves.layers import Member
from rebuilder.usecases.context import Context
from rebuilder.usecases.waves.breaker import note
from rebuilder.usecases.waves.canaries import wake_others
from rebuilder.usecases.waves.origin import readers_of

log = logging.getLogger(__name__)

_EVENT = "upstream"
_MOST = 500
"""So many tasks that are not begun are gone through; whoever waits below them looks by itself."""


def wake(context: Context, over: Rebuild) -> None:
    """Have those looked at that wait for a rebuild which is over.

    Whoever reads what it pushed is told of that as well. What it did not push reaches nobody, so
    those who wait may stand further below, over tasks that now are not begun at all.

    Whatever is lost here is found later: who waits looks from time to time.

    Raises:
        TransientError: The store cannot be reached.
    """
    if over.unsettled or not over.state.over:
        return
    note(context, over)
    wake_others(context, over)
    found = _waiting(context, over.task, further=over.state is not State.SUCCEEDED)
    if found:
        woken = [StartBuild(Push.from_key(r.push, _EVENT), r.task).encode() for r in found]
        context.queue.send_many(BUILDS, woken)
        log.info("rebuild %s is over: %d task(s) waited for it", over.id, len(found))


def _waiting(context: Context, task: TaskId, *, further: bool) -> list[Rebuild]:
    found: dict[TaskId, Rebuild] = {}
    seen, ahead = {task}, [task]
    while ahead and len(seen) <= _MOST:
        readers = [r for r in _readers(context, ahead.pop()) if r.view.task not in seen]
        tasks = dict.fromkeys(reader.view.task for reader in readers)
        seen.update(tasks)
        heads = context.ledger.heads(tasks) if tasks else {}
        for reader in tasks:
            head = heads.get(reader)
            if head is not None and head.waits_for(WaitsForUpstream) is not None:
                found[reader] = head
            elif further and (head is None or not head.unsettled):
                ahead.append(reader)
    return list(found.values())


def _readers(context: Context, task: TaskId) -> Sequence[IndexedTask]:
    indexed = context.index.view(task)
    pushes = () if indexed is None else Member.of(indexed.view).pushes
    return [reader for image in sorted(pushes, key=str) for reader in readers_of(context, image)]
