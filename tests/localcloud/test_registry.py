"""The local registry, by clients that know nothing of it: Azure's SDK, skopeo, buildah."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.containerregistry import ArtifactManifestOrder, ContainerRegistryClient
from azure.identity import ManagedIdentityCredential

from localcloud.builds.client import MANIFEST, Client
from localcloud.builds.images import pull
from localcloud.builds.job import HERE
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json, Registry
from tests import images


@pytest.fixture(name="base")
def _base(cloud: LocalCloud) -> Registry:
    return images.registry(cloud, "mybase")


@pytest.fixture(name="events")
def _events(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Json]]:
    seen: list[tuple[str, str, Json]] = []

    def publish(registry: Registry, kind: str, subject: str, data: Json) -> None:
        del registry
        seen.append((kind, subject, data))

    monkeypatch.setattr(cloud.registry, "_publish", publish)
    return seen


@pytest.fixture(name="http")
def _http(cloud: LocalCloud, base: Registry) -> Iterator[httpx.Client]:
    auth = (base.name, base.admin_password)
    address = f"https://{base.login_server}"
    with cloud.network.client(base_url=address, auth=auth) as client:
        yield client


def test_azures_client_lists_tags_and_manifests(cloud: LocalCloud, base: Registry) -> None:
    """azure-containerregistry logs in by managed identity and reads what was pushed."""
    digests = [images.push(cloud, base, "a/node", str(n), f"text {n}") for n in range(5)]
    images.push(cloud, base, "b/other", "1", "x")
    images.push(cloud, base, "a/node", "latest", "text 4")
    with (
        ManagedIdentityCredential() as identity,
        ContainerRegistryClient(f"https://{base.login_server}", identity) as client,
    ):
        assert list(client.list_repository_names(results_per_page=1)) == ["a/node", "b/other"]
        tags = list(client.list_tag_properties("a/node", results_per_page=2))
        newest = client.list_manifest_properties(
            "a/node", order_by=ArtifactManifestOrder.LAST_UPDATED_ON_DESCENDING, results_per_page=2
        )
        manifests = list(newest)
        repository = client.get_repository_properties("a/node")
        tag = client.get_tag_properties("a/node", "latest")
        manifest = client.get_manifest_properties("a/node", "latest")
        blob = client.get_manifest("a/node", "latest").manifest["config"]["digest"]
        config = json.loads(b"".join(client.download_blob("a/node", str(blob))))
        client.update_tag_properties("a/node", "0", can_delete=False)
        locked = client.get_tag_properties("a/node", "0")
        client.delete_tag("a/node", "1")
        client.delete_manifest("a/node", digests[2])
        client.delete_repository("b/other")
        left = [t.name for t in client.list_tag_properties("a/node")]
        names = list(client.list_repository_names())

    assert [t.name for t in tags] == ["0", "1", "2", "3", "4", "latest"]
    assert [m.digest for m in manifests] == digests[::-1]
    assert manifests[0].tags == ["4", "latest"]
    assert (repository.tag_count, repository.manifest_count) == (6, 5)
    assert tag.digest == manifest.digest == digests[4]
    assert manifest.architecture == "amd64"
    assert config["config"]["Env"] == ["TEXT=text 4"]
    assert locked.can_delete is False
    assert left == ["0", "3", "4", "latest"]
    assert names == ["a/node"]


def run(cloud: LocalCloud, folder: Path, base: Registry, *command: str) -> str:
    """Run a client with the registry's credentials and the cloud's network."""
    credentials = f"{TOKEN_USER}:{cloud.registry.registry_token(base, 'tester')}"
    entry = {"auth": base64.b64encode(credentials.encode()).decode()}
    (folder / "auth.json").write_text(json.dumps({"auths": {base.login_server: entry}}))
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
        **cloud.network.environment(),
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("skopeo")
def test_skopeo_pushes_and_pulls(
    cloud: LocalCloud, base: Registry, tmp_path: Path, events: list[tuple[str, str, Json]]
) -> None:
    """Skopeo logs in, copies an image in and out, and reads it."""
    digest = images.push(cloud, base, "a/node", "1", "for skopeo")
    source, target = f"docker://{base.login_server}/a/node:1", tmp_path / "out"
    skopeo = ("skopeo", "--policy", str(tmp_path / "policy.json"))
    run(cloud, tmp_path, base, *skopeo, "copy", source, f"dir:{target}")
    copied = f"docker://{base.login_server}/b/copy:2"
    run(cloud, tmp_path, base, *skopeo, "copy", "--preserve-digests", f"dir:{target}", copied)
    found = json.loads(run(cloud, tmp_path, base, "skopeo", "inspect", copied))

    assert found["Digest"] == digest
    assert found["Env"] == ["TEXT=for skopeo"]
    assert found["RepoTags"] == ["2"]
    assert [subject for _, subject, _ in events] == ["a/node:1", "b/copy:2"]


@pytest.mark.needs("buildah")
def test_buildah_pushes_and_pulls(cloud: LocalCloud, base: Registry, tmp_path: Path) -> None:
    """Buildah builds on an image of the registry and pushes the result back."""
    images.push(cloud, base, "a/node", "1", "for buildah")
    host = base.login_server
    (tmp_path / "registries.conf").write_text("")
    (tmp_path / "Dockerfile").write_text(f"FROM {host}/a/node:1\nLABEL made=here\n")
    buildah = (
        "buildah",
        *("--storage-driver", "vfs", "--root", str(tmp_path / "root")),
        *("--runroot", str(tmp_path / "run"), "--registries-conf", "registries.conf"),
    )
    own = ("--signature-policy", "policy.json")
    built = f"{host}/b/built:1"
    run(cloud, tmp_path, base, *buildah, "bud", *own, "--isolation", "chroot", "-t", built, ".")
    run(cloud, tmp_path, base, *buildah, "push", *own, built, f"docker://{built}")
    pulled = run(cloud, tmp_path, base, *buildah, "pull", *own, f"docker://{built}")

    assert pulled.strip()
    manifest = cloud.registry.manifest(base, "b/built", "1")
    assert manifest is not None
    config = cloud.registry.blob(base, "b/built", manifest.content["config"]["digest"])
    assert json.loads(config or b"{}")["config"]["Labels"]["made"] == "here"


def test_every_push_of_a_manifest_is_an_event(
    cloud: LocalCloud, base: Registry, events: list[tuple[str, str, Json]]
) -> None:
    """Tagged, tagless and repeated pushes each publish what ACR publishes."""
    digest = images.push(cloud, base, "a/node", "1", "x")
    images.push(cloud, base, "a/node", "1", "x")
    tagless = images.push(cloud, base, "a/node", "", "y")
    cloud.registry.delete_manifest(base, "a/node", tagless)

    assert [(kind.rpartition(".")[2], subject) for kind, subject, _ in events] == [
        ("ImagePushed", "a/node:1"),
        ("ImagePushed", "a/node:1"),
        ("ImagePushed", "a/node"),
        ("ImageDeleted", "a/node"),
    ]
    first, _, third, _ = (data for _, _, data in events)
    assert first["action"] == "push"
    assert first["target"]["digest"] == digest
    assert first["target"]["tag"] == "1"
    assert first["target"]["mediaType"] == MANIFEST
    assert first["request"]["host"] == base.login_server
    assert first["request"]["method"] == "PUT"
    assert len(first["timestamp"]) == len("2021-09-08T06:37:45.4681009Z")
    assert "tag" not in third["target"]


def test_an_index_is_n_tagless_events_and_a_tagged_one(
    cloud: LocalCloud, base: Registry, events: list[tuple[str, str, Json]], http: httpx.Client
) -> None:
    """A multi-platform image: its children by digest, the index by tag; unknown ones refused."""
    children = [images.push(cloud, base, "a/node", "", text) for text in ("amd", "arm")]
    kind = "application/vnd.oci.image.index.v1+json"
    index: Json = {"schemaVersion": 2, "mediaType": kind}
    index["manifests"] = [{"mediaType": MANIFEST, "digest": d, "size": 1} for d in children]
    put = http.put("/v2/a/node/manifests/1", json=index, headers={"Content-Type": kind})
    missing = {**index, "manifests": [{"digest": "sha256:" + "0" * 64}]}
    refused = http.put("/v2/a/node/manifests/2", json=missing, headers={"Content-Type": kind})

    assert put.status_code == 201
    assert [subject for _, subject, _ in events] == ["a/node", "a/node", "a/node:1"]
    assert events[-1][2]["target"]["mediaType"] == kind
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


def test_referrers_are_listed_by_subject(
    cloud: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """A manifest with a subject is found from it, filtered by its type."""
    subject = images.push(cloud, base, "a/node", "1", "x")
    kind = "application/vnd.oci.image.manifest.v1+json"
    signature: Json = {
        "schemaVersion": 2,
        "mediaType": kind,
        "artifactType": "application/vnd.example.signature",
        "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1},
        "layers": [],
    }
    data = json.dumps(signature).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    put = http.put(f"/v2/a/node/manifests/{digest}", content=data, headers={"Content-Type": kind})
    listed = http.get(f"/v2/a/node/referrers/{subject}").json()
    other = http.get(f"/v2/a/node/referrers/{subject}", params={"artifactType": "x/y"}).json()

    assert put.headers["oci-subject"] == subject
    assert [m["artifactType"] for m in listed["manifests"]] == [signature["artifactType"]]
    assert other["manifests"] == []


def test_blobs_are_uploaded_in_every_way(http: httpx.Client) -> None:
    """At once, in chunks, by mount; with ranges on the way out."""
    data = b"0123456789" * 1000
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    started = http.post("/v2/a/x/blobs/uploads/")
    place = started.headers["location"]
    middle = {"Content-Range": "0-4999"}
    assert http.patch(place, content=data[:5000], headers=middle).headers["range"] == "0-4999"
    assert http.get(place).status_code == 204
    gap = http.patch(place, content=b"x", headers={"Content-Range": "9000-9001"})
    assert gap.status_code == 416
    ended = http.put(place, params={"digest": digest}, content=data[5000:])
    assert ended.status_code == 201
    mounted = http.post("/v2/b/y/blobs/uploads/", params={"mount": digest, "from": "a/x"})
    assert mounted.status_code == 201
    unknown = http.post("/v2/b/y/blobs/uploads/", params={"mount": "sha256:0", "from": "a/x"})
    assert unknown.status_code == 202
    assert http.delete(unknown.headers["location"]).status_code == 204
    wrong = http.post("/v2/a/x/blobs/uploads/", params={"digest": digest}, content=b"other")
    assert wrong.json()["errors"][0]["code"] == "DIGEST_INVALID"

    part = http.get(f"/v2/b/y/blobs/{digest}", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, b"0123456789")
    assert http.head(f"/v2/b/y/blobs/{digest}").headers["content-length"] == "10000"
    beyond = http.get(f"/v2/b/y/blobs/{digest}", headers={"Range": "bytes=99999-"})
    assert beyond.status_code == 416
    assert http.delete(f"/v2/b/y/blobs/{digest}").status_code == 202
    assert http.get(f"/v2/b/y/blobs/{digest}").json()["errors"][0]["code"] == "BLOB_UNKNOWN"
    assert http.get(f"/v2/a/x/blobs/{digest}").content == data


def test_lists_are_paged(cloud: LocalCloud, base: Registry, http: httpx.Client) -> None:
    """Tags and repositories come in pages with a link to the next."""
    for number in range(3):
        images.push(cloud, base, "a/node", f"t{number}", "x")
        images.push(cloud, base, f"repo{number}", "1", "x")
    first = http.get("/v2/a/node/tags/list", params={"n": 2})
    following = first.headers["link"].partition("<")[2].partition(">")[0]

    assert first.json() == {"name": "a/node", "tags": ["t0", "t1"]}
    assert http.get(following).json()["tags"] == ["t2"]
    assert http.get("/v2/_catalog", params={"n": 9}).json()["repositories"] == [
        "a/node",
        "repo0",
        "repo1",
        "repo2",
    ]


def test_tokens_open_what_they_name(cloud: LocalCloud, base: Registry) -> None:
    """No token, a foreign one, one for less: each is answered with ACR's challenge."""
    images.push(cloud, base, "a/node", "1", "x")
    other = images.registry(cloud, "other")
    refresh = cloud.registry.registry_token(base, "me")
    foreign = cloud.registry.registry_token(other, "me")
    with cloud.network.client(base_url=f"https://{base.login_server}") as http:
        challenge = http.get("/v2/a/node/manifests/1").headers["www-authenticate"]

        def token(password: str, scope: str) -> httpx.Response:
            form = {"grant_type": "refresh_token", "service": base.login_server, "scope": scope}
            return http.post("/oauth2/token", data={**form, "refresh_token": password})

        def status(scope: str) -> int:
            value = token(refresh, scope).json()["access_token"]
            headers = {"Authorization": f"Bearer {value}"}
            return http.get("/v2/a/node/manifests/1", headers=headers).status_code

        assert challenge == (
            'Bearer realm="https://mybase.azurecr.io/oauth2/token",service="mybase.azurecr.io",'
            'scope="repository:a/node:pull"'
        )
        assert token(foreign, "repository:a/node:pull").status_code == 401
        assert status("repository:a/node:pull") == 200
        assert status("repository:a/node:pull,push") == 200
        assert status("repository:a/node:push") == 401
        assert status("repository:b/node:pull") == 401
        garbage = http.get("/v2/", headers={"Authorization": "Bearer nonsense"})
        assert 'error="invalid_token"' in garbage.headers["www-authenticate"]
        assert http.get("/v2/", auth=(base.name, "wrong")).status_code == 401
        form = {"grant_type": "access_token", "service": base.login_server, "access_token": "x"}
        assert http.post("/oauth2/exchange", data=form).status_code == 401
        elsewhere = {**form, "service": "other.azurecr.io"}
        assert http.post("/oauth2/exchange", data=elsewhere).status_code == 400


