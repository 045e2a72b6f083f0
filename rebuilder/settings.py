"""The product's settings, read from the environment in one place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from rebuilder.core.decisions import RebuildFor
from rebuilder.core.registries import RegistryId
from rebuilder.errors import InvalidResourceId, InvalidSettings

STORAGE = "AzureWebJobsStorage"
BASE_REGISTRIES = "REBUILDER_BASE_REGISTRIES"
TASK_REGISTRIES = "REBUILDER_TASK_REGISTRIES"
ARM_ENDPOINT = "REBUILDER_ARM_ENDPOINT"
TRACK_SECONDS = "REBUILDER_TRACK_SECONDS"
REBUILD_FOR = "REBUILDER_REBUILD_FOR"
REFRESH_SCHEDULE = "REBUILDER_REFRESH_SCHEDULE"
INDEX_MAX_AGE = "REBUILDER_INDEX_MAX_AGE_HOURS"
CLIENT_ID = "AZURE_CLIENT_ID"
SOURCE_HOSTS = "REBUILDER_SOURCE_HOSTS"
PRIVATE_SOURCE_HOSTS = "REBUILDER_SOURCE_PRIVATE_HOSTS"
GITHUB_HOSTS = "REBUILDER_GITHUB_HOSTS"
SOURCE_CREDENTIALS = "REBUILDER_SOURCE_CREDENTIALS"

SQLITE = "sqlite:"
_PUBLIC_ARM = "https://management.azure.com"
_TRACK_LIMIT = 3600
_HOSTS = ("github.com", "dev.azure.com", "*.visualstudio.com", "*.azurecr.io")
_HOST = re.compile(
    r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True)
class SourceCredential:
    """What a host of build contexts is shown.

    Attributes:
        host: The host, lower case, with its port unless that is 443.
        secret: A token, or the password of `username`.
        username: The user; "" for a token alone.
    """

    host: str
    secret: str = field(repr=False)
    username: str = ""


_EVERY_SIX_HOURS = "0 0 */6 * * *"
_CRON_FIELD = re.compile(r"[A-Za-z0-9*,/-]+")
_CRON_FIELDS = (5, 6)
_AGE_LIMIT = 8760


@dataclass(frozen=True, slots=True)
class Settings:
    """What the product is told from outside.

    Attributes:
        base_registries: Registries whose pushes start rebuilds.
        task_registries: Registries whose tasks are rebuilt, in any subscription.
        storage: The value of AzureWebJobsStorage: a connection string,
            `UseDevelopmentStorage=true`, or `sqlite:PATH`; empty if the account is named by
            `AzureWebJobsStorage__*` settings.
        storage_account: The account's name, from AzureWebJobsStorage__accountName.
        queue_endpoint: From AzureWebJobsStorage__queueServiceUri.
        table_endpoint: From AzureWebJobsStorage__tableServiceUri.
        storage_client_id: The user-assigned identity for the account, from
            AzureWebJobsStorage__clientId.
        arm_endpoint: ARM's address, without a slash at the end.
        client_id: The user-assigned identity for ARM and the registries.
        track_interval: How often a run is looked at.
        source_hosts: Hosts that build contexts may be read from.
        private_source_hosts: More of them, whose addresses may be private.
        github_hosts: Those of either that are GitHub Enterprise, besides github.com.
        source_credentials: What they are shown.
        rebuild_for: For which of its images a task is rebuilt.
        refresh_schedule: When every task is read again for the index, as NCRONTAB.
        index_max_age: How old the index of a registry may be before decisions say so.
    """

    base_registries: frozenset[RegistryId]
    task_registries: tuple[RegistryId, ...]
    storage: str = field(repr=False)  # may hold an account key
    storage_account: str = ""
    queue_endpoint: str = ""
    table_endpoint: str = ""
    storage_client_id: str = ""
    arm_endpoint: str = _PUBLIC_ARM
    client_id: str = ""
    track_interval: timedelta = timedelta(seconds=15)
    source_hosts: tuple[str, ...] = _HOSTS
    private_source_hosts: tuple[str, ...] = ()
    github_hosts: tuple[str, ...] = ()
    source_credentials: tuple[SourceCredential, ...] = ()
    rebuild_for: RebuildFor = RebuildFor.ALL
    refresh_schedule: str = _EVERY_SIX_HOURS
    index_max_age: timedelta = timedelta(hours=24)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            InvalidSettings: Naming every setting that is missing or wrong, and what it should be.
        """
        problems: list[str] = []
        base = _registries(env, BASE_REGISTRIES, problems)
        tasks = _registries(env, TASK_REGISTRIES, problems)
        storage = env.get(STORAGE, "").strip()
        part = {
            name: env.get(f"{STORAGE}__{name}", "").strip()
            for name in ("accountName", "queueServiceUri", "tableServiceUri", "clientId")
        }
        endpoints = part["queueServiceUri"] and part["tableServiceUri"]
        if not (storage or part["accountName"] or endpoints):
            problems.append(
                f"{STORAGE} is missing: set a connection string, UseDevelopmentStorage=true,"
                f" sqlite:PATH, or {STORAGE}__accountName"
            )
        if storage.startswith(SQLITE) and not storage.removeprefix(SQLITE):
            problems.append(f"{STORAGE} names no file: write sqlite:PATH")
        arm = env.get(ARM_ENDPOINT, "").strip().rstrip("/") or _PUBLIC_ARM
        if urlsplit(arm).scheme != "https" or not urlsplit(arm).hostname:
            problems.append(f"{ARM_ENDPOINT} is {arm!r}: write https://HOST")
        track = env.get(TRACK_SECONDS, "").strip() or "15"
        if not track.isdecimal() or not 1 <= int(track) <= _TRACK_LIMIT:
            problems.append(f"{TRACK_SECONDS} is {track!r}: write 1 to {_TRACK_LIMIT} seconds")
        source_hosts = _hosts(env, SOURCE_HOSTS, problems) or _HOSTS
        private_hosts = _hosts(env, PRIVATE_SOURCE_HOSTS, problems)
        github_hosts = _hosts(env, GITHUB_HOSTS, problems)
        credentials = _credentials(env, problems)
        rebuild_for = env.get(REBUILD_FOR, "").strip().lower() or RebuildFor.ALL.value
        if rebuild_for not in list(RebuildFor):
            problems.append(f"{REBUILD_FOR} is {rebuild_for!r}: write {', '.join(RebuildFor)}")
        schedule = refresh_schedule(env)
        if not _is_cron(schedule):
            problems.append(
                f"{REFRESH_SCHEDULE} is {schedule!r}: write six fields, as {_EVERY_SIX_HOURS!r}"
            )
        age = env.get(INDEX_MAX_AGE, "").strip() or "24"
        if not age.isdecimal() or not 1 <= int(age) <= _AGE_LIMIT:
            problems.append(f"{INDEX_MAX_AGE} is {age!r}: write 1 to {_AGE_LIMIT} hours")
        if problems:
            raise InvalidSettings(problems)
        return cls(
            frozenset(base),
            tuple(dict.fromkeys(tasks)),
            storage,
            part["accountName"],
            part["queueServiceUri"],
            part["tableServiceUri"],
            part["clientId"],
            arm,
            env.get(CLIENT_ID, "").strip(),
            timedelta(seconds=int(track)),
            source_hosts,
            private_hosts,
            github_hosts,
            credentials,
            RebuildFor(rebuild_for),
            schedule,
            timedelta(hours=int(age)),
        )


