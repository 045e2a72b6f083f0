"""What operators do, in a world of fakes: decide, act, and have it carried out."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from textwrap import dedent

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Target, What
from rebuilder.core.policies.reason import Reason
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct, StartBuild
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.steering.acts import ask, carry_out
from rebuilder.usecases.steering.policy_file import apply_policy
from tests.unit.fakes import BASE, NEW, NODE, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")


def decide(world: World, text: str) -> None:
    """Apply a policy file, and carry out what comes of it."""
    text = "version: 1\n" + dedent(text).lstrip("\n")
    apply_policy(world.context, text, file="p.yaml", who="ann", because="test")
    carry_out_all(world)


def act(
    world: World,
    what: What,
    target: Target | None = None,
    who: str = "ann",
    of: tuple[str, ...] = (),
) -> Act:
    """Do something as an operator, and carry it out."""
    asked = ask(world.context, what, target or Target(), who=who, because="why", of=of)
    carry_out_all(world)
    world.time.pass_(1)
    return asked


def carry_out_all(world: World) -> None:
    """Carry out what operators asked for."""
    for body, _ in world.queue.take(ACTS):
        carry_out(world.context, OperatorAct.decode(body).act)


def start(world: World, push: Push = PUSH, of: TaskId | None = None) -> None:
    """Deliver the message of a push to build a task."""
    start_build(world.context, StartBuild(push, of or task().id), "me")


def deliver(world: World) -> list[timedelta]:
    """Deliver every message to build that waits, however long; return how long they waited."""
    messages = world.queue.take(BUILDS)
    for number, (body, _) in enumerate(messages):
        start_build(world.context, StartBuild.decode(body), f"later {number}")
    return [delay for _, delay in messages]


def pushed(world: World, digest: str) -> Push:
    """Return another push of the tag, which was told of."""
    world.images.digests[NODE] = digest
    push = replace(PUSH, digest=digest)
    world.ledger.record_events([push], world.time.now)
    return push


def head(world: World, of: TaskId | None = None) -> Rebuild:
    """Return the newest rebuild of a task."""
    found = world.ledger.head(of or task().id)
    assert found is not None
    return found


def held_for(world: World, of: TaskId | None = None) -> list[type[Reason]]:
    """Return why the newest rebuild of a task is held."""
    found = head(world, of)
    assert (found.state, found.hold) == (State.HELD, Hold.GATE), found.outcome
    assert found.held is not None
    return [type(reason) for reason in found.held.reasons]
