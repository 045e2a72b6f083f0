"""What BuildSources must not do: ask what it should not, or read without an end."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import socket
import ssl
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from dulwich.object_store import DiskObjectStore

from localcloud.network import Network
from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard
from rebuilder._net.http import Http
from rebuilder.errors import SourceUnavailable, TransientError
from rebuilder.sources._cache import Recent
from rebuilder.sources._tools import Limits
from rebuilder.sources.files import HostedSources
from rebuilder.sources.git._git import _clocked
from rebuilder.sources.git._packs import check_pack
from tests import hosts, packs
from tests.hosts import Hosts
from tests.patience import SECONDS

FILES = "https://files.example.com/app.tar.gz"
HERE = ("files.example.com", "git.example.com", "api.github.com", "github.com")
SMALL = Limits(file=1000, download=20_000, unpacked=100_000, entries=50, seconds=SECONDS)
SOON = Limits(seconds=0.3)
type Made = Callable[..., HostedSources]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="sources")
def _sources(net: Hosts) -> Iterator[Made]:
    made: list[HostedSources] = []

    def make(allowed: tuple[str, ...] = (), **options: Any) -> HostedSources:  # noqa: ANN401 - the constructor's own
        values = {
            "private_hosts": HERE,
            "ca_bundle": str(net.ca_bundle),
            "resolve": net.resolve,
            "limits": SMALL,
        }
        made.append(HostedSources(allowed, **{**values, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def resolver(*addresses: str) -> Callable[[str, int], list[Any]]:
    """Return what resolves every name to given addresses."""

    def resolve(host: str, port: int) -> list[Any]:
        del host
        kinds = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            (kinds[":" in address], socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    return resolve


# Hosts and addresses.


@pytest.mark.parametrize(
    "context",
    [
        "https://example.com/x.tgz",
        "https://git.example.org/x.git",
        "https://files.example.com:8443/x.tgz",
        "https://github.com/a/b.git",
        "https://api.github.com/a/b.git",
        "https://dev.azure.com/a/b/_git/c",
        "https://github.com.example.com/a/b.git",
        "oci://example.com/a:b",
        "https://azurecr.io/x.tgz",
    ],
)
def test_a_host_that_is_not_listed_is_not_asked(net: Hosts, sources: Made, context: str) -> None:
    """Only listed hosts are asked, and the message names the setting."""
    with pytest.raises(SourceUnavailable, match="add it to REBUILDER_SOURCE_HOSTS"):
        sources(("*.azurecr.io",), private_hosts=()).read(context, "Dockerfile")
    assert net.requests == []


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        (("10.0.0.1",), "private address"),
        (("127.0.0.1",), "private address"),
        (("192.168.1.1",), "private address"),
        (("100.64.0.1",), "private address"),
        (("fd00::1",), "private address"),
        (("::1",), "private address"),
        (("::ffff:10.0.0.1",), "private address"),
        (("64:ff9b::a00:1",), "private address"),
        (("2002:a00:1::",), "private address"),
        (("169.254.169.254",), "never asked"),
        (("168.63.129.16",), "never asked"),
        (("fe80::1",), "never asked"),
        (("::ffff:169.254.169.254",), "never asked"),
        (("fd00:ec2::254",), "never asked"),
        (("224.0.0.1",), "never asked"),
        (("0.0.0.0",), "never asked"),
        (("::",), "never asked"),
        (("::169.254.169.254",), "never asked"),
        (("::168.63.129.16",), "never asked"),
        (("::127.0.0.1",), "never asked"),
        (("::8.8.8.8",), "never asked"),
        (("::ffff:0:169.254.169.254",), "never asked"),
        (("fec0::1",), "never asked"),
        (("feff::1",), "never asked"),
        (("64:ff9b:1:a9fe:a9:fe00::",), "never asked"),
        (("64:ff9b:1::a9fe:a9fe",), "never asked"),
        (("64:ff9b::a9fe:a9fe",), "never asked"),
        # One of several is enough: which one would be connected to is chance.
        (("93.184.216.34", "10.0.0.1"), "private address"),
    ],
)
def test_a_name_with_a_private_address_is_not_asked(
    sources: Made, addresses: tuple[str, ...], text: str
) -> None:
    """A listed name that leads inside is refused, in every way of writing an address."""
    made = sources(("files.example.com",), private_hosts=(), resolve=resolver(*addresses))
    with pytest.raises(SourceUnavailable, match=text):
        made.read(FILES, "Dockerfile")


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "168.63.129.16", "fe80::1", "::127.0.0.1", "fec0::1"]
)
def test_what_is_never_asked_cannot_be_listed(sources: Made, address: str) -> None:
    """The addresses of Azure's own services stay closed for hosts that are listed as private."""
    made = sources(resolve=resolver(address))
    with pytest.raises(SourceUnavailable, match="never asked"):
        made.read(FILES, "Dockerfile")


