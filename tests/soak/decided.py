"""Policy files of chance, and the soak's own account of what they mean.

Written from docs/policies.md and not from the product, whose reading of a file is what is judged.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from rebuilder.core.acr.registries import TaskId
from tests.soak.azure import APPS, OTHERS

FRESH = timedelta(seconds=35)
"""So long an instance believes what it read of operators, and its clock may be behind."""

AHEAD = timedelta(seconds=2)
"""So far ahead a clock that is right may be."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_WAITS = 3
ATTEMPTS = 3
"""How often a build that fails is tried where no policy says so."""


def name_of(task: TaskId) -> str:
    """Return the name of a task as policies write it."""
    return f"{task.registry.name}/{task.name}"


def span(text: str) -> timedelta:
    """Return how long a duration of a policy is."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


@dataclass(frozen=True)
class Means:
    """What a policy file means for one task.

    Attributes:
        rooms: How many may be under way at once, by what counts them.
        cooldown: How long an image has to be there.
        longest: How long the first that is not built on waits at most.
        windows: When it may begin; empty for always.
        votes: How many have to agree.
        expires: How long a vote counts.
        attempts: How often it is tried.
        canaries: Patterns of those that go first.
        soak: How long after their success.
        failures: How many may fail anew; None for any number.
        ignore: Whether it is left alone.
    """

    rooms: Mapping[str, int]
    cooldown: timedelta
    longest: timedelta
    windows: tuple[Mapping[str, str], ...]
    votes: int
    expires: timedelta
    attempts: int
    canaries: tuple[str, ...]
    soak: timedelta
    failures: int | None
    ignore: bool

    def waits_for(self, task: TaskId) -> bool:
        """Whether a task is one of those that go first."""
        return any(fnmatchcase(name_of(task), pattern) for pattern in self.canaries)

    def open(self, at: datetime) -> bool:
        """Whether it may begin at a time, as far as windows go."""
        return not self.windows or any(_in(window, at) for window in self.windows)


def _in(window: Mapping[str, str], at: datetime) -> bool:
    clock = f"{at.astimezone(ZoneInfo(window['timezone'])):%H:%M}"
    begins, ends = window["from"], window["to"]
    return begins <= clock < ends if begins < ends else clock >= begins or clock < ends


@dataclass
class Decided:
    """A policy file.

    Attributes:
        values: What stands in it.
        at: When it was applied.
    """

    values: dict[str, Any]
    at: datetime
    _known: dict[TaskId, Means] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The file: JSON is YAML."""
        return json.dumps({"version": 1, **self.values}, indent=1) + "\n"

    def means(self, task: TaskId) -> Means:
        """Return what it means for a task."""
        if task not in self._known:
            self._known[task] = self._means(task)
        return self._known[task]

    def _means(self, task: TaskId) -> Means:
        policies = self.values.get("policies", {})
        found: dict[str, Any] = {}
        windows: list[Mapping[str, str]] = []
        rooms: dict[str, int] = {}
        for name in ("default", *self._named(task)):
            said = policies.get(name, {})
            found |= said
            listed = said.get("windows", [])
            windows = [] if listed == "always" else [*windows, *listed]
            if "maxConcurrent" in said:
                rooms = {f"policy {name}": said["maxConcurrent"]}
        registry = task.registry.name
        limits = self.values.get("limits", {}).get("registries", {})
        rooms |= {f"registry {registry}": limits[registry]} if registry in limits else {}
        cooldown = span(found.get("cooldown", "0s"))
        longest = span(found["maxWait"]) if "maxWait" in found else _WAITS * cooldown
        approval, canary = found.get("approval", {}), found.get("canary", {})
        tasks = canary.get("tasks", [])
        return Means(
            rooms,
            cooldown,
            max(longest, cooldown),
            tuple(windows),
            approval.get("votes", 0),
            span(approval.get("expires", "7d")),
            found.get("attempts", ATTEMPTS),
            (tasks,) if isinstance(tasks, str) else tuple(tasks),
            span(canary.get("soak", "0s")),
            found.get("breaker", {}).get("failures"),
            self._ignores(task),
        )

    def _ignores(self, task: TaskId) -> bool:
        """Whether a rule has it left alone; none of these files takes that back."""
        return any(
            rule.get("ignore", False) and _fits(rule["match"], task)
            for rule in self.values.get("rules", [])
        )

    def _named(self, task: TaskId) -> Iterator[str]:
        for rule in self.values.get("rules", []):
            if "policy" in rule and _fits(rule["match"], task):
                yield rule["policy"]

    def frozen(self, task: TaskId, since: datetime, until: datetime) -> str:
        """Return the freeze that was in force all of the time; "" if none was."""
        for freeze in self.values.get("freezes", []):
            begins, ends = (
                datetime.fromisoformat(freeze[name]).replace(tzinfo=ZoneInfo(freeze["timezone"]))
                for name in ("from", "to")
            )
            if begins <= since and until < ends and _fits(freeze.get("match", {}), task):
                return str(freeze["name"])
        return ""


