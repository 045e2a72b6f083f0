"""Put the settings and the adapters together: the only module that knows every kind of adapter."""

from __future__ import annotations

import getpass
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from rebuilder._unconfigured import NoDeadEvents
from rebuilder.core.secret_values import SecretAddress
from rebuilder.errors import TransientError
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.dead_letters import DeadEventStore, DeadLetters
from rebuilder.ports.index import DependencyIndex
from rebuilder.ports.ledger import Ledger
from rebuilder.ports.preflight import Preflight, ProbeRegistries
from rebuilder.ports.queue import WorkQueue
from rebuilder.ports.steering import Steering
from rebuilder.settings import SQLITE, Settings
from rebuilder.settings.table import CLIENT_ID, DESTINATIONS, SOURCE_CREDENTIALS
from rebuilder.telemetry import exporters, signals
from rebuilder.telemetry.queues import TracedQueues
from rebuilder.telemetry.versions import tell_versions
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from rebuilder.azure.vault import VaultSecrets


def compose(env: Mapping[str, str] = os.environ) -> Context:
    """Return what the use cases need, by the settings in `env`; made once per settings.

    Raises:
        InvalidSettings: Naming every setting that is missing or wrong.
    """
    opened, unread = _opened(env)
    settings = structs.replace(Settings.from_env(opened), unread=unread)
    # Not of the cache: that would have each of many threads make one that asks for it at once.
    with _making:
        # What this process tells of itself, and not what the app's settings have the app tell.
        if not _ends and (end := exporters.turn_on(os.environ, lambda: _identity(settings))):
            _ends.append(end)
        tell_versions()
        return _compose(settings)


def _opened(env: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[tuple[str, str], ...]]:
    """Return the settings with the secrets of Key Vault that they name, and those without, and why.

    One that cannot be read stops nobody who does without it.
    """
    named = {
        name: address
        for name in (SOURCE_CREDENTIALS, DESTINATIONS)
        if (address := SecretAddress.read(env.get(name, "")))
    }
    if not named:
        return env, ()
    read: dict[str, str] = {}
    unread: list[tuple[str, str]] = []
    for name, address in named.items():
        try:
            read[name] = _vault(env.get(CLIENT_ID, "").strip()).read(address)
        except TransientError as error:
            unread.append((name, str(error)))
    return {**env, **read}, tuple(unread)


@lru_cache
def _vault(client_id: str) -> VaultSecrets:
    from rebuilder.azure.identity import credential  # noqa: PLC0415
    from rebuilder.azure.vault import VaultSecrets  # noqa: PLC0415

    secrets = VaultSecrets(credential(client_id))
    _vaults.append(secrets)
    return secrets


def preflight(settings: Settings) -> Preflight:
    """Return what a set-up is examined with; the caller closes it."""
    from rebuilder.azure.identity import credential  # noqa: PLC0415
    from rebuilder.azure.preflight import ArmPreflight  # noqa: PLC0415

    return ArmPreflight(credential(settings.client_id), settings)


def probe_registries(settings: Settings) -> ProbeRegistries:
    """Return what a probe writes into registries with; the caller closes it."""
    from rebuilder.azure.acr.probe import AcrProbe  # noqa: PLC0415
    from rebuilder.azure.identity import credential  # noqa: PLC0415

    return AcrProbe(credential(settings.client_id), settings.arm_endpoint)


def app_environment(site: str, arm_endpoint: str = "") -> dict[str, str]:
    """Return the settings of a function app; the person who asks has to have the right to.

    Args:
        site: The app's resource id.
        arm_endpoint: ARM's address; "" for that of Azure's public cloud.

    Raises:
        InvalidResourceId: `site` is none of a function app.
        NotFound, Denied, TransientError: They cannot be had.
    """
    from rebuilder.azure.app_settings import app_settings  # noqa: PLC0415
    from rebuilder.azure.identity import PUBLIC_ARM, credential  # noqa: PLC0415

    return app_settings(credential(""), arm_endpoint.rstrip("/") or PUBLIC_ARM, site)


def operator(settings: Settings) -> str:
    """Return who works here: by the token for ARM, or by the account of this machine.

    Raises:
        TransientError, Denied: There is no token, or it does not say whose it is.
    """
    if settings.storage.startswith(SQLITE):
        return getpass.getuser()
    with closing(preflight(settings)) as asked:
        return asked.caller()


def release() -> None:
    """Close what `compose` made; it will be made again."""
    with _making:
        for context in _made:
            context.close()
        for end in _ends:
            end()
        for vault in _vaults:
            vault.close()
        _made.clear()
        _ends.clear()
        _compose.cache_clear()
        _vaults.clear()
        _vault.cache_clear()


