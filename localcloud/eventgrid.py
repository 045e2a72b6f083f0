"""Event Grid: subscriptions with their handshake, deliveries, retries, dead letters.

Source: learn.microsoft.com, Event Grid "delivery and retry", "webhook event delivery",
"CloudEvents schema"; the samples of Azure/azure-rest-api-specs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import ssl
import threading
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx

from localcloud import switches
from localcloud.clock import Clock
from localcloud.directory import TENANT_ID
from localcloud.eventfilters import AdvancedFilter
from localcloud.network import Loop
from localcloud.state import Json, Registry, azure_time
from localcloud.switches import AtLeast

log = logging.getLogger(__name__)

type Schema = Literal["EventGridSchema", "CloudEventSchemaV1_0"]

RETRIES = (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200)
"""Seconds before the second, third ... attempt; the last one repeats until the time to live."""

_NEVER_RETRIED = frozenset({400, 401, 403, 413})
_SUCCESS = range(200, 205)  # no other status is one: "delivery and retry", message delivery status
_ANSWER_SECONDS = 30.0
_NAMES = {413: "RequestEntityTooLarge"}  # .NET has kept the old name
_ORIGIN = "eventgrid.azure.net"


@dataclass(slots=True)
class EventBehaviour:
    """How badly events are delivered, within what Event Grid's documentation allows.

    Attributes:
        copies: How often every event is delivered.
        lose: How many of the next events never arrive.
        late: How many seconds of cloud time pass before an event is delivered.
        reverse: So many deliveries are held back, and then made in the opposite order, each when
            the one before was answered; 1 holds none back.
        shuffle: The same, in an order that `seed` decides.
        seed: What decides the order of shuffled deliveries.
        replicas: Whether a push to a geo-replicated registry is an event of every region, each
            with its own id and location.
    """

    copies: Annotated[int, AtLeast(1)] = 1
    lose: int = 0
    late: float = 0.0
    reverse: Annotated[int, AtLeast(1)] = 1
    shuffle: Annotated[int, AtLeast(1)] = 1
    seed: int = 0
    replicas: bool = True


class SubscribeError(Exception):
    """The endpoint did not answer the handshake."""


@dataclass(frozen=True, slots=True)
class SystemTopic:
    """What an Azure subscription or resource group tells of: changes of its resources.

    Attributes:
        id: The resource id of the subscription or the group.
    """

    id: str


type Topic = Registry | SystemTopic


@dataclass(frozen=True, slots=True)
class DeadLetterContainer:
    """A blob container that events go to when they are given up.

    Attributes:
        account_id: The storage account's resource id.
        container: The container's name.
        topic: The name of the system topic, by which its blobs begin.
        principal_id: Who writes: the object id of the topic's identity.
    """

    account_id: str
    container: str
    topic: str
    principal_id: str


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """A storage queue that events are put into.

    Attributes:
        account_id: The storage account's resource id.
        queue: The queue's name.
        principal_id: Who writes: the object id of the topic's identity.
        seconds: How long a message is kept; -1 for as long as nobody takes it.
    """

    account_id: str
    queue: str
    principal_id: str
    seconds: int = 604_800


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event subscription of a registry, an Azure subscription or a resource group.

    Attributes:
        source: The resource id of what is subscribed to, in lower case.
        name: The subscription's name.
        endpoint: The webhook.
        schema: How events are written.
        event_types: Which types are delivered; empty for all.
        dead_letters: The folder or the container for events that are given up.
        max_events_per_batch: How many events a request holds at most.
        max_attempts: How often an event is tried.
        time_to_live: How long an event is tried.
        subject_begins_with: What subjects begin with.
        subject_ends_with: What subjects end with.
        advanced: What else events must meet.
        function: The resource id of a function, whose address is looked up for each delivery;
            then the endpoint is empty.
        queue: The queue that events go into instead; the endpoint is empty then, too.
        minds_case: Whether what subjects begin and end with is compared with its case.
    """

    source: str
    name: str
    endpoint: str = field(repr=False)  # it holds the function's key
    schema: Schema = "EventGridSchema"
    event_types: tuple[str, ...] = ()
    dead_letters: Path | DeadLetterContainer | None = None
    max_events_per_batch: int = 1
    max_attempts: int = 30
    time_to_live: timedelta = timedelta(hours=24)
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    advanced: tuple[AdvancedFilter, ...] = ()
    function: str = ""
    queue: QueuePlace | None = None
    minds_case: bool = False

    def wants(self, source: str, event_type: str, subject: str) -> bool:
        """Tell whether an event of a source passes the filters."""
        begins, ends = self.subject_begins_with, self.subject_ends_with
        if not self.minds_case:
            subject, begins, ends = subject.lower(), begins.lower(), ends.lower()
        return (
            self.source == source.lower()
            and (not self.event_types or event_type in self.event_types)
            and subject.startswith(begins)
            and subject.endswith(ends)
        )


