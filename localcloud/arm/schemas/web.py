"""App Service, 2025-03-01: plans, sites, their settings."""

from __future__ import annotations

from localcloud.arm.schema import Items, Map, Member, Number, Object, Word, required, told
from localcloud.arm.schemas.common import (
    ANYTHING,
    FLAG,
    IDENTITY,
    TEXT,
    names,
    proxy,
    resource,
)

PLAN = resource(
    "AppServicePlan",
    Object(
        "AppServicePlanProperties",
        {
            **{
                name: told(ANYTHING)
                for name in (
                    *("status", "subscription", "maximumNumberOfWorkers", "numberOfWorkers"),
                    *("geoRegion", "numberOfSites", "resourceGroup", "provisioningState"),
                )
            },
            "reserved": FLAG,
            "zoneRedundant": FLAG,
            "perSiteScaling": FLAG,
            "elasticScaleEnabled": FLAG,
            **names(
                *("workerTierName", "hostingEnvironmentProfile", "maximumElasticWorkerCount"),
                *("isSpot", "spotExpirationTime", "freeOfferExpirationTime", "isXenon", "hyperV"),
                *("targetWorkerCount", "targetWorkerSizeId", "kubeEnvironmentProfile"),
                *("asyncScalingEnabled", "planDefaultIdentity", "isCustomMode", "network"),
                *("registryAdapters", "installScripts", "storageMounts", "rdpEnabled"),
            ),
        },
    ),
    {
        "sku": Object(
            "SkuDescription",
            {
                **dict.fromkeys(("name", "tier", "size", "family"), TEXT),
                "capacity": Number(),
                **names("skuCapacity", "locations", "capabilities"),
            },
        ),
        "kind": TEXT,
        "identity": IDENTITY,
        "extendedLocation": ANYTHING,
    },
)

