"""Limits in the flow of a rebuild: as many under way as may be, the next one told when one ends."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.lines.line import GRACE, KEPT, Line, Waiter
from rebuilder.core.lines.rooms import LimitReached, LowerPriority
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.core.policies.holds import Paused
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.errors import (
    Conflict,
    OutcomeUnknown,
    RebuilderError,
    Refused,
    Throttled,
    TransientError,
    UnreadableRecord,
)
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering import places
from tests.unit.fakes import NEW, NEWER, NODE, OTHERS, World, run, task
from tests.unit.operators import PUSH, act, decide, head, held_for, pushed, start

ONE = "policies: {default: {maxConcurrent: 1}}"
PRIORITIES = """
    policies:
      default: {maxConcurrent: 1}
      low: {priority: 10}
      high: {priority: 90}
    rules:
      - {match: {task: "*/low*"}, policy: low}
      - {match: {task: "*/high*"}, policy: high}
    """


@pytest.fixture(autouse=True)
def _tasks(world: World) -> None:
    world.tasks.add(*(task(name) for name in ("one", "two", "low", "high", "late")))
    world.tasks.add(task("other", registry=OTHERS))
    world.ledger.record_events([PUSH], world.time.now)


def begin(world: World, *names: str) -> None:
    """Have tasks rebuilt, one after the other."""
    for name in names:
        start(world, of=task(name).id)


def under_way(world: World) -> list[str]:
    """Return the tasks whose rebuild is under way."""
    return [r.task.name for r in world.ledger.unsettled() if places.under_way(r)]


def end(world: World, name: str, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """Let the run of a task end, and be noticed."""
    rebuild = head(world, task(name).id)
    assert rebuild.run_id is not None
    world.tasks.found_runs[rebuild.run_id] = run(
        rebuild.run_id, task=name, status=status, finished=world.time.now
    )
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))


def begin_again(world: World, name: str) -> None:
    """Have a task rebuilt on the same digests once more."""
    rebuild = head(world, task(name).id)
    message = StartBuild(PUSH, rebuild.task, forced=True, after=rebuild.sequence)
    start_build(world.context, message, f"again {name}")


def sent(world: World) -> list[tuple[str, timedelta]]:
    """Return the messages to look at runs, and when they come."""
    return world.queue.take(RUNS)


def turns(world: World) -> list[str]:
    """Deliver the messages that are not put off; return whose they were."""
    found = []
    for body, delay in world.queue.take(BUILDS):
        message = StartBuild.decode(body)
        if delay:
            world.queue.send(BUILDS, body, delay)
            continue
        found.append(message.task.name)
        start_build(world.context, message, f"turn of {message.task.name}")
    return found


def line(world: World) -> Line:
    """Return the line as it is kept."""
    return Line.read(world.context.bookmarks.read(places.PLACES).place)


def test_one_waits_until_the_other_ends(world: World) -> None:
    """It is held, says why, and is told as soon as there is a place."""
    decide(world, ONE)
    begin(world, "one", "two")
    assert (under_way(world), held_for(world, task("two").id)) == (["one"], [LimitReached])
    assert "1 of policy default are under way" in str(head(world, task("two").id).outcome)
    assert turns(world) == []
    end(world, "one")
    assert turns(world) == ["two"]
    assert under_way(world) == ["two"]
    end(world, "two")
    assert (turns(world), line(world).holders) == ([], ())


def test_a_registry_has_a_limit_of_its_own(world: World) -> None:
    """The others are not kept waiting."""
    decide(world, "limits: {registries: {MyApps: 1}}")
    begin(world, "one", "two")
    start(world, of=task("other", registry=OTHERS).id)
    assert under_way(world) == ["one", "other"]
    reason = head(world, task("two").id).held
    assert reason is not None
    assert reason.reasons == (LimitReached("registry myapps", ("registry myapps",), 50, 1),)


def test_an_agent_pool_has_a_limit_of_its_own(world: World) -> None:
    """Whoever runs on the agents that everybody shares needs no place in it."""
    decide(world, "limits: {agentPools: {MyApps/Linux: 1}}")
    world.tasks.add(*(replace(task(n), agent_pool="linux") for n in ("one", "two")))
    begin(world, "one", "two", "low")
    assert sorted(under_way(world)) == ["low", "one"]
    room = "agent pool myapps/linux"
    reason = head(world, task("two").id).held
    assert reason is not None
    assert reason.reasons == (LimitReached(room, (room,), 50, 1),)
    end(world, "one")
    assert turns(world) == ["two"]


def test_all_limits_count(world: World) -> None:
    """That of a policy, and that of the registry."""
    decide(
        world,
        """
        policies:
          default: {maxConcurrent: 2}
          single: {maxConcurrent: 1, selectable: true}
        limits: {registries: {myapps: 3}}
        """,
    )
    world.tasks.add(*(replace(task(n), tags=(("rebuilder-policy", "single"),)) for n in ("a", "b")))
    begin(world, "a", "b", "one", "two")
    assert under_way(world) == ["a", "one"]
    assert line(world).holders[0].rooms == (
        "policy default",
        "policy single",
        "registry myapps",
    )
    end(world, "a")
    assert turns(world) == ["b"]


def test_the_most_urgent_is_next(world: World) -> None:
    """And a place that is kept for it is given to nobody else."""
    decide(world, PRIORITIES)
    begin(world, "one", "low", "two", "high")
    end(world, "one")
    world.time.pass_(60)
    begin(world, "late")
    assert held_for(world, task("late").id) == [LowerPriority]
    assert "others come first: 1 that wait" in str(head(world, task("late").id).outcome)
    order = list[str]()
    for _ in range(4):
        order += turns(world)
        world.time.pass_(60)
        end(world, order[-1])
    assert order == ["high", "two", "late", "low"]


def test_whoever_waits_becomes_more_urgent(world: World) -> None:
    """An hour and twenty minutes make up for what the policies put between them."""
    decide(world, PRIORITIES)
    begin(world, "one", "low")
    world.time.pass_(81 * 60)
    begin(world, "high")
    end(world, "one")
    assert turns(world) == ["low"]


def test_since_when_it_waits_is_kept_over_newer_digests(world: World) -> None:
    """A newer image takes the place in the line of the one before."""
    decide(world, ONE)
    begin(world, "one", "two")
    began = head(world, task("two").id).held
    world.time.pass_(600)
    start(world, pushed(world, NEWER), task("two").id)
    newest = head(world, task("two").id)
    assert newest.bases == (f"{NODE}@{NEWER}",)
    assert newest.held is not None
    assert began is not None
    assert newest.held.lined == began.lined
    assert [waiter.sequence for waiter in line(world).waiters] == [2]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Throttled("slow", timedelta(seconds=5)), False),
        (TransientError("down"), True),
        (Refused("X", "no"), False),
    ],
)
def test_what_is_not_under_way_has_no_place(
    world: World, failure: RebuilderError, *, raised: bool
) -> None:
    """ARM took nothing: the next one goes."""
    decide(world, ONE)
    world.tasks.failures["schedule"] = [failure]
    if raised:
        with pytest.raises(TransientError):
            begin(world, "one")
    else:
        begin(world, "one")
    assert under_way(world) == []
    world.time.pass_(10)
    begin(world, "two")
    assert under_way(world) == ["two"]


def test_a_run_of_which_nobody_knows_has_its_place(world: World) -> None:
    """Until it is found, or found not to be."""
    decide(world, ONE)
    world.tasks.effect_first = True
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    begin(world, "one", "two")
    assert held_for(world, task("two").id) == [LimitReached]
    world.tasks.found_runs["ca1"] = replace(world.tasks.found_runs["ca1"], task="one")
    world.time.pass_(91)
    begin(world, "one")
    assert under_way(world) == ["one"]
    assert len(world.tasks.scheduled) == 1


def test_one_that_is_taken_over_keeps_its_place(world: World) -> None:
    """Whoever claimed it died before anything was sent; those who wait were not told."""
    decide(world, ONE)
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    begin(world, "one", "two")
    world.time.pass_(91)
    begin(world, "one")
    assert (under_way(world), len(world.tasks.scheduled)) == (["one"], 1)


def test_a_place_of_who_died_is_given_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says that it is over: whoever asks next finds that."""
    decide(world, ONE)
    begin(world, "one")
    with monkeypatch.context() as patch:
        patch.setattr(places, "leave", lambda *_: None)
        end(world, "one")
    assert len(line(world).holders) == 1
    begin(world, "two")
    assert under_way(world) == ["two"]


