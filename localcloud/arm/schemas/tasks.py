"""ACR Tasks, 2025-03-01-preview: tasks, runs, task runs."""

from __future__ import annotations

from localcloud.arm.schema import (
    Items,
    Kind,
    Map,
    Member,
    Number,
    Object,
    OneOf,
    Word,
    hidden,
    key,
    required,
    secret,
    told,
)
from localcloud.arm.schemas.common import (
    ANYTHING,
    FLAG,
    ID,
    IDENTITY,
    STATUS,
    TAGS,
    TEXT,
    TEXTS,
    resource,
)

_PROVISIONING = Word(
    "ProvisioningState", "Creating", "Updating", "Deleting", "Succeeded", "Failed", "Canceled"
)
_PLATFORM: dict[str, Kind | Member] = {
    "architecture": Word("Architecture", "amd64", "x86", "386", "arm", "arm64"),
    "variant": Word("Variant", "v6", "v7", "v8"),
}
PLATFORM = Object(
    "PlatformProperties", {"os": required(Word("OS", "Windows", "Linux")), **_PLATFORM}
)
_AGENT = Object("AgentProperties", {"cpu": Number(1)})
_TIMEOUT = Number(300, 28800)

# The value of a secret is for listDetails alone; of another one, everybody sees it. `type` is no
# member of the document's; azure-cli 2.91 sends it, and Azure passes it over.
_VALUE: dict[str, Kind | Member] = {"name": key(TEXT), "isSecret": FLAG, "type": told(TEXT)}
_ARGUMENTS = Items(Object("Argument", {**_VALUE, "value": hidden(TEXT)}))
_VALUES = Items(Object("SetValue", {**_VALUE, "value": hidden(TEXT)}))
_DEPENDENCY = Object(
    "BaseImageDependency",
    {
        "type": Word("BaseImageDependencyType", "BuildTime", "RunTime"),
        **dict.fromkeys(("registry", "repository", "tag", "digest"), TEXT),
    },
)
_STEP: dict[str, Kind | Member] = {
    "type": key(Word("StepType", "Docker", "FileTask", "EncodedTask")),
    "contextPath": TEXT,
    "contextAccessToken": secret(TEXT),
    "baseImageDependencies": told(Items(_DEPENDENCY)),
}
STEP = OneOf(
    "TaskStepProperties",
    "type",
    {
        "Docker": Object(
            "DockerBuildStep",
            {
                **_STEP,
                "dockerFilePath": required(TEXT),
                "imageNames": TEXTS,
                "isPushEnabled": FLAG,
                "noCache": FLAG,
                "target": TEXT,
                "arguments": _ARGUMENTS,
            },
        ),
        "FileTask": Object(
            "FileTaskStep",
            {**_STEP, "taskFilePath": required(TEXT), "valuesFilePath": TEXT, "values": _VALUES},
        ),
        "EncodedTask": Object(
            "EncodedTaskStep",
            {
                **_STEP,
                "encodedTaskContent": required(TEXT),
                "encodedValuesContent": TEXT,
                "values": _VALUES,
            },
        ),
    },
)
_AUTH = Object(
    "AuthInfo",
    {
        "tokenType": required(Word("TokenType", "PAT", "OAuth")),
        "token": required(TEXT),
        "refreshToken": TEXT,
        "scope": TEXT,
        "expiresIn": Number(),
    },
)
_REPOSITORY = Object(
    "SourceProperties",
    {
        "sourceControlType": required(
            Word("SourceControlType", "Github", "VisualStudioTeamService")
        ),
        "repositoryUrl": required(TEXT),
        "branch": TEXT,
        "sourceControlAuthProperties": secret(_AUTH),
    },
)
TRIGGER = Object(
    "TriggerProperties",
    {
        "baseImageTrigger": Object(
            "BaseImageTrigger",
            {
                "name": key(TEXT),
                "baseImageTriggerType": required(Word("BaseImageTriggerType", "All", "Runtime")),
                "status": STATUS,
                "updateTriggerEndpoint": secret(TEXT),
                "updateTriggerPayloadType": Word("UpdateTriggerPayloadType", "Default", "Token"),
            },
        ),
        "sourceTriggers": Items(
            Object(
                "SourceTrigger",
                {
                    "name": key(TEXT),
                    "sourceRepository": required(_REPOSITORY),
                    "sourceTriggerEvents": required(
                        Items(Word("SourceTriggerEvent", "commit", "pullrequest"))
                    ),
                    "status": STATUS,
                },
            )
        ),
        "timerTriggers": Items(
            Object(
                "TimerTrigger",
                {"name": key(TEXT), "schedule": required(TEXT), "status": STATUS},
            )
        ),
    },
)
_SECRET = Object(
    "SecretObject",
    {"value": TEXT, "type": Word("SecretObjectType", "Opaque", "Vaultsecret")},
)
CREDENTIALS = Object(
    "Credentials",
    {
        "sourceRegistry": Object(
            "SourceRegistryCredentials",
            {"identity": TEXT, "loginMode": Word("SourceRegistryLoginMode", "None", "Default")},
        ),
        "customRegistries": Map(
            Object(
                "CustomRegistryCredentials",
                {"userName": _SECRET, "password": _SECRET, "identity": TEXT},
            ),
            nullable=True,
        ),
    },
)
TASK = resource(
    "Task",
    Object(
        "TaskProperties",
        {
            "provisioningState": told(_PROVISIONING),
            "creationDate": told(TEXT),
            "status": STATUS,
            "platform": PLATFORM,
            "agentConfiguration": _AGENT,
            "agentPoolName": TEXT,
            "timeout": _TIMEOUT,
            "step": STEP,
            "trigger": TRIGGER,
            "credentials": CREDENTIALS,
            "logTemplate": TEXT,
            "isSystemTask": FLAG,
        },
    ),
    {"identity": IDENTITY},
)

