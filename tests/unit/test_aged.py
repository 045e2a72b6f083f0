"""Images that are older than a policy lets them be, and builds that fail as often as one says."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from typing import Any

import pytest

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.rebuilds.messages import BUILDS, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.errors import Conflict, Denied, TransientError
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up import aged
from rebuilder.usecases.catch_up.aged import ask_for_aged
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.index.refresh_index import scan_registry
from tests.unit.fakes import APPS, NEW, NODE, OTHERS, World, dependency, run, task
from tests.unit.operators import PUSH, decide, deliver, head, start

MONTH = timedelta(days=30)
AGE = "policies: {default: {maxAge: 30d}}"


@pytest.fixture(autouse=True)
def _one_task(world: World) -> None:
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.ledger.record_events([PUSH], world.time.now)
    world.ledger.planned(PUSH)


def ran(world: World, name: str = "build-app", status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """Let a run of a task have ended now, which nobody here started."""
    number = f"cb{len(world.tasks.found_runs)}"
    world.tasks.found_runs[number] = run(
        number, task=name, status=status, finished=world.time.now, trigger="Commit"
    )


def end(world: World, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """Let the run of the task end, and be noticed."""
    rebuild = head(world)
    assert rebuild.run_id is not None
    found = run(rebuild.run_id, task=rebuild.task.name, status=status, finished=world.time.now)
    world.tasks.found_runs[rebuild.run_id] = found
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))


def test_an_image_is_built_again_when_it_is_too_old(world: World) -> None:
    """By whoever built it; and again after as long, and not before."""
    decide(world, AGE)
    ran(world)
    world.time.pass_(29 * 86400)
    assert ask_for_aged(world.context) == 0
    world.time.pass_(86400)
    assert sweep(world.context, "s").aged == 1
    (body,) = [b for b, _ in world.queue.take(BUILDS)]
    world.queue.send(BUILDS, body)
    hand = StartBuild.decode(body).hand
    assert hand is not None
    assert hand.sentence() == (
        "by maxAge at 2026-02-01 03:04 UTC: its image is of 2026-01-02 03:04 UTC"
    )
    deliver(world)
    assert head(world).state is State.SCHEDULED
    assert ask_for_aged(world.context) == 0
    end(world)
    asked = world.tasks.listed
    world.time.pass_(29 * 86400)
    assert ask_for_aged(world.context) == 0
    assert world.tasks.listed == asked  # ARM is asked of what is old by our own account alone
    world.time.pass_(2 * 86400)
    assert ask_for_aged(world.context) == 1
    deliver(world)
    assert (head(world).sequence, len(world.tasks.scheduled)) == (2, 2)


def test_one_that_is_built_while_somebody_stands_still_is_not_old(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They see a time that was ahead of them when they began: a commit's run has ended."""
    decide(world, AGE)
    ran(world)
    world.time.pass_(31 * 86400)
    look = world.tasks.runs

    def slow(*of: Any, **more: Any) -> object:  # noqa: ANN401 - passed on
        world.time.pass_(60)
        ran(world)
        return look(*of, **more)

    monkeypatch.setattr(world.tasks, "runs", slow)
    assert ask_for_aged(world.context) == 0


def test_one_that_fails_is_not_asked_for_all_the_time(world: World) -> None:
    """After as long as the image may be old, it is tried again."""
    decide(world, "policies: {default: {maxAge: 30d, attempts: 1}}")
    ran(world)
    world.time.pass_(31 * 86400)
    assert ask_for_aged(world.context) == 1
    deliver(world)
    end(world, RunStatus.FAILED)
    assert head(world).state is State.GIVEN_UP
    world.time.pass_(29 * 86400)
    assert ask_for_aged(world.context) == 0
    world.time.pass_(2 * 86400)
    assert ask_for_aged(world.context) == 1


@pytest.mark.parametrize("fails", [None, RunStatus.FAILED])
def test_what_was_never_built_is_left(world: World, fails: RunStatus | None) -> None:
    """Nobody knows how old it is, or it is no image."""
    decide(world, AGE)
    if fails:
        ran(world, status=fails)
    world.time.pass_(90 * 86400)
    assert ask_for_aged(world.context) == 0


@pytest.mark.parametrize(
    "text",
    [
        "rules: []",
        'policies: {a: {maxAge: 30d}}\nrules: [{match: {task: "x"}, policy: a}]',
        'policies: {default: {maxAge: 30d}}\nrules: [{match: {task: "*"}, ignore: true}]',
    ],
)
def test_what_no_policy_says_it_for_is_left(world: World, text: str) -> None:
    """And what is left alone."""
    decide(world, text)
    ran(world)
    world.time.pass_(90 * 86400)
    assert ask_for_aged(world.context) == 0


