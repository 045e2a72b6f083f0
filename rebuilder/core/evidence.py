"""What several sources say a task is built on, kept apart and then joined."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rebuilder.core.references import ImageReference
from rebuilder.core.registries import TaskId
from rebuilder.core.tasks import Dependency, Kind


class Source(StrEnum):
    """Who says that a task is built on an image."""

    ACR_RECORD = "ACR's record"
    BUILD_FILE = "build file"
    OUTPUT_IMAGE = "output image"


@dataclass(frozen=True, slots=True)
class Said:
    """One image that one source names.

    Attributes:
        reference: The image, without the digest that a run used.
        kind: What the task uses it for.
        built_on: The digest that was used, if the source tells.
        where: Where in the source it stands, for a person: "Dockerfile, line 7: COPY --from=…".
    """

    reference: ImageReference
    kind: Kind
    built_on: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one source says.

    Attributes:
        source: Who says it.
        images: The images that it names.
        problem: Why it says nothing, or not everything; None if it says all it can.
        revision: Which state of the source was read: a commit, a digest; "" if there is none.
    """

    source: Source
    images: tuple[Said, ...]
    problem: str | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True)
class TaskView:
    """What is known of a task's dependencies.

    Attributes:
        task: The task.
        evidence: What each source says.
        dependencies: The sources joined: each image and kind once.
        disagreements: Where sources contradict each other, in sentences.
    """

    task: TaskId
    evidence: tuple[Evidence, ...]
    dependencies: tuple[Dependency, ...]
    disagreements: tuple[str, ...] = ()