_IMAGE = Object("ImageDescriptor", dict.fromkeys(("registry", "repository", "tag", "digest"), TEXT))
RUN = Object(
    "Run",
    {
        **ID,
        "properties": Object(
            "RunProperties",
            {
                "runId": TEXT,
                "status": Word(
                    "RunStatus",
                    *("Queued", "Started", "Running", "Succeeded"),
                    *("Failed", "Canceled", "Error", "Timeout"),
                    exact=True,
                ),
                "runType": Word(
                    "RunType", "QuickBuild", "QuickRun", "AutoBuild", "AutoRun", exact=True
                ),
                "provisioningState": _PROVISIONING,
                "lastUpdatedTime": TEXT,
                "createTime": TEXT,
                "startTime": TEXT,
                "finishTime": TEXT,
                "task": TEXT,
                "agentPoolName": TEXT,
                "platform": PLATFORM,
                "agentConfiguration": _AGENT,
                "outputImages": Items(_IMAGE),
                "imageUpdateTrigger": Object(
                    "ImageUpdateTrigger", {"id": TEXT, "timestamp": TEXT, "images": Items(_IMAGE)}
                ),
                "sourceTrigger": ANYTHING,
                "timerTrigger": ANYTHING,
                "sourceRegistryAuth": TEXT,
                "customRegistries": TEXTS,
                "runErrorMessage": told(TEXT),
                "updateTriggerToken": TEXT,
                "logArtifact": told(_IMAGE),
                "isArchiveEnabled": FLAG,
            },
        ),
    },
)
_REQUEST: dict[str, Kind | Member] = {
    "type": key(TEXT),
    "isArchiveEnabled": FLAG,
    "agentPoolName": TEXT,
    "logTemplate": TEXT,
}
_QUICK: dict[str, Kind | Member] = {
    **_REQUEST,
    "timeout": _TIMEOUT,
    "platform": required(PLATFORM),
    "agentConfiguration": _AGENT,
    "sourceLocation": TEXT,
    "credentials": CREDENTIALS,
}
RUN_REQUEST = OneOf(
    "RunRequest",
    "type",
    {
        "TaskRunRequest": Object(
            "TaskRunRequest",
            {
                **_REQUEST,
                "taskId": required(TEXT),
                "overrideTaskStepProperties": Object(
                    "OverrideTaskStepProperties",
                    {
                        **dict.fromkeys(("contextPath", "file", "target"), TEXT),
                        "updateTriggerToken": TEXT,
                        "arguments": _ARGUMENTS,
                        "values": _VALUES,
                    },
                ),
            },
        ),
        "DockerBuildRequest": Object(
            "DockerBuildRequest",
            {
                **_QUICK,
                "dockerFilePath": required(TEXT),
                "imageNames": TEXTS,
                "isPushEnabled": FLAG,
                "noCache": FLAG,
                "target": TEXT,
                "arguments": _ARGUMENTS,
            },
        ),
        "FileTaskRunRequest": Object(
            "FileTaskRunRequest",
            {**_QUICK, "taskFilePath": required(TEXT), "valuesFilePath": TEXT, "values": _VALUES},
        ),
        "EncodedTaskRunRequest": Object(
            "EncodedTaskRunRequest",
            {
                **_QUICK,
                "encodedTaskContent": required(TEXT),
                "encodedValuesContent": TEXT,
                "values": _VALUES,
            },
        ),
    },
)
TASK_RUN = Object(
    "TaskRun",
    {
        **ID,
        "location": TEXT,
        "tags": TAGS,
        "identity": IDENTITY,
        "properties": required(
            Object(
                "TaskRunProperties",
                {
                    "provisioningState": told(_PROVISIONING),
                    "runRequest": RUN_REQUEST,
                    "runResult": told(RUN),
                    "forceUpdateTag": TEXT,
                },
            )
        ),
    },
)
RUN_CHANGES = Object("RunUpdateParameters", {"isArchiveEnabled": FLAG})
LOG = Object("RunGetLogResult", {"logLink": TEXT, "logArtifactLink": TEXT})
UPLOAD = Object("SourceUploadDefinition", {"uploadUrl": TEXT, "relativePath": TEXT})