def test_whether_they_live_is_not_asked_by_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in a while is enough."""
    decide(world, ONE)
    begin(world, "one")
    asked: list[int] = []
    heads = world.ledger.heads

    def counted(tasks: object) -> object:
        asked.append(1)
        return heads(tasks)  # type: ignore[arg-type]

    monkeypatch.setattr(world.ledger, "heads", counted)
    begin(world, "two", "low", "high")
    assert asked == [1]
    world.time.pass_(10)
    world.tasks.add(task("more"))
    begin(world, "more")
    assert asked == [1, 1]


def test_the_end_is_told_again_by_whoever_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that ended it comes again, for its process died before the next was told."""
    decide(world, ONE)
    begin(world, "one", "two")
    with monkeypatch.context() as patch:
        patch.setattr(places, "leave", lambda *_: None)
        end(world, "one")
    assert turns(world) == []
    ended = head(world, task("one").id)
    track_build(world.context, TrackBuild(ended.task, ended.sequence, ended.version - 1))
    assert turns(world) == ["two"]


def test_the_sweep_tells_who_was_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was lost: the record of who waits, and the message for whose turn it is."""
    decide(world, ONE)
    begin(world, "one", "two")
    mark = world.context.bookmarks.read(places.PLACES)
    world.context.bookmarks.save(replace(mark, place=Line().write()))
    monkeypatch.setattr(places, "GRACE", timedelta())
    sweep(world.context, "s")
    assert turns(world) == ["two"]


def test_one_that_is_held_for_something_else_does_not_wait_here(world: World) -> None:
    """Whose turn it is has been paused meanwhile: the next one goes."""
    decide(world, ONE)
    begin(world, "one", "two")
    world.time.pass_(1)
    begin(world, "low")
    act(world, What.PAUSE, Target(Scope.TASK, "*/two"))
    end(world, "one")
    assert turns(world) == ["two"]
    assert held_for(world, task("two").id) == [Paused]
    assert turns(world) == ["low"]
    assert under_way(world) == ["low"]


def test_one_that_is_asked_for_by_hand_and_held_does_not_wait_here(world: World) -> None:
    """It is paused by now: the next one goes."""
    decide(world, ONE)
    begin(world, "one", "two")
    act(world, What.PAUSE, Target(Scope.TASK, "*/two"))
    message = StartBuild(PUSH, task("two").id, forced=True, after=1)
    start_build(world.context, message, "by hand")
    assert held_for(world, task("two").id) == [Paused]
    assert line(world).waiters == ()


def test_a_claim_that_comes_to_nothing_gives_its_place_up(world: World) -> None:
    """Whoever took it over finds that the task is gone: the next one is told."""
    decide(world, ONE)
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    begin(world, "one", "two")
    del world.tasks.known[task("one").id]
    world.time.pass_(91)
    begin(world, "one")
    assert head(world, task("one").id).state is State.SKIPPED
    assert turns(world) == ["two"]


def test_one_that_is_over_is_not_waited_for(world: World) -> None:
    """It was skipped meanwhile, and whoever did so told nobody."""
    decide(world, ONE)
    begin(world, "one", "two")
    world.time.pass_(1)
    begin(world, "low")
    waiting = head(world, task("two").id)
    world.ledger.save(replace(waiting, state=State.SKIPPED, due=None))
    end(world, "one")
    assert turns(world) == ["low"]
    assert [w.task.name for w in line(world).waiters] == []


def test_one_that_is_about_to_be_held_is_told_again(world: World) -> None:
    """It asked for a place just now, and its record is not written yet."""
    decide(world, ONE)
    begin(world, "one")
    asked = Waiter(task("two").id, 1, ("policy default",), world.time.now, 50, asked=world.time.now)
    places.ask(world.context, asked, head(world, task("one").id))
    end(world, "one")
    assert (turns(world), len(line(world).waiters)) == ([], 1)
    world.time.pass_(GRACE.total_seconds() + 1)
    places.refill(world.context, ())
    assert line(world).waiters == ()


def test_who_has_been_built_meanwhile_does_not_wait(world: World) -> None:
    """By a run of ACR's own trigger, say; nothing is kept for it."""
    decide(world, ONE)
    begin(world, "one", "two")
    waiting = head(world, task("two").id)
    world.ledger.save(replace(waiting, state=State.SCHEDULED, run_id="ca9"))
    places.settle(world.context, task("two").id)
    assert line(world).waiters == ()
    places.settle(world.context, task("never").id)