def test_a_tag_makes_it_longer_and_never_shorter(world: World) -> None:
    """Whoever owns the task can have it built less often."""
    decide(
        world,
        """
        policies:
          default: {maxAge: 30d}
          rarely: {selectable: true, maxAge: 60d}
          often: {selectable: true, maxAge: 1d}
        """,
    )
    ran(world)
    tagged = task("build-app", dependency(built_on=NEW))
    world.tasks.add(replace(tagged, tags=(("rebuilder-policy", "rarely"),)))
    world.time.pass_(31 * 86400)
    assert ask_for_aged(world.context) == 0
    world.tasks.add(replace(tagged, tags=(("rebuilder-policy", "often"),)))
    world.time.pass_(-3 * 86400)
    assert ask_for_aged(world.context) == 0
    world.time.pass_(33 * 86400)
    assert ask_for_aged(world.context) == 1


def test_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call goes on where this one stopped, and begins anew at the end."""
    names = [f"t{number}" for number in range(5)]
    world.tasks.add(*(task(name) for name in names))
    scan_registry(world.context, APPS)
    decide(world, AGE)
    for name in names:
        ran(world, name)
    world.time.pass_(31 * 86400)
    monkeypatch.setattr(aged, "MOST", 2)
    assert [ask_for_aged(world.context) for _ in range(3)] == [2, 2, 1]
    asked = {StartBuild.decode(body).task.name for body, _ in world.queue.take(BUILDS)}
    assert asked == set(names)
    monkeypatch.setattr(aged, "_LOOKED", 1)
    assert ask_for_aged(world.context) == 0  # the first one has no run
    assert ask_for_aged(world.context) == 1


def test_one_that_cannot_be_told_keeps_no_other_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that may not be read is left; a store that is down is everybody's trouble."""
    world.tasks.add(task("other"))
    scan_registry(world.context, APPS)
    decide(world, AGE)
    ran(world)
    ran(world, "other")
    world.time.pass_(31 * 86400)
    world.tasks.denied.add(task().id)
    assert ask_for_aged(world.context) == 1
    world.tasks.failures["runs"] = [TransientError("down")]
    with pytest.raises(TransientError):
        ask_for_aged(world.context)
    world.tasks.failures["runs"] = [Denied("no role")]
    assert ask_for_aged(world.context) == 1

    def slower(_: object) -> object:
        raise Conflict("another call")

    monkeypatch.setattr(world.context.bookmarks, "save", slower)
    ask_for_aged(world.context)


def test_who_observes_asks_for_nothing(world: World) -> None:
    """It would be the same again, at every sweep."""
    decide(world, AGE)
    ran(world)
    world.time.pass_(31 * 86400)
    observing = replace(world.context, settings=replace(world.settings, observe=True))
    assert ask_for_aged(observing) == 0


def test_a_task_that_follows_no_tag_is_left(world: World) -> None:
    """A run would make the same image."""
    pinned = dependency(f"{NODE.rpartition(':')[0]}@{NEW}", None)
    world.tasks.add(task("pinned", pinned))
    scan_registry(world.context, APPS)
    decide(world, AGE)
    ran(world, "pinned")
    world.time.pass_(31 * 86400)
    assert ask_for_aged(world.context) == 0


@pytest.mark.parametrize(("said", "attempts"), [("", 3), ("attempts: 1", 1), ("attempts: 5", 5)])
def test_a_build_is_tried_as_often_as_a_policy_says(world: World, said: str, attempts: int) -> None:
    """Else as often as the settings say."""
    decide(world, f"policies: {{default: {{{said}}}}}")
    world.tasks.add(task())
    start(world)
    for number in range(attempts):
        assert head(world).attempt == number + 1
        assert head(world).state is State.SCHEDULED
        end(world, RunStatus.FAILED)
        world.time.pass_(86400)
        start(world)
    assert head(world).state is State.GIVEN_UP


def test_a_task_that_is_gone_is_tried_as_often(world: World) -> None:
    """What its tags would say is not known."""
    decide(world, "policies: {default: {attempts: 1}}")
    world.tasks.add(task())
    start(world)
    world.tasks.known.clear()
    end(world, RunStatus.FAILED)
    assert head(world).state is State.GIVEN_UP
