"""1,000 mutated events and messages through the functions' entry points: a reason each."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from rebuilder import composition
from rebuilder.core.acr.registries import RegistryId
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
from tests.unit.fakes import NEW, World, task

_EVENTS = ("pushed.json", "connected-registry.json")
_FUNCTIONS = {
    PUSHES: "plan_rebuilds",
    BUILDS: "start_build",
    RUNS: "track_build",
    REFRESH: "refresh_tasks",
}
_JUNK: tuple[object, ...] = (
    None,
    0,
    -1,
    1e308,
    True,
    "",
    "x" * 300,
    "\ud800",
    "\x00",
    [],
    {},
    [[]],
)


def _mutated(rng: random.Random, value: object) -> object:
    """Change one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(sorted(value))
        chance = rng.random()
        if chance < 0.2:
            return {key: kept for key, kept in value.items() if key != name}
        changed = rng.choice(_JUNK) if chance < 0.4 else _mutated(rng, value[name])
        return {**value, name: changed}
    if isinstance(value, str) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return (
            value[:at] + rng.choice(["", "|", "/", "\n", "é", "sha256:", "%00"]) + value[at + 1 :]
        )
    return rng.choice(_JUNK)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with one task."""
    made = World(tmp_path)
    made.tasks.add(task())
    return made


def _call(name: str, world: World, argument: object, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"functions.{name}")
    monkeypatch.setattr(composition, "compose", lambda: world.context)
    outcome = getattr(module, name)._function.get_user_function()(argument)
    if asyncio.iscoroutine(outcome):
        asyncio.run(outcome)


def test_mutated_events_are_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 500 mutated events becomes a push, or is ignored with a reason."""
    rng = random.Random(6)  # noqa: S311 - a seed is the point
    folder = Path(__file__).parents[1] / "events"
    samples = [json.loads((folder / name).read_text()) for name in _EVENTS]
    for number in range(500):
        raw: Any = _mutated(rng, rng.choice(samples))
        values = raw if isinstance(raw, dict) else {}
        event = SimpleNamespace(
            id=values.get("id"),
            topic=values.get("topic"),
            subject=values.get("subject"),
            event_type=values.get("eventType"),
            get_json=lambda values=values: values.get("data"),
        )
        seen = _count(world)
        _call(rng.choice(["image_pushed", "task_changed"]), world, event, monkeypatch)
        assert _count(world) == seen + 1, f"event {number} left no trace: {raw}"


def _count(world: World) -> int:
    """How many deliveries the ledger has recorded, or the queues have taken."""
    with world.ledger._database.transaction() as db:
        (ignored,) = db.execute("SELECT coalesce(sum(deliveries), 0) FROM ignored").fetchone()
    return int(ignored) + len(world.queue.sent)


def test_mutated_messages_have_a_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 500 mutated messages is worked off, or a dead letter with its reason."""
    rng = random.Random(7)  # noqa: S311 - a seed is the point
    registry = RegistryId("s1", "g", "mybase")
    push = Push(registry, "images/node", "9", NEW, world.time(), "e1")
    bodies = {
        PUSHES: PlanRebuilds(push).encode(),
        BUILDS: StartBuild(push, task().id, world.time()).encode(),
        RUNS: TrackBuild(task().id, 1, 1).encode(),
        REFRESH: Refresh.of(task().id, world.time(), 0).encode(),
    }
    given_up = 0
    for _ in range(500):
        queue = rng.choice(sorted(bodies))
        body = json.dumps(_mutated(rng, json.loads(bodies[queue])))
        if rng.random() < 0.1:
            body = body[: rng.randrange(len(body))]
        before = {letter.id for letter in world.context.dead_letters.all()}
        _call(_FUNCTIONS[queue], world, func.QueueMessage(id="m", body=body), monkeypatch)
        new = [found for found in world.context.dead_letters.all() if found.id not in before]
        assert all(letter.reason for letter in new)
        given_up += len(new)
    assert given_up > 100
