"""Reasons that operators give: what is left alone by policy, and what is only observed."""

from __future__ import annotations

from typing import ClassVar

from rebuilder.core.decisions.decision import TaskDecision


class IgnoredByPolicy(TaskDecision, frozen=True):
    """The policy file has the task left alone when the image moves.

    Attributes:
        dependency: The image as the task names it.
        digest: What the tag names.
        rule: Which rule says so.
    """

    code: ClassVar[str] = "ignored-by-policy"
    dependency: str
    digest: str
    rule: str

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"the policy file has it left alone when {self.dependency} moves ({self.rule}); the"
            f" tag names {self.digest} now"
        )


class WouldRebuild(TaskDecision, frozen=True):
    """It would be rebuilt now, but the product only observes.

    Attributes:
        dependency: The image as the task names it.
        digest: What the tag names.
        bases: What it would be built on: references with digests.
    """

    code: ClassVar[str] = "would-rebuild"
    dependency: str
    digest: str
    bases: tuple[str, ...]

    def sentence(self) -> str:
        """The reason for a person, with its evidence."""
        return (
            f"it would be rebuilt on {', '.join(self.bases)}; REBUILDER_MODE is observe, so nothing"
            " is started"
        )
