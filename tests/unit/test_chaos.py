"""The judge of `make chaos`, and its last lines: a check that cannot fail proves nothing."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import Played, table, told
from tests.chaos.judge import SeenRun, Verdict, judge

NEWEST = {"apps/one": "node 2", "apps/two": "node 2"}
DONE = [SeenRun("apps/one", "Succeeded", "node 2"), SeenRun("apps/two", "Succeeded", "node 2")]


def test_one_run_on_each_newest_digest_is_clean() -> None:
    """Runs on older ones, and those that failed, count for nothing."""
    before = [SeenRun("apps/one", "Succeeded", "node 1"), SeenRun("apps/two", "Failed", "")]
    assert judge(NEWEST, [*before, *DONE], 0).clean


def test_what_nothing_will_rebuild_is_lost() -> None:
    """The image of its last run stands on an older digest, and nothing waits."""
    runs = [DONE[0], SeenRun("apps/two", "Succeeded", "node 1")]
    assert judge(NEWEST, runs, 0) == Verdict(lost=("apps/two: no run on node 2",))


@pytest.mark.parametrize("base", ["node 1", "node 2"])
def test_a_second_run_on_one_digest_is_doubled(base: str) -> None:
    """Whichever digest it is."""
    twice = [SeenRun("apps/one", "Succeeded", base)] * 2
    found = judge(NEWEST, [*twice, *DONE[base == "node 2" :]], 0)
    assert found.doubled == (f"apps/one: 2 runs on {base}",)
    assert not found.clean


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Running"])
def test_a_run_of_a_task_that_should_have_none_is_one_too_many(status: str) -> None:
    """However it ended."""
    found = judge(NEWEST, [*DONE, SeenRun("strangers/one", status, "")], 0)
    assert found.doubled == ("strangers/one: 1 run(s), and there should be none",)


def test_what_waits_is_stuck_not_lost() -> None:
    """A message or a run without an end: something may come yet, and did not."""
    assert judge(NEWEST, DONE[:1], 3).stuck == (
        "apps/two: no run on node 2",
        "3 message(s) still wait",
    )
    running = judge(NEWEST, [DONE[0], SeenRun("apps/two", "Running", "")], 0)
    assert running.stuck == ("apps/two: a run is Running", "apps/two: no run on node 2")
    assert not running.lost


def test_messages_that_nobody_works_off_are_stuck() -> None:
    """Although everything is built: what waits may be a run too many, later."""
    assert judge(NEWEST, DONE, 1) == Verdict(stuck=("1 message(s) still wait",))


def test_a_part_is_clean_only_if_the_audit_says_so_and_nothing_else_went_wrong() -> None:
    """Judge, audit, problems: each of them alone is enough."""
    assert Played("p", "1 kills", Verdict(), "Clean").clean
    assert not Played("p", "1 kills", Verdict(), "NOT clean").clean
    assert not Played("p", "1 kills", Verdict(lost=("x",)), "Clean").clean
    assert not Played("p", "1 kills", Verdict(), "Clean", problems=("x",)).clean


def test_the_table_counts_and_the_lines_before_it_name() -> None:
    """What, how many, lost, doubled, stuck, and the product's own answer."""
    bad = Played("kills, sqlite", "20 kills", Verdict(("a",), ("b", "c"), ()), "Clean", ("d",))
    out = Played("storage, sqlite", "0", left_out="it takes root")
    lines = table([bad, out]).splitlines()
    assert lines[0].split("  ")[0] == "what"
    assert " ".join(lines[2].split()) == "kills, sqlite 20 kills 1 2 0 Clean; 1 problem(s)"
    assert lines[3].endswith("left out: it takes root")
    named = told(bad)
    assert "NOT clean" in named
    whole = ["lost: a", "doubled: b", "doubled: c", "problem: d"]
    assert [line.strip() for line in named.splitlines()[1:]] == whole
    assert "left out: it takes root" in told(out)
