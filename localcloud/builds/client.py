"""Pull and push by the distribution API, with a registry's token dance."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urljoin

import httpx

from localcloud.builds.job import BuildError
from localcloud.network import Network
from localcloud.state import Json

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_ACCEPT = (
    f"{MANIFEST}, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.oci.image.index.v1+json"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_HUB = "registry-1.docker.io"


def split(image: str) -> tuple[str, str, str]:
    """Split an image into the host to ask, the repository, and the tag or digest."""
    name, at, digest = image.partition("@")
    path, colon, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, repository = first, rest
    else:
        host, repository = _HUB, path if slash else f"library/{path}"
    if host in ("docker.io", "index.docker.io"):
        host = _HUB
        repository = repository if "/" in repository else f"library/{repository}"
    return host, repository, digest if at else (tag if colon else "latest")


class Client:
    """A client of registries; closes with its context."""

    def __init__(self, network: Network, credentials: Mapping[str, tuple[str, str]]) -> None:
        self._http = network.client(timeout=60)
        self._credentials = {host.lower(): pair for host, pair in credentials.items()}
        self._tokens: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pull(self, image: str) -> tuple[str, Json, bytes, str]:
        """Return an image's digest, manifest, config and repository address.

        Of an index, the manifest for linux/amd64 is pulled; the digest stays the index's.
        """
        host, repository, reference = split(image)
        manifest, digest = self._manifest(host, repository, reference)
        if "manifests" in manifest:
            chosen = [
                entry["digest"]
                for entry in manifest["manifests"]
                if entry.get("platform", {}).get("architecture") == "amd64"
            ]
            if not chosen:
                raise BuildError(f"no image for linux/amd64 in {image}")
            manifest, _ = self._manifest(host, repository, chosen[0])
        config = self.blob(host, repository, manifest["config"]["digest"])
        return digest, manifest, config, f"{host}/{repository}"

    def _manifest(self, host: str, repository: str, reference: str) -> tuple[Json, str]:
        url = f"https://{host}/v2/{repository}/manifests/{reference}"
        scope = f"repository:{repository}:pull"
        response = self._send("GET", url, scope, headers={"Accept": _ACCEPT})
        manifest: Json = response.json()
        return manifest, response.headers["docker-content-digest"]

    def blob(self, host: str, repository: str, digest: str) -> bytes:
        """Return a blob."""
        url = f"https://{host}/v2/{repository}/blobs/{digest}"
        return self._send("GET", url, f"repository:{repository}:pull").content

    def push_blob(self, host: str, repository: str, data: bytes) -> Json:
        """Push a blob unless it is there; return its digest and size."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        base = f"https://{host}/v2/{repository}/blobs/"
        scope = f"repository:{repository}:pull,push"
        if self._send("HEAD", base + digest, scope, allow=(404,)).status_code != httpx.codes.OK:
            started = self._send("POST", base + "uploads/", scope)
            location = urljoin(base, started.headers["location"])
            joint = "&" if "?" in location else "?"
            self._send("PUT", f"{location}{joint}digest={digest}", scope, content=data)
        return {"digest": digest, "size": len(data)}

    def push_manifest(self, host: str, repository: str, tag: str, manifest: Json) -> str:
        """Push a manifest under a tag; return its digest."""
        data = json.dumps(manifest, indent=3).encode()
        response = self._send(
            "PUT",
            f"https://{host}/v2/{repository}/manifests/{tag}",
            f"repository:{repository}:pull,push",
            content=data,
            headers={"Content-Type": manifest["mediaType"]},
        )
        return str(response.headers["docker-content-digest"])

    def _send(
        self,
        method: str,
        url: str,
        scope: str,
        *,
        allow: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        host = httpx.URL(url).host
        options: dict[str, Any] = {"headers": dict(headers or {}), "content": content}
        if token := self._tokens.get((host, scope)):
            options["headers"]["Authorization"] = f"Bearer {token}"
        response = self._request(method, url, options)
        if response.status_code == httpx.codes.UNAUTHORIZED and not token:
            token = self._token(host, scope, response.headers.get("www-authenticate", ""))
            options["headers"]["Authorization"] = f"Bearer {token}"
            response = self._request(method, url, options)
        if response.is_error and response.status_code not in allow:
            raise BuildError(f"{method} {url}: {response.status_code} {response.text[:300]}")
        return response

    def _request(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, url, **options)
        except httpx.HTTPError as error:
            raise BuildError(f"{method} {url}: {error}") from error

    def _token(self, host: str, scope: str, challenge: str) -> str:
        values = dict(_CHALLENGE.findall(challenge))
        pair = self._credentials.get(host)
        if "realm" not in values or pair is None:
            raise BuildError(f"unauthorized: authentication required for {scope} at {host}")
        response = self._http.get(
            values["realm"],
            params={"service": values.get("service", ""), "scope": scope},
            auth=httpx.BasicAuth(*pair),
        )
        if response.is_error:
            raise BuildError(f"unauthorized: {host} refuses the credentials for {scope}")
        token = str(response.json()["access_token"])
        self._tokens[host, scope] = token
        return token