def test_somebody_was_quicker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was a place when it asked; when it took it there was none."""
    decide(world, ONE)
    ask = places.ask

    def slower(context: Context, wanted: Waiter, rebuild: Rebuild) -> object:
        found = ask(context, wanted, rebuild)
        monkeypatch.setattr(places, "ask", ask)
        begin(world, "two")
        return found

    monkeypatch.setattr(places, "ask", slower)
    begin(world, "one")
    assert (under_way(world), held_for(world, task("one").id)) == (["two"], [LimitReached])
    end(world, "two")
    assert turns(world) == ["one"]
    assert under_way(world) == ["one"]


def test_without_limits_nobody_asks(world: World) -> None:
    """No request more, and nothing is written; what was limited before goes on."""
    decide(world, ONE)
    begin(world, "one", "two")
    decide(world, "rules: []")
    assert turns(world) == ["two"]
    assert under_way(world) == ["one", "two"]
    version = world.context.bookmarks.read(places.PLACES).version
    end(world, "one")
    places.settle(world.context, task("one").id)
    assert world.context.bookmarks.read(places.PLACES).version == version
    unlimited = Waiter(task("one").id, 1, ("x",), world.time.now, 50)
    assert places.take(world.context, unlimited, head(world, task("one").id)) is None


def _claimed_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have a task's pause end, and its rebuild begin, between somebody's look and what follows."""
    look = getattr(world.ledger, name)

    def slow(wanted: object) -> object:
        found = look(wanted)
        monkeypatch.setattr(world.ledger, name, look)
        act(world, What.RESUME, Target(Scope.TASK, "*/one"))
        begin(world, "one")
        return found

    monkeypatch.setattr(world.ledger, name, slow)


