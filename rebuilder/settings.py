"""The product's settings, read from the environment in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, canonical_host, host_matches
from rebuilder.core.decisions.policy import Policy, RebuildFor, Tool
from rebuilder.errors import InvalidReference, InvalidResourceId, InvalidSettings
from rebuilder.source_credentials import SourceCredential, is_host, read_credentials

STORAGE = "AzureWebJobsStorage"
BASE_REGISTRIES = "REBUILDER_BASE_REGISTRIES"
TASK_REGISTRIES = "REBUILDER_TASK_REGISTRIES"
ARM_ENDPOINT = "REBUILDER_ARM_ENDPOINT"
TRACK_SECONDS = "REBUILDER_TRACK_SECONDS"
REBUILD_FOR = "REBUILDER_REBUILD_FOR"
TOOLS = "REBUILDER_TOOLS"
REFRESH_SCHEDULE = "REBUILDER_REFRESH_SCHEDULE"
INDEX_MAX_AGE = "REBUILDER_INDEX_MAX_AGE_HOURS"
CLIENT_ID = "AZURE_CLIENT_ID"
SOURCE_HOSTS = "REBUILDER_SOURCE_HOSTS"
PRIVATE_SOURCE_HOSTS = "REBUILDER_SOURCE_PRIVATE_HOSTS"
GITHUB_HOSTS = "REBUILDER_GITHUB_HOSTS"
SOURCE_CREDENTIALS = "REBUILDER_SOURCE_CREDENTIALS"
BUILD_ATTEMPTS = "REBUILDER_BUILD_ATTEMPTS"
RETRY_SECONDS = "REBUILDER_RETRY_SECONDS"
RETRY_BUILD_SECONDS = "REBUILDER_RETRY_BUILD_SECONDS"
QUEUED_MINUTES = "REBUILDER_QUEUED_MINUTES"
NATIVE_WAIT_SECONDS = "REBUILDER_NATIVE_WAIT_SECONDS"
LEASE_SECONDS = "REBUILDER_LEASE_SECONDS"
ARM_WRITES_PER_SECOND = "REBUILDER_ARM_WRITES_PER_SECOND"
ARM_WRITE_BURST = "REBUILDER_ARM_WRITE_BURST"
ARM_CONCURRENCY = "REBUILDER_ARM_CONCURRENCY"
SWEEP_SCHEDULE = "REBUILDER_SWEEP_SCHEDULE"
SWEEP_READS = "REBUILDER_SWEEP_READS"
SWEEP_PATIENCE_MINUTES = "REBUILDER_SWEEP_PATIENCE_MINUTES"
SWEEP_AGAIN_MINUTES = "REBUILDER_SWEEP_AGAIN_MINUTES"
POLL_SCHEDULE = "REBUILDER_POLL_SCHEDULE"
POLL_HOSTS = "REBUILDER_POLL_HOSTS"
POLL_MINUTES = "REBUILDER_POLL_MINUTES"
MESSAGE_HOURS = "REBUILDER_MESSAGE_HOURS"
DEAD_LETTERS = "REBUILDER_DEAD_LETTERS"
DEAD_LETTER_SCHEDULE = "REBUILDER_DEAD_LETTER_SCHEDULE"
HISTORY_DAYS = "REBUILDER_HISTORY_DAYS"
MODE = "REBUILDER_MODE"

SQLITE = "sqlite:"
_PUBLIC_ARM = "https://management.azure.com"
_SCHEDULES = {
    REFRESH_SCHEDULE: "0 0 */6 * * *",
    SWEEP_SCHEDULE: "0 */15 * * * *",
    POLL_SCHEDULE: "0 */5 * * * *",
    DEAD_LETTER_SCHEDULE: "30 */5 * * * *",
}
_ACT, _OBSERVE = "act", "observe"
_POLLED = ("docker.io", "mcr.microsoft.com", "ghcr.io", "quay.io")
_HOSTS = ("github.com", "dev.azure.com", "*.visualstudio.com", "*.azurecr.io")
_CRON_FIELD = re.compile(r"[A-Za-z0-9*,/-]+")
_CRON_FIELDS = (5, 6)
_CONTAINER = 2  # parts of a container's path: the slash and its name


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
        policy: For which of its images a task is rebuilt.
        refresh_schedule: When every task is read again for the index, as NCRONTAB.
        index_max_age: How old the index of a registry may be before decisions say so.
        build_attempts: How many runs a task gets on the same digests before it is given up.
        retry_wait: How long after a failure of ACR's own the first next attempt begins; each
            further wait is twice as long.
        retry_build_wait: The same after a build that failed itself.
        queued_limit: After so long in ACR's queue a run is reported: no agent takes it.
        native_wait: How long the native trigger is waited for where it could see the dependency.
        lease: How long a claim keeps everybody else off.
        arm_writes_per_second: How many runs a second are scheduled in a subscription, by all
            instances together.
        arm_write_burst: How many more may be scheduled at once after a quiet time.
        arm_concurrency: How many requests of one instance are under way in a subscription.
        sweep_schedule: When tags are compared with what was built on them, as NCRONTAB.
        sweep_reads: How many requests to ARM one sweep may lead to.
        sweep_patience: A message that was sent so long ago should have been worked off.
        sweep_again: After so long it is asked again whether a task that was left alone still is.
        poll_schedule: When images of foreign registries are looked at, as NCRONTAB.
        poll_hosts: The foreign registries that are polled: hosts, or `*` for any.
        poll_interval: How often one image is looked at, at most.
        message_limit: How long a message is put back while a service is out of order.
        dead_letters: The blob container of Event Grid's dead letters; "" if there is none.
        dead_letter_schedule: When dead letters are collected, as NCRONTAB.
        history: How long the past is kept.
        blob_endpoint: From AzureWebJobsStorage__blobServiceUri.
        observe: Whether everything is done but to start runs.
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
    policy: Policy = field(default_factory=Policy)
    refresh_schedule: str = _SCHEDULES[REFRESH_SCHEDULE]
    index_max_age: timedelta = timedelta(hours=24)
    build_attempts: int = 3
    retry_wait: timedelta = timedelta(minutes=1)
    retry_build_wait: timedelta = timedelta(minutes=5)
    queued_limit: timedelta = timedelta(minutes=30)
    native_wait: timedelta = timedelta(minutes=2)
    lease: timedelta = timedelta(seconds=90)
    arm_writes_per_second: int = 10
    arm_write_burst: int = 200
    arm_concurrency: int = 8
    sweep_schedule: str = _SCHEDULES[SWEEP_SCHEDULE]
    sweep_reads: int = 500
    sweep_patience: timedelta = timedelta(minutes=15)
    sweep_again: timedelta = timedelta(hours=1)
    poll_schedule: str = _SCHEDULES[POLL_SCHEDULE]
    poll_hosts: tuple[str, ...] = _POLLED
    poll_interval: timedelta = timedelta(minutes=30)
    message_limit: timedelta = timedelta(hours=24)
    dead_letters: str = ""
    dead_letter_schedule: str = _SCHEDULES[DEAD_LETTER_SCHEDULE]
    history: timedelta = timedelta(days=90)
    blob_endpoint: str = ""
    observe: bool = False

    def polls(self, host: str) -> bool:
        """Tell whether a foreign registry is one of those that are polled."""
        return any(host_matches(host, canonical_host(pattern)) for pattern in self.poll_hosts)

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
            for name in (
                *("accountName", "queueServiceUri", "tableServiceUri", "blobServiceUri"),
                "clientId",
            )
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
        source_hosts = _hosts(env, SOURCE_HOSTS, problems) or _HOSTS
        private_hosts = _hosts(env, PRIVATE_SOURCE_HOSTS, problems)
        github_hosts = _hosts(env, GITHUB_HOSTS, problems)
        credentials = read_credentials(
            env.get(SOURCE_CREDENTIALS, "").strip(), SOURCE_CREDENTIALS, problems
        )
        rebuild_for = env.get(REBUILD_FOR, "").strip().lower() or RebuildFor.ALL.value
        if rebuild_for not in list(RebuildFor):
            problems.append(f"{REBUILD_FOR} is {rebuild_for!r}: write {', '.join(RebuildFor)}")
        mode = env.get(MODE, "").strip().lower() or _ACT
        if mode not in (_ACT, _OBSERVE):
            problems.append(f"{MODE} is {mode!r}: write {_ACT} or {_OBSERVE}")
        tools = _tools(env, problems)
        schedules = {name: schedule(env, name) for name in _SCHEDULES}
        problems += [
            f"{name} is {text!r}: write six fields, as {_SCHEDULES[name]!r}"
            for name, text in schedules.items()
            if not _is_cron(text)
        ]
        numbers = {name: _whole_number(env, name, problems) for name in _NUMBERS}
        polled = tuple(dict.fromkeys(env.get(POLL_HOSTS, "").lower().replace(",", " ").split()))
        if polled != ("*",):
            polled = _hosts(env, POLL_HOSTS, problems) or _POLLED
        dead_letters = env.get(DEAD_LETTERS, "").strip().rstrip("/")
        place = urlsplit(dead_letters)
        if dead_letters and (
            place.scheme != "https" or place.query or len(place.path.split("/")) < _CONTAINER
        ):
            # A shared access signature would be a secret in plain sight.
            problems.append(
                f"{DEAD_LETTERS}: write https://ACCOUNT.blob.core.windows.net/CONTAINER"
            )
        if problems:
            raise InvalidSettings(problems)
        return cls(
            base_registries=frozenset(base),
            task_registries=tuple(dict.fromkeys(tasks)),
            storage=storage,
            storage_account=part["accountName"],
            queue_endpoint=part["queueServiceUri"],
            table_endpoint=part["tableServiceUri"],
            storage_client_id=part["clientId"],
            arm_endpoint=arm,
            client_id=env.get(CLIENT_ID, "").strip(),
            source_hosts=source_hosts,
            private_source_hosts=private_hosts,
            github_hosts=github_hosts,
            source_credentials=credentials,
            policy=Policy(RebuildFor(rebuild_for), tools),
            refresh_schedule=schedules[REFRESH_SCHEDULE],
            sweep_schedule=schedules[SWEEP_SCHEDULE],
            poll_schedule=schedules[POLL_SCHEDULE],
            dead_letter_schedule=schedules[DEAD_LETTER_SCHEDULE],
            poll_hosts=polled,
            dead_letters=dead_letters,
            blob_endpoint=part["blobServiceUri"],
            observe=mode == _OBSERVE,
            **numbers,
        )


_SECONDS = timedelta(seconds=1), " seconds"
_MINUTES = timedelta(minutes=1), " minutes"
_HOURS = timedelta(hours=1), " hours"
_DAYS = timedelta(days=1), " days"


class _Number(NamedTuple):
    """A setting that is a whole number: its name, what is one of it, and its bounds."""

    setting: str
    least: int
    most: int
    one: timedelta | None = None
    words: str = ""


# By the field, whose default is that of the setting.
_NUMBERS = {
    "track_interval": _Number(TRACK_SECONDS, 1, 3600, *_SECONDS),
    "index_max_age": _Number(INDEX_MAX_AGE, 1, 8760, *_HOURS),
    "build_attempts": _Number(BUILD_ATTEMPTS, 1, 10),
    "retry_wait": _Number(RETRY_SECONDS, 1, 86400, *_SECONDS),
    "retry_build_wait": _Number(RETRY_BUILD_SECONDS, 1, 86400, *_SECONDS),
    "queued_limit": _Number(QUEUED_MINUTES, 1, 1440, *_MINUTES),
    "native_wait": _Number(NATIVE_WAIT_SECONDS, 0, 3600, *_SECONDS),
    # Twice the time that a request to ARM may take fits into no less.
    "lease": _Number(LEASE_SECONDS, 75, 3600, *_SECONDS),
    "arm_writes_per_second": _Number(ARM_WRITES_PER_SECOND, 1, 1000),
    "arm_write_burst": _Number(ARM_WRITE_BURST, 1, 10000),
    "arm_concurrency": _Number(ARM_CONCURRENCY, 1, 64),
    "sweep_reads": _Number(SWEEP_READS, 1, 100000),
    "sweep_patience": _Number(SWEEP_PATIENCE_MINUTES, 1, 1440, *_MINUTES),
    "sweep_again": _Number(SWEEP_AGAIN_MINUTES, 5, 10080, *_MINUTES),
    "poll_interval": _Number(POLL_MINUTES, 5, 1440, *_MINUTES),
    "message_limit": _Number(MESSAGE_HOURS, 1, 168, *_HOURS),
    # A message may be put off for a week.
    "history": _Number(HISTORY_DAYS, 8, 3650, *_DAYS),
}


_TOOL = re.compile(r"([a-z0-9-]+/[a-z0-9_-]+)=(.+)", re.IGNORECASE)


def _tools(env: Mapping[str, str], problems: list[str]) -> frozenset[Tool]:
    found = set()
    for text in env.get(TOOLS, "").replace(",", " ").split():
        match = _TOOL.fullmatch(text)
        try:
            image = ImageReference.parse(match[2] if match else "")
        except InvalidReference as error:
            problems.append(f"{TOOLS} has {text!r}: write REGISTRY/TASK=IMAGE; {error.problem}")
        else:
            found.add(Tool(match[1].lower() if match else "", image))
    return frozenset(found)


def schedule(env: Mapping[str, str], name: str) -> str:
    """Return a timer's schedule; the trigger needs it before all settings are read."""
    return env.get(name, "").strip() or _SCHEDULES[name]


