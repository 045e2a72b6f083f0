"""Receivers that are really asked: machines by TLS under names of their own, people by Apprise."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rebuilder._net.guard import Guard
from rebuilder._net.http import Http
from rebuilder.azure.identity import tokens_for
from rebuilder.core.messages.destinations import Destination, Kind
from rebuilder.core.messages.events import CONTENT_TYPE, SIGNATURE, signature
from rebuilder.errors import Refused, Throttled, TransientError
from rebuilder.receivers.machines import Machines
from rebuilder.receivers.receivers import Reached
from tests import hosts
from tests.hosts import App, Environ, Hosts, Start
from tests.patience import SECONDS

HOST = "flux.example.com"
TOPIC = "apps.westeurope-1.eventgrid.azure.net"
KEY = "0123456789abcdef"
FLUX = Destination("flux", Kind.SIGNED, f"https://{HOST}/hook?code=S3CRET", KEY)
BEARER = Destination("gate", Kind.BEARER, f"https://{HOST}/hook", "api://gate")
GRID = Destination("grid", Kind.TOPIC, f"https://{TOPIC}/api/events")
BODY = b'{"specversion":"1.0"}'
type Made = Callable[..., Machines]


class Inbox:
    """A receiver that keeps what it was sent."""

    def __init__(self, status: str = "202 Accepted") -> None:
        self.status = status
        self.seen: list[tuple[Environ, bytes]] = []

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Take it."""
        length = int(environ["CONTENT_LENGTH"])
        self.seen.append((environ, environ["wsgi.input"].read(length)))
        start(self.status, [])
        return [b""]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="machines")
def _machines(net: Hosts) -> Iterator[Made]:
    made: list[Machines] = []

    def make(private: tuple[str, ...] = ("*.example.com", TOPIC), seconds: float = 10) -> Machines:
        def connect(guard: Guard) -> Http:
            guard._resolve = net.resolve
            return Http(guard, str(net.ca_bundle))

        made.append(Machines(private, lambda audience: f"token-for-{audience}", connect, seconds))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_event_is_sent_signed(net: Hosts, machines: Made) -> None:
    """As it is, in structured mode, with a signature that the receiver can check."""
    inbox = Inbox()
    net.mount(HOST, inbox)
    machines().send(FLUX, BODY)

    ((environ, body),) = inbox.seen
    assert (environ["REQUEST_METHOD"], body) == ("POST", BODY)
    assert environ["CONTENT_TYPE"] == CONTENT_TYPE
    header = f"HTTP_{SIGNATURE.upper().replace('-', '_')}"
    assert environ[header] == signature(KEY, BODY)
    assert "HTTP_AUTHORIZATION" not in environ


def test_an_event_is_sent_with_a_token(net: Hosts, machines: Made) -> None:
    """That is for the receiver alone; a topic's is for Event Grid, whose version is named."""
    inbox = Inbox()
    net.mount(HOST, inbox)
    net.mount(TOPIC, inbox)
    sent = machines()
    sent.send(BEARER, BODY)
    sent.send(GRID, BODY)

    assert net.shown(HOST) == {"Bearer token-for-api://gate"}
    assert net.shown(TOPIC) == {"Bearer token-for-https://eventgrid.azure.net"}
    assert net.seen(TOPIC) == ["/api/events?api-version=2018-01-01"]
    assert all(SIGNATURE not in str(environ) for environ, _ in inbox.seen)


@pytest.mark.parametrize(
    ("app", "error", "words"),
    [
        (hosts.answer(b"", "500 Sorry"), TransientError, "tell flux: HTTP 500"),
        (hosts.answer(b"", "401 Who"), TransientError, "tell flux: HTTP 401"),
        (hosts.answer(b"", "400 No"), Refused, "HTTP400: tell flux: it does not take this message"),
        (hosts.answer(b"", "413 Large"), Refused, "HTTP413"),
        (hosts.redirect("https://elsewhere.example.com/"), TransientError, "not followed"),
        (hosts.redirect("https://169.254.169.254/"), TransientError, "not followed"),
    ],
)
def test_what_is_not_taken_is_an_error_of_ours(
    net: Hosts, machines: Made, app: App, error: type[Exception], words: str
) -> None:
    """Which names the receiver, and neither its address nor its secrets."""
    net.mount(HOST, app)
    with pytest.raises(error, match=words) as raised:
        machines().send(FLUX, BODY)

    assert {name for name, _, _ in net.requests} == {HOST}
    assert not any(secret in str(raised.value) for secret in ("S3CRET", KEY, "/hook"))


