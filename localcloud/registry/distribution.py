"""The OCI distribution API, version 1.1.

Source: github.com/opencontainers/distribution-spec, spec.md.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from localcloud.registry.content import Endpoint, RegistryService
from localcloud.registry.store import RegistryError
from localcloud.state import Json, Registry

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def request_data(request: Request) -> Json:
    """Return what an event tells of the request that caused it."""
    return {
        "id": str(uuid.uuid4()),
        "addr": request.client.host if request.client else "",
        "host": request.headers.get("host", ""),
        "method": request.method,
        "useragent": request.headers.get("user-agent", ""),
    }


def page(request: Request, names: list[str], size: int = 100) -> tuple[list[str], str | None]:
    """Return the page of sorted names that `n` and `last` ask for, and the next one's link."""
    last = request.query_params.get("last", "")
    asked = request.query_params.get("n", "")
    count = int(asked) if asked.isdecimal() and int(asked) > 0 else size
    rest = [name for name in sorted(names) if name > last]
    chosen = rest[:count]
    if len(rest) <= count:
        return chosen, None
    return chosen, f'<{request.url.path}?last={chosen[-1]}&n={count}>; rel="next"'


def linked(body: Json, link: str | None) -> Response:
    """Return a page of a list, with the link to the next one."""
    return JSONResponse(body, headers={"Link": link} if link else None)


async def _ping(service: RegistryService, request: Request, registry: Registry) -> Response:
    service.require(request, registry, "")
    return JSONResponse({})


async def catalog(service: RegistryService, request: Request, registry: Registry) -> Response:
    """List the repositories of a registry."""
    service.require(request, registry, "registry:catalog:*")
    with service.store.repositories(registry) as known:
        names = list(known)
    chosen, link = page(request, names)
    return linked({"repositories": chosen}, link)


async def _tags(service: RegistryService, request: Request, registry: Registry) -> Response:
    name = request.path_params["name"]
    service.require(request, registry, f"repository:{name}:pull")
    tags = service.store.repository(registry, name).tags
    chosen, link = page(request, list(tags))
    return linked({"name": name, "tags": chosen}, link)


