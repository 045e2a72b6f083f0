"""The policies of an operator, and what of them applies to a task.

The last rule that matches wins, value by value; windows add up. Rules that ask for a task's tags,
and a policy that a task selects by its tag, come after all of that and can only tighten: whoever
owns a task can make it wait for longer, and not for less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.lines.rooms import PRIORITY, Room
from rebuilder.core.messages.rules import MessageRule
from rebuilder.core.policies.approval import Approval, stricter
from rebuilder.core.policies.matching import Match, Matching, Subject
from rebuilder.core.policies.windows import AnyOf, Freeze, Window
from rebuilder.core.waves import canary
from rebuilder.core.waves.canary import Canary

SELECT = "rebuilder-policy"
"""The tag of a task that selects a policy."""

DEFAULT = "default"
"""The policy that every task begins with."""

_WAITS = 3
"""How many cooldowns may pass at most where no `maxWait` tells."""


class Values(Struct, frozen=True):
    """What a policy says; None where it says nothing.

    Attributes:
        ignore: Whether nothing is rebuilt.
        cooldown: How long an image has to be there before anything is built on it.
        max_wait: How long the first image that is not built on waits at most.
        windows: When it may be built; empty for the word `always`.
        approval: Who has to agree.
        rooms: What so many have a place in at once, of which it needs one in each.
        priority: How soon it gets one, from 0.
        attempts: How often a build that fails is tried.
        max_age: After how long an image is built again though nothing moved.
        canary: Which tasks go first.
        breaker: How many tasks of a wave may fail that did not before.
    """

    ignore: bool | None = None
    cooldown: timedelta | None = None
    max_wait: timedelta | None = None
    windows: AnyOf | None = None
    approval: Approval | None = None
    rooms: tuple[Room, ...] | None = None
    priority: int | None = None
    attempts: int | None = None
    max_age: timedelta | None = None
    canary: Canary | None = None
    breaker: int | None = None


class Policy(Struct, frozen=True):
    """A policy.

    Attributes:
        values: What it says.
        selectable: Whether tasks may select it by their tag.
    """

    values: Values
    selectable: bool = False


class Rule(Struct, frozen=True):
    """A rule.

    Attributes:
        name: What it is called where a value is told of: its number and its line.
        match: What it is for.
        values: What it says.
    """

    name: str
    match: Match
    values: Values


class Policies:
    """A policy file.

    Rules that ask for tags are kept apart: they can only tighten.

    Args:
        policies: The policies by name.
        rules: The rules, in the order of the file.
        freezes: The freezes, each with what it is for.
        registries: How many may be under way at once in registries, by their names.
        pools: How many may be in agent pools, by `REGISTRY/POOL`.
        messages: The rules of messages, each with what it is for.
        objective: How soon an image is to stand on a new base; None if it does not say.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy] | None = None,
        rules: Iterable[Rule] = (),
        freezes: Iterable[tuple[Freeze, Match]] = (),
        registries: Mapping[str, int] | None = None,
        pools: Mapping[str, int] | None = None,
        messages: Iterable[tuple[MessageRule, Match]] = (),
        objective: timedelta | None = None,
    ) -> None:
        self.policies = dict(policies or {})
        every, frozen = tuple(rules), tuple(freezes)
        self.rules = tuple(rule for rule in every if not rule.match.tags)
        self.tightening = tuple(rule for rule in every if rule.match.tags)
        self.freezes = tuple(freeze for freeze, _ in frozen)
        self._registries = _rooms("registry", registries)
        self._pools = _rooms("agent pool", pools)
        rooms = [room for policy in self.policies.values() for room in policy.values.rooms or ()]
        said = (policy.values.max_age for policy in self.policies.values())
        self.ages = any(age is not None for age in said)
        values = [policy.values for policy in self.policies.values()]
        self.watches = any(v.canary is not None or v.breaker is not None for v in values)
        shared = (*self._registries.values(), *self._pools.values())
        self.limits = {room.name: room.most for room in (*rooms, *shared)}
        self._rules = Matching(rule.match for rule in self.rules)
        self._tightening = Matching(rule.match for rule in self.tightening)
        self._freezes = Matching(match for _, match in frozen)
        told = tuple(messages)
        self.messages = tuple(rule for rule, _ in told)
        self._messages = Matching(match for _, match in told)
        self.objective = objective

    @property
    def selectable(self) -> tuple[str, ...]:
        """The names of the policies that tasks may select."""
        return tuple(sorted(name for name, policy in self.policies.items() if policy.selectable))

    @property
    def in_pools(self) -> bool:
        """Whether places in agent pools are limited."""
        return bool(self._pools)

    def rooms(self, task: TaskId, pool: str, found: Applied) -> tuple[str, ...]:
        """Return the rooms that a task needs a place in.

        Args:
            task: The task.
            pool: Its agent pool; "" if it has none.
            found: What applies to it.
        """
        own = self._registries.get(task.registry.name)
        agents = self._pools.get(f"{task.registry.name}/{pool.lower()}")
        names = [room.name for room in (*found.rooms, own, agents) if room is not None]
        return tuple(sorted(names))

    def fitting(self, subject: Subject) -> Iterator[Rule]:
        """Yield the rules that fit, in the order of the file, but for those that ask for tags."""
        return (self.rules[number] for number in self._rules.of(subject))

    def fitting_tags(self, subject: Subject) -> Iterator[Rule]:
        """Yield the rules that ask for tags and fit."""
        return (self.tightening[number] for number in self._tightening.of(subject))

    def frozen(self, subject: Subject, now: datetime) -> list[Freeze]:
        """Return the freezes that are in force."""
        fitting = [self.freezes[number] for number in self._freezes.of(subject)]
        return [freeze for freeze in fitting if freeze.begins <= now < freeze.ends]

    def telling(self, subject: Subject) -> list[MessageRule]:
        """Return the rules of messages that are for it."""
        return [self.messages[number] for number in self._messages.of(subject)]


