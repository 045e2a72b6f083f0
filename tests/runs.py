"""Runs for tests: requests in ARM's wire form, sent by a client that sends nothing twice."""

from __future__ import annotations

import base64

import httpx

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests.patience import SECONDS

ARM = "https://management.azure.com"


def client(cloud: LocalCloud) -> httpx.Client:
    """Return a client of ARM; to be closed."""
    return cloud.network.client(
        base_url=ARM,
        headers={"Authorization": f"Bearer {cloud.tokens.issue(cloud.developer, ARM)}"},
        params={"api-version": "2025-03-01-preview"},
    )


def encode(text: str) -> str:
    """Return a text as requests hold it."""
    return base64.b64encode(text.encode()).decode()


def encoded(text: str, source: str = "/dev/null", **more: object) -> Json:
    """Return the request of `az acr run` for a task file that the client sends."""
    return {
        "type": "EncodedTaskRunRequest",
        "encodedTaskContent": encode(text),
        "sourceLocation": source,
        "platform": {"os": "Linux"},
        **more,
    }


def of_task(registry: Registry, name: str, **override: object) -> Json:
    """Return the request of `az acr task run`."""
    request: Json = {"type": "TaskRunRequest", "taskId": f"{registry.id}/tasks/{name}"}
    return {**request, "overrideTaskStepProperties": override} if override else request


def start(cloud: LocalCloud, registry: Registry, request: Json) -> Run:
    """Schedule a run by ARM; return it."""
    with client(cloud) as arm:
        answer = arm.post(f"{registry.id}/scheduleRun", json=request)
    assert answer.status_code == 200, answer.text
    return registry.runs[answer.json()["name"]]


def carry_out(cloud: LocalCloud, registry: Registry, request: Json) -> Run:
    """Schedule a run by ARM and wait for its end; return it."""
    run = start(cloud, registry, request)
    assert cloud.wait_idle(SECONDS)
    return run


def status(cloud: LocalCloud, registry: Registry, run: Run) -> str:
    """Return a run's status as ARM tells it."""
    with client(cloud) as arm:
        answer = arm.get(f"{registry.id}/runs/{run.run_id}")
    return str(answer.json()["properties"]["status"])


def logged(run: Run) -> str:
    """Return a run's log."""
    return "\n".join(run.log)


def outputs(run: Run) -> list[str]:
    """Return what a run pushed, as repository:tag."""
    return [f"{image['repository']}:{image['tag']}" for image in run.properties["outputImages"]]
