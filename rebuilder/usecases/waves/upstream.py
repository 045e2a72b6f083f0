"""Which tasks of its wave a task has to come after, and that are not over.

Only what a task stands on is looked at, upwards, and no further than to what is begun or over in
the wave: whoever asks late in a wave asks for its direct upstream tasks alone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from copy import replace
from datetime import datetime, timedelta

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.rebuilds import RebuildUnderWay
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.wave_holds import Awaited
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.times import age
from rebuilder.core.waves.layers import Member, layers_of
from rebuilder.errors import InvalidReference
from rebuilder.usecases.catch_up.missed import announce_push
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.bases import pushed_reference
from rebuilder.usecases.waves.below import below
from rebuilder.usecases.waves.origin import makers_of, push_of

log = logging.getLogger(__name__)

_PLANNED = timedelta(minutes=30)
"""By then a push is planned: the sweep asks for each plan that was lost."""
TO_COME = timedelta(hours=6)
"""How long a task that is to be rebuilt and was not begun is waited for: its message may be lost
for good, and then a sweep finds it long before."""

_MOST = 500
"""So many tasks that are not begun are looked at; beyond them nothing is waited for."""

_EARLIER = 20
_FOUND = "wave"
"""The event of a push that was found by who came after it."""


def upstream(context: Context, task: Task, wave: str) -> tuple[Awaited, ...]:
    """Return what a task has to come after in a wave, and that is not over.

    Args:
        context: The index and the ledger.
        task: The task with everything that is known of what it reads.
        wave: The key of the push that the wave began with.

    Raises:
        TransientError: That cannot be told now.
    """
    reads = [d.reference for d in task.dependencies if d.reference.digest is None]
    return Upwards(context, Push.from_key(wave), begins=True).of(task.id, reads)


def known_upstream(context: Context, task: TaskId, wave: str) -> tuple[Awaited, ...]:
    """Return the same for a task as the index knows it."""
    indexed = context.index.view(task)
    if indexed is None:
        return ()
    reads = Member.of(indexed.view, context.settings.policy).reads
    return Upwards(context, Push.from_key(wave), begins=True).of(task, reads)


def comes_before(context: Context, rebuild: Rebuild, producer: Rebuild) -> bool:
    """Tell whether a task was built before another one of its cycle, in the wave of that one.

    What the other one pushed leads back into the cycle then.
    """
    walk = Upwards(context, Push.from_key(producer.began_with))
    built = walk.in_wave(rebuild.task)
    if built is None or built.state is not State.SUCCEEDED:
        return False
    return not walk.before(rebuild.task, [producer.task])


class Upwards:
    """A walk from a task up to what it stands on, in a wave.

    Args:
        context: The index and the ledger.
        root: The push that the wave began with.
        begins: Whether something is about to begin, and not only looked at: a push on the way that
            nobody was told of is planned then, so that who comes first is known to.
    """

    def __init__(self, context: Context, root: Push, *, begins: bool = False) -> None:
        self._context = context
        self._root = root
        self._begins = begins
        self._began = pushed_reference(context, root)

    def of(self, task: TaskId, reads: Iterable[ImageReference]) -> tuple[Awaited, ...]:
        """Return what a task that reads images has to come after, and that is not over."""
        found: dict[TaskId, str] = {}
        seen = {task}
        # Each image with the task that reads it and is not begun; None for the task that asks.
        ahead: deque[tuple[ImageReference, IndexedTask | None]] = deque(
            (image, None) for image in sorted(set(reads), key=str)
        )
        while ahead:
            image, reader = ahead.popleft()
            if image == self._began:
                continue  # it is what moved: whoever pushed it is no part of the wave
            for maker in makers_of(self._context, image):
                of = maker.view.task
                if of == task:
                    continue
                rebuild = self.in_wave(of)
                if rebuild is not None:
                    if rebuild.unsettled:
                        found[of] = shown(rebuild)
                    elif reader is not None and (state := self._after(rebuild, image, reader)):
                        found[reader.view.task] = state
                elif of not in seen:
                    seen.add(of)
                    if state := self._reached(maker):
                        found[of] = state
                    reads_too = Member.of(maker.view, self._context.settings.policy).reads
                    ahead.extend((above, maker) for above in sorted(reads_too, key=str))
            if len(seen) > _MOST:
                log.warning("task %s: over %d tasks are upstream and not begun", task, _MOST)
                break
        return tuple(Awaited(str(of), found[of]) for of in self.before(task, found))

    def in_wave(self, task: TaskId) -> Rebuild | None:
        """Return the rebuild that tells how far a task is in the wave; None if none was begun."""
        rebuilds = self._context.ledger.rebuilds(task, _EARLIER)
        image = str(self._began.at(self._root.digest))
        of = (r for r in rebuilds if r.began_with == self._root.key or image in r.bases)
        return _telling(next(of, None), rebuilds)

    def _reached(self, maker: IndexedTask) -> str:
        """Return how far a task is that reads what moved, and was not begun; "" if it is left."""
        if self._began not in Member.of(maker.view, self._context.settings.policy).reads:
            return ""
        return self.told(self._root, maker, self._began)

    def _after(self, rebuild: Rebuild, image: ImageReference, reader: IndexedTask) -> str:
        """Return how far a task is that reads what a rebuild pushed, and was not begun."""
        for output in rebuild.output_images:
            with suppress(InvalidReference):
                pushed = ImageReference.parse(output)
                push = push_of(self._context, pushed)
                if pushed.at(None) == image and push is not None:
                    return self.told(push, reader, image)
        return ""

    def told(self, push: Push, reader: IndexedTask, image: ImageReference) -> str:
        """Return how far a task is that a push reaches; "" if it is left, or over."""
        ledger, task = self._context.ledger, reader.view.task
        on = str(image.at(push.digest))
        rebuilds = ledger.rebuilds(task, _EARLIER)
        # It may have been begun in another wave, which reached it, too.
        begun = _telling(next((r for r in rebuilds if on in r.bases), None), rebuilds)
        if begun is not None:
            return shown(begun) if begun.unsettled else ""
        decided = ledger.decisions(push, task)[::-1]  # of several at once the last one counts
        newest = max(decided, key=lambda made: made.last_at, default=None)
        if newest is None:
            # What ACR has recorded is what the tag named when a run ended: a plan finds out
            # whether the run has read that. A task that no plan has met came after it.
            recorded = {d.built_on for d in reader.view.dependencies if d.reference == image}
            longest = _PLANNED if push.digest in recorded else TO_COME
            since = self._told_of(push)
            words = "its plan is to come"
        else:
            # What was under way when somebody last asked has failed since, and was overtaken.
            begins = newest.decision.rebuild or isinstance(newest.decision, RebuildUnderWay)
            longest = TO_COME
            since = newest.first_at if begins else None
            words = "to be begun"
        # Now, and not before it was read: whoever stood still meanwhile took it for impossible.
        return words if since is not None and age(since, self._context.now()) < longest else ""

    def _told_of(self, push: Push) -> datetime | None:
        """Return since when a push is known; None if nobody was told of it, or is now."""
        known = self._context.ledger.push(push.key)
        if known is None and self._begins:
            # Whoever was told of another digest of the tag has found it, or of the end of the run
            # that pushed it: its event is late, or lost.
            announce_push(self._context, replace(push, event=_FOUND))
            return self._context.now()
        return None if known is None else known.first_at

    def before(self, task: TaskId, found: Iterable[TaskId]) -> list[TaskId]:
        """Leave out those that come after a task in a cycle with it."""
        awaited = sorted(found)
        standing = below(self._context, task) if awaited else {}
        if standing.keys().isdisjoint(awaited):
            return awaited
        policy = self._context.settings.policy
        members = [Member.of(indexed.view, policy) for indexed in standing.values()]
        order = layers_of(members, {self._began})
        return [of for of in awaited if not order.precedes(task, of)]


def shown(rebuild: Rebuild) -> str:
    """How far a rebuild is, for a person."""
    if rebuild.state is State.FAILED:
        return f"attempt {rebuild.attempt} failed, to be tried again"
    if rebuild.state is State.SUCCEEDED:
        return "left on an old base, to be built again"
    return f"{rebuild.state}, run {rebuild.run_id}" if rebuild.run_id else rebuild.state.value


def _telling(of: Rebuild | None, rebuilds: Sequence[Rebuild]) -> Rebuild | None:
    """Return the rebuild that tells how far a task is: one that was overtaken tells nothing.

    Nor does one that failed and is not tried again: another is to take its place, or the task was
    left alone, which is told by what was decided.
    """
    if of is None or of.state is State.GIVEN_UP or (of.state is State.SUCCEEDED and not of.due):
        return of
    newest = rebuilds[0]
    left = newest.state is State.FAILED and not newest.unsettled
    return None if newest.overtaken or left else newest
