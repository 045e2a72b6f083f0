"""Azure's own roles for storage, key vaults, monitoring, Event Grid and web apps.

Source: MicrosoftDocs/azure-docs, role-based-access-control/built-in-roles.
"""

from __future__ import annotations

from localcloud.roles import Permission, Role

_STORAGE = "Microsoft.Storage/storageAccounts"
_CONTAINERS = f"{_STORAGE}/blobServices/containers"
_QUEUES = f"{_STORAGE}/queueServices/queues"
_TABLES = f"{_STORAGE}/tableServices/tables"
_DELEGATE = f"{_STORAGE}/blobServices/generateUserDelegationKey/action"
_GROUPS = "Microsoft.Resources/subscriptions/resourceGroups/read"


def _each(start: str, *verbs: str) -> tuple[str, ...]:
    return tuple(f"{start}/{verb}" for verb in verbs)


DATA_ROLES: tuple[Role, ...] = (
    Role(
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "Storage Blob Data Owner",
        "Full access to blob containers and data, including POSIX access control.",
        (Permission((f"{_CONTAINERS}/*", _DELEGATE), data_actions=(f"{_CONTAINERS}/blobs/*",)),),
    ),
    Role(
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "Storage Blob Data Contributor",
        "Read, write and delete blob containers and data.",
        (
            Permission(
                (*_each(_CONTAINERS, "delete", "read", "write"), _DELEGATE),
                data_actions=_each(
                    f"{_CONTAINERS}/blobs",
                    *("delete", "read", "write", "move/action", "add/action"),
                ),
            ),
        ),
    ),
    Role(
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        "Storage Blob Data Reader",
        "Read blob containers and data.",
        (
            Permission(
                (f"{_CONTAINERS}/read", _DELEGATE), data_actions=(f"{_CONTAINERS}/blobs/read",)
            ),
        ),
    ),
    Role(
        "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        "Storage Queue Data Contributor",
        "Read, write and delete queues and messages.",
        (
            Permission(
                _each(_QUEUES, "delete", "read", "write"),
                data_actions=_each(
                    f"{_QUEUES}/messages", "delete", "read", "write", "process/action"
                ),
            ),
        ),
    ),
    Role(
        "8a0f0c08-91a1-4084-bc3d-661d67233fed",
        "Storage Queue Data Message Processor",
        "Peek, receive and delete messages.",
        (Permission(data_actions=_each(f"{_QUEUES}/messages", "read", "process/action")),),
    ),
    Role(
        "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
        "Storage Queue Data Message Sender",
        "Send messages.",
        (Permission(data_actions=(f"{_QUEUES}/messages/add/action",)),),
    ),
    Role(
        "4633458b-17de-408a-b874-0445c86b69e6",
        "Key Vault Secrets User",
        "Read secret contents.",
        (
            Permission(
                data_actions=_each(
                    "Microsoft.KeyVault/vaults/secrets",
                    *("getSecret/action", "readMetadata/action"),
                ),
            ),
        ),
    ),
    Role(
        "19e7f393-937e-4f77-808e-94535e297925",
        "Storage Queue Data Reader",
        "Read queues and messages.",
        (Permission((f"{_QUEUES}/read",), data_actions=(f"{_QUEUES}/messages/read",)),),
    ),
    Role(
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        "Storage Table Data Contributor",
        "Read, write and delete tables and entities.",
        (
            Permission(
                _each(_TABLES, "read", "write", "delete"),
                data_actions=_each(
                    f"{_TABLES}/entities",
                    *("read", "write", "delete", "add/action", "update/action"),
                ),
            ),
        ),
    ),
    Role(
        "76199698-9eea-4c19-bc75-cec21354c6b6",
        "Storage Table Data Reader",
        "Read tables and entities.",
        (Permission((f"{_TABLES}/read",), data_actions=(f"{_TABLES}/entities/read",)),),
    ),
    Role(
        "3913510d-42f4-4e42-8a64-420c390055eb",
        "Monitoring Metrics Publisher",
        "Publish metrics and telemetry.",
        (
            Permission(
                ("Microsoft.Insights/Register/Action", _GROUPS),
                data_actions=(
                    "Microsoft.Insights/Metrics/Write",
                    "Microsoft.Insights/Telemetry/Write",
                ),
            ),
        ),
    ),
    Role(
        "428e0ff0-5e57-4d9c-a221-2c70d0e0a443",
        "EventGrid EventSubscription Contributor",
        "Manage event subscriptions.",
        (
            Permission(
                (
                    "Microsoft.Authorization/*/read",
                    "Microsoft.EventGrid/eventSubscriptions/*",
                    "Microsoft.EventGrid/systemTopics/eventSubscriptions/*",
                    "Microsoft.Resources/deployments/*",
                    _GROUPS,
                )
            ),
        ),
    ),
    Role(
        "de139f84-1756-47ae-9be6-808fbbe84772",
        "Website Contributor",
        "Manage websites, but not web plans.",
        (
            Permission(
                (
                    "Microsoft.Authorization/*/read",
                    "Microsoft.Resources/deployments/*",
                    "Microsoft.Web/serverFarms/join/action",
                    "Microsoft.Web/serverFarms/read",
                    "Microsoft.Web/sites/*",
                    _GROUPS,
                )
            ),
        ),
    ),
)
