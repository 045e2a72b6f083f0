"""Hosts on 127.0.0.1 that clients reach under real names, by TLS, for tests of what asks them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Self, cast
from urllib.parse import parse_qs, unquote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import trustme
from dulwich.objects import S_IFGITLINK, Blob, Commit, ObjectID, Tag, Tree
from dulwich.repo import MemoryRepo, Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

type Environ = dict[str, Any]
type Start = Callable[[str, list[tuple[str, str]]], object]
type App = Callable[[Environ, Start], Iterable[bytes]]

PERSON = b"A <a@example.com>"
LINK = 0o120000
FILE = 0o100644


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what the tests are about."""


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is
        """Say nothing."""


class Hosts:
    """WSGI apps under names of their own; `resolve` leads every name here.

    Args:
        folder: Where the CA bundle is written.
    """

    def __init__(self, folder: Path) -> None:
        self._apps: dict[str, App] = {}
        self._authority = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.stopped = threading.Event()
        self.ca_bundle = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_bundle))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.sni_callback = self._choose
        self._authority.issue_cert("127.0.0.1").configure_cert(self.tls)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.set_app(self._dispatch)
        self._server.socket = self.tls.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def mount(self, host: str, app: App) -> None:
        """Serve an app under a name."""
        self._apps[host] = app

    def resolve(self, host: str, port: int) -> list[Any]:
        """Resolve every name to this machine, whatever the port."""
        del host, port
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]

    def seen(self, host: str) -> list[str]:
        """Return the paths that a host was asked for."""
        return [path for name, path, _ in self.requests if name == host]

    def shown(self, host: str) -> set[str]:
        """Return what a host was shown as authorization; "" for nothing."""
        return {header for name, _, header in self.requests if name == host}

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            if name not in self._contexts:
                self._contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._authority.issue_cert(name).configure_cert(self._contexts[name])
            connection.context = self._contexts[name]

    def _dispatch(self, environ: Environ, start: Start) -> Iterable[bytes]:
        host = str(environ["HTTP_HOST"]).partition(":")[0]
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        shown = str(environ.get("HTTP_AUTHORIZATION", ""))
        self.requests.append((host, f"{environ['PATH_INFO']}{query}", shown))
        return self._apps[host](environ, start)