def test_who_looked_before_it_was_claimed_takes_no_place_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paused a moment ago: its place is of a later version of its record."""
    decide(world, ONE)
    act(world, What.PAUSE, Target(Scope.TASK, "*/one"))
    begin(world, "one")
    assert held_for(world, task("one").id) == [Paused]
    _claimed_meanwhile(world, monkeypatch, "head")
    places.settle(world.context, task("one").id)
    begin(world, "two")
    assert (under_way(world), held_for(world, task("two").id)) == (["one"], [LimitReached])


def test_a_place_that_is_taken_again_is_not_given_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held it died before that was told; somebody looks, and it is claimed meanwhile."""
    decide(world, ONE)
    begin(world, "one")
    claimed = head(world, task("one").id)
    act(world, What.PAUSE, Target(Scope.TASK, "*/one"))
    world.ledger.save(replace(claimed, state=State.HELD, hold=Hold.GATE, run_id=None))
    _claimed_meanwhile(world, monkeypatch, "heads")
    begin(world, "two")
    assert (under_way(world), held_for(world, task("two").id)) == (["one"], [LimitReached])


def test_a_line_that_nobody_can_read_lets_nothing_begin(world: World) -> None:
    """Nobody knows how many are under way."""
    decide(world, ONE)
    world.context.bookmarks.save(Bookmark(places.PLACES, "{"))
    with pytest.raises(UnreadableRecord, match="who has a place"):
        begin(world, "one")
    assert world.tasks.scheduled == []


def test_what_runs_is_followed_though_nobody_can_read_what_was_decided(world: World) -> None:
    """Nothing begins; but its end is recorded, and what failed is tried again."""
    decide(world, ONE)
    begin(world, "one", "two")
    mark = world.context.steering.acts()
    world.context.steering.save_acts(replace(mark, place="{"))
    world.context.in_force.forget()
    end(world, "one", RunStatus.FAILED)
    assert head(world, task("one").id).state is State.FAILED
    with pytest.raises(UnreadableRecord):
        begin(world, "one")