@pytest.mark.parametrize("host", ["10.1.2.3", "[fd00::1]", "127.0.0.1:8443", "[::1]:8443"])
def test_an_address_in_place_of_a_name(sources: Made, host: str) -> None:
    """A private address that is listed as a public host is refused."""
    with pytest.raises(SourceUnavailable, match="REBUILDER_SOURCE_PRIVATE_HOSTS"):
        sources((host,), private_hosts=()).read(f"https://{host}/x.tgz", "Dockerfile")


@pytest.mark.parametrize(
    ("pattern", "name", "port"),
    [("[::1]:8443", "::1", 8443), ("127.0.0.1", "127.0.0.1", 443), ("a.b:1", "a.b", 1)],
)
def test_private_hosts_have_ports(pattern: str, name: str, port: int) -> None:
    """A host is listed with its port, and then may be private; on other ports it may not."""
    guard = Guard((), (pattern,), resolver("::1" if ":" in name else "127.0.0.1"))

    assert len(guard.addresses(name, port)) == 1
    with pytest.raises(SourceUnavailable, match="private address"):
        guard.addresses(name, port + 1)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("https://localhost/x", "REBUILDER_SOURCE_HOSTS"),
        ("https://169.254.169.254/metadata", "REBUILDER_SOURCE_HOSTS"),
        ("https://inside.example.com/x", "private address"),
        ("http://files.example.com/x", "only https"),
        ("file:///etc/passwd", "only https"),
        ("https://u:s3cr3t@files.example.com/x", "credentials"),
        ("https://files.example.com:99999/x", "a port that is none"),
        ("https://[evil/", "an address cannot be read"),
        ("//[evil/", "an address cannot be read"),
        ("https://files.example.com\\@evil.example.com/", "a host that is none"),
        ("https://files.example.com%2f.evil.example.com/", "a host that is none"),
        ("https://files.example.com/" + "x" * 9000, "longer than 8192"),
        ("gopher" * 1000 + "://x", "only https"),
        (FILES, "redirects"),
    ],
)
def test_redirects_that_are_not_followed(net: Hosts, sources: Made, target: str, text: str) -> None:
    """Every hop is checked like the first, and there are not many."""

    def resolve(host: str, port: int) -> list[Any]:
        if host == "inside.example.com":
            return resolver("10.0.0.1")(host, port)
        return net.resolve(host, port)

    net.mount("files.example.com", hosts.redirect(target))
    with pytest.raises(SourceUnavailable, match=text) as raised:
        sources(("inside.example.com",), resolve=resolve).read(FILES, "Dockerfile")
    assert "s3cr3t" not in str(raised.value)


def test_a_redirect_of_look_alike_letters_is_not_followed(net: Hosts, sources: Made) -> None:
    """Bytes of UTF-8 come as letters of Latin 1; neither is a host."""
    target = "https://files.example.com℀evil/".encode().decode("latin-1")
    net.mount("files.example.com", hosts.redirect(target))
    with pytest.raises(SourceUnavailable, match="a host that is none"):
        sources().read(FILES, "Dockerfile")


