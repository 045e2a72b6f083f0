"""Approval in the flow of a rebuild: it waits, people vote, and the digests they saw are built."""

from __future__ import annotations

import getpass
from copy import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.audit.model import AuditVerdict as Verdict
from rebuilder.core.audit.standing import of_attempt
from rebuilder.core.decisions.operators import Rejected
from rebuilder.core.decisions.reasons import from_record, to_record
from rebuilder.core.policies.acts import MOST, Hand, Scope, Target, What
from rebuilder.core.policies.approval import NeedsApproval, Vote
from rebuilder.core.policies.holds import OutsideWindow
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct, StartBuild
from rebuilder.core.rebuilds.rebuild import Failure, Rebuild, State
from rebuilder.errors import Conflict, InvalidMessage
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.steering.acts import ask, carry_out, history
from rebuilder.usecases.steering.votes import to_be_approved
from tests.unit.fakes import NEW, NEWER, NODE, World, task
from tests.unit.operators import (
    PUSH,
    act,
    carry_out_all,
    decide,
    deliver,
    head,
    held_for,
    pushed,
    start,
)

ONE = "policies: {default: {approval: {votes: 1, expires: 48h}}}"
TWO = "policies: {default: {approval: {votes: 2}}}"


@pytest.fixture(autouse=True)
def _one_task(world: World) -> None:
    world.tasks.add(task())
    world.ledger.record_events([PUSH], world.time.now)


def votes(world: World) -> list[str]:
    """Return who agreed to the newest rebuild."""
    held = head(world).held
    return [] if held is None else [vote.who for vote in held.votes]


def approve(world: World, who: str = "bob") -> None:
    """Approve the newest rebuild."""
    act(world, What.APPROVE, Target(Scope.TASK, "myapps/*"), who, (head(world).id,))


def test_it_begins_when_enough_people_agree(world: World) -> None:
    """Two, who are not the same; looked at again by what they say, and built once."""
    decide(world, TWO)
    start(world)
    assert held_for(world) == [NeedsApproval]
    assert "0 of 2 vote(s)" in str(head(world).outcome)
    approve(world)
    approve(world)
    deliver(world)
    assert held_for(world) == [NeedsApproval]
    assert "1 of 2 vote(s) for these digests: bob" in str(head(world).outcome)
    approve(world, "ann")
    deliver(world)

    assert head(world).state is State.SCHEDULED
    assert votes(world) == ["bob", "bob", "ann"]
    assert len(world.tasks.scheduled) == 1
    newest = next(history(world.context, 1))
    assert (newest.what, newest.who, newest.because) == (What.APPROVE, "ann", "why")
    assert (newest.came, newest.of) == ("1 rebuild(s) approved", ())


def test_a_vote_that_was_delivered_twice_counts_once(world: World) -> None:
    """Whatever is delivered again changes nothing, and sends the message again."""
    decide(world, TWO)
    start(world)
    world.queue.take(BUILDS)
    found = ask(world.context, What.APPROVE, Target(), who="bob", because="", of=(head(world).id,))
    carry_out_all(world)
    before = head(world)
    carry_out(world.context, found)

    assert head(world) == before
    assert votes(world) == ["bob"]
    assert len(world.queue.take(BUILDS)) == 2


def test_a_newer_digest_asks_again(world: World) -> None:
    """What was agreed to is not built, for it is not the newest; the newest is nobody's choice."""
    decide(world, ONE)
    start(world)
    approve(world)
    start(world, pushed(world, NEWER))
    deliver(world)

    assert held_for(world) == [NeedsApproval]
    assert head(world).bases == (f"{NODE}@{NEWER}",)
    assert (votes(world), world.tasks.scheduled) == ([], [])


def test_an_approval_of_what_has_moved_on_is_none(world: World) -> None:
    """The one who votes has seen the older digest."""
    decide(world, ONE)
    start(world)
    seen = head(world).id
    start(world, pushed(world, NEWER))
    found = act(world, What.APPROVE, Target(), "bob", (seen,))
    deliver(world)

    assert (held_for(world), votes(world)) == ([NeedsApproval], [])
    told = next(a for a in history(world.context, 9) if a.id == found.id)
    assert told.came == "0 rebuild(s) approved; 1 did not wait for it, or not any more"


