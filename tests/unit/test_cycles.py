from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.rebuilds import Cycle
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import LONGEST_LEASE, Check, Likely, Rebuild, State
from rebuilder.errors import OutcomeUnknown, TransientError
from rebuilder.settings import Settings
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.waves.below import below
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, dependency, task

ONE = TaskId(APPS, "one")
TWO = TaskId(APPS, "two")
A, B = "myapps.azurecr.io/a:1", "myapps.azurecr.io/b:1"


def push(image: str, digest: str) -> Push:
    """Return a push of an image."""
    repository, _, tag = image.partition("/")[2].partition(":")
    return Push(BASE if image == NODE else APPS, repository, tag, digest, None, "event")


@pytest.fixture(name="cycle")
def _cycle(world: World) -> World:
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


def test_a_cycle_is_gone_through_once(cycle: World) -> None:
    """What comes around to its beginning is a decision that names every task of the cycle."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    cycle.images.digests[A] = NEW
    finish(cycle, ONE, A, NEW)
    start_build(cycle.context, StartBuild(push(A, NEW), TWO), "me")
    assert newest(cycle, TWO).chain == (str(ONE),)
    cycle.images.digests[B] = NEW
    finish(cycle, TWO, B, NEW)
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    decision = start_build(cycle.context, StartBuild(push(B, NEW), ONE), "me")

    assert isinstance(decision, Cycle)
    assert decision.chain == (str(ONE), str(TWO))
    assert "one -> two -> one is a cycle" in decision.sentence()
    assert len(cycle.tasks.scheduled) == 2


def test_an_event_that_is_quicker_than_the_record_waits(cycle: World) -> None:
    """The run that pushed it goes on: whether it is a cycle is known when it is over."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    cycle.images.digests[A] = NEW
    finish(cycle, ONE, A, NEW)
    start_build(cycle.context, StartBuild(push(A, NEW), TWO), "me")
    cycle.images.digests[B] = NEW
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    cycle.queue.sent.clear()
    message = StartBuild(push(B, NEW), ONE)
    assert start_build(cycle.context, message, "me") is None
    ((body, _),) = cycle.queue.take(BUILDS)
    assert StartBuild.decode(body) == replace(message, wait=1, waiter="me")
    finish(cycle, TWO, B, NEW)

    assert isinstance(start_build(cycle.context, message, "me"), Cycle)


def test_a_claim_whose_outcome_is_unknown_may_have_pushed(cycle: World) -> None:
    """Its run may have been started and have pushed the image: nothing is built without a chain."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    cycle.images.digests[A] = NEW
    finish(cycle, ONE, A, NEW)
    cycle.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    cycle.tasks.effect_first = True
    start_build(cycle.context, StartBuild(push(A, NEW), TWO), "me")
    assert newest(cycle, TWO).state is State.CLAIMED
    cycle.images.digests[B] = NEW  # that run pushes
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    cycle.queue.sent.clear()
    message = StartBuild(push(B, NEW), ONE)
    assert start_build(cycle.context, message, "me") is None
    ((_, delay),) = cycle.queue.take(BUILDS)
    assert delay == cycle.settings.lease

    cycle.time.pass_(91)
    cycle.tasks.found_runs["ca2"] = replace(cycle.tasks.found_runs["ca2"], task="two")
    start_build(cycle.context, StartBuild(push(A, NEW), TWO), "you")  # takes the claim over
    finish(cycle, TWO, B, NEW)
    assert isinstance(start_build(cycle.context, message, "me"), Cycle)
    assert len(cycle.tasks.scheduled) == 2


def test_a_cycle_takes_no_repair_away(cycle: World) -> None:
    """An image that was left on an old base is made again, although its task is in a cycle."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    cycle.images.digests[A] = NEW
    finish(cycle, ONE, A, NEW)
    due = cycle.time.now + timedelta(minutes=10)
    left = replace(newest(cycle, ONE), check=Check.STALE, stale_by=Likely.CACHE, due=due)
    cycle.ledger.save(left)
    start_build(cycle.context, StartBuild(push(A, NEW), TWO), "me")
    cycle.images.digests[B] = NEW
    finish(cycle, TWO, B, NEW)
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    cycle.queue.sent.clear()
    message = StartBuild(push(B, NEW), ONE)
    assert start_build(cycle.context, message, "me") is None
    ((_, delay),) = cycle.queue.take(BUILDS)
    assert delay == timedelta(minutes=10)
    assert newest(cycle, ONE).due == due

    cycle.time.pass_(600)
    again = start_build(cycle.context, message, "me")
    assert isinstance(again, Rebuild)
    assert (again.sequence, again.repair) == (2, 1)


