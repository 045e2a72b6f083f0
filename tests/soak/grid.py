"""Event Grid: events come late, twice, out of order or never, and are given up as blobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import azure.functions as func

from rebuilder.core.acr.references import ImageReference
from tests.soak.azure import HOSTS, SimTask, seconds

if TYPE_CHECKING:
    from tests.soak.host import Host

_EVENT_WAITS = (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600)


class Grid:
    """What tells a host of pushes and of tasks."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def pushed(self, reference: str, digest: str) -> None:
        """Tell of a push, if it is told of."""
        parsed = ImageReference.parse(reference)
        registry = HOSTS[parsed.domain]
        if registry not in self._host.settings.base_registries:
            return
        data: dict[str, object] = {
            "timestamp": self._host.azure.now.isoformat(),
            "action": "push",
            "target": {"repository": parsed.path, "tag": parsed.tag, "digest": digest},
        }
        self._tell("image_pushed", str(registry), "Microsoft.ContainerRegistry.ImagePushed", data)

    def changed(self, task: SimTask) -> None:
        """Tell of a task that was created, changed or deleted."""
        kind = "Write" if task.exists else "Delete"
        data: dict[str, object] = {"resourceUri": str(task.id), "operationName": "write"}
        self._tell(
            "task_changed",
            "/subscriptions/s1",
            f"Microsoft.Resources.Resource{kind}Success",
            data,
            str(task.id),
        )

    def _tell(
        self, function: str, topic: str, kind: str, data: dict[str, object], subject: str = "image"
    ) -> None:
        host = self._host
        if host.rng.random() < host.weather.lost:
            host.events_lost += 1
            host.note(f"event of {subject} is lost")
            return
        event = func.EventGridEvent(
            id=f"e{host.rng.getrandbits(32):08x}",
            data=data,
            topic=topic,
            subject=subject,
            event_type=kind,
            event_time=host.azure.now,
            data_version="1",
        )
        times = (
            1 + (host.rng.random() < host.weather.twice) + (host.rng.random() < host.weather.twice)
        )
        for _ in range(times):
            wait = host.rng.uniform(0.1, 8) ** 2
            self._deliver(function, event, 0.1 if host.prompt else wait, 0)

    def _deliver(self, function: str, event: func.EventGridEvent, wait: float, tries: int) -> None:
        def end(error: BaseException | None) -> None:
            if error is None:
                return
            if tries == len(_EVENT_WAITS):
                body = {
                    "id": event.id,
                    "topic": event.topic,
                    "subject": event.subject,
                    "data": event.get_json(),
                }
                body |= {
                    "eventType": event.event_type,
                    "deadLetterReason": "MaxDeliveryAttemptsExceeded",
                }
                self._host.dead_events.blobs[f"{event.id}.json"] = json.dumps([body]).encode()
                return
            self._deliver(function, event, _EVENT_WAITS[tries], tries + 1)

        self._host.azure.at(
            self._host.azure.now + seconds(wait), lambda: self._host.invoke(function, event, end)
        )