def test_an_approval_expires(world: World) -> None:
    """Outside its window it waited for too long; it is asked again."""
    window = 'windows: [{days: [wed], from: "00:00", to: "24:00", timezone: UTC}]'
    decide(world, f"policies: {{default: {{approval: {{votes: 1, expires: 48h}}, {window}}}}}")
    start(world)
    assert held_for(world) == [OutsideWindow, NeedsApproval]
    approve(world)
    deliver(world)
    assert held_for(world) == [OutsideWindow]
    due = head(world).due
    assert due is not None
    world.time.now = due + timedelta(days=4)
    start(world)

    assert held_for(world) == [NeedsApproval]
    assert votes(world) == ["bob"]


def test_a_next_attempt_is_on_what_was_agreed_to(world: World) -> None:
    """It is on the same digests, and nobody is asked a second time."""
    decide(world, ONE)
    start(world)
    approve(world)
    deliver(world)
    world.ledger.save(replace(head(world), state=State.FAILED, due=world.time.now))
    start(world)

    assert (head(world).attempt, head(world).state) == (2, State.SCHEDULED)
    world.ledger.save(replace(head(world), state=State.SUCCEEDED, due=None))
    start(world, pushed(world, NEWER))
    assert held_for(world) == [NeedsApproval]


def test_what_is_rejected_is_left_for_these_digests(world: World) -> None:
    """With who and why; a newer digest is asked about, and so is a retry."""
    decide(world, ONE)
    start(world)
    rejected = head(world)
    found = act(world, What.REJECT, Target(Scope.TASK, "*"), "eve", (rejected.id,))
    deliver(world)

    left = head(world)
    assert (left.id, left.state, left.failure) == (
        rejected.id,
        State.GIVEN_UP,
        Failure.REJECTED,
    )
    assert left.outcome == "rejected by eve at 2026-01-02 03:04 UTC: why"
    decision = Rejected(task().id, left.id, left.bases, "eve", "why", found.at)
    assert start_build(world.context, StartBuild(PUSH, task().id), "me") == decision
    assert [r.decision for r in world.ledger.decisions(PUSH)] == [decision]
    assert from_record(to_record(decision)) == decision
    assert "rejected by eve" in decision.sentence()
    assert of_attempt(left, world.time.now, timedelta(hours=1)) == (
        Verdict.LEFT,
        decision.sentence(),
    )
    hand = Hand("a", "mia", "", world.time.now)
    again = StartBuild(PUSH, task().id, forced=True, after=1, hand=hand)
    start_build(world.context, again, "me")
    assert held_for(world) == [NeedsApproval]
    held = head(world).held
    assert held is not None
    assert (held.asked_by, held.rejected) == ("mia", None)
    approve(world, "mia")
    deliver(world)
    assert held_for(world) == [NeedsApproval]
    approve(world, "ann")
    deliver(world)
    assert head(world).state is State.SCHEDULED


def test_a_rejection_of_another_digest_is_over(world: World) -> None:
    """The next one is asked about."""
    decide(world, ONE)
    start(world)
    act(world, What.REJECT, Target(), "eve", (head(world).id,))
    start(world, pushed(world, NEWER))
    assert held_for(world) == [NeedsApproval]


def test_acts_about_rebuilds_name_some(world: World) -> None:
    """And not any number of them; what came of it is remembered."""
    for of in ((), ("x",) * (MOST + 1)):
        found = ask(world.context, What.APPROVE, Target(), who="a", because="", of=of)
        with pytest.raises(InvalidMessage, match=f"names {len(of)} rebuilds"):
            carry_out(world.context, found)
        assert next(history(world.context, 1)).came.startswith("nothing: act ")
        world.time.pass_(1)


