"""Storage, 2025-08-01: accounts, their services, containers, queues and tables."""

from __future__ import annotations

from localcloud.arm.schema import Map, Number, Object, Word, required, told
from localcloud.arm.schemas.common import (
    ANYTHING,
    FLAG,
    IDENTITY,
    TEXT,
    names,
    proxy,
    resource,
)

_ACCESS = Word("PublicNetworkAccess", "Enabled", "Disabled", "SecuredByPerimeter")
_ACTION = Word("DefaultAction", "Allow", "Deny")
ACCOUNT = resource(
    "StorageAccount",
    Object(
        "StorageAccountProperties",
        {
            **{
                name: told(ANYTHING)
                for name in (
                    *("provisioningState", "primaryEndpoints", "primaryLocation", "creationTime"),
                    *("statusOfPrimary", "secondaryLocation", "secondaryEndpoints"),
                    *("statusOfSecondary", "keyCreationTime", "privateEndpointConnections"),
                )
            },
            **dict.fromkeys(
                (
                    *("allowBlobPublicAccess", "allowSharedKeyAccess", "supportsHttpsTrafficOnly"),
                    *("defaultToOAuthAuthentication", "allowCrossTenantReplication"),
                    *("isHnsEnabled", "isSftpEnabled", "isLocalUserEnabled", "isNfsV3Enabled"),
                    "enableExtendedGroups",
                ),
                FLAG,
            ),
            "minimumTlsVersion": Word("MinimumTlsVersion", "TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"),
            "publicNetworkAccess": _ACCESS,
            "accessTier": Word("AccessTier", "Hot", "Cool", "Cold", "Premium", "Smart"),
            "allowedCopyScope": Word("AllowedCopyScope", "PrivateLink", "AAD"),
            "dnsEndpointType": Word("DnsEndpointType", "Standard", "AzureDnsZone"),
            "networkAcls": Object(
                "NetworkRuleSet",
                {
                    "defaultAction": required(_ACTION),
                    "bypass": TEXT,
                    **names("resourceAccessRules", "virtualNetworkRules", "ipRules", "ipv6Rules"),
                },
            ),
            **names(
                *("sasPolicy", "keyPolicy", "customDomain", "encryption", "routingPreference"),
                *("azureFilesIdentityBasedAuthentication", "largeFileSharesState"),
                *("immutableStorageWithVersioning", "dualStackEndpointPreference"),
                *("geoPriorityReplicationStatus", "allowSharedKeyAccessForServices"),
                "dataCollaborationPolicyProperties",
            ),
        },
    ),
    {
        "sku": required(Object("Sku", {"name": required(TEXT), "tier": told(TEXT)})),
        "kind": required(
            Word("Kind", "Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")
        ),
        "identity": IDENTITY,
        **names("extendedLocation", "zones", "placement"),
    },
)
_RETENTION = Object(
    "DeleteRetentionPolicy",
    {"enabled": FLAG, "days": Number(1, 365), "allowPermanentDelete": FLAG},
)
SERVICE = proxy(
    "ServiceProperties",
    Object(
        "ServicePropertiesProperties",
        {
            "deleteRetentionPolicy": _RETENTION,
            "containerDeleteRetentionPolicy": _RETENTION,
            "isVersioningEnabled": FLAG,
            "automaticSnapshotPolicyEnabled": FLAG,
            "defaultServiceVersion": TEXT,
            **names(
                "cors",
                "changeFeed",
                "restorePolicy",
                "lastAccessTimeTrackingPolicy",
                "staticWebsite",
            ),
        },
    ),
    {"sku": told(ANYTHING)},
)
CHILD = proxy(
    "StorageChild",
    Object(
        "StorageChildProperties",
        {
            "metadata": Map(TEXT),
            "publicAccess": Word("PublicAccess", "Container", "Blob", "None"),
            "defaultEncryptionScope": TEXT,
            "denyEncryptionScopeOverride": FLAG,
            "tableName": told(TEXT),
            **names(
                *("signedIdentifiers", "immutableStorageWithVersioning"),
                *("enableNfsV3RootSquash", "enableNfsV3AllSquash"),
            ),
        },
    ),
    {"etag": told(TEXT)},
)