_RESTRICTION = Object(
    "IpSecurityRestriction",
    {
        **dict.fromkeys(
            ("ipAddress", "subnetMask", "vnetSubnetResourceId", "name", "description"), TEXT
        ),
        "action": Word("Action", "Allow", "Deny"),
        "tag": Word("IpFilterTag", "Default", "XffProxy", "ServiceTag"),
        "priority": Number(),
        **names("headers", "vnetTrafficTag", "subnetTrafficTag"),
    },
)
_TLS = Word("SupportedTlsVersions", "1.0", "1.1", "1.2", "1.3")
_DEFAULT = Word("DefaultAction", "Allow", "Deny")
SITE_CONFIG = Object(
    "SiteConfig",
    {
        "appSettings": Items(Object("NameValuePair", {"name": required(TEXT), "value": TEXT})),
        "ipSecurityRestrictions": Items(_RESTRICTION),
        "scmIpSecurityRestrictions": Items(_RESTRICTION),
        "ipSecurityRestrictionsDefaultAction": _DEFAULT,
        "scmIpSecurityRestrictionsDefaultAction": _DEFAULT,
        "scmIpSecurityRestrictionsUseMain": FLAG,
        "minTlsVersion": _TLS,
        "scmMinTlsVersion": _TLS,
        "ftpsState": Word("FtpsState", "AllAllowed", "FtpsOnly", "Disabled"),
        **dict.fromkeys(
            (
                *("alwaysOn", "http20Enabled", "use32BitWorkerProcess", "webSocketsEnabled"),
                *("httpLoggingEnabled", "detailedErrorLoggingEnabled", "requestTracingEnabled"),
                *("remoteDebuggingEnabled", "vnetRouteAllEnabled", "localMySqlEnabled"),
                *("functionsRuntimeScaleMonitoringEnabled", "acrUseManagedIdentityCreds"),
                "autoHealEnabled",
            ),
            FLAG,
        ),
        **dict.fromkeys(
            (
                *("linuxFxVersion", "windowsFxVersion", "netFrameworkVersion", "phpVersion"),
                *("pythonVersion", "nodeVersion", "powerShellVersion", "javaVersion"),
                *("healthCheckPath", "keyVaultReferenceIdentity", "publicNetworkAccess"),
                *("appCommandLine", "vnetName", "minTlsCipherSuite", "websiteTimeZone"),
            ),
            TEXT,
        ),
        **dict.fromkeys(
            (
                *("numberOfWorkers", "preWarmedInstanceCount", "functionAppScaleLimit"),
                *("elasticWebAppScaleLimit", "minimumElasticInstanceCount", "http20ProxyFlag"),
                *("logsDirectorySizeLimit", "vnetPrivatePortsCount"),
            ),
            Number(),
        ),
        "machineKey": told(ANYTHING),
        **names(
            *("defaultDocuments", "requestTracingExpirationTime", "remoteDebuggingVersion"),
            *("acrUserManagedIdentityID", "publishingUsername", "metadata", "connectionStrings"),
            *("handlerMappings", "documentRoot", "scmType", "javaContainer", "limits", "push"),
            *("javaContainerVersion", "managedPipelineMode", "virtualApplications", "cors"),
            *("loadBalancing", "experiments", "autoHealRules", "tracingOptions", "apiDefinition"),
            *("apiManagementConfig", "autoSwapSlotName", "managedServiceIdentityId"),
            *("xManagedServiceIdentityId", "azureStorageAccounts"),
        ),
    },
)
_FLEX = Object(
    "FunctionAppConfig",
    {
        "deployment": Object(
            "FunctionsDeployment",
            {
                "storage": Object(
                    "FunctionsDeploymentStorage",
                    {
                        "type": Word("FunctionsDeploymentStorageType", "blobContainer"),
                        "value": TEXT,
                        "authentication": Object(
                            "FunctionsDeploymentStorageAuthentication",
                            {
                                "type": Word(
                                    "AuthenticationType",
                                    *("SystemAssignedIdentity", "UserAssignedIdentity"),
                                    "StorageAccountConnectionString",
                                ),
                                "userAssignedIdentityResourceId": Member(TEXT, nullable=True),
                                "storageAccountConnectionStringName": Member(TEXT, nullable=True),
                            },
                        ),
                    },
                )
            },
        ),
        "runtime": Object(
            "FunctionsRuntime",
            {
                "name": Word(
                    "RuntimeName",
                    *("dotnet-isolated", "node", "java", "powershell", "python", "custom"),
                ),
                "version": TEXT,
            },
        ),
        "scaleAndConcurrency": Object(
            "FunctionsScaleAndConcurrency",
            {
                "alwaysReady": Items(
                    Object("FunctionsAlwaysReadyConfig", {"name": TEXT, "instanceCount": Number()})
                ),
                "maximumInstanceCount": Number(1, 1000),
                "instanceMemoryMB": Number(512, 4096),
                "triggers": ANYTHING,
            },
        ),
        "siteUpdateStrategy": Object(
            "FunctionsSiteUpdateStrategy",
            {"type": Word("SiteUpdateStrategyType", "Recreate", "RollingUpdate")},
        ),
    },
)
SITE = resource(
    "Site",
    Object(
        "SiteProperties",
        {
            **{
                name: told(ANYTHING)
                for name in (
                    *("state", "hostNames", "repositorySiteName", "usageState"),
                    *("enabledHostNames", "availabilityState", "lastModifiedTimeUtc"),
                    *("trafficManagerHostNames", "targetSwapSlot", "outboundIpAddresses"),
                    *("possibleOutboundIpAddresses", "suspendedTill", "maxNumberOfWorkers"),
                    *("resourceGroup", "isDefaultContainer", "defaultHostName", "slotSwapStatus"),
                    *("inProgressOperationId", "sku", "provisioningState"),
                )
            },
            "serverFarmId": TEXT,
            "siteConfig": SITE_CONFIG,
            "functionAppConfig": _FLEX,
            **dict.fromkeys(
                (
                    *("enabled", "reserved", "httpsOnly", "clientAffinityEnabled", "sshEnabled"),
                    *("clientCertEnabled", "scmSiteAlsoStopped", "storageAccountRequired"),
                    *("endToEndEncryptionEnabled", "hostNamesDisabled", "isXenon", "hyperV"),
                    *("clientAffinityPartitioningEnabled", "clientAffinityProxyEnabled"),
                    *("vnetRouteAllEnabled", "vnetImagePullEnabled", "vnetContentShareEnabled"),
                    "vnetBackupRestoreEnabled",
                ),
                FLAG,
            ),
            **dict.fromkeys(
                (
                    *("publicNetworkAccess", "keyVaultReferenceIdentity", "clientCertMode"),
                    *("virtualNetworkSubnetId", "customDomainVerificationId"),
                    *("clientCertExclusionPaths", "managedEnvironmentId", "workloadProfileName"),
                ),
                TEXT,
            ),
            **names(
                *("hostNameSslStates", "dnsConfiguration", "outboundVnetRouting", "daprConfig"),
                *("resourceConfig", "hostingEnvironmentProfile", "ipMode", "containerSize"),
                *("dailyMemoryTimeQuota", "cloningInfo", "redundancyMode"),
                "autoGeneratedDomainNameLabelScope",
            ),
        },
    ),
    {"kind": TEXT, "identity": IDENTITY, "extendedLocation": ANYTHING},
)
SETTINGS = proxy(
    "StringDictionary", Map(TEXT), {"kind": TEXT, "location": told(TEXT), "tags": ANYTHING}
)
POLICY = proxy(
    "CsmPublishingCredentialsPoliciesEntity",
    Object("CsmPublishingCredentialsPoliciesEntityProperties", {"allow": required(FLAG)}),
    {"kind": TEXT, "location": told(TEXT)},
)
CONFIG = proxy("SiteConfigResource", SITE_CONFIG, {"kind": TEXT, "location": told(TEXT)})