def test_the_address_that_was_looked_at_is_asked(net: Hosts, sources: Made) -> None:
    """A name is resolved once per connection, so that it cannot mean another address then."""
    net.mount("files.example.com", hosts.answer(hosts.tar(("Dockerfile", b"FROM one\n"))))
    answers = [net.resolve("", 0)]

    def resolve(host: str, port: int) -> list[Any]:
        del host, port
        return answers.pop()

    read = sources(resolve=resolve).read(FILES, "Dockerfile")

    assert read.content == b"FROM one\n"
    assert answers == []


def test_the_next_address_is_tried(net: Hosts, sources: Made) -> None:
    """Of several addresses one that answers is enough."""
    net.mount("files.example.com", hosts.answer(hosts.tar(("Dockerfile", b"FROM one\n"))))

    def resolve(host: str, port: int) -> list[Any]:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            free = closed.getsockname()[1]
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free))
        return [dead, *net.resolve(host, port)]

    assert sources(resolve=resolve).read(FILES, "Dockerfile").content == b"FROM one\n"


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "?"), SourceUnavailable),
        (socket.gaierror(socket.EAI_AGAIN, "?"), TransientError),
        (UnicodeError("label too long"), SourceUnavailable),
    ],
)
def test_names_that_cannot_be_resolved(
    sources: Made, failure: Exception, error: type[Exception]
) -> None:
    """A name that does not exist is permanent, one that is not known now is not."""

    def resolve(host: str, port: int) -> list[Any]:
        del host, port
        raise failure

    with pytest.raises(error):
        sources(resolve=resolve).read(FILES, "Dockerfile")


