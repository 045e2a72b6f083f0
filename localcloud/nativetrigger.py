"""ACR's own base image trigger: what rebuilds images without this product, or besides it.

It knows of Azure registries only; the polling of Docker Hub and MCR is not imitated.

Source: learn.microsoft.com, "About base image updates for ACR Tasks"; Azure/acr issue 373 (a push
of the same manifest starts nothing), azure-cli issue 9449 (Runtime and All).
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from localcloud.clock import Clock
from localcloud.network import Loop
from localcloud.state import Json, Registry, Run, State, Task, acr_time, platform_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class NativeTriggerBehaviour:
    """How ACR's base image trigger behaves.

    Attributes:
        enabled: Whether there is one.
        seconds: How much cloud time passes between a push and the run that it starts.
    """

    enabled: bool = False
    seconds: float = 0.0


class NativeTrigger:
    """Starts the runs of tasks whose recorded base image was pushed with another digest.

    Args:
        state: Registries, tasks and runs.
        clock: Cloud time.
        submit: Takes a queued run.
    """

    def __init__(self, state: State, clock: Clock, submit: Callable[[Registry, Run], None]) -> None:
        self.behaviour = NativeTriggerBehaviour()
        self._state = state
        self._clock = clock
        self._submit = submit
        self._loop = Loop("localcloud-nativetrigger")
        self._running = False
        self._changed = threading.Condition()
        self._waiting = 0

    def start(self) -> None:
        """Begin to start runs."""
        self._loop.start()
        self._running = True

    def stop(self) -> None:
        """Forget the runs that wait for their time."""
        if self._running:
            self._running = False
            self._loop.stop()

    def pushed(self, registry: Registry, repository: str, tag: str, digest: str) -> None:
        """Start what is built on a tag that names another digest now; returns at once."""
        if not (self.behaviour.enabled and self._running):
            return
        image = {
            "registry": registry.login_server,
            "repository": repository,
            "tag": tag,
            "digest": digest,
        }
        # Decided now: what is recorded when the run's time has come may be newer than this push.
        with self._state.lock:
            due = [
                (owner, task)
                for owner in self._state.registries()
                for task in owner.tasks.values()
                if self._is_due(task, registry, image)
            ]
        if self.behaviour.seconds > 0 and due:
            self._account(1)
            work = self._start_later(due, image, self.behaviour.seconds)
            self._loop.loop.call_soon_threadsafe(self._loop.loop.create_task, work)
        else:
            self._start(due, image)

    @property
    def waiting(self) -> bool:
        """Whether runs wait for their time."""
        return self._waiting > 0

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no run waits for its time; tell whether that came in so many real seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def _is_due(self, task: Task, registry: Registry, image: Json) -> bool:
        trigger = (task.properties.get("trigger") or {}).get("baseImageTrigger") or {}
        step = task.properties.get("step") or {}
        if task.properties.get("status") != "Enabled" or trigger.get("status") != "Enabled":
            return False
        every = trigger.get("baseImageTriggerType") == "All"
        # One entry per output tag names the same image several times; it is one reason, not many.
        return any(
            (every or str(entry["type"]).lower() == "runtime")
            and (entry["repository"], entry["tag"]) == (image["repository"], image["tag"])
            and entry["digest"] != image["digest"]
            and self._state.by_host(entry["registry"]) is registry
            for entry in step.get("baseImageDependencies") or []
        )

    async def _start_later(
        self, due: list[tuple[Registry, Task]], image: Json, seconds: float
    ) -> None:
        try:
            await self._clock.sleep(seconds)
            self._start(due, image)
        finally:
            self._account(-1)

    def _start(self, due: list[tuple[Registry, Task]], image: Json) -> None:
        for registry, task in due:
            with self._state.lock:
                run = self._queued(registry, task, image)
            log.info("base image trigger: run %s of task %s", run.run_id, task.name)
            self._submit(registry, run)

    def _queued(self, registry: Registry, task: Task, image: Json) -> Run:
        now = acr_time(self._clock.now())
        run_id = self._state.next_run_id(registry)
        step = task.properties["step"]
        properties: Json = {
            "runId": run_id,
            "status": "Queued",
            "lastUpdatedTime": now,
            "createTime": now,
            "runType": "AutoBuild" if step.get("type") == "Docker" else "AutoRun",
            "task": task.name,
            "imageUpdateTrigger": {"id": str(uuid.uuid4()), "timestamp": now, "images": [image]},
            "platform": platform_of(task.properties.get("platform")),
            "agentConfiguration": task.properties.get("agentConfiguration") or {"cpu": 2},
            "provisioningState": "Succeeded",
            "isArchiveEnabled": False,
            "outputImages": [],
        }
        run = Run(run_id, properties)
        registry.runs[run_id] = run
        return run

    def _account(self, change: int) -> None:
        with self._changed:
            self._waiting += change
            self._changed.notify_all()
