"""What is told of a push that its registry knows otherwise."""

from __future__ import annotations

from copy import replace
from datetime import UTC, datetime

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, TagGone
from rebuilder.core.events.pushes import Push
from rebuilder.errors import Denied
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.bases import registry_remark
from rebuilder.usecases.reports.explain import Explanation, explain
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, dependency, task

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FORGED = Push(BASE, "images/node", "9", NEWER, None, "event-1")


def explained(world: World) -> Explanation:
    """Tell of the forged push, with two tasks that no plan decided for."""
    world.tasks.add(task("old"), task("new", dependency(built_on=NEW)))
    scan_registry(world.context, APPS)
    world.ledger.record_events([FORGED], world.time.now)
    return explain(world.context, ImageReference.parse(NODE))


@pytest.mark.parametrize(
    ("names", "came", "told"),
    [
        (NEWER, {NEWER: NOON}, ""),
        (NEW, {NEWER: NOON}, f"the tag names {NEW} now"),
        (
            NEW,
            {},
            (
                "the registry has no manifest of this digest: it was deleted since, or never was"
                " there and the event was wrong"
            ),
        ),
        (
            None,
            {NEWER: NOON},
            "the tag is gone from the registry: tasks that follow it follow nothing",
        ),
    ],
)
def test_what_the_registry_knows_otherwise(
    world: World, names: str | None, came: dict[str, datetime], told: str
) -> None:
    """A push that was forged, moved on from, or untagged is told to be."""
    world.images.digests[NODE] = names
    world.images.came = came

    assert explained(world).remark == told


def test_a_registry_that_does_not_answer_is_told(world: World) -> None:
    """Of a push of a foreign registry, nothing more can be asked."""
    world.images.failure = Denied("no role")

    remark = explained(world).remark
    assert remark == "whether the registry knows of it could not be asked: no role"
    assert registry_remark(world.context, replace(FORGED, registry=ForeignRegistry("x.io"))) == ""


def test_what_a_forged_push_told_is_not_believed(world: World) -> None:
    """Tasks that nobody decided for are judged by what the tag names."""
    by_task = {
        e.record.decision.task.name: e.record.decision  # type: ignore[attr-defined] # of tasks all
        for e in explained(world).decisions
    }

    assert isinstance(by_task["new"], AlreadyBuiltOn)
    assert isinstance(by_task["old"], BaseMoved)
    assert (by_task["old"].old, by_task["old"].new) == (OLD, NEW)
    assert by_task["old"].known_from == "registry"


def test_nothing_is_said_to_move_to_a_tag_that_is_gone(world: World) -> None:
    """Where the registry cannot be asked, the event is all there is."""
    world.images.digests[NODE] = None
    found = {e.record.decision for e in explained(world).decisions}
    assert found == {TagGone(task(name).id, NODE) for name in ("old", "new")}

    world.images.failure = Denied("no role")
    moved = [e.record.decision for e in explained(world).decisions]
    assert {d.known_from for d in moved if isinstance(d, BaseMoved)} == {"event"}