def refresh_schedule(env: Mapping[str, str]) -> str:
    """Return when the index is refreshed; the trigger needs it before all settings are read."""
    return env.get(REFRESH_SCHEDULE, "").strip() or _EVERY_SIX_HOURS


def _is_cron(text: str) -> bool:
    """Tell whether a text may be NCRONTAB; its ranges are the host's to check."""
    fields = text.split()
    return len(fields) in _CRON_FIELDS and all(map(_CRON_FIELD.fullmatch, fields))


def _registries(env: Mapping[str, str], name: str, problems: list[str]) -> list[RegistryId]:
    """Read a list of resource ids, separated by commas or white space."""
    ids = []
    for text in env.get(name, "").replace(",", " ").split():
        try:
            ids.append(RegistryId.parse(text))
        except InvalidResourceId as error:
            problems.append(f"{name}: {error}")
    if not ids and not env.get(name, "").strip():
        problems.append(f"{name} is missing: write the resource ids of registries, by commas")
    return ids


def _hosts(env: Mapping[str, str], name: str, problems: list[str]) -> tuple[str, ...]:
    """Read a list of hosts, separated by commas or white space."""
    hosts = tuple(dict.fromkeys(env.get(name, "").lower().replace(",", " ").split()))
    problems += [
        f"{name}: {host!r} is not a host: write HOST, HOST:PORT or *.DOMAIN"
        for host in hosts
        if not _HOST.fullmatch(host)
    ]
    return hosts


def _credentials(env: Mapping[str, str], problems: list[str]) -> tuple[SourceCredential, ...]:
    """Read what hosts are shown; no message holds any of it."""
    text = env.get(SOURCE_CREDENTIALS, "").strip()
    if not text:
        return ()
    if text.startswith("@Microsoft.KeyVault("):
        # What Azure leaves in place of a secret that it could not read.
        problems.append(f"{SOURCE_CREDENTIALS} is a Key Vault reference that was not resolved")
        return ()
    form = (
        f"{SOURCE_CREDENTIALS}: write a JSON object of hosts, each with a token or with"
        ' {"username": ..., "password": ...}'
    )
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        problems.append(form)
        return ()
    found = []
    for host, shown in given.items():
        match shown:
            case str(token) if token:
                found.append(SourceCredential(host.lower(), token))
            case {"username": str(username), "password": str(password)} if username and password:
                found.append(SourceCredential(host.lower(), password, username))
            case _:
                problems.append(form)
                return ()
    return tuple(found)
