"""What Images must do, through Azure's SDK against the local cloud's registries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from localcloud.builds.client import CONFIG, LAYER, MANIFEST, Client
from localcloud.builds.embedded import make_layer
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json, Registry
from localcloud.tokens import Tokens
from rebuilder.azure.acr import images as acr_images
from rebuilder.azure.acr.images import AcrImages
from rebuilder.azure.identity import credential
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.errors import Denied, Refused
from tests import images


@pytest.fixture(name="acr")
def _acr(cloud: LocalCloud) -> Iterator[AcrImages]:
    del cloud  # its environment is what the credential looks for
    identity = credential("")
    made = AcrImages(identity, "https://management.azure.com")
    yield made
    made.close()
    getattr(identity, "close")()  # noqa: B009 - not part of the protocol


def test_a_tag_names_its_newest_digest(cloud: LocalCloud, acr: AcrImages) -> None:
    """What a tag names is asked of the registry each time."""
    base = images.base_registry(cloud)
    host = base.login_server
    first = images.push(cloud, base, "images/node", "9", "one")
    assert acr.digest(host, "images/node", "9") == first
    second = images.push(cloud, base, "images/node", "9", "two")

    assert acr.digest(host, "images/node", "9") == second
    assert first != second


def test_what_is_not_there_is_none(cloud: LocalCloud, acr: AcrImages) -> None:
    """A missing tag, repository or manifest is no error."""
    base = images.base_registry(cloud)
    digest = images.push(cloud, base, "images/node", "9", "one")
    host = base.login_server

    assert acr.digest(host, "images/node", "10") is None
    assert acr.digest(host, "images/other", "9") is None
    assert acr.created(host, "images/other", digest) is None


def test_a_digest_tells_when_it_came(cloud: LocalCloud, acr: AcrImages) -> None:
    """A manifest keeps the time of its first push, pushed again or not."""
    base = images.base_registry(cloud)
    before = cloud.clock.now()
    digest = images.push(cloud, base, "images/node", "9", "one")
    after = cloud.clock.now()
    first = acr.created(base.login_server, "images/node", digest)
    images.push(cloud, base, "images/node", "9", "one")

    assert first is not None
    assert acr.created(base.login_server, "images/node", digest) == first
    assert before <= first <= after


def test_a_tag_tells_when_it_was_written(cloud: LocalCloud, acr: AcrImages) -> None:
    """A tag that is moved back to an image is written later than the image came."""
    base = images.base_registry(cloud)
    first = images.push(cloud, base, "images/node", "9", "one")
    second = images.push(cloud, base, "images/node", "9", "two")
    came = acr.created(base.login_server, "images/node", first)
    before = cloud.clock.now()
    assert acr.tagged(base.login_server, "images/node", "9", first) is None
    images.push(cloud, base, "images/node", "9", "one")
    written = acr.tagged(base.login_server, "images/node", "9", first)

    assert written is not None
    assert came is not None
    assert came < before <= written
    assert acr.created(base.login_server, "images/node", first) == came
    assert acr.tagged(base.login_server, "images/node", "9", second) is None
    assert acr.tagged(base.login_server, "images/node", "10", first) is None


def test_who_may_not_read_is_denied(
    cloud: LocalCloud, acr: AcrImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that does not take the identity's token is a permanent error."""
    base = images.base_registry(cloud)
    # Tokens of another tenant's key: the registry knows nobody any more.
    monkeypatch.setattr(cloud.registry.auth, "_tokens", Tokens(cloud.clock, cloud.directory))
    with pytest.raises(Denied, match=r"mybase\.azurecr\.io"):
        acr.digest(base.login_server, "images/node", "9")


INDEX = "application/vnd.oci.image.index.v1+json"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"


class Pusher:
    """Pushes images whose content the test knows."""

    def __init__(self, cloud: LocalCloud, registry: Registry) -> None:
        host = registry.login_server
        token = cloud.registry.registry_token(registry, "t")
        self._client = Client(cloud.network, {host: (TOKEN_USER, token)})
        self._host = host

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def layer(self, text: str) -> tuple[Json, str]:
        """Push a layer; return its descriptor and its diff id."""
        data, diff_id = make_layer({"text": text.encode()})
        pushed = self._client.push_blob(self._host, "images/node", data)
        return {"mediaType": LAYER, **pushed}, diff_id

    def image(
        self,
        tag: str,
        layers: list[tuple[Json, str]],
        annotations: Mapping[str, str] | None = None,
        config: object = None,
        size: int | None = None,
    ) -> str:
        """Push an image, which may lie about the size of its configuration; return its digest."""
        given = config or {"rootfs": {"type": "layers", "diff_ids": [d for _, d in layers]}}
        written = given if isinstance(given, bytes) else json.dumps(given).encode()
        blob = self._client.push_blob(self._host, "images/node", written)
        blob = blob if size is None else {**blob, "size": size}
        manifest: Json = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **blob},
            "layers": [layer for layer, _ in layers],
            "annotations": dict(annotations or {}),
        }
        return self.manifest(tag, manifest)

    def manifest(self, tag: str, manifest: Json) -> str:
        """Push a manifest, by its digest if `tag` is empty; return its digest."""
        data = json.dumps(manifest, indent=3).encode()
        reference = tag or f"sha256:{hashlib.sha256(data).hexdigest()}"
        return self._client.push_manifest(self._host, "images/node", reference, manifest)


