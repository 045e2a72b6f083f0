"""What is kept of staleness, in bookmarks: the sums of days, and what goes on.

One bookmark, the head, names all the others, each with its version. A record is never written over
where the head names it: it has two places, of which the head names one. So whoever reads finds what
one run has written, all of it or none, however it ended; and of two that write at once one counts.
What is not as the head says counts as lost: it is worked out again.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from copy import replace
from datetime import date, datetime, timedelta

import msgspec
from msgspec import Struct, field

from rebuilder.core.staleness.spells import Spell
from rebuilder.core.staleness.sums import Totalled
from rebuilder.core.structs import prepared
from rebuilder.isolation import together
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.walk import Unknown

log = logging.getLogger(__name__)

BOOKMARK = "staleness"
"""The head's name, whose lease whoever sums up holds."""

FORM = 1
"""Counts what was changed in the form of what is kept: another form is not read."""

GOING = "going"
"""The record of what goes on."""

BESIDE = "beside"
"""The record of what the next run has to know; each other is named by its day."""

_PART = 400_000
"""Characters of a record in one bookmark: a row of a table holds 1 MiB, with two bytes for each."""

_TRIES = 3
_DAY = timedelta(days=1)


class Place(Struct, frozen=True, array_like=True):
    """Where a record is.

    Attributes:
        slot: In which of its two places.
        versions: The versions of the bookmarks that hold it, in their order.
    """

    slot: int
    versions: tuple[int, ...]


@prepared
class Head(Struct, frozen=True):
    """What the last run came to.

    Attributes:
        at: When it began: everything is as it was then.
        whole: When the last run began that looked at every tag.
        read: When the last run began that could read all that it looked at.
        since: The first day that is summed.
        records: Where the records are, by their names.
        form: In which form.
    """

    at: datetime
    whole: datetime
    read: datetime
    since: date
    records: dict[str, Place] = field(default_factory=dict)
    form: int = FORM


@prepared
class Going(Struct, frozen=True):
    """What goes on.

    Attributes:
        spells: The spells.
        unknown: Of whom nothing is known.
    """

    spells: tuple[Spell, ...] = ()
    unknown: tuple[Unknown, ...] = ()


@prepared
class Beside(Struct, frozen=True):
    """What the next run has to know besides.

    Attributes:
        unread: What went on when it could be read last, of those of whom nothing is known.
        ended: What is over and counted, and has a part of its moves on a later day than the first:
            whoever looks at that day alone would take them for another spell.
    """

    unread: tuple[Spell, ...] = ()
    ended: tuple[Spell, ...] = ()


class Kept(Struct, frozen=True):
    """What is kept, as one run has left it.

    Attributes:
        head: What that run came to.
        going: What goes on.
        days: The sums of what was told on each day, by that day.
        since: The first of the days that were read.
    """

    head: Head
    going: Going
    days: dict[str, Totalled]
    since: date


class Lost(Exception):
    """A record is not there as the head names it."""


def head_of(text: str) -> Head | None:
    """Return what a run came to; None if none did, or one of another version."""
    try:
        head = msgspec.json.decode(text, type=Head)
    except msgspec.MsgspecError:
        return None
    return head if head.form == FORM else None


def read_kept(context: Context, since: date, before: Kept | None = None) -> Kept | None:
    """Return what is kept since a day; None if that is not everything.

    Args:
        context: The bookmarks.
        since: The day.
        before: What was read before: it is returned if no run has ended since.

    Raises:
        TransientError: The store cannot be reached.
    """
    for _ in range(_TRIES):
        head = head_of(context.bookmarks.read(BOOKMARK).place)
        if head is None or head.since > since:
            return None
        if before is not None and before.head == head and before.since <= since:
            return before
        try:
            names = days_since(head, since.isoformat())
            texts = _texts(context, head, [GOING, *names])
            going = _decoded(texts.pop(GOING), Going)
            days = {name: _decoded(text, Totalled) for name, text in texts.items()}
            return Kept(head, going, days, since)
        except Lost as lost:
            log.info("staleness: %s: looked up again", lost)  # a run has ended meanwhile
    log.warning("staleness: what is kept is not whole")
    return None


def read_going(context: Context, head: Head) -> Going:
    """Return what goes on.

    Raises:
        Lost: It is not there.
    """
    return _decoded(_texts(context, head, [GOING])[GOING], Going)


def read_beside(context: Context, head: Head) -> Beside:
    """Return what the next run has to know.

    Raises:
        Lost: It is not there.
    """
    return _decoded(_texts(context, head, [BESIDE])[BESIDE], Beside)


def days_since(head: Head, since: str) -> list[str]:
    """Return the days that are summed, from a day on."""
    return sorted(name for name in head.records if name not in (GOING, BESIDE) and name >= since)


def read_days(context: Context, head: Head, names: Iterable[str]) -> dict[str, Totalled]:
    """Return the sums of what was told on days, by those.

    Raises:
        Lost: One is not there.
    """
    texts = _texts(context, head, names)
    return {name: _decoded(text, Totalled) for name, text in texts.items()}


def write(
    context: Context, head: Head | None, name: str, record: Going | Beside | Totalled
) -> Place:
    """Write a record beside the one that the head names, and return where it is.

    Raises:
        Conflict: Another run has written there.
    """
    known = None if head is None else head.records.get(name)
    slot = 0 if known is None else 1 - known.slot
    # Lengths are as good as random: to compress them takes time and saves little.
    text = base64.b64encode(msgspec.msgpack.encode(record)).decode()
    until = None
    if name not in (GOING, BESIDE):
        day = datetime.combine(date.fromisoformat(name), datetime.min.time(), context.now().tzinfo)
        until = day + _DAY + context.settings.history
    versions = []
    for number, at in enumerate(range(0, len(text), _PART)):
        mark = context.bookmarks.read(_name(name, slot, number))
        changed = replace(mark, place=text[at : at + _PART], kept_until=until)
        versions.append(context.bookmarks.save(changed).version)
    return Place(slot, tuple(versions))


def _texts(context: Context, head: Head, names: Iterable[str]) -> dict[str, str]:
    """Return records as they are kept, all of them in one go."""
    places: dict[str, Place] = {}
    for name in names:
        place = head.records.get(name)
        if place is None:
            raise Lost(f"{name} is not there")
        places[name] = place
    parts = [
        (name, number, version)
        for name, place in places.items()
        for number, version in enumerate(place.versions)
    ]

    def read(part: tuple[str, int, int]) -> str:
        name, number, version = part
        mark = context.bookmarks.read(_name(name, places[name].slot, number))
        if mark.version != version:
            raise Lost(f"{name} is another one")
        return mark.place

    texts = dict.fromkeys(places, "")
    for (name, _, _), text in zip(parts, together(read, parts), strict=True):
        texts[name] += text
    return texts


def _decoded[Record](text: str, kind: type[Record]) -> Record:
    try:
        return msgspec.msgpack.decode(base64.b64decode(text), type=kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Lost(f"a record cannot be read: {type(error).__name__}") from error


def _name(name: str, slot: int, number: int) -> str:
    return f"{BOOKMARK}/{name}/{slot}/{number}"
