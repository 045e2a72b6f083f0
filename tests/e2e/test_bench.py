"""The measurements run, and their last line is what a program reads. Nothing is timed here."""

from __future__ import annotations

import json

import pytest

from bench import index


def test_planning_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of JSON per run; a plan of 1,000 builds asks ARM for nothing."""
    assert index.main(["--stores", "sqlite", "--sizes", "1000,1200"]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(r["store"], r["tasks"]) for r in told["results"]] == [
        ("sqlite", 1000),
        ("sqlite", 1200),
    ]
    assert {json.dumps(r["armCalls"]) for r in told["results"]} == {"{}"}
    assert set(told["ratioLargestToSmallest"]) == {"sqlite"}


def test_fewer_tasks_than_dependents_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The dependents are among the tasks."""
    with pytest.raises(SystemExit, match="2"):
        index.main(["--sizes", "10"])

    assert "at least 1000" in capsys.readouterr().err
