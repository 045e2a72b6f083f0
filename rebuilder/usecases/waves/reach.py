"""Which tasks a push reaches, directly or through images that those tasks push.

This is for a person who asks: what a message leads to never looks at a whole wave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.policy import follows
from rebuilder.core.decisions.unreadable import TaskUnreadable
from rebuilder.core.dependencies.index import IndexedTask, unread
from rebuilder.core.policies.gate import InForce, applies
from rebuilder.core.policies.matching import Moved
from rebuilder.core.waves.layers import Layers, Member, layers_of
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt, together
from rebuilder.usecases.context import Context

NEXT = "the next digest"
"""The digest of a push that was not made: nothing is built on it."""

_SINGLE = 100
"""So many repositories are asked for one by one; beyond, everything is read at once."""


class Reached(Struct):
    """What a push reaches.

    Attributes:
        root: The tag that is pushed, and the digest.
        tasks: The tasks that are rebuilt, with what is known of them.
        because: Why each is: the decision of the first image that moves.
        moved: The images that move for each.
        left: Why tasks that read an image which moves are left.
        members: The tasks as far as a wave goes.
        layers: The order.
    """

    root: Base
    tasks: dict[TaskId, IndexedTask]
    because: dict[TaskId, TaskDecision]
    moved: dict[TaskId, tuple[ImageReference, ...]]
    left: dict[TaskId, str]
    members: dict[TaskId, Member]
    layers: Layers


def reach(context: Context, root: Base, in_force: InForce) -> Reached:
    """Find what a push reaches, by the index and by what operators decided.

    Raises:
        TransientError: The index cannot be read.
    """
    readers, policy = _Readers(context), context.settings.policy
    found = Reached(root, {}, {}, {}, {}, {}, Layers((), {}, ()))
    following = [root]
    seen = {root.reference}
    while following:
        bases, following = following, []
        reading = readers.of([base.reference for base in bases])
        for base, indexed in _pairs(bases, reading):
            task = indexed.view.task
            answer = attempt(partial(_decided, context, base, in_force), indexed)
            if isinstance(answer, RebuilderError):
                answer = TaskUnreadable(task, str(answer))
            if isinstance(answer, str) or not answer.rebuild:
                sentence = answer if isinstance(answer, str) else answer.sentence()
                found.left.setdefault(task, sentence)
                continue
            found.moved[task] = (*found.moved.get(task, ()), base.reference)
            if task in found.tasks:
                continue
            found.tasks[task], found.because[task] = indexed, answer
            found.members[task] = member = Member.of(indexed.view, policy)
            for image in sorted(member.pushes - seen, key=str):
                seen.add(image)
                if context.base_registry(image.domain) is not None:
                    following.append(Base(image, NEXT, "event"))
    for task in found.tasks:
        found.left.pop(task, None)
    found.layers = layers_of(found.members.values(), {root.reference})
    return found


def _decided(
    context: Context, base: Base, in_force: InForce, indexed: IndexedTask
) -> TaskDecision | str:
    """Return what is decided for a task when an image moves, or the rule that has it left."""
    task = unread(indexed.view)
    decision = decide(task, base, policy=context.settings.policy)
    if decision.rebuild and in_force.policies is not None:
        of = applies(in_force.policies, task.id, (moved(indexed, base.reference),), ())
        if of.ignore:
            rule = dict(of.sources).get("ignore", "")
            return f"the policy file has it left alone when {base.reference} moves ({rule})"
    return decision


def moved(indexed: IndexedTask, image: ImageReference) -> Moved:
    """Return an image that moves as rules are asked about it."""
    dependencies = indexed.view.dependencies
    kinds = {d.kind.value for d in dependencies if follows(d, image)}
    return Moved(str(image), frozenset(kinds))


class _Readers:
    """Who reads an image: asked for one by one, or looked up in all that there is."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = 0
        self._all: dict[ImageReference, list[IndexedTask]] | None = None
        self._registries = set(context.settings.task_registries)

    def of(self, images: Sequence[ImageReference]) -> list[list[IndexedTask]]:
        """Return who reads each of some images."""
        self._asked += len(images)
        if self._asked <= _SINGLE:
            return together(self._readers, images)
        if self._all is None:
            self._all = {}
            found = together(self._context.index.views, self._context.settings.task_registries)
            for indexed in chain.from_iterable(found):
                for name in {d.reference for d in indexed.view.dependencies}:
                    self._all.setdefault(name, []).append(indexed)
        return [self._all.get(image, []) for image in images]

    def _readers(self, image: ImageReference) -> list[IndexedTask]:
        every = self._context.index.dependents(image.repository)
        return [i for i in every if self._is_ours(i) and _reads(i, image)]

    def _is_ours(self, indexed: IndexedTask) -> bool:
        return indexed.view.task.registry in self._registries


def _pairs(
    bases: Iterable[Base], reading: Iterable[Iterable[IndexedTask]]
) -> Iterator[tuple[Base, IndexedTask]]:
    for base, found in zip(bases, reading, strict=True):
        for indexed in found:
            yield base, indexed


def _reads(indexed: IndexedTask, image: ImageReference) -> bool:
    return any(follows(dependency, image) for dependency in indexed.view.dependencies)
