from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import RunStatus, Task
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BuiltWhileMoving
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, PUSHES, PlanRebuilds, StartBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import (
    Conflict,
    Denied,
    RebuilderError,
    Refused,
    Throttled,
    TransientError,
)
from rebuilder.ports.foreign import Seen
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.catch_up import poll_bases as module
from rebuilder.usecases.catch_up.poll_bases import (
    BOOKMARK,
    PollReport,
    foreign_bookmark,
    poll_bases,
)
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.leases import LEASE, SLICE, acquire_lease
from rebuilder.usecases.plan.deciding import decide_all
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from tests.unit.fakes import APPS, NEW, NEWER, NODE, OLD, OTHERS, World, dependency, run, task

ALPINE = "docker.io/library/alpine:3"
DEBIAN = "docker.io/library/debian:13"
STATIC = "ghcr.io/team/static:1"
HUB = ForeignRegistry("docker.io")
KEY = f"docker.io|library/alpine|3|{NEW}"


def known(world: World, *tasks: Task) -> None:
    """Put tasks into ARM and into the index."""
    world.tasks.add(*tasks)
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)


def later(world: World, minutes: float = 30) -> PollReport:
    """Poll after a while."""
    world.time.pass_(minutes * 60)
    return poll_bases(world.context, "me")


def test_a_tag_that_moved_is_a_push_like_any_other(world: World) -> None:
    """What a task is not built on is told, planned and built, with the digest that was seen."""
    known(world, task("on-alpine", dependency(ALPINE)), task("fresh", dependency(ALPINE, NEW)))
    world.foreign.seen[ALPINE] = Seen(NEW, '"e"')
    assert poll_bases(world.context, "me").pushes == [KEY]
    ((body, _),) = world.queue.take(PUSHES)
    message = PlanRebuilds.decode(body)
    assert message.push == Push(HUB, "library/alpine", "3", NEW, None, "poll")
    plan_rebuilds(world.context, message)
    ((body, _),) = world.queue.take(BUILDS)
    started = start_build(world.context, StartBuild.decode(body), "o")

    assert isinstance(started, Rebuild)
    assert started.state is State.SCHEDULED
    assert started.bases == (f"{ALPINE}@{NEW}",)
    assert [task.name for task, _ in world.tasks.scheduled] == ["on-alpine"]


def test_a_change_is_told_even_if_nobody_seems_stale(world: World) -> None:
    """A record that names the new digest already may be that of a run which pulled the old."""
    known(world, task("on-alpine", dependency(ALPINE, NEW)))
    world.foreign.seen[ALPINE] = Seen(OLD)
    poll_bases(world.context, "me")
    world.queue.take(PUSHES)
    world.foreign.seen[ALPINE] = Seen(NEW)

    assert later(world).pushes == [KEY]
    assert later(world).pushes == []


def test_a_run_that_began_before_the_tag_was_seen_to_move_is_no_proof(world: World) -> None:
    """ACR's record names what the tag named when the run ended, not what it pulled."""
    known(world, task("on-alpine", dependency(ALPINE, OLD)))
    world.foreign.seen[ALPINE] = Seen(OLD)
    poll_bases(world.context, "me")
    world.tasks.found_runs["ca0"] = run(
        "ca0", task="on-alpine", status=RunStatus.SUCCEEDED, started=world.time.now
    )
    world.foreign.seen[ALPINE] = Seen(NEW)
    known(world, task("on-alpine", dependency(ALPINE, NEW)))
    later(world)
    ((body, _),) = world.queue.take(PUSHES)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds.decode(body))

    assert isinstance(decision, BuiltWhileMoving)
    assert decision.since == world.time.now


def test_a_proof_needs_no_push_that_was_seen(world: World) -> None:
    """Without it, the record is believed."""
    world.tasks.add(task("on-alpine", dependency(ALPINE, NEW)))
    (decision,) = decide_all(
        world.context,
        [task("on-alpine", dependency(ALPINE, NEW))],
        Base(dependency(ALPINE).reference, NEW, "poll"),
    )

    assert isinstance(decision, AlreadyBuiltOn)


