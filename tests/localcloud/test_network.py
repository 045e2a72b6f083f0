from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from localcloud.clock import Clock
from localcloud.directory import Directory, Principal
from localcloud.identity import Identities, identity_app
from localcloud.network import Network
from localcloud.tokens import InvalidToken, Tokens
from tests import patience
from tests.clocks import StoppedClock
from tests.patience import SECONDS, until

AUDIENCE = "https://management.azure.com"


async def echo(scope: dict[str, object], receive: object, send: object) -> None:
    """Answer with the host that was asked for."""
    request = Request(scope)
    await PlainTextResponse(request.headers["host"])(scope, receive, send)  # type: ignore[arg-type] # likewise


@pytest.fixture(name="network")
def _network(tmp_path: Path) -> Iterator[Network]:
    with Network(tmp_path) as network:
        yield network


def test_names_reach_their_app(network: Network) -> None:
    """Mounted names and wildcards are served over TLS; others are refused before that."""
    network.mount("exact.example.com", echo)
    network.mount("*.azurecr.io", echo)
    with network.client() as http:
        assert http.get("https://exact.example.com/").text == "exact.example.com"
        assert http.get("https://x.azurecr.io/").text == "x.azurecr.io"
        wrong = http.get("https://x.azurecr.io/", headers={"Host": "unknown.example.com"})
        assert wrong.status_code == 421
        with pytest.raises(httpx.ProxyError, match="502"):
            http.get("https://unknown.example.com/")


def test_connections_can_be_cut(network: Network) -> None:
    """Cutting ends what is open; the next request connects anew."""
    entered, go = threading.Event(), threading.Event()

    async def slow(scope: dict[str, object], receive: object, send: object) -> None:
        entered.set()
        network.drop_connections()
        go.wait(SECONDS)
        await echo(scope, receive, send)

    network.mount("slow.example.com", slow)
    network.mount("fast.example.com", echo)
    go.set()
    with network.client() as http:
        with pytest.raises(httpx.TransportError):
            http.get("https://slow.example.com/")
        assert entered.is_set()
        assert http.get("https://fast.example.com/").text == "fast.example.com"


def test_stopping_ends_every_thread_and_can_be_repeated(tmp_path: Path) -> None:
    """Nothing is left of a network that was stopped."""
    before = threading.active_count()
    network = Network(tmp_path)
    network.start()
    address = network.serve(echo)
    assert patience.get(address).status_code == 200
    network.stop()
    network.stop()

    until(lambda: threading.active_count() <= before, "the end of every thread")
    with pytest.raises(httpx.ConnectError):
        patience.get(address)


def test_tokens_are_signed_bound_and_expire() -> None:
    """A token names its principal to its audience only, for its lifetime."""
    clock = StoppedClock()
    directory = Directory()
    tokens, me = Tokens(clock, directory), directory.create("me")
    token = tokens.issue(me, AUDIENCE + "/")
    assert tokens.check(token, [AUDIENCE]) == me
    with pytest.raises(InvalidToken, match="is for"):
        tokens.check(token, ["https://elsewhere"])
    with pytest.raises(InvalidToken, match="Signature"):
        Tokens(clock, directory).check(token, [AUDIENCE])
    clock.forward(timedelta(hours=25).total_seconds())
    with pytest.raises(InvalidToken, match="expired"):
        tokens.check(token, [AUDIENCE])
    with pytest.raises(InvalidToken, match="expired"):
        tokens.check(tokens.issue(me, AUDIENCE, timedelta(0)), [AUDIENCE])


def test_the_identity_endpoint_serves_azures_client(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ManagedIdentityCredential gets the token of the identity that it asks for, and no other."""
    clock = Clock()
    directory = Directory()
    tokens = Tokens(clock, directory)
    system, user = directory.create("system"), directory.create("user")
    identities = {"secret": Identities(system, (user,))}
    address = network.serve(identity_app(tokens, clock, identities))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{address}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")

    def principal(client_id: str | None) -> Principal:
        with ManagedIdentityCredential(client_id=client_id) as credential:
            return tokens.check(credential.get_token(f"{AUDIENCE}/.default").token, [AUDIENCE])

    assert principal(None) == system
    assert principal(user.client_id) == user
    with pytest.raises(ClientAuthenticationError):
        principal("unknown")
    monkeypatch.setenv("IDENTITY_HEADER", "guess")
    with pytest.raises(ClientAuthenticationError):
        principal(None)
    missing = patience.get(f"{address}/msi/token", headers={"X-IDENTITY-HEADER": "secret"})
    assert missing.status_code == 400


def test_a_clock_may_run_faster() -> None:
    """Cloud time is a multiple of real time."""
    clock = Clock(speed=100)

    assert clock.real(50) == 0.5
    with pytest.raises(ValueError, match="above 0"):
        Clock(speed=0)
