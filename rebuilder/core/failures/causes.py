"""Why a run failed: one small type per cause, with what would mend it.

A cause says whether another run may succeed although nobody mends anything; one that cannot heal
by itself is not tried again. `failed_runs` reads a cause out of a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import asdict

from rebuilder.core.acr.registries import TaskId

_LONGEST_RATE = timedelta(hours=24)
_NAME = re.compile(r"[a-z0-9][\w./-]*:[\w.-]+", re.ASCII)


class Cause(Struct, frozen=True):
    """Why a run failed. Each cause is a subclass.

    Attributes:
        line: The line of the log that tells; "" if there is none.
    """

    code: ClassVar[str]
    line: str

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return False

    def sentence(self) -> str:
        """The cause for a person."""
        raise NotImplementedError

    def advice(self, task: TaskId) -> str | None:
        """What would mend it; None if that is not known."""
        raise NotImplementedError


class BaseDenied(Cause, frozen=True):
    """The run may not pull an image: 401 or 403.

    Attributes:
        image: The image, or its registry; "" if the log does not name it.
    """

    code: ClassVar[str] = "base-denied"
    image: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return f"{self.image or 'an image'} could not be pulled: its registry refused access"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            f"give the task credentials for {self.image or 'the registry'} (`az acr task"
            f" credential add --registry {task.registry.name} --name {task.name}`), or its"
            f" identity a role there that lets it pull; {_then_retry(task)}"
        )


class BaseMissing(Cause, frozen=True):
    """A registry does not know an image.

    Attributes:
        image: The image; "" if the log does not name it.
        known: Whether it is one that the rebuild was made for. Its registry knew it then, so that
            a geo-replica may have been behind.
    """

    code: ClassVar[str] = "base-missing"
    image: str = ""
    known: bool = False

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return self.known

    def sentence(self) -> str:
        """The cause for a person."""
        why = "; a geo-replica of its registry may have been behind" if self.known else ""
        return f"{self.image or 'an image'} is not in its registry{why}"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        image = self.image or "the image"
        return f"push {image}, or name another one in the build file; {_then_retry(task)}"


class RateLimited(Cause, frozen=True):
    """A registry asked to wait.

    Attributes:
        host: The registry; "" if the log does not name it.
        seconds: How long it asked to wait; None if it did not say.
    """

    code: ClassVar[str] = "rate-limited"
    host: str = ""
    seconds: int | None = None

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    @property
    def wait(self) -> timedelta | None:
        """How long the registry asked to wait, a day at most."""
        if self.seconds is None:
            return None
        return min(timedelta(seconds=min(self.seconds, 10**9)), _LONGEST_RATE)

    def sentence(self) -> str:
        """The cause for a person."""
        asked = "" if self.seconds is None else f", and asked to wait {self.wait}"
        return f"{self.host or 'a registry'} takes no more requests for now{asked}"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
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

    code: ClassVar[str] = "registry-closed"
    host: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return f"the network rules of {self.host or 'a registry'} keep the run's agent out"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            f"let ACR Tasks in to {self.host or 'the registry'} (`az resource update --ids"
            " REGISTRY_ID --set properties.networkRuleBypassAllowedForTasks=true`, and a"
            " system-assigned identity for the task), or run it on an agent pool inside the"
            f" network; {_then_retry(task)}"
        )


class RegistryUnavailable(Cause, frozen=True):
    """A registry did not answer, or answered that it is out of order.

    Attributes:
        host: The registry; "" if the log does not name it.
    """

    code: ClassVar[str] = "registry-unavailable"
    host: str = ""

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        return f"{self.host or 'a registry'} did not answer the run as it should"

    def advice(self, task: TaskId) -> None:
        """What would mend it: time."""
        del task


class SignInDenied(Cause, frozen=True):
    """The run could not sign in to a registry, before it built anything.

    Attributes:
        host: The registry; "" if the log does not name it.
    """

    code: ClassVar[str] = "sign-in-denied"
    host: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return f"the run could not sign in to {self.host or 'a registry'}"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            "look at what the task signs in with (`az acr task credential list --registry"
            f" {task.registry.name} --name {task.name}`): its password may be out of date, its"
            f" identity may lack a role on the registry; {_then_retry(task)}"
        )


class SourceDenied(Cause, frozen=True):
    """The build context may not be read.

    Attributes:
        address: Where it is, without credentials; "" if the log does not name it.
    """

    code: ClassVar[str] = "source-denied"
    address: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return f"{self.address or 'the source'} could not be fetched: it refused access"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return f"{_new_token(task)}; {_then_retry(task)}"


class SourceMissing(Cause, frozen=True):
    """The build context is not where the task says.

    Attributes:
        address: What is missing; "" if the log does not name it.
    """

    code: ClassVar[str] = "source-missing"
    address: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return (
            f"the source could not be fetched: {self.address or 'it'} is not there, or may not be"
            " seen"
        )

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            "look at the task's context (`az acr task update --registry"
            f" {task.registry.name} --name {task.name} --context URL#BRANCH:FOLDER`); if it is"
            f" private, {_new_token(task)}; {_then_retry(task)}"
        )


class SourceUnfetched(Cause, frozen=True):
    """ACR could not fetch the build context, and does not tell why."""

    code: ClassVar[str] = "source-unfetched"

    def sentence(self) -> str:
        """The cause for a person."""
        return (
            "the source could not be fetched; ACR does not tell whether its address is wrong, its"
            " branch is gone or its token has expired"
        )

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            "look at address and branch (`az acr task show --registry"
            f" {task.registry.name} --name {task.name} --query step.contextPath`); if they are"
            f" right, {_new_token(task)}; {_then_retry(task)}"
        )


class SourceUnavailable(Cause, frozen=True):
    """The host of the build context did not answer, or answered that it is out of order."""

    code: ClassVar[str] = "source-unavailable"

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        return "the source could not be fetched: its host did not answer as it should"

    def advice(self, task: TaskId) -> None:
        """What would mend it: time."""
        del task


class PushLocked(Cause, frozen=True):
    """The tag, its repository or its registry may not be written.

    Attributes:
        image: What was to be pushed; "" if the log does not name it.
    """

    code: ClassVar[str] = "push-locked"
    image: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return f"{self.image or 'the image'} could not be pushed: it is locked"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        # A name of the log stands in a command only if it can be nothing but a name.
        name = self.image.partition("/")[2]
        name = name if _NAME.fullmatch(name) else "REPOSITORY:TAG"
        return (
            f"unlock it (`az acr repository update --name {task.registry.name} --image"
            f" {name} --write-enabled true`; a whole repository by --repository), or push"
            f" another tag; {_then_retry(task)}"
        )


class PushOverQuota(Cause, frozen=True):
    """The registry has no more room."""

    code: ClassVar[str] = "push-over-quota"

    def sentence(self) -> str:
        """The cause for a person."""
        return "the image could not be pushed: its registry is full"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            f"make room (`az acr show-usage --name {task.registry.name}`): delete old images, or"
            f" have the limit raised; {_then_retry(task)}"
        )


class PushDenied(Cause, frozen=True):
    """The run may not push: 401 or 403.

    Attributes:
        image: What was to be pushed; "" if the log does not name it.
    """

    code: ClassVar[str] = "push-denied"
    image: str = ""

    def sentence(self) -> str:
        """The cause for a person."""
        return f"{self.image or 'the image'} could not be pushed: its registry refused access"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return (
            "with ABAC a task has no rights of its own: give its identity Container Registry"
            f" Repository Writer on {task.registry.name}; to push elsewhere it needs credentials"
            f" there (`az acr task credential add`); {_then_retry(task)}"
        )


class DiskFull(Cause, frozen=True):
    """The agent's disk was full."""

    code: ClassVar[str] = "disk-full"

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        return "the agent's disk was full"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return _larger(task, "disk")


