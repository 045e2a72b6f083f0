"""What files, hosts, registries, images, events and queues hold: honest seeds, and mutations.

Each kind of input has its seeds, its way to be changed, and the reader of the product that it is
for. Answers of servers are read by the product's own clients out of the bytes of HTTP; only TLS and
the connection are left out.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import replace
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast
from wsgiref.util import setup_testing_defaults

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict
from urllib3 import HTTPResponse as Response

from bench import dockerfiles, hostile_files
from rebuilder.core.acr import images
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.dockerfile._text import FILE_LIMIT
from rebuilder.core.events.dead_events import read_dead_events
from rebuilder.core.events.pushes import Push, read_event
from rebuilder.core.events.task_events import read_task_event
from rebuilder.core.foreign_json import read_json, read_object
from rebuilder.core.rebuilds import judged, messages
from rebuilder.foreign.registries import OciRegistries
from rebuilder.ports.foreign import Seen
from rebuilder.source_credentials import SourceCredential
from rebuilder.sources._archives import read_member
from rebuilder.sources._tools import Limits
from rebuilder.sources.files import HostedSources
from tests import hosts, packs

EVENTS = Path(__file__).resolve().parent.parent / "tests" / "events"
_KEPT = 300
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BASE = RegistryId("faa080af-c1d8-40ad-9cce-e1a450ca5b57", "base", "mybaseregistry")
TASK = TaskId(BASE, "build-app")
DIGEST = f"sha256:{'a' * 64}"
FILE = b"FROM one\n"

# JSON as it may be written in place of any value.
_VALUES = (
    *("null", "true", "[]", "{}", '""', "0", "-1", "1e999", "-1e999", "NaN", "Infinity", "1.5"),
    *("9" * 30, "9" * 5000, "0." + "1" * 5000, '"\\ud800"', '"\\udfff\\ud800x"', '"\\u0000"'),
    *("[" * 70 + "]" * 70, "[" * 100_000, '{"a":' * 100_000, '{"a":' * 70 + "1" + "}" * 70),
    *('"' + "x" * 70_000 + '"', '"\\u001b[31m"', '"' + "é" * 3000 + '"', '["a", 1, {"b": null}]'),
    *('"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-14:00"', '"2026-01-01"', '"soon"'),
    *(f'"{DIGEST}"', '"sha256:0"', '"latest"', '"linux"', '"amd64"', '"../../etc/passwd"', '"|"'),
    *("[" + "1," * 5000 + "1]", '{"digest": 7}', '{"layers": [1]}', '{"platform": 5}', "7"),
)
_PIECES = (
    *(b"[", b"{", b"}", b'"', b"\\", b",", b":", b"\\ud800", b"\0", b"\xff", b"\xed\xa0\x80"),
    *(b"\x1b[2J", b"9" * 400, b"1e999", b"\r\n", b"\n", b"ustar\0", b"PACK", b"0000", b"0001"),
    *(b"fff0", b"ERR ", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh9", b"../", b"/", b"a" * 300),
)
_STATUSES = (
    *("200 OK", "204 No", "206 Part", "301 Moved", "302 Found", "304 Not Modified", "307 There"),
    *("400 No", "401 Unauthorized", "403 Forbidden", "404 Not Found", "408 Slow", "409 No"),
    *("422 No", "429 Too Many", "500 No", "503 No", "999 What", "100 Continue", "199 Odd", "99 x"),
)
_TIMES = (
    *("5", "0", "-1", "9" * 20, "9" * 5000, "inf", "NaN", "1e9", "soon", "", "5, 10", "٣"),
    *("Fri, 02 Jan 2026 03:14:05 GMT", "Fri, 02 Jan 2026 03:14:05", "Fri, 31 Dec 9999 23:59:59"),
    *("Mon, 01 Jan 0001 00:00:00 +2359", f"Fri, 02 Jan {'9' * 3000} 00:00:00 GMT"),
)
_PLACES = (
    *("/x", "x", "//[evil/", "https://[evil/", "https://good.example℀evil/", "http://a.b/", ""),
    *("https://files.example.com/", "https://u:p@files.example.com/", "file:///etc/passwd", "\t"),
    *("https://files.example.com:99999/", "https://files.example.com:x/", "https:///", "https://[v1.x]/"),
    *("https://" + "a." * 5000, "x" * 9000, "https://ﬁles.example.com/", "https://169.254.169.254/"),
)  # fmt: skip
_CHALLENGES = (
    *("Basic", "Basic realm=x", "Bearer", "", "Bearer realm=", 'Bearer realm="https://[evil/t"'),
    *('Bearer realm="https://ghcr.io/token"', 'Bearer realm="https://evil.example/t"'),
    *('Bearer realm="https://ghcr.io/token",service="\xe9",scope="\t"', "Bearer " + "a" * 60_000),
    *('Bearer realm="' + "x" * 3000 + '"', 'Bearer realm="https://ghcr.io/token?a=b#c"'),
)
_HEADERS: tuple[tuple[str, Sequence[str]], ...] = (
    ("Retry-After", _TIMES),
    ("Date", _TIMES),
    ("ratelimit-remaining", ("0", "0;w=21600", f"0;w={'9' * 20}", "9" * 5000, "-1", "many")),
    ("ratelimit-reset", _TIMES),
    ("X-RateLimit-Remaining", ("0", "1", "9" * 5000)),
    ("X-RateLimit-Reset", (*_TIMES, "1767323645")),
    ("Location", _PLACES),
    ("WWW-Authenticate", _CHALLENGES),
    ("ETag", ('"e"', "e", '"' + "e" * 60_000 + '"', '"\xe9"', "W/", '"')),
    ("Docker-Content-Digest", (DIGEST, "latest", "sha256:" + "a" * 60_000, "\xff", "")),
    ("Content-Type", ("text/html", "application/x-git-upload-pack-result", "", "\xff")),
    ("Content-Encoding", ("gzip", "identity", "x")),
    ("Content-Length", ("0", "-1", "9" * 30, "9" * 5000, "x", "5")),
    ("Transfer-Encoding", ("chunked", "x")),
    ("Set-Cookie", ("a=b", "=" * 5000)),
    ("X-Long", ("x" * 60_000, "x" * 70_000)),
)


def changed(chance: random.Random, content: bytes) -> bytes:
    """Return bytes that are a little, or very much, other ones."""
    made = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        start = chance.randrange(len(made) + 1)
        end = min(len(made), start + chance.choice((0, 1, 1, 3, 30, 600)))
        match chance.randrange(6):
            case 0:
                made[start:end] = b""
            case 1:
                made[start:end] = chance.choice(_PIECES)
            case 2:
                made[start:end] = chance.randbytes(end - start or 1)
            case 3:
                made[start:start] = made[chance.randrange(len(made) + 1) :][: chance.randrange(600)]
            case 4:
                made[start:] = b""
            case _:
                made[start:end] = chance.choice(_PIECES) * chance.choice((1, 10, 1000))
    return bytes(made[: 4 * 1024 * 1024])


def changed_json(chance: random.Random, content: bytes) -> bytes:
    """Return JSON of which some values, or some bytes, are other ones."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return changed(chance, content)
    if chance.randrange(5) == 0:
        return changed(chance, content)
    for _ in range(chance.randrange(1, 4)):
        value = _marked(chance, value)
    first, *others = json.dumps(value).split(_MARK)
    # A list may have been made longer, its marks with it; the input is not to be.
    left = 1024 * 1024
    made = [first]
    for other in others:
        written = chance.choice(_VALUES)
        left -= len(written)
        made += [written if left > 0 else "7", other]
    return "".join(made).encode()


