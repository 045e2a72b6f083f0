"""What operators decided, in Azure Storage: the policy file is a blob, its versions snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote, unquote

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobProperties, BlobServiceClient, ContainerClient

from rebuilder.azure._clients import TIMEOUTS
from rebuilder.azure._errors import translated
from rebuilder.azure.identity import credential
from rebuilder.azure.storage._storage import connected, connection_string, endpoint
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.policies.acts import PLACE
from rebuilder.core.policies.reading import MOST_BYTES
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.errors import Conflict
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.settings import Settings

CONTAINER = "rebuilder-policy"
BLOB = "policy.yaml"

_APPLIED = "applied"  # the blob's metadata that tells who applied it, when and why


class BlobSteering:
    """A Steering; see rebuilder.ports.steering.

    Args:
        container: Where the policy file is; made when one is applied.
        bookmarks: Where acts are kept.
    """

    def __init__(self, container: ContainerClient, bookmarks: Bookmarks) -> None:
        self._container = container
        self._bookmarks = bookmarks

    @classmethod
    def from_settings(cls, settings: Settings, bookmarks: Bookmarks) -> Self:
        """Return what operators decided, in the configured account."""
        if text := connection_string(settings):
            make: Callable[[str], BlobServiceClient] = lambda text: (  # noqa: E731 - options with it
                BlobServiceClient.from_connection_string(text, **TIMEOUTS)
            )
            service = connected(make, text)
        else:
            identity = credential(settings.storage_client_id)
            service = BlobServiceClient(endpoint(settings, "blob"), identity, **TIMEOUTS)
        return cls(service.get_container_client(CONTAINER), bookmarks)

    def close(self) -> None:
        """Close the connections."""
        self._container.close()

    def token(self) -> str:
        """Return the token of the policy file; see Steering."""
        with translated("look whether there is a policy file"):
            try:
                return str(self._container.get_blob_client(BLOB).get_blob_properties().etag)
            except ResourceNotFoundError:
                return ""

    def policy(self) -> PolicyVersion | None:
        """Return the policy file; see Steering."""
        with translated("read the policy file"):
            try:
                return self._read(None)
            except ResourceNotFoundError:
                return None

    def versions(self, limit: int) -> list[PolicyVersion]:
        """Return the newest versions; see Steering."""
        found: dict[str, BlobProperties] = {}
        with translated("list the versions of the policy file"):
            listed: list[BlobProperties] = []
            with suppress(ResourceNotFoundError):
                listed = list(self._container.list_blobs(BLOB, include=["snapshots", "metadata"]))
            # Snapshots have no order of their own but their names, which are times; what is not
            # one is the newest. One that nothing came of is a copy of what is there.
            for blob in sorted(listed, key=lambda blob: (blob.snapshot is None, blob.snapshot)):
                if blob.name == BLOB:
                    told = (blob.metadata or {}).get(_APPLIED, str(blob.snapshot))
                    found[told] = blob
            newest = list(found.values())[::-1][:limit]
            return [self._read(blob.snapshot) for blob in newest]

    def _read(self, snapshot: str | None) -> PolicyVersion:
        """Read a version; of one that is too large, so much that it is seen.

        Raises:
            ResourceNotFoundError: It is not there.
        """
        client = self._container.get_blob_client(BLOB, snapshot=snapshot)
        found = client.download_blob(offset=0, length=MOST_BYTES + 1)
        text = found.readall().decode(errors="replace")
        return _version(str(found.properties.etag), text, found.properties.metadata or {})

    def apply(
        self, text: str, *, who: str, at: datetime, because: str, before: str
    ) -> PolicyVersion:
        """Store a policy file; see Steering."""
        client = self._container.get_blob_client(BLOB)
        unchanged: dict[str, Any] = (
            {"etag": before, "match_condition": MatchConditions.IfNotModified} if before else {}
        )
        conflict = Conflict("the policy file was changed by another")
        with translated("apply a policy file"):
            try:
                number = 1
                if before:
                    # What dies after this leaves a copy of what is there, which is not shown.
                    client.create_snapshot(**unchanged)
                    number = _number(client.get_blob_properties().metadata or {}) + 1
                else:
                    with suppress(ResourceExistsError):
                        self._container.create_container()
                applied = {"number": number, "who": who, "at": at.isoformat(), "because": because}
                client.upload_blob(
                    text.encode(),
                    overwrite=bool(before),
                    # A header takes no more than ASCII.
                    metadata={_APPLIED: quote(json.dumps(applied))},
                    **unchanged,
                )
                token = str(client.get_blob_properties().etag)
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
                raise conflict from error
            except HttpResponseError as error:
                if error.status_code == 412:  # noqa: PLR2004 - not what If-Match names
                    raise conflict from error
                raise
        return PolicyVersion(number, token, text, who, at, because)

    def acts(self, page: int | None = None) -> Bookmark:
        """Return what operators did; see Steering."""
        return self._bookmarks.read(PLACE if page is None else f"{PLACE}/{page}")

    def save_acts(self, acts: Bookmark) -> Bookmark:
        """Store what operators did; see Steering."""
        return self._bookmarks.save(acts)


def _version(token: str, text: str, metadata: Mapping[str, str]) -> PolicyVersion:
    try:
        applied = json.loads(unquote(metadata[_APPLIED]))
        at = datetime.fromisoformat(applied["at"])
        who, because = str(applied["who"]), str(applied["because"])
        return PolicyVersion(int(applied["number"]), token, text, who, at, because)
    except (ValueError, KeyError, TypeError):
        return PolicyVersion(0, token, text)  # somebody has uploaded it


def _number(metadata: Mapping[str, str]) -> int:
    return _version("", "", metadata).number
