"""Which tasks of a wave go first, and what becomes of the others meanwhile."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Scope, Target, What
from rebuilder.core.policies.gate import InForce
from rebuilder.core.policies.policy import Applied
from rebuilder.core.policies.wave_holds import Awaited
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct, StartBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.waves.canary import (
    Canary,
    Quarantined,
    WaitsForCanary,
    Watched,
    held_by,
    too_many,
)
from rebuilder.errors import RebuilderError, TransientError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.bases import pushed_reference
from rebuilder.usecases.plan.deciding import decide_for
from rebuilder.usecases.waves.below import below
from rebuilder.usecases.waves.breaker import failures
from rebuilder.usecases.waves.origin import makers_of, push_of, readers_of, wave_of
from rebuilder.usecases.waves.upstream import Upwards, shown

log = logging.getLogger(__name__)

_WHO = "the canary"
_EVENT = "canary"


def beside(
    context: Context, rebuild: Rebuild, task: Task, watched: Callable[[str], bool]
) -> Iterator[tuple[str, Push]]:
    """Yield the tags whose images a rebuild would take in beside its wave, with the push of each.

    Their canaries go first, too. Of an image that a rebuild has pushed that is the push which its
    wave began with. An image that the task is not known to be built on counts as one that moved:
    a run that was under way when the tag moved has left the new image as its record, and may have
    read the one before.

    Args:
        context: The ports.
        rebuild: The rebuild.
        task: The task, with every dependency that is known of it.
        watched: Whether one goes first on what a tag names; only then it matters what is recorded.

    Raises:
        TransientError: It cannot be told now.
    """
    for name in rebuild.bases:
        image = ImageReference.parse(name)
        tag = image.at(None)
        recorded = image.digest in {d.built_on for d in task.dependencies if d.reference == tag}
        if recorded and not watched(str(tag)):
            continue
        push = push_of(context, image)
        if push is not None and push.key == rebuild.began_with:
            continue  # of a thousand tasks of a wave none looks further
        if makers_of(context, tag):
            push = wave_of(context, name) or push
        if push is None or push.key == rebuild.began_with:
            continue
        if not (recorded and _is_proven(context, task, image)):
            yield str(tag), push


def _is_proven(context: Context, task: Task, image: ImageReference) -> bool:
    """Tell whether a task is built on an image that ACR has recorded, whenever its run began."""
    base = Base(image.at(None), image.digest or "", "registry")
    found = attempt(lambda one: decide_for(context, one, base), task)
    if isinstance(found, TransientError):
        raise found
    return not isinstance(found, RebuilderError) and not found.rebuild


def hold(
    context: Context, rebuild: Rebuild, push: Push, of: Applied, in_force: InForce
) -> WaitsForCanary | Quarantined | None:
    """Return what holds a rebuild of others on a push that failed, or go first; None if nothing.

    What one that goes first stands on comes before it, and waits for none.

    Whoever finds that one that goes first has failed, or too many others, has the digest
    quarantined.

    Raises:
        TransientError: The store cannot be reached.
    """
    canary = of.canary
    if canary is not None and canary.names(rebuild.task.short):
        canary = None
    if canary is None and of.breaker is None:
        return None
    image = str(pushed_reference(context, push).at(push.digest))
    if image in in_force.released:
        return None
    found: WaitsForCanary | Quarantined | None = None
    failed = () if of.breaker is None else failures(context, push.key)
    if of.breaker is not None and len(failed) > of.breaker:
        found = Quarantined(image, too_many(failed, of.breaker), context.now())
    elif canary is not None:
        found = held_by(_watched(context, push, canary), canary, image, context.now())
        if isinstance(found, WaitsForCanary) and _leads_to_one(context, rebuild, push, canary):
            found = None
    if isinstance(found, Quarantined) and image not in {q.image for q in in_force.quarantined}:
        # The same act however often it is found, so that it is carried out once.
        act_id = hashlib.sha256(f"quarantine {image}".encode()).hexdigest()[:32]
        target = Target(Scope.DIGEST, image)
        act = Act(act_id, What.QUARANTINE, target, _WHO, found.because, found.at)
        context.queue.send(ACTS, OperatorAct(act).encode())
        log.warning("wave %s: %s", push.key, found.sentence())
    return found


def still_awaited(context: Context, waits: WaitsForCanary) -> bool:
    """Tell whether nothing has changed for one that waits for the canary, without ARM."""
    if not waits.tasks:
        return True  # until the soak is over, which is when it is looked at
    tasks = [TaskId.parse(awaited.task) for awaited in waits.tasks]
    heads = context.ledger.heads(tasks)
    return all(task in heads and heads[task].unsettled for task in tasks)


def wake_others(context: Context, over: Rebuild) -> None:
    """Have those looked at that wait for a canary which is over."""
    policies = context.in_force.now(context.steering, context.now()).policies
    if policies is None:
        return
    each = [p.values.canary for p in policies.policies.values() if p.values.canary]
    if not any(canary.names(over.task.short) for canary in each):
        return
    of = str(over.task)
    woken = [
        StartBuild(Push.from_key(rebuild.push, _EVENT), rebuild.task).encode()
        for rebuild in context.ledger.unsettled()
        if (waits := rebuild.waits_for(WaitsForCanary)) and of in {a.task for a in waits.tasks}
    ]
    context.queue.send_many(BUILDS, woken)


def _watched(context: Context, push: Push, canary: Canary) -> Watched:
    """Return how the canaries among the tasks that read what moved are.

    One that is left alone says nothing about the digest.
    """
    walk, image = Upwards(context, push, begins=True), pushed_reference(context, push)
    awaited, failed, succeeded = [], [], []
    for indexed in _first_ones(context, push, canary):
        task = indexed.view.task
        rebuild = walk.in_wave(task)
        if rebuild is None:
            if state := walk.told(push, indexed, image):
                awaited.append(Awaited(str(task), state))
        elif rebuild.unsettled:
            awaited.append(Awaited(str(task), shown(rebuild)))
        elif rebuild.state is State.GIVEN_UP:
            why = rebuild.cause.sentence() if rebuild.cause else rebuild.outcome
            failed.append(f"{task.short} failed ({rebuild.run_id}): {why}")
        elif rebuild.state is State.SUCCEEDED:
            succeeded.append(rebuild.run_ended or rebuild.finished_at or rebuild.claimed_at)
    return Watched(tuple(awaited), tuple(failed), tuple(succeeded))


def _leads_to_one(context: Context, rebuild: Rebuild, push: Push, canary: Canary) -> bool:
    """Tell whether one that goes first stands on what a task pushes, so that it comes after it.

    It would wait for ever else: for its canary, or for another one that waits for such a task.
    """
    first = {indexed.view.task for indexed in _first_ones(context, push, canary)}
    return not first.isdisjoint(below(context, rebuild.task))


def _first_ones(context: Context, push: Push, canary: Canary) -> list[IndexedTask]:
    """Return the canaries among the tasks that read what moved; known for half a minute.

    A thousand tasks that wait for them do not each look at all the others.
    """
    key = (push.repository, push.tag, str(push.registry), canary.tasks)
    now = context.now()

    def look() -> list[IndexedTask]:
        readers = readers_of(context, pushed_reference(context, push))
        return [r for r in readers if canary.names(r.view.task.short)]

    return context.in_force.kept(key, now, look)