def test_an_old_message_goes_by_what_was_seen_last(world: World) -> None:
    """Messages overtake each other; none builds on a digest that is history."""
    known(world, task("on-alpine", dependency(ALPINE)))
    bodies = []
    for digest in (NEW, NEWER):
        world.foreign.seen[ALPINE] = Seen(digest)
        later(world)
        bodies += [body for body, _ in world.queue.take(PUSHES)]
    for body in reversed(bodies):
        plan_rebuilds(world.context, PlanRebuilds.decode(body))
    messages = [StartBuild.decode(body) for body, _ in world.queue.take(BUILDS)]
    started = start_build(world.context, messages[-1], "o")

    assert messages[-1].push.digest == NEW
    assert isinstance(started, Rebuild)
    assert started.bases == (f"{ALPINE}@{NEWER}",)


def test_an_image_is_looked_at_now_and_then(world: World) -> None:
    """The interval is kept, and what was seen is shown to the registry."""
    known(world, task("on-alpine", dependency(ALPINE, NEW)))
    world.foreign.seen[ALPINE] = Seen(NEW, '"e"')
    looked = [poll_bases(world.context, "me").looked, later(world, 29).looked]
    looked.append(later(world, 1).looked)

    assert looked == [1, 0, 1]
    assert world.foreign.asked == [(ALPINE, None), (ALPINE, Seen(NEW, '"e"'))]
    assert world.queue.sent == []


def test_only_what_is_asked_for_is_polled(world: World) -> None:
    """Base registries send events, other ones of Azure do too, and a host may be left out."""
    known(
        world,
        task("a", dependency(NODE)),
        task("b", dependency("other.azurecr.io/x:1")),
        task("c", dependency("registry.example.com/x:1")),
        task("d", dependency(f"{ALPINE}@{OLD}")),
    )
    report = poll_bases(world.context, "me")

    assert (report.looked, report.left) == (0, ["other.azurecr.io", "registry.example.com"])
    everything = replace(world.settings, poll_hosts=("*",))
    object.__setattr__(world.context, "settings", everything)
    assert poll_bases(world.context, "me").left == ["other.azurecr.io"]
    assert [asked for asked, _ in world.foreign.asked] == ["registry.example.com/x:1"]


@pytest.mark.parametrize(("wait", "rests"), [(timedelta(minutes=40), 40), (None, 15)])
def test_a_registry_that_asks_to_wait_is_left_alone(
    world: World, wait: timedelta | None, rests: float
) -> None:
    """The whole registry rests, others do not, and the image keeps its turn."""
    known(
        world,
        *(task(f"t{n}", dependency(i)) for n, i in enumerate((ALPINE, DEBIAN, STATIC))),
    )
    world.foreign.failures = [Throttled("slow down", wait)]
    report = poll_bases(world.context, "me")
    assert (report.looked, report.resting) == (2, ["docker.io"])
    assert later(world, rests - 1).resting == ["docker.io"]
    world.foreign.asked.clear()
    later(world, 1)

    assert [asked for asked, _ in world.foreign.asked if "docker.io" in asked] == [ALPINE, DEBIAN]


def test_a_registry_whose_requests_are_used_up_is_left_alone(world: World) -> None:
    """What the last answer said counts, and the answer itself too."""
    known(world, task("a", dependency(ALPINE)), task("b", dependency(DEBIAN)))
    world.foreign.seen[ALPINE] = Seen(NEW, "", timedelta(hours=2))
    report = poll_bases(world.context, "me")

    assert (report.looked, report.pushes, report.resting) == (1, [KEY], ["docker.io"])
    assert later(world, 119).looked == 0
    assert later(world, 2).looked == 2


