"""When a run is looked at next whose place others wait for."""

from __future__ import annotations

from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from rebuilder.core.rebuilds.looks import lasted, middle, next_look, usual
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from tests.unit.fakes import task

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DONE = Rebuild(
    task().id, 1, "key", (), "push", State.SUCCEEDED, NOW, "me", NOW, run_ended=NOW, finished_at=NOW
)


def seconds(number: float) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("so_far", "expected", "wait"),
    [
        # When it is expected to end, and a second.
        (0, 10, 11),
        (15, 20, 6),
        (19.5, 20, 1.5),
        # No later than anybody looks.
        (0, 20, 15),
        (15, 300, 15),
        # It takes longer: the less often, the longer it does.
        (20, 20, 5),
        (60, 20, 5),
        (84, 20, 8),
        (600, 20, 15),
        # Nobody knows how long it takes.
        (0, None, 5),
        (40, None, 5),
        (80, None, 10),
        (600, None, 15),
        # By a clock that was ahead.
        (-60, None, 5),
        (-60, 20, 15),
    ],
)
def test_when_a_run_is_looked_at_next(so_far: float, expected: float | None, wait: float) -> None:
    """By how long it has gone on and is expected to take, and by the setting."""
    known = None if expected is None else seconds(expected)
    assert next_look(seconds(so_far), known, seconds(15)) == seconds(wait)


def test_nobody_is_looked_at_less_often_than_the_setting_says() -> None:
    """What is set to two seconds stays so."""
    assert next_look(seconds(0), None, seconds(2)) == seconds(2)


def test_how_long_rebuilds_usually_take() -> None:
    """The median of those that succeeded, by ARM's time of the end; what tells nothing is left."""
    took = [replace(DONE, run_ended=NOW + seconds(number)) for number in (30, 90, 40)]
    failed = replace(took[0], state=State.GIVEN_UP, run_ended=NOW + seconds(1))
    going = replace(DONE, state=State.RUNNING, run_ended=None, finished_at=None)
    assert usual([going, failed, *took, DONE]) == seconds(40)
    assert usual([going, failed, DONE]) is None
    assert lasted(replace(DONE, run_ended=None, finished_at=NOW + seconds(7))) == seconds(7)
    assert lasted(going) is None
    assert middle([]) is None
    assert middle([seconds(1), seconds(4)]) == seconds(2.5)
