"""Import: images copied into a registry by ARM, without a client's push.

Source of the shapes: the models of PyPI azure-mgmt-containerregistry 15.0 and azure-cli 2.91,
`acr/import.py`. The sentence of the conflict is from azure-cli pull request 10938; no source tells
its code.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from localcloud.arm import versions
from localcloud.arm.errors import ArmError, not_found
from localcloud.arm.model import Arm, Route
from localcloud.arm.operations import begun
from localcloud.arm.resources.registries import PROVIDER_NAME, REGISTRY
from localcloud.arm.schemas import registries as schemas
from localcloud.registry.content import HUB_HOSTS
from localcloud.registry.store import INDEX_TYPES, Manifest, RegistryError
from localcloud.state import Json, Registry

_MANIFESTS = 50  # learn.microsoft.com, "Import container images", limitations


def _import(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    registry = arm.registry(params)
    asked = body.get("source") or {}
    source = _source(arm, request, asked)
    repository, reference = _split(str(asked.get("sourceImage") or ""))
    tag = "" if ":" in reference else reference
    targets = [_split(target, tag) for target in body.get("targetTags") or []]
    untagged = list(body.get("untaggedTargetRepositories") or [])
    if not repository or (not targets and not untagged):
        raise _invalid(
            "source.sourceImage and targetTags or untaggedTargetRepositories are needed."
        )
    try:
        manifest = arm.service.store.manifest(source, repository, reference or "latest")
        found = _tree(arm, source, repository, manifest)
        if len(found) > _MANIFESTS:
            raise _invalid(f"The image has more than {_MANIFESTS} manifests.")
        if body.get("mode") != "Force":
            _check_free(arm, registry, targets)
        for name in {*untagged, *(name for name, _ in targets)}:
            _copy(arm, (source, repository), (registry, name), found)
    except RegistryError as error:
        raise ArmError(error.status, error.code, str(error)) from error
    for name, target in [*targets, *((name, manifest.digest) for name in untagged)]:
        arm.service.put_manifest(
            registry,
            name,
            target or "latest",
            manifest.media_type,
            manifest.data,
            notify=arm.imports.sends_events,
            trigger=arm.imports.triggers_tasks,
        )
    # By now it is done; the client has to ask once, as it does on Azure.
    headers = begun(arm, request, PROVIDER_NAME, registry.location, result=True)
    return Response(status_code=202, headers=headers)


def _source(arm: Arm, request: Request, asked: Json) -> Registry:
    """Return the registry to copy from: the client named it by id, or by host and password."""
    if resource_id := asked.get("resourceId"):
        found = arm.state.by_id(str(resource_id))
        if found is None:
            raise not_found(str(resource_id))
        if not arm.service.auth.may(found, arm.principal(request), "pull"):
            message = f"The client may not pull from the source registry '{found.login_server}'."
            raise ArmError(403, "Forbidden", message)
        return found
    host = str(asked.get("registryUri") or "").lower().removeprefix("https://")
    if host in HUB_HOSTS:
        return arm.service.hub()
    found = arm.state.by_host(host)
    if found is None:
        raise _invalid(f"The source registry '{host}' cannot be reached.")
    given = asked.get("credentials") or {}
    user, password = str(given.get("username") or ""), str(given.get("password") or "")
    if not arm.service.auth.accepts(found, user, password):
        message = f"The source registry '{host}' refuses the credentials."
        raise ArmError(403, "Forbidden", message)
    return found


def _split(image: str, tag: str = "") -> tuple[str, str]:
    """Return the repository, and the tag or digest; `tag` if there is none."""
    repository, at, digest = image.partition("@")
    if at:
        return repository, digest
    name, colon, own = image.rpartition(":")
    return (name, own) if colon else (image, tag)


def _check_free(arm: Arm, registry: Registry, targets: list[tuple[str, str]]) -> None:
    for name, tag in targets:
        if arm.service.manifest(registry, name, tag or "latest") is not None:
            image = f"{name}:{tag or 'latest'}"
            message = f"{image} Tag {image} already exists in target registry."
            raise ArmError(409, "Conflict", message)


def _tree(arm: Arm, source: Registry, repository: str, manifest: Manifest) -> list[Manifest]:
    """Return a manifest and before it those that it names."""
    found = []
    if manifest.media_type in INDEX_TYPES:
        for entry in manifest.content.get("manifests", []):
            child = arm.service.store.manifest(source, repository, entry["digest"])
            found += _tree(arm, source, repository, child)
    return [*found, manifest]


def _copy(
    arm: Arm,
    source: tuple[Registry, str],
    target: tuple[Registry, str],
    manifests: list[Manifest],
) -> None:
    store = arm.service.store
    for manifest in manifests:
        if manifest.media_type not in INDEX_TYPES:
            content = manifest.content
            for part in [content.get("config") or {}, *content.get("layers", [])]:
                if digest := part.get("digest"):
                    store.put_blob(*target, store.blob(*source, digest), digest)
        store.put_manifest(*target, manifest.digest, manifest.media_type, manifest.data)


def _invalid(message: str) -> ArmError:
    return ArmError(400, "InvalidParameters", message)


ROUTES: tuple[Route, ...] = (
    Route("POST", rf"{REGISTRY}/importImage", versions.REGISTRIES, _import, schemas.IMPORT),
)
