"""The end of a log, read from servers that speak TLS under the names of Azure's storage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from rebuilder._net.guard import Guard
from rebuilder._net.http import Http
from rebuilder.azure.acr.log_ends import BYTES, HOSTS, LogEnds
from rebuilder.errors import NotFound, RebuilderError, SourceUnavailable, TransientError
from tests import hosts
from tests.hosts import App, Environ, Hosts, Start

HOST = "wus3managed199.blob.core.windows.net"
PATH = "/391792e2c1da4d52-mok7w2dxxp/logs/dsm/rawtext.log"
SECRET = "4Rxez2%2B59Z1ZrU1Z5S7qG7%2Ft65QzMjBvFw1N7j3SmvU%3D"
LINK = f"https://{HOST}{PATH}?sv=2021-12-02&sr=b&sp=r&sig={SECRET}"
WHAT = "read the log of run dsm"
type Made = Callable[..., LogEnds]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="ends")
def _ends(net: Hosts) -> Iterator[Made]:
    made: list[LogEnds] = []

    def make(seconds: float = 10) -> LogEnds:
        guard = Guard(HOSTS, HOSTS, net.resolve)  # here they are on this machine
        made.append(LogEnds(Http(guard, str(net.ca_bundle)), seconds))
        return made[-1]

    yield make
    for one in made:
        one.close()


def blob(content: bytes, *, ranges: bool = True) -> App:
    """Return a blob as Azure answers for it; one that knows no ranges answers in full."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        assert environ["HTTP_ACCEPT_ENCODING"] == "identity"
        assert "HTTP_AUTHORIZATION" not in environ
        asked = str(environ.get("HTTP_RANGE", ""))
        if environ["REQUEST_METHOD"] == "HEAD" or not asked or not ranges:
            start("200 OK", [("Content-Length", str(len(content)))])
            return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [content]
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1]
        start("206 Partial Content", [("Content-Length", str(len(part)))])
        return [part]

    return app


def test_a_short_log_is_read_whole(net: Hosts, ends: Made) -> None:
    """One look at its length, one request; the address is sent as it is."""
    net.mount(HOST, blob("a ü\r\nb\r\n".encode()))

    assert ends().read(LINK, WHAT) == "a ü\r\nb\r\n"
    assert len(net.seen(HOST)) == 2


def test_of_a_long_log_the_last_lines_are_read(net: Hosts, ends: Made) -> None:
    """64 KiB, and the first line of them is left out: it may be half a one."""
    content = b"".join(b"line %07d\n" % number for number in range(100_000))
    net.mount(HOST, blob(content))
    text = ends().read(LINK, WHAT)

    assert text.startswith("line ")
    assert text.endswith("line 0099999\n")
    assert BYTES - 13 < len(text) < BYTES


def test_a_long_line_is_nothing(net: Hosts, ends: Made) -> None:
    """Half a secret in half a line would not be known for one."""
    net.mount(HOST, blob(b"x" * (BYTES + 1)))

    assert ends().read(LINK, WHAT) == ""


def test_a_log_that_was_not_begun(net: Hosts, ends: Made) -> None:
    """A run that no agent took has an empty one: a range of nothing would be refused."""
    net.mount(HOST, blob(b""))

    assert ends().read(LINK, WHAT) == ""
    assert len(net.seen(HOST)) == 1


def test_what_is_no_text_is_read(net: Hosts, ends: Made) -> None:
    """Bytes that are no UTF-8 are replaced."""
    net.mount(HOST, blob(b"\xff\xfe\x00a"))

    assert ends().read(LINK, WHAT) == "\ufffd\ufffd\x00a"


