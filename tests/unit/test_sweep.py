from __future__ import annotations

import sys
from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import RunStatus, Task
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, BuiltWhileMoving
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.index import IndexScan
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Conflict, Denied, TransientError
from rebuilder.usecases.catch_up import sweep as usecase
from rebuilder.usecases.catch_up.sweep import BOOKMARK, SweepReport, sweep
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.leases import acquire_lease, release_lease
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, OTHERS, World, dependency, run, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
GO = "mybase.azurecr.io/images/go:1"


def known(world: World, *tasks: Task) -> None:
    """Put tasks into ARM and into the index."""
    world.tasks.add(*tasks)
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)


def rebuild(world: World, state: State, **changes: object) -> Rebuild:
    """Store a rebuild of the task `build-app` on the new digest."""
    now = world.time.now
    values: dict[str, object] = {
        "task": task().id,
        "sequence": 1,
        "key": "k" * 64,
        "bases": (f"{NODE}@{NEW}",),
        "push": PUSH.key,
        "state": state,
        "claimed_at": now,
        "owner": "o",
        "lease_until": now + timedelta(seconds=90),
    }
    made = Rebuild(**{**values, **changes})  # type: ignore[arg-type] # checked by its users
    assert world.ledger.claim(made)
    return made


def pushed(world: World) -> list[Push]:
    """Return the pushes whose plans were asked for."""
    return [PlanRebuilds.decode(body).push for body, _ in world.queue.take(PUSHES)]


def later(world: World, minutes: float) -> SweepReport:
    """Sweep after a while."""
    world.time.pass_(minutes * 60)
    return sweep(world.context, "me")


def test_what_an_event_missed_is_found_once(world: World) -> None:
    """A tag that names another digest than a task is built on becomes a push like any other."""
    known(world, task(), task("fresh", dependency(built_on=NEW)))
    report = sweep(world.context, "me")

    assert report.missed == [PUSH.key]
    assert (report.tags, report.complete) == (1, True)
    assert report.reads == 1 + 2  # the registry, and the tasks of the plan
    assert [push.key for push in pushed(world)] == [PUSH.key]
    assert [r.push.event for r in world.ledger.pushes(BASE, "images/node", "9")] == ["sweep"]
    assert sweep(world.context, "me").missed == []


def test_what_is_built_on_the_digest_needs_nothing(world: World) -> None:
    """A tag that everybody is built on, one that is gone and a foreign one start nothing."""
    world.ledger.record_events([PUSH], world.time.now)
    known(
        world,
        task("fresh", dependency(built_on=NEW)),
        task("gone", dependency(GO)),
        task("pinned", dependency(f"{NODE}@{OLD}")),
        task("foreign", dependency("docker.io/library/alpine:3")),
    )
    report = sweep(world.context, "me")

    assert (report.missed, report.tags, world.queue.sent) == ([], 2, [])


def test_a_digest_that_no_event_told_of_is_planned_once(world: World) -> None:
    """The record may be that of a run which pulled the digest before: the plan looks closer."""
    known(world, task("fresh", dependency(built_on=NEW)))

    assert sweep(world.context, "me").missed == [PUSH.key]
    assert later(world, 20).missed == []


@pytest.mark.parametrize(
    ("state", "changes", "found"),
    [
        (State.SUCCEEDED, {}, False),
        (State.GIVEN_UP, {}, False),
        (State.CLAIMED, {}, False),
        (State.SKIPPED, {}, True),
        (State.SUCCEEDED, {"bases": (f"{NODE}@{NEWER}",)}, True),
        (State.SUCCEEDED, {"bases": (f"{GO}@{NEW}",)}, True),
    ],
)
def test_a_rebuild_on_the_digest_is_enough(
    world: World, state: State, changes: dict[str, object], *, found: bool
) -> None:
    """What was rebuilt, is being rebuilt or was given up on the digest is left alone."""
    known(world, task())
    rebuild(world, state, **changes)

    assert bool(sweep(world.context, "me").missed) is found