def _whole_number(env: Mapping[str, str], name: str, problems: list[str]) -> Any:  # noqa: ANN401 - as the field
    """Return the value of a field; its default if nothing is set, or nothing that is right."""
    number = _NUMBERS[name]
    text = env.get(number.setting, "").strip()
    default = Settings.__dataclass_fields__[name].default
    if not text:
        return default
    if not text.isdecimal() or not number.least <= int(text) <= number.most:
        problems.append(
            f"{number.setting} is {text!r}: write {number.least} to {number.most}{number.words}"
        )
        return default
    return int(text) if number.one is None else int(text) * number.one


def _is_cron(text: str) -> bool:
    """Tell whether a text may be NCRONTAB; its ranges are the host's to check."""
    fields = text.split()
    return len(fields) in _CRON_FIELDS and all(map(_CRON_FIELD.fullmatch, fields))


def _registries(env: Mapping[str, str], name: str, problems: list[str]) -> list[RegistryId]:
    """Read a list of resource ids, separated by commas or whitespace."""
    ids = []
    for text in env.get(name, "").replace(",", " ").split():
        try:
            ids.append(RegistryId.parse(text))
        except InvalidResourceId as error:
            problems.append(f"{name}: {error}")
    if not ids and not env.get(name, "").strip():
        problems.append(
            f"{name} is missing: write the resource ids of registries, separated by commas"
        )
    return ids


def _hosts(env: Mapping[str, str], name: str, problems: list[str]) -> tuple[str, ...]:
    """Read a list of hosts, separated by commas or whitespace."""
    hosts = tuple(dict.fromkeys(env.get(name, "").lower().replace(",", " ").split()))
    problems += [
        f"{name}: {host!r} is not a host: write HOST, HOST:PORT or *.DOMAIN"
        for host in hosts
        if not is_host(host)
    ]
    return hosts
