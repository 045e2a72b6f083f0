"""Azure Storage tables, as the ledger and the index use them.

Keys are hashes, because keys may not hold every character that names may. What a reader needs
stands in the other columns. A text longer than a property may be is split over several.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, ClassVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, TableServiceClient, UpdateMode

from rebuilder.azure._errors import no_table
from rebuilder.azure.identity import credential
from rebuilder.azure.storage._storage import connected, connection_string, endpoint
from rebuilder.azure.storage.tables._version import StoreVersion, version_of
from rebuilder.settings import Settings

TRANSACTION = 100  # operations at most; learn.microsoft.com, "Performing entity group transactions"
_TRANSACTION_BYTES = 3 * 2**20  # of 4 MiB, for there is more around the entities
PROPERTY = 30_000  # characters; a property holds 64 KiB of UTF-16
"""How many requests are under way at the same time, where one after the other takes too long."""

type Entity = dict[str, Any]
type Operation = tuple[str, Entity, dict[str, Any]]
"""One change of a transaction, as the SDK takes it."""

REPLACE: dict[str, Any] = {"mode": UpdateMode.REPLACE}
UNCHANGED: dict[str, Any] = {"match_condition": MatchConditions.IfNotModified}

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END = 10**17  # microseconds, in the year 5138
_QUICKLY: dict[str, Any] = {"connection_timeout": 2, "read_timeout": 5, "retry_total": 0}


def table_service(settings: Settings, *, quickly: bool = False) -> TableServiceClient:
    """Return the table service of the configured account.

    Args:
        settings: Which account.
        quickly: Whether an answer is waited for some seconds only, and asked for once.
    """
    options = _QUICKLY if quickly else {}
    if text := connection_string(settings):
        return connected(
            lambda text: TableServiceClient.from_connection_string(text, **options), text
        )
    identity = credential(settings.storage_client_id)
    return TableServiceClient(endpoint(settings, "table"), credential=identity, **options)


def key(*parts: str) -> str:
    """Return a key made of names."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def split(text: str) -> Entity:
    """Return a text as the properties of an entity."""
    pieces = [text[at : at + PROPERTY] for at in range(0, len(text), PROPERTY)]
    return {f"record{number}": piece for number, piece in enumerate(pieces)}


def joined(entity: Mapping[str, Any]) -> str:
    """Return the text that `split` made the properties of an entity."""
    pieces: list[str] = []
    while (name := f"record{len(pieces)}") in entity:
        pieces.append(str(entity[name]))
    return "".join(pieces)


def time_of(value: object) -> datetime:
    """Return the time of a text."""
    return datetime.fromisoformat(str(value))


def rising(time: datetime) -> str:
    """Return a part of a row key that sorts as the time does."""
    return f"{min(max((time - _BEGINNING) // _MICROSECOND, 0), _END):018}"


def falling(time: datetime) -> str:
    """Return a part of a row key that sorts later times first."""
    return f"{_END - int(rising(time)):018}"


def batches(operations: Iterable[Operation], *, together: int = 1) -> Iterator[list[Operation]]:
    """Split changes of one partition into transactions, by their number and their size.

    Args:
        operations: The changes.
        together: How many each that follow each other must not be parted.
    """
    batch: list[Operation] = []
    size = 0
    left = iter(operations)
    while some := list(islice(left, together)):
        larger = sum(len(json.dumps(entity, default=str)) for _, entity, _ in some)
        full = len(batch) + len(some) > TRANSACTION or size + larger > _TRANSACTION_BYTES
        if batch and full:
            yield batch
            batch, size = [], 0
        batch += some
        size += larger
    if batch:
        yield batch


