"""Independent clients with a registry's own sign-in on, and the events that they cause."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.containerregistry import ContainerRegistryClient
from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError
from oras.client import OrasClient
from oras.oci import NewManifest, Subject

from localcloud.builds.client import MANIFEST
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json, Registry
from localcloud.tokens import Credential
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.events.pushes import NoTag, Push, read_event
from tests import images
from tests.patience import SECONDS
from tests.webhook import Webhook

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
SBOM = "application/vnd.example.sbom"

type Pair = tuple[str, str]
type Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(name="base")
def _base(still: LocalCloud) -> Registry:
    return images.registry(still, "mybase")


def signed_in(cloud: LocalCloud, base: Registry, *roles: str) -> Pair:
    """Return what `az acr login --expose-token` gives to somebody with some roles."""
    principal = cloud.directory.create("somebody")
    for role in roles:
        cloud.roles.assign(role, principal.object_id, base.id)
    token = cloud.registry.auth.exchanged(base, principal)
    assert token is not None
    return TOKEN_USER, token


@pytest.fixture(name="pair", params=["admin", "token"])
def _pair(request: pytest.FixtureRequest, still: LocalCloud, base: Registry) -> Pair:
    """The admin user's password, or a token of somebody with AcrPush and AcrDelete."""
    if request.param == "admin":
        return base.name, base.admin_password
    return signed_in(still, base, "AcrPush", "AcrDelete")


@pytest.fixture(name="tool")
def _tool(still: LocalCloud, tmp_path: Path) -> Tool:
    """Run a program in the cloud's network; its credentials are given to each call."""

    def run(pair: Pair | None, *command: str, fails: bool = False) -> Any:  # noqa: ANN401
        hosts = [registry.login_server for registry in still.state.registries()]
        auth = base64.b64encode(":".join(pair).encode()).decode() if pair else ""
        auths = {host: {"auth": auth} for host in hosts if pair}
        (tmp_path / "auth.json").write_text(json.dumps({"auths": auths}))
        (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (tmp_path / "registries.conf").write_text("")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
            **still.network.environment(),
        }
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done

    return run


def blob(folder: Path, data: bytes) -> Json:
    """Put a blob into an OCI layout; return its digest and size."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def layout(folder: Path, *architectures: str) -> list[str]:
    """Write an OCI layout of an image for some platforms; return the digests, the index last."""
    entries = []
    for architecture in architectures:
        settings = {"architecture": architecture, "os": "linux", "config": {}}
        rootfs = {"type": "layers", "diff_ids": []}
        config = blob(folder, json.dumps({**settings, "rootfs": rootfs}).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [],
        }
        kept = blob(folder, json.dumps(manifest).encode())
        platform = {"os": "linux", "architecture": architecture}
        entries.append({"mediaType": OCI_MANIFEST, **kept, "platform": platform})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    kept = blob(folder, json.dumps(index).encode())
    named = {"org.opencontainers.image.ref.name": "all"}
    top = {**index, "manifests": [{"mediaType": OCI_INDEX, **kept, "annotations": named}]}
    (folder / "index.json").write_text(json.dumps(top))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return [*(str(entry["digest"]) for entry in entries), str(kept["digest"])]


SKOPEO = ("skopeo", "--policy", "policy.json")


@pytest.mark.needs("skopeo")
def test_skopeo_with_each_credential(
    still: LocalCloud, base: Registry, tool: Tool, pair: Pair, tmp_path: Path
) -> None:
    """Both of a registry's credentials let skopeo copy in and out, inspect and delete."""
    digest = images.push(still, base, "a/node", "1", "for skopeo")
    one, two = (f"docker://{base.login_server}/{name}" for name in ("a/node:1", "b/copy:2"))
    tool(pair, *SKOPEO, "copy", one, "dir:out")
    tool(pair, *SKOPEO, "copy", "--preserve-digests", "dir:out", two)
    assert json.loads(tool(pair, *SKOPEO, "inspect", two).stdout)["Digest"] == digest
    assert (tmp_path / "out" / "manifest.json").is_file()
    tool(pair, *SKOPEO, "delete", two)
    gone = tool(pair, *SKOPEO, "inspect", two, fails=True)

    assert "manifest unknown" in gone.stderr.lower() or "not found" in gone.stderr
    assert still.registry.manifest(base, "a/node", "1") is not None


@pytest.mark.needs("skopeo")
def test_skopeo_is_refused_what_its_role_does_not_allow(
    still: LocalCloud, base: Registry, tool: Tool
) -> None:
    """Without credentials, with AcrPull alone, with a wrong password: skopeo says unauthorized."""
    images.push(still, base, "a/node", "1", "x")
    images.push(still, base, "b/copy", "2", "y")
    one, two = (f"docker://{base.login_server}/{name}" for name in ("a/node:1", "b/copy:2"))
    puller = signed_in(still, base, "AcrPull")
    refused = [
        tool(None, *SKOPEO, "inspect", one, fails=True),
        tool((base.name, "guess"), *SKOPEO, "inspect", one, fails=True),
        tool(puller, *SKOPEO, "copy", one, two, fails=True),
        tool(puller, *SKOPEO, "delete", one, fails=True),
    ]
    tool(puller, *SKOPEO, "copy", one, "dir:out")

    assert ["unauthorized" in done.stderr.lower() for done in refused] == [True] * 4
    assert still.registry.manifest(base, "a/node", "1") is not None


