"""What manifests and configurations of images say; whoever may push writes them.

Source of the forms: github.com/opencontainers/image-spec, image-index.md, manifest.md, config.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rebuilder.core.acr.references import digest_problem
from rebuilder.core.foreign_json import read_json
from rebuilder.errors import InvalidJson, Refused

INVALID_IMAGE = "INVALID_IMAGE"
"""The code of the refusal of an image that is none."""

CONFIG_LIMIT = 4 * 1024 * 1024
"""Bytes of a configuration that are read."""


def digest_of(value: object, what: str) -> str:
    """Return a digest.

    Args:
        value: What stands where it should be.
        what: What it is the digest of, for the message.

    Raises:
        Refused: It is none.
    """
    if not isinstance(value, str):
        raise Refused(INVALID_IMAGE, f"the digest of {what} is {type(value).__name__}, not text")
    if problem := digest_problem(value):
        raise Refused(INVALID_IMAGE, f"{what}: {problem}")
    return value


def annotations_of(thing: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of a manifest, an index or an entry of one.

    Raises:
        Refused: They are none.
    """
    found = thing.get("annotations") or {}
    if not isinstance(found, Mapping) or not all(isinstance(v, str) for v in found.values()):
        raise Refused(INVALID_IMAGE, "its annotations are not texts by name")
    return dict(found)


def entry_for(index: Mapping[str, Any], platform: str) -> Mapping[str, Any] | None:
    """Return the entry of an index for a platform; its variant counts only if one is asked for.

    Raises:
        Refused: The index has no list of entries.
    """
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    for entry in _objects(index, "manifests"):
        of = entry.get("platform")
        if not isinstance(of, Mapping):
            continue
        if (of.get("os"), of.get("architecture")) == (system, architecture) and (
            not variant or of.get("variant") == variant
        ):
            return entry
    return None


def layers(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the digests of an image's layers.

    Raises:
        Refused: They are none.
    """
    found = _objects(manifest, "layers")
    return tuple(digest_of(layer.get("digest"), "a layer") for layer in found)


def config_of(manifest: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the digest of an image's configuration and the size that it is said to have.

    Returns:
        None for what is no image.

    Raises:
        Refused: It is none.
    """
    found = manifest.get("config")
    if found is None:
        return None
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        raise Refused(INVALID_IMAGE, f"its config is {kind}, not an object")
    size = found.get("size")
    said = size if isinstance(size, int) and not isinstance(size, bool) else 0
    return digest_of(found.get("digest"), "its config"), said


def diff_ids(config: bytes) -> tuple[str, ...]:
    """Return the digests of layers before they were compressed, as a configuration tells them.

    Returns:
        Nothing for what proves nothing: a configuration that cannot be read, or that of something
        else than an image (a chart, a signature).
    """
    try:
        found = read_json(config, limit=CONFIG_LIMIT)
    except InvalidJson:
        return ()
    rootfs = found.get("rootfs") if isinstance(found, dict) else None
    ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(ids, list):
        return ()
    if not all(isinstance(one, str) and digest_problem(one) is None for one in ids):
        return ()
    return tuple(ids)


def _objects(thing: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = thing.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise Refused(INVALID_IMAGE, f"its {name} are not a list of objects")
    return found
