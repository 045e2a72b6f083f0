"""Clients of ARM that name an API version which the type of a path has."""

from __future__ import annotations

import re

import httpx

_PROVIDERS = {
    "eventgrid": "2025-02-15",
    "authorization": "2022-04-01",
    "web": "2025-03-01",
    "storage": "2025-08-01",
    "managedidentity": "2024-11-30",
    "containerregistry": "2025-11-01",
}
_TASKS = re.compile(
    r"/(?:tasks|runs|taskRuns|scheduleRun|listBuildSourceUploadUrl)(?:/|$)", re.IGNORECASE
)
_GROUPS = re.compile(r"/subscriptions/[^/]+/(?:resourceGroups|resources|providers)", re.IGNORECASE)


def version_of(path: str) -> str:
    """Return an API version of the resource type of a path."""
    provider = path.lower().rpartition("/providers/microsoft.")[2].partition("/")[0]
    if provider == "containerregistry" and _TASKS.search(path):
        return "2025-03-01-preview"
    if provider in _PROVIDERS and "/providers/" in path.lower():
        return _PROVIDERS[provider]
    return "2024-11-01" if _GROUPS.match(path) else "2022-12-01"


def name_version(request: httpx.Request) -> None:
    """Name a version in a request that names none; a hook of httpx."""
    if "api-version" not in request.url.params:
        version = version_of(request.url.path)
        request.url = request.url.copy_merge_params({"api-version": version})