def test_the_newest_rebuild_for_the_tag_counts(world: World) -> None:
    """A later rebuild for another image does not hide the one for this tag."""
    known(world, task())
    rebuild(world, State.SUCCEEDED)
    rebuild(world, State.SUCCEEDED, sequence=2, bases=(f"{GO}@{OLD}",))

    assert sweep(world.context, "me").missed == []


@pytest.mark.parametrize("built_on", [OLD, NEW])
@pytest.mark.parametrize(
    ("disabled", "soon", "at_last"),
    [(False, 10, 16), (True, 50, 61)],
)
def test_a_decision_is_given_time(
    world: World, soon: float, at_last: float, built_on: str, *, disabled: bool
) -> None:
    """A build has time to come; a task that was left alone is asked about again after a while.

    Whatever its record names: a run that ended since may have pulled the digest before.
    """
    known(world, task("build-app", dependency(built_on=built_on)))
    world.ledger.record_events([PUSH], world.time.now)
    world.time.pass_(16 * 60)
    decision = (
        TaskDisabled(task().id)
        if disabled
        else BaseMoved(task().id, NODE, "runtime", OLD, NEW, "event")
    )
    world.ledger.record_decisions(PUSH, [decision], world.time.now)

    assert later(world, soon).missed == []
    assert later(world, at_last - soon).missed == [PUSH.key]


def test_a_task_that_came_after_the_push_is_asked_about_once(world: World) -> None:
    """The run that its edit started may have begun before the push, and ended after it."""
    world.ledger.record_events([PUSH], world.time.now)
    other = AlreadyBuiltOn(task("other").id, NODE, NEW, "registry")
    world.ledger.record_decisions(PUSH, [other], world.time.now)
    world.ledger.planned(PUSH)
    known(world, task("build-app", dependency(built_on=NEW)))
    world.images.came[NEW] = world.time.now
    began, ended = world.time.now - timedelta(minutes=1), world.time.now + timedelta(minutes=1)
    ran = run("ran", status=RunStatus.SUCCEEDED, created=began, started=began, finished=ended)
    world.tasks.found_runs["ran"] = ran
    assert later(world, 59).missed == []
    assert later(world, 1).missed == [PUSH.key]

    ((body, _),) = world.queue.take(PUSHES)
    decided = plan_rebuilds(world.context, PlanRebuilds.decode(body))
    assert [type(decision) for decision in decided] == [BuiltWhileMoving]


def test_a_record_that_was_looked_at_stands(world: World) -> None:
    """What was found to be built on the digest is not asked about again."""
    known(world, task("build-app", dependency(built_on=NEW)))
    world.ledger.record_events([PUSH], world.time.now)
    world.ledger.record_decisions(PUSH, [TaskDisabled(task().id)], world.time.now)
    world.time.pass_(1)
    found = AlreadyBuiltOn(task().id, NODE, NEW, "registry")
    world.ledger.record_decisions(PUSH, [found], world.time.now)
    world.ledger.planned(PUSH)

    assert later(world, 120).missed == []


def test_a_push_that_was_never_planned_is_planned_again(world: World) -> None:
    """A recorded push without a decision has lost its message; with one it has not."""
    known(world, task("fresh", dependency(built_on=NEW)))
    others = [
        replace(PUSH, repository="images/unused"),
        replace(PUSH, registry=APPS),
        replace(PUSH, registry=ForeignRegistry("docker.io")),
    ]
    for push in (PUSH, *others):
        world.ledger.record_events([push], world.time.now)

    assert later(world, 10).planned_again == []
    assert later(world, 10).planned_again == [PUSH.key]
    (found,) = pushed(world)
    plan_rebuilds(world.context, PlanRebuilds(found))
    assert later(world, 10).planned_again == []


def test_a_push_that_was_delivered_again_is_not_lost(world: World) -> None:
    """Each delivery sends a message of its own."""
    known(world, task("fresh", dependency(built_on=NEW)))
    world.ledger.record_events([PUSH], world.time.now)
    world.time.pass_(1200)
    world.ledger.record_events([PUSH], world.time.now)

    assert later(world, 1).planned_again == []


