"""Pull and push by the distribution API, with a registry's token dance."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

type Name = tuple[str, str, str]
"""Host, repository and tag or digest: what an image is called, however it is written."""

# What docker's reference.Parse takes, but for the length of a digest.
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]+)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest as a registry has it: its bytes, their type and their digest."""

    data: bytes
    media_type: str
    digest: str


def is_reference(text: str) -> bool:
    """Tell whether a text names an image, as docker reads it."""
    return _REFERENCE.fullmatch(text) is not None


def split(image: str) -> Name:
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

    def manifest(self, host: str, repository: str, reference: str) -> RawManifest:
        """Return a manifest by tag or digest, as it is."""
        url = f"https://{host}/v2/{repository}/manifests/{reference}"
        scope = f"repository:{repository}:pull"
        response = self._send("GET", url, scope, headers={"Accept": _ACCEPT})
        return RawManifest(
            response.content,
            response.headers["content-type"].partition(";")[0],
            response.headers["docker-content-digest"],
        )

    def blob(self, host: str, repository: str, digest: str) -> bytes:
        """Return a blob."""
        url = f"https://{host}/v2/{repository}/blobs/{digest}"
        return self._send("GET", url, f"repository:{repository}:pull").content

    def push_blob(self, host: str, repository: str, data: bytes) -> Json:
        """Push a blob unless it is there; return its digest and size."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.ensure_blob(host, repository, digest, lambda: data)
        return {"digest": digest, "size": len(data)}

    def ensure_blob(
        self, host: str, repository: str, digest: str, read: Callable[[], bytes]
    ) -> None:
        """Push a blob unless it is there, for which alone it is read."""
        base = f"https://{host}/v2/{repository}/blobs/"
        scope = f"repository:{repository}:pull,push"
        if self._send("HEAD", base + digest, scope, allow=(404,)).status_code != httpx.codes.OK:
            started = self._send("POST", base + "uploads/", scope)
            location = urljoin(base, started.headers["location"])
            joint = "&" if "?" in location else "?"
            self._send("PUT", f"{location}{joint}digest={digest}", scope, content=read())

    def push_manifest(self, host: str, repository: str, tag: str, manifest: Json) -> str:
        """Push a manifest under a tag; return its digest."""
        data = json.dumps(manifest, indent=3).encode()
        return self.put_manifest(host, repository, tag, data, manifest["mediaType"])

    def put_manifest(
        self, host: str, repository: str, reference: str, data: bytes, media_type: str
    ) -> str:
        """Push a manifest as it is, under a tag or by its digest; return the digest."""
        response = self._send(
            "PUT",
            f"https://{host}/v2/{repository}/manifests/{reference}",
            f"repository:{repository}:pull,push",
            content=data,
            headers={"Content-Type": media_type},
        )
        return str(response.headers["docker-content-digest"])

    def pages(self, url: str, key: str, scope: str) -> list[Any] | None:
        """Return every item of a list that comes in pages; None if what it is of is not there.

        Args:
            url: The first page.
            key: What the items are called.
            scope: What it takes to read them.
        """
        found: list[Any] = []
        while True:
            response = self._send("GET", url, scope, allow=(404,))
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            found += response.json()[key]
            more = response.links.get("next")
            if more is None:
                return found
            url = urljoin(url, more["url"])

    def delete(self, url: str, scope: str) -> None:
        """Delete what is at an address."""
        self._send("DELETE", url, scope)

    def sign_in(self, host: str) -> None:
        """Ask a registry whether it takes the credentials.

        Raises:
            BuildError: It does not.
        """
        self._send("GET", f"https://{host}/v2/", "")

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
