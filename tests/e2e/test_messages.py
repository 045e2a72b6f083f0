"""Somebody is told while the whole system runs, on both stores: of what was rebuilt, by Apprise."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from rebuilder.composition import release
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.usecases.steering.policy_file import apply_policy
from tests.e2e.conftest import World
from tests.patience import until


class _Team(BaseHTTPRequestHandler):
    """A receiver that is out of order for the first that comes."""

    told: list[str]
    asked: list[int]

    def do_POST(self) -> None:
        """Take it, but for the first."""
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        self.asked.append(length)
        if len(self.asked) == 1:
            self.send_response(500)
        else:
            self.told.append(body["message"])
            self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is
        """Say nothing."""


@pytest.fixture(name="team")
def _team() -> Iterator[tuple[int, type[_Team]]]:
    """Somebody, and the port where they are."""
    handler = type("Team", (_Team,), {"told": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port, handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="telling")
def _telling(
    cloud: LocalCloud, storage: str, tmp_path: Path, team: tuple[int, type[_Team]]
) -> Iterator[World]:
    """The app, whose setting names the team."""
    port, _ = team
    more = {
        "REBUILDER_DESTINATIONS": json.dumps({"team": f"json://127.0.0.1:{port}/x"}),
        "REBUILDER_SOURCE_PRIVATE_HOSTS": "127.0.0.1",
    }
    world = World(cloud, storage, tmp_path, more)
    world.host.start()
    yield world
    world.host.stop()
    release()


def test_a_team_is_told_of_what_was_rebuilt(team: tuple[int, type[_Team]], telling: World) -> None:
    """Although it did not take it at first; with the digest of the image that it is built on."""
    _, receiver = team
    world = telling
    old = world.push("one")
    task = world.task(world.apps, "build-app", old)
    world.subscribe()
    rules = "version: 1\nmessages: [{name: all, to: [team], what: [rebuilt]}]\n"
    apply_policy(world.context, rules, file="policy.yaml", who="ann", because="test")
    new = world.push("two")

    def done() -> bool:
        head = world.context.ledger.head(task)
        return head is not None and head.state is State.SUCCEEDED

    until(done, "a rebuild that succeeds")
    until(lambda: bool(receiver.told), "the team to be told")
    assert "myapps/build-app was rebuilt by run c" in receiver.told[0]
    assert new in receiver.told[0]
    assert len(receiver.asked) == 2
    assert world.context.dead_letters.all() == []
