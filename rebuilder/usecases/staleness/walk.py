"""Work spells out from the ledger, tag by tag: each pushes, decisions and rebuilds by their keys.

Neither ARM nor a registry is asked, but for a login server where the names leave a doubt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import replace
from datetime import datetime

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import (
    ForeignRegistry,
    PushedRegistry,
    RegistryId,
    TaskId,
)
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.staleness.spells import Follows, Move, Spell, spells
from rebuilder.core.times import ahead
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt, attempts
from rebuilder.ports.ledger import PushRecord
from rebuilder.usecases.catch_up.missed import Follower, Followers
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since

log = logging.getLogger(__name__)

_MOVES = 20
"""How many pushes of a tag are looked at that somebody does not stand on since before the span."""

_MORE = 4
"""How many times more pushes are asked for where those of the span are more than that."""

NOT_KNOWN = "nobody knows what it stands on: no run of it is known"

type Unknown = tuple[TaskId, str, str]
"""A task of which nobody knows what it stands on, the tag, and why."""


class Walked(Struct):
    """What is known of some tags.

    Attributes:
        spells: The spells that were told in the span or go on, and those that went on.
        unknown: Of whom nothing is known.
    """

    spells: list[Spell] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)


def walk(
    context: Context,
    following: Followers,
    since: datetime,
    now: datetime,
    policy_of: Callable[[TaskId, ImageReference], str],
    known: Iterable[Spell] = (),
) -> Walked:
    """Work out the spells of tags.

    Args:
        context: The ports.
        following: The tags, each with the tasks that follow it.
        since: The beginning of the span.
        now: Until when operators hold what they hold now.
        policy_of: The policies of a task that follows a tag.
        known: What was found before of these tags and reaches into the span: it is found again, as
            what began when it did.

    Raises:
        TransientError: The store cannot be reached.
    """
    history = _History(context, following, since, known)
    walked = Walked(unknown=history.unknown)
    for follows in history.follows(policy_of):
        told = attempt(lambda one: tuple(spells(one, now)), follows)
        if isinstance(told, RebuilderError):
            walked.unknown.append((follows.task, follows.base, str(told)))
        else:
            walked.spells += told
    return walked


class _History:
    """What is read of the store, each part once."""

    def __init__(
        self, context: Context, following: Followers, since: datetime, known: Iterable[Spell]
    ) -> None:
        self._context = context
        self._following = following
        self._since = since
        self._known: dict[str, dict[TaskId, list[Spell]]] = {}
        for spell in known:
            self._known.setdefault(spell.base, {}).setdefault(spell.task, []).append(spell)
        self.unknown: list[Unknown] = []

    def follows(self, policy_of: Callable[[TaskId, ImageReference], str]) -> Iterator[Follows]:
        """Yield every task with each tag that may have left it behind."""
        every = list(self._following)
        found = attempts(self._of_tag, every)
        wanted: list[Follows] = []
        for reference, told in zip(every, found, strict=True):
            if isinstance(told, RebuilderError):
                log.warning("what stands on %s: %s", reference, told)
                self.unknown += [
                    (follower.task, str(reference), str(told))
                    for follower in self._following[reference]
                ]
            else:
                wanted += told
        oldest: dict[TaskId, datetime] = {}
        for one in wanted:
            first = min(move.told for move in one.moves)
            oldest[one.task] = min(first, oldest.get(one.task, first))
        tasks = list(oldest)
        read = attempts(lambda task: self._rebuilds(task, oldest[task]), tasks)
        rebuilds = dict(zip(tasks, read, strict=True))
        for one in wanted:
            known = rebuilds[one.task]
            if isinstance(known, RebuilderError):
                self.unknown.append((one.task, one.base, str(known)))
                continue
            if one.built_on is None and not known and not one.decisions:
                self.unknown.append((one.task, one.base, NOT_KNOWN))
                continue
            policy = policy_of(one.task, ImageReference.parse(one.base))
            yield replace(one, rebuilds=known, policy=policy)

    def _rebuilds(self, task: TaskId, since: datetime) -> tuple[Rebuild, ...]:
        return tuple(rebuilds_since(self._context.ledger, task, since))[::-1]

    def _of_tag(self, reference: ImageReference) -> list[Follows]:
        """Return who follows a tag, or was rebuilt for it in the span."""
        now = {f.task: f for f in self._following[reference]}
        known = self._known.get(str(reference), {})
        pushed = self._pushes(reference)
        if not pushed:
            return []  # nobody has told of it yet
        newest = pushed[0]
        told = [record for record in pushed if record.first_at >= self._since]
        digests = {newest.push.digest, *(record.push.digest for record in told)}
        full = False
        if known or any(follower.built_on not in digests for follower in now.values()):
            # Somebody is behind since before the span.
            full = len(pushed) >= _MOVES
            told = [r for n, r in enumerate(pushed) if n < _MOVES or r.first_at >= self._since]
        if not told:
            return []
        # Of pushes that were told of at the same time, the one told of last is the newer one.
        told.reverse()
        told.sort(key=lambda record: record.first_at)
        moves = [_move(record) for record in told]
        if full:
            # What came before is not looked at, so nobody can say that this was the first.
            moves[0] = replace(moves[0], came=None)
        if moves[-1].digest != newest.push.digest:
            # The tag went back to what it named before; when it did so, nobody recorded.
            moves.append(Move(newest.push.digest, newest.last_at))
        pushes = {record.push.digest: record.push for record in (newest, *told)}
        for spell in (spell for some in known.values() for spell in some):
            pushes.setdefault(spell.first, replace(newest.push, digest=spell.first))
        decided = self._decided(pushes.values())
        tasks = {*now, *(task for task, made in decided.items() if _for_it(made, str(reference)))}
        return [
            Follows(
                task,
                str(reference),
                behind,
                decided.get(task, {}),
                (),
                now[task].built_on if task in now else None,
                task in now,
            )
            for task in sorted(tasks)
            if task.registry in self._context.settings.task_registries
            # One that stands on what is newest is not behind, though others are.
            and (behind := self._moves(moves, now.get(task), known.get(task, ())))
        ]

    def _pushes(self, reference: ImageReference) -> list[PushRecord]:
        """Return the pushes of a tag, the newest first: all of the span, and some more."""
        registry, limit = _registry(self._context, reference.domain), _MOVES
        while True:
            found = self._context.ledger.pushes(
                registry, reference.path, reference.tag or "", limit
            )
            if len(found) < limit or found[-1].last_at < self._since:
                return found
            limit *= _MORE

    def _moves(
        self, moves: Sequence[Move], follower: Follower | None, known: Sequence[Spell]
    ) -> tuple[Move, ...]:
        """Return the moves that a task may be behind.

        None is from before the span that it stands on, but for those of what was found before.
        """
        built_on = None if follower is None else follower.built_on
        if not known:
            stands = max((n for n, m in enumerate(moves) if m.digest == built_on), default=-1)
            return tuple(m for n, m in enumerate(moves) if n > stands or m.told >= self._since)
        found = {(move.digest, move.told): move for move in moves}
        for spell in known:
            first = Move(spell.first, spell.told, spell.since)
            move = found.setdefault((first.digest, first.told), first)
            if move.came is None:
                found[first.digest, first.told] = first
        begun = min(self._since, *(spell.told for spell in known))
        ordered = sorted(found.values(), key=lambda move: move.told)
        return tuple(move for move in ordered if move.told >= begun)

    def _decided(self, pushes: Iterable[Push]) -> dict[TaskId, dict[str, TaskDecision]]:
        """Return by task what was decided last after each push, by its digest."""
        found: dict[TaskId, dict[str, TaskDecision]] = {}
        for push in pushes:
            records = sorted(
                self._context.ledger.decisions(push), key=lambda record: record.last_at
            )
            for record in records:
                if isinstance(record.decision, TaskDecision):
                    found.setdefault(record.decision.task, {})[push.digest] = record.decision
        return found


def _for_it(made: Mapping[str, TaskDecision], base: str) -> bool:
    """Whether a task was to be rebuilt for a tag."""
    return any(d.rebuild and getattr(d, "dependency", "") == base for d in made.values())


def _move(record: PushRecord) -> Move:
    came, told = record.push.pushed_at, record.first_at
    # A time that lies after what was told of it is none.
    return Move(record.push.digest, told, None if came is None or ahead(came, told) else came)


def _registry(context: Context, host: str) -> PushedRegistry:
    """Return the base registry of a host; ARM is asked only where the names leave a doubt."""
    fitting = [r for r in sorted(context.settings.base_registries) if r.may_be(host)]
    found: RegistryId | None = fitting[0] if len(fitting) == 1 else None
    if len(fitting) > 1:
        found = context.base_registry(host)
    return found or ForeignRegistry(host)
