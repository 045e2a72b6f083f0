"""What a push would lead to, before it is made. Nothing is written and nothing started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Makes, RunStatus
from rebuilder.core.decisions.decide import Base
from rebuilder.core.lines.rooms import PRIORITY
from rebuilder.core.policies.gate import Asked, Hold, InForce, applies, gate
from rebuilder.core.policies.policy import Policies
from rebuilder.core.rebuilds.looks import lasted
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.core.times import age
from rebuilder.core.waves.forecast import Forecast, Planned
from rebuilder.errors import NotFound, RebuilderError
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.waves.reach import NEXT, Reached, moved, reach

_MINUTE = timedelta(minutes=1)
_RUNS = 100
"""How many of a registry's newest runs are looked at; one request."""

_EARLIER = 200
"""For so many tasks an earlier rebuild than the newest is looked for."""


def preview(context: Context, image: ImageReference) -> Forecast:
    """Tell what a push of a tag would lead to.

    Args:
        context: The index, the ledger, and what operators decided; ARM is asked for the newest
            runs of the registries, once each, if the ledger does not tell how long runs take.
        image: A tag, of the next digest; or with the digest that it would name.

    Raises:
        NotFound: The image's registry is none of the base registries, or no tag is named.
        TransientError: The store cannot be read.
    """
    if image.tag is None:
        raise NotFound(f"{image} names no tag: tasks follow tags")
    if context.base_registry(image.domain) is None and not context.settings.polls(image.domain):
        raise NotFound(f"{image.domain} is none of the registries in REBUILDER_BASE_REGISTRIES")
    in_force = context.in_force.now(context.steering, context.now())
    root = Base(image.at(None), image.digest or NEXT, "event")
    found = reach(context, root, in_force)
    minutes = _minutes(context, list(found.tasks))
    tasks = tuple(
        _planned(found, in_force, context.now(), task, layer, minutes.get(task))
        for layer, together in enumerate(found.layers.layers)
        for task in together
    )
    unknown = tuple(_unknown(context, found, in_force, tasks))
    rooms = sorted({room for task in tasks for room in task.rooms})
    limits = {} if in_force.policies is None else in_force.policies.limits
    return Forecast(
        str(root.reference),
        image.digest or "",
        tasks,
        found.left,
        found.layers.cycles,
        unknown,
        {room: limits[room] for room in rooms},
    )


def _planned(
    found: Reached,
    in_force: InForce,
    now: datetime,
    task: TaskId,
    layer: int,
    minutes: float | None,
) -> Planned:
    indexed, images = found.tasks[task], found.moved[task]
    direct = found.root.reference in images
    reads = tuple(str(d.reference) for d in indexed.view.dependencies)
    held: Hold | None = None
    rooms: tuple[str, ...] = ()
    priority = PRIORITY
    if in_force.policies is not None or in_force.pauses or in_force.unreadable:
        asked = Asked(task, tuple(moved(indexed, i) for i in images), reads, (), now, now)
        answer = gate(asked, in_force, now)
        held = answer if isinstance(answer, Hold) else None
        if in_force.policies is not None and in_force.policies.limits:
            rooms, priority = _places(in_force.policies, asked)
    if direct and found.root.digest != NEXT:
        reason = found.because[task].sentence()
    else:
        reason = f"it reads {', '.join(map(str, images))}"
    return Planned(
        task,
        layer,
        reason,
        tuple(map(str, images)),
        found.layers.upstream[task],
        () if held is None else held.reasons,
        None if held is None else held.until,
        minutes,
        rooms,
        priority,
    )


def _places(policies: Policies, asked: Asked) -> tuple[tuple[str, ...], int]:
    """Return what a task needs a place in, as far as the index tells, and how soon it gets one."""
    applied = applies(policies, asked.task, asked.moved, asked.tags)
    return policies.rooms(asked.task, "", applied), applied.priority


def _minutes(context: Context, tasks: Sequence[TaskId]) -> dict[TaskId, float]:
    """Return how many minutes the last run of each task took, as far as that is known."""
    found: dict[TaskId, float] = {}
    heads = context.ledger.heads(tasks) if tasks else {}
    for task, head in heads.items():
        known = head if head.state is State.SUCCEEDED else None
        if known is None and len(found) < _EARLIER:
            known = context.ledger.newest_success(task)
        if known is not None and (took := lasted(known)) is not None:
            found[task] = took / _MINUTE
    lacking = [task for task in tasks if task not in found]
    registries = list(dict.fromkeys(task.registry for task in lacking))
    for runs in attempts(partial(_of_runs, context), registries):
        if not isinstance(runs, RebuilderError):
            found = {**runs, **found}
    return found


def _of_runs(context: Context, registry: RegistryId) -> Mapping[TaskId, float]:
    found: dict[TaskId, float] = {}
    for run in context.tasks.runs(registry, top=_RUNS):
        ended = run.task and run.status is RunStatus.SUCCEEDED and run.started and run.finished
        if ended and run.started and run.finished and run.task:
            task = TaskId(registry, run.task.lower())
            found.setdefault(task, (run.finished - run.started) / _MINUTE)
    return found


def _unknown(
    context: Context, found: Reached, in_force: InForce, tasks: Sequence[Planned]
) -> Iterator[str]:
    """Yield what a forecast cannot tell."""
    yield ("whether a task is enabled, and who runs it besides: ARM tells that when it is built")
    without = sum(task.minutes is None for task in tasks)
    if without:
        yield f"how long {without} of {len(tasks)} task(s) take: no run of theirs is known"
    templates = [
        task
        for task, indexed in found.tasks.items()
        if indexed.view.output is not None
        and len(indexed.view.output.pushes) > len(found.members[task].pushes)
    ]
    if templates:
        yield (
            f"who reads what {len(templates)} task(s) push under names that only a run fills in:"
            f" {_some(templates)}"
        )
    unseen = {
        indexed.view.task
        for indexed in found.tasks.values()
        if indexed.view.output is None or indexed.view.output.makes is Makes.UNKNOWN
    }
    if unseen:
        yield f"what {len(unseen)} task(s) push: {_some(sorted(unseen))}"
    policies = in_force.policies
    if policies is not None and (policies.selectable or policies.tightening):
        yield "what rules and policies that go by the tags of tasks add: the index has no tags"
    if policies is not None and policies.in_pools:
        yield "which agent pools tasks run in, and wait for a place in: ARM tells that"
    known, now, limit = context.index.refreshes(), context.now(), context.settings.index_max_age
    for registry in context.settings.task_registries:
        if registry not in known:
            yield f"what the tasks of {registry.name} read: they were never all read"
        elif age(known[registry], now) > limit:
            yield f"what changed in {registry.name} since {known[registry]:%F %T}: its index is old"


def _some(tasks: Sequence[TaskId]) -> str:
    names = [task.short for task in tasks[:3]]
    return ", ".join(names) + (", ..." if len(tasks) > len(names) else "")
