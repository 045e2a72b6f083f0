"""Contexts that are artifacts of registries, as oras pushes them and the agent pulls them."""

from __future__ import annotations

from pathlib import Path

import oras.client
import pytest

from localcloud.builds import artifacts
from localcloud.builds.client import Client
from localcloud.builds.job import BuildError
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json, Registry
from tests import hosts, images
from tests.runs import carry_out, logged, outputs, status

FAILED = (
    "failed to download context. Please check if the URL is incorrect. If it has credentials,"
    " please check if they are expired"
)
TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"


def build(source: str, dockerfile: str = "Dockerfile") -> Json:
    """Return the request of `az acr build` for a context of that address."""
    return {
        "type": "DockerBuildRequest",
        "imageNames": ["app:1"],
        "isPushEnabled": True,
        "dockerFilePath": dockerfile,
        "sourceLocation": source,
        "platform": {"os": "Linux"},
    }


@pytest.fixture(name="apps")
def _apps(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with an artifact that holds a file."""
    apps = images.task_registry(cloud)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    monkeypatch.chdir(tmp_path)
    client = oras.client.OrasClient(auth_backend="basic")
    client.login(TOKEN_USER, cloud.registry.registry_token(apps, "t"), hostname=apps.login_server)
    client.push(f"{apps.login_server}/context:v1", files=["Dockerfile"], quiet=True)
    return apps


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "sub/Dockerfile"])
def test_an_artifact_is_a_context(cloud: LocalCloud, apps: Registry, dockerfile: str) -> None:
    """Its files and its folders, which oras packs; with the run's own credentials."""
    if dockerfile != "Dockerfile":
        packed = hosts.tar((dockerfile, b"FROM scratch\nCOPY sub /\n"))
        _push(cloud, apps, packed, **{TITLE: "sub", UNPACK: "true"})
    run = carry_out(cloud, apps, build(f"oci://{apps.login_server}/context:v1", dockerfile))

    assert status(cloud, apps, run) == "Succeeded", logged(run)
    assert outputs(run) == ["app:1"]


def test_what_may_not_be_pulled_is_no_context(cloud: LocalCloud, apps: Registry) -> None:
    """Another registry's artifact takes credentials for that registry; both fail in ACR's words."""
    others = images.registry(cloud, "theirapps", 1)
    for registry, tag in ((others, "v1"), (apps, "v2")):
        request = build(f"oci://{apps.login_server}/context:{tag}")
        run = carry_out(cloud, registry, request)
        assert status(cloud, registry, run) == "Failed"
        assert FAILED in logged(run)


def _push(cloud: LocalCloud, apps: Registry, data: bytes, **annotations: str) -> None:
    """Push an artifact of one layer."""
    password = cloud.registry.registry_token(apps, "t")
    with Client(cloud.network, {apps.login_server: (TOKEN_USER, password)}) as client:
        config = client.push_blob(apps.login_server, "context", b"{}")
        layer = client.push_blob(apps.login_server, "context", data)
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": config}
        layers = [{**layer, "annotations": annotations}]
        client.push_manifest(apps.login_server, "context", "v1", {**manifest, "layers": layers})


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        ({TITLE: "../outside"}, "path traversal disallowed"),
        ({TITLE: "sub", UNPACK: "true"}, "failed to pull artifact"),
    ],
)
def test_what_oras_refuses_is_refused(
    cloud: LocalCloud, apps: Registry, tmp_path: Path, annotations: dict[str, str], problem: str
) -> None:
    """A file outside of the folder, and an archive that is none."""
    _push(cloud, apps, b"no archive", **annotations)
    (tmp_path / "context").mkdir()
    password = cloud.registry.registry_token(apps, "t")
    with (
        Client(cloud.network, {apps.login_server: (TOKEN_USER, password)}) as client,
        pytest.raises(BuildError, match=problem),
    ):
        artifacts.pull(client, f"{apps.login_server}/context:v1", tmp_path / "context")
    assert not (tmp_path / "outside").exists()


def test_a_layer_without_a_name_is_no_file(
    cloud: LocalCloud, apps: Registry, tmp_path: Path
) -> None:
    """As oras leaves it out."""
    _push(cloud, apps, b"x")
    (tmp_path / "context").mkdir()
    password = cloud.registry.registry_token(apps, "t")
    with Client(cloud.network, {apps.login_server: (TOKEN_USER, password)}) as client:
        artifacts.pull(client, f"{apps.login_server}/context:v1", tmp_path / "context")
    assert list((tmp_path / "context").iterdir()) == []