@pytest.mark.needs("buildah")
def test_buildah_pushes_and_pulls_by_digest(
    still: LocalCloud, base: Registry, tool: Tool, pair: Pair, tmp_path: Path
) -> None:
    """What buildah pushes under a tag it pulls by the digest that it was told."""
    buildah = (
        "buildah",
        *("--storage-driver", "vfs", "--root", str(tmp_path / "root")),
        *("--runroot", str(tmp_path / "run"), "--registries-conf", "registries.conf"),
    )
    own = ("--signature-policy", "policy.json")
    place = f"{base.login_server}/b/built"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nLABEL made=here\n")
    tool(pair, *buildah, "bud", *own, "--isolation", "chroot", "-t", f"{place}:1", ".")
    digests = ("--digestfile", "digest")
    tool(pair, *buildah, "push", *own, *digests, f"{place}:1", f"docker://{place}:1")
    digest = (tmp_path / "digest").read_text().strip()
    tool(pair, *buildah, "rmi", "--all")
    tool(pair, *buildah, "pull", *own, f"{place}@{digest}")
    told = tool(pair, *buildah, "inspect", "--type", "image", f"{place}@{digest}")

    held = still.registry.manifest(base, "b/built", "1")
    assert held is not None
    assert held.digest == digest
    assert json.loads(told.stdout)["OCIv1"]["config"]["Labels"]["made"] == "here"


