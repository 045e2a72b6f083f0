"""Which version of the product keeps its things in the tables of an account.

One entity tells: the version, and whether what version 0.1.0 left behind is filed by day, tag and
task by now. It is written with the first record, never by a question.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from weakref import WeakKeyDictionary

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableServiceClient, UpdateMode
from msgspec import Struct

from rebuilder.azure._errors import no_table, translated
from rebuilder.core.rebuilds.records import BEFORE_VERSIONS, VERSION
from rebuilder.errors import NewerStore

STORE = "rebuilderstore"

_KEYS = {"PartitionKey": "store", "RowKey": "version"}
_OLDEST = "rebuilderpushes"  # what every version has filled first
_LOOK_SECONDS = 60.0
"""How often it is looked whether newer code has taken the tables over meanwhile."""


class _Noted(Struct, frozen=True):
    """What the entity tells; `there` is False if there is none."""

    version: int = BEFORE_VERSIONS
    filed: bool = False
    there: bool = False


class StoreVersion:
    """The version of an account's tables, asked for now and then.

    Args:
        service: The account's table service.
    """

    def __init__(self, service: TableServiceClient) -> None:
        self._table = service.get_table_client(STORE)
        self._pushes = service.get_table_client(_OLDEST)
        self._name = f"storage account {service.account_name}"
        self._lock = threading.Lock()
        self._noted: _Noted | None = None
        self._looked = 0.0

    def check(self) -> None:
        """See that this code may use the tables.

        Raises:
            NewerStore: They are of a newer version.
            TransientError: They cannot be reached.
        """
        self._known()

    def ensure(self) -> None:
        """See the same, and note this version if none is noted, before something is written."""
        noted = self._known()
        if noted.there and noted.version == VERSION:
            return
        with self._lock, translated("note the version of the store"):
            filed = noted.filed if noted.there else not self._used()
            self._write(filed=filed)

    @property
    def filed(self) -> bool:
        """Whether everything is found by day, tag and task."""
        return self._known().filed

    def mark_filed(self) -> None:
        """Remember that everything is."""
        with self._lock, translated("note that the store is filed"):
            self._write(filed=True)

    def _known(self) -> _Noted:
        with self._lock:
            now = time.monotonic()
            if self._noted is None or now - self._looked > _LOOK_SECONDS:
                with translated("read the version of the store"):
                    self._noted = self._read()
                self._looked = now
            noted = self._noted
            if noted.version > VERSION:
                self._noted = None  # ask again: it may have been put back
                raise NewerStore(self._name, noted.version, VERSION)
            return noted

    def _read(self) -> _Noted:
        try:
            found = self._table.get_entity(_KEYS["PartitionKey"], _KEYS["RowKey"])
        except ResourceNotFoundError:
            return _Noted()
        return _Noted(int(found["version"]), bool(found["filed"]), there=True)

    def _used(self) -> bool:
        """Tell whether an older version has kept something here."""
        try:
            return next(iter(self._pushes.list_entities(results_per_page=1)), None) is not None
        except HttpResponseError as error:
            if no_table(error):
                return False
            raise

    def _write(self, *, filed: bool) -> None:
        entity = {**_KEYS, "version": VERSION, "filed": filed}
        try:
            self._table.upsert_entity(entity, mode=UpdateMode.MERGE)
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):  # another instance may be quicker
                self._table.create_table()
            self._table.upsert_entity(entity, mode=UpdateMode.MERGE)
        self._noted = _Noted(VERSION, filed, there=True)


_versions: WeakKeyDictionary[TableServiceClient, StoreVersion] = WeakKeyDictionary()
_versions_lock = threading.Lock()


def version_of(service: TableServiceClient) -> StoreVersion:
    """Return the version of an account's tables, one for all who use the same client."""
    with _versions_lock:
        found = _versions.get(service)
        if found is None:
            found = _versions[service] = StoreVersion(service)
        return found