@pytest.mark.parametrize(
    "link",
    [
        "http://wus3managed199.blob.core.windows.net/x?sig=s3cr3t",
        "https://evil.example.com/x?sig=s3cr3t",
        "https://blob.core.windows.net/x?sig=s3cr3t",
        "https://a.blob.core.windows.net.evil.example.com/x?sig=s3cr3t",
        "https://a.queue.core.windows.net/x?sig=s3cr3t",
        "https://a.blob.core.windows.net@evil.example.com/x?sig=s3cr3t",
        "https://me:s3cr3t@a.blob.core.windows.net/x",
        "https://a.blob.core.windows.net:8443/x?sig=s3cr3t",
        "https://a.blob.core.windows.net:x/x?sig=s3cr3t",
        "https://169.254.169.254/x?sig=s3cr3t",
        "https://[::1/x?sig=s3cr3t",
        "file:///etc/passwd?sig=s3cr3t",
        "s3cr3t",
        "",
    ],
)
def test_only_blobs_of_azure_are_asked(net: Hosts, ends: Made, link: str) -> None:
    """Whatever ARM names, nothing else is asked, and the address is not told."""
    with pytest.raises(SourceUnavailable) as raised:
        ends().read(link, WHAT)

    assert net.requests == []
    assert "s3cr3t" not in str(raised.value)
    assert WHAT in str(raised.value)


@pytest.mark.parametrize(
    "host",
    [
        "a.blob.core.windows.net",
        "a.z12.blob.storage.azure.net",
        "a.blob.core.usgovcloudapi.net",
        "a.blob.core.chinacloudapi.cn",
    ],
)
def test_the_blobs_of_every_cloud_are_asked(net: Hosts, ends: Made, host: str) -> None:
    """Public, Government and China, and accounts of DNS zones."""
    net.mount(host, blob(b"x\n"))

    assert ends().read(f"https://{host}{PATH}?sig={SECRET}", WHAT) == "x\n"


def test_a_private_address_is_not_asked(net: Hosts) -> None:
    """A name of Azure's that leads inside of somebody's network is not believed."""
    ends = LogEnds(Http(Guard(HOSTS, (), net.resolve), str(net.ca_bundle)))
    with pytest.raises(SourceUnavailable, match="private address"):
        ends.read(LINK, WHAT)
    ends.close()


def endless(environ: Environ, start: Start) -> Iterable[bytes]:
    """Tell a small length and send without an end."""
    if environ["REQUEST_METHOD"] == "HEAD":
        start("200 OK", [("Content-Length", "100")])
        return [b""]
    start("206 Partial Content", [])
    return (b"x" * 1024 for _ in iter(int, 1))


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (hosts.answer(b"", "403 Forbidden"), TransientError),
        (hosts.answer(b"", "404 Not Found"), NotFound),
        (hosts.answer(b"", "503 Busy"), TransientError),
        (hosts.answer(b"", "302 Found", Location="https://evil.example.com/"), TransientError),
        (hosts.answer(b"", "200 OK", Content_Length="many"), RebuilderError),
        (blob(b"x" * (BYTES + 1), ranges=False), SourceUnavailable),
        (endless, SourceUnavailable),
    ],
)
def test_a_strange_answer_is_an_error_of_ours(
    net: Hosts, ends: Made, app: App, error: type[RebuilderError]
) -> None:
    """No redirect is followed, nothing is read beyond the bound, and no signature is told."""
    net.mount(HOST, app)
    with pytest.raises(error) as raised:
        ends().read(LINK, WHAT)

    assert SECRET not in str(raised.value)
    assert HOST not in str(raised.value)


def test_a_blob_that_drips_has_an_end(net: Hosts, ends: Made) -> None:
    """The time is for all of it, however often a byte comes."""

    def drips(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK" if environ["REQUEST_METHOD"] == "HEAD" else "206 Partial Content", [])
        while not net.stopped.wait(0.05):
            yield b"x"

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD":
            start("200 OK", [("Content-Length", "1000")])
            return [b""]
        return drips(environ, start)

    net.mount(HOST, app)
    with pytest.raises(TransientError, match=r"longer than 0\.5 seconds"):
        ends(0.5).read(LINK, WHAT)

    assert not net.stopped.is_set()  # it ended before the blob did


def test_the_signature_is_never_logged(
    net: Hosts, ends: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at the lowest level either, where the library below logs every address."""
    net.mount(HOST, blob(b"x\n"))
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "urllib3"):
        ends().read(LINK, WHAT)

    assert PATH in caplog.text
    assert SECRET not in caplog.text
    assert "sig=" not in caplog.text
