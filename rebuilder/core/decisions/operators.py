"""Reasons that operators give: what is left alone by policy, and what is only observed."""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.times import day_and_time


class IgnoredByPolicy(TaskDecision, frozen=True):
    """The policy file has the task left alone when the image moves.

    Attributes:
        dependency: The image as the task names it.
        digest: What the tag names.
        rule: Which rule says so.
    """

    code = "ignored-by-policy"
    dependency: str
    digest: str
    rule: str

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"the policy file has it left alone when {self.dependency} moves ({self.rule}); the"
            f" tag names {self.digest} now"
        )


class Rejected(TaskDecision, frozen=True):
    """Somebody rejected a rebuild on these digests; a newer digest has a vote of its own.

    Attributes:
        rebuild_id: The rebuild.
        bases: What it would have been built on: references with digests.
        who: Who rejected it.
        because: Why.
        at: When.
    """

    code = "rejected"
    rebuild_id: str
    bases: tuple[str, ...]
    who: str
    because: str
    at: datetime

    @property
    def outcome(self) -> str:
        """What came of the rebuild, for a person."""
        return f"rejected by {self.who} at {day_and_time(self.at)}: {self.because}"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"a rebuild on {', '.join(self.bases)} was {self.outcome}; a newer digest has"
            " a vote of its own, and `rebuilder retry` has this one asked about again"
        )


class WouldRebuild(TaskDecision, frozen=True):
    """It would be rebuilt now, but the product only observes.

    Attributes:
        dependency: The image as the task names it.
        digest: What the tag names.
        bases: What it would be built on: references with digests.
    """

    code = "would-rebuild"
    dependency: str
    digest: str
    bases: tuple[str, ...]

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"it would be rebuilt on {', '.join(self.bases)}; REBUILDER_MODE is observe, so nothing"
            " is started"
        )
