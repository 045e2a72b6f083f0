"""What the log of a run ends with that failed, by either builder, and who may read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from localcloud.builds.words import ending
from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run
from tests import images
from tests.runs import carry_out, client, of_task

CONTEXT = "https://github.com/contoso/app.git"
CREDENTIALS = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
BASE = "FROM mybase.azurecr.io/images/node:9\n"
DISALLOWED = (
    "unknown: The operation is disallowed on this registry, repository or image. View"
    " troubleshooting steps at"
    " https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation"
)
UNFETCHED = (
    "failed to download context. Please check if the URL is incorrect. If it has credentials,"
    " please check if they are expired"
)
UNAUTHORIZED = (
    'Head "https://mybase.azurecr.io/v2/images/node/manifests/{0}": unauthorized: authentication'
    " required, visit https://aka.ms/acr/authorization for more information."
)
BUILDAH = pytest.param("buildah", marks=pytest.mark.needs("buildah", "busybox"))
STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")


@pytest.fixture(name="clouds", params=["embedded", BUILDAH])
def _clouds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path / "cloud", builder=request.param) as cloud:
        yield cloud


@pytest.fixture(name="apps")
def _apps(clouds: LocalCloud, tmp_path: Path) -> Registry:
    """A registry with a task that is built on another registry's image."""
    base, apps = images.registry(clouds, "mybase"), images.registry(clouds, "myapps", 1)
    images.push(clouds, base, "images/node", "9", "first")
    made = images.task(apps, "app", None, credentials=CREDENTIALS)
    made.properties["step"] |= {"contextPath": CONTEXT, "imageNames": ["app:1"]}
    images.identify(clouds, apps, made, ("AcrPull", base))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Dockerfile").write_text(BASE)
    clouds.map_context(CONTEXT, tmp_path / "source", "ghp_right")
    made.properties["step"]["contextAccessToken"] = "ghp_right"
    return apps


def read(cloud: LocalCloud, apps: Registry, run: Run) -> list[str]:
    """Return the lines of a run's log as a client reads them, without their times."""
    with client(cloud) as arm, cloud.network.client() as http:
        link = arm.post(f"{apps.id}/runs/{run.run_id}/listLogSasUrl").json()["logLink"]
        return [STAMP.sub("", line) for line in http.get(link).text.split("\r\n")]


def error(cloud: LocalCloud, apps: Registry, run: Run) -> str:
    """Return what ARM says of a run that failed."""
    with client(cloud) as arm:
        told: Json = arm.get(f"{apps.id}/runs/{run.run_id}").json()["properties"]
    assert told["status"] == "Failed"
    return str(told["runErrorMessage"])


def build(cloud: LocalCloud, apps: Registry) -> Run:
    """Carry the task out."""
    return carry_out(cloud, apps, of_task(apps, "app"))


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        (
            BASE.replace(":9", ":17"),
            "manifest for mybase.azurecr.io/images/node:17 not found: manifest unknown: manifest t",
        ),
        (
            "FROM mybase.azurecr.io/images/none:9\n",
            "manifest for mybase.azurecr.io/images/none:9 not found: manifest unknown: ",
        ),
    ],
)
def test_a_base_that_is_not_there(
    clouds: LocalCloud, apps: Registry, tmp_path: Path, dockerfile: str, said: str
) -> None:
    """Docker's sentence, then the agent's, then ACR's; ARM says as little as Azure's."""
    (tmp_path / "source" / "Dockerfile").write_text(dockerfile)
    run = build(clouds, apps)
    log = read(clouds, apps, run)

    assert log[-5].startswith(said)
    assert log[-4:-2] == [
        "Container failed during run: build. No retries remaining.",
        "failed to run step ID: build: exit status 1",
    ]
    assert re.fullmatch(rf"Run ID: {run.run_id} failed after \d+s\. Error: .*", log[-2])
    assert error(clouds, apps, run) == "failed during run, err: exit status 1"


def test_a_base_that_may_not_be_pulled(clouds: LocalCloud, apps: Registry) -> None:
    """The task has no credentials for its registry."""
    apps.tasks["app"].properties["credentials"] = None
    log = read(clouds, apps, build(clouds, apps))

    assert log[-5] in {UNAUTHORIZED.format(tag) for tag in ("9", "latest")}
    assert log[-3] == "failed to run step ID: build: exit status 1"


@pytest.mark.parametrize("clouds", ["embedded"], indirect=True)  # buildah tries for minutes
def test_a_registry_that_takes_no_more_requests(
    clouds: LocalCloud, apps: Registry, tmp_path: Path
) -> None:
    """Docker Hub has a limit of pulls, by a switch."""
    clouds.registry.hub_behaviour.rate_limit = "You have reached your pull rate limit."
    (tmp_path / "source" / "Dockerfile").write_text("FROM node:9-alpine\n")
    log = read(clouds, apps, build(clouds, apps))

    assert log[-5] == "toomanyrequests: You have reached your pull rate limit."