async def _get_blob(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, digest = request.path_params["name"], request.path_params["digest"]
    service.require(request, registry, f"repository:{name}:pull")
    data = service.store.blob(registry, name, digest)
    if service.behaviour.blobs_elsewhere and request.method == "GET":
        place = service.share(f"{registry.name}/blobs/{digest.replace(':', '/')}", data)
        return Response(status_code=307, headers={"Location": place})
    start, end, status = 0, len(data), 200
    headers = {"Docker-Content-Digest": digest, "Accept-Ranges": "bytes"}
    if match := _RANGE.fullmatch(request.headers.get("range", "")):
        start = int(match[1])
        end = min(end, int(match[2]) + 1) if match[2] else end
        if start >= len(data):
            raise RegistryError(416, "RANGE_INVALID", f"the blob has {len(data)} bytes")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        status = 206
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(None, status, headers, "application/octet-stream")

    async def chunks() -> AsyncIterator[bytes]:
        for position in range(start, end, _CHUNK):
            yield data[position : min(position + _CHUNK, end)]

    return StreamingResponse(chunks(), status, headers, "application/octet-stream")


async def _delete_blob(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, digest = request.path_params["name"], request.path_params["digest"]
    service.require(request, registry, f"repository:{name}:delete")
    service.store.delete_blob(registry, name, digest)
    return Response(status_code=202)


def _created(registry: Registry, name: str, digest: str) -> Response:
    location = f"https://{registry.login_server}/v2/{name}/blobs/{digest}"
    headers = {"Location": location, "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)


def _uploading(name: str, upload: str, received: int, status: int) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{upload}",
        "Docker-Upload-UUID": upload,
        "Range": f"0-{max(received - 1, 0)}",
    }
    return Response(status_code=status, headers=headers)


async def _start_upload(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, query = request.path_params["name"], request.query_params
    service.require(request, registry, f"repository:{name}:push")
    mount, source = query.get("mount"), query.get("from")
    if mount and source and service.store.mount_blob(registry, name, mount, source):
        return _created(registry, name, mount)
    body = await request.body()
    if digest := query.get("digest"):
        kept = await asyncio.to_thread(service.store.put_blob, registry, name, body, digest)
        return _created(registry, name, kept)
    upload = str(uuid.uuid4())
    service.uploads[upload] = bytearray(body)
    return _uploading(name, upload, len(body), 202)


def _upload(service: RegistryService, request: Request) -> bytearray:
    upload = request.path_params["upload"]
    if upload not in service.uploads:
        raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", f"upload {upload} is not known")
    return service.uploads[upload]


async def _patch_upload(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, upload = request.path_params["name"], request.path_params["upload"]
    service.require(request, registry, f"repository:{name}:push")
    received = _upload(service, request)
    sent = request.headers.get("content-range", "")
    if sent and not sent.startswith(f"{len(received)}-"):
        raise RegistryError(416, "RANGE_INVALID", f"{len(received)} bytes were received so far")
    async for chunk in request.stream():
        received += chunk
    return _uploading(name, upload, len(received), 202)


async def _get_upload(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, upload = request.path_params["name"], request.path_params["upload"]
    service.require(request, registry, f"repository:{name}:push")
    return _uploading(name, upload, len(_upload(service, request)), 204)


async def _end_upload(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, upload = request.path_params["name"], request.path_params["upload"]
    service.require(request, registry, f"repository:{name}:push")
    received = _upload(service, request)
    async for chunk in request.stream():
        received += chunk
    digest = request.query_params.get("digest")
    if digest is None:
        raise RegistryError(400, "DIGEST_INVALID", "the digest is missing")
    data = bytes(received)
    await asyncio.to_thread(service.store.put_blob, registry, name, data, digest)
    del service.uploads[upload]
    return _created(registry, name, digest)


async def _cancel_upload(
    service: RegistryService, request: Request, registry: Registry
) -> Response:
    service.require(request, registry, f"repository:{request.path_params['name']}:push")
    _upload(service, request)
    del service.uploads[request.path_params["upload"]]
    return Response(status_code=204)


async def _get_manifest(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, reference = request.path_params["name"], request.path_params["reference"]
    service.require(request, registry, f"repository:{name}:pull")
    manifest = service.store.manifest(registry, name, reference)
    headers = {
        "Docker-Content-Digest": manifest.digest,
        "Content-Length": str(len(manifest.data)),
        "ETag": f'"{manifest.digest}"',
    }
    body = None if request.method == "HEAD" else manifest.data
    return Response(body, 200, headers, manifest.media_type)


def _check_lock(service: RegistryService, registry: Registry, name: str, reference: str) -> None:
    """Refuse to write what is locked: the repository, or the tag.

    Raises:
        RegistryError: In ACR's words; source: Azure/azure-sdk-for-net issue 22827.
    """
    with service.store.repositories(registry) as known:
        attributes = known[name].attributes if name in known else {}
        locked = [key for key, flags in attributes.items() if flags.get("writeEnabled") is False]
    if "" in locked or reference in locked:
        raise RegistryError(
            405,
            "REGISTRY_DISALLOWED_OPERATION",
            "The operation is disallowed on this registry, repository or image. View"
            " troubleshooting steps at"
            " https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation",
        )


async def _put_manifest(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, reference = request.path_params["name"], request.path_params["reference"]
    service.require(request, registry, f"repository:{name}:push")
    _check_lock(service, registry, name, reference)
    media_type = request.headers.get("content-type", "")
    manifest = service.put_manifest(
        registry,
        name,
        reference,
        media_type,
        await request.body(),
        request=request_data(request),
    )
    headers = {
        "Location": f"https://{registry.login_server}/v2/{name}/manifests/{manifest.digest}",
        "Docker-Content-Digest": manifest.digest,
    }
    if subject := manifest.content.get("subject"):
        headers["OCI-Subject"] = subject["digest"]
    return Response(status_code=201, headers=headers)


async def _delete_manifest(
    service: RegistryService, request: Request, registry: Registry
) -> Response:
    name, reference = request.path_params["name"], request.path_params["reference"]
    service.require(request, registry, f"repository:{name}:delete")
    if ":" in reference:
        service.delete_manifest(registry, name, reference, request_data(request))
    else:
        service.store.delete_tag(registry, name, reference)
    return Response(status_code=202)


async def _referrers(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, digest = request.path_params["name"], request.path_params["digest"]
    service.require(request, registry, f"repository:{name}:pull")
    found = service.store.referrers(registry, name, digest)
    headers = {}
    if wanted := request.query_params.get("artifactType"):
        found = [descriptor for descriptor in found if descriptor.get("artifactType") == wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    media_type = "application/vnd.oci.image.index.v1+json"
    body = {"schemaVersion": 2, "mediaType": media_type, "manifests": found}
    return JSONResponse(body, 200, headers, media_type)


ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/v2/", _ping),
    ("GET", "/v2/_catalog", catalog),
    ("GET", "/v2/{name:path}/tags/list", _tags),
    ("POST", "/v2/{name:path}/blobs/uploads/", _start_upload),
    ("GET", "/v2/{name:path}/blobs/uploads/{upload}", _get_upload),
    ("PATCH", "/v2/{name:path}/blobs/uploads/{upload}", _patch_upload),
    ("PUT", "/v2/{name:path}/blobs/uploads/{upload}", _end_upload),
    ("DELETE", "/v2/{name:path}/blobs/uploads/{upload}", _cancel_upload),
    ("GET", "/v2/{name:path}/blobs/{digest}", _get_blob),
    ("DELETE", "/v2/{name:path}/blobs/{digest}", _delete_blob),
    ("GET", "/v2/{name:path}/manifests/{reference}", _get_manifest),
    ("PUT", "/v2/{name:path}/manifests/{reference}", _put_manifest),
    ("DELETE", "/v2/{name:path}/manifests/{reference}", _delete_manifest),
    ("GET", "/v2/{name:path}/referrers/{digest}", _referrers),
)
