"""Azure as the live checks ask it: plain requests to ARM, and answers that are written down."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import requests
from azure.core.credentials import TokenCredential

from rebuilder.azure.acr.images import AcrImages
from rebuilder.azure.acr.tasks import ArmTasks
from rebuilder.azure.identity import credential, registry_tokens
from rebuilder.core.acr.registries import RegistryId, TaskId

type Json = dict[str, Any]

ARM = "https://management.azure.com"
TASKS = "2025-03-01-preview"
REGISTRIES = "2025-11-01"
WANTED = {
    "REBUILDER_LIVE_SUBSCRIPTION": "the id of a subscription that may be written to",
    "REBUILDER_LIVE_GROUP": "the resource group of the registry",
    "REBUILDER_LIVE_REGISTRY": "the name of a registry that nothing else uses",
    "REBUILDER_LIVE_CONTEXT": "a git address whose Dockerfile is `ARG BASE` and `FROM ${BASE}`",
    "REBUILDER_LIVE_IMAGES": "two images in the registry, REPOSITORY:TAG REPOSITORY:TAG",
}
RECORD = "REBUILDER_LIVE_RECORD"
MOVING = "live/base"
TAG = "moving"
_SECONDS = 900


def missing(env: Mapping[str, str] = os.environ) -> str:
    """Return what has to be set before anything can be checked; "" if all is."""
    absent = [f"{name}: {what}" for name, what in WANTED.items() if not env.get(name, "").strip()]
    return "\n".join(["The live checks need", *absent]) if absent else ""


@dataclass(frozen=True, slots=True)
class Live:
    """The registry that is asked, and the task that is run in it.

    Attributes:
        identity: Who asks.
        registry: The registry.
        host: Its login server.
        context: The build context.
        images: Two images in it.
        record: Where answers are written.
        tasks: The product's own adapter.
        contents: The same, for images.
    """

    identity: TokenCredential
    registry: RegistryId
    host: str
    context: str
    images: tuple[str, str]
    record: Path
    tasks: ArmTasks
    contents: AcrImages

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Return what the environment names; `missing` is to be "" for it."""
        subscription, group, name, context, images = (env[wanted].strip() for wanted in WANTED)
        identity = credential("")
        registry = RegistryId(subscription.lower(), group.lower(), name.lower())
        first, second = images.split()
        tasks = ArmTasks(identity, ARM)
        return cls(
            identity,
            registry,
            tasks.registry(registry).login_server,
            context,
            (first, second),
            Path(env.get(RECORD, "").strip() or "live-checks.jsonl"),
            tasks,
            AcrImages(identity, ARM),
        )

    def close(self) -> None:
        """Close the connections."""
        self.tasks.close()
        self.contents.close()

    @property
    def task(self) -> TaskId:
        """The task that the checks make."""
        return TaskId(self.registry, "rebuilder-live")

    @property
    def task_place(self) -> str:
        """Its resource id as ARM writes it."""
        return f"{self.place}/tasks/{self.task.name}"

    @property
    def place(self) -> str:
        """The registry's resource id as ARM writes it."""
        found = self.registry
        return (
            f"/subscriptions/{found.subscription}/resourceGroups/{found.resource_group}"
            f"/providers/Microsoft.ContainerRegistry/registries/{found.name}"
        )

    @property
    def base(self) -> str:
        """The image that the task is built on."""
        return f"{self.host}/{MOVING}:{TAG}"

    def ask(
        self,
        method: str,
        place: str,
        body: Json | None = None,
        *,
        version: str = TASKS,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send ARM a request, once."""
        token = self.identity.get_token(f"{ARM}/.default").token
        return requests.request(
            method,
            f"{ARM}{place}",
            params={"api-version": version, **(query or {})},
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    def read(self, place: str, **more: Any) -> Json:  # noqa: ANN401 - as `ask` takes them
        """Return what ARM tells of a resource."""
        answer = self.ask("GET", place, **more)
        answer.raise_for_status()
        found: Json = answer.json()
        return found

    def write_task(self) -> None:
        """Make the task anew: what it is built on, it learns only by its build argument."""
        body = {
            "location": self.read(self.place, version=REGISTRIES)["location"],
            "properties": {
                "platform": {"os": "Linux", "architecture": "amd64"},
                "step": {
                    "type": "Docker",
                    "contextPath": self.context,
                    "dockerFilePath": "Dockerfile",
                    "imageNames": ["live/app:{{.Run.ID}}"],
                    "arguments": [{"name": "BASE", "value": self.base, "isSecret": False}],
                },
            },
        }
        self.ask("PUT", self.task_place, body).raise_for_status()

    def move(self, image: str) -> str:
        """Let the moving tag name an image; return its digest."""
        repository, _, tag = image.partition(":")
        body = {
            "source": {"resourceId": self.place, "sourceImage": image},
            "targetTags": [f"{MOVING}:{TAG}"],
            "mode": "Force",
        }
        self.ask("POST", f"{self.place}/importImage", body, version=REGISTRIES).raise_for_status()
        wanted = self.contents.digest(self.host, repository, tag)
        until(lambda: self.contents.digest(self.host, MOVING, TAG) == wanted)
        return str(wanted)

    def run(self, mark: str = "bGl2ZQ==") -> str:
        """Run the task to its end as the product does; return the run's id.

        Args:
            mark: The update trigger token, in Base64.
        """
        run_id = self.tasks.schedule(self.task, mark)
        until(lambda: self.status(run_id) not in ("Queued", "Started", "Running"))
        return run_id

    def status(self, run_id: str) -> str:
        """Return a run's status."""
        return str(self.read(f"{self.place}/runs/{run_id}")["properties"]["status"])

    def dependencies(self) -> list[Json]:
        """Return what ARM has recorded of the task."""
        step = self.read(self.task_place)["properties"]["step"]
        return step.get("baseImageDependencies") or []

    def registry_token(self) -> str:
        """Return a token of the registry for pulling the moving image."""
        aad = registry_tokens(self.identity, ARM)(self.host)
        grant = {"grant_type": "access_token", "service": self.host, "access_token": aad}
        refresh = requests.post(f"https://{self.host}/oauth2/exchange", data=grant, timeout=60)
        refresh.raise_for_status()
        asked = {
            "grant_type": "refresh_token",
            "service": self.host,
            "scope": f"repository:{MOVING}:pull",
            "refresh_token": refresh.json()["refresh_token"],
        }
        access = requests.post(f"https://{self.host}/oauth2/token", data=asked, timeout=60)
        access.raise_for_status()
        return str(access.json()["access_token"])

    def note(self, row: int, answer: object) -> None:
        """Write down what a row's answer is."""
        line = {"row": row, "answer": answer, "at": datetime.now(UTC).isoformat()}
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def until(look: Callable[[], object], seconds: float = _SECONDS) -> float:
    """Wait until something is so; return how many seconds that took."""
    began = time.monotonic()
    while not look():
        waited = time.monotonic() - began
        assert waited < seconds, f"not so after {waited:.0f} seconds"
        time.sleep(0.5)
    return time.monotonic() - began
