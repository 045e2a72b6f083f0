"""Reasons in the rebuilds that there were."""

from __future__ import annotations

from rebuilder.core.decisions.decision import TaskDecision


class RebuildUnderWay(TaskDecision, frozen=True):
    """A rebuild on the same digests was claimed and is not over.

    Attributes:
        rebuild_id: The rebuild.
        run: Its run, if it has one by now.
    """

    code = "rebuild-under-way"
    rebuild_id: str
    run: str | None

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        run = f"run {self.run}" if self.run else "not scheduled yet"
        return f"a rebuild on these digests is under way ({run}, rebuild {self.rebuild_id})"


class RebuildFailed(TaskDecision, frozen=True):
    """Rebuilds on the same digests were tried and given up; a newer digest is tried again.

    Attributes:
        rebuild_id: The last one.
        run: Its run, if it had one.
        outcome: How it ended.
        attempts: How many there were.
        advice: What to do about it, if it is known.
        cause: Why the last one failed, as far as its log tells.
    """

    code = "rebuild-failed"
    rebuild_id: str
    run: str | None
    outcome: str
    attempts: int = 1
    advice: str | None = None
    cause: str | None = None

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        run = f"run {self.run}" if self.run else "it was not scheduled"
        told = "; ".join(filter(None, (self.outcome, self.cause, self.advice)))
        return (
            f"a rebuild on these digests was given up after {self.attempts} attempt"
            f"{'s' * (self.attempts > 1)} ({run}): {told}; a newer digest is tried again, and"
            " `rebuilder retry` tries this one"
        )


class Cycle(TaskDecision, frozen=True):
    """The image was pushed because of a rebuild of the task itself: it would go on for ever.

    Attributes:
        dependency: The image as the task names it.
        digest: The digest that came around.
        chain: The tasks whose rebuilds led to it, oldest first.
    """

    code = "circle"  # as it is stored, by versions before too
    dependency: str
    digest: str
    chain: tuple[str, ...]

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        names = " -> ".join(task.rpartition("/tasks/")[2] for task in (*self.chain, str(self.task)))
        return (
            f"{self.dependency} at {self.digest} was built because this task was: {names} is a"
            " cycle, and is rebuilt once"
        )


class OwnOutput(TaskDecision, frozen=True):
    """The image was pushed by the task's own last rebuild: to build on it again would never end.

    Attributes:
        dependency: The image as the task names it.
        digest: The digest that the task pushed itself.
        run: The run that pushed it.
    """

    code = "own-output"
    template = (
        "it pushed {self.dependency} at {self.digest} itself (run {self.run}); rebuilt for"
        " its own output, it would be rebuilt for ever"
    )
    dependency: str
    digest: str
    run: str | None
