"""What led to a push: the chain of rebuilds, by which a cycle is known, and the wave."""

from __future__ import annotations

from collections.abc import Iterator
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.rebuilds import Cycle
from rebuilder.core.rebuilds.rebuild import LONGEST_LEASE, Rebuild, State
from rebuilder.usecases.build._delivery import Delivery
from rebuilder.usecases.build._schedule import follow
from rebuilder.usecases.build._waiting import PutBack, until_end
from rebuilder.usecases.context import Context
from rebuilder.usecases.waves.below import below
from rebuilder.usecases.waves.origin import began_with
from rebuilder.usecases.waves.upstream import comes_before


def follow_chain(
    delivery: Delivery, rebuild: Rebuild, base: Base
) -> Rebuild | TaskDecision | PutBack:
    """Find out which rebuilds led to the push, and the wave; a task in its own chain is left."""
    context = delivery.context
    image = base.image
    producer = context.ledger.producer(image)
    if producer is None and context.task_registry(base.reference.domain):
        # Its run may have pushed the image and not be recorded yet.
        for other in _may_close_cycle(context, rebuild.task):
            if later := _pushing(context, other):
                return later
        producer = context.ledger.producer(image)
    wave = began_with(context, base, delivery.message.push, producer)
    rebuild = replace(rebuild, wave="" if wave == rebuild.push else wave)
    chain: tuple[str, ...] = ()
    if producer is not None:
        chain = (*producer.chain, str(producer.task))
        if str(rebuild.task) in chain:
            name = str(base.reference)
            return delivery.decided(None, Cycle(rebuild.task, name, base.digest, chain))
        if not delivery.message.forced and comes_before(context, rebuild, producer):
            led = (str(rebuild.task), *chain)
            name = str(base.reference)
            return delivery.decided(None, Cycle(rebuild.task, name, base.digest, led))
    beside = dict.fromkeys((*chain, *_led_to_others(context, rebuild, image)))
    return replace(rebuild, chain=tuple(beside))


def _led_to_others(context: Context, rebuild: Rebuild, image: str) -> Iterator[str]:
    """Yield the tasks of the wave that led to what a rebuild reads besides what was pushed.

    Only those that stand on what its task pushes: of others it does not matter what led to what.
    """
    standing: set[str] | None = None
    for other in rebuild.bases:
        registry = context.task_registry(ImageReference.parse(other).domain)
        producer = context.ledger.producer(other) if registry and other != image else None
        if producer is None or producer.began_with != rebuild.began_with:
            continue
        if standing is None:
            standing = {str(task) for task in below(context, rebuild.task)}
        led = (*producer.chain, str(producer.task))
        yield from (task for task in led if task in standing and task != str(rebuild.task))


def _may_close_cycle(context: Context, task: TaskId) -> list[Rebuild]:
    """Return the newest rebuilds of the tasks that stand on what a task pushes, and others.

    Only they can be in a cycle with it, so only of them it matters what led to what. What a
    rebuild that is under way led to is known by its chain, whatever the index knows.
    """
    # In an order that does not depend on hashes: of several the first one is waited for, and told.
    standing = [of for of in below(context, task) if of != task]
    return [*context.ledger.unsettled_after(task), *context.ledger.heads(standing).values()]


def _pushing(context: Context, other: Rebuild) -> PutBack | None:
    """Return when to look again at a rebuild whose run may push, or have pushed, an image."""
    if other.state.in_flight:
        follow(context, other)
        return until_end(context, other.id, other.claimed_at)
    if other.state is State.CLAIMED:
        # A run may have been started for it; whoever takes it over finds out.
        # No lease is longer, whatever the clock of who holds it, or this one, may say.
        left = min(other.lease_until - context.now(), LONGEST_LEASE)
        return PutBack(max(left, context.settings.track_interval), f"claim of {other.id}")
    return None