def test_a_line_that_is_broken_keeps_no_end_from_being_recorded(world: World) -> None:
    """Whoever asks for a place is told."""
    decide(world, ONE)
    begin(world, "one")
    mark = world.context.bookmarks.read(places.PLACES)
    world.context.bookmarks.save(replace(mark, place="{"))
    end(world, "one")
    assert head(world, task("one").id).state is State.SUCCEEDED


def test_everybody_asks_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is slower tries again, and not for ever."""
    decide(world, ONE)
    begin(world, "one")
    rebuild = head(world, task("one").id)
    end(world, "one")
    save, tries = world.context.bookmarks.save, list[int]()

    def slower(mark: Bookmark) -> Bookmark:
        if mark.name == places.PLACES:
            tries.append(1)
            if len(tries) != 3:
                raise Conflict("slower")
        return save(mark)

    monkeypatch.setattr(world.context.bookmarks, "save", slower)
    wanted = Waiter(task("one").id, 1, ("policy default",), world.time.now, 50)
    assert places.take(world.context, wanted, rebuild) is None
    assert len(tries) == 3
    with pytest.raises(Conflict):
        places.take(world.context, replace(wanted, task=task("two").id), rebuild)


def test_of_very_many_all_get_their_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who are not kept in the line are found by their records when it becomes short."""
    monkeypatch.setattr("rebuilder.core.lines.line.KEPT", 4)
    monkeypatch.setattr("rebuilder.core.lines.line._FEW", 2)
    assert KEPT == 500
    decide(world, ONE)
    names = [f"t{number}" for number in range(10)]
    world.tasks.add(*(task(name) for name in names))
    begin(world, "one", *names)
    assert len(line(world).waiters) == 4
    order = ["one"]
    for _ in names:
        end(world, order[-1])
        order += turns(world)
    assert sorted(order[1:]) == sorted(names)


def test_never_more_at_once_and_everybody_in_the_end(world: World) -> None:
    """Many threads, two instances, owners that die between any two steps: never above the limit."""
    limit, seeded = 3, random.Random(7)  # noqa: S311 - a test
    decide(world, f"policies: {{default: {{maxConcurrent: {limit}}}}}")
    names = [f"t{number}" for number in range(20)]
    world.tasks.add(*(task(name) for name in names))
    for name in names:
        world.queue.send(BUILDS, StartBuild(PUSH, task(name).id).encode())
    other = replace(world.context, in_force=type(world.context.in_force)())
    done: set[str] = set()
    for round_ in range(400):
        if len(done) == len(names):
            break
        messages = world.queue.take(BUILDS)

        def work(number: int, body: str, round_: int = round_) -> None:
            context = (world.context, other)[number % 2]
            try:
                start_build(context, StartBuild.decode(body), f"{round_} {number}")
            except TransientError:
                world.queue.send(BUILDS, body)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(len(messages)), [body for body, _ in messages]))
        alive = [r for r in world.tasks.found_runs.values() if not r.status.terminal]
        assert len(alive) <= limit
        assert len(line(world).holders) <= limit
        for found in seeded.sample(alive, min(len(alive), 2)):
            world.tasks.found_runs[found.run_id] = replace(
                found, status=RunStatus.SUCCEEDED, finished=world.time.now
            )
        for body, _ in world.queue.take(RUNS):
            message = TrackBuild.decode(body)
            if seeded.random() < 0.2:
                # Whoever ends it dies before it gives its place up.
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(places, "leave", lambda *_: None)
                    track_build(world.context, message)
                world.queue.send(RUNS, body)
            else:
                track_build(world.context, message)
        world.time.pass_(5)
        heads = [head(world, task(name).id) for name in names]
        done = {found.task.name for found in heads if found.state is State.SUCCEEDED}
    assert done == set(names)
    assert len(world.tasks.scheduled) == len(names)