_PLAIN_MARK = "mark of a value"
_MARK = f'"{_PLAIN_MARK}"'


def _marked(chance: random.Random, value: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(value, dict | list) or not value or chance.randrange(6) == 0:
        return _PLAIN_MARK
    chosen = chance.choice(list(value if isinstance(value, dict) else range(len(value))))
    made = dict(value) if isinstance(value, dict) else list(value)
    match chance.randrange(8):
        case 0:
            del made[chosen]
        case 1 if isinstance(made, list):
            made *= chance.choice((2, 50))
        case _:
            made[chosen] = _marked(chance, made[chosen])
    return made


# Answers of servers.


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a server."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def wire(self) -> bytes:
        """Return it as it is sent, on a connection that is closed after it."""
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in self.headers)]
        head = "\r\n".join([*lines, "", ""])
        return head.encode("latin-1", "replace") + self.body


class _Socket:
    """What http.client asks of a connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._content)


def _response(request: requests.PreparedRequest, content: bytes) -> requests.Response:
    """Read an answer as requests and urllib3 do."""
    read = HTTPResponse(cast("Any", _Socket(content)), method=request.method)
    try:
        read.begin()
    except (HTTPException, OSError, ValueError) as error:
        raise requests.ConnectionError(str(error)) from error
    made = Response(
        body=cast("Any", read),
        headers=HTTPHeaderDict(read.msg.items()),
        status=read.status,
        reason=read.reason,
        preload_content=False,
        original_response=cast("Any", read),
        request_method=request.method,
    )
    return HTTPAdapter().build_response(request, made)


class Replay(BaseAdapter):
    """Answers in order, whatever is asked; the last one again and again."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        super().__init__()
        self._answers = list(answers)

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override] # what else is given
        """Give the next answer."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return _response(request, answer)

    def close(self) -> None:
        """Do nothing."""


class Record(BaseAdapter):
    """Has an app answer, and keeps what it says."""

    def __init__(self, apps: dict[str, hosts.App]) -> None:
        super().__init__()
        self._apps = apps
        self.replies: list[Reply] = []

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override] # what else is given
        """Ask the app of the host."""
        url = requests.compat.urlsplit(str(request.url))
        body = request.body if isinstance(request.body, bytes) else b""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": requests.compat.unquote(url.path),
            "QUERY_STRING": url.query,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{k.upper().replace('-', '_')}": v for k, v in request.headers.items()},
        }
        setup_testing_defaults(environ)
        told: list[tuple[str, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> object:
            told.append((status, headers))
            return written.append

        written += self._apps[str(url.hostname)](environ, start)
        reply = Reply(told[0][0], tuple(told[0][1]), b"".join(written))
        self.replies.append(reply)
        return _response(request, reply.wire())

    def close(self) -> None:
        """Do nothing."""


type Conversation = tuple[Reply, ...]

# Sixty times sixty times sixty as many take more memory to make than an input may take to read.
_MOST_HEADERS = 20_000


def _mutated_reply(chance: random.Random, reply: Reply) -> Reply:
    match chance.randrange(8):
        case 0:
            return replace(reply, status=chance.choice(_STATUSES))
        case 1 | 2:
            name, values = chance.choice(_HEADERS)
            kept = tuple(h for h in reply.headers if h[0].lower() != name.lower())
            return replace(reply, headers=(*kept, (name, chance.choice(values))))
        case 3 if reply.headers:
            gone = chance.randrange(len(reply.headers))
            return replace(reply, headers=reply.headers[:gone] + reply.headers[gone + 1 :])
        case 4:
            many = reply.headers * chance.choice((2, 60))
            return replace(reply, headers=many[:_MOST_HEADERS])
        case _:
            return replace(reply, body=changed_json(chance, reply.body))


def _refused(chance: random.Random) -> Reply:
    names = chance.sample(range(len(_HEADERS)), 3)
    headers = tuple((_HEADERS[n][0], chance.choice(_HEADERS[n][1])) for n in names)
    return Reply(chance.choice(_STATUSES), headers, chance.choice(_PIECES))


def mutated_conversation(chance: random.Random, seed: Conversation) -> tuple[bytes, ...]:
    """Return answers that are other ones, in their parts or in their bytes."""
    replies = list(seed)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(replies))
        match chance.randrange(6):
            case 0:
                replies.insert(at, _refused(chance))
            case 1 if len(replies) > 1:
                del replies[at]
            case _:
                replies[at] = _mutated_reply(chance, replies[at])
    answers = [reply.wire() for reply in replies]
    if chance.randrange(8) == 0:
        at = chance.randrange(len(answers))
        answers[at] = changed(chance, answers[at])
    return tuple(answers)


HOSTS = ("github.com", "api.github.com", "dev.azure.com", "git.example.com", "files.example.com")
GITHUB = "https://github.com/team/app.git"
AZURE = "https://dev.azure.com/org/project/_git/app"
GIT = "https://git.example.com/app.git"
TARBALL = "https://files.example.com/app.tar.gz"
ARTIFACT = "oci://ghcr.io/team/context:v1"
STATIC = ImageReference.parse("ghcr.io/team/static:1")
SECRETS = (SourceCredential("ghcr.io", "p", "u"), SourceCredential("git.example.com", "t"))


def _sources(adapter: BaseAdapter, *, secrets: bool) -> HostedSources:
    made = HostedSources(
        (*HOSTS, "ghcr.io"), credentials=SECRETS if secrets else (), limits=Limits(seconds=20)
    )
    made._tools.http._session.mount("https://", adapter)  # noqa: SLF001 - in place of connections
    return made


def _registries(adapter: BaseAdapter, *, secrets: bool) -> OciRegistries:
    made = OciRegistries(("ghcr.io",), credentials=SECRETS if secrets else (), seconds=20)
    made._http._session.mount("https://", adapter)  # noqa: SLF001 - in place of connections
    return made


def _read_file(context: str) -> Callable[[tuple[bytes, ...]], object]:
    def read(answers: tuple[bytes, ...]) -> object:
        sources = _sources(Replay(answers), secrets=len(answers[0]) % 2 == 0)
        try:
            return sources.read(context, "Dockerfile")
        finally:
            sources.close()

    return read


def _look(answers: tuple[bytes, ...]) -> object:
    registries = _registries(Replay(answers), secrets=len(answers[0]) % 2 == 0)
    known = Seen(DIGEST, '"e"') if len(answers[0]) % 3 == 0 else None
    try:
        seen = registries.look(STATIC, known)
    finally:
        registries.close()
    assert len(seen.etag) <= _KEPT  # noqa: S101 - what is kept is short
    assert seen.wait <= timedelta(hours=6)  # noqa: S101 - and no wait is too long
    return seen


def _repository() -> Any:  # noqa: ANN401 - dulwich's
    repo = hosts.repository()
    link: tuple[int, bytes] = (hosts.LINK, b"app/../Dockerfile")
    hosts.commit(repo, {"Dockerfile": FILE, "app/x": b"x" * 300, "link": link})
    return repo


def _recorded(context: str, apps: dict[str, hosts.App]) -> Conversation:
    record = Record(apps)
    sources = _sources(record, secrets=False)
    assert sources.read(context, "Dockerfile").content == FILE  # noqa: S101 - a seed is honest
    sources.close()
    return tuple(record.replies)


def _github_seeds() -> list[Conversation]:
    return [_recorded(GITHUB, {"api.github.com": hosts.github({"team/app": _repository()})})]


def _azure_seeds() -> list[Conversation]:
    app = hosts.azure_repos({"org/project/app": _repository()})
    return [_recorded(AZURE, {"dev.azure.com": app})]


def _tarball_seeds() -> list[Conversation]:
    made = hosts.tar(("Dockerfile", FILE), ("other", b"x"))
    there = _recorded(TARBALL, {"files.example.com": hosts.answer(made, ETag='"e"')})
    moved = Reply("302 Found", (("Location", "https://files.example.com/other"),), b"")
    return [there, (moved, *there)]


def _git_seeds() -> list[Conversation]:
    return [_recorded(GIT, {"git.example.com": hosts.git_host({"app.git": _repository()})})]


TITLE = "org.opencontainers.image.title"
CHALLENGE = 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a:pull"'


def _registry(manifest: bytes, blobs: Iterable[bytes], token: str, **headers: str) -> hosts.App:
    known = {hosts.digest(blob): blob for blob in blobs}
    told = [(name.replace("_", "-"), value) for name, value in headers.items()]

    def app(environ: hosts.Environ, start: hosts.Start) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        if path == "/token":
            start("200 OK", [])
            return [json.dumps({"token": token, "expires_in": 300}).encode()]
        if token and environ.get("HTTP_AUTHORIZATION") != f"Bearer {token}":
            start("401 Unauthorized", [("WWW-Authenticate", CHALLENGE)])
            return [b""]
        start("200 OK", told)
        if environ["REQUEST_METHOD"] == "HEAD":
            return [b""]
        return [manifest if "/manifests/" in path else known[path.rpartition("/")[2]]]

    return app


def _artifact_seeds() -> list[Conversation]:
    folder = hosts.tar(("app/Dockerfile", b"x"), ("Dockerfile", FILE))

    def layer(content: bytes, title: str, **more: str) -> dict[str, object]:
        annotations = {TITLE: title, **more}
        return {"digest": hosts.digest(content), "size": len(content), "annotations": annotations}

    plain = json.dumps({"schemaVersion": 2, "layers": [layer(FILE, "Dockerfile")]}).encode()
    unpack = {"io.deis.oras.content.unpack": "true"}
    packed = json.dumps({"layers": [layer(folder, ".", **unpack)]}).encode()
    return [
        _recorded(ARTIFACT, {"ghcr.io": _registry(manifest, (FILE, folder), token)})
        for manifest in (plain, packed)
        for token in ("", "t")
    ]


def _foreign_seeds() -> list[Conversation]:
    found: list[Conversation] = []
    limits = {"ratelimit_remaining": "99;w=21600", "Date": "Fri, 02 Jan 2026 03:04:05 GMT"}
    for token in ("", "t"):
        for told in ({"Docker_Content_Digest": DIGEST, "ETag": '"e"', **limits}, {}):
            record = Record({"ghcr.io": _registry(b'{"schemaVersion": 2}', (), token, **told)})
            registries = _registries(record, secrets=False)
            assert registries.look(STATIC, None).digest  # noqa: S101 - a seed is honest
            registries.close()
            found.append(tuple(record.replies))
    return found


# Git packs, whose names fit what is in them.


def _pack_seeds() -> list[bytes]:
    return [b""]


class _Objects:
    """Objects of a pack, some of them deltas on others, which fit or nearly so.

    Args:
        chance: What decides.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._wild = chance.choice(("", "", "commands", "sizes", "trees", "commits"))
        self.made: list[bytes] = []

    def add(self, kind: int, content: bytes) -> bytes:
        """Add an object; return its name."""
        if self._wild == {packs.TREE: "trees", packs.COMMIT: "commits"}.get(kind):
            content = changed(self._chance, content)
        # What a delta stands on is a part of what it makes: of a tree that is none.
        may = kind == packs.BLOB or self._wild
        if may and self._chance.randrange(3) == 0 and len(content) > 1:
            self._add_delta(kind, content)
        else:
            self.made.append(packs.whole(kind, content))
        return packs.name_of(kind, content)

    def _add_delta(self, kind: int, content: bytes) -> None:
        chance = self._chance
        base = content[: chance.randrange(1, len(content))]
        whole = packs.whole(kind, base)
        rest = content[len(base) :]
        pieces = [rest[at : at + 127] for at in range(0, len(rest), 127)]
        commands = packs.copied(0, len(base)) + b"".join(bytes([len(p)]) + p for p in pieces)
        before, after = len(base), len(content)
        on: bytes | int = len(whole)
        if chance.randrange(2):
            on = packs.name_of(kind, base) if chance.randrange(4) else chance.randbytes(20)
        if self._wild == "commands":
            commands = changed(chance, commands)
        if self._wild == "sizes":
            before, after = chance.choice((before, 0, 1 << 40)), chance.choice((after, 1 << 30, 0))
            on = chance.choice((on, 0, 1, 10_000))
        self.made += [whole, packs.delta(on, before, after, commands)]


