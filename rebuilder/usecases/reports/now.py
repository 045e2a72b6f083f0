"""What telemetry is told of how things stand, after a sweep: what is stale, and what waits.

Nothing is read where nobody listens, and what cannot be read keeps nothing else from being told.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta

from rebuilder.core.rebuilds.messages import QUEUES
from rebuilder.core.staleness.figures import Judged, judged
from rebuilder.core.staleness.spells import Spell
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.telemetry import metrics, signals
from rebuilder.telemetry.dimensions import REGISTRY
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.report import summary

log = logging.getLogger(__name__)

_QUEUE = "messaging.destination.name"
_COUNTS = (Judged.LATE, Judged.OPEN)


def tell_of_now(context: Context) -> None:
    """Tell how many tasks are stale and for how long, and what waits in each queue."""
    if not signals.on():
        return
    for what, work in (("staleness", _stale), ("queues", _queues)):
        found = attempt(work, context)
        if isinstance(found, RebuilderError):
            log.warning("%s: not told: %s", what, found)


def _stale(context: Context) -> None:
    found = summary(context, days=1)
    behind: Counter[str] = Counter(_tasks(found.behind))
    late: Counter[str] = Counter(_tasks(found.late))
    waits: dict[str, timedelta] = {}
    for spell in found.behind:
        name, length = spell.task.registry.name, spell.length(found.now)
        if length is not None and judged(spell, found.objective, found.now) in _COUNTS:
            waits[name] = max(length, waits.get(name, length))
    for registry in context.settings.task_registries:
        by = {REGISTRY: registry.name}
        signals.tell(metrics.STALE, behind[registry.name], by)
        signals.tell(metrics.STALE_LATE, late[registry.name], by)
        hours = waits.get(registry.name, timedelta()) / timedelta(hours=1)
        signals.tell(metrics.STALE_HOURS, hours, by)


def _tasks(spells: tuple[Spell, ...]) -> list[str]:
    """Return the registry of each task once, however many of its bases have moved."""
    return [task.registry.name for task in {spell.task for spell in spells}]


def _queues(context: Context) -> None:
    now = context.now()
    for queue in QUEUES:
        depth = context.queue.depth(queue)
        signals.tell(metrics.QUEUED, depth.messages, {_QUEUE: queue})
        age = timedelta() if depth.oldest is None else now - depth.oldest
        signals.tell(metrics.QUEUED_OLDEST, age, {_QUEUE: queue})
        poison = context.queue.depth(queue, poison=True)
        signals.tell(metrics.QUEUED, poison.messages, {_QUEUE: f"{queue}-poison"})