@pytest.fixture(name="base")
def _base(cloud: LocalCloud) -> Registry:
    return images.base_registry(cloud)


@pytest.fixture(name="pusher")
def _pusher(cloud: LocalCloud, base: Registry) -> Iterator[Pusher]:
    made = Pusher(cloud, base)
    yield made
    made.close()


def entry(digest: str, **platform: str) -> Json:
    """Return an index's entry."""
    found = {"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform}
    return found | {"annotations": {BASE_DIGEST: f"of {platform['architecture']}"}}


def test_an_image_tells_its_layers_and_its_base(
    base: Registry, pusher: Pusher, acr: AcrImages
) -> None:
    """Layers in both forms and the annotations of a plain image, by tag and by digest."""
    one, two = pusher.layer("one"), pusher.layer("two")
    named = {BASE_NAME: "mybase.azurecr.io/images/os:1", BASE_DIGEST: "sha256:0"}
    digest = pusher.image("9", [one, two], named)
    layers = (one[0]["digest"], two[0]["digest"])
    expected = ImageContent(digest, digest, named[BASE_NAME], "sha256:0", layers, (one[1], two[1]))

    for reference in ("9", digest, digest):
        found = acr.content(base.login_server, "images/node", reference, "linux/amd64")
        assert found == expected


def test_of_an_index_the_platforms_image_is_read(
    base: Registry, pusher: Pusher, acr: AcrImages
) -> None:
    """The digest stays the index's; the entry's annotations win over the index's own."""
    layers = {name: [pusher.layer(name)] for name in ("amd64", "v7", "v8")}
    children = {name: pusher.image("", found) for name, found in layers.items()}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "annotations": {BASE_NAME: "docker.io/library/os:1", BASE_DIGEST: "of the index"},
        "manifests": [
            entry(children["v7"], os="linux", architecture="arm", variant="v7"),
            entry(children["v8"], os="linux", architecture="arm", variant="v8"),
            entry(children["amd64"], os="linux", architecture="amd64"),
        ],
    }
    digest = pusher.manifest("9", index)

    def read(platform: str) -> ImageContent | None:
        return acr.content(base.login_server, "images/node", "9", platform)

    amd64, v8 = read("linux/amd64"), read("linux/arm/v8")
    assert amd64 is not None
    assert v8 is not None
    assert (amd64.digest, amd64.manifest) == (digest, children["amd64"])
    assert (amd64.base_name, amd64.base_digest) == ("docker.io/library/os:1", "of amd64")
    assert amd64.layers == (layers["amd64"][0][0]["digest"],)
    assert (v8.digest, v8.manifest) == (digest, children["v8"])
    assert read("windows/amd64") is None


def test_an_index_of_indexes_has_no_content(base: Registry, pusher: Pusher, acr: AcrImages) -> None:
    """Where the platform's entry is no image, nothing is compared."""
    image = pusher.image("", [pusher.layer("one")])
    platform = {"os": "linux", "architecture": "amd64"}
    inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(image, **platform)]}
    child = {**entry(pusher.manifest("", inner), **platform), "mediaType": INDEX}
    pusher.manifest("9", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]})

    assert acr.content(base.login_server, "images/node", "9", "linux/amd64") is None


def test_what_is_no_image_has_no_content(base: Registry, pusher: Pusher, acr: AcrImages) -> None:
    """A missing tag and an artifact with a configuration of another kind prove nothing."""
    pusher.image("chart", [pusher.layer("chart")], config=["no", "image"])

    assert acr.content(base.login_server, "images/node", "none", "linux/amd64") is None
    chart = acr.content(base.login_server, "images/node", "chart", "linux/amd64")
    assert chart is not None
    assert chart.diff_ids == ()


@pytest.mark.parametrize("size", [None, 1])
def test_a_configuration_that_is_too_large_is_not_read(
    base: Registry,
    pusher: Pusher,
    acr: AcrImages,
    monkeypatch: pytest.MonkeyPatch,
    size: int | None,
) -> None:
    """Who pushes a giant configuration cannot fill the memory; the layers still count."""
    monkeypatch.setattr("rebuilder.azure.acr.images.CONFIG_LIMIT", 10)
    pusher.image("9", [pusher.layer("one")], size=size)
    found = acr.content(base.login_server, "images/node", "9", "linux/amd64")

    assert found is not None
    assert (len(found.layers), found.diff_ids) == (1, ())