def test_nobody_there(sources: Made) -> None:
    """A host that refuses the connection may be there later."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]

    def resolve(host: str, port: int) -> list[Any]:
        del host, port
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free))]

    with pytest.raises(TransientError, match="no usable answer"):
        sources(resolve=resolve).read(FILES, "Dockerfile")


def test_a_certificate_that_is_not_trusted(net: Hosts, sources: Made) -> None:
    """A host whose certificate is not trusted is not asked anything."""
    net.mount("files.example.com", hosts.answer(b"x"))
    with pytest.raises(SourceUnavailable, match="certificate is not trusted"):
        sources(ca_bundle="", resolve=net.resolve).read(FILES, "Dockerfile")
    assert net.requests == []


def test_the_machines_own_credentials_are_not_shown(
    net: Hosts, sources: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc of the machine is nobody's business, and no cookie is kept."""
    (tmp_path / "netrc").write_text("machine files.example.com login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    cookies = []

    def app(environ: hosts.Environ, start: hosts.Start) -> list[bytes]:
        cookies.append(environ.get("HTTP_COOKIE"))
        start("200 OK", [("Set-Cookie", "a=b")])
        return [hosts.tar(("Dockerfile", b"FROM one\n"))]

    net.mount("files.example.com", app)
    made = sources()
    made.read(FILES, "Dockerfile")
    made.read(FILES, "Dockerfile")

    assert net.shown("files.example.com") == {""}
    assert cookies == [None, None]


async def _archive(_scope: Any, _receive: Any, send: Callable[..., Any]) -> None:  # noqa: ANN401 - ASGI's
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = hosts.tar(("Dockerfile", b"FROM one\n"))
    await send({"type": "http.response.body", "body": body})


def test_behind_a_proxy_the_list_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy resolves names, which this machine cannot; the list of hosts is kept all the same."""
    network = Network(tmp_path)
    network.mount("files.example.com", _archive)

    def resolve(host: str, port: int) -> list[Any]:
        raise AssertionError((host, port))

    with network:
        for name, value in network.environment().items():
            monkeypatch.setenv(name, value)
        made = HostedSources(("files.example.com",), resolve=resolve)
        read = made.read(FILES, "Dockerfile")
        with pytest.raises(SourceUnavailable, match="REBUILDER_SOURCE_HOSTS"):
            made.read("https://elsewhere.example.com/x.tgz", "Dockerfile")
        made.close()

    assert read.content == b"FROM one\n"


# Sizes and times.


@pytest.mark.parametrize("size", [1000, 1001])
def test_a_build_file_has_a_size(net: Hosts, sources: Made, size: int) -> None:
    """A file of the limit is read, one byte more is refused, by every kind of host."""
    repo = hosts.repository()
    hosts.commit(repo, {"Dockerfile": b"x" * size})
    net.mount("api.github.com", hosts.github({"team/app": repo}))
    net.mount("git.example.com", hosts.git_host({"app.git": repo}))
    net.mount("files.example.com", hosts.answer(hosts.tar(("Dockerfile", b"x" * size))))
    made = sources()
    for context in (
        "https://github.com/team/app.git",
        "https://git.example.com/app.git",
        FILES,
    ):
        if size <= SMALL.file:
            assert len(made.read(context, "Dockerfile").content) == size
            continue
        with pytest.raises(SourceUnavailable, match="longer than 1000 bytes"):
            made.read(context, "Dockerfile")


@pytest.mark.needs("git")
def test_a_host_may_leave_out_what_is_too_long(net: Hosts, sources: Made, tmp_path: Path) -> None:
    """A host that knows filters does not send what would not be read."""
    repo = hosts.repository()
    hosts.commit(repo, {"Dockerfile": b"FROM one\n", "big": bytes(range(256)) * 400})
    net.mount("git.example.com", hosts.real_git_host(tmp_path / "git", {"app.git": repo}))
    made = sources()

    assert made.read("https://git.example.com/app.git", "Dockerfile").content == b"FROM one\n"
    with pytest.raises(SourceUnavailable, match="longer than 1000 bytes"):
        made.read("https://git.example.com/app.git", "big")


def test_a_repository_may_be_too_large(net: Hosts, sources: Made) -> None:
    """A pack beyond the limit is not read to its end."""
    repo = hosts.repository()
    noise = b"".join(zlib.crc32(bytes([n % 256, n // 256])).to_bytes(4) for n in range(20_000))
    hosts.commit(repo, {"Dockerfile": b"FROM one\n", "noise": noise})
    net.mount("git.example.com", hosts.git_host({"app.git": repo}))
    with pytest.raises(SourceUnavailable, match="sends more than 20000 bytes"):
        sources().read("https://git.example.com/app.git", "Dockerfile")


def test_an_object_may_be_too_large(net: Hosts, sources: Made) -> None:
    """A few bytes of a pack that unpack to many are not unpacked."""
    repo = hosts.repository()
    hosts.commit(repo, {"Dockerfile": b"FROM one\n", "zeros": bytes(500_000)})
    net.mount("git.example.com", hosts.git_host({"app.git": repo}))
    with pytest.raises(SourceUnavailable, match="unpacks to more than is read"):
        sources().read("https://git.example.com/app.git", "Dockerfile")


@pytest.mark.parametrize("context", [FILES, "https://github.com/team/app.git#" + "0" * 40])
def test_an_answer_that_does_not_end(net: Hosts, sources: Made, context: str) -> None:
    """A body that goes on is cut at its limit."""

    def endless() -> Iterator[bytes]:
        while not net.stopped.is_set():
            yield b"x" * 4096

    net.mount("files.example.com", hosts.answer(endless()))
    net.mount("api.github.com", hosts.answer(endless()))
    with pytest.raises(SourceUnavailable, match="longer than"):
        sources().read(context, "Dockerfile")


def test_an_answer_that_drips(net: Hosts, sources: Made) -> None:
    """A body that comes byte by byte has the whole time, not a time for each byte."""
    net.mount("files.example.com", hosts.answer(hosts.drip(net.stopped)))
    with pytest.raises(TransientError, match=r"took longer than 0\.3 seconds"):
        sources(limits=SOON).read(FILES, "Dockerfile")


@pytest.mark.parametrize("stage", ["silence", "handshake", "headers"])
def test_a_host_that_drips_before_its_answer(net: Hosts, sources: Made, stage: str) -> None:
    """The time holds for the handshake and for the headers, too."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        # On a busy machine the time is over before anybody connects, or amid the handshake.
        with contextlib.suppress(OSError):
            plain, _ = listener.accept()
            with plain:
                if stage == "headers":
                    connection: socket.socket = net.tls.wrap_socket(plain, server_side=True)
                    piece = b"X-A: b\r\n"
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                else:
                    connection = plain
                    # A record of TLS that is announced and never whole.
                    piece = b"" if stage == "silence" else b"\x16\x03\x03\x3f\xff"
                with connection:
                    while not net.stopped.wait(0.02):
                        connection.sendall(piece)
                        piece = piece if stage == "headers" else piece[:0] or b"\x00" * bool(piece)

    def resolve(host: str, port: int) -> list[Any]:
        del host, port
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(TransientError, match=r"took longer than 0\.3 seconds"):
            sources(limits=SOON, resolve=resolve).read(FILES, "Dockerfile")
    finally:
        net.stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def test_a_connection_that_is_used_again_has_a_new_time(net: Hosts) -> None:
    """A connection that was kept open for the next request is cut by that one's time."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        plain, _ = listener.accept()
        with plain, net.tls.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            connection.recv(65536)
            try:
                while not net.stopped.wait(0.02):
                    connection.sendall(b"H")
            except (OSError, ssl.SSLError):
                return

    def resolve(host: str, port: int) -> list[Any]:
        del host, port
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

    thread = threading.Thread(target=serve)
    thread.start()
    http = Http(Guard((), HERE, resolve), str(net.ca_bundle))
    try:
        with Deadline(SECONDS, "first") as first, http.ask(FILES, first, "first") as answer:
            assert answer.body(10) == b"ok"
        with (
            Deadline(0.3, "second") as second,
            pytest.raises(TransientError, match="second took longer"),
        ):
            http.ask(FILES, second, "second")
    finally:
        http.close()
        net.stopped.set()
        thread.join()
        listener.close()


# Archives.


def archive(net: Hosts, sources: Made, content: bytes, path: str = "Dockerfile") -> bytes:
    """Return a file of an archive that a host serves."""
    net.mount("files.example.com", hosts.answer(content))
    return sources().read(FILES, path).content


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_archives_of_every_kind(net: Hosts, sources: Made, mode: str) -> None:
    """An archive is known by its first bytes, as docker knows it."""
    made = hosts.tar(("./app/Dockerfile", b"FROM one\n"), ("other", b"x"), mode=mode)

    assert archive(net, sources, made, "app/Dockerfile") == b"FROM one\n"


def test_an_archive_in_two_streams(net: Hosts, sources: Made) -> None:
    """Gzip streams may follow each other."""
    plain = hosts.tar(("Dockerfile", b"FROM one\n"), mode="w")
    made = gzip.compress(plain[:700]) + gzip.compress(plain[700:])

    assert archive(net, sources, made) == b"FROM one\n"


def test_an_archive_without_an_end(net: Hosts, sources: Made) -> None:
    """An archive may end after its last member; what pads a gzip stream is no part of it."""
    made = gzip.compress(_header(4) + b"FROM".ljust(512, b"\0")) + bytes(100)

    assert archive(net, sources, made) == b"FROM"


def test_the_last_of_equal_names_counts(net: Hosts, sources: Made) -> None:
    """An archive is unpacked in order, so a later file replaces an earlier one."""
    made = hosts.tar(("Dockerfile", b"FROM one\n"), ("Dockerfile", b"FROM two\n"))

    assert archive(net, sources, made) == b"FROM two\n"


@pytest.mark.parametrize(
    "members",
    [
        [("Dockerfile", "app/D"), ("app/D", b"FROM one\n")],
        [("app/D", b"FROM one\n"), ("Dockerfile", "=app/D")],
        [("app/D", b"FROM one\n"), ("here", "app"), ("Dockerfile", "here/../here/D")],
        [("app/D", b"FROM one\n"), ("a", "b"), ("b", "app"), ("Dockerfile", "./a/D")],
    ],
)
def test_links_of_an_archive(
    net: Hosts, sources: Made, members: list[tuple[str, bytes | str]]
) -> None:
    """Links to files and folders are followed, whatever comes first."""
    assert archive(net, sources, hosts.tar(*members)) == b"FROM one\n"


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([("Dockerfile", "../etc/passwd")], "leads outside"),
        ([("Dockerfile", "/etc/passwd")], "leads outside"),
        ([("Dockerfile", "a"), ("a", "Dockerfile")], "too many links"),
        ([("../Dockerfile", b"FROM evil\n")], "no file"),
        ([("app/../../Dockerfile", b"FROM evil\n")], "no file"),
        ([("other", b"x")], "no file"),
    ],
)
def test_members_that_lead_outside(
    net: Hosts, sources: Made, members: list[tuple[str, bytes | str]], text: str
) -> None:
    """Names and links that leave the archive are not followed."""
    with pytest.raises(SourceUnavailable, match=text):
        archive(net, sources, hosts.tar(*members))


def _header(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    entry = tarfile.TarInfo("Dockerfile")
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (gzip.compress(bytes(10_000_000)), "archive"),
        (hosts.tar(("big", bytes(200_000)), ("Dockerfile", b"")), "unpacks to over 100000"),
        (hosts.tar(("Dockerfile", bytes(1001))), "longer than 1000"),
        (_header(1 << 40), "cannot be read"),
        (_header(1 << 40, tarfile.GNUTYPE_LONGNAME), "longer than 65536"),
        (_header(1 << 40, tarfile.XHDTYPE), "longer than 65536"),
        (_header(900), "cannot be read"),
        (_header(-4096), "archive"),
        (_header(0) + _header(-600), "archive"),
        (hosts.tar(*((f"f{n}", b"") for n in range(60))), "more than 50 entries"),
        (b"no archive at all", "cannot be read"),
        (b"", "cannot be read"),
        (hosts.tar(("Dockerfile", b"FROM one\n"))[:40], "breaks off"),
        (b"\x1f\x8b\x08 no gzip", "cannot be read"),
        (b"\xfd7zXZ\x00 no xz", "cannot be read"),
        (b"PK\x03\x04 a zip file", "cannot be read"),
        (bytes(range(256)) * 100, "longer than 20000"),
    ],
    # Numbers: gzip writes the time into what it makes, and every worker must see the same names.
    ids=count(),
)
def test_archives_made_to_harm(net: Hosts, sources: Made, content: bytes, text: str) -> None:
    """Bombs, broken archives and what is none end with a reason."""
    with pytest.raises(SourceUnavailable, match=text):
        archive(net, sources, content)


def test_a_file_that_a_folder_replaced(net: Hosts, sources: Made) -> None:
    """A name is what it was last; a file that a folder replaced is none."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        file, folder = tarfile.TarInfo("Dockerfile"), tarfile.TarInfo("Dockerfile")
        file.size, folder.type = 4, tarfile.DIRTYPE
        tar.addfile(file, io.BytesIO(b"FROM"))
        tar.addfile(folder)
    with pytest.raises(SourceUnavailable, match="no file Dockerfile"):
        archive(net, sources, made.getvalue())


def test_names_that_fill_the_memory(net: Hosts, sources: Made) -> None:
    """Names are kept, so they have a limit, too."""
    content = hosts.tar(*((f"{n}" + "n" * 60_000, b"") for n in range(300)))
    limits = Limits(unpacked=100_000_000, seconds=SECONDS)
    net.mount("files.example.com", hosts.answer(content))
    with pytest.raises(SourceUnavailable, match="more than 100000 entries"):
        sources(limits=limits).read(FILES, "Dockerfile")


def test_the_memory_of_files_is_bounded() -> None:
    """What was used longest ago is forgotten first."""
    recent: Recent[str, bytes] = Recent(10)
    recent.put("a", b"1", 4)
    recent.put("b", b"2", 4)
    recent.put("a", b"3", 5)
    assert recent.get("a") == b"3"
    recent.put("c", b"4", 4)

    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (b"3", None, b"4")
    recent.put("d", b"5", 11)
    assert recent.get("d") is None


# Packs.


def look(pack: io.BytesIO) -> None:
    """Look through a pack within small limits."""
    limits = {"object_limit": 100, "unpacked_limit": 800, "entries": 10}
    check_pack(pack, **limits, check=lambda: None)


BLOB = packs.raw_object(3, 4, zlib.compress(b"FROM"))
DELTA = zlib.compress(b"\x04\xff\xff\x7f")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "breaks off"),
        (b"JUNK" + bytes(8), "no pack"),
        (packs.pack(version=4), "no pack"),
        (packs.pack(count=11), "more than 10 objects"),
        (packs.pack(BLOB, count=2), "breaks off"),
        (packs.pack(packs.raw_object(3, 1 << 40, b"")), "unpacks to more"),
        (packs.pack(packs.raw_object(3, 4, zlib.compress(bytes(100_000)))), "longer than it says"),
        (packs.pack(packs.raw_object(3, 4, b"no zlib")), "cannot be unpacked"),
        (packs.pack(packs.raw_object(3, 4, zlib.compress(b"FROM")[:-3])), "breaks off"),
        (packs.pack(packs.raw_object(6, 4, b"\x05" + DELTA)), "unpacks to more"),
        (packs.pack(packs.raw_object(7, 4, bytes(20) + DELTA)), "unpacks to more"),
        (packs.pack(*[packs.raw_object(3, 90, zlib.compress(bytes(90)))] * 10), "unpacks to more"),
        (packs.pack(b"\xb0" + b"\xff" * 20), "a size that is none"),
        (packs.pack(packs.raw_object(6, 4, b"\xff" * 30)), "an offset that is none"),
        (packs.pack(packs.raw_object(0, 4, zlib.compress(b"FROM"))), "a kind that is none"),
        (packs.pack(packs.raw_object(5, 4, zlib.compress(b"FROM"))), "a kind that is none"),
    ],
)
def test_packs_made_to_harm(content: bytes, text: str) -> None:
    """Everything that a pack says of its sizes is looked at before anything is unpacked."""
    with pytest.raises(SourceUnavailable, match=text):
        look(io.BytesIO(content))


