from __future__ import annotations

import getpass
import json
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Scope, Target, What
from rebuilder.core.rebuilds.messages import ACTS, OperatorAct, StartBuild
from rebuilder.core.rebuilds.rebuild import Hold, State
from rebuilder.errors import TransientError
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.steering.acts import carry_out
from tests.unit.fakes import BASE, NEW, NODE, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
FILE = "version: 1\npolicies: {default: {cooldown: 4h}}\n"


@pytest.fixture(name="known")
def _known(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The command sees this world."""
    world.tasks.add(task())
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.chdir(tmp_path)
    return world


def asked_for(world: World) -> list[Act]:
    """Return what was asked for, and carry it out."""
    acts = [OperatorAct.decode(body).act for body, _ in world.queue.take(ACTS)]
    for act in acts:
        carry_out(world.context, act)
    world.time.pass_(1)
    return acts


def test_pause_is_asked_for_and_seen(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With who, why and until when; what waits for it is listed."""
    assert cli.main(["pause", "--task", "myapps/*", "--because", "bad", "--until", "2h"]) == 0
    told = capsys.readouterr().out
    until = "2026-01-02 05:04 UTC"
    assert told == f"--task myapps/* is to be paused until {until}; see `rebuilder holds`\n"
    now = known.time.now
    (act,) = asked_for(known)
    assert act == Act(
        act.id,
        What.PAUSE,
        Target(Scope.TASK, "myapps/*"),
        getpass.getuser(),
        "bad",
        now,
        now + timedelta(hours=2),
    )
    start_build(known.context, MESSAGE, "me")
    assert cli.main(["holds"]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("paused (1):\n  myapps/build-app  --task myapps/* is paused by")
    assert "over at 2026-01-02 05:04 UTC, or by `rebuilder resume --task myapps/*`" in listed
    assert cli.main(["holds", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["reason"], entry["task"]) == ("paused", str(task().id))
    assert entry["until"] == "2026-01-02T05:04:05+00:00"


def test_resume(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """As it was paused; else what is paused is told."""
    assert cli.main(["resume"]) == 1
    assert capsys.readouterr().out == "all is not known to be paused; paused: nothing\n"
    assert cli.main(["pause", "--base", "*node*", "--because", "bad"]) == 0
    asked_for(known)
    assert cli.main(["resume", "--registry", "x"]) == 1
    assert "paused: --base *node*" in capsys.readouterr().out
    assert cli.main(["resume", "--base", "*node*", "--because", "well"]) == 0
    assert capsys.readouterr().out == "--base *node* is to go on\n"
    assert [act.what for act in asked_for(known)] == [What.RESUME] * 2
    assert cli.main(["holds"]) == 0
    assert capsys.readouterr().out == "Nothing is held.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause"], "--because"),
        (["pause", "--because", "x", "--until", "soon"], "'soon' is no time: write 2h, 3d or"),
        (["pause", "--because", "x", "--until", "9999999999999d"], "is no time"),
        (["pause", "--because", "x", "--task", "a", "--base", "b"], "Give one of --registry"),
        (["policy", "apply"], "Give FILE"),
        (["policy", "rollback", "x"], "Give the NUMBER"),
    ],
)
def test_wrong_usage_is_told(
    known: World, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Nothing is asked for."""
    try:
        code = cli.main(arguments)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code != 0
    assert said in capsys.readouterr().err
    assert known.queue.take(ACTS) == []


def test_a_pause_that_is_over_is_refused(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A time of the past would pause nothing."""
    assert cli.main(["pause", "--because", "x", "--until", "2026-01-01T00:00Z"]) == 1
    assert "it is over already" in capsys.readouterr().err
    assert cli.main(["pause", "--because", "x", "--until", "2026-01-09T00:00Z"]) == 0
    (act,) = asked_for(known)
    assert act.until == datetime(2026, 1, 9, tzinfo=UTC)


def test_a_file_is_validated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without settings and without Azure."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(FILE)
    bad.write_text("version: 1\ntools: {}\n")
    assert cli.main(["policy", "validate", str(good)]) == 0
    assert "1 policies, 0 rules, 0 freezes: nothing is wrong" in capsys.readouterr().out
    assert cli.main(["policy", "validate", str(bad)]) == 1
    tools = (
        "there is no tools: REBUILDER_TOOLS names the tools that are a reason, each for one task"
    )
    assert capsys.readouterr().err == f"{bad}:2:1: {tools}\n"
    assert cli.main(["policy", "validate", str(tmp_path / "none.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_file_is_applied_shown_and_taken_back(
    known: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each version with who, when and why."""
    assert cli.main(["policy", "show"]) == 0
    assert "There is no policy file" in capsys.readouterr().out
    file = tmp_path / "p.yaml"
    file.write_text(FILE)
    assert cli.main(["policy", "apply", str(file), "--because", "slow"]) == 0
    file.write_text("version: 1\n")
    assert cli.main(["policy", "apply", str(file)]) == 0
    file.write_text("version: 2\n")
    capsys.readouterr()
    assert cli.main(["policy", "apply", str(file)]) == 1
    assert capsys.readouterr().err == f"{file}:1:10: 2: write 1\n"
    assert cli.main(["policy", "rollback"]) == 0
    assert capsys.readouterr().out == "version 3 is in force: the same as version 1\n"
    assert [act.what for act in asked_for(known)] == [What.APPLY] * 3
    assert cli.main(["policy", "history"]) == 0
    who = getpass.getuser()
    assert capsys.readouterr().out.splitlines() == [
        f"version 3, 2026-01-02 03:04 UTC, by {who}: back to version 1: ",
        f"version 2, 2026-01-02 03:04 UTC, by {who}",
        f"version 1, 2026-01-02 03:04 UTC, by {who}: slow",
    ]
    assert cli.main(["policy", "show"]) == 0
    assert capsys.readouterr().out.endswith("cooldown: 4h}}\n")


def test_what_applies_to_a_task(
    known: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the rule that says so, and what would come of it now."""
    assert cli.main(["policy", "show", "build-app"]) == 0
    assert capsys.readouterr().out == (
        f"myapps/build-app, when {NODE} moves:\n  now: it would be rebuilt at once\n"
    )
    file = tmp_path / "p.yaml"
    file.write_text(FILE)
    assert cli.main(["policy", "apply", str(file)]) == 0
    capsys.readouterr()
    assert cli.main(["policy", "show", "myapps/build-app"]) == 0
    shown = capsys.readouterr().out
    assert "  cooldown: 04:00:00  (policy default)\n" in shown
    assert "  maxWait: 12:00:00  (by default)\n  windows: always  (by default)\n" in shown
    assert "  now: cooling down" in shown
    known.tasks.add(replace(task(), dependencies=()))
    assert cli.main(["policy", "show", "build-app"]) == 1
    assert "is built on no tag that is known" in capsys.readouterr().err


def test_a_broken_file_is_shown_as_such(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """And which one is in force instead."""
    steering, now = known.context.steering, known.time.now
    steering.apply("version: 7", who="", at=now, because="", before="")
    known.context = replace(known.context, settings=replace(known.settings, observe=True))
    assert cli.main(["policy", "show"]) == 0
    shown = capsys.readouterr().out
    assert "NOT in force, and nothing begins: policy version 1:1:10: 7: write 1" in shown
    assert "REBUILDER_MODE is observe: nothing is started." in shown
    for text in (FILE, "version: 8"):
        steering.apply(text, who="", at=now, because="", before=steering.token())
    known.context.in_force.forget()
    assert cli.main(["policy", "show"]) == 0
    assert "NOT in force, the last good version is: policy version 3:1:10" in (
        capsys.readouterr().out
    )


def test_other_waits_are_listed_too(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Those for ACR's own trigger and for ARM; those of registries that are gone are not."""
    known.tasks.failures["schedule"] = [TransientError("no connection")]
    with pytest.raises(TransientError):
        start_build(known.context, MESSAGE, "me")
    head = known.ledger.head(task().id)
    assert head is not None
    assert (head.state, head.hold) == (State.HELD, Hold.ARM)
    assert cli.main(["holds"]) == 0
    assert capsys.readouterr().out.startswith(
        "waiting for ARM (1):\n  myapps/build-app  not asked for yet: no connection\n"
    )
    known.context = replace(known.context, settings=replace(known.settings, task_registries=()))
    assert cli.main(["holds"]) == 0
    assert capsys.readouterr().out == "Nothing is held.\n"


def test_who_works_here(known: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the token, where the store is Azure's."""

    class Asked:
        def caller(self) -> str:
            return "object-id"

        def close(self) -> None:
            """Do nothing."""

    monkeypatch.setattr(composition, "preflight", lambda _: Asked())
    azure = replace(known.settings, storage="UseDevelopmentStorage=true")
    assert composition.operator(azure) == "object-id"
    assert composition.operator(known.settings) == getpass.getuser()
