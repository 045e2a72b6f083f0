"""The product's settings, read from the environment in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Self
from urllib.parse import urlsplit

from msgspec import field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, canonical_host, host_matches
from rebuilder.core.decisions.policy import Policy, RebuildFor, Tool
from rebuilder.core.messages.destinations import Destination, read_destinations
from rebuilder.core.secret_values import SecretValue
from rebuilder.errors import InvalidReference, InvalidResourceId, InvalidSettings
from rebuilder.settings import table
from rebuilder.settings.tuning import DEFAULTS, GITHUB_HOSTS, Count, read_tuning
from rebuilder.source_credentials import SourceCredential, is_host, read_credentials

SQLITE = "sqlite:"
_CONTAINER = 2  # parts of a container's path: the slash and its name
_GITHUB = "=github"


class Settings(SecretValue, frozen=True):
    """What the product is told from outside; its other fields are those of `tuning.FIELDS`.

    Attributes:
        base_registries: Registries whose pushes start rebuilds.
        task_registries: Registries whose tasks are rebuilt, in any subscription.
        storage: The value of AzureWebJobsStorage: a connection string,
            `UseDevelopmentStorage=true`, or `sqlite:PATH`; empty if the account is named by
            `AzureWebJobsStorage__*` settings.
        storage_account: The account's name, from AzureWebJobsStorage__accountName.
        queue_endpoint: From REBUILDER_STORE, or AzureWebJobsStorage__queueServiceUri.
        table_endpoint: From REBUILDER_STORE, or AzureWebJobsStorage__tableServiceUri.
        storage_client_id: The user-assigned identity for the account, from
            AzureWebJobsStorage__clientId.
        arm_endpoint: ARM's address, without a slash at the end.
        client_id: The user-assigned identity for ARM and the registries.
        source_hosts: Hosts that build contexts may be read from.
        private_source_hosts: More of them, whose addresses may be private.
        github_hosts: Those of either that are GitHub Enterprise, besides github.com.
        source_credentials: What they are shown.
        policy: For which of its images a task is rebuilt.
        build_attempts: How many runs a task gets on the same digests before it is given up.
        native_wait: How long the native trigger is waited for where it could see the dependency.
        poll_hosts: The foreign registries that are polled: hosts, or `*` for any.
        dead_letters: The blob container of Event Grid's dead letters; "" if there is none.
        blob_endpoint: From REBUILDER_STORE, or AzureWebJobsStorage__blobServiceUri.
        observe: Whether everything is done but to start runs.
        old: The names of older versions that are still set, and what is instead of each.
        tuning: What REBUILDER_TUNING would say to mean the same without them.
        destinations: Whom messages go to.
        unread: The names of settings that are in Key Vault and could not be read, and why.
    """

    HIDDEN: ClassVar = frozenset({"storage"})  # may hold an account key

    base_registries: frozenset[RegistryId]
    task_registries: tuple[RegistryId, ...]
    storage: str
    storage_account: str = ""
    queue_endpoint: str = ""
    table_endpoint: str = ""
    storage_client_id: str = ""
    arm_endpoint: str = table.PUBLIC_ARM
    client_id: str = ""
    track_interval: timedelta = DEFAULTS["track_interval"]
    source_hosts: tuple[str, ...] = table.HOSTS
    private_source_hosts: tuple[str, ...] = ()
    github_hosts: tuple[str, ...] = ()
    source_credentials: tuple[SourceCredential, ...] = ()
    policy: Policy = field(default_factory=Policy)
    refresh_schedule: str = DEFAULTS["refresh_schedule"]
    index_max_age: timedelta = DEFAULTS["index_max_age"]
    build_attempts: int = 3
    retry_wait: timedelta = DEFAULTS["retry_wait"]
    retry_build_wait: timedelta = DEFAULTS["retry_build_wait"]
    native_wait: timedelta = timedelta(minutes=2)
    lease: timedelta = DEFAULTS["lease"]
    arm_writes_per_second: int = DEFAULTS["arm_writes_per_second"]
    arm_write_burst: int = DEFAULTS["arm_write_burst"]
    sweep_schedule: str = DEFAULTS["sweep_schedule"]
    sweep_reads: int = DEFAULTS["sweep_reads"]
    sweep_patience: timedelta = DEFAULTS["sweep_patience"]
    sweep_again: timedelta = DEFAULTS["sweep_again"]
    poll_schedule: str = DEFAULTS["poll_schedule"]
    poll_hosts: tuple[str, ...] = table.POLLED
    poll_interval: timedelta = DEFAULTS["poll_interval"]
    message_limit: timedelta = DEFAULTS["message_limit"]
    dead_letters: str = ""
    dead_letter_schedule: str = DEFAULTS["dead_letter_schedule"]
    history: timedelta = DEFAULTS["history"]
    blob_endpoint: str = ""
    observe: bool = False
    old: tuple[tuple[str, str], ...] = ()
    tuning: str = ""
    destinations: tuple[Destination, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    def without(self, name: str) -> str:
        """Return why the secret of a setting could not be read; "" if it was."""
        return dict(self.unread).get(name, "")

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
        base = _registries(env, table.BASE_REGISTRIES, problems)
        tasks = _registries(env, table.TASK_REGISTRIES, problems)
        storage = env.get(table.STORAGE, "").strip()
        part = {
            name: env.get(f"{table.STORAGE}__{name}", "").strip()
            for name in (
                *("accountName", "queueServiceUri", "tableServiceUri", "blobServiceUri"),
                "clientId",
            )
        }
        part.update(_store(env, storage, problems))
        endpoints = part["queueServiceUri"] and part["tableServiceUri"]
        if not (storage or part["accountName"] or endpoints):
            problems.append(
                f"{table.STORAGE} is missing: set a connection string, UseDevelopmentStorage=true,"
                f" sqlite:PATH, or {table.STORAGE}__accountName"
            )
        if storage.startswith(SQLITE) and not storage.removeprefix(SQLITE):
            problems.append(f"{table.STORAGE} names no file: write sqlite:PATH")
        arm = env.get(table.ARM_ENDPOINT, "").strip().rstrip("/") or table.PUBLIC_ARM
        if urlsplit(arm).scheme != "https" or not urlsplit(arm).hostname:
            problems.append(f"{table.ARM_ENDPOINT} is {arm!r}: write https://HOST")
        source_hosts, github = _source_hosts(env, table.SOURCE_HOSTS, problems)
        private_hosts, github_too = _source_hosts(env, table.PRIVATE_SOURCE_HOSTS, problems)
        github_hosts = dict.fromkeys((*github, *github_too, *_hosts(env, GITHUB_HOSTS, problems)))
        credentials = read_credentials(
            env.get(table.SOURCE_CREDENTIALS, "").strip(), table.SOURCE_CREDENTIALS, problems
        )
        destinations = read_destinations(
            env.get(table.DESTINATIONS, "").strip(), table.DESTINATIONS, problems
        )
        rebuild_for = env.get(table.REBUILD_FOR, "").strip().lower() or RebuildFor.ALL.value
        if rebuild_for not in list(RebuildFor):
            problems.append(
                f"{table.REBUILD_FOR} is {rebuild_for!r}: write {', '.join(RebuildFor)}"
            )
        mode = env.get(table.MODE, "").strip().lower() or table.ACT
        if mode not in (table.ACT, table.OBSERVE):
            problems.append(f"{table.MODE} is {mode!r}: write {table.ACT} or {table.OBSERVE}")
        app = which_app(env)
        if app not in (table.REBUILD, table.WEB):
            problems.append(f"{table.APP} is {app!r}: write {table.REBUILD} or {table.WEB}")
        sign_in = env.get(table.SIGN_IN, "").strip().lower()
        if sign_in not in ("", table.EASY_AUTH):
            problems.append(f"{table.SIGN_IN} is {sign_in!r}: write {table.EASY_AUTH}, or nothing")
        tools = _tools(env, problems)
        build_attempts = _number(env, table.BUILD_ATTEMPTS, Count(1, 10), 3, problems)
        native_wait = _number(env, table.NATIVE_WAIT_SECONDS, Count(0, 3600), 120, problems)
        tuning = read_tuning(env, problems)
        polled = tuple(
            dict.fromkeys(env.get(table.POLL_HOSTS, "").lower().replace(",", " ").split())
        )
        if polled != ("*",):
            polled = _hosts(env, table.POLL_HOSTS, problems) or table.POLLED
        dead_letters = env.get(table.DEAD_LETTERS, "").strip().rstrip("/")
        place = urlsplit(dead_letters)
        if dead_letters and (
            place.scheme != "https" or place.query or len(place.path.split("/")) < _CONTAINER
        ):
            # A shared access signature would be a secret in plain sight.
            problems.append(
                f"{table.DEAD_LETTERS}: write https://ACCOUNT.blob.core.windows.net/CONTAINER"
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
            client_id=env.get(table.CLIENT_ID, "").strip(),
            source_hosts=source_hosts or table.HOSTS,
            private_source_hosts=private_hosts,
            github_hosts=tuple(github_hosts),
            source_credentials=credentials,
            policy=Policy(RebuildFor(rebuild_for), tools),
            build_attempts=build_attempts,
            native_wait=timedelta(seconds=native_wait),
            poll_hosts=polled,
            dead_letters=dead_letters,
            blob_endpoint=part["blobServiceUri"],
            observe=mode == table.OBSERVE,
            old=tuning.old,
            tuning=tuning.text,
            destinations=destinations,
            **tuning.values,
        )


def which_app(env: Mapping[str, str]) -> str:
    """Return which of the function apps this is, as it is written; it is needed at the start."""
    return env.get(table.APP, "").strip().lower() or table.REBUILD


_TOOL = re.compile(r"([a-z0-9-]+/[a-z0-9_-]+)=(.+)", re.IGNORECASE)


def _tools(env: Mapping[str, str], problems: list[str]) -> frozenset[Tool]:
    found = set()
    for text in env.get(table.TOOLS, "").replace(",", " ").split():
        match = _TOOL.fullmatch(text)
        try:
            image = ImageReference.parse(match[2] if match else "")
        except InvalidReference as error:
            problems.append(
                f"{table.TOOLS} has {text!r}: write REGISTRY/TASK=IMAGE; {error.problem}"
            )
        else:
            found.add(Tool(match[1].lower() if match else "", image))
    return frozenset(found)


def _number(
    env: Mapping[str, str], name: str, kind: Count, default: int, problems: list[str]
) -> int:
    text = env.get(name, "").strip()
    value = kind.read(text) if text else default
    if value is None:
        problems.append(f"{name} is {text!r}: write {kind.form}")
        return default
    return value


def _store(env: Mapping[str, str], storage: str, problems: list[str]) -> dict[str, str]:
    """Return where another app keeps everything, by the names that its own account would have."""
    given = env.get(table.STORE, "").strip().rstrip("/")
    if not given:
        return {}
    place = urlsplit(given)
    account, _, rest = (place.hostname or "").partition(".table.")
    if place.scheme != "https" or place.path or place.query or not (account and rest):
        problems.append(f"{table.STORE}: write https://ACCOUNT.table.core.windows.net")
    if which_app(env) != table.WEB:
        problems.append(f"{table.STORE} is for {table.APP}={table.WEB} only: leave it out")
    if storage:
        problems.append(f"{table.STORE} is read as an identity: leave {table.STORAGE} empty")
    return {
        f"{service}ServiceUri": f"https://{account}.{service}.{rest}"
        for service in ("table", "queue", "blob")
    }


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


def _source_hosts(
    env: Mapping[str, str], name: str, problems: list[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Read a list of hosts, and which of them are GitHub Enterprise."""
    given = env.get(name, "").lower().replace(",", " ").split()
    github = [text.removesuffix(_GITHUB) for text in given if text.endswith(_GITHUB)]
    plain = " ".join(text.removesuffix(_GITHUB) for text in given)
    return _hosts({name: plain}, name, problems), github


def _hosts(env: Mapping[str, str], name: str, problems: list[str]) -> tuple[str, ...]:
    """Read a list of hosts, separated by commas or whitespace."""
    hosts = tuple(dict.fromkeys(env.get(name, "").lower().replace(",", " ").split()))
    problems += [
        f"{name}: {host!r} is not a host: write HOST, HOST:PORT or *.DOMAIN"
        for host in hosts
        if not is_host(host)
    ]
    return hosts
