"""`rebuilder plan` and `rebuilder wave`, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.usecases.steering.policy_file import apply_policy
from tests.unit.fakes import NEW, NODE, World
from tests.unit.waves import Wave


@pytest.fixture(name="wave")
def _wave(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wave:
    """The command sees this wave."""
    wave = Wave(world, a="node c", b="a node", c="a", off="node")
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.chdir(tmp_path)
    return wave


def test_a_plan_is_told(wave: Wave, capsys: pytest.CaptureFixture[str]) -> None:
    """Layers, reasons, holds, cycles, what is left, what it takes, and what nobody knows."""
    wave.push(NODE, NEW)
    wave.deliver()
    wave.world.time.pass_(120)
    wave.all()
    apply_policy(
        wave.world.context,
        "version: 1\npolicies: {default: {cooldown: 1h, maxConcurrent: 1}}\n"
        "rules: [{match: {task: '*/off'}, ignore: true}]\n",
        file="p.yaml",
        who="ann",
        because="x",
    )
    wave.world.context.in_force.forget()
    assert cli.main(["plan", NODE, "--price", "0.5", "--cpus", "4"]) == 0
    told = capsys.readouterr().out

    assert f"{NODE} at a new digest: 3 task(s) in 2 layer(s)\n" in told
    assert "layer 1:\n  myapps/a, 2.0 min: it reads " in told
    assert "      held: cooling down: " in told
    assert "cycle 1, rebuilt once: myapps/a -> myapps/c\n" in told
    assert "left alone (1):\n  myapps/off: the policy file has it left alone" in told
    assert "longest way, 2.0 min: myapps/a -> " in told
    assert (
        "with these places, the last one ends after 2.0 min at least: 1 at once in policy" in told
    )
    assert "and cost 4.00, at 0.5 for a CPU's minute and 4 CPUs each" in told
    assert "not known:\n  whether a task is enabled" in told
    assert cli.main(["plan", f"{NODE}@{NEW}"]) == 0
    assert "0 task(s) in 0 layer(s)" in capsys.readouterr().out


def test_a_plan_as_json_and_as_a_drawing(wave: Wave, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs, and for a page."""
    assert cli.main(["plan", NODE, "--json", "--price", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["digest"] is None
    assert [task["layer"] for task in found["tasks"]] == [1, 1, 2, 2]
    assert found["cost"] == 0
    assert (found["limits"], found["limitedMinutes"]) == ({}, 0)
    assert [task["begins"] for task in found["tasks"]] == [0, 0, 0, 0]
    assert len(found["cycles"]) == 1
    assert cli.main(["plan", NODE, "--format", "mermaid"]) == 0
    drawn = capsys.readouterr().out.splitlines()
    assert drawn[:2] == ["flowchart LR", f'  image["{NODE}"]']
    assert "  image --> t0" in drawn
    assert "  t0 --> t2" in drawn
    assert wave.world.tasks.scheduled == []


def test_a_wave_is_told(wave: Wave, capsys: pytest.CaptureFixture[str]) -> None:
    """While it goes on, and when it is over."""
    wave.push(NODE, NEW)
    wave.deliver()
    assert cli.main(["wave", NODE]) == 1
    told = capsys.readouterr().out
    assert f"{NODE}@{NEW}: 4 task(s) in 2 layer(s): 2 building, 1 held, 1 to come\n" in told
    assert "layer 1: 2 building\n  building myapps/a: scheduled, run ca1\n" in told
    assert "  held     myapps/b: waiting for upstream tasks" in told
    assert "a cycle, rebuilt once: myapps/a -> myapps/c\n" in told
    wave.all("off")
    assert cli.main(["wave", f"{NODE}@{NEW}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["over"] is True
    assert found["counts"]["done"] == 3
    assert [layer["done"] for layer in found["layers"]] == [1, 2]
    assert {t["stage"] for t in found["tasks"]} == {"done", "failed"}
