"""Contexts: git repositories that stand for addresses, folders, uploads, nothing."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from localcloud.blobs import Blobs
from localcloud.builds.contexts import ContextError, Contexts
from localcloud.builds.job import BuildError
from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from tests import images
from tests.runs import carry_out, logged, of_task

URL = "https://github.com/contoso/app.git"
TOKEN = "ghp_right"
FAILED = (
    "failed to download context. Please check if the URL is incorrect. If it has credentials,"
    " please check if they are expired"
)

_OF_WHOM = ("NAME", "EMAIL")

pytestmark = pytest.mark.needs("git")


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody without any configuration; return what it says."""
    who = {f"GIT_{role}_{what}": "me" for role in ("AUTHOR", "COMMITTER") for what in _OF_WHOM}
    nothing = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={"PATH": os.environ["PATH"], **who, **nothing},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, **files: str) -> str:
    """Commit files, whose names have `__` for a slash; return the commit."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(name="repository")
def _repository(tmp_path: Path) -> Path:
    """A repository with the branches main and dev, the tag v1, and a change nobody committed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, Dockerfile="FROM scratch\nLABEL of=first\n", sub__Dockerfile="FROM scratch\n")
    git(folder, "tag", "v1")
    git(folder, "switch", "--quiet", "--create", "dev/one")
    commit(folder, Dockerfile="FROM scratch\nLABEL of=dev\n")
    git(folder, "switch", "--quiet", "main")
    commit(folder, Dockerfile="FROM scratch\nLABEL of=main\n")
    (folder / "Dockerfile").write_text("not committed")
    return folder


@pytest.fixture(name="contexts")
def _contexts(repository: Path) -> Contexts:
    contexts = Contexts(Blobs())
    contexts.map(URL, repository)
    return contexts


def label(folder: Path) -> str:
    """Return what a context's Dockerfile says."""
    return (folder / "Dockerfile").read_text().split("=")[-1].strip()


@pytest.mark.parametrize(
    ("address", "expected", "branch"),
    [
        (URL, "main", "main"),
        (URL.removesuffix(".git"), "main", "main"),
        (URL.replace("contoso", "Contoso"), "main", "main"),
        (f"{URL}#", "main", "main"),
        (f"{URL}#main", "main", "main"),
        (f"{URL}#dev/one", "dev", "dev/one"),
        (f"{URL}#v1", "first", "v1"),
        (f"{URL}#main:.", "main", "main"),
    ],
)
def test_a_branch_or_tag_is_checked_out(
    contexts: Contexts, repository: Path, tmp_path: Path, address: str, expected: str, branch: str
) -> None:
    """As it was committed; without one, the default branch; the repository stays as it is."""
    before = git(repository, "status", "--porcelain", "--branch")
    fetched = contexts.fetch(address, "", tmp_path / "context")
    assert (label(fetched.folder), fetched.branch) == (expected, branch)
    assert fetched.commit == git(repository, "rev-parse", branch)
    assert git(repository, "status", "--porcelain", "--branch") == before


@pytest.mark.parametrize("length", [7, 12, 40])
def test_a_commit_is_checked_out(
    contexts: Contexts, repository: Path, tmp_path: Path, length: int
) -> None:
    """By its hash, shortened or not."""
    wanted = git(repository, "rev-parse", "v1")
    fetched = contexts.fetch(f"{URL}#{wanted[:length]}", "", tmp_path / "context")
    assert (label(fetched.folder), fetched.commit) == ("first", wanted)


