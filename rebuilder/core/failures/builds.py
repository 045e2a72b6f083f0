"""Causes in the build itself, and in the agent that it runs on."""

from __future__ import annotations

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.failures.cause import Cause


class DiskFull(Cause, frozen=True):
    """The agent's disk was full."""

    code = "disk-full"
    may_heal = True
    template = "the agent's disk was full"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return _larger(task, "disk")


class Killed(Cause, frozen=True):
    """The build was killed (exit code 137), which nearly always is for want of memory."""

    code = "killed"
    may_heal = True
    template = "the build was killed: most likely the agent had no memory left"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return _larger(task, "memory")


class TimeOver(Cause, frozen=True):
    """The time of the run or of a step was over.

    Attributes:
        step: The step; "" for the run.
    """

    code = "time-over"
    may_heal = True
    step: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"the time of {f'step {self.step}' if self.step else 'the run'} was over"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        name = f"--registry {task.registry.name} --name {task.name}"
        more = "; the step's own `timeout` is in the task file" if self.step else ""
        return f"if it always takes so long: `az acr task update {name} --timeout SECONDS`{more}"


class BuildFailed(Cause, frozen=True):
    """The build itself failed.

    Attributes:
        step: The instruction or the step that failed; "" if the log does not name it.
    """

    code = "build-failed"
    may_heal = True
    step: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        where = f" at {self.step}" if self.step else ""
        return f"the build itself failed{where}{f': {self.line}' if self.line else ''}"


class NotKnown(Cause, frozen=True):
    """Nothing that is known tells why.

    Attributes:
        reason: Why not: the log could not be read, say; "" if it was read.
    """

    code = "not-known"
    may_heal = True
    reason: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        if self.reason:
            return f"why it failed is not known: {self.reason}"
        return f"why it failed is not known{f'; its log says: {self.line}' if self.line else ''}"


def _larger(task: TaskId, what: str) -> str:
    return (
        f"if it happens again: a machine with more {what} (`az acr task update --registry"
        f" {task.registry.name} --name {task.name} --agent-pool POOL`), or a smaller build"
    )
