"""Approval: who has to agree, and whose vote counts for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.policies.approval import Approval, NeedsApproval, Vote, lacking, stricter
from rebuilder.core.policies.gate import Go, Hold, applies, gate
from rebuilder.core.policies.holds import Held, from_record, to_record
from tests.unit.policies.making import HOUR, NOW, TASK, asked, in_force, policies

TWO = "policies: {default: {approval: {votes: 2, expires: 48h}}}"


def vote(who: str, age: timedelta = timedelta()) -> Vote:
    """Return a vote of some age."""
    return Vote(f"a-{who}-{age}", who, "tested", NOW - age)


def held(*votes: Vote, text: str = TWO, asked_by: str = "") -> NeedsApproval | None:
    """Return what is still needed."""
    question = asked(votes=votes, asked_by=asked_by)
    found = gate(question, in_force(text), NOW)
    if isinstance(found, Go):
        return None
    assert found.until is None
    (reason,) = found.reasons
    assert isinstance(reason, NeedsApproval)
    return reason


def test_each_person_counts_once_and_for_a_while() -> None:
    """The last vote of a person counts, in whatever case a name is written."""
    assert held(vote("ann"), vote("bob")) is None
    one = held(vote("ann", HOUR), vote("ANN"))
    assert one is not None
    assert one.given == (vote("ANN"),)
    assert held(vote("ann", 48 * HOUR), vote("bob")) is not None
    assert held(vote("ann", 47 * HOUR), vote("bob")) is None


def test_who_asked_for_it_does_not_agree_to_it() -> None:
    """Unless the file says that they may."""
    found = held(vote("ann"), vote("bob"), asked_by="Bob")
    assert found is not None
    assert [given.who for given in found.given] == ["ann"]
    assert "not by Bob, who asked for it" in found.ender()
    alone = "policies: {default: {approval: {votes: 1, byOneself: true}}}"
    assert held(vote("bob"), text=alone, asked_by="bob") is None


def test_what_is_needed_is_told() -> None:
    """With the command that gives it, and who agreed until when."""
    found = held(vote("ann"))
    assert found is not None
    assert found.sentence() == (
        "needs approval: 1 of 2 vote(s) for these digests: ann at 2026-11-26 12:00 UTC (tested),"
        " until 2026-11-28 12:00 UTC"
    )
    assert found.ender() == "`rebuilder approve prodregistry/web --because WHY`, or `reject`"
    none = held()
    assert none is not None
    assert none.sentence() == "needs approval: 0 of 2 vote(s) for these digests"


def test_a_rule_can_take_it_back_and_a_tag_can_not() -> None:
    """The last rule wins; a task's own tags only tighten."""
    text = """
        policies:
          default: {approval: {votes: 1, expires: 2d}}
          free: {selectable: true, approval: {votes: 0}}
          more: {selectable: true, approval: {votes: 2, expires: 3d, byOneself: true}}
        rules: [{match: {base: "*security*"}, policy: free}]
        """
    urgent = asked(moved=("b.azurecr.io/security/node:1",))
    assert gate(urgent, in_force(text), NOW) == Go()
    freed = asked(tags={"rebuilder-policy": "free"})
    assert isinstance(gate(freed, in_force(text), NOW), Hold)
    file = policies(text)
    found = applies(file, TASK, asked().moved, (("rebuilder-policy", "more"),))
    assert found.approval == Approval(2, timedelta(days=2))
    assert dict(found.sources)["approval"] == "the task's tag rebuilder-policy=more"
    both = (*asked().moved, *urgent.moved)
    assert applies(file, TASK, both, ()).approval == Approval(1, timedelta(days=2))


def test_what_is_kept_is_written_and_read() -> None:
    """Votes, who asked, who rejected."""
    needs = held(vote("ann"))
    assert needs is not None
    found = Held((needs,), NOW, NOW, (), "v", (vote("ann"),), "bob", vote("eve"))
    assert from_record(to_record(found)) == found


@pytest.mark.parametrize("nothing", [None, Approval(0)])
def test_nobody_is_asked_without_approval(nothing: Approval | None) -> None:
    """No file, or no votes."""
    assert lacking(nothing, (), task="t", asked_by="", now=NOW) is None


_approvals = st.none() | st.builds(
    Approval,
    st.integers(0, 4),
    st.integers(1, 90).map(lambda hours: hours * HOUR),
    st.booleans(),
)
_votes = st.lists(
    st.builds(vote, st.sampled_from("abcd"), st.integers(0, 100).map(lambda hours: hours * HOUR)),
    max_size=6,
)


@given(_approvals, _approvals, _votes, st.sampled_from(["", "a"]))
def test_what_is_stricter_lets_nothing_more_begin(
    one: Approval | None, other: Approval | None, votes: list[Vote], by: str
) -> None:
    """What either holds, both together hold."""
    both = stricter(one, other)
    assert both == stricter(other, one)
    for approval in (one, other):
        if lacking(approval, votes, task="t", asked_by=by, now=NOW):
            assert lacking(both, votes, task="t", asked_by=by, now=NOW)
