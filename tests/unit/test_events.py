from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.events.pushes import (
    Chart,
    Deletion,
    Ignored,
    Malformed,
    NotABase,
    NoTag,
    OtherEvent,
    Push,
    Referrer,
    read_event,
)

EVENTS = Path(__file__).parent.parent / "events"
DIGEST = "sha256:57a94fc99816c6aa225678b738ac40d85422e75dbb96115f1bb9b6ed77176166"
BASE = RegistryId("faa080af-c1d8-40ad-9cce-e1a450ca5b57", "base", "mybaseregistry")


def load(name: str) -> dict[str, Any]:
    """Return a sample event."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def changed(path: str, value: object, name: str = "pushed") -> dict[str, Any]:
    """Return a sample event with one field changed; a value of ... removes it."""
    event = copy.deepcopy(load(name))
    *parents, last = path.split(".")
    target = event
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return event


@pytest.mark.parametrize("name", ["pushed", "pushed.cloudevent", "connected-registry"])
def test_a_push_is_read_in_either_schema(name: str) -> None:
    """Both schemas, old type names and connected registries give the same push."""
    push = read_event(load(name), {BASE})

    assert isinstance(push, Push)
    assert (push.registry, push.repository, push.tag) == (BASE, "baseimages/node", "9-alpine")
    assert push.digest == DIGEST
    assert push.pushed_at == datetime(2026, 9, 8, 6, 37, 45, 468100, UTC)
    assert Push.from_key(push.key).key == push.key


def test_replicas_and_redeliveries_are_one_push() -> None:
    """The key of a push leaves out what differs between its events."""
    keys = {
        event.key
        for name in ("pushed", "pushed.cloudevent", "connected-registry")
        if isinstance(event := read_event(load(name), {BASE}), Push)
    }

    assert len(keys) == 1


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (changed("eventType", "Microsoft.ContainerRegistry.ImageDeleted"), Deletion),
        (changed("eventType", "Microsoft.ContainerRegistry.ChartDeleted"), Deletion),
        (changed("eventType", "Microsoft.ContainerRegistry.ChartPushed"), Chart),
        (changed("eventType", "Microsoft.Storage.BlobCreated"), OtherEvent),
        (changed("topic", str(BASE).replace("mybase", "other")), NotABase),
        (changed("data.target.tag", ...), NoTag),
        (changed("data.target.tag", None), NoTag),
        (changed("data.target.tag", ""), NoTag),
        (changed("data.target.tag", "sha256-" + "a" * 64), Referrer),
        (changed("data.target.tag", "sha256-" + "a" * 64 + ".sig"), Referrer),
        (changed("data.target.tag", "sha256-" + "a" * 64 + ".att"), Referrer),
    ],
)
def test_other_events_have_their_own_reason(event: dict[str, Any], reason: type[Ignored]) -> None:
    """Everything that is not a push of a base tag has a reason of its own."""
    ignored = read_event(event, {BASE})

    assert type(ignored) is reason
    assert ignored.event == event["id"]
    assert ignored.sentence()


def test_a_tag_that_only_looks_like_a_digest_is_a_tag() -> None:
    """Only the referrers scheme is left out, not every tag that begins alike."""
    assert isinstance(read_event(changed("data.target.tag", "sha256-abc"), {BASE}), Push)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (None, "event"),
        ("text", "event"),
        ([], "event"),
        ({}, "eventType"),
        ({"specversion": "1.0"}, "type"),
        (changed("eventType", 7), "eventType"),
        (changed("eventType", ""), "eventType"),
        (changed("topic", ...), "topic"),
        (changed("topic", "mybaseregistry.azurecr.io"), "topic"),
        (changed("source", ..., "pushed.cloudevent"), "source"),
        (changed("data", None), "data"),
        (changed("data", []), "data"),
        (changed("data.target", ...), "data.target"),
        (changed("data.target.digest", ...), "data.target.digest"),
        (changed("data.target.digest", "sha256:abc"), "data.target.digest"),
        (changed("data.target.repository", "../etc"), "data.target.repository"),
        (changed("data.target.repository", 1), "data.target.repository"),
        (changed("data.target.tag", 9), "data.target.tag"),
        (changed("data.target.tag", "a b"), "data.target.tag"),
    ],
)
def test_a_malformed_event_names_its_field(event: object, field: str) -> None:
    """A malformed event is no error: it is a reason that names the field."""
    ignored = read_event(event, {BASE})

    assert isinstance(ignored, Malformed)
    assert ignored.field == field
    assert field in ignored.sentence()


@pytest.mark.parametrize(
    "time",
    [
        *(None, 7, "yesterday", ..., "9" * 5000, "2026-01-01T00:00:00+99:00"),
        *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_an_unreadable_time_does_not_lose_the_push(time: object) -> None:
    """The time is informative only."""
    push = read_event(changed("data.timestamp", time), {BASE})

    assert isinstance(push, Push)
    assert push.pushed_at is None


def test_a_time_without_zone_is_utc() -> None:
    """Times are compared, so each has a zone."""
    push = read_event(changed("data.timestamp", "2026-09-08T06:37:45"), {BASE})

    assert isinstance(push, Push)
    assert push.pushed_at == datetime(2026, 9, 8, 6, 37, 45, tzinfo=UTC)


def test_a_time_of_another_zone_is_the_same_in_utc() -> None:
    """It is shown in UTC, and can be at any time that is read."""
    push = read_event(changed("data.timestamp", "2026-09-08T20:37:45+14:00"), {BASE})

    assert isinstance(push, Push)
    assert push.pushed_at == datetime(2026, 9, 8, 6, 37, 45, tzinfo=UTC)
    assert push.pushed_at.tzinfo is UTC


@pytest.mark.parametrize("name", ["id", "subject", "topic", "eventType"])
def test_texts_are_bounded_and_whole(name: str) -> None:
    """Whatever is kept of an event fits into a message, and holds no half characters."""
    event = changed(name, "é\ud800" * 30_000)
    read = read_event(event, {BASE})
    known = read.sentence() if isinstance(read, Ignored) else read.event

    assert known.encode()
    assert len(known) < 1000
    if name == "id":
        assert read.event.startswith("é?" * 200)
        assert len(read.event) == 500
        assert "(60000 characters, " in read.event


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["id", "topic", "subject", "eventType", "data", "data.target"])
    | st.sampled_from(["data.target.digest", "data.target.tag", "data.target.repository"]),
    JSON,
)
def test_no_value_of_any_field_raises(path: str, value: object) -> None:
    """Whatever comes over the wire is a push or a reason."""
    assert isinstance(read_event(changed(path, value), {BASE}), Push | Ignored)
