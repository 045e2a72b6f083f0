"""Acts that hold a policy file, or name dead letters: carried out with the first app's rights."""

from __future__ import annotations

from copy import replace
from typing import cast

import pytest

from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.policies.acts import Act, NewPolicy, Target, What
from rebuilder.core.policies.approval import NeedsApproval
from rebuilder.core.policies.holds import Frozen
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, PUSHES, OperatorAct, StartBuild
from rebuilder.errors import Denied, InvalidMessage, StoreUnavailable
from rebuilder.ports.queue import WorkQueue
from rebuilder.ports.steering import Steering
from rebuilder.usecases.steering.acts import ask, carry_out, history
from tests.unit.fakes import World, dependency, task
from tests.unit.operators import carry_out_all, held_for, start

FREEZE = "version: 1\nfreezes: [{name: sales, from: 2026-01-01, to: 2026-01-09, timezone: UTC}]\n"
AGREED = "version: 1\npolicies: {default: {approval: {votes: 1}}}\n"


def put(world: World, what: What = What.APPLY, **policy: object) -> Act:
    """Ask for a policy file as the page does, and have it carried out; return what is told."""
    before = str(policy.pop("before", world.context.steering.token()))
    wanted = NewPolicy(before, **policy)  # type: ignore[arg-type] # as the tests say
    asked = ask(world.context, what, Target(), who="ann", because="nights", policy=wanted)
    carry_out_all(world)
    world.time.pass_(1)
    (told,) = history(world.context, 1)
    assert told.id == asked.id
    return told


def test_a_file_is_put_in_force_and_what_waits_is_looked_at(world: World) -> None:
    """With who and why, as if they had applied it; the file is not kept with the act."""
    world.tasks.add(task("build-app", dependency()))
    first = put(world, text=FREEZE)
    start(world)
    assert held_for(world) == [Frozen]
    world.queue.take(BUILDS)
    second = put(world, text=AGREED)

    assert first.came == "version 1 is in force; 0 rebuild(s) looked at again"
    assert second.came == "version 2 is in force; 1 rebuild(s) looked at again"
    ((body, _),) = world.queue.take(BUILDS)
    assert StartBuild.decode(body).task == task().id
    start(world)
    assert held_for(world) == [NeedsApproval]
    newest = world.context.steering.versions(1)[0]
    assert (newest.who, newest.because, newest.number) == ("ann", "nights", 2)
    assert second.policy is None
    assert "approval" not in world.context.steering.acts().place


def test_a_file_is_applied_once_however_often_it_is_delivered(world: World) -> None:
    """Also if whoever applied it died before it was told."""
    wanted = NewPolicy("", FREEZE)
    asked = ask(world.context, What.APPLY, Target(), who="ann", because="x", policy=wanted)
    for _ in range(3):
        carry_out(world.context, asked)
    assert [v.number for v in world.context.steering.versions(9)] == [1]
    (told,) = history(world.context, 9)
    assert told.came.startswith("version 1 is in force")


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"text": AGREED, "before": ""}, "another policy file was applied meanwhile"),
        ({"text": "version: 2\n"}, "policy.yaml:1:10: 2: write 1"),
        ({"number": 7}, "there is no version 7 of the policy file"),
    ],
)
def test_what_cannot_be_applied_is_told_and_changes_nothing(
    world: World, policy: dict[str, object], why: str
) -> None:
    """It is no dead letter: to do it again would not help."""
    put(world, text=FREEZE)
    told = put(world, What.ROLLBACK if "number" in policy else What.APPLY, **policy)
    assert told.came.startswith(f"nothing: {why}")
    assert [v.number for v in world.context.steering.versions(9)] == [1]


def test_a_version_before_is_gone_back_to(world: World) -> None:
    """As a new version that says so."""
    put(world, text=FREEZE)
    put(world, text=AGREED)
    told = put(world, What.ROLLBACK, number=1)

    assert told.came == "version 3 is in force; 0 rebuild(s) looked at again"
    newest = world.context.steering.versions(1)[0]
    assert newest.text == FREEZE
    assert newest.because == "back to version 1: nights"


