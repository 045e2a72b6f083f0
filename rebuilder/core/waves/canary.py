"""Canaries: named tasks are built first on a digest; one that fails has it quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from rebuilder.core.globs import fits
from rebuilder.core.policies.reason import Reason
from rebuilder.core.policies.wave_holds import Awaited
from rebuilder.core.times import day_and_time


class Canary(Struct, frozen=True):
    """Which tasks go first.

    Attributes:
        tasks: Patterns of them, as `REGISTRY/TASK`.
        soak: How long after their success the others begin.
    """

    tasks: tuple[str, ...]
    soak: timedelta = timedelta()

    def names(self, task: str) -> bool:
        """Whether a task, as `REGISTRY/TASK`, is one of them."""
        return any(fits(pattern.lower(), (task.lower(),)) for pattern in self.tasks)


def stricter(now: Canary | None, said: Canary | None) -> Canary | None:
    """Return what holds where both are said: all of the tasks, for the longer time."""
    if now is None or said is None:
        return now or said
    return Canary(tuple(dict.fromkeys((*now.tasks, *said.tasks))), max(now.soak, said.soak))


class WaitsForCanary(Reason, frozen=True, tag="waits-for-canary"):
    """Tasks that go first have not succeeded on the same digest, or not for long enough.

    Attributes:
        image: The image that moved, with its digest.
        tasks: Those that are not over.
        until: When the soak is over; None while some are not.
    """

    title = "waiting for the canary"
    image: str
    tasks: tuple[Awaited, ...]
    until: datetime | None = None

    @property
    def ends(self) -> datetime | None:
        """When it is over."""
        return self.until

    def ender(self) -> str:
        """What ends it, as a sentence."""
        if self.until is not None:
            return f"over at {day_and_time(self.until)}"
        return "over when each has succeeded; one that fails has the digest quarantined"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        if self.until is not None:
            return f"the canary has succeeded on {self.image}, and is watched for a while"
        return f"waiting for the canary on {self.image}: {', '.join(map(str, self.tasks))}"


class Quarantined(Reason, frozen=True, tag="quarantined"):
    """It would be built on a digest that is quarantined.

    Attributes:
        image: The image, with its digest.
        because: Why.
        at: Since when.
    """

    title = "quarantined"
    image: str
    because: str
    at: datetime

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return f"a newer digest of the tag, or `rebuilder release {self.image} --because ...`"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"{self.image} is quarantined since {day_and_time(self.at)}: {self.because}"


class Watched(Struct, frozen=True):
    """How the canaries of a wave are.

    Attributes:
        awaited: Those that are not over.
        failed: Those that did not succeed, with why.
        succeeded: When each of the others was over.
    """

    awaited: tuple[Awaited, ...] = ()
    failed: tuple[str, ...] = ()
    succeeded: tuple[datetime, ...] = ()


def held_by(
    watched: Watched, canary: Canary, image: str, now: datetime
) -> WaitsForCanary | Quarantined | None:
    """Return what holds those that come after canaries; None if nothing does."""
    if watched.failed:
        return Quarantined(image, f"the canary {'; '.join(watched.failed)}"[:500], now)
    if watched.awaited:
        return WaitsForCanary(image, watched.awaited)
    until = max(watched.succeeded, default=now) + canary.soak
    return WaitsForCanary(image, (), until) if watched.succeeded and now < until else None


def too_many(failed: Sequence[str], limit: int) -> str:
    """Tell that more tasks of a wave have failed than may."""
    names = ", ".join(failed[:5]) + (", ..." if len(failed) > len(failed[:5]) else "")
    return f"{len(failed)} task(s) failed on it that did not before, over {limit}: {names}"


def quarantine(bases: Sequence[str], quarantined: Sequence[Quarantined]) -> tuple[Quarantined, ...]:
    """Return what is quarantined of the images that something is to be built on."""
    return tuple(found for found in quarantined if found.image in bases)
