"""The commands about what tasks are built on: `deps --task`, `gaps`, `graph`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rebuilder._terminal import say_all, say_json
from rebuilder.core.evidence import Evidence, TaskView
from rebuilder.core.gaps import counted, not_compared, to_record
from rebuilder.core.graph import Graph, as_dot, as_mermaid, as_record, as_text
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.core.tasks import Makes, Output, Task
from rebuilder.errors import InvalidResourceId, NotFound
from rebuilder.usecases._evidence import look
from rebuilder.usecases.context import Context
from rebuilder.usecases.gaps import TaskGaps, list_gaps
from rebuilder.usecases.graph import draw_graph

GAPS_FOUND = 3
"""The exit code of `rebuilder gaps` if there are gaps; 1 is an error, 2 wrong usage."""

_FORMATS: Mapping[str, Callable[[Graph], list[str]]] = {
    "text": as_text,
    "dot": as_dot,
    "mermaid": as_mermaid,
}
_JSON = "json"


def add_dependency_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's own class is private
    """Add the commands to the subparsers of `rebuilder`."""
    gaps = commands.add_parser(
        "gaps",
        help="tell what ACR's own record of the tasks misses or has wrong",
        description="Compares ACR's record of each task with what its build reads. The exit code is"
        f" 0 without gaps, {GAPS_FOUND} with gaps, 1 after an error; remarks are no gaps.",
    )
    gaps.add_argument(
        "--registry", help="only this one: its name or resource id, as configured", default=""
    )
    gaps.add_argument("--json", action="store_true", help="print JSON")
    gaps.set_defaults(command=_gaps)

    graph = commands.add_parser("graph", help="draw images and tasks: who stands on whom")
    graph.add_argument(
        "--registry", help="only this one: its name or resource id, as configured", default=""
    )
    graph.add_argument(
        "--format", choices=[*_FORMATS, _JSON], default="text", help="how to draw it (text)"
    )
    graph.set_defaults(command=_graph)


def chosen(context: Context, wanted: str) -> list[RegistryId]:
    """Return the task registries that a person means: all of them, or one by name or id.

    Raises:
        NotFound: None is meant.
    """
    registries = list(context.settings.task_registries)
    if not wanted:
        return registries
    found = [r for r in registries if wanted.lower() in (r.name, str(r))]
    if not found:
        known = ", ".join(r.name for r in registries)
        raise NotFound(f"{wanted} is none of the registries in REBUILDER_TASK_REGISTRIES: {known}")
    return found


# deps --task


def print_task(context: Context, options: argparse.Namespace) -> int:
    """Print what is known of a task's dependencies, and each source's say."""
    view = look(context, find_task(context, options.task)).view
    if options.json:
        say_json(_view_record(view))
    else:
        say_all(_view_lines(view))
    return 0


def find_task(context: Context, wanted: str) -> Task:
    """Return the task that a person means: NAME, REGISTRY/NAME or a resource id.

    Raises:
        NotFound: None is meant, or several are.
    """
    if wanted.startswith("/"):
        return context.tasks.task(TaskId.parse(wanted))
    registry, _, name = wanted.rpartition("/")
    found: list[Task] = []
    registries = chosen(context, registry)
    for candidate in registries:
        try:
            found.append(context.tasks.task(TaskId.parse(f"{candidate}/tasks/{name}")))
        except InvalidResourceId:
            raise NotFound(f"{name!r} is no name of a task") from None
        except NotFound:
            continue
    if not found:
        known = ", ".join(r.name for r in registries)
        raise NotFound(f"there is no task {name} in {known}")
    if len(found) > 1:
        names = ", ".join(f"{task.id.registry.name}/{task.id.name}" for task in found)
        raise NotFound(f"{wanted} is a task of several registries; write one of {names}")
    return found[0]


def _view_lines(view: TaskView) -> Iterator[str]:
    yield f"{view.task.registry.name}/{view.task.name}"
    if not view.dependencies:
        yield "  no image is known"
    for dependency in view.dependencies:
        yield f"  {dependency.reference}  {dependency.kind}"
        if dependency.built_on:
            yield f"      built on {dependency.built_on}"
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


def _view_record(view: TaskView) -> dict[str, Any]:
    return {
        "task": str(view.task),
        "dependencies": [
            {
                "reference": str(dependency.reference),
                "kind": dependency.kind.value,
                "builtOn": dependency.built_on,
                "knownFrom": dependency.known_from,
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


# gaps


def _gaps(context: Context, options: argparse.Namespace) -> int:
    found = [
        task
        for registry in chosen(context, options.registry)
        for task in list_gaps(context, registry)
    ]
    if options.json:
        say_json(
            [
                {"task": str(task.task), "gaps": [to_record(gap) for gap in task.gaps]}
                for task in found
            ]
        )
    else:
        say_all(_gap_lines(found))
    return GAPS_FOUND if any(counted(task.gaps) for task in found) else 0


def _gap_lines(found: list[TaskGaps]) -> Iterator[str]:
    for task in found:
        if task.gaps:
            yield f"{task.task.registry.name}/{task.task.name}"
            for gap in task.gaps:
                remark = "" if gap.counts else " (a remark)"
                yield f"  {gap.code}{remark}: {gap.sentence()}"
            yield ""
    number = sum(counted(task.gaps) for task in found)
    of = sum(1 for task in found if counted(task.gaps))
    yield f"{number} gap(s) in {of} of {len(found)} task(s)."
    unread = sum(1 for task in found if not_compared(task.gaps))
    if unread:
        yield f"Of {unread} task(s) not everything could be compared; the remarks tell why."


# graph


def _graph(context: Context, options: argparse.Namespace) -> int:
    graph = draw_graph(context, chosen(context, options.registry))
    if options.format == _JSON:
        say_json(as_record(graph))
    else:
        say_all(_FORMATS[options.format](graph))
    return 0
