"""Where a run's files come from: an upload, a mapped folder or repository, an artifact, nothing.

Source of the words: the logs in Azure/azure-cli issues 11455, 20761 and 30033 and in
MicrosoftDocs/azure-docs issue 76450; they are the same for a wrong address, branch or token.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from localcloud.blobs import Blobs
from localcloud.builds.job import BuildError

NULL = "/dev/null"
"""What `az acr run` calls no context."""

_OCI = "oci://"

_FAILED = (
    "failed to download context. Please check if the URL is incorrect. If it has credentials,"
    " please check if they are expired"
)


class ContextError(BuildError):
    """A context cannot be fetched: ACR's words, and the reason, which ACR keeps to itself.

    Args:
        reason: What only the local cloud tells.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{_FAILED} ({reason})")
        self.reason = reason
        self.summary = _FAILED


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
        pointer = self.folder / ".git"
        if pointer.is_file():  # of a linked work tree or a submodule
            named = pointer.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
            return self.folder / named
        for candidate in (pointer, self.folder):
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
            return _commit_of(repository, ref) or None
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

    Attributes:
        tokens_end: When the tokens end that repositories are read with, where their host tells;
            None if it does not.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._sources: dict[str, Source] = {}
        self.tokens_end: datetime | None = None

    def map(self, url: str, folder: Path, token: str | None = None) -> None:
        """Let an address stand for a folder or a git repository."""
        self._sources[_key(url)] = Source(folder, token)

    def source(self, url: str) -> Source | None:
        """Return what stands for an address; None if nothing does."""
        return self._sources.get(_key(url))

    def fetch(
        self,
        address: str,
        token: str,
        folder: Path,
        pull: Callable[[str, Path], None] | None = None,
    ) -> Context:
        """Put a context's files into a folder, which is made.

        Args:
            address: A path of an upload, or an address with `#ref:folder`, or `oci://...`.
            token: The access token that the task or the request has for it.
            folder: Where to.
            pull: Pulls an artifact of a registry into a folder, as the run may.

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
        if address.lower().startswith(_OCI) and pull is not None:
            folder.mkdir()
            try:
                pull(address[len(_OCI) :], folder)
            except BuildError as error:
                raise ContextError(str(error)) from error
            return Context(folder)
        url, _, fragment = address.partition("#")
        url, given = _without_credentials(url)
        source = self.source(url)
        if source is None:
            raise ContextError(f"{url} is not mapped{_unknown_kind(url)}")
        _check_token(url, source, token or given)
        ref, _, inside = fragment.partition(":")
        repository = source.git
        if repository is None:
            if ref:
                raise ContextError(
                    f"{url} is mapped to a folder that is no git repository, so it has no {ref}"
                )
            # Links stay links: what they point to is none of the context.
            shutil.copytree(source.folder, folder, symlinks=True)
            return Context(_inside(folder, inside))
        commit = _check_out(repository, ref, folder)
        return Context(_inside(folder, inside), commit, ref or _default_branch(repository))


def is_remote(context: str) -> bool:
    """Tell whether a build's context is fetched from somewhere."""
    return "://" in context or context.startswith(("git@", "github.com/"))


def _without_credentials(url: str) -> tuple[str, str]:
    """Return an address without what git would sign in with, and that: user or password."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, name = host.rpartition("@")
    if not at:
        return url, ""
    return f"{scheme}{mark}{name}{slash}{path}", user.rpartition(":")[2]


def _check_token(url: str, source: Source, token: str) -> None:
    """Refuse what a host refuses; the reasons are git's own words.

    Raises:
        ContextError: There is no token, or it is another one.
    """
    if source.token is None or secrets.compare_digest(source.token.encode(), token.encode()):
        return
    if token:
        raise ContextError(f"fatal: Authentication failed for '{url}/'")
    host = "/".join(url.split("/")[:3])
    raise ContextError(f"fatal: could not read Username for '{host}': terminal prompts disabled")


def _unpack(data: bytes, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BuildError(f"the context cannot be unpacked: {error}") from error


def _unknown_kind(url: str) -> str:
    if url.endswith((".tar.gz", ".tgz", ".tar")):
        return "; the local cloud downloads no archives"
    return " to a folder or repository"


def _inside(folder: Path, name: str) -> Path:
    chosen = (folder / (name or ".")).resolve()
    if not chosen.is_dir() or not chosen.is_relative_to(folder.resolve()):
        raise ContextError(f"the context has no folder {name}")
    return chosen


def _git(
    repository: Path, *arguments: str, index: Path | None = None, tree: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    # Nothing of the user's own configuration, and nothing that would write to the repository.
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **({"GIT_INDEX_FILE": str(index)} if index else {}),
    }
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(repository.resolve())]
    if tree is not None:
        command += ["--work-tree", str(tree)]
    try:
        return subprocess.run(
            [*command, *arguments], env=environment, cwd=tree, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError("git is not installed, and the context is a git repository") from error


def _default_branch(repository: Path) -> str:
    done = _git(repository, "symbolic-ref", "--short", "HEAD")
    return done.stdout.decode().strip()


def _commit_of(repository: Path, ref: str) -> str:
    """Return the commit of a branch, tag or (short) hash; empty if there is none.

    What a clone knows only as a branch of its origin is a branch, too.
    """
    for name in (ref or "HEAD", f"refs/remotes/origin/{ref}"):
        found = _git(
            repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        if found.returncode == 0:
            return found.stdout.decode().strip()
    return ""


def _check_out(repository: Path, ref: str, folder: Path) -> str:
    """Put a commit's files into a folder; return the commit."""
    commit = _commit_of(repository, ref)
    if not commit:
        raise ContextError(
            f"error: pathspec '{ref}' did not match any file(s) known to git"
            if ref
            else "the repository has no commit yet"
        )
    folder.mkdir()
    # An index of its own, as the repository's must stay what it is.
    index = folder.with_name(f"{folder.name}.index")
    for arguments in (("read-tree", commit), ("checkout-index", "--all")):
        done = _git(repository, *arguments, index=index, tree=folder)
        if done.returncode != 0:
            raise ContextError(done.stderr.decode(errors="replace").strip())
    return commit


def _key(url: str) -> str:
    return url.partition("#")[0].lower().removesuffix("/").removesuffix(".git")