@pytest.mark.parametrize(
    ("state", "due", "queue"),
    [
        (State.CLAIMED, None, BUILDS),
        (State.HELD, 0, BUILDS),
        (State.FAILED, 0, BUILDS),
        (State.SCHEDULED, None, RUNS),
        (State.RUNNING, 0, RUNS),
    ],
)
def test_what_nobody_goes_on_with_is_taken_up(
    world: World, state: State, due: int | None, queue: str
) -> None:
    """An abandoned rebuild gets its message again, and not before its time."""
    known(world, task())
    when = None if due is None else world.time.now + timedelta(seconds=due)
    made = rebuild(world, state, due=when)

    assert later(world, 1).resumed == 0
    assert later(world, 4).resumed == 1
    ((body, _),) = world.queue.take(queue)
    if queue == RUNS:
        assert TrackBuild.decode(body) == TrackBuild(made.task, 1, 1)
    else:
        message = StartBuild.decode(body)
        assert (message.task, message.push.key) == (made.task, PUSH.key)


def test_an_attempt_with_a_successor_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed attempt waits for nothing once there is a newer one; a conflict is no failure."""
    known(world, task())
    rebuild(world, State.FAILED, due=world.time.now)
    rebuild(world, State.SUCCEEDED, sequence=2)
    save = world.ledger.save

    def conflict(_: Rebuild) -> Rebuild:
        raise Conflict("changed")

    monkeypatch.setattr(world.ledger, "save", conflict)
    assert later(world, 10).closed == 0
    monkeypatch.setattr(world.ledger, "save", save)
    assert later(world, 10).closed == 1
    assert world.ledger.unsettled() == []
    assert world.queue.take(BUILDS) == []


def test_one_sweeper_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease keeps others off until it runs out, and a race for it has one winner."""
    known(world, task())
    assert acquire_lease(world.context, BOOKMARK, "dead")
    assert not sweep(world.context, "me").swept
    world.time.pass_(8 * 60)
    read = world.context.bookmarks.read

    def raced(name: str) -> object:
        mark = read(name)
        world.context.bookmarks.save(replace(mark, owner="quicker"))
        return mark

    with monkeypatch.context() as patched:
        patched.setattr(world.context.bookmarks, "read", raced)
        assert not sweep(world.context, "me").swept

    assert sweep(world.context, "me").missed == [PUSH.key]


def test_a_sweep_that_fails_gives_its_lease_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one need not wait until it has run out, and goes on where it would have."""
    known(world, task())
    mark = world.context.bookmarks.read(BOOKMARK)
    world.context.bookmarks.save(replace(mark, place="docker.io/library/a:1"))

    def failing(*_: object, **__: object) -> None:
        raise KeyError("unforeseen")

    with monkeypatch.context() as patched:
        patched.setattr(world.ledger, "unsettled", failing)
        with pytest.raises(KeyError):
            sweep(world.context, "me")

    assert world.context.bookmarks.read(BOOKMARK).place == "docker.io/library/a:1"
    assert sweep(world.context, "you").missed == [PUSH.key]


def test_a_lease_that_was_lost_is_not_given_back(world: World) -> None:
    """Whoever took over keeps the place."""
    mark = acquire_lease(world.context, BOOKMARK, "slow")
    assert mark
    world.time.pass_(8 * 60)
    assert acquire_lease(world.context, BOOKMARK, "quick")
    release_lease(world.context, mark, "z")

    assert world.context.bookmarks.read(BOOKMARK).owner == "quick"


def test_requests_are_bounded_and_the_next_sweep_goes_on(world: World) -> None:
    """The first plan is always made; those for which no requests are left wait their turn."""
    tasks = [task(f"t{n}", dependency(f"mybase.azurecr.io/images/b{n}:1")) for n in range(3)]
    known(world, *tasks)
    world.images.digests = {f"mybase.azurecr.io/images/b{n}:1": NEW for n in range(3)}
    object.__setattr__(world.context, "settings", replace(world.settings, sweep_reads=1))
    found = []
    for complete in (False, False, True):
        report = sweep(world.context, "me")
        assert report.complete is complete
        found.append([key.split("|")[1] for key in report.missed])

    assert found == [["images/b0"], ["images/b1"], ["images/b2"]]
    assert world.context.bookmarks.read(BOOKMARK).place == ""


def test_lost_plans_are_bounded_too(world: World) -> None:
    """Plans that were lost are asked for as far as the requests go."""
    known(world, task("a", dependency(GO)), task("b", dependency(NODE)))
    for push in (PUSH, replace(PUSH, repository="images/go", tag="1")):
        world.ledger.record_events([push], world.time.now)
    object.__setattr__(world.context, "settings", replace(world.settings, sweep_reads=1))
    report = later(world, 20)

    assert (len(report.planned_again), report.complete) == (1, False)


def test_a_sweep_ends_before_its_function_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time the place is kept, and nothing is looked at twice."""
    known(world, *(task(f"t{n:02}", dependency(f"{GO}{n:02}", NEW)) for n in range(40)))
    monkeypatch.setattr(usecase, "SLICE", timedelta(seconds=-1))
    tags = []
    for complete in (False, True):
        report = sweep(world.context, "me")
        assert report.complete is complete
        tags.append(report.tags)

    assert tags == [32, 8]


