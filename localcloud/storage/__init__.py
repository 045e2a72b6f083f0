"""Storage accounts: blobs, queues and tables under their real names, kept by Azurite."""

from __future__ import annotations

from localcloud.storage.operations import Operation
from localcloud.storage.service import Storage, StorageOperation

__all__ = ["Operation", "Storage", "StorageOperation"]
