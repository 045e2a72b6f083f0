"""Causes in a registry that a run pulls from, or signs in to."""

from __future__ import annotations

from datetime import timedelta

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.failures.cause import Cause, then_retry

_LONGEST_RATE = timedelta(hours=24)


class BaseDenied(Cause, frozen=True):
    """The run may not pull an image: 401 or 403.

    Attributes:
        image: The image, or its registry; "" if the log does not name it.
    """

    code = "base-denied"
    image: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"{self.image or 'an image'} could not be pulled: its registry refused access"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            f"give the task credentials for {self.image or 'the registry'} (`az acr task"
            f" credential add --registry {task.registry.name} --name {task.name}`), or its"
            f" identity a role there that lets it pull; {then_retry(task)}"
        )


class BaseMissing(Cause, frozen=True):
    """A registry does not know an image.

    Attributes:
        image: The image; "" if the log does not name it.
        known: Whether it is one that the rebuild was made for. Its registry knew it then, so that
            a geo-replica may have been behind.
    """

    code = "base-missing"
    image: str = ""
    known: bool = False

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody fixes anything."""
        return self.known

    def sentence(self) -> str:
        """The cause as a sentence."""
        why = "; a geo-replica of its registry may have been behind" if self.known else ""
        return f"{self.image or 'an image'} is not in its registry{why}"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        image = self.image or "the image"
        return f"push {image}, or name another one in the build file; {then_retry(task)}"


class RateLimited(Cause, frozen=True):
    """A registry asked to wait.

    Attributes:
        host: The registry; "" if the log does not name it.
        seconds: How long it asked to wait; None if it did not say.
    """

    code = "rate-limited"
    may_heal = True
    host: str = ""
    seconds: int | None = None

    @property
    def wait(self) -> timedelta | None:
        """How long the registry asked to wait, a day at most."""
        if self.seconds is None:
            return None
        return min(timedelta(seconds=min(self.seconds, 10**9)), _LONGEST_RATE)

    def sentence(self) -> str:
        """The cause as a sentence."""
        asked = "" if self.seconds is None else f", and asked to wait {self.wait}"
        return f"{self.host or 'a registry'} takes no more requests for now{asked}"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            f"sign in to {self.host or 'the registry'} (`az acr task credential add --registry"
            f" {task.registry.name} --name {task.name}`), or import the image into a registry of"
            " your own (`az acr import`)"
        )


class RegistryClosed(Cause, frozen=True):
    """A registry's network rules keep the agent out.

    Attributes:
        host: The registry; "" if the log does not name it.
    """

    code = "registry-closed"
    host: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"the network rules of {self.host or 'a registry'} keep the run's agent out"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            f"let ACR Tasks in to {self.host or 'the registry'} (`az resource update --ids"
            " REGISTRY_ID --set properties.networkRuleBypassAllowedForTasks=true`, and a"
            " system-assigned identity for the task), or run it on an agent pool inside the"
            f" network; {then_retry(task)}"
        )


class RegistryUnavailable(Cause, frozen=True):
    """A registry did not answer, or answered that it is out of order.

    Attributes:
        host: The registry; "" if the log does not name it.
    """

    code = "registry-unavailable"
    may_heal = True
    host: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"{self.host or 'a registry'} did not answer the run as it should"


class SignInDenied(Cause, frozen=True):
    """The run could not sign in to a registry, before it built anything.

    Attributes:
        host: The registry; "" if the log does not name it.
    """

    code = "sign-in-denied"
    host: str = ""

    def sentence(self) -> str:
        """The cause as a sentence."""
        return f"the run could not sign in to {self.host or 'a registry'}"

    def advice(self, task: TaskId) -> str:
        """What would fix it."""
        return (
            "look at what the task signs in with (`az acr task credential list --registry"
            f" {task.registry.name} --name {task.name}`): its password may be out of date, its"
            f" identity may lack a role on the registry; {then_retry(task)}"
        )