def test_no_claim_is_waited_for_longer_than_a_lease_can_be(cycle: World) -> None:
    """Whose clock was wrong, this one or that of who holds it, is not asked."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    cycle.images.digests[A] = NEW
    finish(cycle, ONE, A, NEW)
    cycle.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    start_build(cycle.context, StartBuild(push(A, NEW), TWO), "me")
    cycle.images.digests[B] = NEW
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    cycle.queue.sent.clear()
    cycle.time.now -= timedelta(days=3)
    assert start_build(cycle.context, StartBuild(push(B, NEW), ONE), "me") is None
    ((_, delay),) = cycle.queue.take(BUILDS)
    assert delay == LONGEST_LEASE


def test_what_was_never_sent_pushed_nothing(cycle: World) -> None:
    """A rebuild that ARM took no request for is in no cycle yet: nobody waits for it."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    cycle.images.digests[A] = NEW
    finish(cycle, ONE, A, NEW)
    cycle.tasks.failures["schedule"] = [TransientError("no connection")]
    with pytest.raises(TransientError):
        start_build(cycle.context, StartBuild(push(A, NEW), TWO), "me")
    assert newest(cycle, TWO).chain == (str(ONE),)
    cycle.images.digests[B] = NEWER  # somebody pushed it by hand
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    start_build(cycle.context, StartBuild(push(B, NEWER), ONE), "me")

    assert (newest(cycle, ONE).sequence, newest(cycle, ONE).state) == (2, State.SCHEDULED)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.CLAIMED])
def test_who_may_close_a_cycle_is_waited_for(cycle: World, state: State) -> None:
    """However quick the events are: no run of a cycle begins without what led to it."""
    one, two, three = "myapps.azurecr.io/one:1", "myapps.azurecr.io/two:1", TaskId(APPS, "three")
    cycle.tasks.add(
        task("one", dependency(), dependency(two)),
        task("two", dependency(one)),
        task("three", dependency(one)),
    )
    cycle.images.digests |= {one: OLD, two: OLD}
    scan_registry(cycle.context, APPS)
    unknown = state is State.CLAIMED
    cycle.tasks.failures["schedule"] = [OutcomeUnknown("cut")] if unknown else []
    cycle.tasks.effect_first = True
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    assert newest(cycle, ONE).state is state
    cycle.images.digests[one] = NEW  # its run has pushed, and is not looked at yet
    cycle.queue.sent.clear()

    assert start_build(cycle.context, StartBuild(push(one, NEW), TWO), "me") is None
    assert len(cycle.queue.take(BUILDS)) == 1
    # Nobody stands on what task three pushes: it is in no cycle, and waits as any does that comes
    # after another one.
    start_build(cycle.context, StartBuild(push(one, NEW), three), "me")
    assert newest(cycle, three).state is State.HELD
    assert "waiting for upstream tasks of the same wave: myapps/one (" in str(
        newest(cycle, three).outcome
    )


def test_a_longer_cycle_is_known_by_the_index(cycle: World) -> None:
    """Who stands on what a task pushes is found over any number of others, once each."""
    cycle.tasks.add(
        task("one", dependency(), dependency("myapps.azurecr.io/three:1")),
        task("two", dependency("myapps.azurecr.io/one:1")),
        task("three", dependency("myapps.azurecr.io/two:1")),
        task("beside", dependency()),
    )
    scan_registry(cycle.context, APPS)
    three = TaskId(APPS, "three")

    assert below(cycle.context, ONE).keys() == {ONE, TWO, three}
    assert below(cycle.context, three).keys() == {three, ONE, TWO}
    assert below(cycle.context, TaskId(APPS, "beside")).keys() == {TaskId(APPS, "beside")}
    assert below(cycle.context, TaskId(APPS, "unknown")) == {}


def test_a_push_from_elsewhere_is_no_cycle(cycle: World) -> None:
    """What somebody pushed by hand is a new cause, whatever was built before."""
    start_build(cycle.context, StartBuild(push(NODE, NEW), ONE), "me")
    finish(cycle, ONE, A, NEW)
    cycle.images.digests[B] = NEWER
    cycle.tasks.add(task("one", dependency(built_on=NEW), dependency(B)))
    start_build(cycle.context, StartBuild(push(B, NEWER), ONE), "me")

    assert (newest(cycle, ONE).sequence, newest(cycle, ONE).chain) == (2, ())
    assert newest(cycle, ONE).state is State.SCHEDULED
