from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.policies.acts import (
    PAGE,
    Act,
    Controls,
    Scope,
    Target,
    What,
    from_record,
    to_record,
)
from tests.unit.policies.making import NOW, pause

ALL, TEAM = Target(), Target(Scope.TASK, "team/*")


def act(number: int, what: What, target: Target = ALL, at: int = 0) -> Act:
    """Return an act, at some second."""
    when = NOW + timedelta(seconds=at)
    return Act(f"a{number}", what, target, "ann", "because", when)


def test_a_pause_is_in_force_until_it_is_resumed_or_over() -> None:
    """Each target has its own."""
    paused = Controls().done(act(1, What.PAUSE)).done(act(2, What.PAUSE, TEAM, 1))
    assert [p.target for p in paused.in_force(NOW)] == [ALL, TEAM]
    resumed = paused.done(act(3, What.RESUME, ALL, 2))
    assert [p.target for p in resumed.in_force(NOW)] == [TEAM]
    until = replace(pause(until=NOW), id="u")
    assert Controls().done(until).in_force(NOW) == ()


def test_a_pause_that_is_repeated_replaces_the_one_before() -> None:
    """With its own reason and end."""
    again = replace(act(2, What.PAUSE, ALL, 5), because="still bad")
    assert Controls().done(act(1, What.PAUSE)).done(again).pauses == (again,)


def test_the_same_act_is_done_once() -> None:
    """A message is delivered at least once."""
    once = Controls().done(act(1, What.PAUSE))
    assert once.done(act(1, What.PAUSE)) is once
    resumed = once.done(act(2, What.RESUME, ALL, 1))
    assert resumed.done(act(1, What.PAUSE)).pauses == ()


@given(st.permutations([1, 2, 3, 4, 5]))
def test_messages_may_overtake_each_other(order: list[int]) -> None:
    """Whatever comes first, the newest act on a target counts."""
    acts = {n: act(n, What.PAUSE if n % 2 else What.RESUME, ALL, n) for n in range(1, 6)}
    found = Controls()
    for number in order:
        found = found.done(acts[number])
    assert [p.id for p in found.pauses] == ["a5"]


def test_acts_are_kept_in_pages() -> None:
    """The last ones stand with what is in force; those before are counted."""
    found = Controls()
    for number in range(PAGE):
        found = found.done(act(number, What.PAUSE, TEAM, number))
    assert (len(found.acts), found.before) == (PAGE, 0)
    found = found.done(act(PAGE, What.APPLY, ALL, PAGE))
    assert (len(found.acts), found.before) == (1, PAGE)
    assert [p.target for p in found.pauses] == [TEAM]
    assert Controls.read(found.write()) == found
    assert Controls.read("") == Controls()


def test_an_act_is_written_and_read() -> None:
    """As a message carries it; what is none is refused."""
    found = replace(act(1, What.PAUSE, TEAM), until=NOW)
    assert from_record(to_record(found)) == found
    with pytest.raises(ValueError, match="actId"):
        from_record({"id": "x"})
    assert str(TEAM) == "--task team/*"
