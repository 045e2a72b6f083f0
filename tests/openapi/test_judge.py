"""The judge of exchanges finds what is wrong, and the local cloud's events are as documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from localcloud.arm.model import Exchange
from localcloud.arm.resources.registries import REGISTRY
from localcloud.arm.schema import Number, Object
from localcloud.arm.schemas import events, tasks
from localcloud.cloud import LocalCloud
from localcloud.eventgrid import Schema, SystemTopic
from localcloud.network import Loop, Server
from localcloud.state import Json
from tests import images
from tests.openapi.judge import differences
from tests.patience import SECONDS
from tests.webhook import Webhook

PLACE = f"/subscriptions/{images.SUBSCRIPTIONS[0]}/resourceGroups/g/providers"
TASK = f"{PLACE}/Microsoft.ContainerRegistry/registries/r/tasks/t"
STEP = {"type": "Docker", "dockerFilePath": "D"}
GOOD: Json = {"id": TASK, "name": "t", "location": "westeurope", "properties": {"step": STEP}}


def put(answer: Json | None, status: int = 200) -> Exchange:
    """Return an exchange about a task."""
    pattern = rf"{REGISTRY}/tasks/(?P<t>[^/]+)"
    return Exchange("PUT", TASK, "2025-03-01-preview", pattern, GOOD, status, {}, answer)


def got(answer: Json) -> Exchange:
    """Return an exchange about reading."""
    return put(answer)._replace(method="GET", body=None)


def test_a_good_exchange_has_no_difference() -> None:
    """A task put and told."""
    assert differences([put(GOOD)]) == []


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (put(GOOD, 202), "status 202"),
        (put({**GOOD, "colour": "red"}), "told colour: Could not find member"),
        (put({**GOOD, "tags": None}), "told tags: null"),
        (put({k: v for k, v in GOOD.items() if k != "location"}), "told location: Required"),
        (
            put({**GOOD, "properties": {"step": {**STEP, "contextAccessToken": "x"}}}),
            "told properties.step.contextAccessToken: 'contextAccessToken' is a secret, and shown",
        ),
        (
            put(GOOD)._replace(body={**GOOD, "propertys": {}}),
            "sent propertys: Could not find member",
        ),
        (put({"message": "no"}, 400), "told error: Required property 'error'"),
        (got({"value": [GOOD], "more": 1}), "more beside a list"),
        (got({"value": [{}]}), "told location: Required"),
    ],
)
def test_each_kind_of_difference_is_found(exchange: Exchange, said: str) -> None:
    """Statuses, unknown members, nulls, what is missing, secrets, requests, errors, lists."""
    found = differences([exchange])
    assert any(said in line for line in found), found


def test_a_number_may_be_sent_as_a_text() -> None:
    """As the Azure CLI does; it is not told so."""
    kind = Number(1, 30)
    assert [list(kind.differences(text, "n", "put")) for text in ("7", 7)] == [[], []]
    assert list(kind.differences("7", "n", "answer"))
    assert list(kind.differences("31", "n", "put"))


def test_a_runs_words_have_a_case() -> None:
    """ARM's own words are spelt as documented; a client's are given back as they came."""
    run = {"properties": {"status": "succeeded", "platform": {"os": "linux"}}}
    found = [d.path for d in tasks.RUN.differences(run, "", "answer")]
    assert found == ["properties.status"]


@pytest.fixture(name="webhook")
def _webhook() -> Iterator[Webhook]:
    webhook, loop = Webhook(), Loop("webhook")
    loop.start()
    app = Starlette(routes=[Route("/", webhook.answer, methods=["POST", "OPTIONS"])])
    server = Server(loop, app)
    server.start()
    webhook.url = f"http://127.0.0.1:{server.port}/"
    yield webhook
    loop.run(server.stop())
    loop.stop()


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
def test_events_are_as_documented(cloud: LocalCloud, webhook: Webhook, schema: Schema) -> None:
    """A push, a deletion and a changed task, in both schemas."""
    registry = images.registry(cloud, "myapps")
    group = SystemTopic(registry.id.partition("/providers/")[0])
    for topic in (registry, group):
        cloud.eventgrid.subscribe(topic, "all", webhook.url, schema=schema)
    digest = images.push(cloud, registry, "node", "1", "text")
    cloud.registry.delete_manifest(registry, "node", digest)
    kind = "Microsoft.ContainerRegistry/registries/tasks"
    cloud.eventgrid.publish_change(f"{registry.id}/tasks/t", kind)
    assert cloud.wait_idle(SECONDS)
    bodies = [call.body if isinstance(call.body, list) else [call.body] for call in webhook.calls]
    told = [event for body in bodies for event in body]
    envelope = events.event if schema == "EventGridSchema" else events.cloud_event
    kinds: dict[str, Object] = {
        "Microsoft.ContainerRegistry.": envelope(events.PUSH),
        "Microsoft.Resources.": envelope(events.CHANGE),
    }
    assert len(told) == 3
    for event in told:
        name = str(event.get("eventType") or event.get("type"))
        (kind_,) = [known for start, known in kinds.items() if name.startswith(start)]
        assert list(kind_.differences(event, "", "answer")) == []


def test_a_record_is_the_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For bodies may hold secrets."""
    path = tmp_path / "record"
    monkeypatch.setenv("LOCALCLOUD_RECORD", str(path))
    cloud = LocalCloud(tmp_path / "cloud", builder="embedded")
    (witness,) = cloud.arm.witnesses
    witness(put(GOOD))
    assert path.stat().st_mode & 0o777 == 0o600
