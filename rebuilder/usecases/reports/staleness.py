"""How long tasks stand on old bases, for a promise: read by day and by key, without asking ARM."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import (
    ForeignRegistry,
    PushedRegistry,
    RegistryId,
    TaskId,
)
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.matching import Moved, Subject
from rebuilder.core.policies.policy import Applied, Policies, applied
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.staleness.figures import GROUPS, OBJECTIVE, Figures, Judged, by, figures, judged
from rebuilder.core.staleness.spells import Follows, Move, Spell, spells
from rebuilder.core.times import ahead
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt, attempts
from rebuilder.usecases.catch_up.missed import Follower, followers
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since

log = logging.getLogger(__name__)

_MOVES = 20
"""How many pushes of a tag are looked at that somebody does not stand on since before the span."""

_POLICY = "policy "
_NOT_KNOWN = "nobody knows what it stands on: no run of it is known"


class Staleness(Struct, frozen=True):
    """What stands on old bases, and what stood on them in a time span.

    Attributes:
        now: When it was worked out.
        since: The beginning of the span.
        objective: How soon an image is to stand on a new base.
        spells: Every spell that began in the span or goes on, oldest first.
        unknown: Tasks of which nobody knows what they stand on, each with the tag and why.
    """

    now: datetime
    since: datetime
    objective: timedelta
    spells: tuple[Spell, ...]
    unknown: tuple[tuple[TaskId, str, str], ...] = ()

    @property
    def behind(self) -> tuple[Spell, ...]:
        """What goes on, the longest first; what is left alone among it."""
        far = timedelta.max
        going = (spell for spell in self.spells if not spell.over)
        return tuple(sorted(going, key=lambda s: s.length(self.now) or far, reverse=True))

    @property
    def late(self) -> tuple[Spell, ...]:
        """What goes on beyond the objective, not held by policy."""
        return tuple(s for s in self.behind if judged(s, self.objective, self.now) is Judged.LATE)

    @property
    def figures(self) -> Figures:
        """What became of all of it."""
        return figures(self.spells, self.objective, self.now)


def staleness(context: Context, *, days: int = 7, objective: timedelta | None = None) -> Staleness:
    """Work out how long tasks stood and stand on old bases.

    Args:
        context: The ports. Neither ARM nor a registry is asked, but for a login server once.
        days: How many days back spells may have begun; those that go on are told however old.
        objective: How soon an image is to stand on a new base; by default what the policy file
            says, or else OBJECTIVE.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    since = now - timedelta(days=days)
    policies = _policies(context)
    books = _History(context, since, now)
    found: list[Spell] = []
    unknown: list[tuple[TaskId, str, str]] = []
    for follows in books.follows(partial(_policy_of, policies)):
        told = attempt(lambda one: tuple(spells(one, now)), follows)
        if isinstance(told, RebuilderError):
            unknown.append((follows.task, follows.base, str(told)))
        else:
            found += [s for s in told if not s.over or (s.since or s.told) >= since]
    found.sort(key=lambda spell: (spell.since or spell.told, spell.name, spell.base))
    goal = objective or _objective(policies)
    return Staleness(now, since, goal, tuple(found), (*unknown, *books.unknown))


def to_record(found: Staleness) -> dict[str, Any]:
    """Return it as JSON values."""
    grouped = {
        name: {
            group: _figures(counted)
            for group, counted in by(key, found.spells, found.objective, found.now).items()
        }
        for name, key in GROUPS.items()
    }
    return {
        "now": _time(found.now),
        "since": _time(found.since),
        "objectiveHours": _hours(found.objective),
        "all": _figures(found.figures),
        "by": grouped,
        "behind": [spell_record(found, spell) for spell in found.behind],
        "spells": [spell_record(found, spell) for spell in found.spells],
        "unknown": [
            {"task": str(task), "base": base, "reason": reason}
            for task, base, reason in found.unknown
        ],
    }


def _figures(counted: Figures) -> dict[str, Any]:
    return {
        "spells": counted.spells,
        "p50Hours": _hours(counted.p50),
        "p95Hours": _hours(counted.p95),
        "share": counted.share,
        "counts": {judged.value: number for judged, number in counted.counts.items()},
        "unchecked": counted.unchecked,
    }


def spell_record(found: Staleness, spell: Spell) -> dict[str, Any]:
    """Return a spell as JSON values."""
    return {
        "task": str(spell.task),
        "base": spell.base,
        "digest": spell.digest,
        "policy": spell.policy or None,
        "since": _time(spell.since),
        "until": _time(spell.until),
        "hours": _hours(spell.length(found.now)),
        "heldHours": _hours(spell.held),
        "countsAs": judged(spell, found.objective, found.now).value,
        "why": spell.why.value,
        "sentence": spell.sentence,
        "rebuild": None if spell.rebuild is None else spell.rebuild.id,
        "runId": None if spell.rebuild is None else spell.rebuild.run_id,
        "checked": spell.checked,
    }


def _hours(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds() / 3600, 4)


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _objective(policies: Policies | None) -> timedelta:
    return OBJECTIVE if policies is None or policies.objective is None else policies.objective


