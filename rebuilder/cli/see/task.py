"""`rebuilder deps --task`: what is known of a task, and each source's say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rebuilder.cli._chosen import find_task
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.tasks import Dependency, Makes, Output
from rebuilder.core.dependencies.evidence import Evidence, TaskView
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.gather import look


def print_task(context: Context, task: str, *, as_json: bool) -> int:
    """Print what is known of a task's dependencies, and each source's say."""
    with working("Asking every source"):
        view = look(context, find_task(context, task)).view
    quarantined = context.in_force.now(context.steering, context.now()).quarantined
    bad = {one.image: one.because for one in quarantined}
    if as_json:
        say_json(_view_record(view, bad))
    else:
        say_all(_view_lines(view, bad))
    return Exit.OK


def _bad(dependency: Dependency, bad: Mapping[str, str]) -> str | None:
    """Return why what an image was built on is quarantined; None if it is not."""
    image = dependency.reference.at(dependency.reference.digest or dependency.built_on)
    return bad.get(str(image))


def _view_lines(view: TaskView, bad: Mapping[str, str]) -> Iterator[str]:
    yield view.task.short
    if not view.dependencies:
        yield "  no image is known"
    for dependency in view.dependencies:
        yield f"  {dependency.reference}  {dependency.kind}"
        if dependency.built_on:
            yield f"      built on {dependency.built_on}"
        if why := _bad(dependency, bad):
            yield f"      STANDS ON A QUARANTINED DIGEST: {why}"
        yield f"      known from {dependency.known_from}"
    if view.output is not None:
        yield ""
        yield from _output_lines(view.output)
    for entry in view.evidence:
        yield ""
        yield from _evidence_lines(entry)
    if view.disagreements:
        yield ""
        yield "They disagree:"
        yield from (f"  {sentence}" for sentence in view.disagreements)


def _output_lines(output: Output) -> Iterator[str]:
    match output.makes:
        case Makes.IMAGE:
            yield f"Makes ({output.because}):"
            yield from (f"  {name}" for name in output.pushes or ("an image of unknown name",))
        case Makes.NOTHING:
            yield f"Makes no image: {output.because}. It is not started for any image that moves."
        case Makes.UNKNOWN:
            yield "Whether it makes an image is not known, so it is not started:"
            yield f"  {output.because}"
    if output.missing:
        yield f"Not started: values that it does not give: {', '.join(output.missing)}"
    if output.arguments:
        yield f"Not started: build arguments without a value: {', '.join(output.arguments)}"
    yield from (f"Warning: {warning}" for warning in output.warnings)


def _evidence_lines(entry: Evidence) -> Iterator[str]:
    name = entry.source[:1].upper() + entry.source[1:]
    revision = f" at {entry.revision}" if entry.revision else ""
    if not entry.images and entry.problem is None:
        yield f"{name}{revision}: no image"
        return
    yield f"{name}{revision}:"
    for said in entry.images:
        where = f" ({said.where})" if said.where else ""
        yield f"  {said.reference}  {said.kind}{where}"
    if entry.problem is not None:
        yield f"  not known: {entry.problem}"
    if entry.remark:
        yield f"  tools that are not known: {entry.remark}"


def _view_record(view: TaskView, bad: Mapping[str, str]) -> dict[str, Any]:
    return {
        "task": str(view.task),
        "dependencies": [
            {
                "reference": str(dependency.reference),
                "kind": dependency.kind.value,
                "builtOn": dependency.built_on,
                "knownFrom": dependency.known_from,
                "quarantined": _bad(dependency, bad),
            }
            for dependency in view.dependencies
        ],
        "evidence": [
            {
                "source": entry.source.value,
                "revision": entry.revision,
                "problem": entry.problem,
                "remark": entry.remark,
                "images": [
                    {
                        "reference": str(said.reference),
                        "kind": said.kind.value,
                        "builtOn": said.built_on,
                        "where": said.where,
                    }
                    for said in entry.images
                ],
            }
            for entry in view.evidence
        ],
        "disagreements": list(view.disagreements),
        "output": None
        if view.output is None
        else {
            "makes": view.output.makes.value,
            "pushes": list(view.output.pushes),
            "because": view.output.because,
            "missing": list(view.output.missing),
            "missingArguments": list(view.output.arguments),
            "warnings": list(view.output.warnings),
        },
    }
