"""What would have been rebuilt, beside what ACR's own trigger did."""

from __future__ import annotations

import json
from copy import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.operators import WouldRebuild
from rebuilder.core.rebuilds.rebuild import Native
from rebuilder.errors import Denied
from rebuilder.usecases.steering import observed
from rebuilder.usecases.steering.observed import Observed, compare
from tests.unit.fakes import APPS, NEW, NODE, OTHERS, World, run, task
from tests.unit.operators import PUSH, head, start

IMAGE = f"{NODE}@{NEW}"
WEEK = timedelta(days=7)


@pytest.fixture(name="watched")
def _watched(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A push that three tasks follow; the product only observes."""
    world.tasks.add(*(task(name) for name in ("alike", "ours", "theirs", "taken")))
    world.ledger.record_events([PUSH], world.time.now)
    world.settings = replace(world.settings, task_registries=(APPS,))
    world.context = replace(world.context, settings=replace(world.settings, observe=True))
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.chdir(tmp_path)
    return world


def native(world: World, name: str, *moved: str) -> str:
    """Let ACR's trigger have started a run now."""
    run_id = f"cc{len(world.tasks.found_runs)}"
    world.tasks.found_runs[run_id] = run(
        run_id,
        task=name,
        status=RunStatus.SUCCEEDED,
        trigger="Image Update",
        created=world.time.now,
        moved=moved,
    )
    return run_id


def played(world: World) -> dict[str, Observed]:
    """Let a day pass on which tasks are rebuilt by one, by both and by the other."""
    for name in ("alike", "ours"):
        start(world, of=task(name).id)
    acting = replace(world.context, settings=world.settings)
    world.context, observing = acting, world.context
    start(world, of=task("taken").id)
    world.context = observing
    world.time.pass_(60)
    runs = {name: native(world, name, IMAGE) for name in ("alike", "theirs", "taken")}
    taken = head(world, task("taken").id)
    world.ledger.save(replace(taken, run_id=runs["taken"], native=Native.ADOPTED))
    world.tasks.found_runs["cm1"] = run("cm1", task="ours", created=world.time.now)
    began, would = world.time.now, began_at(world)
    world.time.pass_(3600)
    return {
        "alike": Observed(task("alike").id, IMAGE, would, runs["alike"], began),
        "taken": Observed(task("taken").id, IMAGE, None, runs["taken"], began, adopted=True),
        "ours": Observed(task("ours").id, IMAGE, would),
        "theirs": Observed(task("theirs").id, IMAGE, None, runs["theirs"], began),
    }


def began_at(world: World) -> datetime:
    """Return when it was decided that a task would be rebuilt."""
    records = world.ledger.decisions(PUSH, task("alike").id)
    (at,) = [r.first_at for r in records if isinstance(r.decision, WouldRebuild)]
    return at


def test_what_each_of_them_did(watched: World) -> None:
    """Both, only the product, only ACR's trigger."""
    wanted = played(watched)
    now = watched.time.now
    found = compare(watched.context, now - WEEK, now)

    assert found.pushes == 1
    assert found.alike == (wanted["alike"], wanted["taken"])
    assert found.ours == (wanted["ours"],)
    assert found.theirs == (wanted["theirs"],)
    assert found.remarks == ()
    later = compare(watched.context, now, now + WEEK)
    assert (later.pushes, later.alike, later.ours, later.theirs) == (0, (), (), ())


def test_what_could_not_be_compared_is_told(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One registry, one run: the others are compared."""
    played(watched)
    native(watched, "alike", "NOT AN IMAGE")
    both = replace(watched.context.settings, task_registries=(APPS, OTHERS))
    watched.context = replace(watched.context, settings=both)
    monkeypatch.setattr(observed, "_RUNS", 1)
    now = watched.time.now + timedelta(seconds=1)
    watched.tasks.failures["runs"] = [Denied("no role")]
    monkeypatch.setattr("rebuilder.isolation.AT_ONCE", 1)
    found = compare(watched.context, now - WEEK, now)
    first, second, third = found.remarks
    assert first.startswith("the runs of myapps could not be read: no role")
    assert second == "of theirapps, only the newest 1 runs were looked at"
    assert third.startswith("what started run cc")


def test_report(watched: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With counts, and each task with its runs; or as JSON."""
    played(watched)
    assert cli.main(["report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 push(es) from 2025-12-26T04:05:05Z to 2026-01-02T04:05:05Z"
    assert "2 rebuilt by ACR's own trigger, and would have been here:" in lines
    assert (
        f"  myapps/taken  {IMAGE}, run cc3 at 2026-01-02T03:05:05Z, which was waited for" in lines
    )
    assert f"  myapps/ours  {IMAGE}, here at 2026-01-02T03:04:05Z" in lines
    assert cli.main(["report", "--days", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in found["theirs"]] == ["cc2"]
    assert found["ours"][0]["run"] is None
    watched.tasks.failures["runs"] = [Denied("no role")]
    assert cli.main(["report"]) == 0
    assert "remark: the runs of " in capsys.readouterr().out
