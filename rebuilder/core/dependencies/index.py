"""The index of dependencies: what was known of each task when its sources were last read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import replace
from datetime import datetime
from typing import Any

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Dependency, Kind, Makes, Output, Task
from rebuilder.core.decisions.policy import Policy
from rebuilder.core.dependencies.effects import output_seen
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, TaskView, join, recorded
from rebuilder.errors import InvalidReference


class IndexedTask(Struct, frozen=True, gc=False):
    """A task as the index knows it.

    Attributes:
        view: What was known of its dependencies.
        read_at: When reading its sources began; what changed since is not in the view.
    """

    view: TaskView
    read_at: datetime


class IndexScan(Struct, frozen=True):
    """How far the reading of every task of a registry has come.

    Attributes:
        registry: The registry.
        started: When it began.
        after: Where it goes on, as `Tasks.page` told; "" for the beginning.
    """

    registry: RegistryId
    started: datetime
    after: str = ""


def repositories(view: TaskView) -> frozenset[str]:
    """What a task is found under: the repositories that it reads, and those that it pushes to.

    The former are those, with their registries, whose pushes may concern it; the latter are as
    `pushing_to` names them.
    """
    reads = {dependency.reference.repository for dependency in view.dependencies}
    return frozenset(reads.union(pushing_to(image.repository) for image in pushed(view)))


def pushing_to(repository: str) -> str:
    """What the tasks are found under that push to a repository; no registry has such a name."""
    return f"pushes {repository}"


def pushed(view: TaskView) -> Iterator[ImageReference]:
    """Yield the tags that a task pushes, as far as their names are known before a run."""
    for name in () if view.output is None else view.output.pushes:
        with suppress(InvalidReference):  # with a template in it, nobody can read it by its name
            yield ImageReference.parse(name).at(None)


def moving(view: TaskView, policy: Policy) -> tuple[Dependency, ...]:
    """What a task is to be rebuilt for when it moves: what names a tag, and is a reason.

    Args:
        view: What is known of the task.
        policy: Which tools are a reason.
    """
    output = view.output
    makes = output is None or (output.makes is Makes.IMAGE and not output.lacks)
    return tuple(
        dependency
        for dependency in view.dependencies
        if dependency.reference.tag is not None
        and dependency.reference.digest is None
        and (
            policy.names_tool(view.task, dependency)
            if dependency.kind is Kind.TOOL
            else makes and dependency.kind is not Kind.UNUSED
        )
    )


def with_view(task: Task, view: TaskView | None) -> Task:
    """The task with every dependency that is known of it.

    ACR's record is taken from the task as it is now, and what the other sources say from the
    view, which may be older.

    Args:
        task: The task with ACR's record of it.
        view: What the index knows of it, if anything.
    """
    if view is None:
        return task
    record = recorded(task)
    dependencies, output = view.dependencies, view.output
    if output is not None and not output.read and output.makes is Makes.UNKNOWN:
        output = output_seen(output.because, recorded=bool(record.images), run="", pushed=())
    if record not in view.evidence:
        # Usually nothing has changed since the sources were joined, which is much quicker.
        others = (e for e in view.evidence if e.source is not Source.ACR_RECORD)
        dependencies = join(task.id, [record, *others]).dependencies
    return replace(task, dependencies=dependencies, output=output, unread=view.unread)


def unread(view: TaskView) -> Task:
    """A task that was not read now, as far as its view tells of it."""
    return Task(
        view.task,
        enabled=True,
        has_step=True,
        trigger_type=None,
        dependencies=view.dependencies,
        output=view.output,
        unread=view.unread,
    )


def to_record(view: TaskView) -> dict[str, Any]:
    """The view as JSON values."""
    return {
        "task": str(view.task),
        "evidence": [
            {
                "source": evidence.source.value,
                "images": [
                    [_parts(said.reference), said.kind.value, said.built_on, said.where]
                    for said in evidence.images
                ],
                "problem": evidence.problem,
                "revision": evidence.revision,
                "remark": evidence.remark,
            }
            for evidence in view.evidence
        ],
        "dependencies": [
            [_parts(d.reference), d.kind.value, d.built_on, d.known_from] for d in view.dependencies
        ],
        "disagreements": list(view.disagreements),
        "output": None if view.output is None else _output_record(view.output),
    }


def _output_record(output: Output) -> dict[str, Any]:
    return {
        "makes": output.makes.value,
        "pushes": list(output.pushes),
        "because": output.because,
        "missing": list(output.missing),
        "warnings": list(output.warnings),
        "read": output.read,
        "arguments": list(output.arguments),
    }


def _output_of(record: Mapping[str, Any] | None) -> Output | None:
    if record is None:
        return None
    return Output(
        Makes(record["makes"]),
        tuple(record["pushes"]),
        record["because"],
        tuple(record["missing"]),
        tuple(record["warnings"]),
        record["read"],
        tuple(record.get("arguments", ())),
    )


def from_record(record: Mapping[str, Any]) -> TaskView:
    """The view of a record that `to_record` made."""
    return TaskView(
        TaskId.parse(record["task"]),
        tuple(
            Evidence(
                Source(evidence["source"]),
                tuple(
                    Said(ImageReference(*parts), Kind(kind), built_on, where)
                    for parts, kind, built_on, where in evidence["images"]
                ),
                evidence["problem"],
                evidence["revision"],
                evidence.get("remark", ""),
            )
            for evidence in record["evidence"]
        ),
        tuple(
            Dependency(ImageReference(*parts), Kind(kind), built_on, known_from)
            for parts, kind, built_on, known_from in record["dependencies"]
        ),
        tuple(record["disagreements"]),
        _output_of(record.get("output")),  # a record of version 0.1.0 has none
    )


LARGEST = 100_000
"""How many characters a view may have as JSON: over three hundred images.

It stands once more under each repository that it names, and an entity of a table holds 1 MiB.
"""


def fitting(view: TaskView) -> TaskView:
    """The view as the index can hold it; that of nearly every task is returned as it is.

    A source that says too much is left out, and tells so as its problem.
    """
    evidence = list(view.evidence)
    while _size(view) > LARGEST:
        place = max(range(len(evidence)), key=lambda place: _size_of(evidence[place]))
        found = evidence[place]
        many = len(found.images)
        problem = (
            f"it names {many} images, which is more than is kept of a task: none of them counts"
            if many
            else f"{(found.problem or '')[:1000]}..."
        )
        evidence[place] = Evidence(found.source, (), problem, found.revision[:100])
        view = join(view.task, evidence)
    return view


def _size(view: TaskView) -> int:
    return len(json.dumps(to_record(view), separators=(",", ":")))


def _size_of(evidence: Evidence) -> int:
    texts = sum(len(str(said.reference)) + len(said.where) + 150 for said in evidence.images)
    return texts + len(evidence.problem or "") + len(evidence.revision)


def _parts(reference: ImageReference) -> list[str | None]:
    # In parts, because a plan reads a thousand of them and parsing takes its time.
    return [reference.domain, reference.path, reference.tag, reference.digest]
