"""ACR's own API, `/acr/v1`: repositories, tags and manifests with their times.

Source of the shapes: the generated models of PyPI azure-containerregistry 1.2.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.registry.content import Endpoint, RegistryService
from localcloud.registry.distribution import catalog, linked, page, request_data
from localcloud.registry.store import INDEX_TYPES, Manifest, RegistryError, Repository, Tag
from localcloud.state import Json, Registry, azure_time

_ALLOWED = ("deleteEnabled", "writeEnabled", "listEnabled", "readEnabled")


def _attributes(repository: Repository, key: str) -> dict[str, bool]:
    return {**dict.fromkeys(_ALLOWED, True), **repository.attributes.get(key, {})}


def _times(item: Manifest | Tag | Repository) -> Json:
    return {"createdTime": azure_time(item.created), "lastUpdateTime": azure_time(item.updated)}


def _tag(repository: Repository, name: str, tag: Tag) -> Json:
    attributes = _attributes(repository, name)
    return {
        "name": name,
        "digest": tag.digest,
        **_times(tag),
        "signed": False,
        "changeableAttributes": attributes,
    }


def _manifest(service: RegistryService, registry: Registry, name: str, manifest: Manifest) -> Json:
    repository = service.store.repository(registry, name)
    described: Json = {
        "digest": manifest.digest,
        "imageSize": manifest.size,
        **_times(manifest),
        "mediaType": manifest.media_type,
        "tags": sorted(t for t, tag in repository.tags.items() if tag.digest == manifest.digest),
        "changeableAttributes": _attributes(repository, manifest.digest),
    }
    if manifest.media_type not in INDEX_TYPES:
        config = manifest.content.get("config") or {}
        described["configMediaType"] = config.get("mediaType")
        data = service.blob(registry, name, config.get("digest", ""))
        try:
            values = json.loads(data or b"{}")
        except ValueError:
            values = {}
        described |= {key: values[key] for key in ("architecture", "os") if key in values}
    return described


def _named(registry: Registry, name: str, **rest: object) -> Json:
    return {"registry": registry.login_server, "imageName": name, **rest}


def _list(
    request: Request, items: dict[str, Any], updated: Callable[[Any], Any]
) -> tuple[list[str], str | None]:
    """Return a page of item names, newest first if `orderby=timedesc` asks for it."""
    order = request.query_params.get("orderby", "")
    if order in ("timedesc", "timeasc"):
        names = sorted(items, key=lambda n: updated(items[n]), reverse=order == "timedesc")
        last = request.query_params.get("last", "")
        start = names.index(last) + 1 if last in names else 0
        count = int(request.query_params.get("n") or 100)
        chosen = names[start : start + count]
        more = start + count < len(names)
        path = f"{request.url.path}?last={chosen[-1]}&n={count}&orderby={order}" if more else ""
        return chosen, f'<{path}>; rel="next"' if more else None
    return page(request, list(items))


async def _repository(service: RegistryService, request: Request, registry: Registry) -> Response:
    name = request.path_params["name"]
    service.require(request, registry, f"repository:{name}:metadata_read")
    return _describe(service, registry, name, "")


def _describe(service: RegistryService, registry: Registry, name: str, key: str) -> Response:
    """Describe a repository, or the tag or manifest of it that `key` names."""
    repository = service.store.repository(registry, name)
    if ":" in key:
        manifest = service.store.manifest(registry, name, key)
        described = _manifest(service, registry, name, manifest)
        return JSONResponse(_named(registry, name, manifest=described))
    if key:
        if key not in repository.tags:
            raise RegistryError(404, "TAG_UNKNOWN", f"the specified tag {key} does not exist")
        described = _tag(repository, key, repository.tags[key])
        return JSONResponse(_named(registry, name, tag=described))
    return JSONResponse(
        _named(
            registry,
            name,
            **_times(repository),
            manifestCount=len(repository.manifests),
            tagCount=len(repository.tags),
            changeableAttributes=_attributes(repository, ""),
        )
    )


async def _delete(service: RegistryService, request: Request, registry: Registry) -> Response:
    name = request.path_params["name"]
    service.require(request, registry, f"repository:{name}:delete")
    repository = service.store.repository(registry, name)
    deleted = {"manifestsDeleted": [*repository.manifests], "tagsDeleted": [*repository.tags]}
    for digest in deleted["manifestsDeleted"]:
        service.delete_manifest(registry, name, digest, request_data(request))
    with service.store.repositories(registry) as known:
        del known[name]
    return JSONResponse(deleted, 202)


async def _tags(service: RegistryService, request: Request, registry: Registry) -> Response:
    name = request.path_params["name"]
    service.require(request, registry, f"repository:{name}:metadata_read")
    repository = service.store.repository(registry, name)
    digest = request.query_params.get("digest")
    held = {t: tag for t, tag in repository.tags.items() if digest in (None, tag.digest)}
    chosen, link = _list(request, held, lambda tag: tag.updated)
    tags = [_tag(repository, tag, held[tag]) for tag in chosen]
    return linked(_named(registry, name, tags=tags), link)


async def _one(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, key = request.path_params["name"], request.path_params["key"]
    service.require(request, registry, f"repository:{name}:metadata_read")
    return _describe(service, registry, name, key)


async def _delete_tag(service: RegistryService, request: Request, registry: Registry) -> Response:
    name, tag = request.path_params["name"], request.path_params["tag"]
    service.require(request, registry, f"repository:{name}:delete")
    service.store.delete_tag(registry, name, tag)
    return Response(status_code=202)


async def _manifests(service: RegistryService, request: Request, registry: Registry) -> Response:
    name = request.path_params["name"]
    service.require(request, registry, f"repository:{name}:metadata_read")
    held = service.store.repository(registry, name).manifests
    chosen, link = _list(request, held, lambda manifest: manifest.updated)
    manifests = [_manifest(service, registry, name, held[digest]) for digest in chosen]
    return linked(_named(registry, name, manifests=manifests), link)


async def _change(service: RegistryService, request: Request, registry: Registry) -> Response:
    """Change what may be done with a repository, tag or manifest."""
    name, key = request.path_params["name"], request.path_params.get("key", "")
    service.require(request, registry, f"repository:{name}:metadata_write")
    repository = service.store.repository(registry, name)
    values = json.loads(await request.body() or b"{}")
    kept = repository.attributes.setdefault(key, {})
    kept |= {flag: bool(values[flag]) for flag in _ALLOWED if flag in values}
    return _describe(service, registry, name, key)


ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/acr/v1/_catalog", catalog),
    ("GET", "/acr/v1/{name:path}/_tags/{key}", _one),
    ("DELETE", "/acr/v1/{name:path}/_tags/{tag}", _delete_tag),
    ("PATCH", "/acr/v1/{name:path}/_tags/{key}", _change),
    ("GET", "/acr/v1/{name:path}/_tags", _tags),
    ("GET", "/acr/v1/{name:path}/_manifests/{key}", _one),
    ("PATCH", "/acr/v1/{name:path}/_manifests/{key}", _change),
    ("GET", "/acr/v1/{name:path}/_manifests", _manifests),
    ("GET", "/acr/v1/{name:path}", _repository),
    ("PATCH", "/acr/v1/{name:path}", _change),
    ("DELETE", "/acr/v1/{name:path}", _delete),
)