@pytest.mark.parametrize(
    ("failure", "tags"), [(Denied("no role"), 40), (TransientError("no answer"), 32)]
)
def test_a_registry_that_does_not_answer_is_reported(
    world: World, failure: Exception, tags: int
) -> None:
    """What may not be read is told for each tag; a registry that is down is not asked on."""
    known(world, *(task(f"t{n:02}", dependency(f"{GO}{n:02}")) for n in range(40)))
    world.images.failure = failure  # type: ignore[assignment] # one of the product's
    report = sweep(world.context, "me")

    assert (report.tags, len(report.problems), report.missed) == (tags, tags, [])


def test_a_base_registry_that_cannot_be_found_is_reported(world: World) -> None:
    """Its tags are left for another time, and its lost pushes too."""
    known(world, task())
    world.ledger.record_events([PUSH], world.time.now)
    world.tasks.failures["registry"] = [Denied("no role"), Denied("no role")]
    report = later(world, 20)

    assert report.problems == [f"registry {BASE}: no role"]
    assert (report.tags, report.planned_again) == (0, [])


def test_an_old_index_is_read_again(world: World) -> None:
    """A registry that was never or long ago read is asked for, unless somebody is at it."""
    world.index.mark_refreshed(APPS, world.time.now)
    assert sweep(world.context, "me").refreshed == [str(OTHERS)]
    world.index.save_scan(IndexScan(OTHERS, world.time.now))
    assert sweep(world.context, "me").refreshed == []
    world.time.pass_(25 * 3600)

    assert sweep(world.context, "me").refreshed == [str(APPS), str(OTHERS)]
    assert len(world.queue.take(REFRESH)) == 3


@pytest.mark.parametrize("where", ["missed", "_concerned"])
def test_one_tag_or_push_that_raises_something_is_one(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """It is told as a problem; the tags and pushes after it are looked at."""
    other = "mybase.azurecr.io/images/a:1"
    known(world, task("one", dependency(other)), task("two"))
    world.images.digests[other] = NEW
    bad = Push(BASE, "images/a", "1", NEW, None, "event-1")
    if where == "_concerned":
        world.ledger.record_events([bad], world.time.now)
        world.ledger.record_events([PUSH], world.time.now)
        world.time.pass_(1200)
    module = sys.modules[sweep.__module__]
    real = getattr(module, where)

    def failing(*given: object) -> object:
        if bad.repository in (getattr(part, "repository", "") for part in given) or any(
            getattr(part, "path", "") == bad.repository for part in given
        ):
            raise LookupError
        return real(*given)

    monkeypatch.setattr(module, where, failing)
    report = sweep(world.context, "me")

    assert report.complete
    assert [p for p in report.problems if "something unforeseen" in p]
    assert PUSH.key in (*report.missed, *report.planned_again)
