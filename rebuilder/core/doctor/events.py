"""Mistakes with the events of base registries, on their way to image_pushed."""

from __future__ import annotations

import json

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor._finding import SITE, Finding, Severity, assign, az, short
from rebuilder.core.doctor.setup import IMAGE_PUSHED, PUSH_FUNCTION, EventSubscription, Topic

_ACCOUNT = (
    "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage"
    "/storageAccounts/ACCOUNT"
)


def _container_id(account: str, container: str) -> str:
    return f"{account}/blobServices/default/containers/{container}"


def _queue_id(account: str, queue: str) -> str:
    return f"{account}/queueServices/default/queues/{queue}"


def _rest(method: str, place: str, body: object) -> str:
    text = json.dumps(body)
    return az(
        "rest", "--method", method, "--url", f"{place}?api-version=2025-02-15", "--body", text
    )


def _filter() -> dict[str, object]:
    return {
        "includedEventTypes": [IMAGE_PUSHED],
        "subjectBeginsWith": "",
        "subjectEndsWith": "",
        "advancedFilters": [],
    }


def _dead_letter_place(account: str, container: str) -> dict[str, object]:
    return {
        "identity": {"type": "SystemAssigned"},
        "deadLetterDestination": {
            "endpointType": "StorageBlob",
            "properties": {"resourceId": account, "blobContainerName": container},
        },
    }


_FOREVER = -1
_RETRIES = {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}


class EventFinding(Finding, frozen=True):
    """Something about a base registry's events.

    Attributes:
        registry: The registry.
        subscription: What is subscribed.
    """

    registry: RegistryId
    subscription: EventSubscription

    def _patch(self, **changes: object) -> tuple[str, ...]:
        # `az eventgrid system-topic event-subscription update` takes neither retries nor dead
        # letters by an identity.
        topic = self.subscription.topic
        place = f"{self.registry}/providers/Microsoft.EventGrid" if topic is None else topic.id
        return (_rest("patch", f"{place}/eventSubscriptions/{self.subscription.name}", changes),)

    def _named(self) -> str:
        return f"event subscription {self.subscription.name} of {self.registry.name}"


class NotSubscribed(Finding, frozen=True):
    """No subscription brings a base registry's pushes to image_pushed.

    Attributes:
        registry: The registry.
        topic: Its system topic; None if it has none.
        site: The function app's resource id; "" if it is not known.
        dead_letters: The account's resource id and the container of dead letters, if known.
        queue: The account's resource id and the queue that the app takes events from; None if
            Event Grid is to call it, or nobody knows.
    """

    code = "not-subscribed"
    matters = "no push to the registry is ever heard of"
    registry: RegistryId
    topic: Topic | None
    site: str
    dead_letters: tuple[str, str] | None = None
    queue: tuple[str, str] | None = None

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        if self.topic is None:
            return f"{self.registry.name} has no system topic and no event subscription"
        return (
            f"nothing brings the pushes of system topic {self.topic.name}"
            f" ({self.registry.name}) to {self.queue[1] if self.queue else PUSH_FUNCTION}"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        topic = self.topic
        first: tuple[str, ...] = ()
        if topic is None:
            registry = self.registry
            group = f"/subscriptions/{registry.subscription}/resourceGroups/"
            place = f"{group}{registry.resource_group}/providers/Microsoft.EventGrid/systemTopics/"
            topic = Topic(f"{place}rebuilder-{registry.name}", str(registry))
            first = (
                az(
                    *("eventgrid", "system-topic", "create", "--name", topic.name),
                    *("--subscription", topic.subscription, "--resource-group", topic.group),
                    *("--source", str(registry), "--location", "LOCATION"),
                    *("--topic-type", "Microsoft.ContainerRegistry.Registries"),
                    *("--identity", "systemassigned"),
                ),
            )
            if self.queue is not None:
                role = "Storage Queue Data Message Sender"
                scope = _queue_id(*self.queue)
                first = (*first, assign("OBJECT_ID_OF_THE_IDENTITY", role, scope))
        properties: dict[str, object] = {
            **self._destination(),
            "filter": _filter(),
            "eventDeliverySchema": "CloudEventSchemaV1_0",
            "retryPolicy": _RETRIES,
        }
        if self.dead_letters is not None:
            properties["deadLetterWithResourceIdentity"] = _dead_letter_place(*self.dead_letters)
        place = f"{topic.id}/eventSubscriptions/rebuilder-pushes"
        return (*first, _rest("put", place, {"properties": properties}))

    def _destination(self) -> dict[str, object]:
        if self.queue is None:
            function = f"{self.site or SITE}/functions/{PUSH_FUNCTION}"
            return {
                "destination": {
                    "endpointType": "AzureFunction",
                    "properties": {"resourceId": function},
                }
            }
        account, queue = self.queue
        into = {
            "resourceId": account,
            "queueName": queue,
            "queueMessageTimeToLiveInSeconds": _FOREVER,
        }
        return {
            "deliveryWithResourceIdentity": {
                "identity": {"type": "SystemAssigned"},
                "destination": {"endpointType": "StorageQueue", "properties": into},
            }
        }


class PushesFiltered(EventFinding, frozen=True):
    """A subscription lets no ImagePushed through."""

    code = "pushes-filtered"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        types = ", ".join(sorted(self.subscription.event_types))
        return f"{self._named()} lets only {types} through"

    def why(self) -> str:
        """Why it matters."""
        return f"a push is an event of the type {IMAGE_PUSHED}: none is delivered"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return self._patch(filter=_filter())


class PushesNarrowed(EventFinding, frozen=True):
    """A subscription's filters let only some pushes through."""

    code = "pushes-narrowed"
    severity = Severity.WARNING
    matters = "what is built on an image of another repository or tag is not rebuilt"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        found = self.subscription
        filters = [
            *([f"subjects that begin with {found.begins_with!r}"] if found.begins_with else []),
            *([f"subjects that end with {found.ends_with!r}"] if found.ends_with else []),
            *([f"what {found.advanced} advanced filter(s) allow"] if found.advanced else []),
        ]
        return f"{self._named()} lets only {', '.join(filters)} through"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return self._patch(filter=_filter())


class FewAttempts(EventFinding, frozen=True):
    """A subscription gives an event up too soon."""

    code = "few-attempts"
    severity = Severity.WARNING
    matters = "the first delivery after a pause may be refused, and an outage lasts for hours"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        found = self.subscription
        return f"{self._named()} tries {found.attempts} time(s), for {found.minutes} minute(s)"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return self._patch(retryPolicy=_RETRIES)


class SubscriptionNotReady(EventFinding, frozen=True):
    """A subscription's provisioning did not succeed."""

    code = "subscription-not-ready"
    matters = "Event Grid delivers nothing by it"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()} was not provisioned to its end"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return self._patch(filter=_filter())


