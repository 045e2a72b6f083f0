"""What Docker Hub holds here: a small stand-in for the tutorial's library/node:9-alpine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from localcloud.builds.client import CONFIG, LAYER, MANIFEST
from localcloud.builds.embedded import make_layer
from localcloud.registry import RegistryService

_APPLETS = ("sh", "cat", "echo", "env", "httpd", "ls", "mkdir", "printf", "rm", "sleep", "true")


@cache
def static_busybox() -> bytes | None:
    """Return this machine's busybox if it runs without libraries; None if there is none."""
    path = shutil.which("busybox")
    if path is None:
        return None
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    return Path(path).read_bytes() if "not a dynamic" in listed.stderr + listed.stdout else None


def node_files(node: Path) -> dict[str, bytes]:
    """Return a Node.js program and the libraries that it needs, by their paths."""
    listed = subprocess.run(["ldd", node], capture_output=True, text=True, check=True).stdout
    # Lines are "name => path (address)" or, for the loader, "path (address)".
    found = re.findall(r"(/\S+) \(0x", listed)
    libraries = {path.removeprefix("/"): Path(path).read_bytes() for path in found}
    return {"bin/node": node.read_bytes(), **libraries}


@cache
def _root(node: Path | None) -> tuple[bytes, str]:
    """Return the layer with the root file system, and its diff id."""
    entries = {"etc/os-release": b'NAME="Alpine-like"\n', "tmp/.keep": b""}
    if node is not None:
        entries |= node_files(node)
    links: dict[str, str] = {}
    if (busybox := static_busybox()) is not None:
        entries["bin/busybox"] = busybox
        links = {f"bin/{applet}": "busybox" for applet in _APPLETS}
    return make_layer(entries, links)


def seed(service: RegistryService, node: Path | None = None) -> None:
    """Put library/node:9-alpine on Docker Hub: with a shell if the machine has one to give.

    Args:
        service: The registries.
        node: A Node.js program for the image, so that applications built on it run; some 100 MB.
    """
    hub, repository = service.hub(), "library/node"
    layer, diff_id = _root(node)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2018-06-12T00:00:00Z",
            "config": {"Env": ["PATH=/bin", "NODE_VERSION=9.11.2"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "2018-06-12T00:00:00Z", "created_by": "ADD rootfs /"}],
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "digest": service.put_blob(hub, repository, config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": LAYER,
                "digest": service.put_blob(hub, repository, layer),
                "size": len(layer),
            }
        ],
    }
    data = json.dumps(manifest).encode()
    service.put_manifest(hub, repository, "9-alpine", MANIFEST, data, notify=False)
