"""Messages and events that nobody sent who may: garbage, forged ones, and mutations of both."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from copy import replace
from datetime import UTC, datetime
from typing import Any

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
)
from tests.chaos.cloud import BASES
from tests.chaos.world import QUEUES, World

MESSAGES = 200
"""How many mutated messages there are."""

EVENTS = 200
"""How many events are forged."""

_GARBAGE = (
    "",
    "no JSON at all",
    "{",
    "[" * 5000,
    "null",
    '{"schema": 1}',
    '{"schema": 99, "task": "x"}',
    '{"schema": 1, "task": "\\ud800"}',
    json.dumps({"schema": 1, "registry": "\x1b]0;title\x07\u202e", "task": None, "looks": None}),
)
_JUNK: tuple[Any, ...] = (
    None,
    -1,
    0,
    2**63,
    1e308,
    True,
    "",
    "x" * 10_000,
    "\u202e\x1b[2J",
    "\ud800",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    [],
    [[[]]],
    {},
    {"a": {}},
)


def digest(number: int) -> str:
    """Return the digest of no image."""
    return f"sha256:{number:064x}"


DIGEST = digest(0xBAD)


def text(events: object) -> bytes:
    """Return a body as JSON."""
    return json.dumps(events, separators=(",", ":")).encode()


def least(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with no more than it takes."""
    short = {name: event[name] for name in ("id", "topic", "eventType", "eventTime")}
    target = event["data"]["target"]
    return {**short, "subject": "", "dataVersion": "", "data": {"target": target}}


def nameless(number: int) -> dict[str, Any]:
    """Return an event that tells of no registry, so short that 4,000 leave room in a megabyte."""
    return {"id": f"{number}", "eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": {}}


def messages(world: World) -> Iterator[tuple[str, str]]:
    """Yield queues and what to put into them."""
    for queue in QUEUES:
        for body in _GARBAGE:
            yield queue, body
    made = list(_forged(world))
    yield from made
    for _ in range(MESSAGES):
        queue, body = world.chance.choice(made)
        yield queue, json.dumps(mutated(json.loads(body), world.chance))


def _forged(world: World) -> Iterator[tuple[str, str]]:
    """Yield messages that are to the letter ours, of what is not so."""
    base, apps, stranger = (
        RegistryId.parse(given) for given in (world.base, world.apps[0], world.stranger)
    )
    now = datetime.now(UTC)
    push = Push(base, BASES[0], "9", DIGEST, now, "forged")
    elsewhere = replace(push, registry=stranger)
    for told in (push, elsewhere, replace(push, pushed_at=datetime(2099, 1, 1, tzinfo=UTC))):
        yield PUSHES, PlanRebuilds(told).encode()
    for registry, name in (
        (stranger, "node-0"),  # in a registry that no setting names
        (apps, "other-0"),  # on another image
        (apps, "node-off"),  # disabled
        (apps, "not-there"),
        (apps, "node-0"),  # on an image that was never pushed
    ):
        task = TaskId(registry, name)
        yield BUILDS, StartBuild(push, task).encode()
        yield BUILDS, StartBuild(elsewhere, task).encode()
        yield RUNS, TrackBuild(task, 99, 1).encode()
        yield REFRESH, Refresh.of(task, now).encode()


def events(world: World) -> Iterator[bytes]:
    """Yield bodies of requests that claim to be events of pushes."""
    for number in range(EVENTS):
        event = world.event(BASES[0], "9", digest(number))
        event = event if number % 4 == 0 else mutated(event, world.chance)
        yield text([event] if number % 5 else event)


def mutated(value: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return an object with one to three of its values gone, or replaced by junk."""
    made = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        place = made
        while True:
            name = chance.choice(sorted(place)) if place else ""
            if not name or not isinstance(place[name], dict) or chance.random() < 0.3:
                break
            place = place[name]
        if not name:
            continue
        if chance.random() < 0.3:
            del place[name]
        else:
            place[name] = chance.choice(_JUNK)
    return made
