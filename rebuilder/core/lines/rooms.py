"""Rooms: what so many rebuilds at once have a place in, and why one waits for a place."""

from __future__ import annotations

from msgspec import Struct

from rebuilder.core.policies.reason import Reason

PRIORITY = 50
"""The priority of what no policy gives one."""


class Room(Struct, frozen=True):
    """So many rebuilds have a place in it at once.

    Attributes:
        name: What it is called: `registry NAME`, `agent pool REGISTRY/NAME` or `policy NAME`.
        most: How many.
    """

    name: str
    most: int


class NoPlace(Reason, frozen=True, tag=""):
    """It waits for a place in a room.

    Attributes:
        room: Which room keeps it waiting.
        rooms: Every room that it needs a place in.
        priority: Its priority.
    """

    room: str
    rooms: tuple[str, ...]
    priority: int

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return "begins by itself when one of them ends and it is the next"


class LimitReached(NoPlace, frozen=True, tag="limit-reached"):
    """As many as may be are under way.

    Attributes:
        most: How many that is.
    """

    title = "a limit is reached"
    most: int

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"a limit is reached: {self.most} of {self.room} are under way, and no more may be"


class LowerPriority(NoPlace, frozen=True, tag="lower-priority"):
    """Others are to begin first.

    Attributes:
        ahead: How many of them there were.
    """

    title = "others come first"
    ahead: int

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"others come first: {self.ahead} that wait for a place in {self.room}, by their"
            f" priority (its own is {self.priority}) or because they have waited for longer"
        )