def _rooms(kind: str, limits: Mapping[str, int] | None) -> dict[str, Room]:
    return {
        name.lower(): Room(f"{kind} {name.lower()}", most) for name, most in (limits or {}).items()
    }


class Plain(NamedTuple):
    """A value that stands by itself: the last rule wins, and a task's tags only tighten it.

    Attributes:
        name: What the file calls it.
        tighter: Of what applies and what is said, what is tighter.
        both: What applies where two images moved; what is tighter if it is None.
    """

    name: str
    tighter: Callable[[Any, Any], Any]
    both: Callable[[Any, Any], Any] | None = None


def _least[Of: (int, timedelta)](now: Of | None, said: Of | None) -> Of | None:
    return min((value for value in (now, said) if value is not None), default=None)


def _longest(now: timedelta | None, said: timedelta | None) -> timedelta | None:
    """Return the longer; whoever owns a task has nothing built that is not built without them."""
    return None if now is None else max(now, said or now)


PLAIN: Mapping[str, Plain] = {
    "ignore": Plain("ignore", lambda now, said: now or said),
    "approval": Plain("approval", stricter),
    "rooms": Plain("maxConcurrent", lambda now, said: tuple(dict.fromkeys((*now, *said)))),
    "priority": Plain("priority", min, max),
    "attempts": Plain("attempts", _least),
    "max_age": Plain("maxAge", _longest, _least),
    "canary": Plain("canary", canary.stricter),
    "breaker": Plain("breaker", _least),
}
"""The values that stand by themselves, by their names in Values and in Applied."""


_SCALARS = {"cooldown": "cooldown", "max_wait": "maxWait"} | {
    name: plain.name for name, plain in PLAIN.items()
}
"""The values of which the last one counts, each with what the file calls it."""


