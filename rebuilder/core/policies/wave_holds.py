"""Why a rebuild waits for others of its wave."""

from __future__ import annotations

from msgspec import Struct

from rebuilder.core.policies.reason import Reason

MOST = 20
"""How many of the tasks that one waits for are kept; the others count when these are over."""


class Awaited(Struct, frozen=True):
    """A task that another one waits for.

    Attributes:
        task: Its resource id.
        state: How far it is, for a person.
    """

    task: str
    state: str

    def __str__(self) -> str:
        registry, _, name = self.task.rpartition("/registries/")[2].partition("/tasks/")
        return f"{registry}/{name} ({self.state})"


class WaitsForUpstream(Reason, frozen=True, tag="waits-for-upstream"):
    """Tasks are not over whose images it reads, and that the same push reaches.

    Attributes:
        wave: The key of the push that the wave began with.
        tasks: The tasks; MOST of them.
        more: How many there are besides.
    """

    title = "waiting for upstream tasks"
    wave: str
    tasks: tuple[Awaited, ...]
    more: int = 0

    @classmethod
    def of(cls, wave: str, tasks: tuple[Awaited, ...]) -> WaitsForUpstream:
        """Return the reason to wait for tasks."""
        return cls(wave, tasks[:MOST], max(len(tasks) - MOST, 0))

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return (
            "over when each of them is built, given up or left alone; `rebuilder retry` does not"
            " wait for it"
        )

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        names = ", ".join(map(str, self.tasks))
        more = f" and {self.more} more" if self.more else ""
        return f"waiting for upstream tasks of the same wave: {names}{more}"
