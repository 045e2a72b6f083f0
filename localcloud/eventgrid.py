"""Event Grid: subscriptions with their handshake, deliveries, retries, dead letters.

Source: learn.microsoft.com, Event Grid "delivery and retry", "webhook event delivery",
"CloudEvents schema"; the samples of Azure/azure-rest-api-specs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

import httpx

from localcloud.clock import Clock
from localcloud.network import Loop
from localcloud.state import Json, Registry, azure_time

log = logging.getLogger(__name__)

type Schema = Literal["EventGridSchema", "CloudEventSchemaV1_0"]

RETRIES = (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200)
"""Seconds before the second, third ... attempt; the last one repeats until the time to live."""

_NEVER_RETRIED = frozenset({400, 401, 403, 413})
_ANSWER_SECONDS = 30
_ORIGIN = "eventgrid.azure.net"


class SubscribeError(Exception):
    """The endpoint did not answer the handshake."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event subscription of a registry.

    Attributes:
        source: The registry's resource id, in lower case.
        name: The subscription's name.
        endpoint: The webhook.
        schema: How events are written.
        event_types: Which types are delivered; empty for all.
        dead_letters: The folder for events that are given up.
        max_events_per_batch: How many events a request holds at most.
        max_attempts: How often an event is tried.
        time_to_live: How long an event is tried.
    """

    source: str
    name: str
    endpoint: str = field(repr=False)  # it holds the function's key
    schema: Schema = "EventGridSchema"
    event_types: tuple[str, ...] = ()
    dead_letters: Path | None = None
    max_events_per_batch: int = 1
    max_attempts: int = 30
    time_to_live: timedelta = timedelta(hours=24)


class EventGrid:
    """Delivers the registries' events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = Loop("localcloud-eventgrid")
        self._http = httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False)
        self._subscriptions: list[Subscription] = []
        self._pending: dict[Subscription, list[Json]] = {}
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    def start(self) -> None:
        """Begin to deliver."""
        self._loop.start()
        self._running = True

    def stop(self) -> None:
        """Give up what is not delivered."""
        if self._running:
            self._running = False
            self._loop.run(self._http.aclose())
            self._loop.stop()

    def subscribe(
        self,
        registry: Registry,
        name: str,
        endpoint: str,
        *,
        schema: Schema = "EventGridSchema",
        event_types: Sequence[str] = (),
        dead_letters: Path | None = None,
        max_events_per_batch: int = 1,
        max_attempts: int = 30,
        time_to_live: timedelta = timedelta(hours=24),
    ) -> Subscription:
        """Subscribe a webhook to a registry's events.

        Raises:
            SubscribeError: The endpoint did not prove that it wants them.
        """
        subscription = Subscription(
            registry.id.lower(),
            name,
            endpoint,
            schema,
            tuple(event_types),
            dead_letters,
            max_events_per_batch,
            max_attempts,
            time_to_live,
        )
        self._loop.run(self._shake_hands(subscription), _ANSWER_SECONDS + 5)
        self._subscriptions.append(subscription)
        return subscription

    async def _shake_hands(self, subscription: Subscription) -> None:
        try:
            if subscription.schema == "CloudEventSchemaV1_0":
                headers = {"WebHook-Request-Origin": _ORIGIN}
                answer = await self._http.options(subscription.endpoint, headers=headers)
                allowed = answer.headers.get("WebHook-Allowed-Origin") in (_ORIGIN, "*")
            else:
                code = str(uuid.uuid4())
                event = {
                    "id": str(uuid.uuid4()),
                    "topic": subscription.source,
                    "subject": "",
                    "data": {"validationCode": code},
                    "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
                    "eventTime": azure_time(self._clock.now()),
                    "metadataVersion": "1",
                    "dataVersion": "2",
                }
                headers = {"aeg-event-type": "SubscriptionValidation"}
                answer = await self._http.post(subscription.endpoint, json=[event], headers=headers)
                allowed = answer.is_success and answer.json().get("validationResponse") == code
        except (httpx.HTTPError, ValueError) as error:
            raise SubscribeError(f"{subscription.name}: {type(error).__name__}") from error
        if not allowed:
            raise SubscribeError(f"{subscription.name}: the endpoint said {answer.status_code}")

    def envelope(
        self, schema: Schema, registry: Registry, event_type: str, subject: str, data: Json
    ) -> Json:
        """Return an event as Event Grid writes it."""
        common = {"id": data.get("id", str(uuid.uuid4())), "subject": subject, "data": data}
        now = azure_time(self._clock.now())
        if schema == "CloudEventSchemaV1_0":
            kind = {"specversion": "1.0", "source": registry.id, "type": event_type, "time": now}
            return {**kind, **common}
        return {
            "topic": registry.id,
            **common,
            "eventType": event_type,
            "eventTime": now,
            "dataVersion": "2.0",
            "metadataVersion": "1",
        }

    def publish(self, registry: Registry, event_type: str, subject: str, data: Json) -> None:
        """Deliver an event to every subscription that wants it; returns at once."""
        for subscription in self._subscriptions:
            wanted = not subscription.event_types or event_type in subscription.event_types
            if subscription.source == registry.id.lower() and wanted:
                event = self.envelope(subscription.schema, registry, event_type, subject, data)
                self.deliver(subscription, [event])

    def deliver(self, subscription: Subscription, events: Sequence[Json]) -> None:
        """Deliver events as they are; returns at once."""
        if self._running:
            self._busy += len(events)
            self._loop.loop.call_soon_threadsafe(self._enqueue, subscription, list(events))

    def wait_idle(self, seconds: float) -> bool:
        """Wait until every event was tried once; tell whether that came in time."""
        deadline = time.monotonic() + seconds
        while self._busy:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _enqueue(self, subscription: Subscription, events: list[Json]) -> None:
        size = subscription.max_events_per_batch
        waiting = self._pending.setdefault(subscription, [])
        waiting += events
        # A batch is what has come by the time the loop turns, so a single event need not wait.
        while waiting:
            batch, waiting[:size] = waiting[:size], []
            task = self._loop.loop.create_task(self._try(subscription, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _try(self, subscription: Subscription, events: list[Json]) -> None:
        published = self._clock.elapsed()
        attempt, outcome = 0, ""
        while True:
            attempt += 1
            status = await self._post(subscription, events, attempt)
            if attempt == 1:
                self._busy -= len(events)
            if 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes
                return
            outcome = f"HTTP {status}" if status else "no answer"
            wait = RETRIES[min(attempt, len(RETRIES)) - 1]
            age = self._clock.elapsed() - published + wait
            if status in _NEVER_RETRIED:
                reason = "UndeliverableDueToHttpStatus"
            elif attempt >= subscription.max_attempts:
                reason = "MaxDeliveryAttemptsExceeded"
            elif age > subscription.time_to_live.total_seconds():
                reason = "TimeToLiveExceeded"
            else:
                log.info("subscription %s: %s, again in %s s", subscription.name, outcome, wait)
                await self._clock.sleep(wait)
                continue
            self._dead_letter(subscription, events, reason, attempt, outcome)
            return

    async def _post(self, subscription: Subscription, events: list[Json], attempt: int) -> int:
        headers = {
            "aeg-event-type": "Notification",
            "aeg-subscription-name": subscription.name.upper(),
            "aeg-delivery-count": str(attempt - 1),
            "aeg-data-version": "2.0",
            "aeg-metadata-version": "1",
        }
        body: Json | list[Json] = events
        media_type = "application/json; charset=utf-8"
        if subscription.schema == "CloudEventSchemaV1_0":
            batched = subscription.max_events_per_batch > 1
            body = events if batched else events[0]
            kind = "cloudevents-batch" if batched else "cloudevents"
            media_type = f"application/{kind}+json; charset=utf-8"
        headers["Content-Type"] = media_type
        try:
            answer = await self._http.post(
                subscription.endpoint, content=json.dumps(body), headers=headers
            )
        except httpx.HTTPError as error:
            log.warning("subscription %s: %s", subscription.name, type(error).__name__)
            return 0
        return answer.status_code

    def _dead_letter(
        self, subscription: Subscription, events: list[Json], reason: str, attempts: int, last: str
    ) -> None:
        log.error("subscription %s: %s after %s attempts", subscription.name, reason, attempts)
        if subscription.dead_letters is None:
            return
        now = azure_time(self._clock.now())
        letters = [
            {
                **event,
                "deadLetterReason": reason,
                "deliveryAttempts": attempts,
                "lastDeliveryOutcome": last,
                "publishTime": event.get("eventTime", event.get("time")),
                "lastDeliveryAttemptTime": now,
            }
            for event in events
        ]
        subscription.dead_letters.mkdir(parents=True, exist_ok=True)
        path = subscription.dead_letters / f"{uuid.uuid4()}.json"
        path.write_text(json.dumps(letters, indent=2), encoding="utf-8")
