"""What would have been rebuilt over some days, beside what ACR's own trigger did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Run
from rebuilder.core.decisions.operators import WouldRebuild
from rebuilder.core.rebuilds.rebuild import Native
from rebuilder.errors import InvalidReference, RebuilderError
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since

_RUNS = 1000
"""How many of a registry's newest runs are looked at."""


class Observed(Struct, frozen=True):
    """A task that was to be rebuilt, or that ACR's trigger rebuilt, because an image moved.

    Attributes:
        task: The task.
        image: The tag with the digest that it named.
        would: When the product would have begun; None if it would not.
        run: The run that ACR's trigger started; "" if there is none.
        began: When that was.
        adopted: Whether the product waited for that run, and took it for its own.
    """

    task: TaskId
    image: str
    would: datetime | None
    run: str = ""
    began: datetime | None = None
    adopted: bool = False


class Comparison(Struct, frozen=True):
    """What would have been rebuilt beside what ACR's own trigger did.

    Attributes:
        since: From when on.
        until: Until when.
        pushes: How many pushes were first told of in that time.
        alike: Rebuilt by ACR's trigger, and the product would have, or waited for it.
        ours: The product would have rebuilt it, and ACR's trigger did not.
        theirs: ACR's trigger rebuilt it, and the product would not have.
        remarks: What could not be compared, and why.
    """

    since: datetime
    until: datetime
    pushes: int
    alike: tuple[Observed, ...]
    ours: tuple[Observed, ...]
    theirs: tuple[Observed, ...]
    remarks: tuple[str, ...]


def compare(context: Context, since: datetime, until: datetime) -> Comparison:
    """Compare what was decided with the runs that ACR's trigger started.

    Raises:
        TransientError: The store cannot be reached.
    """
    pushes = context.ledger.pushes_between(since, until)
    would: dict[tuple[TaskId, str], datetime] = {}
    for told in pushes:
        for record in context.ledger.decisions(told.push):
            made = record.decision
            if isinstance(made, WouldRebuild):
                would[made.task, f"{made.dependency}@{made.digest}"] = record.first_at
    remarks: list[str] = []
    runs = dict(_native(context, since, until, remarks))
    tasks = sorted({task for task, _ in runs})
    adopted = {run for task in tasks for run in _adopted(context, since, task)}
    alike, ours, theirs = list[Observed](), list[Observed](), list[Observed]()
    for task, image in sorted({*would, *runs}):
        begun, run = would.get((task, image)), runs.get((task, image))
        if run is None:
            ours.append(Observed(task, image, begun))
            continue
        taken = (task, run.run_id) in adopted
        found = Observed(task, image, begun, run.run_id, run.created, taken)
        (alike if taken or begun else theirs).append(found)
    return Comparison(
        since, until, len(pushes), tuple(alike), tuple(ours), tuple(theirs), tuple(remarks)
    )


def _native(
    context: Context, since: datetime, until: datetime, remarks: list[str]
) -> Iterator[tuple[tuple[TaskId, str], Run]]:
    """Yield the runs that images started, by the task and by each of those images."""
    registries = context.settings.task_registries

    def newest(registry: RegistryId) -> list[Run]:
        return context.tasks.runs(registry, top=_RUNS)

    for registry, found in zip(registries, attempts(newest, registries), strict=True):
        if isinstance(found, RebuilderError):
            remarks.append(f"the runs of {registry.name} could not be read: {found}")
            continue
        times = [run.created for run in found if run.created is not None]
        if len(found) == _RUNS and times and min(times) > since:
            remarks.append(f"of {registry.name}, only the newest {_RUNS} runs were looked at")
        for run in found:
            if run.task is None or run.created is None or not since <= run.created < until:
                continue
            task = TaskId(registry, run.task.lower())
            for moved in run.moved:
                try:
                    yield (task, str(ImageReference.parse(moved))), run
                except InvalidReference as error:
                    remarks.append(f"what started run {run.run_id} of {task.short}: {error}")


def _adopted(context: Context, since: datetime, task: TaskId) -> set[tuple[TaskId, str]]:
    """Return the runs of a task that were taken for the product's own."""
    rebuilds = rebuilds_since(context.ledger, task, since)
    return {(task, r.run_id) for r in rebuilds if r.native is Native.ADOPTED and r.run_id}
