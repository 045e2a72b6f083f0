from __future__ import annotations

from dataclasses import replace

import pytest

from rebuilder.core.decisions import Circle
from rebuilder.core.events import Push
from rebuilder.core.messages import BUILDS, StartBuild, TrackBuild
from rebuilder.core.rebuilds import Rebuild, State
from rebuilder.core.registries import TaskId
from rebuilder.core.tasks import RunStatus
from rebuilder.errors import OutcomeUnknown
from rebuilder.settings import Settings
from rebuilder.usecases.start_build import start_build
from rebuilder.usecases.track_build import track_build
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, dependency, task

ONE = TaskId(APPS, "one")
TWO = TaskId(APPS, "two")
A, B = "myapps.azurecr.io/a:1", "myapps.azurecr.io/b:1"


def push(image: str, digest: str) -> Push:
    """Return a push of an image."""
    repository, _, tag = image.partition("/")[2].partition(":")
    return Push(BASE if image == NODE else APPS, repository, tag, digest, None, "event")


@pytest.fixture(name="circle")
def _circle(world: World) -> World:
    """Task one reads node and b and pushes a; task two reads a and pushes b."""
    world.context = replace(
        world.context,
        settings=Settings(frozenset({BASE, APPS}), (APPS,), "sqlite:unused"),
    )
    world.tasks.add(task("one", dependency(), dependency(B)), task("two", dependency(A)))
    world.images.digests |= {A: OLD, B: OLD}
    return world


def newest(world: World, of: TaskId) -> Rebuild:
    """Return the newest rebuild of a task."""
    found = world.ledger.head(of)
    assert found is not None
    return found


def finish(world: World, of: TaskId, image: str, digest: str) -> None:
    """Let the newest run of a task succeed with an output, and look at it."""
    rebuild = newest(world, of)
    run_id = str(rebuild.run_id)
    world.tasks.found_runs[run_id] = replace(
        world.tasks.found_runs[run_id],
        status=RunStatus.SUCCEEDED,
        output_images=(f"{image}@{digest}",),
    )
    track_build(world.context, TrackBuild(of, rebuild.sequence, rebuild.version))


def test_a_circle_is_gone_through_once(circle: World) -> None:
    """What comes around to its beginning is a decision that names every task of the circle."""
    start_build(circle.context, StartBuild(push(NODE, NEW), ONE), "me")
    circle.images.digests[A] = NEW
    finish(circle, ONE, A, NEW)
    start_build(circle.context, StartBuild(push(A, NEW), TWO), "me")
    assert newest(circle, TWO).chain == (str(ONE),)
    circle.images.digests[B] = NEW
    finish(circle, TWO, B, NEW)
    circle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    decision = start_build(circle.context, StartBuild(push(B, NEW), ONE), "me")

    assert isinstance(decision, Circle)
    assert decision.chain == (str(ONE), str(TWO))
    assert "one -> two -> one is a circle" in decision.sentence()
    assert len(circle.tasks.scheduled) == 2


def test_an_event_that_is_quicker_than_the_record_waits(circle: World) -> None:
    """The run that pushed it goes on: whether it is a circle is known when it is over."""
    start_build(circle.context, StartBuild(push(NODE, NEW), ONE), "me")
    circle.images.digests[A] = NEW
    finish(circle, ONE, A, NEW)
    start_build(circle.context, StartBuild(push(A, NEW), TWO), "me")
    circle.images.digests[B] = NEW
    circle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    circle.queue.sent.clear()
    message = StartBuild(push(B, NEW), ONE)
    assert start_build(circle.context, message, "me") is None
    ((body, _),) = circle.queue.take(BUILDS)
    assert StartBuild.decode(body) == replace(message, wait=1)
    finish(circle, TWO, B, NEW)

    assert isinstance(start_build(circle.context, message, "me"), Circle)


def test_a_claim_whose_outcome_is_unknown_may_have_pushed(circle: World) -> None:
    """Its run may have been started and have pushed the image: nothing is built without a chain."""
    start_build(circle.context, StartBuild(push(NODE, NEW), ONE), "me")
    circle.images.digests[A] = NEW
    finish(circle, ONE, A, NEW)
    circle.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    circle.tasks.effect_first = True
    start_build(circle.context, StartBuild(push(A, NEW), TWO), "me")
    assert newest(circle, TWO).state is State.CLAIMED
    circle.images.digests[B] = NEW  # that run pushes
    circle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    circle.queue.sent.clear()
    message = StartBuild(push(B, NEW), ONE)
    assert start_build(circle.context, message, "me") is None
    ((_, delay),) = circle.queue.take(BUILDS)
    assert delay == circle.settings.lease

    circle.time.pass_(91)
    circle.tasks.found_runs["ca2"] = replace(circle.tasks.found_runs["ca2"], task="two")
    start_build(circle.context, StartBuild(push(A, NEW), TWO), "you")  # takes the claim over
    finish(circle, TWO, B, NEW)
    assert isinstance(start_build(circle.context, message, "me"), Circle)
    assert len(circle.tasks.scheduled) == 2


def test_a_push_from_elsewhere_is_no_circle(circle: World) -> None:
    """What somebody pushed by hand is a new cause, whatever was built before."""
    start_build(circle.context, StartBuild(push(NODE, NEW), ONE), "me")
    finish(circle, ONE, A, NEW)
    circle.images.digests[B] = NEWER
    circle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    start_build(circle.context, StartBuild(push(B, NEWER), ONE), "me")

    assert (newest(circle, ONE).sequence, newest(circle, ONE).chain) == (2, ())
    assert newest(circle, ONE).state is State.SCHEDULED
