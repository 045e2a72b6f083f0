"""Event Grid, 2025-02-15: system topics and event subscriptions; and what events tell."""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.arm.schema import (
    Anything,
    Items,
    Kind,
    Map,
    Member,
    Number,
    Object,
    OneOf,
    Text,
    Word,
    key,
    required,
    secret,
    told,
)
from localcloud.arm.schemas.common import (
    ANYTHING,
    FLAG,
    IDENTITY,
    TEXT,
    TEXTS,
    names,
    proxy,
    resource,
)

_STATE = Word(
    "EventSubscriptionProvisioningState",
    *("Creating", "Updating", "Deleting", "Succeeded", "Canceled", "Failed"),
    "AwaitingManualAction",
)
_BATCHES = {"maxEventsPerBatch": Number(1, 5000), "preferredBatchSizeInKilobytes": Number(1, 1024)}


def _destination(name: str, properties: Mapping[str, Kind | Member]) -> Object:
    return Object(
        name,
        {"endpointType": key(TEXT), "properties": Member(Object(f"{name}Properties", properties))},
    )


_DESTINATION = OneOf(
    "EventSubscriptionDestination",
    "endpointType",
    {
        "WebHook": _destination(
            "WebHookEventSubscriptionDestination",
            {
                "endpointUrl": secret(TEXT),
                "endpointBaseUrl": told(TEXT),
                "azureActiveDirectoryTenantId": TEXT,
                "azureActiveDirectoryApplicationIdOrUri": TEXT,
                "deliveryAttributeMappings": ANYTHING,
                "minimumTlsVersionAllowed": TEXT,
                **_BATCHES,
            },
        ),
        "AzureFunction": _destination(
            "AzureFunctionEventSubscriptionDestination",
            {"resourceId": TEXT, "deliveryAttributeMappings": ANYTHING, **_BATCHES},
        ),
        "StorageQueue": _destination(
            "StorageQueueEventSubscriptionDestination",
            {
                "resourceId": TEXT,
                "queueName": TEXT,
                # -1 is for ever.
                "queueMessageTimeToLiveInSeconds": Number(-1),
            },
        ),
        **{
            name: _destination(f"{name}EventSubscriptionDestination", names("resourceId"))
            for name in ("EventHub", "HybridConnection", "ServiceBusQueue", "ServiceBusTopic")
        },
    },
)
_DEAD_LETTERS = OneOf(
    "DeadLetterDestination",
    "endpointType",
    {
        "StorageBlob": _destination(
            "StorageBlobDeadLetterDestination", {"resourceId": TEXT, "blobContainerName": TEXT}
        )
    },
)
_WHO = Object(
    "EventSubscriptionIdentity",
    {
        "type": Word("EventSubscriptionIdentityType", "SystemAssigned", "UserAssigned"),
        "userAssignedIdentity": TEXT,
    },
)
# What else an operator needs stands in eventfilters.py, which reads it.
_ADVANCED = Object(
    "AdvancedFilter",
    {
        "operatorType": key(TEXT),
        "key": TEXT,
        "value": ANYTHING,
        "values": Items(ANYTHING),
    },
)
_SETTABLE: dict[str, Kind | Member] = {
    "destination": _DESTINATION,
    "deliveryWithResourceIdentity": Object(
        "DeliveryWithResourceIdentity", {"identity": _WHO, "destination": _DESTINATION}
    ),
    "filter": Object(
        "EventSubscriptionFilter",
        {
            "subjectBeginsWith": TEXT,
            "subjectEndsWith": TEXT,
            "includedEventTypes": TEXTS,
            "isSubjectCaseSensitive": FLAG,
            "enableAdvancedFilteringOnArrays": FLAG,
            "advancedFilters": Items(_ADVANCED),
        },
    ),
    "labels": TEXTS,
    "expirationTimeUtc": TEXT,
    "eventDeliverySchema": Word(
        "EventDeliverySchema", "EventGridSchema", "CustomInputSchema", "CloudEventSchemaV1_0"
    ),
    "retryPolicy": Object(
        "RetryPolicy",
        {"maxDeliveryAttempts": Number(1, 30), "eventTimeToLiveInMinutes": Number(1, 1440)},
    ),
    "deadLetterDestination": _DEAD_LETTERS,
    "deadLetterWithResourceIdentity": Object(
        "DeadLetterWithResourceIdentity", {"identity": _WHO, "deadLetterDestination": _DEAD_LETTERS}
    ),
}
SUBSCRIPTION = proxy(
    "EventSubscription",
    Object(
        "EventSubscriptionProperties",
        {**_SETTABLE, "topic": told(TEXT), "provisioningState": told(_STATE)},
    ),
)
CHANGES = Object("EventSubscriptionUpdateParameters", _SETTABLE)
TOPIC = resource(
    "SystemTopic",
    Object(
        "SystemTopicProperties",
        {
            "source": required(TEXT),
            "topicType": required(TEXT),
            "provisioningState": told(TEXT),
            "metricResourceId": told(TEXT),
        },
    ),
    {"identity": IDENTITY},
)

