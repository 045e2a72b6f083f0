"""Where a run's files come from: an upload, a mapped folder, a mapped git repository, nothing."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.blobs import Blobs
from localcloud.builds.job import BuildError

NULL = "/dev/null"
"""What `az acr run` calls no context."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or a git repository that stands for an address.

    Attributes:
        folder: Where it is.
        token: What a client must show to read it; None if anybody may.
    """

    folder: Path
    token: str | None = field(repr=False)

    @property
    def git(self) -> Path | None:
        """The repository, if it is one."""
        for candidate in (self.folder / ".git", self.folder):
            if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
                return candidate
        return None

    def commit(self, ref: str) -> str | None:
        """Return the commit of a branch, tag or commit; None if there is none.

        A folder that is no repository has one branch, whatever it is called, whose commit
        changes with its files.
        """
        repository = self.git
        if repository is not None:
            return _commit(repository, ref) or None
        hashed = hashlib.sha1(usedforsecurity=False)
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            hashed.update(f"{path.relative_to(self.folder)}\0".encode() + path.read_bytes())
        return hashed.hexdigest()

    def file(self, commit: str, name: str) -> bytes | None:
        """Return a file as it is in a commit; None if it is not there, or no file."""
        repository = self.git
        if repository is not None:
            done = _git(repository, "cat-file", "blob", f"{commit}:{name}")
            return done.stdout if done.returncode == 0 else None
        path = (self.folder / name).resolve()
        inside = path.is_relative_to(self.folder.resolve()) and path.is_file()
        return path.read_bytes() if inside else None


@dataclass(frozen=True, slots=True)
class Context:
    """A run's files.

    Attributes:
        folder: The folder that builds begin in.
        commit: The commit that was checked out; empty if there is none.
        branch: The branch or tag that was asked for; empty if none was.
    """

    folder: Path
    commit: str = ""
    branch: str = ""


class Contexts:
    """Fetches contexts.

    Args:
        blobs: Where contexts were uploaded to.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._sources: dict[str, Source] = {}

    def map(self, url: str, folder: Path, token: str | None = None) -> None:
        """Let an address stand for a folder or a git repository."""
        self._sources[_key(url)] = Source(folder, token)

    def source(self, url: str) -> Source | None:
        """Return what stands for an address; None if nothing does."""
        return self._sources.get(_key(url))

    def fetch(self, address: str, token: str, folder: Path) -> Context:
        """Put a context's files into a folder, which is made.

        Args:
            address: A path of an upload, or an address with `#ref:folder`.
            token: The access token that the task or the request has for it.
            folder: Where to.

        Raises:
            BuildError: In the agent's words where they are known.
        """
        if address in ("", NULL):
            folder.mkdir()
            return Context(folder)
        uploaded = self._blobs.read(address)
        if uploaded is not None:
            folder.mkdir()
            _unpack(uploaded, folder)
            return Context(folder)
        url, _, fragment = address.partition("#")
        source = self.source(url)
        if source is None:
            kind = _unknown_kind(url)
            raise BuildError(f"failed to download context: {url} is not mapped{kind}")
        if source.token is not None and not secrets.compare_digest(source.token, token):
            # git's words when a host asks for credentials and refuses them.
            raise BuildError(
                "failed to download context: failed to git clone: fatal: Authentication failed"
                f" for '{url}/'"
            )
        ref, _, inside = fragment.partition(":")
        repository = source.git
        if repository is None:
            if ref:
                raise BuildError(
                    f"failed to download context: {url} is mapped to a folder that is no git"
                    f" repository, so it has no {ref}"
                )
            shutil.copytree(source.folder, folder)
            return Context(_inside(folder, inside))
        commit = _check_out(repository, ref, folder)
        return Context(_inside(folder, inside), commit, ref or _default_branch(repository))


def _unpack(data: bytes, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BuildError(f"the context cannot be unpacked: {error}") from error


def _unknown_kind(url: str) -> str:
    if url.startswith("oci://"):
        return "; the local cloud takes no context from an OCI artifact"
    if url.endswith((".tar.gz", ".tgz", ".tar")):
        return "; the local cloud downloads no archives"
    return " to a folder or repository"


def _inside(folder: Path, name: str) -> Path:
    chosen = (folder / (name or ".")).resolve()
    if not chosen.is_dir() or not chosen.is_relative_to(folder.resolve()):
        raise BuildError(f"the context has no folder {name}")
    return chosen


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Nothing of the user's own configuration, and nothing that would write to the repository.
    environment: Mapping[str, str] = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    command = ["git", "-c", f"safe.directory={repository}", "--git-dir", str(repository)]
    try:
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError("git is not installed, and the context is a git repository") from error


def _default_branch(repository: Path) -> str:
    done = _git(repository, "symbolic-ref", "--short", "HEAD")
    return done.stdout.decode().strip()


def _commit(repository: Path, ref: str) -> str:
    """Return the commit of a ref; empty if there is none."""
    if ref.startswith("-"):
        return ""
    found = _git(repository, "rev-parse", "--verify", "--quiet", f"{ref or 'HEAD'}^{{commit}}")
    return found.stdout.decode().strip() if found.returncode == 0 else ""


def _check_out(repository: Path, ref: str, folder: Path) -> str:
    """Put a commit's files into a folder; return the commit."""
    commit = _commit(repository, ref)
    if not commit:
        raise BuildError(
            f"failed to git checkout context: error: pathspec '{ref}' did not match any file(s)"
            " known to git"
        )
    archived = _git(repository, "archive", "--format=tar", commit)
    if archived.returncode != 0:
        raise BuildError(f"failed to git clone: {archived.stderr.decode(errors='replace')}")
    folder.mkdir()
    _unpack(archived.stdout, folder)
    return commit


def _key(url: str) -> str:
    return url.partition("#")[0].lower().removesuffix("/").removesuffix(".git")