class Applied(Struct, frozen=True):
    """What applies to a task.

    Attributes:
        ignore: Whether nothing is rebuilt.
        cooldown: How long an image has to be there.
        max_wait: How long the first that is not built on waits at most; None for a few cooldowns.
        windows: Groups of windows of which one each has to be open.
        unknown: What the task's tag names that is no policy; "" if it names one, or nothing.
        sources: Which rule said what, by the name of the value, as the file calls it.
        approval: Who has to agree; None for nobody.
        rooms: What so many have a place in at once, of which it needs one in each.
        priority: How soon it gets one.
        attempts: How often a build that fails is tried; None for as often as the settings say.
        max_age: After how long an image is built again though nothing moved; None for never.
        canary: Which tasks go first; None for none.
        breaker: How many tasks of a wave may fail that did not before; None for any number.
    """

    ignore: bool = False
    cooldown: timedelta = timedelta()
    max_wait: timedelta | None = None
    windows: tuple[AnyOf, ...] = ()
    unknown: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    approval: Approval | None = None
    rooms: tuple[Room, ...] = ()
    priority: int = PRIORITY
    attempts: int | None = None
    max_age: timedelta | None = None
    canary: Canary | None = None
    breaker: int | None = None

    @property
    def longest(self) -> timedelta:
        """How long the first image that is not built on waits at most."""
        limit = _WAITS * self.cooldown if self.max_wait is None else self.max_wait
        return max(limit, self.cooldown)

    def set_by(self, values: Values, source: str) -> Applied:
        """What applies once a rule has said what it says."""
        said = {n: value for n in _SCALARS if (value := getattr(values, n)) is not None}
        found = self
        if said:
            told = {_SCALARS[name]: source for name in said}
            kept = (was for was in self.sources if was[0] not in told)
            found = replace(self, sources=(*kept, *told.items()), **said)
        if values.windows is not None:
            more = bool(values.windows and found.windows)
            group = (*(found.windows[0] if more else ()), *values.windows)
            found = replace(_told(found, "windows", source, add=more), windows=(group,))
            # The word `always` takes back what rules before have said.
            found = found if group else replace(found, windows=())
        return found

    def tightened(self, values: Values, source: str) -> Applied:
        """What applies once somebody who may only tighten has said what they say."""
        found = self
        for name, plain in PLAIN.items():
            now, said = getattr(self, name), getattr(values, name)
            tighter = now if said is None else plain.tighter(now, said)
            if tighter != now:
                found = replace(_told(found, plain.name, source), **{name: tighter})
        if values.cooldown is not None and values.cooldown > self.cooldown:
            # What it could wait for at most before is kept, and what it says itself.
            least = max(self.longest, values.cooldown)
            found = replace(_told(found, "cooldown", source), cooldown=values.cooldown)
            found = replace(found, max_wait=max(found.max_wait or least, least))
        if values.max_wait is not None and values.max_wait > found.longest:
            found = replace(_told(found, "maxWait", source), max_wait=values.max_wait)
        if values.windows:
            found = _told(found, "windows", source, add=bool(found.windows))
            found = replace(found, windows=(*found.windows, values.windows))
        return found

    def and_also(self, other: Applied) -> Applied:
        """What applies where both apply: whichever is tighter."""
        found = self.tightened(Values(cooldown=other.cooldown, max_wait=other.longest), "")
        for name, plain in PLAIN.items():
            both = plain.both or plain.tighter
            found = replace(found, **{name: both(getattr(self, name), getattr(other, name))})
        return replace(
            found,
            windows=tuple(dict.fromkeys((*self.windows, *other.windows))),
            unknown=self.unknown or other.unknown,
            sources=tuple(dict.fromkeys((*self.sources, *other.sources))),
        )


def _told(applied: Applied, name: str, source: str, *, add: bool = False) -> Applied:
    """Note which rule said something, instead of who did before, or besides."""
    if not source:
        return applied
    kept = tuple(said for said in applied.sources if add or said[0] != name)
    return replace(applied, sources=(*kept, (name, source)))


def applied(policies: Policies, subject: Subject) -> Applied:
    """What applies to a task when an image moves; see Policies."""
    found = Applied()
    if default := policies.policies.get(DEFAULT):
        found = found.set_by(default.values, f"policy {DEFAULT}")
    for rule in policies.fitting(subject):
        found = found.set_by(rule.values, rule.name)
    for rule in policies.fitting_tags(subject):
        found = found.tightened(rule.values, rule.name)
    name = subject.tags.get(SELECT, "").strip()
    if name:
        chosen = policies.policies.get(name)
        if chosen is None or not chosen.selectable:
            return replace(found, unknown=name)
        found = found.tightened(chosen.values, f"the task's tag {SELECT}={name}")
    return found


def shown(windows: Iterable[Window]) -> str:
    """Windows for a person."""
    return " or ".join(map(str, windows))