class Pack:
    """A pack with deltas, each on any object before it."""

    def __init__(self, kind: int, content: bytes) -> None:
        self.objects = [packs.whole(kind, content)]
        self.places = [packs.FIRST]
        self.size = len(content)

    def delta(self, base: int = -1, after: int | None = None, name: bytes = b"") -> None:
        """Add a delta that makes as much as its base is, or says that it makes more."""
        place = self.places[-1] + len(self.objects[-1])
        to = self.size if after is None else after
        commands = packs.copied(0, self.size - 1) + b"\1" + bytes([len(self.places) & 255])
        on = name or place - self.places[base]
        self.objects.append(packs.delta(on, self.size, to, commands))
        self.places.append(place)

    def whole(self) -> bytes:
        """Return the pack."""
        return packs.summed(packs.pack(*self.objects))


def unpack(pack: Pack, deadline: Any) -> None:  # noqa: ANN401 - what stands for one
    """Look through a pack within the product's own limits, and have it unpacked."""
    data, limits = pack.whole(), Limits()
    check_pack(
        io.BytesIO(data),
        object_limit=limits.file * 16,
        unpacked_limit=limits.unpacked,
        entries=limits.entries,
        check=deadline.remaining,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = DiskObjectStore.init(Path(folder) / "o", object_format=_clocked(deadline))
        file, finish, _ = store.add_pack()
        with contextlib.closing(store), file:
            file.write(data)
            file.flush()
            finish()


class Ticks:
    """A time that is over after so many questions."""

    def __init__(self, left: float = math.inf) -> None:
        self.left = left

    def remaining(self) -> float:
        """Take one away."""
        self.left -= 1
        if self.left < 0:
            raise TransientError("the time is over")
        return self.left


MEGABYTE = 1 << 20


def test_a_pack_is_unpacked_by_the_clock() -> None:
    """Each object that is looked through, inflated or made of a delta asks for the time."""
    pack = Pack(3, b"x" * 100)
    for _ in range(200):
        pack.delta()
    whole = Ticks(10_000)
    unpack(pack, whole)
    asked = 10_000 - int(whole.left)

    assert asked > 3 * 200
    for left in (10, 150, 300, 500, asked - 1):
        with pytest.raises(TransientError, match="the time is over"):
            unpack(pack, Ticks(left))


def test_a_chain_of_deltas_has_an_end() -> None:
    """Each look at the last of them would begin at the first."""
    pack = Pack(3, b"x" * 100)
    for _ in range(4095):
        pack.delta()
    unpack(pack, Ticks())
    pack.delta()
    with pytest.raises(SourceUnavailable, match="more than 4095 deltas on deltas"):
        unpack(pack, Ticks())


def test_deltas_that_name_their_base_have_an_end() -> None:
    """Which stands on which is not known before they are unpacked."""
    pack = Pack(3, b"x" * 100)
    name = packs.name_of(packs.BLOB, b"x" * 100)
    for _ in range(4095):
        pack.delta(name=name)
    unpack(pack, Ticks())
    pack.delta(name=name)
    with pytest.raises(SourceUnavailable, match="more than 4095 deltas on deltas"):
        unpack(pack, Ticks())


@pytest.mark.parametrize("named", [False, True])
def test_bases_that_are_kept_have_a_limit(named: bool) -> None:  # noqa: FBT001
    """A base stays in memory until its last delta is made: one beside the chain keeps it."""
    pack = Pack(3, bytes(MEGABYTE))
    for number in range(40):
        base = len(pack.places) - 1
        for side in range(2):
            name = bytes([number]) * 20 if named else b""
            pack.delta(base, name=name if side else b"")
            if named:
                pack.delta(base, name=name)
    with pytest.raises(SourceUnavailable, match="more memory to unpack"):
        unpack(pack, Ticks())


def test_many_deltas_on_one_base_are_no_harm() -> None:
    """It is kept once, however many there are."""
    pack = Pack(3, bytes(MEGABYTE))
    for _ in range(100):
        pack.delta(0)
    unpack(pack, Ticks())


@pytest.mark.parametrize(
    ("kind", "size", "named"),
    [
        (1, MEGABYTE, False),
        (4, MEGABYTE, False),
        (2, 4 * MEGABYTE, False),
        (3, 16 * MEGABYTE, False),
        (3, 4 * MEGABYTE, True),
    ],
)
def test_each_kind_of_object_has_a_limit(kind: int, size: int, named: bool) -> None:  # noqa: FBT001
    """A commit is a text, an entry of a tree becomes several objects; deltas are no way around."""
    whole = Pack(kind, bytes(size + 1))
    if not named:
        with pytest.raises(SourceUnavailable, match="unpacks to more than is read"):
            unpack(whole, Ticks())
    made = Pack(kind, b"x" * 100)
    made.delta(after=size + 1, name=b"x" * 20 if named else b"")
    with pytest.raises(SourceUnavailable, match="unpacks to more than is read"):
        unpack(made, Ticks())


def test_a_pack_within_the_limits() -> None:
    """A pack within its limits is looked through to its end."""
    small = packs.raw_object(6, 4, b"\x85\x01" + zlib.compress(b"\x04\x04\x90\x04"))
    pack = io.BytesIO(packs.pack(BLOB, small, packs.raw_object(3, 0, zlib.compress(b""))))
    look(pack)

    assert pack.read() == b""
