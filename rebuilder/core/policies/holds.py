"""Why a rebuild waits: one small type per reason, with its evidence and what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Union

import msgspec
from msgspec import Struct

from rebuilder.core.lines.rooms import LimitReached, LowerPriority
from rebuilder.core.policies.acts import Hand
from rebuilder.core.policies.approval import NeedsApproval, Vote
from rebuilder.core.policies.reason import Reason
from rebuilder.core.policies.wave_holds import WaitsForUpstream
from rebuilder.core.structs import prepared
from rebuilder.core.times import day_and_time
from rebuilder.core.waves.canary import Quarantined, WaitsForCanary


class CoolingDown(Reason, frozen=True, tag="cooling-down"):
    """What was pushed last has not been there for long enough.

    Attributes:
        newest: When it came.
        cooldown: How long it has to be there.
        first: When the first of what is not built yet came.
        until: When the newest is old enough, or the first has waited for as long as it may.
    """

    title = "cooling down"
    newest: datetime
    cooldown: timedelta
    first: datetime
    until: datetime

    @property
    def ends(self) -> datetime:
        """When it is over."""
        return self.until

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return f"over at {day_and_time(self.until)}; `rebuilder retry` does not wait for it"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"cooling down: the newest image came at {day_and_time(self.newest)} and is to be"
            f" {_hours(self.cooldown)} old; the first that is not built came at"
            f" {day_and_time(self.first)}"
        )


class OutsideWindow(Reason, frozen=True, tag="outside-window"):
    """None of the windows is open.

    Attributes:
        windows: The windows.
        until: When one opens; None if none does for weeks.
    """

    title = "outside its window"
    windows: tuple[str, ...]
    until: datetime | None

    @property
    def ends(self) -> datetime | None:
        """When it is over."""
        return self.until

    def ender(self) -> str:
        """What ends it, as a sentence."""
        if self.until is None:
            return "its windows are never open together: `rebuilder policy apply` with others"
        return f"opens at {day_and_time(self.until)}"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"outside its window ({'; '.join(self.windows)})"


class Frozen(Reason, frozen=True, tag="frozen"):
    """A freeze is in force.

    Attributes:
        name: The freeze.
        until: When it is over.
    """

    title = "frozen"
    name: str
    until: datetime

    @property
    def ends(self) -> datetime:
        """When it is over."""
        return self.until

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return f"over at {day_and_time(self.until)}"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"frozen: {self.name}"


class Paused(Reason, frozen=True, tag="paused"):
    """Somebody has paused it.

    Attributes:
        target: What is paused.
        who: Who did it.
        because: Why.
        at: When.
        until: Until when; None if until somebody resumes it.
    """

    title = "paused"
    target: str
    who: str
    because: str
    at: datetime
    until: datetime | None

    @property
    def ends(self) -> datetime | None:
        """When it is over."""
        return self.until

    def ender(self) -> str:
        """What ends it, as a sentence."""
        resume = f"`rebuilder resume {self.target}`"
        return f"over at {day_and_time(self.until)}, or by {resume}" if self.until else resume

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return (
            f"{self.target} is paused by {self.who} since {day_and_time(self.at)}: {self.because}"
        )


class UnknownPolicy(Reason, frozen=True, tag="unknown-policy"):
    """The task's tag names a policy that there is not, or that tasks may not select.

    Attributes:
        name: What the tag names.
        selectable: What it may name.
    """

    title = "its tag names no policy"
    name: str
    selectable: tuple[str, ...]

    def ender(self) -> str:
        """What ends it, as a sentence."""
        known = ", ".join(self.selectable) or "none is selectable"
        return f"a tag that names a selectable policy ({known}), or none"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"its tag rebuilder-policy names {self.name!r}, which is no selectable policy"


class PolicyUnreadable(Reason, frozen=True, tag="policy-unreadable"):
    """There is a policy file, and no version of it can be read.

    Attributes:
        problem: What is wrong with it.
    """

    title = "the policy cannot be read"
    problem: str

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return "`rebuilder policy apply FILE` with one that can be read"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"the policy file cannot be read, and no version before it: {self.problem}"


class Other(Reason, frozen=True, tag=""):
    """A reason that only a newer version of this code knows.

    Attributes:
        name: Its code.
        record: What is recorded of it.
    """

    title = "for a reason of a newer version"
    name: str
    record: dict[str, Any]

    def ender(self) -> str:
        """What ends it, as a sentence."""
        return "ask the newer version"

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"it waits for a reason that only a newer version of this program knows: {self.name}"


REASONS = (
    CoolingDown,
    OutsideWindow,
    Frozen,
    Paused,
    UnknownPolicy,
    PolicyUnreadable,
    NeedsApproval,
    LimitReached,
    LowerPriority,
    WaitsForUpstream,
    WaitsForCanary,
    Quarantined,
)
"""Every reason. A new one is a type here, and where the gate gives it."""

_ANY: Any = prepared(Union[REASONS])  # noqa: UP007 - of a tuple


class Held(Struct, frozen=True):
    """What is kept of a rebuild that the gate holds.

    Attributes:
        reasons: Why it waits.
        first: When the first of what it would be built for came, also of digests before.
        newest: When the newest of it came.
        moved: What it would be built for: references with tags.
        controls: The version of what operators decided; "" has it looked at again.
        votes: Who agreed to it, on these digests.
        asked_by: Who asked for it; "" if a push did.
        rejected: Who rejected it, if somebody did.
        lined: Since when it waits for a place; None if it never did.
        forced: Who had it begun although it was to wait for `reasons`; None if nobody did.
    """

    reasons: tuple[Reason, ...]
    first: datetime
    newest: datetime
    moved: tuple[str, ...] = ()
    controls: str = ""
    votes: tuple[Vote, ...] = ()
    asked_by: str = ""
    rejected: Vote | None = None
    lined: datetime | None = None
    forced: Hand | None = None

    @property
    def until(self) -> datetime | None:
        """When every reason is over; None if somebody has to end one."""
        ends = [reason.ends for reason in self.reasons]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    def sentence(self) -> str:
        """Why it waits, and what ends that."""
        return "; ".join(f"{r.sentence()} ({r.ender()})" for r in self.reasons)


def to_record(held: Held) -> dict[str, Any]:
    """What is kept, as JSON values."""
    record: dict[str, Any] = msgspec.to_builtins(held)
    record["reasons"] = [reason_record(reason) for reason in held.reasons]
    return record


def reason_record(reason: Reason) -> dict[str, Any]:
    """A reason as JSON values."""
    if isinstance(reason, Other):
        return reason.record
    found: dict[str, Any] = msgspec.to_builtins(reason)
    return found


def from_record(record: Mapping[str, Any]) -> Held:
    """What is kept, from a record that `to_record` made.

    Raises:
        ValueError, KeyError, TypeError: It is none.
    """
    return Held(
        tuple(_reason(found) for found in record["reasons"]),
        datetime.fromisoformat(record["first"]),
        datetime.fromisoformat(record["newest"]),
        tuple(record.get("moved", ())),
        str(record.get("controls", "")),
        msgspec.convert(record.get("votes", ()), tuple[Vote, ...]),
        str(record.get("asked_by", "")),
        msgspec.convert(record.get("rejected"), Vote | None),
        msgspec.convert(record.get("lined"), datetime | None),
        msgspec.convert(record.get("forced"), Hand | None),
    )


def _reason(record: dict[str, Any]) -> Reason:
    try:
        found: Reason = msgspec.convert(record, _ANY)
    except msgspec.ValidationError:
        return Other(str(record.get("code")), record)
    return found


def _hours(span: timedelta) -> str:
    hours, rest = divmod(int(span.total_seconds()), 3600)
    minutes, seconds = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
