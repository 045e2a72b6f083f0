"""Where a task's build context is: the forms of address that ACR Tasks takes.

Source of the rules: learn.microsoft.com, "ACR Tasks overview", context locations; the agent,
github.com/Azure/acr-builder, scan/context.go and util/url.go; of the fragment: BuildKit,
util/gitutil/git_url.go. An address that ACR Tasks itself would refuse may still be taken here: a
task that cannot run is nobody's mistake of this product.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from rebuilder.core.acr.references import digest_problem, path_problem, tag_problem
from rebuilder.errors import SourceUnavailable

NULL = "/dev/null"
"""What `az acr run` and `az acr task create` call no context."""

_OCI = "oci://"
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_SCP = re.compile(r"(?:[^/@\s]+@)?[^/@:\s]+\.[^/@:\s]+:(?!//)\S*")
_ARCHIVE = re.compile(r"\.(?:tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz|zst|zstd|lzma|z))$", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HALF = re.compile(r"[\ud800-\udfff]")
_LONGEST = 4096
_NO_WAY = "only https addresses are read"


def ref_names(ref: str) -> list[str]:
    """The full names that a ref of a context may stand for, in the order in which git looks."""
    if ref.startswith("refs/"):
        return [ref]
    return [f"refs/{kind}{ref}" for kind in ("heads/", "tags/", "")]


class GitContext(Struct, frozen=True):
    """A git repository.

    Attributes:
        url: Its address: https, without credentials, fragment and slash at the end.
        host: The host, lower case, with its port unless that is 443.
        ref: A branch, a tag, a full commit, or another name such as `pull/7/head`; "" for the
            default branch.
        folder: The folder inside that is the context's root, without slashes at its ends; "" for
            the repository's root.
    """

    url: str
    host: str
    ref: str = ""
    folder: str = ""

    @property
    def commit(self) -> str:
        """The commit, if `ref` is a full one; else ""."""
        return self.ref if _COMMIT.fullmatch(self.ref) else ""

    @property
    def path(self) -> str:
        """The repository's path on its host, without `.git`."""
        return unquote(urlsplit(self.url).path).strip("/").removesuffix(".git")


class AzureReposContext(Struct, frozen=True):
    """A git repository of Azure Repos, under either of its two hosts.

    Attributes:
        url: Its address without credentials and fragment.
        host: `dev.azure.com`, or `ORGANIZATION.visualstudio.com`, which is asked itself.
        root: What the paths of its API begin with: `https://HOST[/ORGANIZATION]`.
        project: The project, decoded.
        repository: The repository, decoded.
        ref: As in GitContext.
        folder: As in GitContext.
    """

    url: str
    host: str
    root: str
    project: str
    repository: str
    ref: str = ""
    folder: str = ""

    @property
    def commit(self) -> str:
        """The commit, if `ref` is a full one; else ""."""
        return self.ref if _COMMIT.fullmatch(self.ref) else ""


class TarballContext(Struct, frozen=True):
    """An archive on a web server.

    Attributes:
        url: Its address without user name and password; a query may hold a signature, so it is
            not for people.
        host: As in GitContext.
    """

    url: str
    host: str


class OciContext(Struct, frozen=True):
    """An artifact of a registry.

    Attributes:
        registry: As the host of GitContext.
        repository: The repository.
        reference: A tag or a digest.
    """

    registry: str
    repository: str
    reference: str


class UploadedContext(Struct, frozen=True):
    """Files that somebody uploaded to ACR's own store, which hands nothing out."""

    path: str


class NoContext(Struct, frozen=True):
    """No files at all: `/dev/null`, or nothing."""


type Context = (
    GitContext | AzureReposContext | TarballContext | OciContext | UploadedContext | NoContext
)


def parse_context(text: str) -> Context:
    """Read a context as a task names it.

    Raises:
        SourceUnavailable: It is an address that cannot be read, with the reason. The message
            holds no credentials.
    """
    text = text.strip()
    # Before any pattern is tried: some look at each letter for each.
    if len(text) > _LONGEST:
        raise SourceUnavailable(f"the context is longer than {_LONGEST} characters")
    if _HALF.search(text):
        raise SourceUnavailable("the context holds half a character, which no address has")
    if text in ("", NULL):
        return NoContext()
    if text.lower().startswith(_OCI):
        return _oci(text[len(_OCI) :])
    # docker takes this form without a scheme; so does the agent.
    if text.startswith("github.com/"):
        text = f"https://{text}"
    scheme = _SCHEME.match(text)
    if scheme is None:
        if _SCP.fullmatch(text):
            raise SourceUnavailable(f"the context is read by ssh: {_NO_WAY}")
        return UploadedContext(text)
    name = scheme[0].removesuffix("://").lower()
    if name != "https":
        raise SourceUnavailable(f"the context is read by {name}: {_NO_WAY}")
    return _web(text)


def public_address(context: Context) -> str:
    """Return a context for people: without credentials and without what may be a signature."""
    match context:
        case GitContext() | AzureReposContext():
            fragment = f"{context.ref}:{context.folder}".rstrip(":")
            return f"{context.url}#{fragment}" if fragment else context.url
        case TarballContext():
            parts = urlsplit(context.url)
            return f"https://{parts.netloc}{parts.path}"
        case OciContext():
            mark = "@" if ":" in context.reference else ":"
            return f"{_OCI}{context.registry}/{context.repository}{mark}{context.reference}"
        case UploadedContext():
            return context.path.partition("?")[0]
        case NoContext():
            return NULL


