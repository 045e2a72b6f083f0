"""For which of its images a task is rebuilt."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Dependency, Kind, Task, TriggerType


class RebuildFor(StrEnum):
    """For which of the images that a build reads its task is rebuilt.

    ALL: every one, whatever for: also one that only a thrown-away stage, COPY --from,
        RUN --mount=from or the syntax line names. What a build reads may change what it makes.
    RUNTIME: the base of the image that is built, and no other.
    TRIGGER: what the task's own base image trigger asks for: Runtime leaves build-time images
        out; All, or no such trigger at all, leaves none out. The Azure CLI makes triggers of
        type Runtime unless it is told otherwise.
    """

    ALL = "all"
    RUNTIME = "runtime"
    TRIGGER = "trigger"


class Tool(Struct, frozen=True):
    """A tool that an operator takes for a reason to run a task again.

    Attributes:
        task: The task, as `REGISTRY/TASK` in lower case.
        image: The image that its steps run.
    """

    task: str
    image: ImageReference


class Policy(Struct, frozen=True):
    """For which images tasks are rebuilt.

    Attributes:
        rebuild_for: For which of the images that a build reads.
        tools: Tools that count although no image is made of them, each for one task.
    """

    rebuild_for: RebuildFor = RebuildFor.ALL
    tools: frozenset[Tool] = frozenset()

    def names_tool(self, task: TaskId, dependency: Dependency) -> bool:
        """Whether a dependency is a tool that counts for a task."""
        if dependency.kind is not Kind.TOOL or not self.tools:
            return False
        name = task.short.lower()
        return Tool(name, dependency.reference) in self.tools


def follows(dependency: Dependency, tag: ImageReference) -> bool:
    """Whether a dependency moves when a tag does: it names the tag, and no digest."""
    return dependency.reference == tag


def wants(task: Task, dependency: Dependency, policy: Policy) -> bool:
    """Whether a task is to be rebuilt for a dependency; see RebuildFor and Policy.tools."""
    if dependency.kind in (Kind.TOOL, Kind.UNUSED):
        return policy.names_tool(task.id, dependency)
    if policy.rebuild_for is RebuildFor.ALL or dependency.kind is Kind.RUNTIME:
        return True
    return policy.rebuild_for is RebuildFor.TRIGGER and task.trigger_type is not TriggerType.RUNTIME
