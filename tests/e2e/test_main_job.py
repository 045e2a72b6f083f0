"""The main job, end to end, on the embedded store and on Azure Storage (Azurite)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from localcloud.functionshost import FunctionsHost
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import IMAGE_UPDATE, MANUAL
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.uses import NotAllKnown, OtherTag
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.usecases import at_once
from rebuilder.usecases.reports.list_runs import list_runs
from tests import images, patience
from tests.e2e.conftest import World
from tests.patience import SECONDS

pytestmark = pytest.mark.usefixtures("recorded")

BASE = "mybase.azurecr.io/images/node:9"


def reasons(world: World, image: str = BASE) -> list[str]:
    """Return the codes of the decisions about an image's newest push."""
    return [e.record.decision.code for e in world.explain(image).decisions]


def _warned(records: Iterable[logging.LogRecord]) -> list[str]:
    """Return the warnings, without the one that a store begins empty, whenever that is told."""
    warned = [r.getMessage() for r in records if r.levelno >= logging.WARNING]
    return [text for text in warned if "nothing is kept in it yet" not in text]


@pytest.mark.parametrize("most", [at_once.MOST, 0])
def test_a_pushed_base_image_rebuilds_what_is_built_on_it(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Event, plan, build, outcome: one run, recorded from claim to new dependencies.

    Whoever sends the messages goes on with them, or the host delivers each.
    """
    monkeypatch.setattr(at_once, "MOST", most)
    caplog.set_level(logging.INFO)
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    world.subscribe()
    new = world.push("two")
    world.settle()

    (run,) = world.apps.runs.values()
    assert run.properties["status"] == "Succeeded"
    (rebuild,) = world.context.ledger.rebuilds(task)
    assert rebuild.state is State.SUCCEEDED
    assert rebuild.run_id == run.run_id
    assert rebuild.bases == (f"{BASE}@{new}",)
    assert rebuild.dependencies == (f"{BASE}@{new}",)
    assert rebuild.output_images[0].startswith("myapps.azurecr.io/build-app:")
    assert run.properties["updateTriggerToken"] == rebuild.token
    explained = world.explain(BASE).decisions[0]
    assert isinstance(explained.record.decision, BaseMoved)
    assert (explained.record.decision.old, explained.record.decision.new) == (old, new)
    assert explained.rebuild == rebuild
    (listed,) = list_runs(world.context, task.registry, 15)
    assert listed.run.trigger == IMAGE_UPDATE
    timers = {"sweep", "poll_bases", "collect_dead_letters", "refresh_index", "retire_history"}
    timers.add("sum_staleness")
    called, queued = {i.function for i in world.invocations}, {"plan_rebuilds", "start_build"}
    assert called - timers - queued == {"image_pushed", "track_build"}
    assert most or queued <= called
    assert not world.failed()
    assert _warned([*caplog.get_records("setup"), *caplog.records]) == []


def test_one_push_told_many_times_is_one_run(world: World) -> None:
    """Five deliveries in both schemas, from three replicas: one run."""
    old = world.push("one")
    world.task(world.apps, "build-app", old)
    plain = world.subscribe()
    cloud_events = world.subscribe(schema="CloudEventSchemaV1_0")
    published: list[tuple[str, dict[str, Any]]] = []
    deliver = world.cloud.eventgrid.envelope
    new = images.push(world.cloud, world.base, "images/node", "9", "two")
    kind, subject = "Microsoft.ContainerRegistry.ImagePushed", "images/node:9"
    for location in ("westeurope", "northeurope", "eastus"):
        data = {
            "id": f"event-{location}",
            "timestamp": "2026-11-24T01:02:03.1234567Z",
            "action": "push",
            "location": location,
            "target": {"digest": new, "repository": "images/node", "tag": "9"},
        }
        for subscription in (plain, cloud_events):
            envelope = deliver(subscription.schema, world.base, kind, subject, data)
            for _ in range(5):
                world.cloud.eventgrid.deliver(subscription, [envelope])
                published.append((location, envelope))
    world.settle()

    assert len(world.apps.runs) == 1
    assert not world.failed()
    (record,) = world.context.ledger.pushes(
        next(iter(world.context.settings.base_registries)), "images/node", "9"
    )
    assert record.deliveries == len(published) + 2  # the push itself, once in each schema
    assert "base-moved" in reasons(world)


def test_the_same_digest_again_is_already_built_on(world: World) -> None:
    """A re-push of the same image is decided, with its reason, and starts nothing."""
    digest = world.push("one")
    task = world.task(world.apps, "build-app", digest)
    world.subscribe()
    assert world.push("one") == digest
    world.settle()

    assert world.apps.runs == {}
    (explained,) = world.explain(BASE).decisions
    assert explained.record.decision == AlreadyBuiltOn(task, BASE, digest, "task's record in ARM")
    assert "already built on" in explained.record.decision.sentence()
    assert not world.failed()


def test_what_is_not_rebuilt_has_its_own_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Unused tag, disabled task, unknown registry, no tag, cosign, garbage: nothing is built."""
    caplog.set_level(logging.INFO)
    old = world.push("one")
    world.task(world.apps, "build-app", old, status="Disabled")
    world.unconcerned(world.others, "build-other", "docker.io/library/alpine:3")
    unknown = images.registry(world.cloud, "unknown")
    subscription = world.subscribe()
    world.subscribe(unknown)

    world.push("two")
    world.push("two", "10")
    world.push("three", "")
    world.push("four", "sha256-" + "a" * 64 + ".sig")
    images.push(world.cloud, unknown, "images/node", "9", "five")
    garbage: list[dict[str, Any]] = [
        {},
        {"id": 7, "data": []},
        {"specversion": "1.0", "type": "Microsoft.ContainerRegistry.ImagePushed"},
        {"eventType": "Microsoft.ContainerRegistry.ChartPushed", "topic": world.base.id},
        {"eventType": "Microsoft.ContainerRegistry.ImageDeleted", "topic": world.base.id},
    ]
    for event in garbage:
        world.cloud.eventgrid.deliver(subscription, [event])
    world.settle()

    assert world.apps.runs == {}
    assert world.others.runs == {}
    assert not world.failed()
    decided = {
        tag: {type(e.record.decision) for e in world.explain(f"{BASE[:-1]}{tag}").decisions}
        for tag in ("9", "10")
    }
    # One that nobody has read yet may be built on more than ACR has recorded.
    assert decided == {"9": {TaskDisabled, NotAllKnown}, "10": {OtherTag, NotAllKnown}}
    ignored = {record.code for record in world.explain(BASE).ignored}
    assert ignored == {"no-tag", "referrer"}
    for code in ("not-a-base-registry", "malformed", "chart", "deletion"):
        assert f"({code})" in caplog.text
    assert _warned(caplog.records) == []


def test_every_registry_and_subscription_is_rebuilt_once(world: World) -> None:
    """A base used in two registries of two subscriptions: each task runs once."""
    old = world.push("one")
    mine = world.task(world.apps, "build-app", old)
    theirs = world.task(world.others, "build-other", old)
    world.subscribe()
    world.push("two")
    world.settle()

    assert len(world.apps.runs) == len(world.others.runs) == 1
    for task in (mine, theirs):
        (rebuild,) = world.context.ledger.rebuilds(task)
        assert rebuild.state is State.SUCCEEDED
    decided = [e.record.decision for e in world.explain(BASE).decisions]
    assert {d.task for d in decided if isinstance(d, TaskDecision)} == {mine, theirs}


def test_each_new_digest_is_one_more_run(world: World) -> None:
    """Forward, back to the old image and forward again: each move is a rebuild."""
    first = world.push("one")
    task = world.task(world.apps, "build-app", first)
    world.subscribe()
    for text in ("two", "one", "two"):
        world.push(text)
        world.settle()

    rebuilds = world.context.ledger.rebuilds(task)
    assert [rebuild.sequence for rebuild in rebuilds] == [3, 2, 1]
    assert {rebuild.state for rebuild in rebuilds} == {State.SUCCEEDED}
    assert rebuilds[0].key == rebuilds[2].key != rebuilds[1].key
    assert len(world.apps.runs) == 3


def test_a_failing_build_is_recorded_and_given_up(world: World, tmp_path: Path) -> None:
    """A run that fails is tried again, then given up; the same push does not start another."""
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    (tmp_path / "context" / "Dockerfile").write_text(f"FROM {BASE}\nCOPY nothere /\n")
    world.subscribe()
    world.push("two")
    world.settle()
    world.push("two")
    world.settle()

    last, first = world.context.ledger.rebuilds(task)
    assert (first.state, first.attempt) == (State.FAILED, 1)
    assert (last.state, last.attempt) == (State.GIVEN_UP, 2)
    assert last.outcome == "Failed: failed during run, err: exit status 1"
    assert last.cause is not None
    assert "COPY failed: file not found in build context" in last.cause.sentence()
    assert len(world.apps.runs) == 2
    assert reasons(world) == ["base-moved", "rebuild-failed"]


def test_runs_by_hand_stay_manual(world: World) -> None:
    """Only what we started is shown as Image Update."""
    digest = world.push("one")
    task = world.task(world.apps, "build-app", digest)
    run_id = world.context.tasks.schedule(TaskId(task.registry, task.name), "bm90LW91cnM=")
    assert world.cloud.wait_idle(SECONDS)

    (listed,) = list_runs(world.context, task.registry, 15)
    assert (listed.run.run_id, listed.run.trigger, listed.rebuild) == (run_id, MANUAL, None)


def test_the_functions_are_indexed_as_azure_sees_them(world: World) -> None:
    """Names, triggers, queues and connections of the deployed app."""
    host: FunctionsHost = world.host
    triggers = {name: dict(f.trigger) for name, f in host.functions.items()}

    assert host.errors == []
    assert {name: t["type"] for name, t in triggers.items()} == {
        "image_pushed": "eventGridTrigger",
        "task_changed": "eventGridTrigger",
        "refresh_index": "timerTrigger",
        "collect_dead_letters": "timerTrigger",
        "retire_history": "timerTrigger",
        "sum_staleness": "timerTrigger",
        "sweep": "timerTrigger",
        "poll_bases": "timerTrigger",
        "refresh_tasks": "queueTrigger",
        "event_queued": "queueTrigger",
        "carry_out_act": "queueTrigger",
        "send_message": "queueTrigger",
        "plan_rebuilds": "queueTrigger",
        "start_build": "queueTrigger",
        "track_build": "queueTrigger",
    }
    queues = [t for t in triggers.values() if t["type"] == "queueTrigger"]
    assert {t.get("connection") for t in queues} == {"AzureWebJobsStorage"}
    assert triggers["refresh_index"]["schedule"] == "0 0 */6 * * *"
    status = patience.get(
        f"{host.url}/admin/host/status", headers={"x-functions-key": host.master_key}
    )
    assert status.json()["state"] == "Running"