@pytest.mark.parametrize("ref", ["", "dev/one", "v1"])
def test_a_folder_is_the_context(contexts: Contexts, tmp_path: Path, ref: str) -> None:
    """`#ref:folder`, and `#:folder` on the default branch."""
    fetched = contexts.fetch(f"{URL}#{ref}:sub", "", tmp_path / "context")
    assert sorted(path.name for path in fetched.folder.iterdir()) == ["Dockerfile"]
    assert fetched.folder == tmp_path / "context" / "sub"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"{URL}#none", "error: pathspec 'none' did not match any file(s) known to git"),
        (f"{URL}#--all", "pathspec '--all' did not match"),
        (f"{URL}#0123456789abcdef", "pathspec '0123456789abcdef' did not match"),
        (f"{URL}#main:none", "the context has no folder none"),
        (f"{URL}#main:Dockerfile", "the context has no folder Dockerfile"),
        (f"{URL}#main:../..", "the context has no folder ../.."),
        ("https://github.com/contoso/other.git", "is not mapped to a folder or repository"),
        ("https://example.com/a.tar.gz", "the local cloud downloads no archives"),
        ("oci://a.azurecr.io/b:c", "is not mapped to a folder or repository"),
    ],
)
def test_what_is_not_there_fails(
    contexts: Contexts, tmp_path: Path, address: str, reason: str
) -> None:
    """In ACR's words, which are always the same, and with the reason."""
    with pytest.raises(ContextError) as raised:
        contexts.fetch(address, "", tmp_path / "context")
    assert raised.value.summary == FAILED
    assert reason in raised.value.reason
    assert str(raised.value) == f"{FAILED} ({raised.value.reason})"


def test_clones_and_work_trees_are_repositories(repository: Path, tmp_path: Path) -> None:
    """Bare ones, linked work trees, and branches that a clone has not checked out yet."""
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), "bare.git")
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "tree"), "dev/one")
    for number, (folder, address, expected) in enumerate(
        [
            ("bare.git", f"{URL}#dev/one", "dev"),
            ("bare.git", URL, "main"),
            ("clone", f"{URL}#dev/one", "dev"),
            ("tree", URL, "dev"),
            ("tree", f"{URL}#main", "main"),
        ]
    ):
        contexts = Contexts(Blobs())
        contexts.map(URL, tmp_path / folder)
        fetched = contexts.fetch(address, "", tmp_path / f"context{number}")
        assert label(fetched.folder) == expected, (folder, address)


def test_a_repository_without_commits_fails(tmp_path: Path) -> None:
    """There is nothing to check out."""
    git(tmp_path, "init", "--quiet", "empty")
    contexts = Contexts(Blobs())
    contexts.map(URL, tmp_path / "empty")
    with pytest.raises(ContextError, match="no commit yet"):
        contexts.fetch(URL, "", tmp_path / "context")


def test_files_that_archives_leave_out_are_checked_out(
    contexts: Contexts, repository: Path, tmp_path: Path
) -> None:
    """`export-ignore` is none of a clone's business; executable files stay so."""
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    commit(repository, **{".gitattributes": "secret export-ignore\n", "secret": "x"})
    folder = contexts.fetch(URL, "", tmp_path / "context").folder
    assert (folder / "secret").read_text() == "x"
    assert os.access(folder / "run.sh", os.X_OK)


@pytest.mark.parametrize("fragment", ["", "#:sub"])
def test_a_plain_folder_is_the_default_branch(tmp_path: Path, fragment: str) -> None:
    """With every file as it is now; links are copied as links."""
    source = tmp_path / "plain"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("now")
    (source / "sub" / "link").symlink_to("/nowhere")
    contexts = Contexts(Blobs())
    contexts.map(URL, source)
    fetched = contexts.fetch(f"{URL}{fragment}", "", tmp_path / "context")
    folder = fetched.folder if fragment else fetched.folder / "sub"
    assert (folder / "file").read_text() == "now"
    assert (folder / "link").is_symlink()
    assert (fetched.commit, fetched.branch) == ("", "")


def test_a_plain_folder_has_no_branches(tmp_path: Path) -> None:
    """Asking for one fails with that reason."""
    (tmp_path / "plain").mkdir()
    contexts = Contexts(Blobs())
    contexts.map(URL, tmp_path / "plain")
    with pytest.raises(ContextError, match="no git repository, so it has no dev"):
        contexts.fetch(f"{URL}#dev", "", tmp_path / "context")


