"""The scratch image, and the build context of the sample task, as registries hold them.

Sources: the OCI image specification 1.1 (manifest, config, layers); oras.land, file annotations, by
which the agent of ACR Tasks unpacks a context `oci://...` (github.com/Azure/acr-builder,
scan/context.go).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

from msgspec import Struct

SCRATCH = "acr-rebuilder/scratch"
CONTEXT = "acr-rebuilder/sample-context"
SAMPLE = "acr-rebuilder/sample"
TAG = "latest"

_IMAGE = "application/vnd.oci.image"
MANIFEST = f"{_IMAGE}.manifest.v1+json"
_FILE = "Dockerfile"


class Artifact(Struct, frozen=True):
    """What is pushed under a tag.

    Attributes:
        manifest: The manifest's bytes.
        blobs: What it names.
    """

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return _digest(self.manifest)


def scratch_image(mark: str) -> Artifact:
    """Return an image with one small file; another mark makes another digest.

    Args:
        mark: What stands in the file.
    """
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("acr-rebuilder-probe")
        entry.size = len(mark.encode())
        archive.addfile(entry, io.BytesIO(mark.encode()))
    layer = gzip.compress(tar.getvalue(), mtime=0)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar.getvalue())]},
            "history": [{"created_by": "rebuilder probe"}],
        }
    )
    return _artifact(
        _descriptor(f"{_IMAGE}.config.v1+json", config),
        _descriptor(f"{_IMAGE}.layer.v1.tar+gzip", layer),
        (config, layer),
    )


def sample_context(base: str) -> Artifact:
    """Return the sample's build context: one Dockerfile, as oras stores a file.

    Args:
        base: The image that the sample is built on.
    """
    file = f'FROM {base}\nLABEL org.opencontainers.image.title="{SAMPLE}"\n'.encode()
    empty = b"{}"
    layer = _descriptor(f"{_IMAGE}.layer.v1.tar", file)
    layer["annotations"] = {"org.opencontainers.image.title": _FILE}
    return _artifact(
        _descriptor("application/vnd.oci.empty.v1+json", empty),
        layer,
        (empty, file),
        artifactType="application/vnd.acr-rebuilder.context.v1",
    )


def _artifact(
    config: dict[str, Any], layer: dict[str, Any], blobs: tuple[bytes, ...], **more: str
) -> Artifact:
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, **more}
    return Artifact(_json({**manifest, "config": config, "layers": [layer]}), blobs)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