_TARGET = Object(
    "ContainerRegistryEventTarget",
    {
        **dict.fromkeys(("mediaType", "digest", "repository", "url", "tag", "name"), TEXT),
        "size": Number(),
        "length": Number(),
        "version": TEXT,
    },
)
PUSH = Object(
    "ContainerRegistryEventData",
    {
        **dict.fromkeys(("id", "timestamp", "action", "location"), TEXT),
        "target": _TARGET,
        "request": Object(
            "ContainerRegistryEventRequest",
            dict.fromkeys(("id", "addr", "host", "method", "useragent"), TEXT),
        ),
        "actor": Object("ContainerRegistryEventActor", {"name": TEXT}),
        "source": Object("ContainerRegistryEventSource", {"addr": TEXT, "instanceID": TEXT}),
        "connectedRegistry": Object("ContainerRegistryEventConnectedRegistry", {"name": TEXT}),
    },
)
CHANGE = Object(
    "ResourceEventData",
    {
        **dict.fromkeys(
            (
                *("tenantId", "subscriptionId", "resourceGroup", "resourceProvider", "resourceUri"),
                *("operationName", "status", "correlationId"),
            ),
            TEXT,
        ),
        "authorization": Object(
            "ResourceAuthorization",
            {"scope": TEXT, "action": TEXT, "evidence": Map(TEXT)},
        ),
        "claims": Map(TEXT),
        "httpRequest": Object(
            "ResourceHttpRequest",
            dict.fromkeys(("clientRequestId", "clientIpAddress", "method", "url"), TEXT),
        ),
    },
)


def _event(name: str, data: Object, more: dict[str, Kind | Member]) -> Object:
    common: dict[str, Kind | Member] = {
        "id": required(TEXT),
        "subject": required(TEXT),
        "data": required(data),
    }
    return Object(name, {**common, **more})


_TIME = Text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def event(data: Object) -> Object:
    """Return an event in Event Grid's schema."""
    return _event(
        "EventGridEvent",
        data,
        {
            "topic": required(TEXT),
            "eventType": required(TEXT),
            "eventTime": required(_TIME),
            "dataVersion": required(TEXT),
            "metadataVersion": required(Word("MetadataVersion", "1")),
        },
    )


def cloud_event(data: Object) -> Object:
    """Return an event in the CloudEvents schema."""
    return _event(
        "CloudEvent",
        data,
        {
            "specversion": required(Word("SpecVersion", "1.0")),
            "source": required(TEXT),
            "type": required(TEXT),
            "time": required(_TIME),
            "datacontenttype": TEXT,
            "dataschema": TEXT,
            "traceparent": TEXT,
            "tracestate": Anything(),
        },
    )
