"""Where the storage account is."""

from __future__ import annotations

from collections.abc import Callable

from rebuilder.errors import InvalidSettings
from rebuilder.settings import Settings
from rebuilder.settings.table import STORAGE

_DEVELOPMENT = "usedevelopmentstorage=true"

# Azurite's account, the same for everybody.
# Source: learn.microsoft.com, "Connect to Azurite", well-known storage account and key.
DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlm"
    "EtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)


def connection_string(settings: Settings) -> str:
    """Return the account's connection string; empty if an identity is to be used."""
    text = settings.storage
    return (
        DEVELOPMENT_STORAGE if text.replace(" ", "").lower().rstrip(";") == _DEVELOPMENT else text
    )


def connected[Client](make: Callable[[str], Client], text: str) -> Client:
    """Return a client made from a connection string.

    Raises:
        InvalidSettings: The text is none. It may hold a key, so it is not repeated.
    """
    try:
        return make(text)
    except (ValueError, KeyError):
        problem = (
            f"{STORAGE} cannot be read: write a connection string, as `az storage account"
            " show-connection-string` prints it, UseDevelopmentStorage=true, or sqlite:PATH"
        )
        raise InvalidSettings([problem]) from None


def endpoint(settings: Settings, service: str) -> str:
    """Return the address of the account's `queue`, `table` or `blob` service."""
    named = {
        "queue": settings.queue_endpoint,
        "table": settings.table_endpoint,
        "blob": settings.blob_endpoint,
    }[service]
    return named or f"https://{settings.storage_account}.{service}.core.windows.net"
