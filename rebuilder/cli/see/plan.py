"""`rebuilder plan`: what a push would lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import json_time
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.policies.holds import reason_record
from rebuilder.core.waves.forecast import Forecast, Planned
from rebuilder.core.waves.schedule import begins
from rebuilder.usecases.context import Context
from rebuilder.usecases.waves.preview import preview

_TEXT, _MERMAID = "text", "mermaid"
_CPUS = 2.0
"""What an agent has unless its task says otherwise (`az acr task create --cpu`)."""


@click.command(
    cls=Command,
    help="Tell what a push of an image would lead to, before it is made: the layers, each task with"
    " its reason, what would hold it and until when, how long the last runs took, what limits"
    " make of that and what they cost, and what cannot be known. Nothing is started, and nothing"
    " written. With a digest, as if the tag named it.",
)
@click.argument("image", metavar="IMAGE[@DIGEST]")
@as_json
@click.option(
    "--format",
    "form",
    type=click.Choice([_TEXT, _MERMAID]),
    default=_TEXT,
    help="How to draw it (text).",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="NUMBER",
    help="What one CPU of an agent costs for a minute, to tell what the runs cost.",
)
@click.option(
    "--cpus",
    type=click.FloatRange(min=0),
    default=_CPUS,
    metavar="NUMBER",
    help="How many CPUs an agent has (2).",
)
@with_context
def plan(
    context: Context, image: str, *, as_json: bool, form: str, price: float, cpus: float
) -> int:
    """Tell what a push would lead to."""
    with working("Planning"):
        found = preview(context, ImageReference.parse(image))
    if as_json:
        say_json(_record(found, cpus, price))
    elif form == _MERMAID:
        say_all(_mermaid(found))
    else:
        say_all(_lines(found, cpus, price))
    return Exit.OK


def _lines(found: Forecast, cpus: float, price: float) -> Iterator[str]:
    digest = found.digest or "a new digest"
    yield f"{found.image} at {digest}: {len(found.tasks)} task(s) in {found.depth} layer(s)"
    layer = -1
    for task in found.tasks:
        if task.layer != layer:
            layer = task.layer
            yield f"layer {layer + 1}:"
        took = "" if task.minutes is None else f", {task.minutes:.1f} min"
        yield f"  {task.task.short}{took}: {task.reason}"
        for reason in task.holds:
            yield f"      held: {reason.sentence()} ({reason.ender()})"
    for number, cycle in enumerate(found.cycles, 1):
        yield f"cycle {number}, rebuilt once: {' -> '.join(task.short for task in cycle)}"
    if found.left:
        yield f"left alone ({len(found.left)}):"
        yield from (f"  {task.short}: {why}" for task, why in sorted(found.left.items()))
    path, minutes = found.critical_path()
    if path:
        names = " -> ".join(task.task.short for task in path)
        yield f"longest way, {minutes:.1f} min: {names}"
        yield f"runs take {found.minutes:.1f} min together"
    if found.limits:
        _, limited = _begun(found)
        places = ", ".join(f"{most} at once in {room}" for room, most in found.limits.items())
        yield f"with these places, the last one ends after {limited:.1f} min at least: {places}"
    if price:
        cost = found.cost(cpus, price)
        yield f"and cost {cost:.2f}, at {price:g} for a CPU's minute and {cpus:g} CPUs each"
    yield "not known:"
    yield from (f"  {what}" for what in found.unknown)


def _begun(found: Forecast) -> tuple[dict[TaskId, float], float]:
    """Return after how many minutes each task would begin, and after how many the last one ends."""
    began = begins(found.tasks, found.limits)
    ends = (began[task.task] + (task.minutes or 0) for task in found.tasks)
    return began, max(ends, default=0.0)


def _record(found: Forecast, cpus: float, price: float) -> dict[str, Any]:
    path, minutes = found.critical_path()
    began, limited = _begun(found)
    return {
        "image": found.image,
        "digest": found.digest or None,
        "layers": found.depth,
        "tasks": [{**_task_record(task), "begins": began[task.task]} for task in found.tasks],
        "left": [{"task": str(task), "why": why} for task, why in sorted(found.left.items())],
        "cycles": [[str(task) for task in cycle] for cycle in found.cycles],
        "criticalPath": [str(task.task) for task in path],
        "criticalMinutes": minutes,
        "limits": dict(found.limits),
        "limitedMinutes": limited,
        "minutes": found.minutes,
        "cost": found.cost(cpus, price) if price else None,
        "unknown": list(found.unknown),
    }


def _task_record(task: Planned) -> dict[str, Any]:
    return {
        "task": str(task.task),
        "layer": task.layer + 1,
        "reason": task.reason,
        "moved": list(task.moved),
        "upstream": [str(other) for other in task.upstream],
        "holds": [{**reason_record(r), "sentence": r.sentence()} for r in task.holds],
        "until": json_time(task.until),
        "minutes": task.minutes,
    }


def _mermaid(found: Forecast) -> Iterator[str]:
    keys: dict[TaskId, str] = {}
    yield "flowchart LR"
    yield f'  image["{found.image}"]'
    for number, task in enumerate(found.tasks):
        keys[task.task] = f"t{number}"
        yield f'  t{number}(["{task.task.short}"])'
    for task in found.tasks:
        if found.image in task.moved:
            yield f"  image --> {keys[task.task]}"
        yield from (f"  {keys[other]} --> {keys[task.task]}" for other in task.upstream)