class Tables:
    """Tables that are made on first use.

    Each use sees first that the tables are not of a newer version; see StoreVersion.

    Args:
        service: The account's table service.
        names: The tables.
    """

    def __init__(self, service: TableServiceClient, names: Iterable[str]) -> None:
        self._service = service
        # All of them before any is used: the SDK's clients share the policies of their service,
        # and one that is made later links them again while others' requests are under way.
        self._tables = {name: service.get_table_client(name) for name in names}
        self.version: StoreVersion = version_of(service)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def table(self, name: str) -> TableClient:
        """Return a table, which may not be there yet."""
        self.version.check()
        return self._tables[name]

    def written[T](self, name: str, write: Callable[[TableClient], T]) -> T:
        """Write to a table that is made when it is missing."""
        self.version.ensure()
        table = self._tables[name]
        try:
            return write(table)
        except HttpResponseError as error:
            if not no_table(error):
                raise
        with suppress(ResourceExistsError):  # another instance may be quicker
            table.create_table()
        return write(table)

    def read(self, name: str, partition: str, row: str) -> tuple[Entity, str]:
        """Return an entity, and its version in the table: "" if it is not there."""
        try:
            found = self.table(name).get_entity(partition, row)
        except ResourceNotFoundError:
            return {}, ""
        return dict(found), str(found.metadata["etag"])

    def change(self, name: str, entity: Entity, etag: str) -> str:
        """Write an entity, unless another one has been written since it was read.

        Args:
            name: The table.
            entity: The entity.
            etag: The version that was read; "" for a new one.

        Returns:
            The new version; "" if another version is there.
        """
        try:
            if not etag:
                answer = self.written(name, lambda table: table.create_entity(entity))
            else:
                table = self.table(name)
                answer = table.update_entity(entity, **REPLACE, **UNCHANGED, etag=etag)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            return ""
        return str(answer["etag"])

    def submit(self, name: str, operations: Sequence[Operation]) -> list[Mapping[str, Any]]:
        """Make many changes of one partition at once, or none."""
        return self.written(name, lambda table: table.submit_transaction(operations))

    def span(
        self, name: str, partition: str, above: str, below: str, limit: int | None = None
    ) -> list[Entity]:
        """Return the entities of a partition, or the first of them, with row keys in a span.

        Args:
            name: The table.
            partition: The partition.
            above: The least row key.
            below: The row key that all are less than.
            limit: How many at most.
        """
        query = "PartitionKey eq @key and RowKey ge @above and RowKey lt @below"
        parameters = {"key": partition, "above": above, "below": below}
        return self.query(name, query, parameters, limit)

    def partition(self, name: str, partition: str, more: str = "") -> list[Entity]:
        """Return the entities of a partition, or those of them that a filter lets through.

        Each has its version in the table as `etag`, too.
        """
        return self.query(
            name, f"PartitionKey eq @key{more and ' and ' + more}", {"key": partition}
        )

    def pages(
        self, name: str, query: str, parameters: Mapping[str, str], size: int
    ) -> Iterator[list[Entity]]:
        """Yield the entities that a filter lets through by their keys, so many with a request."""
        try:
            found = self.table(name).query_entities(
                query, parameters=dict(parameters), results_per_page=size
            )
            for page in found.by_page():
                yield [dict(entity) for entity in page]
        except HttpResponseError as error:
            if not no_table(error):
                raise

    def query(
        self, name: str, query: str, parameters: Mapping[str, str], limit: int | None = None
    ) -> list[Entity]:
        """Return the entities that a filter lets through; none if the table was never made."""
        try:
            found = self.table(name).query_entities(
                query, parameters=dict(parameters), results_per_page=limit
            )
            return [
                {**entity, "etag": str(entity.metadata["etag"])} for entity in islice(found, limit)
            ]
        except HttpResponseError as error:
            if no_table(error):
                return []
            raise


class TableStore:
    """What is kept in tables of one account, which subclasses name; one client may serve several.

    Args:
        service: The account's table service.
    """

    tables: ClassVar[tuple[str, ...]]

    def __init__(self, service: TableServiceClient) -> None:
        self._tables = Tables(service, self.tables)

    def close(self) -> None:
        """Close the connections."""
        self._tables.close()
