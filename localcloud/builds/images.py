"""The images that docker holds while a run goes on: by name, as they were pulled or built.

An image that was pulled is pushed as it came, byte for byte, so its digest is the same anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from localcloud.builds import platforms
from localcloud.builds.client import CONFIG, LAYER, MANIFEST, Client, Name, split
from localcloud.builds.job import BuildError, Log
from localcloud.state import Json

LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_WARNING = (
    "WARNING: image with reference {} was found but does not match the specified platform: wanted"
    " {}, actual: {}"
)


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer.

    Attributes:
        descriptor: What a manifest says of it.
        read: Gives its bytes; a layer that was pulled is fetched by the client.
    """

    descriptor: Json
    read: Callable[[Client], bytes]


@dataclass(frozen=True, slots=True)
class Image:
    """An image for one platform.

    Attributes:
        manifest: Its manifest.
        media_type: The manifest's type.
        config: Its configuration.
        layers: Its layers, the lowest first.
        source: Where it was pulled from, as `host/repository@digest`; empty if it was built.
    """

    manifest: bytes
    media_type: str
    config: bytes
    layers: tuple[Layer, ...]
    source: str = ""

    @property
    def id(self) -> str:
        """What docker calls it: the digest of its configuration."""
        return digest_of(self.config)

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return digest_of(self.manifest)

    @property
    def platform(self) -> str:
        """Its platform."""
        return platforms.of(json.loads(self.config))

    def push(self, client: Client, host: str, repository: str, reference: str) -> str:
        """Push it under a tag, or by its digest; return the digest."""
        for layer in self.layers:
            digest = str(layer.descriptor["digest"])
            client.ensure_blob(host, repository, digest, partial(layer.read, client))
        client.ensure_blob(host, repository, self.id, lambda: self.config)
        return client.put_manifest(host, repository, reference, self.manifest, self.media_type)


def assemble(config: bytes, layers: Iterable[Layer]) -> Image:
    """Return an image that was built, as docker writes its manifest."""
    parts = tuple(layers)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{**layer.descriptor, "mediaType": LAYER} for layer in parts],
    }
    return Image(json.dumps(manifest, indent=3).encode(), MANIFEST, config, parts)


def stamped(image: Image, platform: str) -> Image:
    """Return an image that says that it is for a platform, whatever it was for."""
    config = json.loads(image.config)
    config.pop("variant", None)
    return assemble(json.dumps(config | platforms.wire(platform)).encode(), image.layers)


@dataclass(frozen=True, slots=True)
class Index:
    """An image for several platforms, in the order that they were asked for in."""

    images: tuple[Image, ...]

    @property
    def id(self) -> str:
        """What docker calls it, where it holds such: the digest of the list."""
        return digest_of(self.manifest)

    @property
    def manifest(self) -> bytes:
        """The list of its manifests."""
        entries = [
            {
                "mediaType": image.media_type,
                "size": len(image.manifest),
                "digest": image.digest,
                "platform": platforms.wire(image.platform),
            }
            for image in self.images
        ]
        content = {"schemaVersion": 2, "mediaType": LIST, "manifests": entries}
        return json.dumps(content, indent=3).encode()

    def push(self, client: Client, host: str, repository: str, reference: str) -> str:
        """Push each of its images by digest, and the list of them under a tag."""
        for image in self.images:
            image.push(client, host, repository, image.digest)
        return client.put_manifest(host, repository, reference, self.manifest, LIST)

    def choose(self, platform: str) -> Image | None:
        """Return the image for a platform, if there is one."""
        found = {image.platform: image for image in self.images}
        fits = [found[name] for name in platforms.acceptable(platform) if name in found]
        return fits[0] if fits else None


def pull(client: Client, reference: str, platform: str, log: Log) -> tuple[Image, str]:
    """Pull an image for a platform.

    Args:
        client: A client of the registries.
        reference: The image.
        platform: Which image of an index; one that stands alone is taken whatever it is for, and
            the log tells if it is for another.
        log: The run's log.

    Returns:
        The image, and the digest that the reference names: an index's, where it is one.

    Raises:
        BuildError: There is none, or none for the platform.
    """
    host, repository, name = split(reference)
    try:
        top = client.manifest(host, repository, name)
    except BuildError as error:
        raise BuildError(f"failed to pull {reference}: {error}") from error
    chosen, content = top, json.loads(top.data)
    if "manifests" in content:
        entries = {
            platforms.of(entry["platform"]): str(entry["digest"])
            for entry in reversed(content["manifests"])
            if entry.get("platform")
        }
        fits = [entries[p] for p in platforms.acceptable(platform) if p in entries]
        if not fits:
            raise BuildError(
                f"no matching manifest for {platform} in the manifest list entries: {reference}"
            )
        chosen = client.manifest(host, repository, fits[0])
        content = json.loads(chosen.data)
    if "config" not in content:
        raise BuildError(f"{reference}: unsupported media type {chosen.media_type}")
    config = client.blob(host, repository, content["config"]["digest"])

    def layer(descriptor: Json) -> Layer:
        digest = str(descriptor["digest"])
        return Layer(descriptor, lambda client: client.blob(host, repository, digest))

    layers = tuple(layer(descriptor) for descriptor in content["layers"])
    source = f"{host}/{repository}@{chosen.digest}"
    image = Image(chosen.data, chosen.media_type, config, layers, source)
    if image.platform not in platforms.acceptable(platform):
        log(_WARNING.format(reference, platform, image.platform))
    return image, top.digest


class Images:
    """Docker's images of one run, by name."""

    def __init__(self) -> None:
        self._held: dict[Name, Image | Index] = {}
        self._digests: dict[str, set[tuple[str, str, str]]] = {}

    def get(self, reference: str) -> Image | Index | None:
        """Return what a name stands for; None if it is not here."""
        return self._held.get(split(reference))

    def image(self, reference: str, platform: str) -> Image | None:
        """Return the image of a name for a platform; None if it is not here for it."""
        held = self.get(reference)
        if isinstance(held, Index):
            return held.choose(platform)
        if held is None or held.platform not in platforms.acceptable(platform):
            return None
        return held

    def keep(self, reference: str, image: Image | Index) -> None:
        """Let a name stand for an image."""
        self._held[split(reference)] = image

    def remove(self, reference: str) -> bool:
        """Take a name away; tell whether it was there."""
        return self._held.pop(split(reference), None) is not None

    def named(self, reference: str, digest: str) -> None:
        """Remember by what digest a registry knows the image of a name."""
        host, repository, _ = split(reference)
        self._digests.setdefault(self._key(reference), set()).add((host, repository, digest))

    def digest(self, reference: str) -> str | None:
        """Return the digest by which an image's own registry knows it; None if it is not here.

        It is empty for an image that was neither pulled from there nor pushed to it. This is what
        `docker inspect` tells as RepoDigests.
        """
        if self.get(reference) is None:
            return None
        host, repository, _ = split(reference)
        known = sorted(self._digests.get(self._key(reference), ()))
        return next((d for h, r, d in known if (h, r) == (host, repository)), "")

    def tags(self, reference: str) -> list[str]:
        """Return every name of a repository, without its host as it was written."""
        host, repository, _ = split(reference)
        return [tag for h, r, tag in self._held if (h, r) == (host, repository)]

    def all(self) -> Mapping[Name, Image | Index]:
        """Return every name and what it stands for."""
        return dict(self._held)

    def _key(self, reference: str) -> str:
        held = self.get(reference)
        return "" if held is None else held.id