def _fits(match: Mapping[str, str], task: TaskId) -> bool:
    return fnmatchcase(name_of(task), match.get("task", "*")) and fnmatchcase(
        task.registry.name, match.get("registry", "*")
    )


def of_chance(rng: random.Random, now: datetime, tasks: Sequence[TaskId]) -> Decided:
    """Return a policy file of chance.

    Args:
        rng: The chance.
        now: The time.
        tasks: The tasks that it may name.
    """

    def some() -> dict[str, str]:
        ways = [
            {"registry": APPS.name},
            {"registry": OTHERS.name},
            {"task": f"{rng.choice('mt')}*/*"},
            {"task": f"*/{rng.choice('mtn')}*"},
            {"task": name_of(rng.choice(tasks))},
        ]
        return rng.choice(ways)

    policies: dict[str, Any] = {
        "default": {
            "maxConcurrent": rng.randint(2, 5),
            "cooldown": rng.choice(["0s", "0s", "5m", "20m"]),
            "maxWait": "90m",
        }
    }
    rules: list[dict[str, Any]] = []

    def says(name: str, values: dict[str, Any], *matches: dict[str, str]) -> None:
        policies[name] = values
        rules.extend({"match": match, "policy": name} for match in matches)

    if rng.random() < 0.4:
        begins, zone = rng.randrange(1, 5), rng.choice(["UTC", "Europe/Berlin", "America/New_York"])
        local = now.replace(hour=begins, minute=0).astimezone(ZoneInfo(zone))
        hours = f"{local:%H:%M}", f"{local + timedelta(hours=3):%H:%M}"
        window = {"from": hours[0], "to": hours[1], "timezone": zone}
        says("nights", {"windows": [window]}, some())
    if rng.random() < 0.6:
        expires = rng.choice(["20m", "2h", "7d"])
        approval = {"votes": rng.choice([1, 1, 2]), "expires": expires}
        says("agreed", {"approval": approval}, some())
    if rng.random() < 0.8:
        first = [name_of(task) for task in rng.sample(tasks, rng.randint(2, 5))]
        watched: dict[str, Any] = {"canary": {"tasks": first, "soak": rng.choice(["0s", "5m"])}}
        if rng.random() < 0.5:
            watched["breaker"] = {"failures": rng.randint(0, 2)}
        says("watched", watched, some(), some())
        said = {"attempts": rng.randint(1, 2), "cooldown": "0s"}
        says("first", said, *({"task": name} for name in first))
    if rng.random() < 0.3:
        says("few", {"maxConcurrent": 1, "priority": rng.choice([10, 90])}, some())
    if rng.random() < 0.3:
        rules += [{"match": {"task": name_of(rng.choice(tasks))}, "ignore": True}]
    rng.shuffle(rules)
    found: dict[str, Any] = {"policies": policies, "rules": rules}
    if rng.random() < 0.5:
        found["limits"] = {"registries": {APPS.name: rng.randint(1, 3)}}
    if rng.random() < 0.3:
        begins_at = now + timedelta(minutes=rng.randrange(40))
        times = (f"{at:%Y-%m-%dT%H:%M}" for at in (begins_at, begins_at + timedelta(minutes=50)))
        freeze = dict(zip(("from", "to"), times, strict=True))
        found["freezes"] = [{"name": "sale", **freeze, "timezone": "UTC", "match": some()}]
    return Decided(found, now)