_CONTENTS = (FILE, b"", b"x" * 3000, b"app/x", b"../x", b"\xff/" * 99)
_MODES = (b"100644", b"120000", b"40000", b"160000", b"0", b"9", b"-1", b"7" * 40)


def _made_pack(chance: random.Random, _: bytes) -> tuple[bytes, ...]:
    """Return a host's answers with a pack that fits together, or nearly so."""
    objects = _Objects(chance)
    blob = objects.add(packs.BLOB, chance.choice(_CONTENTS))
    tree = objects.add(packs.TREE, packs.entry(b"100644", b"x", blob))
    mode = b"100644" if chance.randrange(3) else chance.choice(_MODES)
    top = packs.entry(mode, b"Dockerfile", blob if chance.randrange(4) else tree)
    root = objects.add(packs.TREE, top + packs.entry(b"40000", b"app", tree))
    commit = objects.add(packs.COMMIT, packs.commit_of(root))
    if chance.randrange(4) == 0:
        target = chance.choice((commit, root, chance.randbytes(20))).hex().encode()
        told = b"object " + target + b"\ntype commit\ntag v\ntagger " + packs.PERSON + b"\n\nx"
        commit = objects.add(packs.TAG, changed(chance, told) if chance.randrange(2) else told)
    if chance.randrange(6) == 0:
        chance.shuffle(objects.made)
    count = chance.choice((*[None] * 12, 0, 1, 1 << 31))
    data = packs.pack(*objects.made, count=count)
    data = packs.summed(changed(chance, data) if chance.randrange(6) == 0 else data)
    return _conversation(commit, data)


