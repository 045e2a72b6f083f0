"""The local cloud's GitHub, asked as any client of the REST API does."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from localcloud.cloud import LocalCloud
from rebuilder.source_credentials import SourceCredential
from rebuilder.sources.files import HostedSources

API = "https://api.github.com/repos/contoso/app"
SHA = {"Accept": "application/vnd.github.sha"}
OBJECT = {"Accept": "application/vnd.github.object+json"}


@pytest.fixture(name="http")
def _http(cloud: LocalCloud) -> Iterator[httpx.Client]:
    with cloud.network.client() as client:
        yield client


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM a\n")
    (folder / "sub" / "x").write_text("x")
    (tmp_path / "outside").write_text("secret")
    return folder


def test_when_a_token_ends_is_told_to_who_shows_it(
    cloud: LocalCloud, http: httpx.Client, folder: Path
) -> None:
    """In GitHub's words, and only where the cloud was told of an end."""
    name = "github-authentication-token-expiration"
    cloud.map_context("https://github.com/contoso/app.git", folder, "t")
    shown = {**SHA, "Authorization": "Bearer t"}
    assert name not in http.get(f"{API}/commits/HEAD", headers=shown).headers
    cloud.scheduler.contexts.tokens_end = datetime(2026, 12, 31, 9, tzinfo=UTC)
    github = HostedSources(["github.com"], credentials=[SourceCredential("github.com", "t")])
    assert github.expires("github.com") == datetime(2026, 12, 31, 9, tzinfo=UTC)
    assert github.expires("dev.azure.com") is None
    github.close()

    told = http.get(f"{API}/commits/HEAD", headers=shown).raise_for_status().headers
    assert told[name] == "2026-12-31 09:00:00 UTC"
    assert name not in http.get(f"{API}/commits/HEAD", headers=SHA).headers


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, without anybody's own configuration."""
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def content(answer: httpx.Response) -> bytes:
    """Return the file that an answer holds."""
    found = answer.raise_for_status().json()
    assert (found["type"], found["encoding"]) == ("file", "base64")
    data = base64.b64decode(found["content"])
    assert found["size"] == len(data)
    return data


def test_a_mapped_folder_is_a_repository(
    cloud: LocalCloud, http: httpx.Client, folder: Path
) -> None:
    """Its commit changes with its files, and an unchanged one is not told again."""
    cloud.map_context("https://github.com/contoso/app.git", folder)
    first = http.get(f"{API}/commits/HEAD", headers=SHA)
    again = http.get(f"{API}/commits/HEAD", headers={**SHA, "If-None-Match": first.headers["etag"]})
    read = content(http.get(f"{API}/contents/sub/x", params={"ref": first.text}, headers=OBJECT))
    (folder / "Dockerfile").write_text("FROM b\n")
    second = http.get(f"{API}/commits/main", headers=SHA)

    assert len(first.text) == 40
    assert (again.status_code, read) == (304, b"x")
    assert second.text != first.text


def test_a_mapped_repository_has_its_history(
    cloud: LocalCloud, http: httpx.Client, folder: Path
) -> None:
    """Branches and commits are git's, and a file is read as it was in its commit."""
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    one = git(folder, "rev-parse", "HEAD")
    (folder / "Dockerfile").write_text("FROM b\n")
    git(folder, "checkout", "-qb", "feature/b")
    git(folder, "commit", "-qam", "two")
    cloud.map_context("https://github.com/contoso/app.git", folder)

    def read(ref: str) -> bytes:
        return content(http.get(f"{API}/contents/Dockerfile", params={"ref": ref}, headers=OBJECT))

    assert http.get(f"{API}/commits/main", headers=SHA).text == one
    assert http.get(f"{API}/commits/HEAD", headers=SHA).text != one
    assert (read(one), read("feature/b")) == (b"FROM a\n", b"FROM b\n")
    for ref in ("none", "-x"):
        assert http.get(f"{API}/commits/{ref}", headers=SHA).status_code == 422
        missing = http.get(f"{API}/contents/Dockerfile", params={"ref": ref}, headers=OBJECT)
        assert missing.status_code == 404
    inside = http.get(f"{API}/contents/sub", params={"ref": one}, headers=OBJECT)
    assert inside.status_code == 404


@pytest.mark.parametrize("path", ["none", "sub", "%2e%2e/outside"])
def test_what_is_no_file_is_not_found(
    cloud: LocalCloud, http: httpx.Client, folder: Path, path: str
) -> None:
    """A missing file, a folder, and a path out of the repository."""
    cloud.map_context("https://github.com/contoso/app.git", folder)

    assert http.get(f"{API}/contents/{path}", headers=OBJECT).status_code == 404


def test_a_private_repository_is_shown_to_its_token(
    cloud: LocalCloud, http: httpx.Client, folder: Path
) -> None:
    """Every form of the header is taken; without the token there is no such repository."""
    cloud.map_context("https://github.com/contoso/app.git", folder, "t0ken")
    basic = base64.b64encode(b"anybody:t0ken").decode()
    for header in ("Bearer t0ken", "token t0ken", f"Basic {basic}"):
        found = http.get(f"{API}/contents/sub/x", headers={**OBJECT, "Authorization": header})
        assert content(found) == b"x"
    for header in ("", "Bearer other", "Basic ???", "Digest x"):
        for address, accept in ((f"{API}/contents/sub/x", OBJECT), (f"{API}/commits/HEAD", SHA)):
            refused = http.get(address, headers={**accept, "Authorization": header})
            assert refused.status_code == 404


def test_other_forms_of_an_answer_are_refused(
    cloud: LocalCloud, http: httpx.Client, folder: Path
) -> None:
    """What the local cloud does not imitate is not answered in some other form."""
    cloud.map_context("https://github.com/contoso/app.git", folder)

    assert http.get(f"{API}/commits/HEAD").status_code == 415
    assert http.get(f"{API}/contents/Dockerfile").status_code == 415
