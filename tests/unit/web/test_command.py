"""`rebuilder web`, and the log of a run on the page."""

from __future__ import annotations

import json
from copy import replace

import pytest

from rebuilder.cli.main import main
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.acr.tasks import Run
from rebuilder.errors import Denied
from rebuilder.ports.acr import LogPart
from rebuilder.usecases.context import Context
from rebuilder.web.local import LocalServer
from tests.browser.story import APPS
from tests.unit.fakes import FakeTasks, run
from tests.unit.web.conftest import Browser


def test_the_command_prints_the_address(
    story: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And serves until somebody ends it, with the roles that were asked for."""
    served = []

    def serve(server: LocalServer) -> None:
        served.append(server._principal.roles)

    monkeypatch.setattr(LocalServer, "serve", serve)
    monkeypatch.setattr("rebuilder.composition.compose", lambda _: story)
    monkeypatch.setattr("rebuilder.composition.release", lambda: None)
    assert main(["web", "--role", "reader", "--role", "approver"]) == 0
    assert main(["web"]) == 0
    assert [sorted(roles) for roles in served] == [
        ["Approver", "Reader"],
        ["Admin", "Approver", "Operator", "Reader"],
    ]
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def test_the_log_of_a_run_is_read_in_parts(story: Context) -> None:
    """Escaped and without secrets; where there is no right to read it, the command is named."""
    tasks = FakeTasks(found_runs={"ca1": run("ca1")})
    tasks.parts["ca1"] = [LogPart("Step 1/2\nAccountKey=abcdef0123456789==\n", "9", complete=True)]
    browser = Browser(replace(story, tasks=tasks))
    query = {"registry": APPS.name, "run": "ca1"}
    found = browser.get("/api/log", **query)
    assert found["lines"][0] == "Step 1/2"
    assert "abcdef0123456789" not in json.dumps(found)
    assert found["over"]

    class Closed(FakeTasks):
        def run(self, registry: RegistryId, run_id: str) -> Run:
            raise Denied(f"no role at {registry} for {run_id}")

    browser = Browser(replace(story, tasks=Closed()))
    refused = browser.ask("GET", "/api/log", query)
    assert refused.status == 409
    assert "rebuilder logs ca1" in json.loads(refused.body)["problem"]
    assert browser.ask("GET", "/api/log", {**query, "registry": "other"}).status == 404