def test_what_it_waits_for_is_kept_with_its_record(world: World) -> None:
    """Nothing is held without an end or somebody who ends it."""
    decide(world, ONE)
    begin(world, "one", "two")
    found = head(world, task("two").id)
    assert isinstance(found, Rebuild)
    assert found.held is not None
    (reason,) = found.held.reasons
    assert reason.ends is None
    assert "begins by itself when one of them ends" in reason.ender()
    assert f"{NODE}@{NEW}" in found.bases


def test_a_pause_alone_limits_nothing(world: World) -> None:
    """There is no policy file, and the pause is for another task."""
    act(world, What.PAUSE, Target(Scope.TASK, "*/other"))
    begin(world, "one", "two")
    assert under_way(world) == ["one", "two"]


def test_who_observes_takes_no_place(world: World) -> None:
    """Nothing is started, so nothing is limited."""
    decide(world, ONE)
    begin(world, "one")
    world.context = replace(world.context, settings=replace(world.settings, observe=True))
    begin(world, "two")
    assert world.ledger.head(task("two").id) is None
    assert line(world).waiters == ()


def test_a_late_message_of_what_is_over_gives_no_place_away(world: World) -> None:
    """Not even that of the same task, whose next rebuild is under way."""
    decide(world, ONE)
    begin(world, "one")
    first = head(world, task("one").id)
    end(world, "one")
    world.time.pass_(60)
    newer = replace(PUSH, digest=NEWER, pushed_at=world.time.now)
    world.ledger.record_events([newer], world.time.now)
    world.images.digests[NODE] = NEWER
    start_build(world.context, StartBuild(newer, task("one").id), "m9")
    assert under_way(world) == ["one"]
    track_build(world.context, TrackBuild(first.task, first.sequence, first.version))
    begin(world, "two")
    assert under_way(world) == ["one"]


def next_looks(world: World, *names: str) -> list[float]:
    """Look at the runs of some tasks, which go on; return after how many seconds again."""
    world.queue.take(RUNS)
    for name in names:
        rebuild = head(world, task(name).id)
        assert rebuild.run_id is not None
        world.tasks.found_runs[rebuild.run_id] = run(rebuild.run_id, task=name)
        track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
        assert head(world, rebuild.task).due is not None
    return [delay.total_seconds() for _, delay in world.queue.take(RUNS)]


def test_a_run_is_looked_at_when_it_usually_ends_if_its_place_is_awaited(world: World) -> None:
    """By those of the task itself, or else by those that were over last; else as ever."""
    decide(world, ONE)
    begin(world, "one")
    assert next_looks(world, "one") == [15]  # nobody waits
    begin(world, "late", "two")
    assert next_looks(world, "one") == [5]  # nobody knows how long it takes
    world.time.pass_(20)
    end(world, "one")
    assert (turns(world), line(world).took) == (["late"], (20,))
    world.time.pass_(12)
    assert next_looks(world, "late") == [9]  # as the other took
    world.time.pass_(13)
    end(world, "late")
    assert (turns(world), line(world).took) == (["two"], (25, 20))
    assert next_looks(world, "two") == [15]
    begin_again(world, "late")
    world.time.pass_(24)
    end(world, "two")
    assert turns(world) == ["late"]
    begin_again(world, "two")
    world.time.pass_(20)
    assert next_looks(world, "late") == [6]  # as it took itself


def test_the_first_look_comes_as_early_where_others_wait(world: World) -> None:
    """A run that is begun while others wait is looked at by the same rule."""
    decide(world, ONE)
    begin(world, "one", "late", "two")
    world.queue.take(RUNS)
    world.time.pass_(8)
    end(world, "one")
    turns(world)
    found = [(TrackBuild.decode(body).task.name, d.total_seconds()) for body, d in sent(world)]
    assert found == [("late", 9)]


def test_a_line_that_cannot_be_read_fails_no_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a run is looked at as often as any other."""
    decide(world, ONE)
    begin(world, "one", "two")

    def fail(name: str) -> Bookmark:
        raise TransientError(name)

    with monkeypatch.context() as failing:
        failing.setattr(world.context.bookmarks, "read", fail)
        assert next_looks(world, "one") == [15]
    assert next_looks(world, "one") == [5]
    mark = world.context.bookmarks.read(places.PLACES)
    world.context.bookmarks.save(replace(mark, place="{"))
    assert next_looks(world, "one") == [15]