_ENTRA = Object(
    "AzureActiveDirectory",
    {
        "enabled": FLAG,
        "isAutoProvisioned": FLAG,
        "registration": Object(
            "AzureActiveDirectoryRegistration",
            dict.fromkeys(
                (
                    *("openIdIssuer", "clientId", "clientSecretSettingName"),
                    *("clientSecretCertificateThumbprint", "clientSecretCertificateIssuer"),
                    "clientSecretCertificateSubjectAlternativeName",
                ),
                TEXT,
            ),
        ),
        "login": Object(
            "AzureActiveDirectoryLogin",
            {"disableWWWAuthenticate": FLAG, "loginParameters": Items(TEXT)},
        ),
        "validation": Object(
            "AzureActiveDirectoryValidation",
            {
                "jwtClaimChecks": ANYTHING,
                "allowedAudiences": Items(TEXT),
                "defaultAuthorizationPolicy": Object(
                    "DefaultAuthorizationPolicy",
                    {
                        "allowedApplications": Items(TEXT),
                        "allowedPrincipals": Object(
                            "AllowedPrincipals",
                            {"groups": Items(TEXT), "identities": Items(TEXT)},
                        ),
                    },
                ),
            },
        ),
    },
)
SIGN_IN = proxy(
    "SiteAuthSettingsV2",
    Object(
        "SiteAuthSettingsV2Properties",
        {
            "platform": Object(
                "AuthPlatform",
                {"enabled": FLAG, **dict.fromkeys(("runtimeVersion", "configFilePath"), TEXT)},
            ),
            "globalValidation": Object(
                "GlobalValidation",
                {
                    "requireAuthentication": FLAG,
                    "unauthenticatedClientAction": Word(
                        "UnauthenticatedClientActionV2",
                        *("RedirectToLoginPage", "AllowAnonymous", "Return401", "Return403"),
                    ),
                    "redirectToProvider": TEXT,
                    "excludedPaths": Items(TEXT),
                },
            ),
            "identityProviders": Object(
                "IdentityProviders",
                {
                    "azureActiveDirectory": _ENTRA,
                    **names(
                        *("facebook", "gitHub", "google", "legacyMicrosoftAccount", "twitter"),
                        *("apple", "azureStaticWebApps", "customOpenIdConnectProviders"),
                    ),
                },
            ),
            "login": ANYTHING,
            "httpSettings": Object(
                "HttpSettings",
                {"requireHttps": FLAG, **names("routes", "forwardProxy")},
            ),
        },
    ),
    {"kind": TEXT, "location": told(TEXT)},
)