_made: list[Context] = []
_ends: list[Callable[[], None]] = []
_vaults: list[VaultSecrets] = []
_making = threading.Lock()


# Functions of one worker share connections and tokens.
@lru_cache
def _compose(settings: Settings) -> Context:
    # Imported late: Azure's packages take over a second, and the embedded store needs half of them.
    from rebuilder.azure.acr.access import ArmAccess  # noqa: PLC0415
    from rebuilder.azure.acr.images import AcrImages  # noqa: PLC0415
    from rebuilder.azure.acr.tasks import ArmTasks  # noqa: PLC0415
    from rebuilder.azure.identity import credential, registry_tokens, tokens_for  # noqa: PLC0415
    from rebuilder.azure.throttle import ArmThrottle  # noqa: PLC0415
    from rebuilder.foreign.registries import OciRegistries  # noqa: PLC0415
    from rebuilder.receivers.receivers import Reached  # noqa: PLC0415
    from rebuilder.sources.files import HostedSources  # noqa: PLC0415

    if settings.old:
        told = ", ".join(f"{name} (now {instead})" for name, instead in settings.old)
        log.warning("settings of an older version, to be replaced: %s", told)
    store = _store(settings)
    identity = credential(settings.client_id)
    throttle = ArmThrottle()
    context = Context(
        settings,
        store.ledger,
        TracedQueues(store.queue) if signals.on() else store.queue,
        ArmTasks(identity, settings.arm_endpoint, throttle),
        AcrImages(identity, settings.arm_endpoint),
        ArmAccess(identity, settings.arm_endpoint, throttle),
        HostedSources.from_settings(settings, registry_tokens(identity, settings.arm_endpoint)),
        store.index,
        store.bookmarks,
        store.dead_letters,
        OciRegistries.from_settings(settings),
        _dead_events(settings),
        _now,
        store.steering,
        receivers=Reached(settings.private_source_hosts, tokens_for(identity)),
    )
    _made.append(context)
    return context


class _Store(Struct, frozen=True):
    """What one store keeps."""

    ledger: Ledger
    queue: WorkQueue
    index: DependencyIndex
    bookmarks: Bookmarks
    dead_letters: DeadLetters
    steering: Steering


def _store(settings: Settings) -> _Store:
    if settings.storage.startswith(SQLITE):
        from rebuilder.sqlite.bookmarks import SqliteBookmarks  # noqa: PLC0415
        from rebuilder.sqlite.dead_letters import SqliteDeadLetters  # noqa: PLC0415
        from rebuilder.sqlite.index import SqliteIndex  # noqa: PLC0415
        from rebuilder.sqlite.ledger import SqliteLedger  # noqa: PLC0415
        from rebuilder.sqlite.queues import SqliteQueues  # noqa: PLC0415
        from rebuilder.sqlite.steering import FileSteering  # noqa: PLC0415

        path = Path(settings.storage.removeprefix(SQLITE))
        return _Store(
            SqliteLedger(path),
            SqliteQueues(path),
            SqliteIndex(path),
            SqliteBookmarks(path),
            SqliteDeadLetters(path),
            FileSteering(path),
        )
    from rebuilder.azure.storage.queues import StorageQueues  # noqa: PLC0415
    from rebuilder.azure.storage.steering import BlobSteering  # noqa: PLC0415
    from rebuilder.azure.storage.tables._tables import table_service  # noqa: PLC0415
    from rebuilder.azure.storage.tables.bookmarks import TableBookmarks  # noqa: PLC0415
    from rebuilder.azure.storage.tables.dead_letters import TableDeadLetters  # noqa: PLC0415
    from rebuilder.azure.storage.tables.index import TableIndex  # noqa: PLC0415
    from rebuilder.azure.storage.tables.ledger import TableLedger  # noqa: PLC0415

    service = table_service(settings)
    bookmarks = TableBookmarks(service)
    return _Store(
        TableLedger(service),
        StorageQueues.from_settings(settings),
        TableIndex(service),
        bookmarks,
        TableDeadLetters(service),
        BlobSteering.from_settings(settings, bookmarks),
    )


def _identity(settings: Settings) -> TokenCredential:
    from rebuilder.azure.identity import credential  # noqa: PLC0415

    return credential(settings.client_id)


def _dead_events(settings: Settings) -> DeadEventStore:
    if not settings.dead_letters:
        return NoDeadEvents()
    from rebuilder.azure.storage.dead_events import BlobDeadEvents  # noqa: PLC0415

    return BlobDeadEvents.from_settings(settings)


def _now() -> datetime:
    return datetime.now(UTC)