class _History:
    """What is read of the store, each part once."""

    def __init__(self, context: Context, since: datetime, now: datetime) -> None:
        self._context = context
        self._since, self._now = since, now
        self._following = followers(context)
        self.unknown: list[tuple[TaskId, str, str]] = []
        self._told: dict[tuple[str, str, str], dict[str, Move]] = {}
        self._pushes: dict[tuple[str, str, str], list[Push]] = {}
        for delivery in context.ledger.pushes_between(since, now):
            push = delivery.push
            place = (str(push.registry), push.repository, push.tag)
            self._told.setdefault(place, {})[push.key] = _move(push, delivery.at)
            self._pushes.setdefault(place, []).append(push)

    def follows(self, policy_of: Callable[[TaskId, ImageReference], str]) -> Iterable[Follows]:
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
                self.unknown.append((one.task, one.base, _NOT_KNOWN))
                continue
            reference = ImageReference.parse(one.base)
            yield Follows(
                one.task,
                one.base,
                one.moves,
                one.decisions,
                known,
                one.built_on,
                one.now,
                policy_of(one.task, reference),
            )

    def _rebuilds(self, task: TaskId, since: datetime) -> tuple[Rebuild, ...]:
        return tuple(rebuilds_since(self._context.ledger, task, since))[::-1]

    def _of_tag(self, reference: ImageReference) -> list[Follows]:
        """Return who follows a tag, or was rebuilt for it in the span."""
        context, now = self._context, {f.task: f for f in self._following[reference]}
        registry = _registry(context, reference.domain)
        tag = reference.tag or ""
        place = (str(registry), reference.path, tag)
        moves = dict(self._told.get(place, {}))
        pushes = {push.key: push for push in self._pushes.get(place, ())}
        newest = next(iter(context.ledger.pushes(registry, reference.path, tag, 1)), None)
        if newest is None:
            return []  # nobody has told of it yet
        digests = {newest.push.digest, *(move.digest for move in moves.values())}
        full = False
        if any(follower.built_on not in digests for follower in now.values()):
            # Somebody is behind since before the span.
            before = context.ledger.pushes(registry, reference.path, tag, _MOVES)
            full = len(before) == _MOVES
            for record in before:
                moves.setdefault(record.push.key, _move(record.push, record.first_at))
                pushes.setdefault(record.push.key, record.push)
        if not moves:
            return []
        ordered = sorted(moves.values(), key=lambda move: move.told)
        if full:
            # What came before is not looked at, so nobody can say that this was the first.
            ordered[0] = replace(ordered[0], came=None)
        if ordered[-1].digest != newest.push.digest:
            # The tag went back to what it named before; when it did so, nobody recorded.
            ordered.append(Move(newest.push.digest, newest.last_at))
            pushes.setdefault(newest.push.key, newest.push)
        decided = self._decided(pushes.values())
        tasks = {*now, *(task for task, made in decided.items() if _for_it(made, str(reference)))}
        return [
            Follows(
                task,
                str(reference),
                _since_built(ordered, now.get(task), self._since),
                decided.get(task, {}),
                (),
                now[task].built_on if task in now else None,
                task in now,
            )
            for task in sorted(tasks)
            if task.registry in context.settings.task_registries
        ]

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


def _since_built(
    moves: Sequence[Move], follower: Follower | None, since: datetime
) -> tuple[Move, ...]:
    """Return the moves that a task may be behind: none from before the span that it stands on."""
    built_on = None if follower is None else follower.built_on
    stands = max((n for n, move in enumerate(moves) if move.digest == built_on), default=-1)
    return tuple(m for n, m in enumerate(moves) if n > stands or m.told >= since)


def _for_it(made: Mapping[str, TaskDecision], base: str) -> bool:
    """Whether a task was to be rebuilt for a tag."""
    return any(d.rebuild and getattr(d, "dependency", "") == base for d in made.values())


def _move(push: Push, told: datetime) -> Move:
    came = push.pushed_at
    # A time that lies after what was told of it is none.
    return Move(push.digest, told, None if came is None or ahead(came, told) else came)


def _registry(context: Context, host: str) -> PushedRegistry:
    """Return the base registry of a host; ARM is asked only where the names leave a doubt."""
    fitting = [r for r in sorted(context.settings.base_registries) if r.may_be(host)]
    found: RegistryId | None = fitting[0] if len(fitting) == 1 else None
    if len(fitting) > 1:
        found = context.base_registry(host)
    return found or ForeignRegistry(host)


def _policies(context: Context) -> Policies | None:
    try:
        return context.in_force.now(context.steering, context.now()).policies
    except RebuilderError as error:
        log.warning("which policies apply is not known: %s", error)
        return None


def _policy_of(policies: Policies | None, task: TaskId, reference: ImageReference) -> str:
    """Return the policies that the rules give a task; what its tags tighten is not known here."""
    if policies is None:
        return ""
    found: Applied = applied(policies, Subject.of(task, Moved(str(reference)), ()))
    names = (source.rpartition(_POLICY)[2] for _, source in found.sources if _POLICY in source)
    return ", ".join(sorted(dict.fromkeys(names)))
