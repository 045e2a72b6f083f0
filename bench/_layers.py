"""Tasks in layers, one built on what another pushes: few at the top, most of them at the bottom.

Each has one rebuild, so that as many as a page has to cope with are made in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import replace
from datetime import datetime, timedelta
from itertools import accumulate

from bench._past import APPS, BASE, HOST, digest
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Kind, Makes, Output
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.holds import Held, OutsideWindow
from rebuilder.core.rebuilds.rebuild import Check, Hold, Rebuild, State, rebuild_key
from rebuilder.ports.ledger import PushRecord

_TAGS = 20
_GROWTH = 1.5


class Layers:
    """So many tasks in so many layers; what bench._past writes into a store.

    The first layer is built on tags of the base registry, each other one on images of the layer
    before; every third task reads one of those tags as well. Of the last layer, one in ten waits.

    Args:
        tasks: How many tasks.
        layers: How many layers.
        now: When it is.

    Attributes:
        pushes: How many pushes: of each tag, and of what each task makes.
        each_task: How many rebuilds each task has.
        begins: The number of the first task of each layer, and how many tasks there are.
    """

    each_task = 1

    def __init__(self, tasks: int, layers: int, now: datetime) -> None:
        self.tasks = tasks
        self.pushes = _TAGS + tasks
        self.now = now
        weights = [_GROWTH**layer for layer in range(layers)]
        widths = [int(tasks * weight / sum(weights)) for weight in weights[:-1]]
        self.begins = (*accumulate(widths, initial=0), tasks)

    def task(self, number: int) -> TaskId:
        """Return a task."""
        layer = self._layer(number)
        return TaskId(APPS[number % len(APPS)], f"layer-{layer + 1:02}-{number:05}")

    def tag(self, number: int) -> ImageReference:
        """Return a tag of the base registry."""
        return ImageReference.parse(f"{HOST}/images/base:{number % _TAGS}")

    def image(self, number: int) -> ImageReference:
        """Return what a task pushes."""
        task = self.task(number)
        return ImageReference.parse(f"{task.registry.name}.azurecr.io/{task.name}:1")

    def records(self) -> Iterator[PushRecord]:
        """Yield every push, each delivered once."""
        for push, at in (*map(self._base_push, range(_TAGS)), *map(self._push, range(self.tasks))):
            yield PushRecord(push, at, at, 1)

    def rebuilt(self) -> Iterator[tuple[Push, BaseMoved, Rebuild]]:
        """Yield every rebuild, after its push and its decision."""
        for number in range(self.tasks):
            yield self._rebuilt(number)

    def indexed(self) -> Iterator[IndexedTask]:
        """Yield what the index knows of each task."""
        for number in range(self.tasks):
            task, (on, push, _) = self.task(number), self._on(number)
            said = [Said(on, Kind.RUNTIME, push.digest)]
            if number % 3 == 0 and self._layer(number):
                tag, (base, _) = self.tag(number), self._base_push(number)
                said.append(Said(tag, Kind.BUILD_TIME, base.digest))
            view = join(task, [Evidence(Source.ACR_RECORD, tuple(said))])
            output = Output(Makes.IMAGE, (f"{task.name}:1",), "its step pushes it")
            yield IndexedTask(replace(view, output=output), self.now)

    def _layer(self, number: int) -> int:
        return sum(begin <= number for begin in self.begins[1:-1])

    def _on(self, number: int) -> tuple[ImageReference, Push, datetime]:
        """Return what a task is built on, with the push of it."""
        layer = self._layer(number)
        if layer == 0:
            return self.tag(number), *self._base_push(number)
        begin, end = self.begins[layer : layer + 2]
        above = self.begins[layer - 1]
        maker = above + (number - begin) * (begin - above) // (end - begin)
        return self.image(maker), *self._push(maker)

    def _base_push(self, number: int) -> tuple[Push, datetime]:
        number %= _TAGS
        at = self.now - timedelta(days=2, minutes=number)
        tag = self.tag(number)
        return Push(BASE, tag.path, str(tag.tag), digest(-1 - number), at, f"base-{number}"), at

    def _push(self, number: int) -> tuple[Push, datetime]:
        at = self.now - timedelta(days=1) * (self.tasks - number) / self.tasks
        image, registry = self.image(number), self.task(number).registry
        return Push(registry, image.path, "1", digest(number), at, f"event-{number}"), at

    def _rebuilt(self, number: int) -> tuple[Push, BaseMoved, Rebuild]:
        task, (on, push, at) = self.task(number), self._on(number)
        name = str(on)
        old, new = digest(number + self.pushes), push.digest
        moved = BaseMoved(task, name, "runtime", old, new, "registry")
        rebuild = Rebuild(
            task=task,
            sequence=1,
            key=rebuild_key(task, [Base(on, new, "registry")]),
            bases=(f"{name}@{new}",),
            push=push.key,
            state=State.SUCCEEDED,
            claimed_at=at,
            owner="0" * 32,
            lease_until=at + timedelta(seconds=90),
            version=4,
            run_id=f"l{number}",
            finished_at=at + timedelta(minutes=2),
            outcome="Succeeded",
            output_images=(f"{self.image(number)}@{digest(number)}",),
            dependencies=(f"{name}@{new}",),
            check=Check.NEW,
        )
        if number >= self.begins[-2] and number % 10 == 0:
            ends = self.now + timedelta(hours=6)
            held = Held((OutsideWindow(("mon 22:00-05:00 UTC",), ends),), at, at, (name,), "v1")
            state = replace(
                rebuild, state=State.HELD, hold=Hold.GATE, held=held, due=ends, run_id=None
            )
            rebuild = replace(
                state,
                outcome=held.sentence(),
                finished_at=None,
                output_images=(),
                check=None,
            )
        return push, moved, rebuild
