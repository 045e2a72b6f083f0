"""Causes in the build context."""

from __future__ import annotations

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.failures.cause import Cause, then_retry


class SourceDenied(Cause, frozen=True):
    """The build context may not be read.

    Attributes:
        address: Where it is, without credentials; "" if the log does not name it.
    """

    code = "source-denied"
    address: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"{self.address or 'the source'} could not be fetched: it refused access"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return f"{_new_token(task)}; {then_retry(task)}"


class SourceMissing(Cause, frozen=True):
    """The build context is not where the task says.

    Attributes:
        address: What is missing; "" if the log does not name it.
    """

    code = "source-missing"
    address: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return (
            f"the source could not be fetched: {self.address or 'it'} is not there, or may not be"
            " seen"
        )

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            "look at the task's context (`az acr task update --registry"
            f" {task.registry.name} --name {task.name} --context URL#BRANCH:FOLDER`); if it is"
            f" private, {_new_token(task)}; {then_retry(task)}"
        )


class SourceUnfetched(Cause, frozen=True):
    """ACR could not fetch the build context, and does not tell why."""

    code = "source-unfetched"
    template = (
        "the source could not be fetched; ACR does not tell whether its address is wrong, its"
        " branch is gone or its token has expired"
    )

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            "look at address and branch (`az acr task show --registry"
            f" {task.registry.name} --name {task.name} --query step.contextPath`); if they are"
            f" right, {_new_token(task)}; {then_retry(task)}"
        )


class SourceUnavailable(Cause, frozen=True):
    """The host of the build context did not answer, or answered that it is out of order."""

    code = "source-unavailable"
    may_heal = True
    template = "the source could not be fetched: its host did not answer as it should"


def _new_token(task: TaskId) -> str:
    return (
        f"give the task a new token: `az acr task update --registry {task.registry.name} --name"
        f" {task.name} --git-access-token TOKEN`"
    )
