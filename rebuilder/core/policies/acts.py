"""What operators do: pause something and resume it, with who, why and until when.

A pause is state and no configuration: it is kept apart from the policy file, and goes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from rebuilder.core.globs import fits
from rebuilder.core.structs import prepared
from rebuilder.core.times import day_and_time

PLACE = "acts"
"""The name of the bookmark that acts are kept in; of those before, `acts/0` and so on."""

MOST = 500
"""How many rebuilds one act can be about."""

PAGE = 100
"""How many acts are kept together."""

LONGEST = 500
"""Characters of a reason."""


Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time that others wrote: one without a zone is none."""


class What(StrEnum):
    """What an operator does."""

    PAUSE = "pause"
    RESUME = "resume"
    APPLY = "apply"  # a policy file: what waits is looked at; the page's acts hold the file
    ROLLBACK = "rollback"  # to a version of the policy file that was before
    APPROVE = "approve"  # rebuilds that wait for it, on the digests that they are for
    REJECT = "reject"  # the same are left, for these digests
    REFUSED = "refused"  # somebody asked the page for what they may not
    BUILD = "build"  # tasks, now, though no image moved
    RETRY = "retry"  # tasks whose rebuild was given up, or counts as done
    QUARANTINE = "quarantine"  # a digest: nothing more is built on it; the product's own act
    RELEASE = "release"  # the same is built on again
    REPLAY = "replay"  # dead letters: do what was to be done
    DISCARD = "discard"  # dead letters: nothing is to be done about them


_STOPPING = frozenset({What.PAUSE, What.RESUME})
_RELEASED = 200
"""How many digests that were released, or are quarantined, are remembered."""


class Scope(StrEnum):
    """What kind of things a pause is for."""

    ALL = "all"
    REGISTRY = "registry"  # of tasks
    TASK = "task"
    BASE = "base"
    DIGEST = "digest"  # an image with its digest, and no pattern


class Target(Struct, frozen=True):
    """What a pause is for.

    Attributes:
        scope: What kind of things.
        pattern: Which, as policies write it; "" for all.
    """

    scope: Scope = Scope.ALL
    pattern: str = ""

    def fits(self, task: str, registry: str, images: tuple[str, ...]) -> bool:
        """Whether it is meant.

        Args:
            task: The task, as `REGISTRY/TASK`.
            registry: Its registry.
            images: The names of every image that its run would read, as `Moved.names` has them.
        """
        match self.scope:
            case Scope.ALL:
                return True
            case Scope.REGISTRY:
                return fits(self.pattern.lower(), (registry,))
            case Scope.TASK:
                return fits(self.pattern.lower(), (task,))
            case Scope.BASE:
                return fits(self.pattern, images)
            case Scope.DIGEST:
                return self.pattern in images

    def __str__(self) -> str:
        return f"--{self.scope} {self.pattern}" if self.pattern else "all"


@prepared
class Hand(Struct, frozen=True):
    """By whom something was asked for by hand.

    Attributes:
        act: The act by which it was.
        who: Who.
        because: Why.
        at: When.
        force: Whether it does not wait for the gate.
    """

    act: str
    who: str
    because: str
    at: Time
    force: bool = False

    def sentence(self) -> str:
        """Who it was and why, for a person."""
        why = f": {self.because}" if self.because else ""
        return f"by {self.who} at {day_and_time(self.at)}{why}"


class NewPolicy(Struct, frozen=True):
    """Which policy file an act is to put in force.

    Attributes:
        before: The token of the version that it is to replace, as whoever asks saw it; "" if there
            was none.
        text: The file; "" if it is one that was before.
        number: The number of that one; 0 if it is a new file.
    """

    before: str
    text: str = ""
    number: int = 0


