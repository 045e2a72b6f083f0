"""Images and tasks for tests, made over HTTP and in ARM's wire form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from localcloud.builds.client import CONFIG, LAYER, MANIFEST, Client
from localcloud.builds.embedded import make_layer
from localcloud.builds.images import LIST
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json, Registry, Task

SUBSCRIPTIONS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")


def registry(cloud: LocalCloud, name: str, subscription: int = 0, **more: Any) -> Registry:  # noqa: ANN401
    """Create a registry in one of two subscriptions."""
    return cloud.create_registry(
        subscription_id=SUBSCRIPTIONS[subscription],
        resource_group=f"rg-{name}",
        name=name,
        location="westeurope",
        **more,
    )


def base_registry(cloud: LocalCloud, name: str = "mybase") -> Registry:
    """Create a registry that the function app may use as a base registry."""
    made = registry(cloud, name)
    cloud.authorize_rebuilder([made], [])
    return made


def task_registry(cloud: LocalCloud, name: str = "myapps", **more: Any) -> Registry:  # noqa: ANN401
    """Create a registry that the function app may run tasks in."""
    made = registry(cloud, name, **more)
    cloud.authorize_rebuilder([], [made])
    return made


def identify(cloud: LocalCloud, target: Registry, task: Task, *roles: tuple[str, Registry]) -> str:
    """Give a task an identity of its own, with roles on registries; return its object id."""
    principal = cloud.directory.create(f"{target.name}/tasks/{task.name}")
    task.identity = {"type": "SystemAssigned", "principalId": principal.object_id}
    for role, where in roles:
        cloud.roles.assign(role, principal.object_id, where.id)
    return principal.object_id


def push(
    cloud: LocalCloud,
    target: Registry,
    repository: str,
    reference: str,
    text: str,
    files: Mapping[str, bytes] | None = None,
    architecture: str = "amd64",
) -> str:
    """Push a small image that `text` makes different; return its digest.

    A reference of "" pushes by digest, without a tag. With `files`, the image has a layer.
    """
    credentials = {target.login_server: (TOKEN_USER, cloud.registry.registry_token(target, "t"))}
    with Client(cloud.network, credentials) as client:
        host = target.login_server
        settings = {"Env": [f"TEXT={text}"]}
        layers, diff_ids = [], []
        if files:
            packed, diff_id = make_layer(files)
            layers.append({"mediaType": LAYER, **client.push_blob(host, repository, packed)})
            diff_ids.append(diff_id)
        config: Json = {"architecture": architecture, "os": "linux", "config": settings}
        if files:
            config |= {"rootfs": {"type": "layers", "diff_ids": diff_ids}}
            config |= {"history": [{"created_by": "COPY . /"}]}
        blob = client.push_blob(host, repository, json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **blob},
            "layers": layers,
        }
        data = json.dumps(manifest, indent=3).encode()
        tag = reference or f"sha256:{hashlib.sha256(data).hexdigest()}"
        return client.push_manifest(host, repository, tag, manifest)


def push_index(
    cloud: LocalCloud,
    target: Registry,
    repository: str,
    tag: str,
    platforms: Mapping[str, Mapping[str, bytes]],
) -> str:
    """Push an index with an image of each architecture, made of its files; return its digest."""
    entries = []
    for architecture, files in platforms.items():
        digest = push(cloud, target, repository, "", architecture, files, architecture)
        platform = {"os": "linux", "architecture": architecture}
        entries.append({"mediaType": MANIFEST, "size": 1, "digest": digest, "platform": platform})
    index = {"schemaVersion": 2, "mediaType": LIST, "manifests": entries}
    host = target.login_server
    credentials = {host: (TOKEN_USER, cloud.registry.registry_token(target, "t"))}
    with Client(cloud.network, credentials) as client:
        return client.push_manifest(host, repository, tag, index)


def dependency(image: str, digest: str = "", kind: str = "Runtime") -> Json:
    """Return a recorded dependency: image is registry/repository:tag."""
    host, _, rest = image.partition("/")
    repository, _, tag = rest.partition(":")
    record = {"type": kind, "registry": host, "repository": repository}
    return {**record, "tag": tag, "digest": digest}


def task(
    target: Registry, name: str, dependencies: list[Json] | None, **properties: object
) -> Task:
    """Create a task with what ACR has recorded about it."""
    step: Json = {
        "type": "Docker",
        "contextPath": "https://github.com/contoso/app.git",
        "dockerFilePath": "Dockerfile",
        "imageNames": [f"{name}:{{{{.Run.ID}}}}"],
        "baseImageDependencies": dependencies,
    }
    made = Task(
        name,
        target.location,
        {"status": "Enabled", "step": step, "provisioningState": "Succeeded", **properties},
    )
    target.tasks[name.lower()] = made
    return made
