"""Mistakes with tasks."""

from __future__ import annotations

from collections.abc import Iterator

from rebuilder.core.acr.access import REPOSITORY_WRITER
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.doctor._finding import Finding, Severity, assign, az


def _task_az(task: TaskId, *words: str) -> str:
    registry = task.registry
    return az(
        *("acr", "task", *words, "--name", task.name, "--registry", registry.name),
        *("--resource-group", registry.resource_group, "--subscription", registry.subscription),
    )


class TaskFinding(Finding, frozen=True):
    """Something about a task.

    Attributes:
        task: The task.
    """

    task: TaskId

    def _named(self) -> str:
        return f"task {self.task.short}"


class TaskWithoutCredentials(TaskFinding, frozen=True):
    """A task has no credentials for the base registry that it pulls from.

    Attributes:
        host: The base registry's login server.
        identity: Whether the task has an identity.
    """

    code = "task-without-credentials"
    matters = "its next run cannot pull the base image, and fails"
    host: str
    identity: bool

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()} is built on an image of {self.host} and has no credentials for it"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        assign = _task_az(self.task, "identity", "assign", "--identities", "[system]")
        add = _task_az(
            *(self.task, "credential", "add", "--login-server", self.host),
            *("--use-identity", "[system]"),
        )
        return (add,) if self.identity else (assign, add)


class TaskMayNotPull(TaskFinding, frozen=True):
    """None of a task's identities may pull from the base registry.

    Attributes:
        registry: The base registry.
        principals: The object ids of the identities.
        role: The role that allows it there.
    """

    code = "task-may-not-pull"
    matters = "its next run cannot pull the base image, and fails"
    registry: RegistryId
    principals: tuple[str, ...]
    role: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        registry = self.registry.name
        return f"{self._named()}: no identity of it has the role {self.role!r} on {registry}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (assign(self.principals[0], self.role, str(self.registry)),)


class TaskMayNotPush(TaskFinding, frozen=True):
    """None of a task's identities may push to its own registry, which goes by repositories.

    Attributes:
        principals: The object ids of the identities; a task without one cannot push at all.
    """

    code = "task-may-not-push"
    matters = "in such a registry a task may pull and push nothing by itself: its runs fail"
    principals: tuple[str, ...]

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"{self._named()}: {self.task.registry.name} goes by repository permissions, and no"
            f" identity of the task has the role {REPOSITORY_WRITER!r} there"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        scope = str(self.task.registry)
        if not self.principals:
            return (
                _task_az(self.task, "identity", "assign", "--identities", "[system]"),
                assign("OBJECT_ID_OF_THE_IDENTITY", REPOSITORY_WRITER, scope),
                _task_az(self.task, "update", "--source-acr-auth-id", "[system]"),
            )
        return (assign(self.principals[0], REPOSITORY_WRITER, scope),)


class TaskNotSignedIn(TaskFinding, frozen=True):
    """A task does not sign in to its own registry, which goes by repositories."""

    code = "task-not-signed-in"
    matters = (
        "in such a registry a role of its identity counts only if the task signs in as it: its"
        " runs can pull and push nothing there"
    )

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"{self._named()}: {self.task.registry.name} goes by repository permissions, and the"
            " task does not sign in there as its identity"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (_task_az(self.task, "update", "--source-acr-auth-id", "[system]"),)


class NativeTriggerOn(TaskFinding, frozen=True):
    """ACR's own base image trigger rebuilds a task, too."""

    code = "native-trigger-on"
    severity = Severity.WARNING
    matters = (
        "where both see a push, the rebuild first waits whether ACR's run comes: it is later"
        " than it need be, and may be made twice"
    )

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()}: ACR's own base image trigger is on"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (_task_az(self.task, "update", "--base-image-trigger-enabled", "false"),)


def judge_task(task: Task) -> Iterator[Finding]:
    """Tell what a task shows to be wrong by itself."""
    if task.has_step and task.enabled and task.native_trigger:
        yield NativeTriggerOn(task.id)