class Act(Struct, frozen=True, rename={"id": "actId"}):
    """What an operator did.

    Attributes:
        id: Tells it from others; the same act delivered twice is one.
        what: What.
        target: To what.
        who: Who, by the token or the account of the machine.
        because: Why.
        at: When.
        until: Until when it holds; None if until somebody ends it.
        of: The rebuilds or dead letters that it is about, by their ids, or the tasks, as
            `TASK_ID#SEQUENCE` of the newest rebuild that there was; empty if it is about none.
        came: What came of it, for a person; "" if that is not known yet.
        force: Whether what it asks for does not wait for the gate.
        policy: The policy file that it is to put in force; None if that was done, or is not asked.
    """

    id: str
    what: What
    target: Target
    who: str
    because: str
    at: Time
    until: Time | None = None
    of: tuple[str, ...] = ()
    came: str = ""
    force: bool = False
    policy: NewPolicy | None = None

    @property
    def hand(self) -> Hand:
        """By whom it was asked for."""
        return Hand(self.id, self.who, self.because, self.at, self.force)


@prepared
class Controls(Struct, frozen=True):
    """What operators did, and what of it is in force.

    Attributes:
        pauses: What is paused.
        acts: The last acts, oldest first; PAGE of them at most.
        before: How many acts there were before those.
        changed: The last act that changed what is in force; "" if none did.
        quarantined: The digests that nothing more is built on, as the acts that said so.
        released: Those that were released: no canary has them quarantined again.
    """

    pauses: tuple[Act, ...] = ()
    acts: tuple[Act, ...] = ()
    before: int = 0
    changed: str = ""
    quarantined: tuple[Act, ...] = ()
    released: tuple[str, ...] = ()

    def done(self, act: Act) -> Controls:
        """What there is once an act is done; the same if it was done before.

        One that is older than the last on the same target is remembered and changes nothing:
        messages overtake each other.
        """
        if any(known.id == act.id for known in self.acts):
            return self
        # Which rebuilds it was about is kept with those, and the file with its versions.
        acts = (*self.acts, replace(act, of=(), policy=None))
        before = self.before
        if len(self.acts) == PAGE:
            acts, before = acts[-1:], before + PAGE
        overtaken = any(
            known.target == act.target and known.at > act.at and known.what in _STOPPING
            for known in (*self.acts, *self.pauses)
        )
        kept, changed = self.pauses, self.changed
        if not overtaken and act.what in _STOPPING:
            changed = act.id
            kept = tuple(pause for pause in kept if pause.target != act.target)
            kept = (*kept, act) if act.what is What.PAUSE else kept
        found = replace(self, pauses=kept, acts=acts, before=before, changed=changed)
        return found.about_digests(act)

    def about_digests(self, act: Act) -> Controls:
        """What there is once a digest is quarantined, or released."""
        image = act.target.pattern
        if act.what is What.RELEASE:
            kept = tuple(one for one in self.quarantined if one.target.pattern != image)
            released = (*(one for one in self.released if one != image), image)[-_RELEASED:]
            return replace(self, quarantined=kept, released=released, changed=act.id)
        known = {one.target.pattern for one in self.quarantined} | {*self.released}
        if act.what is not What.QUARANTINE or image in known:
            return self
        quarantined = (*self.quarantined, act)[-_RELEASED:]
        return replace(self, quarantined=quarantined, changed=act.id)

    def told(self, act_id: str, came: str) -> Controls:
        """What there is once it is known what came of an act."""
        acts = tuple(replace(a, came=came) if a.id == act_id else a for a in self.acts)
        return self if acts == self.acts else replace(self, acts=acts)

    @property
    def stamp(self) -> str:
        """Tells what is in force from what was before."""
        return self.changed or ",".join(pause.id for pause in self.pauses)

    def in_force(self, now: datetime) -> tuple[Act, ...]:
        """The pauses that are not over."""
        return tuple(p for p in self.pauses if p.until is None or now < p.until)

    def write(self) -> str:
        """Write it as text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def read(cls, text: str) -> Controls:
        """Read what `write` wrote; nothing for an empty text.

        Raises:
            ValueError: It is none.
        """
        return msgspec.json.decode(text, type=cls) if text else cls()


def to_record(act: Act) -> dict[str, Any]:
    """An act as JSON values."""
    found: dict[str, Any] = msgspec.to_builtins(act)
    return found


def from_record(record: Mapping[str, Any]) -> Act:
    """An act from a record that `to_record` made.

    Raises:
        ValueError: It is none.
    """
    return msgspec.convert(dict(record), Act)
