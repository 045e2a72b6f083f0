"""Azure Storage tables, as the ledger and the index use them.

Keys are hashes, because keys may not hold every character that names may. What a reader needs
stands in the other columns. A text longer than a property may be is split over several.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.data.tables import TableClient, TableServiceClient

from rebuilder.azure._storage import connected, connection_string, endpoint
from rebuilder.azure.identity import credential
from rebuilder.settings import Settings

TRANSACTION = 100  # operations at most; learn.microsoft.com, "Performing entity group transactions"
PROPERTY = 30_000  # characters; a property holds 64 KiB of UTF-16
AT_ONCE = 8
"""How many requests are under way at the same time, where one after the other takes too long."""

type Entity = dict[str, Any]


def table_service(settings: Settings) -> TableServiceClient:
    """Return the table service of the configured account."""
    if text := connection_string(settings):
        return connected(TableServiceClient.from_connection_string, text)
    identity = credential(settings.storage_client_id)
    return TableServiceClient(endpoint(settings, "table"), credential=identity)


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


class Tables:
    """Tables that are made on first use.

    Args:
        service: The account's table service.
        names: The tables.
    """

    def __init__(self, service: TableServiceClient, names: Iterable[str]) -> None:
        self._service = service
        # All of them before any is used: the SDK's clients share the policies of their service,
        # and one that is made later links them anew while others' requests are under way.
        self._tables = {name: service.get_table_client(name) for name in names}

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def table(self, name: str) -> TableClient:
        """Return a table, which may not be there yet."""
        return self._tables[name]

    def written[T](self, name: str, write: Callable[[TableClient], T]) -> T:
        """Write to a table that is made when it is missing."""
        table = self.table(name)
        try:
            return write(table)
        except HttpResponseError as error:
            if not no_table(error):
                raise
        with suppress(ResourceExistsError):  # another instance may be quicker
            table.create_table()
        return write(table)

    def partition(self, name: str, partition: str, more: str = "") -> list[Entity]:
        """Return the entities of a partition, or those of them that a filter lets through.

        Each has its version in the table as `etag`, too.
        """
        return self.query(
            name, f"PartitionKey eq @key{more and ' and ' + more}", {"key": partition}
        )

    def query(self, name: str, query: str, parameters: Mapping[str, str]) -> list[Entity]:
        """Return the entities that a filter lets through; none if the table was never made."""
        try:
            found = self.table(name).query_entities(query, parameters=dict(parameters))
            return [{**entity, "etag": str(entity.metadata["etag"])} for entity in found]
        except HttpResponseError as error:
            if no_table(error):
                return []
            raise


class TableStore:
    """What is kept in tables of one account, which subclasses name.

    Args:
        service: The account's table service.
    """

    tables: ClassVar[tuple[str, ...]]

    def __init__(self, service: TableServiceClient) -> None:
        self._tables = Tables(service, self.tables)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return what is kept in the configured account."""
        return cls(table_service(settings))

    def close(self) -> None:
        """Close the connections."""
        self._tables.close()


def no_table(error: HttpResponseError) -> bool:
    """Tell whether an error means that the table was never made."""
    # The SDK gives the code as an attribute for some operations, in the text for the others.
    code = str(getattr(error, "error_code", "")).rpartition(".")[2].replace("_", "").lower()
    return code == "tablenotfound" or "TableNotFound" in str(error)
