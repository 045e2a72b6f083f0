"""How far a wave is: each task that it reaches, layer by layer, with what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.gate import InForce
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import NotFound
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.bases import pushed_reference
from rebuilder.usecases.waves.origin import push_of, wave_of
from rebuilder.usecases.waves.reach import NEXT, reach
from rebuilder.usecases.waves.upstream import Upwards, shown


class Stage(StrEnum):
    """How far a task is in a wave."""

    DONE = "done"
    BUILDING = "building"
    HELD = "held"
    FAILED = "failed"
    TO_COME = "to come"
    LEFT = "left"


class Progress(Struct, frozen=True):
    """How far a task is.

    Attributes:
        task: The task.
        layer: Which layer it is in, from 0.
        stage: How far it is.
        why: What it waits for, or why it is left; "" if there is nothing to say.
        rebuild: Its rebuild in the wave; None if it was not begun.
    """

    task: TaskId
    layer: int
    stage: Stage
    why: str
    rebuild: Rebuild | None


class WaveReport(Struct, frozen=True):
    """How far a wave is.

    Attributes:
        push: The push that it began with.
        image: What was pushed.
        tasks: The tasks that it reaches, layer by layer.
        cycles: The cycles among them.
    """

    push: Push
    image: str
    tasks: tuple[Progress, ...]
    cycles: tuple[tuple[TaskId, ...], ...]

    def count(self, layer: int | None = None) -> Mapping[Stage, int]:
        """Return how many tasks are how far, in a layer or in all of them."""
        found = dict.fromkeys(Stage, 0)
        for task in self.tasks:
            found[task.stage] += layer in (None, task.layer)
        return found

    @property
    def depth(self) -> int:
        """How many layers there are."""
        return 1 + max((task.layer for task in self.tasks), default=-1)

    @property
    def over(self) -> bool:
        """Whether nothing more is to come of it."""
        return all(t.stage in (Stage.DONE, Stage.FAILED, Stage.LEFT) for t in self.tasks)


def progress(context: Context, image: ImageReference) -> WaveReport:
    """Tell how far the wave of a push is.

    Args:
        context: The index and the ledger.
        image: A tag, for its newest push, or with a digest; an image that a task of a wave pushed
            stands for the whole wave.

    Raises:
        NotFound: No such push is known.
        TransientError: The store cannot be read.
    """
    push = _root(context, _push(context, image))
    base = Base(pushed_reference(context, push), NEXT, "event")
    # By who reads what alone: what operators decided since changes nothing in what became of it.
    found = reach(context, base, InForce())
    root = str(base.reference.at(push.digest))
    walk, decided = Upwards(context, push), _decisions(context, push)
    tasks: dict[TaskId, Progress] = {}
    for layer, together in enumerate(found.layers.layers):
        for task in together:
            rebuild = walk.in_wave(task)
            if rebuild is not None:
                tasks[task] = _begun(task, layer, rebuild)
                continue
            above = [tasks[other] for other in found.layers.upstream[task]]
            direct = base.reference in found.moved[task]
            if direct and (told := decided.get(task)) is not None and not told.rebuild:
                tasks[task] = Progress(task, layer, Stage.LEFT, told.sentence(), None)
            elif direct and _stands_on(found.tasks[task], root):
                why = f"it is recorded to stand on {root}"
                tasks[task] = Progress(task, layer, Stage.LEFT, why, None)
            else:
                tasks[task] = _not_begun(context, task, layer, above, direct=direct)
    return WaveReport(push, root, tuple(tasks.values()), found.layers.cycles)


def _push(context: Context, image: ImageReference) -> Push:
    registry = context.base_registry(image.domain)
    if registry is None:
        raise NotFound(f"{image.domain} is none of the registries in REBUILDER_BASE_REGISTRIES")
    if image.tag is None:
        known = context.ledger.pushes_of(registry, image.path, image.digest or "", 1)
    elif image.digest is None:
        known = context.ledger.pushes(registry, image.path, image.tag, 1)
    else:
        one = push_of(context, image)
        record = None if one is None else context.ledger.push(one.key)
        known = [] if record is None else [record]
    if not known:
        raise NotFound(f"no push of {image} is known")
    return known[0].push


def _root(context: Context, push: Push) -> Push:
    """Return the push that a push's wave began with."""
    image = str(pushed_reference(context, push).at(push.digest))
    return wave_of(context, image) or push


def _decisions(context: Context, push: Push) -> dict[TaskId, TaskDecision]:
    """Return what was decided last for each task after a push."""
    records = sorted(context.ledger.decisions(push), key=lambda record: record.last_at)
    made = [record.decision for record in records]
    return {decision.task: decision for decision in made if isinstance(decision, TaskDecision)}


def _begun(task: TaskId, layer: int, rebuild: Rebuild) -> Progress:
    match rebuild.state:
        case State.HELD:
            return Progress(task, layer, Stage.HELD, rebuild.outcome or "", rebuild)
        case State.SUCCEEDED if not rebuild.unsettled:
            return Progress(task, layer, Stage.DONE, "", rebuild)
        case State.GIVEN_UP:
            cause = rebuild.cause.sentence() if rebuild.cause else rebuild.outcome or ""
            return Progress(task, layer, Stage.FAILED, cause, rebuild)
        case State.SKIPPED:
            return Progress(task, layer, Stage.LEFT, rebuild.outcome or "", rebuild)
    return Progress(task, layer, Stage.BUILDING, shown(rebuild), rebuild)


def _not_begun(
    context: Context, task: TaskId, layer: int, above: list[Progress], *, direct: bool
) -> Progress:
    """Tell how far a task is that was not begun, by what it stands on."""
    for one in above:
        if one.stage in (Stage.DONE, Stage.FAILED, Stage.LEFT):
            continue
        why = f"{one.task.short} is {one.stage}"
        return Progress(task, layer, Stage.TO_COME, why, None)
    done = [one for one in above if one.stage is Stage.DONE]
    if not done and not direct:
        why = "; ".join(f"{one.task.short} is {one.stage}" for one in above)
        return Progress(task, layer, Stage.LEFT, why or "nothing reaches it", None)
    for one in done:
        for told in _told(context, one, task):
            if not told.rebuild:
                return Progress(task, layer, Stage.LEFT, told.sentence(), None)
    return Progress(task, layer, Stage.TO_COME, "it is to be begun", None)


def _told(context: Context, above: Progress, task: TaskId) -> list[TaskDecision]:
    """Return what was decided last for a task after what an upstream task pushed."""
    found = []
    for output in () if above.rebuild is None else above.rebuild.output_images:
        push = push_of(context, ImageReference.parse(output))
        records = [] if push is None else context.ledger.decisions(push, task)
        newest = max(records[::-1], key=lambda record: record.last_at, default=None)
        if newest is not None and isinstance(newest.decision, TaskDecision):
            found.append(newest.decision)
    return found


def _stands_on(indexed: IndexedTask, image: str) -> bool:
    built_on = (d.reference.at(d.built_on) for d in indexed.view.dependencies if d.built_on)
    return image in map(str, built_on)