@pytest.mark.parametrize(
    ("failure", "looked"), [(Denied("credentials"), 2), (TransientError("no answer"), 1)]
)
def test_what_cannot_be_looked_at_is_told(
    world: World, failure: RebuilderError, looked: int
) -> None:
    """An image that may not be read does not stop others; a registry that is down does."""
    known(world, task("a", dependency(ALPINE)), task("b", dependency(DEBIAN, NEW)))
    world.foreign.failures = [failure]
    world.foreign.seen[DEBIAN] = Seen(NEW)
    report = poll_bases(world.context, "me")

    assert report.looked == looked
    assert report.problems == [f"{ALPINE}: {failure}"]
    assert later(world).looked == 2


@pytest.mark.parametrize(
    "error",
    [
        OverflowError("too large"),
        RecursionError(),
        ValueError("no URL"),
        MemoryError(),
        KeyError(1),
    ],
)
def test_what_nobody_foresaw_of_one_image_is_its_own_problem(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are looked at, of its registry too; it has had its turn, and comes again."""
    known(world, *(task(f"t{n}", dependency(i)) for n, i in enumerate((ALPINE, DEBIAN, STATIC))))
    world.foreign.failures = [error]  # type: ignore[list-item] # what nobody foresaw
    for image in (DEBIAN, STATIC):
        world.foreign.seen[image] = Seen(NEW)
    report = poll_bases(world.context, "me")

    assert (report.looked, len(report.pushes), report.complete) == (3, 2, True)
    (problem,) = report.problems
    assert problem.startswith(
        f"{ALPINE}: something unforeseen went wrong: {type(error).__name__} in _look ("
    )
    assert "context.foreign.look" in caplog.text
    assert later(world, 1).looked == 0
    assert later(world).looked == 3


@pytest.mark.parametrize("where", ["missed", "tell", "bookmark"])
def test_an_image_that_cannot_be_told_or_kept_hinders_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A store that refuses one thing is not out of order."""
    known(world, task("a", dependency(ALPINE)), task("b", dependency(DEBIAN)))
    for image in (ALPINE, DEBIAN):
        world.foreign.seen[image] = Seen(NEW)
    target, name = {
        "missed": (module, "missed"),
        "tell": (module, "announce_push"),
        "bookmark": (world.context.bookmarks, "save"),
    }[where]
    real = getattr(target, name)

    def refusing(*given: object) -> object:
        if "alpine" in " ".join(map(str, given[1:] or given)):
            raise Refused("PropertyValueTooLarge", "no")
        return real(*given)

    monkeypatch.setattr(target, name, refusing)
    report = poll_bases(world.context, "me")

    assert report.looked == 2
    assert KEY.replace("alpine|3", "debian|13") in report.pushes
    assert report.problems == [f"{ALPINE}: PropertyValueTooLarge: no"]


@pytest.mark.parametrize("error", [TransientError("the store"), KeyError("unforeseen")])
def test_a_poll_that_fails_gives_its_lease_back(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The next one need not wait until it has run out."""
    known(world, task("a", dependency(ALPINE)))

    def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        where = "followers" if isinstance(error, KeyError) else "announce_push"
        patch.setattr(module, where, failing)
        world.foreign.seen[ALPINE] = Seen(NEW)
        with pytest.raises(type(error)):
            poll_bases(world.context, "me")

    assert poll_bases(world.context, "you").polled


@pytest.mark.parametrize("place", ["{", "[]", "{}", '{"at": 7}', "[" * 100_000, '{"at": "soon"}'])
def test_what_is_remembered_wrongly_is_looked_at_anew(world: World, place: str) -> None:
    """A bookmark that cannot be read stops neither the poll nor its image."""
    known(world, task("a", dependency(ALPINE)), task("b", dependency(DEBIAN)))
    for name in (foreign_bookmark(ImageReference.parse(ALPINE)), "foreign-host/docker.io"):
        mark = world.context.bookmarks.read(name)
        world.context.bookmarks.save(replace(mark, place=place))
    for image in (ALPINE, DEBIAN):
        world.foreign.seen[image] = Seen(NEW)

    assert len(poll_bases(world.context, "me").pushes) == 2
    assert later(world, 1).looked == 0


def test_a_tag_that_is_gone_starts_nothing(world: World) -> None:
    """It is told; when it is back with what it was, nothing has moved."""
    known(world, task("a", dependency(ALPINE, NEW)))
    report = poll_bases(world.context, "me")
    assert report.problems == [f"{ALPINE}: docker.io has no such tag"]
    world.foreign.seen[ALPINE] = Seen(NEW)

    assert later(world).pushes == []


def test_one_poll_at_a_time(world: World) -> None:
    """A lease keeps others off until it runs out."""
    assert acquire_lease(world.context, BOOKMARK, "dead")
    assert not poll_bases(world.context, "me").polled
    assert later(world).polled


def test_a_look_that_was_stopped_in_the_middle_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest may be of long ago, and a run meanwhile be on the one after: it looks again."""
    known(world, task("on-alpine", dependency(ALPINE, OLD)))
    world.foreign.seen[ALPINE] = Seen(OLD)
    poll_bases(world.context, "me")
    look = world.foreign.look

    def stopped(reference: ImageReference, seen: Seen | None) -> Seen:
        found = look(reference, seen)
        world.time.pass_(300)
        return found

    world.foreign.seen[ALPINE] = Seen(NEW)
    monkeypatch.setattr(world.foreign, "look", stopped)
    report = later(world)
    assert report.pushes == []
    assert report.problems == [f"{ALPINE}: the look took 0:05:00: not believed"]

    monkeypatch.setattr(world.foreign, "look", look)
    world.foreign.seen[ALPINE] = Seen(NEWER)
    assert later(world, 5).pushes == [KEY.replace(NEW, NEWER)]


def test_a_poll_ends_before_its_function_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has waited longest comes first in the next one."""
    known(world, task("a", dependency(ALPINE)), task("b", dependency(DEBIAN)))
    poll_bases(world.context, "me")
    mark = world.context.bookmarks.read(foreign_bookmark(ImageReference.parse(DEBIAN)))
    world.context.bookmarks.save(replace(mark, place=""))
    world.foreign.asked.clear()
    world.time.pass_(3600)
    look = world.foreign.look

    def slow(reference: ImageReference, seen: Seen | None) -> Seen:
        world.time.pass_(121)
        return look(reference, seen)

    monkeypatch.setattr(world.foreign, "look", slow)
    assert not poll_bases(world.context, "me").complete
    assert [asked for asked, _ in world.foreign.asked] == [DEBIAN]
    assert LEASE > SLICE


def test_a_race_for_a_bookmark_is_no_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever overtook this poll has seen the same."""
    known(world, task("a", dependency(ALPINE, NEW)))
    save = world.context.bookmarks.save

    def conflict(mark: Bookmark) -> Bookmark:
        if mark.name == BOOKMARK:
            return save(mark)
        raise Conflict("changed")

    monkeypatch.setattr(world.context.bookmarks, "save", conflict)
    assert poll_bases(world.context, "me").looked == 1


@pytest.mark.parametrize("error", [TransientError("no answer"), Denied("not for everybody")])
def test_a_build_waits_for_a_registry_that_does_not_answer(
    world: World, error: RebuilderError
) -> None:
    """A run could not pull from it either; one that refuses for good had told the poll before."""
    push = Push(HUB, "library/alpine", "3", NEW, world.time.now, "poll")
    world.ledger.record_events([push], world.time.now)
    world.tasks.add(task("build-app", dependency(ALPINE, OLD)))
    world.foreign.failures = [error]
    message = StartBuild(push, task().id)

    if isinstance(error, TransientError):
        with pytest.raises(TransientError, match="no answer"):
            start_build(world.context, message, "me")
    else:
        started = start_build(world.context, message, "me")
        assert isinstance(started, Rebuild)
        assert started.bases == (f"{ALPINE}@{NEW}",)
