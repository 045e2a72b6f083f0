"""Causes in the registry that a run pushes to."""

from __future__ import annotations

import re

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.failures.cause import Cause, then_retry

_NAME = re.compile(r"[a-z0-9][\w./-]*:[\w.-]+", re.ASCII)


class PushLocked(Cause, frozen=True):
    """The tag, its repository or its registry may not be written.

    Attributes:
        image: What was to be pushed; "" if the log does not name it.
    """

    code = "push-locked"
    image: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"{self.image or 'the image'} could not be pushed: it is locked"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        # A name of the log stands in a command only if it can be nothing but a name.
        name = self.image.partition("/")[2]
        name = name if _NAME.fullmatch(name) else "REPOSITORY:TAG"
        return (
            f"unlock it (`az acr repository update --name {task.registry.name} --image"
            f" {name} --write-enabled true`; a whole repository by --repository), or push"
            f" another tag; {then_retry(task)}"
        )


class PushOverQuota(Cause, frozen=True):
    """The registry has no more room."""

    code = "push-over-quota"
    template = "the image could not be pushed: its registry is full"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            f"make room (`az acr show-usage --name {task.registry.name}`): delete old images, or"
            f" have the limit raised; {then_retry(task)}"
        )


class PushDenied(Cause, frozen=True):
    """The run may not push: 401 or 403.

    Attributes:
        image: What was to be pushed; "" if the log does not name it.
    """

    code = "push-denied"
    image: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"{self.image or 'the image'} could not be pushed: its registry refused access"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            "with ABAC a task has no rights of its own: give its identity Container Registry"
            f" Repository Writer on {task.registry.name}; to push elsewhere it needs credentials"
            f" there (`az acr task credential add`); {then_retry(task)}"
        )
