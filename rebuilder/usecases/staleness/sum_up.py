"""Sum up by the day for how long tasks stood on old bases, so that whoever asks reads little.

A run works out what was told since yesterday, of the tags that something happened to; once an hour,
of all of them. Days before that change no more, but for what went on until now. What is kept is
worked out of the ledger alone, and counts once the head names it: a run that ended in between, or
ran twice, has changed nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec
from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.staleness.figures import day_of
from rebuilder.core.staleness.spells import Spell, Why
from rebuilder.core.staleness.sums import Days, Totalled, by_day, merged, only, totalled, without
from rebuilder.core.times import age
from rebuilder.errors import Conflict, PermanentError
from rebuilder.usecases.catch_up.missed import followers, followers_of
from rebuilder.usecases.context import Context
from rebuilder.usecases.leases import leased
from rebuilder.usecases.staleness.kept import (
    BESIDE,
    BOOKMARK,
    GOING,
    Beside,
    Going,
    Head,
    Lost,
    Place,
    days_since,
    head_of,
    read_beside,
    read_days,
    read_going,
    write,
)
from rebuilder.usecases.staleness.policies import names_by, policies_of
from rebuilder.usecases.staleness.walk import NOT_KNOWN, Walked, walk

log = logging.getLogger(__name__)

DAYS = 7
"""How many days the first run sums up; later ones keep what those before it have summed."""

_DAY = timedelta(days=1)
_WHOLE = timedelta(hours=1)
"""So often every tag is looked at: the index is read anew, and a tag goes back, without a push."""

_LATELY = timedelta(minutes=2)
"""A push may be recorded by a clock that is behind, or after a run that began later."""


class Summed(Struct, frozen=True):
    """What a run did.

    Attributes:
        tags: How many tags were looked at.
        written: How many records were written.
    """

    tags: int = 0
    written: int = 0


def sum_up(context: Context, owner: str) -> Summed | None:
    """Bring what is kept up to now.

    Args:
        context: The ports.
        owner: A name for this run, unique among all, to hold the lease with.

    Returns:
        What was done; None if another run is at it.

    Raises:
        TransientError: The store cannot be reached; the next run does what this one did not.
    """
    with leased(context, BOOKMARK, owner) as lease:
        if lease is None:
            log.info("another instance sums up staleness")
            return None
        run = _Run(context, head_of(lease.place))
        try:
            head = run.done()
        except Lost as lost:
            log.warning("staleness: %s: summed up anew", lost)
            run = _Run(context, None)
            head = run.done()
        except Conflict as conflict:
            log.warning("staleness: %s", conflict)
            return None
        # Given back with the lease: had that run out, the head of whoever has it now stays.
        lease.place = msgspec.json.encode(head).decode()
    log.info("staleness: %d tags looked at, %d records written", run.tags, run.written)
    return Summed(run.tags, run.written)


class _Run:
    """One run."""

    def __init__(self, context: Context, head: Head | None) -> None:
        self._context = context
        self._now = context.now()
        self._head = head if head and age(head.at, self._now) < DAYS * _DAY else None
        self.tags = self.written = 0

    def done(self) -> Head:
        """Work out what is to be kept, write it, and return its head."""
        head, today = self._head, _midnight(self._now)
        yesterday, first = today - _DAY, today - DAYS * _DAY
        if head is None:
            return self._summed(None, first, Going(), Beside())
        # What could not be read is behind since then.
        since = max(first, min(yesterday, _midnight(head.at), _midnight(head.read)))
        going, beside = read_going(self._context, head), read_beside(self._context, head)
        if _midnight(head.at) < yesterday or age(head.whole, self._now) >= _WHOLE:
            return self._summed(None, since, going, beside)
        return self._summed(self._touched(head, going, beside), since, going, beside)

    def _summed(
        self, touched: set[ImageReference] | None, since: datetime, going: Going, beside: Beside
    ) -> Head:
        """Return the head after tags were looked at.

        Args:
            touched: Which; None for all.
            since: From when on what was told is worked out anew.
            going: What went on.
            beside: What the run before had to tell besides.
        """
        context, head = self._context, self._head
        went_on = [*going.spells, *beside.unread]
        bases = None
        if touched is None:
            following = followers(context)
        else:
            bases = {str(reference) for reference in touched}
            following = followers_of(context, touched)
            went_on = [spell for spell in went_on if spell.base in bases]
        ended = [spell for spell in beside.ended if bases is None or spell.base in bases]
        policy_of = names_by(policies_of(context))
        walked = walk(context, following, since, self._now, policy_of, [*went_on, *ended])
        self.tags = len(following)
        lost = {base for _, base, reason in walked.unknown if reason != NOT_KNOWN}
        first = since.date() if head is None else max(head.since, self._oldest())
        places = {} if head is None else dict(head.records)
        places = {
            n: at for n, at in places.items() if n in (GOING, BESIDE) or n >= first.isoformat()
        }
        # What is known of a tag that cannot be read whole stays as it is until it can be.
        over = [spell for spell in walked.spells if spell.over and spell.base not in lost]
        places |= self._days(over, bases, lost, since, went_on, first)
        if bases is not None:
            going_left, beside_left = _without(going, beside, bases)
        else:
            going_left, beside_left = Going(), Beside()
        unread = [spell for spell in went_on if spell.base in lost]
        over += [*beside_left.ended, *(spell for spell in ended if spell.base in lost)]
        # What is worked out anew from then on, by the next run or a later one.
        reach = since if lost else max(since, _midnight(self._now) - _DAY)
        records: dict[str, tuple[Going | Beside, Going | Beside]] = {
            GOING: (going, _going(going_left, walked)),
            BESIDE: (
                beside,
                Beside(
                    _ordered([*beside_left.unread, *_not_found(unread, walked)]),
                    _ordered(spell for spell in over if _reaches(spell, reach)),
                ),
            ),
        }
        for name, (before, after) in records.items():
            if after != before or name not in places:
                places[name] = self._write(name, after)
        whole = self._now if touched is None or head is None else head.whole
        read = self._now if not lost else since if head is None else head.read
        return Head(self._now, whole, read, first, places)

    def _days(
        self,
        over: Iterable[Spell],
        bases: set[str] | None,
        lost: set[str],
        since: datetime,
        went_on: Iterable[Spell],
        first: date,
    ) -> dict[str, Place]:
        """Write the sums that changed, and return where they are."""
        beginnings = {_beginning(spell) for spell in went_on}
        told: dict[str, list[tuple[str, Spell]]] = {}
        for spell in over:
            # Of what was told before, only what went on until now has not been counted.
            if spell.told >= since or _beginning(spell) in beginnings:
                told.setdefault(_day(spell.told), []).append((day_of(spell), spell))
        window = _day(since)
        names = {name for name in told if name >= first.isoformat()}
        kept: dict[str, Totalled] = {}
        if self._head is not None:
            names |= set(days_since(self._head, window))
            there = sorted(names.intersection(self._head.records))
            kept = read_days(self._context, self._head, there)
        places = {}
        for name in sorted(names):
            before: Days = kept[name].days if name in kept else {}
            stays = before
            if name >= window:
                stays = only(before, lost) if bases is None else without(before, bases - lost)
            after = merged(stays, by_day(told.get(name, ())))
            if after != before:
                places[name] = self._write(name, totalled(after))
        return places

    def _write(self, name: str, record: Going | Beside | Totalled) -> Place:
        self.written += 1
        return write(self._context, self._head, name, record)

    def _oldest(self) -> date:
        return (self._now - self._context.settings.history).astimezone(UTC).date()

    def _touched(self, head: Head, going: Going, beside: Beside) -> set[ImageReference]:
        """Return the tags that something may have happened to since the run before."""
        context = self._context
        moving = {rebuild.task for rebuild in context.ledger.unsettled()}
        names = {
            spell.base
            for spell in going.spells
            if spell.why is not Why.LEFT or spell.task in moving
        }
        names |= {spell.base for spell in beside.unread}
        names |= {base for _, base, reason in going.unknown if reason != NOT_KNOWN}
        found = {ImageReference.parse(name) for name in names}
        for delivery in context.ledger.pushes_between(head.at - _LATELY, self._now + _LATELY):
            push = delivery.push
            try:
                host = context.host(push.registry)
            except PermanentError as error:
                log.warning("registry %s: its tags wait: %s", push.registry, error)
                continue
            found.add(ImageReference(host, push.repository, push.tag, None))
        return found


def _without(going: Going, beside: Beside, bases: set[str]) -> tuple[Going, Beside]:
    def others(spells: Iterable[Spell]) -> tuple[Spell, ...]:
        return tuple(spell for spell in spells if spell.base not in bases)

    unknown = tuple(each for each in going.unknown if each[1] not in bases)
    return (
        Going(others(going.spells), unknown),
        Beside(others(beside.unread), others(beside.ended)),
    )


def _going(left: Going, walked: Walked) -> Going:
    going = [spell for spell in walked.spells if not spell.over]
    return Going(_ordered((*left.spells, *going)), tuple(sorted((*left.unknown, *walked.unknown))))


def _not_found(spells: Iterable[Spell], walked: Walked) -> list[Spell]:
    found = {_beginning(spell) for spell in walked.spells if not spell.over}
    return [spell for spell in spells if _beginning(spell) not in found]


def _ordered(spells: Iterable[Spell]) -> tuple[Spell, ...]:
    return tuple(sorted(spells, key=_beginning))


def _reaches(spell: Spell, since: datetime) -> bool:
    """Whether moves of a spell may be looked at without its first one, now or on a later day."""
    newest = spell.newest_told or spell.told
    return newest >= since and _day(newest) > _day(spell.told)


def _beginning(spell: Spell) -> tuple[str, str, datetime, str]:
    """Return what tells a spell from every other one, whatever becomes of it."""
    return str(spell.task), spell.base, spell.told, spell.first


def _midnight(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _day(time: datetime) -> str:
    return time.astimezone(UTC).date().isoformat()
