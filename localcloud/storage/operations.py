"""What a request to a storage account does, and which permissions Azure asks for it.

Source: learn.microsoft.com, "Authorize with Microsoft Entra ID (REST API)", permissions for calling
blob, queue and table data operations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_DATA = frozenset({"blobs", "messages", "entities"})
_CONTAINERS = "blobServices/containers"
_BLOBS = f"{_CONTAINERS}/blobs"
_QUEUES = "queueServices/queues"
_MESSAGES = f"{_QUEUES}/messages"
_TABLES = "tableServices/tables"
_ENTITIES = f"{_TABLES}/entities"
_INNER = re.compile(rb"^(GET|POST|PUT|MERGE|PATCH|DELETE) (\S+) HTTP/1\.1\r?$", re.MULTILINE)
_PLACE = re.compile(r"https?://[^/]+(/[^?]*)")
_ENTITY = re.compile(r"/(?P<table>\w+)(?P<key>\(.*\))?")
_TABLE = re.compile(r"/Tables\('(?P<table>\w+)'\)")

type Needs = tuple[tuple[str, ...], ...]


class UnknownOperation(Exception):
    """A request that the local cloud's storage accounts do not know."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on what an account holds.

    Attributes:
        name: As the REST reference calls it: Put Message.
        resource: What it is on, below the account's resource id; empty for the account.
        needs: Permissions below Microsoft.Storage/storageAccounts, of which one tuple is enough.
    """

    name: str
    resource: str
    needs: Needs


def is_data(action: str) -> bool:
    """Tell whether a permission is a data action and no action."""
    return not _DATA.isdisjoint(action.split("/"))


def operations(
    service: str,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> list[Operation]:
    """Return what a request does; a batch of entities does several things.

    Args:
        service: blob, queue or table.
        method: The method.
        path: The decoded path.
        query: The query.
        headers: The headers, by lower-case name.
        body: The body.

    Raises:
        UnknownOperation: It is none of those that the local cloud knows.
    """
    if service == "table":
        found = [each for each in _table(method, path, headers, body) if each]
    else:
        make = _blob if service == "blob" else _queue
        operation = make(method, path, query, headers)
        found = [operation] if operation else []
    if not found:
        raise UnknownOperation(f"{method} {path} of the {service} service")
    return found


def _blob(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> Operation | None:
    container, _, blob = path.strip("/").partition("/")
    part, kind = query.get("comp", ""), query.get("restype", "")
    if not container:
        named = {
            ("GET", "list"): ("List Containers", f"{_CONTAINERS}/read"),
            ("POST", "userdelegationkey"): (
                "Get User Delegation Key",
                "blobServices/generateUserDelegationKey/action",
            ),
        }.get((method, part))
        return Operation(named[0], "", ((named[1],),)) if named else None
    place = f"blobServices/default/containers/{container}"
    if kind == "container":
        named = {
            ("PUT", ""): ("Create Container", f"{_CONTAINERS}/write"),
            ("GET", ""): ("Get Container Properties", f"{_CONTAINERS}/read"),
            ("HEAD", ""): ("Get Container Properties", f"{_CONTAINERS}/read"),
            ("GET", "metadata"): ("Get Container Metadata", f"{_CONTAINERS}/read"),
            ("PUT", "metadata"): ("Set Container Metadata", f"{_CONTAINERS}/write"),
            ("DELETE", ""): ("Delete Container", f"{_CONTAINERS}/delete"),
            ("PUT", "lease"): ("Lease Container", f"{_CONTAINERS}/write"),
            ("GET", "list"): ("List Blobs", f"{_BLOBS}/read"),
        }.get((method, part))
        return Operation(named[0], place, ((named[1],),)) if named else None
    if not blob:
        return None
    write = f"{_BLOBS}/write"
    named = {
        ("GET", ""): ("Get Blob", f"{_BLOBS}/read"),
        ("HEAD", ""): ("Get Blob Properties", f"{_BLOBS}/read"),
        ("GET", "metadata"): ("Get Blob Metadata", f"{_BLOBS}/read"),
        ("GET", "blocklist"): ("Get Block List", f"{_BLOBS}/read"),
        ("DELETE", ""): ("Delete Blob", f"{_BLOBS}/delete"),
        ("PUT", "block"): ("Put Block", write),
        ("PUT", "blocklist"): ("Put Block List", write),
        ("PUT", "lease"): ("Lease Blob", write),
        ("PUT", "metadata"): ("Set Blob Metadata", write),
        ("PUT", "properties"): ("Set Blob Properties", write),
    }.get((method, part))
    if named:
        return Operation(named[0], place, ((named[1],),))
    if method == "PUT" and part in ("", "appendblock"):
        if "x-ms-copy-source" in headers:
            return Operation("Copy Blob", place, ((write,),))
        name = "Append Block" if part else "Put Blob"
        return Operation(name, place, ((write,), (f"{_BLOBS}/add/action",)))
    return None


def _queue(
    method: str, path: str, query: Mapping[str, str], _: Mapping[str, str]
) -> Operation | None:
    queue, *rest = path.strip("/").split("/")
    part = query.get("comp", "")
    if not queue:
        listed = (method, part) == ("GET", "list")
        return Operation("List Queues", "", ((f"{_QUEUES}/read",),)) if listed else None
    place = f"queueServices/default/queues/{queue}"
    if not rest:
        named = {
            ("PUT", ""): ("Create Queue", f"{_QUEUES}/write"),
            ("DELETE", ""): ("Delete Queue", f"{_QUEUES}/delete"),
            ("GET", "metadata"): ("Get Queue Metadata", f"{_QUEUES}/read"),
            ("HEAD", "metadata"): ("Get Queue Metadata", f"{_QUEUES}/read"),
            ("PUT", "metadata"): ("Set Queue Metadata", f"{_QUEUES}/write"),
        }.get((method, part))
        return Operation(named[0], place, ((named[1],),)) if named else None
    if rest[0] != "messages":
        return None
    process, delete = (f"{_MESSAGES}/process/action",), f"{_MESSAGES}/delete"
    if len(rest) > 1:
        single: dict[str, tuple[str, Needs]] = {
            "PUT": ("Update Message", ((f"{_MESSAGES}/write",),)),
            "DELETE": ("Delete Message", ((delete,), process)),
        }
        found = single.get(method)
    elif method == "GET" and query.get("peekonly", "").lower() == "true":
        found = ("Peek Messages", ((f"{_MESSAGES}/read",),))
    else:
        several: dict[str, tuple[str, Needs]] = {
            "GET": ("Get Messages", (process, (delete, f"{_MESSAGES}/read"))),
            "POST": ("Put Message", ((f"{_MESSAGES}/add/action",), (f"{_MESSAGES}/write",))),
            "DELETE": ("Clear Messages", ((delete,),)),
        }
        found = several.get(method)
    return Operation(found[0], place, found[1]) if found else None


def _table(
    method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Iterable[Operation | None]:
    if path == "/$batch" and method == "POST":
        # Each request of the batch stands in a part of its own, with headers of its own.
        heads = list(_INNER.finditer(body))
        ends = [head.start() for head in heads[1:]] + [len(body)]
        for head, end in zip(heads, ends, strict=True):
            matched = b"if-match:" in body[head.end() : end].partition(b"\r\n\r\n")[0].lower()
            inside = _PLACE.match(unquote(head[2].decode()))
            inner = {"if-match": "*"} if matched else {}
            yield _entity(head[1].decode(), inside[1] if inside else "", inner)
        return
    if path == "/Tables":
        if method == "GET":
            yield Operation("Query Tables", "", ((f"{_TABLES}/read",),))
        elif method == "POST":
            name = str(json.loads(body or b"{}").get("TableName"))
            place = f"tableServices/default/tables/{name}"
            yield Operation("Create Table", place, ((f"{_TABLES}/write",),))
    elif match := _TABLE.fullmatch(path):
        named = {"DELETE": ("Delete Table", "delete"), "GET": ("Query Tables", "read")}.get(method)
        if named:
            place = f"tableServices/default/tables/{match['table']}"
            yield Operation(named[0], place, ((f"{_TABLES}/{named[1]}",),))
    else:
        yield _entity(method, path, headers)


def _entity(method: str, path: str, headers: Mapping[str, str]) -> Operation:
    match = _ENTITY.fullmatch(path)
    if match is None:
        raise UnknownOperation(f"{method} {path} of the table service")
    place = f"tableServices/default/tables/{match['table']}"
    write, add, update = (
        f"{_ENTITIES}/{verb}" for verb in ("write", "add/action", "update/action")
    )
    known: dict[str, tuple[str, Needs]] = {
        "GET": ("Query Entities", ((f"{_ENTITIES}/read",),)),
        "POST": ("Insert Entity", ((write,), (add,))),
        "DELETE": ("Delete Entity", ((f"{_ENTITIES}/delete",),)),
    }
    if method in ("PUT", "MERGE", "PATCH"):
        word = "Replace" if method == "PUT" else "Merge"
        if "if-match" in headers:
            named = "Update Entity" if method == "PUT" else "Merge Entity"
            return Operation(named, place, ((write,), (update,)))
        return Operation(f"Insert Or {word} Entity", place, ((write,), (add, update)))
    if method not in known:
        raise UnknownOperation(f"{method} {path} of the table service")
    return Operation(known[method][0], place, known[method][1])