@cache
def _public_authorities() -> ssl.SSLContext:
    """Return whom webhooks of others are trusted by; slow to read."""
    return httpx.create_ssl_context()


class EventGrid:
    """Delivers the registries' events.

    Args:
        clock: Cloud time, by which retries wait.
        answer_seconds: See below.

    Attributes:
        answer_seconds: Real seconds that an endpoint has to answer; code does not run faster
            because the cloud's clock does.
    """

    def __init__(self, clock: Clock, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._clock = clock
        self.answer_seconds = answer_seconds
        self._loop = Loop("localcloud-eventgrid")
        self._http = httpx.AsyncClient(
            timeout=None,  # noqa: S113 - each request has the time of the whole answer
            trust_env=False,
            verify=_public_authorities(),
        )
        self._subscriptions: list[Subscription] = []
        self._pending: dict[Subscription, list[Json]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self._changed = threading.Condition()
        self._busy = 0  # events that wait for their first delivery, or are on their way
        self.behaviour = EventBehaviour()
        self._held: list[tuple[Subscription, Json]] = []
        self.find_function: Callable[[str], str] = lambda _: ""
        self.put_blob: Callable[[DeadLetterContainer, str, bytes], None] | None = None
        self.put_message: Callable[[QueuePlace, str], int] | None = None
        # It logs whole addresses, and a webhook's address holds its key.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    # How functions are found, dead letters and messages written, the cloud alone knows, and sets.

    def start(self) -> None:
        """Begin to deliver."""
        self._loop.start()
        self._running = True

    def stop(self) -> None:
        """Give up what is not delivered."""
        if self._running:
            self._running = False
            self._loop.run(self._close())
            self._loop.stop()
            self._account(-self._busy)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def subscribe(  # noqa: PLR0913 - Event Grid has so many options
        self,
        topic: Topic,
        name: str,
        endpoint: str,
        *,
        schema: Schema = "EventGridSchema",
        event_types: Sequence[str] | None = None,
        dead_letters: Path | DeadLetterContainer | None = None,
        max_events_per_batch: int = 1,
        max_attempts: int = 30,
        time_to_live: timedelta = timedelta(hours=24),
        subject_begins_with: str = "",
        subject_ends_with: str = "",
        advanced: tuple[AdvancedFilter, ...] = (),
        function: str = "",
        queue: QueuePlace | None = None,
        minds_case: bool = False,
    ) -> Subscription:
        """Subscribe a webhook, a function or a queue to a topic; one of the same name is replaced.

        Raises:
            SubscribeError: The endpoint did not prove that it wants them.
        """
        subscription = Subscription(
            topic.id.lower(),
            name,
            endpoint,
            schema,
            event_types=tuple(event_types or ()),
            dead_letters=dead_letters,
            max_events_per_batch=max_events_per_batch,
            max_attempts=max_attempts,
            time_to_live=time_to_live,
            subject_begins_with=subject_begins_with,
            subject_ends_with=subject_ends_with,
            advanced=advanced,
            function=function,
            queue=queue,
            minds_case=minds_case,
        )
        # A function's host answers the handshake for it; Event Grid has asked ARM instead. A queue
        # has nobody to ask.
        if not function and queue is None:
            shaken = asyncio.wait_for(self._shake_hands(subscription), self.answer_seconds)
            try:
                self._loop.run(shaken, self.answer_seconds + 60)
            except TimeoutError as error:
                raise SubscribeError(f"{name}: the endpoint does not answer") from error
        with self._changed:
            others = [
                s
                for s in self._subscriptions
                if (s.source, s.name.lower()) != (subscription.source, name.lower())
            ]
            self._subscriptions = [*others, subscription]
        return subscription

    def subscriptions(self, topic: Topic) -> list[Subscription]:
        """Return a topic's subscriptions."""
        with self._changed:
            return [s for s in self._subscriptions if s.source == topic.id.lower()]

    def unsubscribe(self, topic: Topic, name: str) -> bool:
        """End a subscription; tell whether there was one."""
        gone = {s for s in self.subscriptions(topic) if s.name.lower() == name.lower()}
        with self._changed:
            self._subscriptions = [s for s in self._subscriptions if s not in gone]
        return bool(gone)

    async def _shake_hands(self, subscription: Subscription) -> None:
        try:
            if subscription.schema == "CloudEventSchemaV1_0":
                headers = {"WebHook-Request-Origin": _ORIGIN}
                answer = await self._http.options(subscription.endpoint, headers=headers)
                origin = answer.headers.get("WebHook-Allowed-Origin")
                allowed = answer.is_success and origin in (_ORIGIN, "*")
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
                headers = {
                    "aeg-event-type": "SubscriptionValidation",
                    "aeg-subscription-name": subscription.name.upper(),
                }
                answer = await self._http.post(subscription.endpoint, json=[event], headers=headers)
                said = answer.json() if answer.is_success else None
                allowed = isinstance(said, dict) and said.get("validationResponse") == code
        except (httpx.HTTPError, ValueError) as error:
            raise SubscribeError(f"{subscription.name}: {type(error).__name__}") from error
        if not allowed:
            raise SubscribeError(f"{subscription.name}: the endpoint said {answer.status_code}")

    def envelope(
        self, schema: Schema, topic: Topic, event_type: str, subject: str, data: Json
    ) -> Json:
        """Return an event as Event Grid writes it."""
        common = {"id": data.get("id", str(uuid.uuid4())), "subject": subject, "data": data}
        now = azure_time(self._clock.now())
        if schema == "CloudEventSchemaV1_0":
            kind = {"specversion": "1.0", "source": topic.id, "type": event_type, "time": now}
            return {**kind, **common}
        return {
            "topic": topic.id,
            **common,
            "eventType": event_type,
            "eventTime": now,
            "dataVersion": "2" if event_type.startswith("Microsoft.Resources.") else "2.0",
            "metadataVersion": "1",
        }

    def distort(self, **changes: float) -> None:
        """Deliver as badly as these fields of EventBehaviour say, otherwise well, from now on."""
        switches.reset(self.behaviour)
        for name, value in changes.items():
            setattr(self.behaviour, name, value)
        self.settle()

    def settle(self) -> None:
        """Let go what was held back and need not be, now that the behaviour has changed."""
        with self._changed:
            released = self._released()
        self._send_in_order(released)

    def publish(self, topic: Topic, event_type: str, subject: str, data: Json) -> None:
        """Deliver an event to every subscription that wants it; returns at once."""
        made: list[tuple[Subscription, Json]] = []
        with self._changed:
            wanting = [s for s in self._subscriptions if s.wants(topic.id, event_type, subject)]
            for told in self._of_regions(topic, data):
                if self.behaviour.lose > 0:
                    self.behaviour.lose -= 1
                    continue
                envelopes = [
                    (s, self.envelope(s.schema, topic, event_type, subject, told)) for s in wanting
                ]
                made += [
                    (s, event)
                    for s, event in envelopes
                    if all(condition.passes(event) for condition in s.advanced)
                    for _ in range(self.behaviour.copies)
                ]
            released = []
            if max(self.behaviour.reverse, self.behaviour.shuffle) > 1:
                self._held += made
                made, released = [], self._released()
        self._send_in_order(released)
        self._send(made)

    def _of_regions(self, topic: Topic, data: Json) -> list[Json]:
        """Return an event's data, and what a registry's replicas tell when they have it, too."""
        told = [data]
        if self.behaviour.replicas and isinstance(topic, Registry):
            told += [
                {**data, "id": str(uuid.uuid4()), "location": replica.location}
                for replica in topic.replications.values()
            ]
        return told

    def publish_change(self, resource_id: str, kind: str, *, deleted: bool = False) -> None:
        """Tell that a resource was written or deleted, as its subscription and its group do.

        Source of the shape: learn.microsoft.com, "Azure subscription as an Event Grid source".

        Args:
            resource_id: The resource.
            kind: Its type, with its provider.
            deleted: Whether it is gone.
        """
        _, _, subscription, _, group, *_ = resource_id.split("/")
        word = "Delete" if deleted else "Write"
        action = f"{kind}/{word.lower()}"
        # Event Grid writes the ids of these events so, whatever ARM does.
        place = resource_id.replace("/resourceGroups/", "/resourcegroups/")
        data = {
            "authorization": {"scope": place, "action": action},
            "correlationId": str(uuid.uuid4()),
            "resourceProvider": kind.partition("/")[0],
            "resourceUri": place,
            "operationName": action,
            "status": "Succeeded",
            "subscriptionId": subscription,
            "tenantId": TENANT_ID,
        }
        whole = f"/subscriptions/{subscription}"
        with self._changed:
            subscribed = {s.source for s in self._subscriptions}
        for topic in (whole, f"{whole}/resourceGroups/{group}"):
            # Where nobody listens there is no event, so none is lost instead of another.
            if topic.lower() in subscribed:
                event_type = f"Microsoft.Resources.Resource{word}Success"
                self.publish(SystemTopic(topic), event_type, place, data)

    def _released(self) -> list[tuple[Subscription, Json]]:
        """Take what is held back if it is enough, in the order in which it is to be delivered."""
        behaviour = self.behaviour
        if len(self._held) < max(behaviour.reverse, behaviour.shuffle):
            return []
        released, self._held = self._held, []
        if behaviour.shuffle > 1:
            random.Random(behaviour.seed).shuffle(released)  # noqa: S311 - an order, no secret
        elif behaviour.reverse > 1:
            released.reverse()
        return released

    def deliver(self, subscription: Subscription, events: Sequence[Json]) -> None:
        """Deliver events as they are, in batches as the subscription allows; returns at once."""
        if self._running:
            self._account(len(events))
            self._loop.loop.call_soon_threadsafe(self._enqueue, subscription, list(events))

    def _send(self, made: Sequence[tuple[Subscription, Json]]) -> None:
        late = self.behaviour.late

        async def send() -> None:
            await self._clock.sleep(late)
            for subscription, event in made:
                self._enqueue(subscription, [event])

        if late > 0:
            self._begin(send(), len(made))
            return
        for subscription, event in made:
            self.deliver(subscription, [event])

    def _send_in_order(self, made: Sequence[tuple[Subscription, Json]]) -> None:
        late = self.behaviour.late

        async def send() -> None:
            await self._clock.sleep(late)
            for subscription, event in made:
                await self._try(subscription, [event])

        self._begin(send(), len(made))

    def _begin(self, work: Coroutine[Any, Any, None], events: int) -> None:
        """Start to deliver events, which are under way from now on."""
        if self._running and events:
            self._account(events)
            self._loop.loop.call_soon_threadsafe(self._keep, work)
        else:
            work.close()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until every event was tried once and none is on its way.

        Events that wait for another attempt, or are held back, are not waited for.

        Returns:
            Whether that came in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, seconds)

    def _account(self, change: int) -> None:
        with self._changed:
            self._busy += change
            self._changed.notify_all()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _enqueue(self, subscription: Subscription, events: list[Json]) -> None:
        if subscription not in self._pending:
            # A batch is what has come by the time the loop turns, so one event need not wait.
            self._loop.loop.call_soon(self._flush, subscription)
        self._pending.setdefault(subscription, []).extend(events)

    def _flush(self, subscription: Subscription) -> None:
        waiting = self._pending.pop(subscription)
        for first in range(0, len(waiting), subscription.max_events_per_batch):
            batch = waiting[first : first + subscription.max_events_per_batch]
            self._keep(self._try(subscription, batch))

    async def _try(self, subscription: Subscription, events: list[Json]) -> None:
        """Deliver until it succeeds or is given up; the events are accounted for already."""
        try:
            await self._attempts(subscription, events)
        finally:
            self._account(-len(events))

    async def _attempts(self, subscription: Subscription, events: list[Json]) -> None:
        published, published_at = self._clock.elapsed(), azure_time(self._clock.now())
        attempt = 0
        while True:
            attempt += 1
            status, name = await self._post(subscription, events, attempt)
            if status in _SUCCESS:
                return
            wait = RETRIES[min(attempt, len(RETRIES)) - 1]
            age = self._clock.elapsed() - published + wait
            if status in _NEVER_RETRIED:
                reason = f"UndeliverableDueToHttp{name}"
            elif attempt >= subscription.max_attempts:
                reason = "MaxDeliveryAttemptsExceeded"
            elif age > subscription.time_to_live.total_seconds():
                reason = "TimeToLiveExceeded"
            else:
                log.info("subscription %s: %s, again in %s s", subscription.name, name, wait)
                self._account(-len(events))
                try:
                    await self._clock.sleep(wait)
                finally:
                    self._account(len(events))
                continue
            await self._dead_letter(subscription, events, reason, attempt, name, published_at)
            return

    async def _post(
        self, subscription: Subscription, events: list[Json], attempt: int
    ) -> tuple[int, str]:
        """Return the answer's status, 0 for none, and its name."""
        if subscription.queue is not None:
            return await self._put_messages(subscription, subscription.queue, events)
        body: Json | list[Json] = events
        media_type = "application/json"
        if subscription.schema == "CloudEventSchemaV1_0":
            batched = subscription.max_events_per_batch > 1
            body = events if batched else events[0]
            media_type = f"application/cloudevents{'-batch' if batched else ''}+json"
        headers = {
            "Content-Type": f"{media_type}; charset=utf-8",
            **_headers(subscription, events, attempt),
        }
        endpoint = subscription.endpoint
        if subscription.function:
            endpoint = self.find_function(subscription.function)
            if not endpoint:
                return 404, _status_name(404)
        try:
            # Around the whole request: httpx's own limit is for each step of it.
            async with asyncio.timeout(self.answer_seconds):
                answer = await self._http.post(endpoint, content=json.dumps(body), headers=headers)
        except (TimeoutError, httpx.TimeoutException):
            return 0, "TimedOut"
        except httpx.HTTPError as error:
            log.warning("subscription %s: %s", subscription.name, type(error).__name__)
            return 0, "SocketError"
        return answer.status_code, _status_name(answer.status_code)

    async def _put_messages(
        self, subscription: Subscription, place: QueuePlace, events: list[Json]
    ) -> tuple[int, str]:
        """Put events into a queue, a message each: Base64 of their JSON."""
        try:
            if self.put_message is None:
                raise RuntimeError("there is no storage")  # noqa: TRY301 - logged as the others
            for event in events:
                text = base64.b64encode(json.dumps(event).encode()).decode()
                status = await asyncio.to_thread(self.put_message, place, text)
                if status != HTTPStatus.CREATED:
                    return status, _status_name(status)
        except (RuntimeError, httpx.HTTPError) as error:
            log.warning("subscription %s: %s", subscription.name, error)
            return 0, "SocketError"
        return 200, _status_name(200)

    async def _dead_letter(
        self,
        subscription: Subscription,
        events: list[Json],
        reason: str,
        attempts: int,
        outcome: str,
        published_at: str,
    ) -> None:
        log.error("subscription %s: %s after %s attempts", subscription.name, reason, attempts)
        if subscription.dead_letters is None:
            return
        added = {
            "deadLetterReason": reason,
            "deliveryAttempts": attempts,
            "lastDeliveryOutcome": outcome,
            "publishTime": published_at,
            "lastDeliveryAttemptTime": azure_time(self._clock.now()),
        }
        if subscription.schema == "CloudEventSchemaV1_0":
            # CloudEvents allows lower case alone in the names of attributes.
            added = {name.lower(): value for name, value in added.items()}
        letters = [{**event, **added} for event in events]
        content = json.dumps(letters, indent=2)
        if isinstance(subscription.dead_letters, DeadLetterContainer):
            await self._put_letters(subscription.dead_letters, subscription.name, content)
            return
        subscription.dead_letters.mkdir(parents=True, exist_ok=True)
        path = subscription.dead_letters / f"{uuid.uuid4()}.json"
        # Whole or not at all: somebody may be looking.
        part = path.with_suffix(".part")
        part.write_text(content, encoding="utf-8")
        part.rename(path)

    async def _put_letters(self, place: DeadLetterContainer, name: str, content: str) -> None:
        """Write dead letters as a blob; they are lost if the topic's identity may not."""
        now = self._clock.now()
        # Event Grid writes the subscription's name in capitals, and the hour without a zero.
        hour = f"{now:%Y/%m/%d}/{now.hour}"
        blob = f"{place.topic}/{name.upper()}/{hour}/{uuid.uuid4()}.json"
        try:
            if self.put_blob is None:
                raise RuntimeError("there is no storage")  # noqa: TRY301 - logged as the others
            await asyncio.to_thread(self.put_blob, place, blob, content.encode())
        except (RuntimeError, httpx.HTTPError) as error:
            log.error("subscription %s: dead letters are lost: %s", name, error)  # noqa: TRY400


def _headers(subscription: Subscription, events: list[Json], attempt: int) -> dict[str, str]:
    """Return the headers of a delivery; see "webhook event delivery", message headers."""
    first = events[0]
    headers: dict[str, object] = {
        "aeg-event-type": "Notification",
        "aeg-subscription-name": subscription.name.upper(),
        "aeg-delivery-count": attempt - 1,
    }
    if len(events) == 1:
        headers["aeg-output-event-id"] = first.get("id", "")
    if subscription.schema == "CloudEventSchemaV1_0":
        headers["aeg-metadata-version"] = first.get("specversion", "1.0")
    else:
        headers["aeg-metadata-version"] = first.get("metadataVersion", "1")
        headers["aeg-data-version"] = first.get("dataVersion", "")
    return {name: quote(str(value), safe=" :/") for name, value in headers.items()}


def _status_name(status: int) -> str:
    """Return a status as Event Grid names it: NotFound, BadRequest."""
    try:
        return _NAMES.get(status) or HTTPStatus(status).phrase.title().replace(" ", "")
    except ValueError:
        return str(status)