def test_who_is_quicker_does_not_keep_the_others_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record was changed meanwhile: the others are done, and it is delivered again."""
    other = task("other")
    world.tasks.add(other)
    decide(world, ONE)
    start(world)
    start(world, of=other.id)
    world.queue.take(BUILDS)
    ids = (head(world).id, head(world, other.id).id)
    save = world.ledger.save

    def slower(rebuild: Rebuild) -> Rebuild:
        if rebuild.task == other.id:
            monkeypatch.setattr(world.ledger, "save", save)
            raise Conflict("slower")
        return save(rebuild)

    monkeypatch.setattr(world.ledger, "save", slower)
    found = ask(world.context, What.APPROVE, Target(), who="bob", because="", of=ids)
    with pytest.raises(Conflict):
        carry_out(world.context, found)
    assert votes(world) == ["bob"]
    carry_out(world.context, found)
    deliver(world)

    assert len(world.tasks.scheduled) == 2
    assert next(history(world.context, 1)).came == "2 rebuild(s) approved"


def test_a_vote_whose_message_was_lost_is_found_by_the_sweep(world: World) -> None:
    """The record says that it is to be looked at."""
    decide(world, ONE)
    start(world)
    approve(world)
    world.queue.take(BUILDS)
    assert sweep(world.context, "s").resumed == 1
    deliver(world)
    assert head(world).state is State.SCHEDULED


def test_what_waits_is_found_by_task_and_by_base(world: World) -> None:
    """And nothing that waits for something else."""
    decide(world, ONE)
    start(world)
    (found,) = to_be_approved(world.context, [Target(Scope.BASE, "mybase/images/node:*")])
    assert found == head(world)
    for pattern in ("mybase/images/go:*", f"*@{NEW}"):
        assert to_be_approved(world.context, [Target(Scope.BASE, pattern)]) == []
    approve(world)
    deliver(world)
    assert to_be_approved(world.context, [Target()]) == []


def test_an_instance_that_has_not_heard_yet_looks_again(world: World) -> None:
    """A message tells which decisions its sender saw: what was read before is read again, once."""
    act(world, What.PAUSE)
    start(world)
    behind = world.context.in_force.now(world.context.steering, world.time.now)
    carried_out_elsewhere = replace(world.context, in_force=type(world.context.in_force)())
    ask(world.context, What.RESUME, Target(), who="ann", because="")
    (body, _), *_ = world.queue.take(ACTS)
    carry_out(carried_out_elsewhere, OperatorAct.decode(body).act)
    known = world.context.in_force.now(world.context.steering, world.time.now)
    assert known == behind
    deliver(world)

    assert head(world).state is State.SCHEDULED


# The commands.


@pytest.fixture(name="known")
def _known(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The command sees this world."""
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.chdir(tmp_path)
    decide(world, ONE)
    start(world)
    return world


@pytest.mark.parametrize(
    "arguments", [["build-app"], ["myapps/bui?d-*"], ["x", "*/*"], ["--base", "*node*"]]
)
def test_approve_many_at_once(
    known: World, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """By tasks or by base, with patterns; what is approved is listed."""
    assert cli.main(["approve", *arguments, "--because", "tested"]) == 0
    assert capsys.readouterr().out == f"myapps/build-app  on {NODE}@{NEW}: to be approved\n"
    carry_out_all(known)
    deliver(known)

    assert head(known).state is State.SCHEDULED
    held = head(known).held
    assert held is not None
    (vote,) = held.votes
    assert (vote.who, vote.because) == (getpass.getuser(), "tested")
    assert isinstance(vote, Vote)


def test_reject(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing that fits is told."""
    assert cli.main(["reject", "other", "--because", "bad"]) == 1
    assert "Nothing that fits waits for approval" in capsys.readouterr().out
    assert cli.main(["reject", "build-app", "--because", "bad"]) == 0
    assert capsys.readouterr().out.endswith(": to be rejected\n")
    carry_out_all(known)
    assert head(known).failure is Failure.REJECTED


def test_what_applies_is_shown(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With who has to agree."""
    assert cli.main(["policy", "show", "build-app"]) == 0
    shown = capsys.readouterr().out
    assert "approval: 1 vote(s), each for 48:00:00, not by who asked for it" in shown
    assert "now: needs approval: 0 of 1" in shown
    decide(known, "policies: {default: {approval: {votes: 1, byOneself: true}}}")
    assert cli.main(["policy", "show", "build-app"]) == 0
    assert "not by who asked" not in capsys.readouterr().out
    decide(known, "policies: {default: {approval: {votes: 0}}}")
    assert cli.main(["policy", "show", "build-app"]) == 0
    assert "approval: none  (policy default)" in capsys.readouterr().out


def test_more_than_one_act_can_name_is_several(
    known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait, none is left out."""
    known.tasks.add(task("other"))
    start(known, of=task("other").id)
    monkeypatch.setattr("rebuilder.cli._acts.MOST", 1)
    assert cli.main(["approve", "*", "--because", "all"]) == 0
    acts = [OperatorAct.decode(body).act for body, _ in known.queue.take(ACTS)]
    assert sorted(a.of for a in acts) == sorted(
        [(head(known).id,), (head(known, task("other").id).id,)]
    )
