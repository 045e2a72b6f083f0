"""Ask every source what a task is built on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind, Makes, Output, Run, Task
from rebuilder.core.dependencies.effects import Effects, output_of, output_seen
from rebuilder.core.dependencies.evidence import Evidence, Source, TaskView, join, recorded
from rebuilder.errors import RebuilderError, TransientError
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.index._files import Files
from rebuilder.usecases.index._image import Image, outputs_of

log = logging.getLogger(__name__)


class Look(Struct, frozen=True):
    """What was found out about a task.

    Attributes:
        task: The task.
        view: What its sources say.
        effects: What its files say that its steps do; None if they cannot be read.
        problem: Why its files cannot be read; None if they can.
        name: The task file, for a person; "" if the task has none.
        last_run: Its last successful run; None if none is known, or nobody asked.
        failure: A source that did not answer now; None if all did.
        gone: The tags of base registries that it follows and that are there no more.
    """

    task: Task
    view: TaskView
    effects: Effects | None
    problem: str | None
    name: str
    last_run: Run | None
    failure: TransientError | None
    gone: tuple[ImageReference, ...] = ()


def gather(context: Context, task: Task) -> TaskView:
    """Return what is known of a task's dependencies.

    The output image is looked at only where neither the record nor the build file names its base:
    that costs a request to ARM and some to registries, and a sweep reads every task.

    Raises:
        TransientError: A source did not answer now; what is known from before is better than a
            view without it.
    """
    found = look(context, task, thorough=False)
    if found.failure is not None:
        raise found.failure
    return found.view


def look(context: Context, task: Task, *, thorough: bool = True) -> Look:
    """Find out all about a task; a source that does not answer is a problem in its evidence.

    Args:
        context: Where to look.
        task: The task, with ACR's record of it.
        thorough: Whether to look at the output image although its base is known.
    """
    record = recorded(task)
    files = Files(context, task)
    evidence = [record, files.evidence()]
    dependencies = join(task.id, evidence).dependencies
    image = Image(context, task, dependencies)
    known = any(dependency.kind is Kind.RUNTIME for dependency in dependencies)
    makes_none = files.effects is not None and output_of(files.effects).makes is Makes.NOTHING
    if task.has_step and (thorough or (not known and not makes_none)):
        evidence.append(image.evidence())
    view = join(task.id, evidence, _output(task, files, image))
    failure = files.failure or image.failure
    return Look(
        task,
        view,
        files.effects,
        files.problem,
        files.name,
        image.last_run,
        failure,
        tuple(image.gone),
    )


def _output(task: Task, files: Files, image: Image) -> Output | None:
    """Return what a task makes."""
    if files.effects is not None:
        return output_of(files.effects)
    if not task.has_step:
        return None
    run = image.last_run
    return output_seen(
        files.problem or "its files cannot be read",
        recorded=bool(task.dependencies),
        run="" if run is None else run.run_id,
        pushed=() if run is None else tuple(str(name) for _, name in outputs_of(run)),
    )


def look_at_all(context: Context, tasks: Iterable[Task], *, thorough: bool = True) -> list[Look]:
    """Find out all about many tasks, several at a time; what stops one is its own problem."""
    asked = list(tasks)
    results = attempts(partial(look, context, thorough=thorough), asked)
    return [
        _unread(task, result) if isinstance(result, RebuilderError) else result
        for task, result in zip(asked, results, strict=True)
    ]


def _unread(task: Task, error: RebuilderError) -> Look:
    problem = str(error)
    evidence = [recorded(task), Evidence(Source.BUILD_FILE, (), problem)]
    return Look(task, join(task.id, evidence), None, problem, "", None, None)