def file_path(folder: str, path: str) -> str:
    """Return the path of a file from a context's root, without `.`, `..` and doubled slashes.

    Args:
        folder: The folder that `path` is relative to, from the root.
        path: The file.

    Raises:
        SourceUnavailable: It is no file inside the context.
    """
    if "\x00" in path or "\x00" in folder:
        raise SourceUnavailable("the path of the build file holds a zero byte")
    if len(path) > _LONGEST or _HALF.search(path):
        raise SourceUnavailable("the path of the build file is none: too long, or half a character")
    clean = posixpath.normpath(posixpath.join("/", folder, path.lstrip("/")))
    # Not by looking at the result: normpath drops every .. that would lead above the root.
    depth = 0
    for part in f"{folder}/{path}".split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            raise SourceUnavailable(f"{path!r} is outside of the context")
    clean = clean.lstrip("/")
    if not clean:
        raise SourceUnavailable(f"{path!r} is no file of the context")
    return clean


def _web(text: str) -> GitContext | AzureReposContext | TarballContext:
    try:
        parts = urlsplit(text)
        host = _host(parts)
    except ValueError as error:
        raise SourceUnavailable("the context is not an address: its host cannot be read") from error
    if _CONTROL.search(text):
        raise SourceUnavailable("the context is not an address: it holds white space")
    path = parts.path.rstrip("/")
    azure_repos = _azure_repos(parts, host)
    if azure_repos is not None:
        return azure_repos
    if path.endswith(".git") or _is_github(host, path):
        if parts.query:
            raise SourceUnavailable(
                "the context is a git repository with a query, which no host has"
            )
        ref, folder = _fragment(parts.fragment)
        return GitContext(f"https://{host}{path}", host, ref, folder)
    # Everything else is downloaded and unpacked, whatever it is called.
    query = f"?{parts.query}" if parts.query else ""
    return TarballContext(f"https://{host}{parts.path}{query}", host)


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower().rstrip(".")
    if ":" in host:
        host = f"[{host}]"
    if not _HOST.fullmatch(host):
        raise ValueError(host)
    return host if parts.port in (None, 443) else f"{host}:{parts.port}"


def _is_github(host: str, path: str) -> bool:
    """Tell whether it is a repository's page on GitHub, whose `.git` is often left out."""
    return host == "github.com" and path.count("/") == 2 and not _ARCHIVE.search(path)  # noqa: PLR2004 - /OWNER/REPOSITORY


def _azure_repos(parts: SplitResult, host: str) -> AzureReposContext | None:
    names = [unquote(name) for name in parts.path.split("/") if name]
    if host == "dev.azure.com":
        root = f"https://{host}/{parts.path.split('/')[1]}" if names else ""
        names = names[1:]
    elif host.endswith(".visualstudio.com"):
        root = f"https://{host}"
        # The collection of old organisations, which is there whether it is written or not.
        names = names[1:] if names[:1] == ["DefaultCollection"] else names
    else:
        return None
    if parts.query:
        return None
    match names:
        case [project, "_git", repository]:
            pass
        case ["_git", repository]:
            project = repository
        case _:
            return None
    ref, folder = _fragment(parts.fragment)
    url = f"https://{host}{parts.path.rstrip('/')}"
    return AzureReposContext(url, host, root, project, repository, ref, folder)


def _fragment(text: str) -> tuple[str, str]:
    """Return ref and folder of `REF:FOLDER`, or of BuildKit's `#ref=REF,subdir=FOLDER`."""
    if text.startswith("#"):
        named = dict(field.partition("=")[::2] for field in text[1:].split(",") if field)
        unknown = {name.lower() for name in named} - {"ref", "commit", "subdir", "branch", "tag"}
        if unknown:
            raise SourceUnavailable("the context's fragment names what BuildKit does not know")
        named = {name.lower(): value for name, value in named.items()}
        ref = named.get("commit") or next(
            (named[name] for name in ("ref", "branch", "tag") if named.get(name)), ""
        )
        return _ref(ref), _folder(named.get("subdir", ""))
    ref, _, folder = text.partition(":")
    return _ref(ref), _folder(folder)


def _ref(text: str) -> str:
    ref = unquote(text)
    if ref.startswith("-") or ".." in ref or _CONTROL.search(ref):
        raise SourceUnavailable("the context's branch is no name that git takes")
    return ref.removeprefix("refs/heads/") or ""


def _folder(text: str) -> str:
    folder = posixpath.normpath(unquote(text).strip("/") or ".")
    if folder.split("/")[0] == ".." or "\x00" in folder:
        raise SourceUnavailable("the context's folder is outside of its repository")
    return "" if folder == "." else folder


def _oci(text: str) -> OciContext:
    host, slash, rest = text.partition("/")
    name, at, digest = rest.partition("@")
    repository, colon, tag = name.partition(":")
    host = host.lower().removesuffix(":443")
    problem = None if slash and _HOST.fullmatch(host.partition(":")[0]) else "its registry"
    if problem is None:
        problem = path_problem(repository)
    if problem is None and colon:
        problem = tag_problem(tag)
    if problem is None and at:
        problem = digest_problem(digest)
    if "@" in host or "@" in name:
        problem = "it holds credentials"
    if problem:
        raise SourceUnavailable(f"the context is not an artifact's address: {problem}")
    # oras, by which the agent pulls, takes no artifact without tag and digest; latest is docker's.
    return OciContext(host, repository, digest or tag or "latest")