def test_contents_are_kept_within_bounds(
    base: Registry, pusher: Pusher, acr: AcrImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of digests is forgotten before it fills the memory."""
    monkeypatch.setattr("rebuilder.azure.acr.images._CONTENTS", 1)
    digests = [pusher.image(name, [pusher.layer(name)]) for name in ("1", "2")]
    for digest in digests:
        acr.content(base.login_server, "images/node", digest, "linux/amd64")

    assert {key[2] for key in acr._contents} == {digests[1]}


def test_an_answer_that_does_not_fit_its_digest_is_refused(
    cloud: LocalCloud, base: Registry, pusher: Pusher, acr: AcrImages
) -> None:
    """A registry that answers with another content than was asked for is not believed."""
    digest = pusher.image("9", [pusher.layer("one")])
    manifest = cloud.registry.manifest(base, "images/node", digest)
    assert manifest is not None
    object.__setattr__(manifest, "data", manifest.data + b" ")
    with pytest.raises(Refused, match=r"mybase\.azurecr\.io/images/node.*digest"):
        acr.content(base.login_server, "images/node", digest, "linux/amd64")


@pytest.mark.parametrize(
    "config",
    [
        {"rootfs": [1]},
        {"rootfs": {"diff_ids": 5}},
        {"rootfs": {"diff_ids": [1]}},
        {"rootfs": {"diff_ids": ["sha256:0"]}},
        b"[" * 100_000,
        b'{"rootfs": ' + b"9" * 5000 + b"}",
        b'{"rootfs": {"diff_ids": ["\\ud800"]}}',
        b"\xff",
        b" ",
    ],
)
def test_a_configuration_of_another_shape_proves_nothing(
    base: Registry, pusher: Pusher, acr: AcrImages, config: object
) -> None:
    """Whoever pushes writes it; the layers still count."""
    pusher.image("9", [pusher.layer("one")], config=config)
    found = acr.content(base.login_server, "images/node", "9", "linux/amd64")

    assert found is not None
    assert (len(found.layers), found.diff_ids) == (1, ())


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ({"manifests": [1]}, "its manifests are not a list of objects"),
        ({"manifests": {"a": 1}}, "its manifests are not a list of objects"),
        (
            {"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}, "digest": 7}]},
            "the digest of its image for linux/amd64 is int",
        ),
        ({"config": 7}, "its config is int"),
        ({"config": {"digest": ["x"]}}, "the digest of its config is list"),
        ({"config": {"digest": "latest"}}, "is not ALGORITHM:HEX"),
        ({"layers": [1]}, "its layers are not a list of objects"),
        ({"layers": 5}, "its layers are not a list of objects"),
        ({"layers": [{"digest": "x"}]}, "is not ALGORITHM:HEX"),
        ({"annotations": [1]}, "its annotations are not texts by name"),
        ({"annotations": {"a": 1}}, "its annotations are not texts by name"),
        ({"x": json.loads("[" * 100 + "]" * 100)}, "nested deeper than 64"),
        ({"x": int("9" * 100)}, "a number of more than 40 digits"),
        ({"x": "\ud800"}, "half a character"),
        ({"x": ["", 1] * 100_001}, "more than 200000 values"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    cloud: LocalCloud, base: Registry, pusher: Pusher, acr: AcrImages, manifest: Json, reason: str
) -> None:
    """The reason is told, and no other image suffers from it."""
    digest = pusher.image("9", [pusher.layer("one")])
    stored = cloud.registry.manifest(base, "images/node", digest)
    assert stored is not None
    data = json.dumps({**json.loads(stored.data), **manifest}).encode()
    told = f"sha256:{hashlib.sha256(data).hexdigest()}"
    object.__setattr__(stored, "data", data)
    object.__setattr__(stored, "digest", told)
    with pytest.raises(Refused, match=reason) as raised:
        acr.content(base.login_server, "images/node", "9", "linux/amd64")

    assert raised.value.code == "INVALID_IMAGE"
    assert len(str(raised.value)) < 1000


def test_times_of_images_are_not_kept_for_ever(
    acr: AcrImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every digest that ever was pushed has one; some thousands are kept."""
    monkeypatch.setattr(acr_images, "_TIMES", 3)
    monkeypatch.setattr(acr, "_read_created", lambda *_: datetime(2026, 1, 1, tzinfo=UTC))
    for number in range(10):
        assert acr.created("mybase.azurecr.io", "a", f"sha256:{number:064}") is not None

    assert len(acr._created) <= 3