@pytest.mark.parametrize("address", ["", "/dev/null"])
def test_no_context_is_an_empty_folder(tmp_path: Path, address: str) -> None:
    """As `az acr run ... /dev/null` asks for."""
    fetched = Contexts(Blobs()).fetch(address, "", tmp_path / "context")
    assert list(fetched.folder.iterdir()) == []


def uploaded(blobs: Blobs, data: bytes) -> str:
    """Put a blob where a context's upload would be; return its path."""
    blobs.share("myapps/source/a.tar.gz", lambda: (data, ""))
    return "myapps/source/a.tar.gz"


def packed(*members: tuple[str, bytes]) -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_an_upload_is_unpacked(tmp_path: Path) -> None:
    """Its files are the context."""
    blobs = Blobs()
    address = uploaded(blobs, packed(("sub/file", b"x")))
    folder = Contexts(blobs).fetch(address, "", tmp_path / "context").folder
    assert (folder / "sub" / "file").read_bytes() == b"x"


@pytest.mark.parametrize("data", [b"no archive", packed(("../outside", b"x"))])
def test_a_wrong_upload_fails(tmp_path: Path, data: bytes) -> None:
    """Neither what is no archive nor what would leave the folder is unpacked."""
    blobs = Blobs()
    address = uploaded(blobs, data)
    with pytest.raises(BuildError, match="cannot be unpacked"):
        Contexts(blobs).fetch(address, "", tmp_path / "context")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("token", "address", "reason"),
    [
        (TOKEN, URL, ""),
        ("", URL.replace("://", f"://{TOKEN}@"), ""),
        ("", URL.replace("://", f"://me:{TOKEN}@"), ""),
        ("ghp_wrong", URL, f"fatal: Authentication failed for '{URL}/'"),
        ("ghp_wröng", URL, f"fatal: Authentication failed for '{URL}/'"),
        ("", URL.replace("://", "://me:ghp_wrong@"), "fatal: Authentication failed"),
        (
            "",
            URL,
            "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
        ),
    ],
)
def test_a_token_is_asked_for(
    still: LocalCloud,
    apps: Registry,
    repository: Path,
    token: str,
    address: str,
    reason: str,
) -> None:
    """Without the right one the run fails as in ACR; neither token is in the log."""
    still.map_context(URL, repository, TOKEN)
    task = images.task(apps, "builder", None)
    task.properties["step"] |= {"contextPath": address, "contextAccessToken": token}
    run = carry_out(still, apps, of_task(apps, "builder"))

    assert run.properties["status"] == ("Failed" if reason else "Succeeded"), logged(run)
    if reason:
        assert reason not in logged(run)
        assert run.log[-1].startswith(f"Run ID: {run.run_id} failed after ")
        assert run.log[-1].endswith(f"s. Error: {FAILED}")
        assert reason in run.properties["runErrorMessage"]
        assert run.properties["outputImages"] == []
        assert task.properties["step"]["baseImageDependencies"] is None
    assert "ghp_" not in logged(run) + str(run.properties["runErrorMessage"])


def test_templates_name_branch_and_commit(
    still: LocalCloud, apps: Registry, repository: Path
) -> None:
    """A task's image is tagged by what was built."""
    still.map_context(URL, repository)
    task = images.task(apps, "builder", None)
    names = ["app:{{.Run.Commit}}", "app:{{.Run.Branch}}-x"]
    task.properties["step"] |= {"contextPath": f"{URL}#v1", "imageNames": names}
    run = carry_out(still, apps, of_task(apps, "builder"))
    tags = [image["tag"] for image in run.properties["outputImages"]]
    assert tags == [git(repository, "rev-parse", "v1"), "v1-x"]
