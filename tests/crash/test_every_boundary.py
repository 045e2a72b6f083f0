"""A process is killed before and after every effect of every function; nothing comes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash._host import (
    DECIDING,
    FUNCTIONS,
    MOST,
    POLICY,
    TIMERS,
    WAVE,
)
from tests.crash._story import Point, kill, played


@pytest.fixture(
    name="points", scope="module", params=["", POLICY], ids=["without policy", "with policy"]
)
def _points(request: pytest.FixtureRequest) -> Iterator[list[Point]]:
    """Play the story once for all functions, each message delivered by the host."""
    with played(0, request.param) as points:
        yield points


def test_every_function_has_boundaries(
    points: list[Point], capsys: pytest.CaptureFixture[str]
) -> None:
    """The story calls every function, and there is enough to be killed at."""
    total = sum(point.boundaries for point in points)
    with capsys.disabled():
        print(f"\n{total} boundaries of {len(points)} calls of {len(FUNCTIONS)} functions")  # noqa: T201 - the promise
    # Without a policy nothing waits for an act.
    assert set(FUNCTIONS) - {point.name for point in points} <= {"carry_out_act"}
    assert total > 100


@pytest.mark.timeout(1800)  # each boundary is a process and the rest of the story
@pytest.mark.parametrize("function", FUNCTIONS)
def test_killed_at_every_boundary(function: str, points: list[Point]) -> None:
    """Wherever a process dies, each task is built once, successfully, and nothing is left over."""
    kill(function, points)


@pytest.mark.timeout(1800)
def test_killed_while_it_goes_on_at_once() -> None:
    """From the event to the runs in one call: what was begun is delivered later, and built once."""
    with played(MOST) as points:
        names = [point.name for point in points]
        assert names[0] == "image_pushed"
        before = names[: names.index(TIMERS[0])]
        assert not {"plan_rebuilds", "start_build"} & set(before)
        kill("image_pushed", points)


@pytest.fixture(name="wave", scope="module")
def _wave() -> Iterator[list[Point]]:
    """Play the story of a wave that operators, a canary and an upstream task hold."""
    with played(0, WAVE, reads=False) as points:
        yield points


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("function", DECIDING)
def test_killed_while_operators_decide(function: str, wave: list[Point]) -> None:
    """Wherever a process dies that holds, wakes, quarantines, releases, rejects or counts."""
    kill(function, wave)
