from __future__ import annotations

import pytest

from rebuilder.core.decisions import AlreadyBuiltOn, OtherImages, RegistryUnreadable, TagGone
from rebuilder.core.events import Ignored, Push
from rebuilder.core.messages import BUILDS, PUSHES, PlanRebuilds, StartBuild
from rebuilder.errors import Denied, NotFound, TransientError
from rebuilder.usecases.accept_event import accept_event
from rebuilder.usecases.plan_rebuilds import plan_rebuilds
from tests.unit.fakes import BASE, NEW, NODE, OTHERS, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = PlanRebuilds(PUSH)
ALPINE = dependency("docker.io/library/alpine:3")


def enqueued(world: World) -> list[str]:
    """Return the tasks whose builds were enqueued."""
    return [StartBuild.decode(body).task.name for body, _ in world.queue.take(BUILDS)]


def test_every_task_is_decided_and_the_stale_are_enqueued(world: World) -> None:
    """All configured registries are considered, and everything is recorded."""
    world.tasks.add(
        task("stale"),
        task("fresh", dependency(built_on=NEW)),
        task("other", ALPINE),
        task("theirs", registry=OTHERS),
    )
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert len(decisions) == 4
    assert enqueued(world) == ["stale", "theirs"]
    assert [record.decision for record in world.ledger.decisions(PUSH)] == decisions


def test_planning_again_repeats_no_record(world: World) -> None:
    """The same plan twice leaves each decision once."""
    world.tasks.add(task("stale"), task("other", ALPINE))
    plan_rebuilds(world.context, MESSAGE)
    plan_rebuilds(world.context, MESSAGE)

    assert len(world.ledger.decisions(PUSH)) == 2


def test_one_registry_that_may_not_be_read_does_not_stop_the_others(world: World) -> None:
    """A missing role is recorded as a decision about that registry."""
    world.tasks.add(task("mine"), task("theirs", registry=OTHERS))
    world.tasks.failures["tasks of theirapps"] = [Denied("tasks/read is missing")]
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == ["mine"]
    assert decisions[-1] == RegistryUnreadable(str(OTHERS), "tasks/read is missing")


def test_a_registry_that_fails_for_now_is_planned_again(world: World) -> None:
    """What could be planned is enqueued; the delivery fails and comes again."""
    world.tasks.add(task("mine"), task("theirs", registry=OTHERS))
    world.tasks.failures["tasks of theirapps"] = [TransientError("503")]
    with pytest.raises(TransientError):
        plan_rebuilds(world.context, MESSAGE)
    assert enqueued(world) == ["mine"]
    plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == ["mine", "theirs"]


def test_a_tag_that_is_gone_starts_nothing(world: World) -> None:
    """Tasks that would have been rebuilt say that the tag is gone; the others their own reason."""
    world.images.digests.clear()
    world.tasks.add(task("stale"), task("other", ALPINE))
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == []
    assert [type(decision) for decision in decisions] == [TagGone, OtherImages]


def test_a_registry_without_read_access_is_no_obstacle(world: World) -> None:
    """Without the proof of times, ARM's record is believed."""
    world.images.failure = Denied("no role")
    world.tasks.add(task("fresh", dependency(built_on=NEW)))
    (decision,) = plan_rebuilds(world.context, MESSAGE)

    assert isinstance(decision, AlreadyBuiltOn)


def test_an_unknown_base_registry_is_permanent(world: World) -> None:
    """A base registry that ARM does not know is an error for the operator."""
    world.tasks.failures["registry"] = [NotFound("mybase")]

    with pytest.raises(NotFound):
        plan_rebuilds(world.context, MESSAGE)


def test_hosts_are_asked_for_once(world: World) -> None:
    """A registry's login server is remembered."""
    plan_rebuilds(world.context, MESSAGE)
    world.tasks.failures["registry"] = [NotFound("must not be asked")]

    assert world.context.base_hosts() == {NODE.partition("/")[0]}


def test_a_push_is_recorded_and_enqueued(world: World) -> None:
    """Accepting does nothing slow: one record, one message."""
    event = {
        "id": "event-1",
        "topic": str(BASE),
        "eventType": "Microsoft.ContainerRegistry.ImagePushed",
        "data": {"target": {"digest": NEW, "repository": "images/node", "tag": "9"}},
    }
    assert accept_event(world.context, event) == PUSH

    ((body, _),) = world.queue.take(PUSHES)
    assert PlanRebuilds.decode(body) == MESSAGE
    (record,) = world.ledger.pushes(BASE, "images/node")
    assert record.push == PUSH


def test_other_events_are_recorded_only(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An event that starts nothing is in the ledger with its reason, and in no queue."""
    caplog.set_level("INFO")
    event = {"id": "e", "topic": str(BASE), "subject": "x", "eventType": "Other"}
    assert isinstance(accept_event(world.context, event), Ignored)

    (record,) = world.ledger.ignored(str(BASE))
    assert record.code == "other-event"
    assert "other-event" in caplog.text
    assert world.queue.sent == []