def test_oras_pushes_annotates_and_pulls(
    base: Registry, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORAS signs in, pushes files with annotations, and finds them again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("sbom.json").write_text('{"components": []}')
    target = f"{base.login_server}/a/artifact:1"
    client = oras(base, pair, "a/artifact")
    annotations = {"org.opencontainers.image.source": "https://github.com/contoso/app"}
    files = [f"sbom.json:{SBOM}+json"]
    client.push(target, files=files, manifest_annotations=annotations)
    manifest = client.get_manifest(target)
    client.pull(target, outdir="out")

    assert manifest["annotations"] == annotations
    assert manifest["layers"][0]["mediaType"] == f"{SBOM}+json"
    assert Path("out/sbom.json").read_text() == '{"components": []}'
    assert client.get_tags(target) == ["1"]
    assert client.delete_tags(target, ["1"]) == ["1"]


def oras(base: Registry, pair: Pair, repository: str) -> OrasClient:
    """Return a client of ORAS, signed in: the admin user by its password, others by a token.

    The client keeps the first token that it is given a challenge for, which is one to pull; so it
    is given one for all that it is to do.
    """
    user, _ = pair
    client = OrasClient(base.login_server, auth_backend="basic" if user == base.name else "token")
    if user == base.name:
        client.auth.set_basic_auth(*pair)
        return client
    answer = requests.get(
        f"https://{base.login_server}/oauth2/token",
        params={
            "service": base.login_server,
            "scope": f"repository:{repository}:pull,push,delete,metadata_read",
        },
        auth=pair,
        timeout=SECONDS,
    )
    client.auth.set_token_auth(answer.json()["access_token"])
    return client


def attach(client: OrasClient, base: Registry, subject: Subject, payload: Path) -> str:
    """Attach an artifact to an image, without a tag, as `oras attach` does; return its digest."""
    host = base.login_server
    layer = {"mediaType": SBOM, **blob(payload.parent, payload.read_bytes())}
    config = payload.parent / "empty"
    config.write_text("{}")
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", **blob(payload.parent, b"{}")}
    content = {
        **NewManifest(),
        "artifactType": SBOM,
        "config": empty,
        "layers": [layer],
        "subject": {
            "mediaType": subject.mediaType,
            "digest": subject.digest,
            "size": subject.size,
        },
        "annotations": {"made": "by the test"},
    }
    # requests sends `json` in this form, so the digest is known beforehand.
    digest = f"sha256:{hashlib.sha256(json.dumps(content).encode()).hexdigest()}"
    container = client.get_container(f"{host}/a/node@{digest}")
    for path, descriptor in ((payload, layer), (config, empty)):
        assert client.upload_blob(str(path), container, descriptor).status_code in (200, 201)
    assert client.upload_manifest(content, container).status_code == 201
    return digest


def test_an_attached_artifact_is_listed_as_referrer(
    still: LocalCloud, base: Registry, pair: Pair, tmp_path: Path
) -> None:
    """ORAS attaches an artifact by its subject; the referrers API lists it by its type."""
    digest = images.push(still, base, "a/node", "1", "x")
    client = oras(base, pair, "a/node")
    payload = tmp_path / "sbom"
    payload.write_text("components")
    attached = attach(client, base, Subject(MANIFEST, digest, 1), payload)
    address = f"https://{base.login_server}/v2/a/node/referrers/{digest}"
    listed = client.do_request(address).json()
    filtered = client.do_request(f"{address}?artifactType=application/other")

    assert listed["mediaType"] == OCI_INDEX
    (entry,) = listed["manifests"]
    assert (entry["digest"], entry["artifactType"]) == (attached, SBOM)
    assert entry["annotations"] == {"made": "by the test"}
    assert filtered.json()["manifests"] == []
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert list(still.registry.store.repository(base, "a/node").tags) == ["1"]


def test_azures_client_with_roles(still: LocalCloud, base: Registry) -> None:
    """azure-containerregistry lists, uploads, downloads and deletes what its roles allow."""
    roles = ("AcrPull", "AcrPush", "AcrDelete")
    people = {role: still.directory.create(role) for role in roles}
    for role, principal in people.items():
        still.roles.assign(role, principal.object_id, base.id)
    puller, pusher, deleter = (
        ContainerRegistryClient(base.login_server, Credential(still.tokens, people[role]))
        for role in roles
    )
    config = b'{"architecture": "amd64", "os": "linux"}'
    with puller, pusher, deleter:
        digest, size = pusher.upload_blob("a/node", io.BytesIO(config))
        content: Json = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest,
                "size": size,
            },
            "layers": [],
        }
        pushed = pusher.set_manifest("a/node", content, tag="1")
        untagged = pusher.set_manifest("a/node", {**content, "annotations": {"n": "2"}})
        assert list(puller.list_repository_names()) == ["a/node"]
        assert [tag.name for tag in puller.list_tag_properties("a/node")] == ["1"]
        listed = {m.digest: m.tags for m in puller.list_manifest_properties("a/node")}
        assert listed == {pushed: ["1"], untagged: []}
        assert puller.get_manifest("a/node", "1").manifest == content
        assert b"".join(puller.download_blob("a/node", digest)) == config
        changed = pusher.update_tag_properties("a/node", "1", can_delete=False)
        assert changed.can_delete is False
        pusher.update_tag_properties("a/node", "1", can_delete=True)
        for act in (
            lambda: puller.upload_blob("a/node", io.BytesIO(config)),
            lambda: puller.delete_tag("a/node", "1"),
            lambda: pusher.delete_manifest("a/node", pushed),
            lambda: deleter.get_tag_properties("a/node", "1"),
        ):
            with pytest.raises(ClientAuthenticationError):
                act()
        deleter.delete_tag("a/node", "1")
        assert list(puller.list_tag_properties("a/node")) == []
        deleter.delete_manifest("a/node", pushed)
        assert [m.digest for m in puller.list_manifest_properties("a/node")] == [untagged]
        deleter.delete_repository("a/node")
        with pytest.raises(ResourceNotFoundError):
            puller.get_repository_properties("a/node")


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
def test_only_the_tagged_push_is_a_push_for_the_product(
    still: LocalCloud,
    base: Registry,
    tool: Tool,
    webhook: Webhook,
    tmp_path: Path,
    schema: Any,  # noqa: ANN401 - Event Grid's word
) -> None:
    """An index of two platforms is three events, an attachment one, a push by digest one."""
    still.eventgrid.subscribe(base, "pushes", webhook.url, schema=schema)
    pair = (base.name, base.admin_password)
    amd, arm, index = layout(tmp_path / "layout", "amd64", "arm64")
    place = f"docker://{base.login_server}/a/node"
    copy = (*SKOPEO, "copy", "--all", "--preserve-digests")

    def told() -> list[tuple[str, str, str | None]]:
        assert still.wait_idle(SECONDS)
        events = [call.body[0] if isinstance(call.body, list) else call.body for call in calls()]
        for event in events:
            assert event.get("eventType", event.get("type")) == (
                "Microsoft.ContainerRegistry.ImagePushed"
            )
            seen.append(event)
        targets = [(event["subject"], event["data"]["target"]) for event in events]
        return [(subject, target["digest"], target.get("tag")) for subject, target in targets]

    def calls() -> list[Any]:
        made = list(webhook.calls)
        webhook.calls.clear()
        return made

    seen: list[Json] = []
    tool(pair, *copy, "oci:layout:all", f"{place}:1")
    first = told()
    client = oras(base, pair, "a/node")
    (tmp_path / "sbom").write_text("components")
    attached = attach(client, base, Subject(OCI_INDEX, index, 1), tmp_path / "sbom")
    second = told()
    copied = place.replace("a/node", "b/copy")
    tool(pair, *copy, f"{place}@{amd}", f"{copied}@{amd}")
    third = told()

    children = {("a/node", amd, None), ("a/node", arm, None)}
    assert len(first) == 3
    assert set(first) == {*children, ("a/node:1", index, "1")}
    assert second == [("a/node", attached, None)]
    assert third == [("b/copy", amd, None)]
    kinds = {event["data"]["target"]["digest"]: event["data"]["target"] for event in seen}
    assert kinds[index]["mediaType"] == OCI_INDEX
    read = [read_event(event, [RegistryId.parse(base.id)]) for event in seen]
    pushes = [event for event in read if isinstance(event, Push)]
    assert [(push.repository, push.tag, push.digest) for push in pushes] == [("a/node", "1", index)]
    assert all(isinstance(event, NoTag | Push) for event in read)