class Killed(Cause, frozen=True):
    """The build was killed (exit code 137), which nearly always is for want of memory."""

    code: ClassVar[str] = "killed"

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        return "the build was killed: most likely the agent had no memory left"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        return _larger(task, "memory")


class TimeOver(Cause, frozen=True):
    """The time of the run or of a step was over.

    Attributes:
        step: The step; "" for the run.
    """

    code: ClassVar[str] = "time-over"
    step: str = ""

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        return f"the time of {f'step {self.step}' if self.step else 'the run'} was over"

    def advice(self, task: TaskId) -> str:
        """What would mend it."""
        name = f"--registry {task.registry.name} --name {task.name}"
        more = "; the step's own `timeout` is in the task file" if self.step else ""
        return f"if it always takes so long: `az acr task update {name} --timeout SECONDS`{more}"


class BuildFailed(Cause, frozen=True):
    """The build itself failed.

    Attributes:
        step: The instruction or the step that failed; "" if the log does not name it.
    """

    code: ClassVar[str] = "build-failed"
    step: str = ""

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        where = f" at {self.step}" if self.step else ""
        return f"the build itself failed{where}{f': {self.line}' if self.line else ''}"

    def advice(self, task: TaskId) -> None:
        """What would mend it: the log tells."""
        del task


class NotKnown(Cause, frozen=True):
    """Nothing that is known tells why.

    Attributes:
        reason: Why not: the log could not be read, say; "" if it was read.
    """

    code: ClassVar[str] = "not-known"
    reason: str = ""

    @property
    def heals(self) -> bool:
        """Whether another run may succeed although nobody mends anything."""
        return True

    def sentence(self) -> str:
        """The cause for a person."""
        if self.reason:
            return f"why it failed is not known: {self.reason}"
        return f"why it failed is not known{f'; its log says: {self.line}' if self.line else ''}"

    def advice(self, task: TaskId) -> None:
        """What would mend it is not known either."""
        del task


CAUSES: Mapping[str, type[Cause]] = {
    cause.code: cause
    for cause in (
        BaseDenied,
        BaseMissing,
        RateLimited,
        RegistryClosed,
        RegistryUnavailable,
        SignInDenied,
        SourceDenied,
        SourceMissing,
        SourceUnfetched,
        SourceUnavailable,
        PushLocked,
        PushOverQuota,
        PushDenied,
        DiskFull,
        Killed,
        TimeOver,
        BuildFailed,
        NotKnown,
    )
}


def to_record(cause: Cause) -> dict[str, Any]:
    """The cause as JSON values: `code` and every field of its type."""
    return {"code": cause.code, **asdict(cause)}


def from_record(record: Mapping[str, Any]) -> Cause:
    """The cause of a record that `to_record` made; one of a newer version is not known."""
    kind = CAUSES.get(record["code"])
    if kind is None:
        return NotKnown(record.get("line", ""), f"{record['code']} is of a newer version")
    return kind(**{name: record[name] for name in kind.__struct_fields__ if name in record})


def _then_retry(task: TaskId) -> str:
    return f"then `rebuilder retry {task.registry.name}/{task.name}`"


def _new_token(task: TaskId) -> str:
    return (
        f"give the task a new token: `az acr task update --registry {task.registry.name} --name"
        f" {task.name} --git-access-token TOKEN`"
    )


def _larger(task: TaskId, what: str) -> str:
    return (
        f"if it happens again: a machine with more {what} (`az acr task update --registry"
        f" {task.registry.name} --name {task.name} --agent-pool POOL`), or a smaller build"
    )
