"""Reasons in what a run of the task would come to."""

from __future__ import annotations

from rebuilder.core.decisions.decision import TaskDecision


class MakesNoImage(TaskDecision, frozen=True):
    """Runs of the task leave no image behind, so no image that moves is a reason to run it.

    Attributes:
        dependency: The image as the task names it; "" if it does not use it.
        kind: What the task uses it for; "" if it does not use it.
        because: How it is known that it makes none.
    """

    code = "makes-no-image"
    dependency: str
    kind: str
    because: str

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        found = f"it makes no image ({self.because})"
        return f"{found}; {self.dependency} is a {self.kind} image of it" if self.kind else found


class OutputUnknown(TaskDecision, frozen=True):
    """Whether runs of the task make an image is not known, so it is not run.

    Attributes:
        dependency: The image as the task names it.
        because: Why it is not known.
    """

    code = "output-unknown"
    template = (
        "it reads {self.dependency}, but whether it makes an image is not known, and one that"
        " makes none is not to be run: {self.because}"
    )
    dependency: str
    because: str


class ValueNotGiven(TaskDecision, frozen=True):
    """The task's steps need values that it does not give, so a run of it cannot be meant to work.

    Attributes:
        names: The values.
        arguments: Build arguments that have none.
    """

    code = "value-not-given"
    names: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return "; ".join(filter(None, (self._of_values(), self._of_arguments())))

    def _of_values(self) -> str:
        if not self.names:
            return ""
        names = ", ".join(self.names)
        settings = " ".join(f"--set {name}=..." for name in self.names)
        registry, name = self.task.registry.name, self.task.name
        many = len(self.names) > 1
        return (
            f"value{'s' * many} {names} {'are' if many else 'is'} given by no `--set` of the task;"
            f" runs of it need `az acr task run --registry {registry} --name {name} {settings}`,"
            f" or `az acr task update --registry {registry} --name {name} {settings}` gives"
            f" {'them' if many else 'it'} once and for all"
        )

    def _of_arguments(self) -> str:
        if not self.arguments:
            return ""
        names = ", ".join(self.arguments)
        settings = " ".join(f"--arg {name}=..." for name in self.arguments)
        registry, name = self.task.registry.name, self.task.name
        return (
            f"the Dockerfile cannot be built without a value for the build argument {names};"
            f" `az acr task update --registry {registry} --name {name} {settings}` gives it, or"
            " `--build-arg` in the task's file"
        )


class TaskDisabled(TaskDecision, frozen=True):
    """The task is built on the image, but its status is Disabled."""

    code = "task-disabled"
    template = "the task is disabled"


class NoStep(TaskDecision, frozen=True):
    """The task has no step: a system task, or one that builds nothing."""

    code = "no-step"
    template = "the task has no step: it builds nothing"


class MayNotPull(TaskDecision, frozen=True):
    """ACR has recorded no dependency, and the task may not pull from the base registry.

    Attributes:
        registry: The base registry's resource id.
        host: Its login server.
        principals: The object ids of the task's identities; empty if it has no credentials for
            the registry at all.
        role: The role that one of them lacks there.
    """

    code = "may-not-pull"
    registry: str
    host: str
    principals: tuple[str, ...]
    role: str

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        if not self.principals:
            registry, _, name = str(self.task).rpartition("/registries/")[2].partition("/tasks/")
            return (
                f"the task has no credentials for {self.host}; `az acr task credential add"
                f" --registry {registry} --name {name} --login-server {self.host}"
                " --use-identity [system]` adds them"
            )
        return (
            f"the task may not pull from {self.host}: its identity {' or '.join(self.principals)}"
            f" lacks the role {self.role} on {self.registry}; `az role assignment create"
            f" --assignee {self.principals[0]} --role '{self.role}' --scope {self.registry}`"
            " gives it"
        )