def test_a_registry_has_several_names(cloud: LocalCloud, base: Registry) -> None:
    """The regional endpoint and a DNL name reach their registry; other names reach none."""
    images.registry(cloud, "contoso", login_server="contoso-a1b2.azurecr.io")
    hosts = [
        "MYBASE.azurecr.io",
        "mybase.westeurope.geo.azurecr.io",
        "contoso-a1b2.azurecr.io",
        "contoso.azurecr.io",
        "mybase.eastus.geo.azurecr.io",
    ]
    statuses = []
    with cloud.network.client() as http:
        for host in hosts:
            answer = http.get(f"https://{host}/v2/", auth=(base.name, base.admin_password))
            statuses.append(answer.status_code)

    assert statuses == [200, 200, 401, 404, 404]


def test_docker_hub_is_for_reading(cloud: LocalCloud) -> None:
    """Anybody pulls the tutorial's base image; nobody pushes."""
    with Client(cloud.network, {}) as client:
        image, digest = pull(client, "node:9-alpine", HERE, print)

    assert digest == image.digest
    assert image.layers
    assert "NODE_VERSION=9.11.2" in json.loads(image.config)["config"]["Env"]
    with cloud.network.client() as http:
        pushed = http.post("https://registry-1.docker.io/v2/library/node/blobs/uploads/")
    assert pushed.status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/a/node/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/none/manifests/1", 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/a/node/manifests/none", 404, "TAG_UNKNOWN"),
        ("GET", "/acr/v1/a/node/_tags/none", 404, "TAG_UNKNOWN"),
        ("PATCH", "/v2/a/node/blobs/uploads/none", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", "/v2/a/node/manifests/bad", 400, "MANIFEST_INVALID"),
        ("PUT", "/v2/a/node/manifests/sha256:0", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/node/nothing", 404, "UNSUPPORTED"),
    ],
)
def test_errors_have_the_specifications_form(
    cloud: LocalCloud,
    base: Registry,
    http: httpx.Client,
    method: str,
    path: str,
    status: int,
    code: str,
) -> None:
    """Each error has its status and its code."""
    images.push(cloud, base, "a/node", "1", "x")
    answer = http.request(method, path, content=b"no json")
    errors: list[dict[str, Any]] = answer.json()["errors"]

    assert (answer.status_code, errors[0]["code"]) == (status, code)
