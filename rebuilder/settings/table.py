"""The table of settings, from which docs/settings.md, the sample and the template are written."""

from __future__ import annotations

from typing import NamedTuple

STORAGE = "AzureWebJobsStorage"
BASE_REGISTRIES = "REBUILDER_BASE_REGISTRIES"
TASK_REGISTRIES = "REBUILDER_TASK_REGISTRIES"
CLIENT_ID = "AZURE_CLIENT_ID"
ARM_ENDPOINT = "REBUILDER_ARM_ENDPOINT"
MODE = "REBUILDER_MODE"
REBUILD_FOR = "REBUILDER_REBUILD_FOR"
TOOLS = "REBUILDER_TOOLS"
BUILD_ATTEMPTS = "REBUILDER_BUILD_ATTEMPTS"
NATIVE_WAIT_SECONDS = "REBUILDER_NATIVE_WAIT_SECONDS"
SOURCE_HOSTS = "REBUILDER_SOURCE_HOSTS"
PRIVATE_SOURCE_HOSTS = "REBUILDER_SOURCE_PRIVATE_HOSTS"
SOURCE_CREDENTIALS = "REBUILDER_SOURCE_CREDENTIALS"
POLL_HOSTS = "REBUILDER_POLL_HOSTS"
DEAD_LETTERS = "REBUILDER_DEAD_LETTERS"
DESTINATIONS = "REBUILDER_DESTINATIONS"
APP = "REBUILDER_APP"
STORE = "REBUILDER_STORE"
SIGN_IN = "REBUILDER_SIGN_IN"
TUNING = "REBUILDER_TUNING"

PUBLIC_ARM = "https://management.azure.com"
ACT, OBSERVE = "act", "observe"
REBUILD, WEB = "rebuild", "web"
EASY_AUTH = "easy-auth"
POLLED = ("docker.io", "mcr.microsoft.com", "ghcr.io", "quay.io")
HOSTS = ("github.com", "dev.azure.com", "*.visualstudio.com", "*.azurecr.io")


class Setting(NamedTuple):
    """A setting.

    Attributes:
        name: Its name in the environment.
        meaning: What it means, for docs/settings.md and the template.
        default: What is meant if it is not set, as it would be written; "" for nothing.
        unset: What the default is called where it is none that can be written.
        chosen: Whether who deploys the template chooses it; the template sets the others.
    """

    name: str
    meaning: str
    default: str = ""
    unset: str = "none"
    chosen: bool = True


_LIST = "separated by commas or whitespace"

SETTINGS = (
    Setting(
        BASE_REGISTRIES,
        f"Resource ids of the registries whose pushes start rebuilds; {_LIST}",
        unset="required",
        chosen=False,
    ),
    Setting(
        TASK_REGISTRIES,
        "Resource ids of the registries whose tasks are rebuilt, in any subscription",
        unset="required",
        chosen=False,
    ),
    Setting(
        STORAGE,
        "Where ledger and queues are: a connection string, `UseDevelopmentStorage=true` (Azurite),"
        " or `sqlite:PATH` (only with the local Functions host). Without a key:"
        f" `{STORAGE}__accountName`, or `__queueServiceUri` and `__tableServiceUri`, and"
        " `__clientId` for a user-assigned identity",
        unset="required",
        chosen=False,
    ),
    Setting(
        CLIENT_ID,
        "Client id of a user-assigned identity for ARM and the registries",
        unset="system-assigned",
        chosen=False,
    ),
    Setting(
        ARM_ENDPOINT,
        "ARM's address in other clouds, for example `https://management.chinacloudapi.cn`",
        PUBLIC_ARM,
        chosen=False,
    ),
    Setting(
        MODE,
        f"`{OBSERVE}` runs everything and starts nothing: each decision is recorded as"
        f" `would-rebuild`; else `{ACT}`",
        ACT,
    ),
    Setting(
        REBUILD_FOR,
        "For which images a task is rebuilt: `all` that its build reads, `runtime`: the base of its"
        " image only, `trigger`: what its base image trigger asks for",
        "all",
    ),
    Setting(
        TOOLS,
        "Tools that are a reason to run a task again although it makes no image of them, each for"
        f" one task: `REGISTRY/TASK=IMAGE`, {_LIST}",
    ),
    Setting(
        BUILD_ATTEMPTS,
        "How many runs a task gets on the same digests before it is given up; 1 to 10",
        "3",
    ),
    Setting(
        NATIVE_WAIT_SECONDS,
        "How long ACR's own base image trigger is waited for, where it is on and could see the"
        " dependency; 0 to 3600",
        "120",
    ),
    Setting(
        SOURCE_HOSTS,
        f"Hosts that build contexts may be read from, {_LIST}: `HOST`, `HOST:PORT`, `*.DOMAIN`;"
        " `HOST=github` is GitHub Enterprise (Server, or Cloud with data residency)",
        ", ".join(HOSTS),
    ),
    Setting(PRIVATE_SOURCE_HOSTS, "More such hosts, whose addresses may be private"),
    Setting(
        SOURCE_CREDENTIALS,
        "A JSON object of hosts (`HOST` or `HOST:PORT`, one entry each), each with a token or"
        ' `{"username": "...", "password": "..."}`; in Azure a Key Vault reference, or the address'
        " of a secret, `https://VAULT.vault.azure.net/secrets/NAME`, which the app reads itself",
    ),
    Setting(
        POLL_HOSTS,
        f"The foreign registries that are polled, {_LIST}; `*` for any",
        ", ".join(POLLED),
    ),
    Setting(
        DEAD_LETTERS,
        "The blob container of Event Grid's dead letters,"
        " `https://ACCOUNT.blob.core.windows.net/CONTAINER`",
        chosen=False,
    ),
    Setting(
        DESTINATIONS,
        "A JSON object of those whom messages go to (docs/messages.md), by the names that the"
        " policy file calls them; in Azure a Key Vault reference, or the address of a secret, which"
        " the app reads itself",
    ),
    Setting(
        APP,
        f"Which of the two function apps this is: `{REBUILD}`, which rebuilds, or `{WEB}`, which"
        " shows the operators' page (docs/dashboard.md) and starts nothing",
        REBUILD,
        chosen=False,
    ),
    Setting(
        STORE,
        f"Of the app `{WEB}`: the table service of the storage account where the app that rebuilds"
        " keeps everything, `https://ACCOUNT.table.core.windows.net`. Its own account, that of"
        f" `{STORAGE}`, is then the host's alone",
        chosen=False,
    ),
    Setting(
        SIGN_IN,
        f"Of the app `{WEB}`: who vouches for who is signed in, `{EASY_AUTH}`. Only where App"
        " Service authentication is on and everybody has to sign in: without it anybody could say"
        " who they are, so without this setting nobody is let in",
        chosen=False,
    ),
    Setting(
        TUNING,
        "What few need to change: `FIELD=VALUE; FIELD=VALUE`, with the fields of the table in"
        " docs/settings.md",
    ),
)