def _conversation(commit: bytes, data: bytes) -> tuple[bytes, ...]:
    kind = "application/x-git-upload-pack-"
    first = Reply(
        "200 OK", (("Content-Type", f"{kind}advertisement"),), packs.advertisement(commit)
    ).wire()
    last = Reply("200 OK", (("Content-Type", f"{kind}result"),), packs.upload(commit, data)).wire()
    # Once for the branch, once before the pack.
    return first, first, last


# Archives.


def _archive_seeds() -> list[bytes]:
    members: tuple[tuple[str, bytes | str], ...] = (
        *(("app/Dockerfile", b"FROM two\n"), ("Dockerfile", FILE), ("here", "app")),
        *(("deep/" * 30 + "x", b"x"), ("again", "=app/Dockerfile"), ("big", bytes(3000))),
    )
    found = [_plain_tar(members, form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    found.append(hosts.tar(*members, mode="w"))
    link = tarfile.TarInfo("Dockerfile")
    link.type, link.linkname = tarfile.SYMTYPE, "app/" * 40
    for kind in (b"L", b"K", b"x", b"g", b"S"):
        about = tarfile.TarInfo("about")
        about.type, about.size = kind, 9
        head = about.tobuf(tarfile.GNU_FORMAT) + b"9 path=a\n".ljust(512, b"\0")
        found.append(head * 3 + found[0])
        found.append(head * 1500 + found[0])
        found.append(link.tobuf(tarfile.GNU_FORMAT) + head)
    return found


def _plain_tar(members: Iterable[tuple[str, bytes | str]], form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name * (1 if form == tarfile.GNU_FORMAT else 2))
            entry.mtime = 1.5
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


_PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda data: gzip.compress(data, mtime=0),
    bz2.compress,
    lambda data: lzma.compress(data, preset=0),
    lambda data: gzip.compress(data[:700], mtime=0) + gzip.compress(data[700:], mtime=0),
)


def _overwritten(chance: random.Random, data: bytes) -> bytes:
    """Return an archive whose blocks stay where they are, with other bytes in their fields."""
    made = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        block = chance.randrange(len(made) // 512) * 512
        # Name, mode, size, kind, link, magic, sparse map, prefix.
        at = block + chance.choice((0, 100, 124, 124, 156, 156, 157, 257, 345, 386, 482, 504))
        value = chance.choice((b"\xff", b"\x80", b"\0", b"7", b"9", b"-1", b"x", b"g", b"L", b"K"))
        value *= chance.choice((1, 1, 12, 100))
        made[at : at + len(value)] = value
    return bytes(made[: len(data)])


def _sum_mended(data: bytes) -> bytes:
    """Return an archive whose headers fit their sums again."""
    made = bytearray(data)
    for at in range(0, len(made) - 511, 512):
        if made[at + 257 : at + 262] == b"ustar":
            made[at + 148 : at + 156] = b" " * 8
            made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


def _mutated_archive(chance: random.Random, seed: bytes) -> bytes:
    data = chance.choice((changed, _overwritten, _overwritten))(chance, seed)
    if chance.randrange(5):
        data = _sum_mended(data)
    packed = chance.choice(_PACKERS)(data)
    return changed(chance, packed) if chance.randrange(5) == 0 else packed


def _read_archive(content: bytes) -> object:
    return read_member(io.BytesIO(content), "Dockerfile", Limits(), lambda: None)


# Images.


def _image_seeds() -> list[bytes]:
    platform = {"os": "linux", "architecture": "amd64"}
    named = {"org.opencontainers.image.base.name": "node:9", "x": "y"}
    layers = [{"digest": DIGEST, "size": 7}, {"digest": DIGEST}]
    return [
        json.dumps(value).encode()
        for value in (
            {"manifests": [{"digest": DIGEST, "platform": platform, "annotations": named}] * 3},
            {"config": {"digest": DIGEST, "size": 7}, "layers": layers, "annotations": named},
            {"rootfs": {"type": "layers", "diff_ids": [DIGEST] * 3}, "history": [{"a": "b"}] * 5},
        )
    ]


def _read_image(content: bytes) -> object:
    diff_ids = images.diff_ids(content)
    manifest = read_object(content)
    chosen = images.entry_for(manifest, "linux/amd64")
    found = images.layers(manifest), images.config_of(manifest), images.annotations_of(manifest)
    if chosen is not None:
        images.digest_of(chosen.get("digest"), "it")
    return (diff_ids, *found)


# Events and messages.


def _event_seeds() -> list[bytes]:
    events = [json.loads(path.read_text()) for path in sorted(EVENTS.glob("*.json"))]
    change = {
        "id": "e",
        "topic": "/subscriptions/s1/resourceGroups/g",
        "subject": str(TASK),
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "eventTime": "2026-01-02T03:04:05Z",
        "data": {"resourceUri": str(TASK), "claims": {"name": "Ada"}},
    }
    added = {"deadLetterReason": "TimeToLive", "deliveryAttempts": 30, "publishTime": "2026-01-01"}
    broker = {"brokerProperties": {"deadletterreason": "x", "deliveryresult": {"a": 1}}}
    singles = [*events, change]
    blobs = [[{**event, **added} for event in singles], [{**change, **broker}], singles[0]]
    return [json.dumps(value).encode() for value in (*singles, *blobs)]


def _read_events(content: bytes) -> object:
    letters = read_dead_events("blob", content, NOW)
    for letter in letters:
        assert letter.id  # noqa: S101 - it can be named
        assert len(letter.body) <= 256 * 1024  # noqa: S101 - and kept
    try:
        # As the worker reads it, which has no bounds.
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raw = None
    read = read_event(raw, {BASE})
    read_task_event(raw, {BASE})
    if isinstance(read, Push):
        body = messages.PlanRebuilds(read).encode()
        assert messages.PlanRebuilds.decode(body).push == read  # noqa: S101 - it can be sent
        assert len(base64.b64encode(body.encode())) < 48 * 1024  # noqa: S101 - in a queue
    else:
        read.sentence().encode()
    return letters


def _message_seeds() -> list[bytes]:
    push = Push(BASE, "images/node", "9", DIGEST, NOW, "event-1")
    sent = (
        messages.PlanRebuilds(push),
        messages.StartBuild(push, TASK, NOW, forced=True, wait=3),
        messages.TrackBuild(TASK, 1, 2),
        messages.Refresh.of(TASK, NOW, 3),
        messages.Refresh(BASE, None, NOW),
    )
    bodies = [message.encode() for message in sent]
    return [body.encode() for body in (*bodies, *(messages.put_back(b, NOW) for b in bodies))]


def _read_message(content: bytes) -> object:
    body = content.decode(errors="replace")
    clean = messages.afresh(body)
    assert messages.afresh(clean) == clean  # noqa: S101 - one letter, however often
    messages.tried_since(body)
    found: list[object] = []
    readers: tuple[tuple[str, Callable[[str], Any]], ...] = (
        (messages.PUSHES, messages.PlanRebuilds.decode),
        (messages.BUILDS, messages.StartBuild.decode),
        (messages.RUNS, messages.TrackBuild.decode),
        (messages.REFRESH, messages.Refresh.decode),
    )
    for queue, decode in readers:
        problem = judged.problem(queue, body)
        if problem is not None:
            assert problem.isascii()  # noqa: S101 - it is told in plain characters
            continue
        message = decode(body)
        assert decode(message.encode()) == message  # noqa: S101 - what is read can be sent
        messages.put_back(body, NOW)
        found.append(message)
    return found or read_json(content)


# All of them.


@dataclass(frozen=True, slots=True)
class Kind[Seed, Input]:
    """A kind of input.

    Attributes:
        seeds: What is honest.
        mutate: Makes an input of it.
        read: What the product does with an input.
        large: Inputs that are given as they are, before all others.
        seconds: How long one may take, of processor time.
        memory: How many bytes it may take.
    """

    seeds: Callable[[], Sequence[Seed]]
    mutate: Callable[[random.Random, Seed], Input]
    read: Callable[[Input], object]
    large: Sequence[Input] = ()
    seconds: float = 1.0
    memory: int = 128 * 2**20


def _answers(
    seeds: Callable[[], Sequence[Conversation]], read: Callable[[tuple[bytes, ...]], object]
) -> Kind[Conversation, tuple[bytes, ...]]:
    return Kind(seeds, mutated_conversation, read)


KINDS: dict[str, Kind[Any, Any]] = {
    "dockerfiles": Kind(
        dockerfiles.files,
        dockerfiles.mutated_dockerfile,
        hostile_files.read_docker,
        tuple(content[:FILE_LIMIT] for content in dockerfiles.LARGE),
    ),
    "task-files": Kind(
        hostile_files.task_files,
        hostile_files.mutated_task_file,
        hostile_files.read_task,
        hostile_files.LARGE_TASK_FILES,
    ),
    "values-files": Kind(
        hostile_files.values_files,
        hostile_files.mutated_values,
        hostile_files.read_values,
        hostile_files.LARGE_TASK_FILES,
    ),
    "deps": Kind(
        lambda: [*hostile_files.task_files(), *dockerfiles.files()],
        hostile_files.mutated_task_file,
        hostile_files.read_deps,
        (*hostile_files.LARGE_TASK_FILES, *dockerfiles.LARGE),
        seconds=3.0,
        memory=256 * 2**20,
    ),
    "archives": Kind(_archive_seeds, _mutated_archive, _read_archive),
    "tarballs": _answers(_tarball_seeds, _read_file(TARBALL)),
    "packs": Kind(_pack_seeds, _made_pack, _read_file(GIT)),
    "git": _answers(_git_seeds, _read_file(GIT)),
    "github": _answers(_github_seeds, _read_file(GITHUB)),
    "azure-repos": _answers(_azure_seeds, _read_file(AZURE)),
    "artifacts": _answers(_artifact_seeds, _read_file(ARTIFACT)),
    "registries": _answers(_foreign_seeds, _look),
    "images": Kind(_image_seeds, changed_json, _read_image),
    "events": Kind(_event_seeds, changed_json, _read_events),
    "messages": Kind(_message_seeds, changed_json, _read_message),
}
"""Every kind of input, by its name."""

_MANY = 1000
"""Of fewer inputs, the large ones would be too many."""


def inputs(kind: str, count: int, seed: int) -> Iterator[Any]:
    """Return so many inputs of a kind, the same ones for the same seed."""
    chosen = KINDS[kind]
    large = chosen.large if count >= _MANY else ()
    yield from large
    seeds = list(chosen.seeds())
    chance = random.Random(f"{kind} {seed}")  # noqa: S311 - no secret
    for _ in range(count - len(large)):
        yield chosen.mutate(chance, chance.choice(seeds))