def test_a_receiver_that_asks_to_wait_is_waited_for(net: Hosts, machines: Made) -> None:
    """An hour at most, whatever it says."""
    for asked, wait in (("7", timedelta(seconds=7)), ("9999999", timedelta(hours=1)), ("x", None)):
        net.mount(HOST, hosts.answer(b"", "429 Slow", Retry_After=asked))
        with pytest.raises(Throttled) as raised:
            machines().send(FLUX, BODY)
        assert raised.value.retry_after == wait


def test_a_slow_receiver_has_an_end(net: Hosts, machines: Made) -> None:
    """However slowly it answers."""

    def slow(_: Environ, start: Start) -> Iterable[bytes]:
        assert net.stopped.wait(SECONDS)
        start("200 OK", [])
        return [b""]

    net.mount(HOST, slow)
    with pytest.raises(TransientError, match=r"tell flux"):
        machines(seconds=0.5).send(FLUX, BODY)

    assert not net.stopped.is_set()
    net.stopped.set()


def test_a_private_address_is_not_asked(net: Hosts, machines: Made) -> None:
    """Unless the operator lists the host; it may be put right, so it is tried again."""
    net.mount(HOST, Inbox())
    with pytest.raises(TransientError, match="private address"):
        machines(()).send(FLUX, BODY)

    assert not net.requests


def test_nothing_secret_is_logged(
    net: Hosts, machines: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at the lowest level either, where the library below logs every address."""
    net.mount(HOST, Inbox())
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "urllib3"):
        machines().send(FLUX, BODY)

    assert "/hook" in caplog.text
    assert "S3CRET" not in caplog.text
    assert KEY not in caplog.text


class _Chat(BaseHTTPRequestHandler):
    """A chat that keeps what people are told, or does not take it."""

    status = 200
    told: list[dict[str, str]]

    def do_POST(self) -> None:
        """Take it."""
        length = int(self.headers["Content-Length"])
        self.told.append(json.loads(self.rfile.read(length)))
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is
        """Say nothing."""


@pytest.fixture(name="chat")
def _chat() -> Iterator[tuple[int, type[_Chat]]]:
    handler = type("Chat", (_Chat,), {"told": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port, handler
    server.shutdown()
    thread.join()
    server.server_close()


def people(port: int) -> Destination:
    """Return somebody whom Apprise reaches on this machine."""
    return Destination("team", Kind.PEOPLE, f"json://u:S3CRET@127.0.0.1:{port}/x")


def test_people_are_told(chat: tuple[int, type[_Chat]], caplog: pytest.LogCaptureFixture) -> None:
    """By whatever Apprise knows; what it logs tells addresses, so it logs nothing."""
    port, handler = chat
    receivers = Reached(["127.0.0.1"], lambda _: "")
    with caplog.at_level(logging.DEBUG):
        receivers.tell(people(port), "ACR Rebuilder: a", "line\nline")
    receivers.close()

    (told,) = handler.told
    assert (told["title"], told["message"]) == ("ACR Rebuilder: a", "line\nline")
    assert "S3CRET" not in caplog.text


@pytest.mark.parametrize("status", [500, 302, 404])
def test_what_people_do_not_get_is_tried_again(chat: tuple[int, type[_Chat]], status: int) -> None:
    """No redirect is followed."""
    port, handler = chat
    handler.status = status
    with pytest.raises(TransientError, match="tell team: it was not taken") as raised:
        Reached(["127.0.0.1"], lambda _: "").tell(people(port), "a", "b")

    assert len(handler.told) == 1
    assert "S3CRET" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("json://127.0.0.1:1/x", "tell team: it leads inside"),
        ("json://[::1]/x", "tell team: it leads inside"),
        ("json://169.254.169.254/x", "tell team: it leads inside"),
        ("syslog://x", "tell team: syslog is of this machine"),
        ("nothing://x", "tell team: its address is none that Apprise knows"),
    ],
)
def test_an_address_that_may_not_be_is_refused(address: str, words: str) -> None:
    """Without telling it."""
    with pytest.raises(Refused, match=words):
        Reached((), lambda _: "").tell(Destination("team", Kind.PEOPLE, address), "a", "b")


def test_apprise_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does without; the function app has it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(Refused, match=r"install rebuilder\[messages\]"):
        Reached((), lambda _: "").tell(Destination("team", Kind.PEOPLE, "slack://x"), "a", "b")


def test_a_token_is_for_whom_it_is_asked() -> None:
    """Whether or not the audience ends in a slash."""
    asked: list[str] = []

    class Identity:
        def get_token(self, scope: str) -> object:
            asked.append(scope)
            return type("Token", (), {"token": "t"})()

    give = tokens_for(Identity())  # type: ignore[arg-type] # a part
    assert give("api://gate/") == "t"
    assert asked == ["api://gate/.default"]