@pytest.mark.parametrize("what", ["app", "app/_tags/1"])
def test_a_tag_that_is_locked(clouds: LocalCloud, apps: Registry, what: str) -> None:
    """Or its repository: the push is refused with 405, and what is there stays."""
    build(clouds, apps)
    before = clouds.registry.manifest(apps, "app", "1")
    login = ("00000000-0000-0000-0000-000000000000", clouds.registry.registry_token(apps, "me"))
    with clouds.network.client(auth=login) as http:
        scope = {"service": apps.login_server, "scope": "repository:app:metadata_write"}
        token = http.get(f"https://{apps.login_server}/oauth2/token", params=scope).json()
        http.patch(
            f"https://{apps.login_server}/acr/v1/{what}",
            json={"writeEnabled": False},
            headers={"Authorization": f"Bearer {token['access_token']}"},
            auth=httpx.Auth(),
        ).raise_for_status()
    images.push(clouds, clouds.state.registries()[0], "images/node", "9", "second")
    log = read(clouds, apps, build(clouds, apps))

    assert log[-4:-2] == [
        DISALLOWED,
        "failed to run step ID: push: failed to push images successfully",
    ]
    assert clouds.registry.manifest(apps, "app", "1") == before


@pytest.mark.parametrize("token", ["ghp_expired", ""])
def test_a_source_that_cannot_be_fetched(clouds: LocalCloud, apps: Registry, token: str) -> None:
    """ACR keeps git's reason to itself: its log and ARM hold one sentence for all."""
    apps.tasks["app"].properties["step"]["contextAccessToken"] = token
    run = build(clouds, apps)
    log = read(clouds, apps, run)

    assert log[0] == "Downloading source code..."
    assert log[1].endswith(f"s. Error: {UNFETCHED}")
    assert log[2:] == [""]
    assert error(clouds, apps, run) == UNFETCHED


def test_a_log_is_a_right_of_its_own(clouds: LocalCloud, apps: Registry) -> None:
    """Who may read runs may not read what they logged, and is told which action it takes."""
    run = build(clouds, apps)
    reader = clouds.directory.create("reader")
    clouds.roles.assign("Reader", reader.object_id, apps.id)
    arm = "https://management.azure.com"
    token = clouds.tokens.issue(reader, arm)
    with clouds.network.client(
        base_url=arm,
        headers={"Authorization": f"Bearer {token}"},
        params={"api-version": "2025-03-01-preview"},
    ) as http:
        path = f"{apps.id}/runs/{run.run_id}"
        assert http.get(path).status_code == 200
        refused = http.post(f"{path}/listLogSasUrl")

    assert refused.status_code == 403
    told = refused.json()["error"]
    assert told["code"] == "AuthorizationFailed"
    assert "Microsoft.ContainerRegistry/registries/runs/listLogSasUrl/action" in told["message"]


def test_the_end_of_a_log_is_read_by_its_length(clouds: LocalCloud, apps: Registry) -> None:
    """As of any blob: a length on HEAD, a range, and no range that is counted from the end."""
    run = build(clouds, apps)
    with client(clouds) as arm, clouds.network.client() as http:
        told = arm.post(f"{apps.id}/runs/{run.run_id}/listLogSasUrl").json()
        link = told["logLink"]
        size = int(http.head(link).headers["content-length"])
        part = http.get(link, headers={"Range": f"bytes={size - 20}-{size - 1}"})
        whole = http.get(link, headers={"Range": "bytes=-20"})

    assert set(told) == {"logLink"}
    assert part.status_code == 206
    assert part.content == whole.content[-20:]
    assert whole.status_code == 200


@pytest.mark.parametrize(
    ("why", "first"),
    [
        ("PUT https://a.azurecr.io/v2/x/manifests/1: 403 no", "denied: requested access to the"),
        ("PUT https://a.azurecr.io/v2/x/manifests/1: 401 {}", "unauthorized: authentication"),
        ("POST https://a.azurecr.io/v2/x/blobs/uploads/: 503 x", "received unexpected HTTP"),
        ("GET https://a.azurecr.io/v2/x/manifests/1: 500 x", "received unexpected HTTP status"),
        ("GET https://a.azurecr.io/v2/x/manifests/1: 418 x", "GET https://a.azurecr.io/v2/x/man"),
        ("unauthorized: authentication required for repository:x:pull,push at a", "unauthorized"),
        ("COPY failed: no", "COPY failed: no"),
    ],
)
def test_other_ends_are_put_into_dockers_words(why: str, first: str) -> None:
    """What is none of docker's stays as it is."""
    assert ending(f"failed to run step ID: b: {why}")[0].startswith(first)


def test_what_no_step_failed_at_stays_as_it_is() -> None:
    """Nor does what ran out of time."""
    late = "failed to run step ID: second: timed out after 100 seconds"
    assert ending(late) == [late]
    assert ending("the task has no step") == ["the task has no step"]
