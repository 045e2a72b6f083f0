"""Reasons in what a task uses an image for, as far as that is known."""

from __future__ import annotations

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.decision import ACR_RECORD, TaskDecision
from rebuilder.core.decisions.policy import RebuildFor


class OtherImages(TaskDecision, frozen=True):
    """The task is built on other images only.

    Attributes:
        dependencies: Those images.
    """

    code = "other-images"
    dependencies: tuple[str, ...]

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"built on other images: {', '.join(self.dependencies)}"


class NotAllKnown(TaskDecision, frozen=True):
    """No image that the task is known to read has moved; what else it reads is not known.

    Attributes:
        dependencies: What it is known to read.
        unread: Why more may be read.
    """

    code = "not-all-known"
    dependencies: tuple[str, ...]
    unread: str

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        known = ", ".join(self.dependencies) or "no image"
        return (
            f"known to be built on {known}; whether it reads this image, too, is not known:"
            f" {self.unread}"
        )


class ToolOnly(TaskDecision, frozen=True):
    """The task runs the image, and makes no image out of it.

    Attributes:
        dependency: The image as the task names it.
        source: Who says that the task runs it.
    """

    code = "tool-only"
    dependency: str
    source: str = ACR_RECORD

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        task = self.task.short
        return (
            f"runs {self.dependency} as a tool (known from {self.source}) and makes no image of it;"
            f" {task}={self.dependency} in REBUILDER_TOOLS makes it a reason"
        )


class UnusedStage(TaskDecision, frozen=True):
    """Only a stage that nothing needs names the image: what is built does not stand on it.

    Attributes:
        dependency: The image as the build file names it.
        source: Where it stands.
    """

    code = "unused-stage"
    template = (
        "only a stage that nothing needs names {self.dependency} (known from {self.source});"
        " the image that is built does not depend on it"
    )
    dependency: str
    source: str = ACR_RECORD


class OtherTag(TaskDecision, frozen=True):
    """The task is built on the repository, but on another tag.

    Attributes:
        dependencies: What it is built on in that repository.
    """

    code = "other-tag"
    dependencies: tuple[str, ...]

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"built on another tag: {', '.join(self.dependencies)}"


class PinnedByDigest(TaskDecision, frozen=True):
    """The Dockerfile names a digest: moving a tag does not change what it is built on.

    Attributes:
        dependency: The base image as the task names it.
        source: Who says so.
    """

    code = "pinned-by-digest"
    template = "pinned to a digest: {self.dependency} (known from {self.source})"
    dependency: str
    source: str = ACR_RECORD


class BuildTimeOnly(TaskDecision, frozen=True):
    """The task's image does not stand on the image, and only runtime bases are asked for.

    Attributes:
        dependency: The base image as the task names it.
        source: Who says that the task uses it.
        asked_by: What asks for runtime bases only: the task's `trigger`, or the setting.
    """

    code = "build-time-only"
    dependency: str
    source: str = ACR_RECORD
    asked_by: str = RebuildFor.TRIGGER.value

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        asked = (
            "REBUILDER_REBUILD_FOR is runtime; set it to all to rebuild it"
            if self.asked_by == RebuildFor.RUNTIME
            else "its base image trigger asks for Runtime;"
            " set the trigger type to All to rebuild it"
        )
        return f"uses {self.dependency} (known from {self.source}) at build time only, and {asked}"


class NothingRecorded(TaskDecision, frozen=True):
    """Nothing names a base image of the task: not ACR's record, nor its build files.

    Attributes:
        files_read: Whether its build files could be read.
        asked: Whether its runs were looked for.
        run: Its last run that succeeded; if there is none, its last run; None if it never ran, or
            nobody asked.
        status: How that run ended, or what it is about.
    """

    code = "nothing-recorded"
    files_read: bool = False
    asked: bool = False
    run: str | None = None
    status: str | None = None

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        if self.files_read:
            return "its build files name no image, and ACR has recorded none"
        if not self.asked:
            return (
                "ACR has recorded no base image: no run of it has succeeded, or its build files"
                " name none"
            )
        if self.run is None:
            registry, name = self.task.registry.name, self.task.name
            return (
                "ACR has recorded no base image, for the task never ran;"
                f" `az acr task run --registry {registry} --name {name}` runs it"
            )
        if self.status == RunStatus.SUCCEEDED:
            return (
                f"ACR has recorded no base image, although run {self.run} succeeded: it saw none in"
                " the build files"
            )
        return (
            "ACR has recorded no base image, for no run of it has succeeded (the last is"
            f" {self.run}: {self.status}); `rebuilder runs` tells why, as far as it is known"
        )
