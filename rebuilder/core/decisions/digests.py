"""Reasons in the digests: what a tag names now, and what the task's image was built on."""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.decisions.decision import ACR_RECORD, TaskDecision


class BaseMoved(TaskDecision, frozen=True):
    """The tag names another digest than the image was built on: rebuild.

    Attributes:
        dependency: The base image as the task names it.
        kind: What the task uses it for.
        old: The digest that the image was built on; None if nothing is recorded.
        new: The digest that the tag names now.
        known_from: Where the new digest is known from.
        source: Who says that the task is built on the image.
    """

    rebuild = True
    code = "base-moved"
    dependency: str
    kind: str
    old: str | None
    new: str
    known_from: str
    source: str = ACR_RECORD

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        was = f"was built on {self.old}" if self.old else "has no record of the digest it used"
        return (
            f"its {self.kind} base {self.dependency} (known from {self.source}) {was};"
            f" the tag names {self.new} now (from the {self.known_from})"
        )


class BuiltWhileMoving(TaskDecision, frozen=True):
    """The record names the new digest, but the run began before that digest existed: rebuild.

    BuildKit runs record the digest that the tag names at their end, not the one they pulled.

    Attributes:
        dependency: The base image as the task names it.
        digest: The digest that is recorded.
        started: When the run that recorded it began.
        since: When the digest came to the registry.
        source: Who recorded it.
    """

    rebuild = True
    code = "built-while-moving"
    dependency: str
    digest: str
    started: datetime
    since: datetime
    source: str = ACR_RECORD

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"{self.dependency} is recorded as {self.digest} ({self.source}), which came at"
            f" {self.since.isoformat()}, after the last build began ({self.started.isoformat()})"
        )


class AlreadyBuiltOn(TaskDecision, frozen=True):
    """The image is built on what the tag names now.

    Attributes:
        dependency: The base image as the task names it.
        digest: The digest.
        known_from: ARM's record of the task, the ledger of rebuilds, or another source.
    """

    code = "already-built-on"
    template = "already built on {self.dependency} at {self.digest} (from the {self.known_from})"
    dependency: str
    digest: str
    known_from: str


class StillStale(TaskDecision, frozen=True):
    """A rebuild succeeded, and its image is found to stand on another base than it should: rebuild.

    Attributes:
        dependency: The base image as the task names it.
        digest: What the tag names.
        rebuild_id: That rebuild.
        run: Its run, if it has one.
        reason: What was found, and the likely cause.
        was_for: What the tag named when the rebuild was begun, if that was another digest.
    """

    rebuild = True
    code = "still-stale"
    dependency: str
    digest: str
    rebuild_id: str
    run: str | None
    reason: str
    was_for: str = ""

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        run = f"run {self.run}" if self.run else f"rebuild {self.rebuild_id}"
        return (
            f"{run} was for {self.dependency} at {self.was_for or self.digest}, and is to be made"
            f" again: {self.reason}"
        )


class NeverRan(TaskDecision, frozen=True):
    """The task has no image yet, and the base was there before the task was.

    Attributes:
        dependency: The base image as the task names it.
        digest: What the tag names.
        created: When the task was made.
        since: Since when the tag names the digest; None if nobody knows.
        run: Its last run, none of which succeeded; None if there is none.
    """

    code = "never-ran"
    dependency: str
    digest: str
    created: datetime
    since: datetime | None = None
    run: str | None = None

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        ran = f"no run of it has succeeded (the last is {self.run})" if self.run else "it never ran"
        if self.since is None:
            was = f"since when {self.dependency} names {self.digest} is not known"
        else:
            was = f"{self.dependency} named {self.digest} at {self.since.isoformat()}, before that"
        registry, name = self.task.registry.name, self.task.name
        return (
            f"{ran} since it was made at {self.created.isoformat()}, and {was};"
            f" `az acr task run --registry {registry} --name {name}` makes its first image"
        )


class TagGone(TaskDecision, frozen=True):
    """The pushed tag was deleted before anything was built on it.

    Attributes:
        dependency: The tag.
    """

    code = "tag-gone"
    template = "{self.dependency} is gone from its registry"
    dependency: str
