"""Reasons in what is not known: it is gone, may not be read, is old, or is not configured."""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.decisions.decision import Decision, TaskDecision


class TaskUnreadable(TaskDecision, frozen=True):
    """The task may not be read, so nothing can be decided.

    Attributes:
        problem: Why, and what would help.
    """

    code = "task-unreadable"
    template = "the task could not be read: {self.problem}"
    problem: str


class NotConfigured(TaskDecision, frozen=True):
    """A registry is not one of those that the settings name, or not any more.

    Attributes:
        registry: The registry's resource id.
        setting: The setting that does not name it.
    """

    code = "not-configured"
    template = "{self.setting} does not name {self.registry}: nothing is started for it"
    registry: str
    setting: str


class TaskGone(TaskDecision, frozen=True):
    """The task was deleted between the plan and the build."""

    code = "task-gone"
    template = "the task is gone"


class RegistryUnreadable(Decision, frozen=True):
    """The tasks of a registry could not be read, so nothing is known of them.

    Attributes:
        registry: The registry's resource id.
        problem: Why, and what would help.
    """

    code = "registry-unreadable"
    template = "the tasks of {self.registry} could not be read: {self.problem}"
    registry: str
    problem: str


class IndexOld(Decision, frozen=True):
    """What is known of a registry's tasks is older than it may be; what changed since is not seen.

    Attributes:
        registry: The registry's resource id.
        refreshed: When its tasks were last read.
        limit: How old that may be, in hours.
    """

    code = "index-old"
    registry: str
    refreshed: datetime
    limit: int

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"the index of {self.registry} is from {self.refreshed.isoformat()}, older than"
            f" {self.limit} hours: a task that came to be built on the image since is not seen"
        )