class NoDeadLetters(EventFinding, frozen=True):
    """A subscription loses what it cannot deliver.

    Attributes:
        place: The account's resource id and the container of dead letters, if known.
    """

    code = "no-dead-letters"
    severity = Severity.WARNING
    matters = "an event that cannot be delivered within its time is lost without a word"
    place: tuple[str, str] | None = None

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()} has no place for dead letters"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        account, container = self.place or (_ACCOUNT, "CONTAINER")
        return self._patch(deadLetterWithResourceIdentity=_dead_letter_place(account, container))


class DeadLetterContainerMissing(EventFinding, frozen=True):
    """The container of a subscription's dead letters is not there."""

    code = "dead-letter-container-missing"
    matters = "Event Grid then drops what it cannot deliver"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        account, container = self.subscription.dead_letters or ("", "")
        return f"{self._named()}: storage account {short(account)} has no container {container}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        account, container = self.subscription.dead_letters or ("", "")
        return (
            az(
                *("storage", "container-rm", "create", "--name", container),
                *("--storage-account", account),
            ),
        )


class DeadLettersNotWritable(EventFinding, frozen=True):
    """A topic's identity may not write dead letters."""

    code = "dead-letters-not-writable"
    matters = "Event Grid then drops what it cannot deliver"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        _, container = self.subscription.dead_letters or ("", "")
        return f"{self._named()}: the topic's identity may not write into container {container}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        account, container = self.subscription.dead_letters or ("", "")
        scope = _container_id(account, container)
        principals = self.subscription.topic.principals if self.subscription.topic else ()
        return tuple(
            assign(principal, "Storage Blob Data Contributor", scope) for principal in principals
        )


class QueueNotWritable(EventFinding, frozen=True):
    """A topic's identity may not put events into the queue."""

    code = "queue-not-writable"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        _, queue = self.subscription.queue or ("", "")
        return f"{self._named()}: the topic's identity may not put messages into queue {queue}"

    def why(self) -> str:
        """Why it matters."""
        return "every push becomes a dead letter, and nothing is rebuilt for it before the sweep"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        account, queue = self.subscription.queue or ("", "")
        scope = _queue_id(account, queue)
        principals = self.subscription.topic.principals if self.subscription.topic else ()
        return tuple(
            assign(principal, "Storage Queue Data Message Sender", scope)
            for principal in principals
        )


class DeadLettersUnread(EventFinding, frozen=True):
    """A subscription's dead letters go where the app does not look.

    Attributes:
        read: Where it looks: REBUILDER_DEAD_LETTERS.
    """

    code = "dead-letters-unread"
    severity = Severity.WARNING
    matters = "events that could not be delivered are kept, and nobody replays them"
    read: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        account, container = self.subscription.dead_letters or ("", "")
        looks = self.read or "nowhere"
        return (
            f"{self._named()} puts dead letters into {short(account)}/{container},"
            f" and REBUILDER_DEAD_LETTERS looks {looks}"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        account, container = self.subscription.dead_letters or ("", "")
        address = f"https://{short(account)}.blob.core.windows.net/{container}"
        return (
            az(
                *("functionapp", "config", "appsettings", "set"),
                *("--ids", self.subscription.site or SITE),
                *("--settings", f"REBUILDER_DEAD_LETTERS={address}"),
            ),
        )
