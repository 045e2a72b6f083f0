"""Contexts that are artifacts of a registry, as the agent pulls them.

Source: Azure/acr-builder at 90b22f3, scan/context.go (`oras.Copy` into a folder), and the file
store of oras.land/oras-go/v2 2.6.2: a layer with a title is a file, or a folder to be unpacked.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from localcloud.builds.client import Client, split
from localcloud.builds.job import BuildError

_TITLE = "org.opencontainers.image.title"
_UNPACK = "io.deis.oras.content.unpack"


def pull(client: Client, reference: str, folder: Path) -> None:
    """Pull the files of an artifact into a folder.

    Raises:
        BuildError: It is not there, may not be pulled, or holds what may not be written.
    """
    host, repository, name = split(reference)
    manifest = json.loads(client.manifest(host, repository, name).data)
    for layer in manifest.get("layers") or []:
        annotations = layer.get("annotations") or {}
        title = str(annotations.get(_TITLE) or "")
        if not title:
            continue
        place = (folder / title).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise BuildError("failed to pull artifact from registry: path traversal disallowed")
        data = client.blob(host, repository, layer["digest"])
        if annotations.get(_UNPACK) == "true":
            _unpack(data, folder)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def _unpack(data: bytes, folder: Path) -> None:
    """Unpack a folder: the names inside begin with its own."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BuildError(f"failed to pull artifact from registry: {error}") from error
