"""The index of dependencies: what was known of each task when its sources were last read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rebuilder.core.evidence import Evidence, Said, Source, TaskView, join, recorded
from rebuilder.core.references import ImageReference
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.core.tasks import Dependency, Kind, Task


@dataclass(frozen=True, slots=True)
class IndexedTask:
    """A task as the index knows it.

    Attributes:
        view: What was known of its dependencies.
        read_at: When reading its sources began; what changed since is not in the view.
    """

    view: TaskView
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Sweep:
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
    """The repositories, with their registries, whose pushes may concern a task."""
    return frozenset(dependency.reference.repository for dependency in view.dependencies)


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
    if record in view.evidence:
        # Nothing has changed since the sources were joined, which is usual and much quicker.
        return replace(task, dependencies=view.dependencies)
    others = (e for e in view.evidence if e.source is not Source.ACR_RECORD)
    return replace(task, dependencies=join(task.id, [record, *others]).dependencies)


def unread(view: TaskView) -> Task:
    """A task that was not read now, as far as its view tells of it."""
    return Task(view.task, True, True, None, view.dependencies)  # noqa: FBT003 - status, step


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
            }
            for evidence in view.evidence
        ],
        "dependencies": [
            [_parts(d.reference), d.kind.value, d.built_on, d.known_from] for d in view.dependencies
        ],
        "disagreements": list(view.disagreements),
    }


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
            )
            for evidence in record["evidence"]
        ),
        tuple(
            Dependency(ImageReference(*parts), Kind(kind), built_on, known_from)
            for parts, kind, built_on, known_from in record["dependencies"]
        ),
        tuple(record["disagreements"]),
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
