from __future__ import annotations

import copy
from copy import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.events.pushes import Ignored, Malformed
from rebuilder.core.events.task_events import (
    NoChange,
    NotATask,
    NotATaskRegistry,
    TaskChanged,
    read_task_event,
)
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.usecases.events.accept import accept_event, accept_task_events
from tests.unit.fakes import APPS, World

# As learn.microsoft.com shows it in "Azure subscription as an Event Grid source", for a task.
_TASK = (
    "/subscriptions/S1/resourcegroups/G/providers/Microsoft.ContainerRegistry"
    "/registries/MyApps/tasks/Build-App"
)
EVENT: dict[str, Any] = {
    "subject": _TASK,
    "eventType": "Microsoft.Resources.ResourceWriteSuccess",
    "eventTime": "2026-10-11T00:00:00.0000000Z",
    "id": "event-1",
    "data": {
        "authorization": {
            "scope": _TASK,
            "action": "Microsoft.ContainerRegistry/registries/tasks/write",
        },
        "claims": {"name": "a person"},
        "resourceProvider": "Microsoft.ContainerRegistry",
        "resourceUri": _TASK,
        "operationName": "Microsoft.ContainerRegistry/registries/tasks/write",
        "status": "Succeeded",
        "subscriptionId": "S1",
    },
    "dataVersion": "2",
    "metadataVersion": "1",
    "topic": "/subscriptions/S1",
}
CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": EVENT["id"],
    "source": EVENT["topic"],
    "subject": EVENT["subject"],
    "type": EVENT["eventType"],
    "data": EVENT["data"],
}
CHANGED = TaskChanged(TaskId(APPS, "build-app"), "event-1")
DELETED = "Microsoft.Resources.ResourceDeleteSuccess"


def changed(path: str, value: object, event: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the event with one field changed; a value of ... removes it."""
    made = copy.deepcopy(event or EVENT)
    *parents, last = path.split(".")
    target = made
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return made


def about(resource: str) -> dict[str, Any]:
    """Return the event of another resource."""
    return changed("subject", resource, changed("data.resourceUri", resource))


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        CLOUD_EVENT,
        changed("topic", "/subscriptions/S1/resourceGroups/G"),
        changed("data.resourceUri", ...),
        changed("data", None),
        changed("subject", ...),
        about(_TASK.upper() + "/"),
    ],
)
def test_a_change_of_a_task_is_read(event: dict[str, Any]) -> None:
    """Either schema, of a subscription's or a group's topic, in any case."""
    assert read_task_event(event, {APPS}) == CHANGED


def test_a_deletion_of_a_task_is_read() -> None:
    """It is a change as well, and is told apart from a task that was written."""
    read = read_task_event(changed("eventType", DELETED), {APPS})

    assert read == replace(CHANGED, written=False)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (changed("eventType", "Microsoft.Resources.ResourceActionSuccess"), NoChange),
        (changed("eventType", "Microsoft.Resources.ResourceWriteFailure"), NoChange),
        (changed("eventType", "Microsoft.ContainerRegistry.ImagePushed"), NoChange),
        (about(_TASK.partition("/tasks/")[0]), NotATask),
        (about(_TASK + "/x/y"), NotATask),
        (about(_TASK.replace("/tasks/", "/taskRuns/")), NotATask),
        (about("/subscriptions/S1/resourceGroups/tasks"), NotATask),
        (about("/subscriptions/S/resourceGroups/G/providers/Microsoft.Web/sites/tasks"), NotATask),
        (about(_TASK.replace("MyApps", "others")), NotATaskRegistry),
        (about(_TASK + "!"), Malformed),
        (about(""), Malformed),
        (changed("eventType", ...), Malformed),
        (changed("eventType", 7), Malformed),
        (changed("type", ..., CLOUD_EVENT), Malformed),
        ([EVENT], Malformed),
        (None, Malformed),
    ],
)
def test_everything_else_has_its_own_reason(event: object, reason: type[Ignored]) -> None:
    """What is no change of a task of a configured registry says why it starts nothing."""
    ignored = read_task_event(event, {APPS})

    assert type(ignored) is reason
    assert ignored.sentence()
    assert "a person" not in repr(ignored)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.sampled_from(["id", "topic", "subject", "eventType", "data", "data.resourceUri"]), JSON)
def test_no_value_of_any_field_raises(path: str, value: object) -> None:
    """Whatever comes over the wire is a change or a reason."""
    assert isinstance(read_task_event(changed(path, value), {APPS}), TaskChanged | Ignored)


def test_a_changed_task_is_read_again(world: World) -> None:
    """Accepting does nothing slow: one message, and nothing is recorded as ignored."""
    assert accept_event(world.context, EVENT) == CHANGED

    ((body, _),) = world.queue.take(REFRESH)
    assert Refresh.decode(body) == Refresh.of(CHANGED.task, world.time.now, looks=0)
    assert world.ledger.ignored("/subscriptions/s1", _TASK) == []


def test_other_changes_are_recorded_only(world: World) -> None:
    """A change that starts nothing is in the ledger with its reason, and in no queue."""
    event = about(_TASK.replace("MyApps", "others"))
    assert isinstance(accept_event(world.context, event), NotATaskRegistry)

    subject = _TASK.replace("MyApps", "others")
    (record,) = world.ledger.ignored("/subscriptions/s1", subject)
    assert record.code == "not-a-task-registry"
    assert world.queue.sent == []


def test_changes_that_come_at_once(world: World) -> None:
    """Each task is read once, however often it was told; the rest is recorded together."""
    other = about(_TASK.replace("MyApps", "others"))
    accepted = accept_task_events(world.context, [EVENT, other, EVENT, other])

    assert [type(event) for event in accepted] == [TaskChanged, NotATaskRegistry] * 2
    assert len(world.queue.take(REFRESH)) == 1
    (record,) = world.ledger.ignored("/subscriptions/s1", _TASK.replace("MyApps", "others"))
    assert record.deliveries == 2
    two = about(_TASK.replace("Build-App", "two"))
    accept_task_events(world.context, [EVENT, two])
    assert len(world.queue.take(REFRESH)) == 2
