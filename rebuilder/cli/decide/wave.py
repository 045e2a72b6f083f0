"""`rebuilder wave`: how far the wave of a push is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.references import ImageReference
from rebuilder.usecases.context import Context
from rebuilder.usecases.waves.progress import Stage, WaveReport, progress


@click.command(
    cls=Command,
    help="Tell how far the wave of a push is: the tasks that it reaches, directly or through images"
    " that those push, layer by layer: done, building, held, failed, to come or left, and why.",
    codes={Exit.OK: "nothing more is to come of it", Exit.FAILED: "it goes on, or an error"},
)
@click.argument("image", metavar="IMAGE[@DIGEST]")
@as_json
@with_context
def wave(context: Context, image: str, *, as_json: bool) -> int:
    """Tell how far a wave is."""
    with working("Looking"):
        found = progress(context, ImageReference.parse(image))
    if as_json:
        say_json(_record(found))
    else:
        say_all(_lines(found))
    return Exit.OK if found.over else Exit.FAILED


def _lines(found: WaveReport) -> Iterator[str]:
    yield f"{found.image}: {len(found.tasks)} task(s) in {found.depth} layer(s): {_counted(found)}"
    for layer in range(found.depth):
        yield f"layer {layer + 1}: {_counted(found, layer)}"
        for task in found.tasks:
            if task.layer == layer and task.stage is not Stage.DONE:
                why = f": {task.why}" if task.why else ""
                yield f"  {task.stage:9}{task.task.short}{why}"
    for cycle in found.cycles:
        yield f"a cycle, rebuilt once: {' -> '.join(task.short for task in cycle)}"


def _counted(found: WaveReport, layer: int | None = None) -> str:
    return _words(found.count(layer)) or "nothing"


def _words(count: Mapping[Stage, int]) -> str:
    return ", ".join(f"{number} {stage}" for stage, number in count.items() if number)


def _record(found: WaveReport) -> dict[str, Any]:
    return {
        "image": found.image,
        "push": found.push.key,
        "over": found.over,
        "counts": {stage.value: number for stage, number in found.count().items()},
        "layers": [
            {stage.value: number for stage, number in found.count(layer).items()}
            for layer in range(found.depth)
        ],
        "tasks": [
            {
                "task": str(task.task),
                "layer": task.layer + 1,
                "stage": task.stage.value,
                "why": task.why,
                "rebuild": None if task.rebuild is None else task.rebuild.id,
                "run": None if task.rebuild is None else task.rebuild.run_id,
            }
            for task in found.tasks
        ],
        "cycles": [[str(task) for task in cycle] for cycle in found.cycles],
    }
