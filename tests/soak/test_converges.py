"""Short forms of the soak: seeded, in a process of their own so that a seed replays exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def soak(*options: str) -> tuple[int, str]:
    """Play some soak in a process of its own; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *options],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,  # its exit code is looked at
    )
    return done.returncode, done.stdout + done.stderr


# Every round is some hundred thousand calls; other tests run beside it.
@pytest.mark.timeout(1800)
def test_rounds_converge() -> None:
    """Whatever fails on the way: at rest nothing is lost, doubled or stale."""
    code, told = soak("--rounds", "4", "--steps", "250", "--seed", "1")
    assert code == 0, told
    total = json.loads(told.splitlines()[-1])
    assert total["failed"] == []
    assert total["crashes"] > 0
    assert total["lost_events"] > 0


@pytest.mark.timeout(1800)
def test_rounds_that_operators_steer_converge() -> None:
    """No run in a pause, outside a window or over a limit; at rest nothing is left that may go."""
    code, told = soak("--rounds", "2", "--steps", "120", "--seed", "1", "--steered")
    assert code == 0, told
    assert json.loads(told.splitlines()[-1])["runs"] > 50


def test_a_seed_replays_exactly() -> None:
    """The same seed and round give the same history, line by line."""
    options = ("--seed", "7", "--round", "1", "--steps", "25", "-v")
    first, second = (soak(*options)[1].splitlines()[:-1] for _ in range(2))
    assert len(first) > 50
    assert first == second


def test_many_events_three_times_each() -> None:
    """500 pushes, each told three times, in any order: one rebuild each."""
    code, told = soak("--events", "500")
    assert code == 0, told
    total = json.loads(told.splitlines()[-1])
    assert total["events"] == 1500
    assert total["runs"] == 500


def test_stories_end_well() -> None:
    """Storage for a minute, ARM for ten, the identity endpoint: everything comes through after."""
    code, told = soak("--stories")
    assert code == 0, told
    assert json.loads(told.splitlines()[-1])["rebuilt"] == 9