class _ReadOnly:
    """What operators decided, where the first app may only read."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def apply(self, _text: str, **_more: object) -> None:
        """Refuse it."""
        raise Denied("no role on the container")

    def __getattr__(self, name: str) -> object:
        return getattr(self._steering, name)


def test_the_first_apps_own_rights_count(world: World) -> None:
    """Where it may not write the file, nothing comes of it, and the history says why."""
    steering = cast("Steering", _ReadOnly(world.context.steering))
    context = replace(world.context, steering=steering)
    wanted = NewPolicy("", FREEZE)
    carry_out(context, ask(context, What.APPLY, Target(), who="ann", because="x", policy=wanted))
    (told,) = history(context, 1)
    assert told.came == "nothing: no role on the container"


def test_a_message_holds_the_file(world: World) -> None:
    """It comes out as it went in; a message of the version before has none."""
    wanted = NewPolicy('"1"', "version: 1\n# ü\n", 0)
    asked = ask(world.context, What.APPLY, Target(), who="ann", because="x", policy=wanted)
    ((body, _),) = world.queue.take(ACTS)
    assert OperatorAct.decode(body).act == asked
    before = OperatorAct(replace(asked, policy=None)).encode().replace(',"policy":null', "")
    assert "policy" not in before
    assert OperatorAct.decode(before).act.policy is None


def kept(world: World, source: str, body: str) -> str:
    """Keep a dead letter; return its id."""
    letter = DeadLetter(Origin.QUEUE, source, body, "reason", world.time.now)
    world.context.dead_letters.record(letter)
    return letter.id


def about(world: World, what: What, *of: str) -> Act:
    """Have something done with dead letters; return what is told."""
    world.time.pass_(1)
    asked = ask(world.context, what, Target(), who="ann", because="mended", of=of)
    world.time.pass_(1)
    for _ in range(2):  # delivered twice
        carry_out(world.context, asked)
    world.queue.take(ACTS)
    (told,) = history(world.context, 1)
    return told


def test_letters_are_replayed_once_and_each_is_told(world: World) -> None:
    """One of a queue that is gone keeps no other from it."""
    good, odd = kept(world, PUSHES, "a body"), kept(world, "rebuilder-none", "b")
    told = about(world, What.REPLAY, good, odd, "none")

    assert [body for body, _ in world.queue.take(PUSHES)] == ["a body"]
    assert told.who == "ann"
    assert f"{good}: it is replayed" in told.came  # as the second delivery found it
    assert f"{odd}: not: dead letter {odd}: there is no queue rebuilder-none" in told.came
    assert "none: it is gone" in told.came
    assert [letter.id for letter in world.context.dead_letters.waiting()] == [odd]
    again = about(world, What.REPLAY, good)
    assert [body for body, _ in world.queue.take(PUSHES)] == ["a body"]
    assert again.came == f"{good}: it is replayed"


def test_letters_are_discarded(world: World) -> None:
    """For good; of many, the first few are told."""
    names = [kept(world, PUSHES, f"body {number}") for number in range(7)]
    asked = ask(world.context, What.DISCARD, Target(), who="a", because="b", of=tuple(names))
    carry_out(world.context, asked)
    (told,) = history(world.context, 1)
    assert told.came.endswith(f"{names[4]}: discarded; and 2 more")
    carry_out(world.context, asked)
    assert world.context.dead_letters.all() == []


def test_an_act_about_no_letter_is_none(world: World) -> None:
    """Nor one about more than an act may be about."""
    for of in ((), ("x",) * 501):
        asked = ask(world.context, What.REPLAY, Target(), who="a", because="", of=of)
        with pytest.raises(InvalidMessage, match=f"names {len(of)} dead letters"):
            carry_out(world.context, asked)


def test_what_is_left_of_the_letters_is_tried_again(world: World) -> None:
    """A queue that is out of order: the act is delivered again, and the others are done."""
    name = kept(world, PUSHES, "a body")
    gone = kept(world, "rebuilder-none", "b")

    class _Away:
        def send(self, *_: object) -> None:
            raise StoreUnavailable("the queue is away")

    context = replace(world.context, queue=cast("WorkQueue", _Away()))
    asked = ask(world.context, What.REPLAY, Target(), who="a", because="", of=(gone, name))
    with pytest.raises(StoreUnavailable):
        carry_out(context, asked)
    assert len(world.context.dead_letters.waiting()) == 2
    world.time.pass_(1)
    carry_out(world.context, asked)
    assert [letter.id for letter in world.context.dead_letters.waiting()] == [gone]
