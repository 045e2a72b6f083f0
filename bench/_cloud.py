"""A local cloud whose runs succeed by themselves, for measurements of the whole system."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from localcloud.builds.client import CONFIG, MANIFEST
from localcloud.clock import Clock
from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run, Task, azure_time

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
REPOSITORY = "images/node"
_TICK_SECONDS = 0.02


class Runs:
    """Stands in for the builders: each run goes on for a while, pushes something and succeeds.

    Args:
        cloud: Whose runs.
        seconds: How long a run goes on, in cloud time.
        newest: What the base image's tags name now, by tag.
    """

    def __init__(self, cloud: LocalCloud, seconds: float, newest: dict[str, str]) -> None:
        self._cloud = cloud
        self._seconds = seconds
        self._newest = newest
        self._going: list[tuple[float, Registry, Run]] = []
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.scheduled: list[tuple[str, float]] = []
        self.told: Callable[[str], None] = lambda _: None
        self._thread = threading.Thread(target=self._end_runs, name="bench-runs", daemon=True)
        self._thread.start()

    def submit(self, registry: Registry, run: Run) -> None:
        """Begin a run; called when scheduleRun has arrived."""
        name, now = str(run.properties["task"]).lower(), self._cloud.clock.elapsed()
        with self._cloud.state.lock:
            run.properties |= {
                "status": "Running",
                "startTime": azure_time(self._cloud.clock.now()),
            }
        with self._lock:
            self.scheduled.append((name, now))
            self._going.append((now + self._seconds, registry, run))
        self.told(name)

    def stop(self) -> None:
        """End no more runs."""
        self._stopped.set()
        self._thread.join()

    def _end_runs(self) -> None:
        while not self._stopped.wait(_TICK_SECONDS):
            now = self._cloud.clock.elapsed()
            with self._lock:
                over = [entry for entry in self._going if entry[0] <= now]
                self._going = [entry for entry in self._going if entry[0] > now]
            for _, registry, run in over:
                self._succeed(registry, run)

    def _succeed(self, registry: Registry, run: Run) -> None:
        task = registry.tasks[str(run.properties["task"]).lower()]
        pushed = hashlib.sha256(f"{task.name} {run.run_id}".encode()).hexdigest()
        output = {"registry": registry.login_server, "repository": task.name}
        with self._cloud.state.lock:
            for record in task.properties["step"]["baseImageDependencies"]:
                record["digest"] = self._newest[record["tag"]]
            run.properties |= {
                "status": "Succeeded",
                "finishTime": azure_time(self._cloud.clock.now()),
                "outputImages": [{**output, "tag": run.run_id, "digest": f"sha256:{pushed}"}],
            }


class BenchCloud:
    """One base registry and some registries of tasks, each task built on a tag of one image.

    Args:
        folder: For the cloud.
        tags: The tag that each task is built on, by the task's name.
        registries: How many registries the tasks are in.
        clock: Cloud time.
        run_seconds: How long a run goes on.
    """

    def __init__(
        self,
        folder: Path,
        tags: dict[str, str],
        registries: int = 1,
        clock: Clock | None = None,
        run_seconds: float = 1.0,
    ) -> None:
        self.cloud = LocalCloud(folder, clock=clock, builder="embedded")
        self.base = self._registry("mybase")
        self.apps = [self._registry(f"apps{number:03}") for number in range(registries)]
        self.cloud.authorize_rebuilder([self.base], self.apps)
        self.newest: dict[str, str] = {}
        for tag in dict.fromkeys(tags.values()):
            self.move(tag, "old")
        for number, (name, tag) in enumerate(tags.items()):
            self._task(self.apps[number % registries], name, tag)
        self.runs = Runs(self.cloud, run_seconds, self.newest)
        self.cloud.scheduler.submit = self.runs.submit  # type: ignore[method-assign] # no builder

    @property
    def settings(self) -> dict[str, str]:
        """The product's settings, but for its storage."""
        return {
            "REBUILDER_BASE_REGISTRIES": self.base.id,
            "REBUILDER_TASK_REGISTRIES": ",".join(registry.id for registry in self.apps),
        }

    def move(self, tag: str, text: str) -> str:
        """Let a tag of the base image name a new image; return its digest."""
        service, config = self.cloud.registry, json.dumps({"text": [tag, text]}).encode()
        described = {"mediaType": CONFIG, "size": len(config)}
        described["digest"] = service.put_blob(self.base, REPOSITORY, config)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
        data = json.dumps(manifest).encode()
        digest = service.put_manifest(
            self.base, REPOSITORY, tag, MANIFEST, data, notify=False, trigger=False
        ).digest
        self.newest[tag] = digest
        return digest

    def event(self, tag: str) -> Json:
        """Return what Event Grid tells of the tag's last move."""
        target = {"repository": REPOSITORY, "tag": tag, "digest": self.newest[tag]}
        return {
            "id": self.newest[tag],
            "topic": self.base.id,
            "subject": f"{REPOSITORY}:{tag}",
            "eventType": "Microsoft.ContainerRegistry.ImagePushed",
            "eventTime": azure_time(self.cloud.clock.now()),
            "dataVersion": "2.0",
            "metadataVersion": "1",
            "data": {
                "id": self.newest[tag],
                "timestamp": azure_time(self.cloud.clock.now()),
                "action": "push",
                "target": {"mediaType": MANIFEST, "size": 1, **target},
                "request": {"id": "1", "host": self.base.login_server, "method": "PUT"},
            },
        }

    def __enter__(self) -> Self:
        self.cloud.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runs.stop()
        self.cloud.stop()

    def _registry(self, name: str) -> Registry:
        return self.cloud.create_registry(
            subscription_id=SUBSCRIPTION,
            resource_group=f"rg-{name}",
            name=name,
            location="westeurope",
        )

    def _task(self, registry: Registry, name: str, tag: str) -> None:
        recorded = {"type": "RunTime", "registry": self.base.login_server}
        recorded |= {"repository": REPOSITORY, "tag": tag, "digest": self.newest[tag]}
        step = {
            "type": "Docker",
            # An address that nothing is read from: ACR's record is what tells the base image.
            "contextPath": "https://example.invalid/app.git",
            "dockerFilePath": "Dockerfile",
            "imageNames": [f"{name}:{{{{.Run.ID}}}}"],
            "baseImageDependencies": [recorded],
        }
        properties = {"status": "Enabled", "step": step, "provisioningState": "Succeeded"}
        registry.tasks[name] = Task(name, registry.location, properties)