def answer(body: bytes | Iterable[bytes] = b"", status: str = "200 OK", **headers: str) -> App:
    """Return an app that always says the same."""

    def app(_: Environ, start: Start) -> Iterable[bytes]:
        start(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
        return [body] if isinstance(body, bytes) else body

    return app


def redirect(target: str, status: str = "302 Found") -> App:
    """Return an app that sends everybody elsewhere."""
    return answer(b"", status, Location=target)


def commit(
    repo: MemoryRepo,
    files: dict[str, bytes | tuple[int, bytes]],
    branch: bytes = b"refs/heads/main",
) -> ObjectID:
    """Put a commit of files into a repository, on a branch; return its id.

    A file is its content, or its mode and content.
    """
    root = _tree(repo, files)
    made = Commit()
    made.tree = root
    made.author = made.committer = PERSON
    made.author_time = made.commit_time = 1_700_000_000
    made.author_timezone = made.commit_timezone = 0
    made.message = b"a change"
    repo.object_store.add_object(made)
    repo.refs[branch] = made.id  # type: ignore[index] # bytes are references
    return made.id


def tag(repo: MemoryRepo, name: bytes, target: ObjectID) -> None:
    """Put an annotated tag on a commit."""
    made = Tag()
    made.name = name
    made.object = (Commit, target)
    made.tagger = PERSON
    made.tag_time, made.tag_timezone = 1_700_000_000, 0
    made.message = b"a release"
    repo.object_store.add_object(made)
    repo.refs[b"refs/tags/" + name] = made.id  # type: ignore[index] # bytes are references


def repository() -> MemoryRepo:
    """Return an empty repository whose default branch is main."""
    repo = MemoryRepo()
    repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")  # type: ignore[arg-type] # the same
    return repo


def _tree(repo: MemoryRepo, files: dict[str, bytes | tuple[int, bytes]]) -> ObjectID:
    tree = Tree()
    folders: dict[str, dict[str, bytes | tuple[int, bytes]]] = {}
    for path, content in files.items():
        first, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(first, {})[rest] = content
            continue
        mode, data = content if isinstance(content, tuple) else (FILE, content)
        if mode == S_IFGITLINK:
            tree.add(first.encode(), mode, ObjectID(data))
            continue
        blob = Blob.from_string(data)
        repo.object_store.add_object(blob)
        tree.add(first.encode(), mode, blob.id)
    for name, inner in folders.items():
        tree.add(name.encode(), 0o040000, _tree(repo, inner))
    repo.object_store.add_object(tree)
    return tree.id


def git_host(repos: dict[str, MemoryRepo]) -> App:
    """Return an app that serves repositories by git's smart protocol, as dulwich does."""
    backend = DictBackend({f"/{name}": cast("Any", repo) for name, repo in repos.items()})
    return cast("App", make_wsgi_chain(backend))


def real_git_host(folder: Path, repos: dict[str, MemoryRepo], *, leaves_out: bool = True) -> App:
    """Return an app that serves repositories by git's own program, in its protocol 2.

    Args:
        folder: Where they are put.
        repos: The repositories, by name.
        leaves_out: Whether the host knows filters.
    """

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        for name, repo in repos.items():
            _copy(repo, folder / name, leaves_out=leaves_out)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        names = ("PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "CONTENT_TYPE")
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                **{name: str(environ.get(name, "")) for name in names},
                "PATH": os.environ["PATH"],
                "CONTENT_LENGTH": str(length),
                "GIT_PROTOCOL": str(environ.get("HTTP_GIT_PROTOCOL", "")),
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            },
            input=environ["wsgi.input"].read(length),
            capture_output=True,
            check=False,  # what it says is what counts
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = [line.partition(": ")[::2] for line in head.decode().split("\r\n")]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        start(status, [(name, value) for name, value in headers if name != "Status"])
        return [body]

    return app


def _copy(repo: MemoryRepo, folder: Path, *, leaves_out: bool) -> None:
    """Put a repository where git finds it, as it is now."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with Repo.init_bare(folder) if new else Repo(str(folder)) as disk:
        for object_id in repo.object_store:
            if object_id not in disk.object_store:
                disk.object_store.add_object(repo.object_store[object_id])
        for ref in repo.refs.allkeys() - {b"HEAD"}:
            disk.refs[ref] = repo.refs[ref]
        disk.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")  # type: ignore[arg-type] # bytes
        config = disk.get_config()
        config.set("uploadpack", "allowFilter", value=leaves_out)
        config.write_to_path()


def locked(app: App, authorization: str) -> App:
    """Return an app that wants to be shown something."""

    def guarded(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") != authorization:
            start("401 Unauthorized", [("WWW-Authenticate", "Basic")])
            return [b""]
        return app(environ, start)

    return guarded


def lookup(repo: MemoryRepo, name: str) -> ObjectID | None:
    """Return the commit that a name means, as GitHub's API reads it."""
    candidates = ["HEAD"] if name == "HEAD" else [f"refs/{kind}{name}" for kind in KINDS]
    for candidate in candidates:
        if candidate.encode() in repo.refs.allkeys():
            return repo.get_peeled(candidate.encode())  # type: ignore[arg-type] # the same
    return None


KINDS = ("heads/", "tags/", "")


def github(repos: dict[str, MemoryRepo], prefix: str = "") -> App:
    """Return an imitation of GitHub's API for repositories by `OWNER/NAME`.

    It knows commits (as text, with an entity tag) and contents (as an object).
    """

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        path = unquote(str(environ["PATH_INFO"]).removeprefix(prefix)).strip("/").split("/")
        repo = repos.get("/".join(path[1:3]))
        if path[0] != "repos" or repo is None:
            start("404 Not Found", [])
            return [b'{"message": "Not Found"}']
        if path[3] == "commits":
            found = lookup(repo, "/".join(path[4:]))
            if found is None:
                start("422 Unprocessable Entity", [])
                return [b'{"message": "No commit found"}']
            tag = f'"{found.decode()}"'
            if environ.get("HTTP_IF_NONE_MATCH") == tag:
                start("304 Not Modified", [("ETag", tag)])
                return [b""]
            start("200 OK", [("ETag", tag), ("Content-Type", "application/vnd.github.sha")])
            return [found]
        commit_id = parse_qs(str(environ["QUERY_STRING"]))["ref"][0]
        status, body = _contents(repo, commit_id, path[4:])
        start(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return app


def _contents(repo: MemoryRepo, commit_id: str, path: list[str]) -> tuple[str, dict[str, object]]:
    found = repo.object_store[ObjectID(commit_id.encode())]
    assert isinstance(found, Commit)
    try:
        _, blob_id = repo.object_store[found.tree].lookup_path(  # type: ignore[attr-defined] # a tree
            repo.object_store.__getitem__, "/".join(path).encode()
        )
    except KeyError:
        return "404 Not Found", {"message": "Not Found"}
    blob = repo.object_store[blob_id]
    if not isinstance(blob, Blob):
        return "200 OK", {"type": "dir", "entries": []}
    content = base64.encodebytes(blob.data).decode()
    return "200 OK", {
        "type": "file",
        "encoding": "base64",
        "size": len(blob.data),
        "content": content,
    }


def azure_repos(repos: dict[str, MemoryRepo]) -> App:
    """Return an imitation of Azure Repos' API for repositories by `[ORGANIZATION/]PROJECT/NAME`."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        path = unquote(str(environ["PATH_INFO"])).strip("/")
        before, _, rest = path.partition("/_apis/git/repositories/")
        name, _, part = rest.partition("/")
        query = {key: values[0] for key, values in parse_qs(str(environ["QUERY_STRING"])).items()}
        repo = repos.get(f"{before}/{name}")
        assert query["api-version"] == "7.1"
        if repo is None:
            start("404 Not Found", [])
            return [b"{}"]
        body: object
        if part == "refs":
            wanted = f"refs/{query['filter']}"
            names = [ref.decode() for ref in repo.refs.allkeys() if ref.decode().startswith(wanted)]
            body = {
                "value": [
                    {
                        "name": ref,
                        "objectId": repo.refs[ref.encode()].decode(),  # type: ignore[index] # the same
                        "peeledObjectId": (repo.get_peeled(ref.encode()) or b"").decode(),  # type: ignore[arg-type] # the same
                    }
                    for ref in names
                ]
            }
        elif part == "items":
            status, found = _contents(
                repo, query["versionDescriptor.version"], query["path"].strip("/").split("/")
            )
            assert isinstance(found, dict)
            if query["$format"] == "octetStream" or status[:3] != "200":
                start(status, [("Content-Type", "application/octet-stream")])
                return [base64.b64decode(str(found.get("content", "")))]
            folder = found["type"] == "dir"
            body = (
                {"gitObjectType": "tree", "isFolder": True}
                if folder
                else {
                    "gitObjectType": "blob",
                    "isSymLink": query["path"] == "/link",
                }
            )
        else:
            body = {"defaultBranch": "refs/heads/main"}
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return app


def tar(*members: tuple[str, bytes | str], mode: str = "w:gz") -> bytes:
    """Return an archive of files, and of links where a member's content is a text."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload] # its modes
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                entry.linkname = content.removeprefix("=")
                archive.addfile(entry)
                continue
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def digest(content: bytes) -> str:
    """Return the digest of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def drip(stopped: threading.Event, piece: bytes = b"x") -> Iterator[bytes]:
    """Give a little now and then, without an end until the test has one."""
    while not stopped.wait(0.02):
        yield piece
