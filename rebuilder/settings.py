"""The product's settings, read from the environment in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, canonical_host, host_matches
from rebuilder.core.decisions.policy import Policy, RebuildFor, Tool
from rebuilder.core.foreign_json import read_object
from rebuilder.errors import InvalidJson, InvalidReference, InvalidResourceId, InvalidSettings

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

SQLITE = "sqlite:"
_PUBLIC_ARM = "https://management.azure.com"
_WHOLE_NUMBERS = {
    # name: default, least, most, unit
    TRACK_SECONDS: (15, 1, 3600, " seconds"),
    INDEX_MAX_AGE: (24, 1, 8760, " hours"),
    BUILD_ATTEMPTS: (3, 1, 10, ""),
    RETRY_SECONDS: (60, 1, 86400, " seconds"),
    RETRY_BUILD_SECONDS: (300, 1, 86400, " seconds"),
    QUEUED_MINUTES: (30, 1, 1440, " minutes"),
    NATIVE_WAIT_SECONDS: (120, 0, 3600, " seconds"),
    # Twice the time that a request to ARM may take fits into no less.
    LEASE_SECONDS: (90, 75, 3600, " seconds"),
    ARM_WRITES_PER_SECOND: (10, 1, 1000, ""),
    ARM_WRITE_BURST: (200, 1, 10000, ""),
    ARM_CONCURRENCY: (8, 1, 64, ""),
    SWEEP_READS: (500, 1, 100000, ""),
    SWEEP_PATIENCE_MINUTES: (15, 1, 1440, " minutes"),
    SWEEP_AGAIN_MINUTES: (60, 5, 10080, " minutes"),
    POLL_MINUTES: (30, 5, 1440, " minutes"),
    MESSAGE_HOURS: (24, 1, 168, " hours"),
    # A message may be put off for a week.
    HISTORY_DAYS: (90, 8, 3650, " days"),
}
_SCHEDULES = {
    REFRESH_SCHEDULE: "0 0 */6 * * *",
    SWEEP_SCHEDULE: "0 */15 * * * *",
    POLL_SCHEDULE: "0 */5 * * * *",
    DEAD_LETTER_SCHEDULE: "30 */5 * * * *",
}
_POLLED = ("docker.io", "mcr.microsoft.com", "ghcr.io", "quay.io")
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


_TOKEN = re.compile(r"[\x21-\x7e]+")
_WORD = re.compile(r"[^\x00-\x1f\x7f]+")
_NAME = 64  # characters of a name that is shown
_PORTS = 65535
_GITHUB_API = "api.github.com"
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
        sweep_again: After so long it is asked anew whether a task that was left alone still is.
        poll_schedule: When images of foreign registries are looked at, as NCRONTAB.
        poll_hosts: The foreign registries that are polled: hosts, or `*` for any.
        poll_interval: How often one image is looked at, at most.
        message_limit: How long a message is put back while a service is out of order.
        dead_letters: The blob container of Event Grid's dead letters; "" if there is none.
        dead_letter_schedule: When dead letters are collected, as NCRONTAB.
        history: How long the past is kept.
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
        source_hosts = _hosts(env, SOURCE_HOSTS, problems) or _HOSTS
        private_hosts = _hosts(env, PRIVATE_SOURCE_HOSTS, problems)
        github_hosts = _hosts(env, GITHUB_HOSTS, problems)
        credentials = _credentials(env, problems)
        rebuild_for = env.get(REBUILD_FOR, "").strip().lower() or RebuildFor.ALL.value
        if rebuild_for not in list(RebuildFor):
            problems.append(f"{REBUILD_FOR} is {rebuild_for!r}: write {', '.join(RebuildFor)}")
        tools = _tools(env, problems)
        schedules = {name: schedule(env, name) for name in _SCHEDULES}
        problems += [
            f"{name} is {text!r}: write six fields, as {_SCHEDULES[name]!r}"
            for name, text in schedules.items()
            if not _is_cron(text)
        ]
        number = {name: _whole_number(env, name, problems) for name in _WHOLE_NUMBERS}
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
            frozenset(base),
            tuple(dict.fromkeys(tasks)),
            storage,
            part["accountName"],
            part["queueServiceUri"],
            part["tableServiceUri"],
            part["clientId"],
            arm,
            env.get(CLIENT_ID, "").strip(),
            timedelta(seconds=number[TRACK_SECONDS]),
            source_hosts,
            private_hosts,
            github_hosts,
            credentials,
            Policy(RebuildFor(rebuild_for), tools),
            schedules[REFRESH_SCHEDULE],
            timedelta(hours=number[INDEX_MAX_AGE]),
            number[BUILD_ATTEMPTS],
            timedelta(seconds=number[RETRY_SECONDS]),
            timedelta(seconds=number[RETRY_BUILD_SECONDS]),
            timedelta(minutes=number[QUEUED_MINUTES]),
            timedelta(seconds=number[NATIVE_WAIT_SECONDS]),
            timedelta(seconds=number[LEASE_SECONDS]),
            number[ARM_WRITES_PER_SECOND],
            number[ARM_WRITE_BURST],
            number[ARM_CONCURRENCY],
            schedules[SWEEP_SCHEDULE],
            number[SWEEP_READS],
            timedelta(minutes=number[SWEEP_PATIENCE_MINUTES]),
            timedelta(minutes=number[SWEEP_AGAIN_MINUTES]),
            schedules[POLL_SCHEDULE],
            polled,
            timedelta(minutes=number[POLL_MINUTES]),
            timedelta(hours=number[MESSAGE_HOURS]),
            dead_letters,
            schedules[DEAD_LETTER_SCHEDULE],
            timedelta(days=number[HISTORY_DAYS]),
        )


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


def _whole_number(env: Mapping[str, str], name: str, problems: list[str]) -> int:
    default, least, most, unit = _WHOLE_NUMBERS[name]
    text = env.get(name, "").strip() or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        problems.append(f"{name} is {text!r}: write {least} to {most}{unit}")
        return default
    return int(text)


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
        given = read_object(text)
    except InvalidJson as error:
        problems.append(f"{form}; it is {error}")
        return ()
    found: dict[str, SourceCredential] = {}
    for number, (key, shown) in enumerate(given.items(), 1):
        host = key.lower()
        # Whoever mixes up the two sides of an entry has a secret for a name.
        called = repr(key) if len(key) <= _NAME and re.search("[.:]", key) else f"number {number}"
        problem = _host_problem(host) or (f"{host!r} is there twice" if host in found else None)
        match shown:
            case str(token) if _TOKEN.fullmatch(token):
                found[host] = SourceCredential(host, token)
            case {"username": str(user), "password": str(password)} if _WORD.fullmatch(
                user
            ) and _WORD.fullmatch(password):
                found[host] = SourceCredential(host, password, user)
            case _:
                problem = problem or (
                    "write a token, without white space, or"
                    ' {"username": ..., "password": ...}, neither empty nor with line breaks'
                )
        if problem:
            problems.append(f"{SOURCE_CREDENTIALS}: the entry {called}: {problem}")
    return tuple(found.values())


def _host_problem(host: str) -> str | None:
    """Tell why the name of an entry is none that a host could be looked up by."""
    name, colon, port = host.rpartition(":")
    if not _HOST.fullmatch(host):
        return "write HOST or HOST:PORT, without https://, path and white space"
    if host.startswith("*."):
        return "a credential is one host's own: write an entry for each host"
    if host == _GITHUB_API:
        return "write 'github.com': contexts name that one"
    if colon and port == "443":
        return f"443 is meant anyway: write {name!r}"
    if colon and port.isdecimal() and not 0 < int(port) <= _PORTS:
        return f"the port is not 1 to {_PORTS}"
    return None
