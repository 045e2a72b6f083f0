from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind, Makes, Output, Task
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, TagGone
from rebuilder.core.decisions.unreadable import IndexOld, RegistryUnreadable
from rebuilder.core.decisions.uses import NotAllKnown, OtherImages, OtherTag, PinnedByDigest
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join, recorded
from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    PlanRebuilds,
    Refresh,
    StartBuild,
)
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Denied, NotFound, TransientError
from rebuilder.ports.acr import TaskPage
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.events.accept import accept_event
from rebuilder.usecases.index import refresh_index
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.leases import SLICE
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports import _known
from rebuilder.usecases.reports.explain import explain
from tests.unit.fakes import APPS, BASE, NEW, NODE, OLD, OTHERS, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = PlanRebuilds(PUSH)
ALPINE = dependency("docker.io/library/alpine:3")


def enqueued(world: World) -> list[str]:
    """Return the tasks whose builds were enqueued."""
    return [StartBuild.decode(body).task.name for body, _ in world.queue.take(BUILDS)]


def told(world: World) -> dict[str, tuple[str, bool]]:
    """Return what is told of each task: the code, and whether it was worked out when asked."""
    world.ledger.record_events([PUSH], world.time.now)
    explained = explain(world.context, ImageReference.parse(NODE)).decisions
    return {
        e.record.decision.task.name: (e.record.decision.code, e.derived)
        for e in explained
        if isinstance(e.record.decision, TaskDecision)
    }


def test_every_task_is_decided_and_the_stale_are_enqueued(world: World) -> None:
    """All configured registries are considered; what uses the image is recorded, the rest told."""
    world.tasks.add(
        task("stale"),
        task("fresh", dependency(built_on=NEW)),
        task("other", ALPINE),
        task("theirs", registry=OTHERS),
    )
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert len(decisions) == 3
    assert enqueued(world) == ["stale", "theirs"]
    assert [record.decision for record in world.ledger.decisions(PUSH)] == decisions
    assert told(world) == {
        "stale": ("base-moved", False),
        "fresh": ("already-built-on", False),
        "theirs": ("base-moved", False),
        "other": ("other-images", True),
    }


def test_planning_again_repeats_no_record(world: World) -> None:
    """The same plan twice leaves each decision once."""
    world.tasks.add(task("stale"), task("tagged", dependency(f"{NODE}-alpine")))
    plan_rebuilds(world.context, MESSAGE)
    plan_rebuilds(world.context, MESSAGE)

    assert len(world.ledger.decisions(PUSH)) == 2


def test_one_registry_that_may_not_be_read_does_not_stop_the_others(world: World) -> None:
    """A missing role is recorded as a decision about that registry."""
    world.tasks.add(task("mine"), task("theirs", registry=OTHERS))
    world.tasks.failures["tasks of theirapps"] = [Denied("tasks/read is missing")]
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == ["mine"]
    assert decisions[-1] == RegistryUnreadable(str(OTHERS), "tasks/read is missing")


def test_a_registry_that_fails_for_now_is_planned_again(world: World) -> None:
    """What could be planned is enqueued; the delivery fails and comes again."""
    world.tasks.add(task("mine"), task("theirs", registry=OTHERS))
    world.tasks.failures["tasks of theirapps"] = [TransientError("503")]
    with pytest.raises(TransientError):
        plan_rebuilds(world.context, MESSAGE)
    assert enqueued(world) == ["mine"]
    plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == ["mine", "theirs"]


def test_a_tag_that_is_gone_starts_nothing(world: World) -> None:
    """Tasks that would have been rebuilt say that the tag is gone; the others their own reason."""
    world.images.digests.clear()
    world.tasks.add(task("stale"), task("off", enabled=False), task("other", ALPINE))
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == []
    assert [type(decision) for decision in decisions] == [TagGone, TagGone]
    assert told(world)["other"] == ("other-images", True)


def test_a_base_registry_that_may_not_be_read_is_permanent(world: World) -> None:
    """An event may be old: nothing is planned by its digest, and the role is named."""
    world.images.failure = Denied("no role")
    with pytest.raises(Denied, match=r"^no role; give the function app's identity AcrPull on /sub"):
        plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == []


def test_times_that_may_not_be_read_are_no_obstacle(world: World) -> None:
    """Without the proof of times, ARM's record is believed."""
    world.images.no_times = Denied("no role")
    world.tasks.add(task("fresh", dependency(built_on=NEW)))
    (decision,) = plan_rebuilds(world.context, MESSAGE)

    assert isinstance(decision, AlreadyBuiltOn)


def test_an_unknown_base_registry_is_permanent(world: World) -> None:
    """A base registry that ARM does not know is an error for the operator."""
    world.tasks.failures["registry"] = [NotFound("mybase")]

    with pytest.raises(NotFound):
        plan_rebuilds(world.context, MESSAGE)


def test_hosts_are_asked_for_once(world: World) -> None:
    """A registry's login server is remembered."""
    plan_rebuilds(world.context, MESSAGE)
    world.tasks.failures["registry"] = [NotFound("must not be asked")]

    assert world.context.base_registry(NODE.partition("/")[0]) == BASE


def test_a_push_is_recorded_and_enqueued(world: World) -> None:
    """Accepting does nothing slow: one record, one message."""
    event = {
        "id": "event-1",
        "topic": str(BASE),
        "eventType": "Microsoft.ContainerRegistry.ImagePushed",
        "data": {"target": {"digest": NEW, "repository": "images/node", "tag": "9"}},
    }
    assert accept_event(world.context, event) == PUSH

    ((body, _),) = world.queue.take(PUSHES)
    assert PlanRebuilds.decode(body) == MESSAGE
    (record,) = world.ledger.pushes(BASE, "images/node", "9")
    assert record.push == PUSH


def test_other_events_are_recorded_only(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An event that starts nothing is in the ledger with its reason, and in no queue."""
    caplog.set_level("INFO")
    event = {"id": "e", "topic": str(BASE), "subject": "x", "eventType": "Other"}
    assert isinstance(accept_event(world.context, event), Ignored)

    (record,) = world.ledger.ignored(str(BASE), "x")
    assert record.code == "other-event"
    assert "other-event" in caplog.text
    assert world.queue.sent == []


def index(world: World, given: Task, *said: Said) -> None:
    """Put a task into the index whose build file says more than ACR's record."""
    world.tasks.add(given)
    file = Evidence(Source.BUILD_FILE, said)
    view = join(given.id, [recorded(given), file], Output(Makes.IMAGE))
    world.index.replace(view, world.time.now)
    for registry in (APPS, OTHERS):
        world.index.mark_refreshed(registry, world.time.now)


def copied(image: str = NODE) -> Said:
    """Return what a build file says that copies from an image."""
    reference = ImageReference.parse(image)
    return Said(reference, Kind.BUILD_TIME, None, "Dockerfile, line 7: COPY --from")


def test_arm_is_not_asked_for_what_the_index_knows(world: World) -> None:
    """Planning reads no list and no task: whoever starts a build reads it."""
    world.tasks.add(
        task("follows"),
        task("pinned", dependency(f"mybase.azurecr.io/images/node@{OLD}", None)),
        task("tagged", dependency("mybase.azurecr.io/images/node:10")),
        task("other", ALPINE),
    )
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.tasks.read.clear()
    world.tasks.failures["tasks of myapps"] = [Denied("must not be listed")]
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert world.tasks.read == []
    assert {type(decision) for decision in decisions} == {PinnedByDigest, OtherTag, BaseMoved}
    assert enqueued(world) == ["follows"]


def test_an_image_that_only_a_build_file_names_is_enough(world: World) -> None:
    """A task that copies from the pushed image is planned and built, and the source is named."""
    given = task("copies", ALPINE)
    index(world, given, copied())
    (decision,) = plan_rebuilds(world.context, MESSAGE)

    assert isinstance(decision, BaseMoved)
    assert decision.old is None
    assert "line 7: COPY --from" in decision.sentence()
    assert enqueued(world) == ["copies"]
    started = start_build(world.context, StartBuild(PUSH, given.id), "me")
    assert isinstance(started, Rebuild)
    assert started.bases == (f"{NODE}@{NEW}",)


def test_a_task_that_never_ran_is_rebuilt_by_its_build_file(world: World) -> None:
    """What ACR has no record of is known from elsewhere."""
    never = task("never")
    index(world, Task(never.id, True, True, None, ()), copied())  # noqa: FBT003 - status, step

    plan_rebuilds(world.context, MESSAGE)
    assert enqueued(world) == ["never"]


@pytest.mark.parametrize("later", [None, State.FAILED])
def test_a_use_without_digest_is_built_once_per_digest(world: World, later: State | None) -> None:
    """Our newest rebuild that succeeded tells what nobody records; a failed one tells nothing."""
    given = task("copies", ALPINE)
    index(world, given, copied())
    now = world.time.now
    done = Rebuild(
        given.id, 1, "k", (f"{NODE}@{NEW}",), "p", State.SUCCEEDED, now, "me", now, run_id="ca1"
    )
    world.ledger.claim(done)
    if later is not None:
        world.ledger.claim(
            Rebuild(given.id, 2, "l", (f"{NODE}@{OLD}",), "p", later, now, "me", now)
        )
    (decision,) = plan_rebuilds(world.context, MESSAGE)

    assert decision == AlreadyBuiltOn(given.id, NODE, NEW, "ledger of rebuilds")


def test_a_rebuild_on_another_digest_proves_nothing(world: World) -> None:
    """Neither does a task whose rebuilds all failed."""
    given = task("copies", ALPINE)
    index(world, given, copied())
    now = world.time.now
    for sequence, (state, digest) in enumerate([(State.FAILED, NEW), (State.SUCCEEDED, OLD)], 1):
        made = Rebuild(given.id, sequence, "k", (f"{NODE}@{digest}",), "p", state, now, "me", now)
        world.ledger.claim(made)
        (decision,) = plan_rebuilds(world.context, MESSAGE)
        assert isinstance(decision, BaseMoved)


def test_a_proof_that_cannot_be_had_now_is_asked_for_again(world: World) -> None:
    """A registry that does not tell when the digest came keeps only those tasks waiting."""
    world.tasks.add(task("fresh", dependency(built_on=NEW)), task("stale"))
    world.images.no_times = TransientError("503")
    with pytest.raises(TransientError):
        plan_rebuilds(world.context, MESSAGE)

    assert enqueued(world) == ["stale"]


def test_when_a_digest_came_is_asked_for_once(world: World) -> None:
    """However many tasks name the new digest already, the base registry answers one question."""
    world.tasks.add(*(task(f"fresh-{n}", dependency(built_on=NEW)) for n in range(20)))
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert {type(decision) for decision in decisions} == {AlreadyBuiltOn}
    assert world.images.asked_times == 1


def test_registries_that_are_configured_no_more_are_left_alone(world: World) -> None:
    """The index may still hold their tasks."""
    elsewhere = task("elsewhere", registry=BASE)
    index(world, elsewhere)

    assert plan_rebuilds(world.context, MESSAGE) == []


def test_an_index_that_is_too_old_is_said_to_be(world: World) -> None:
    """The plan goes by what is known, says how old that is, and asks for a sweep."""
    index(world, task())
    read_at = world.time.now
    world.time.pass_(24 * 3600 + 1)
    world.index.mark_refreshed(OTHERS, world.time.now)
    decisions = plan_rebuilds(world.context, MESSAGE)

    assert [type(decision) for decision in decisions] == [IndexOld, BaseMoved]
    assert decisions[0] == IndexOld(str(APPS), read_at, 24)
    ((body, _),) = world.queue.take(REFRESH)
    assert Refresh.decode(body) == Refresh(APPS, None, world.time.now)
    told_ages = {age.registry: age.old for age in explain(world.context, REFERENCE).indexes}
    assert told_ages == {APPS: True, OTHERS: False}


REFERENCE = ImageReference.parse(NODE)


def test_many_plans_ask_for_one_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of a thousand pushes finds the index old; it is asked for once in a while."""
    index(world, task())
    world.time.pass_(24 * 3600 + 1)
    world.index.mark_refreshed(OTHERS, world.time.now)
    for minutes, asked in ((0, 1), (5, 0), (4, 0), (1, 1), (0, 0)):
        world.time.pass_(minutes * 60)
        plan_rebuilds(world.context, MESSAGE)
        assert len(world.queue.take(REFRESH)) == asked, minutes
    # A clock that was a day ahead does not keep others from asking.
    mark = world.context.bookmarks.read(f"refresh/{APPS}")
    tomorrow = world.time.now + timedelta(days=1)
    world.context.bookmarks.save(replace(mark, place=tomorrow.isoformat()))
    plan_rebuilds(world.context, MESSAGE)
    assert len(world.queue.take(REFRESH)) == 1
    world.time.pass_(600)
    save = world.context.bookmarks.save

    def raced(bookmark: Bookmark) -> Bookmark:
        save(bookmark)
        return save(bookmark)

    monkeypatch.setattr(world.context.bookmarks, "save", raced)
    plan_rebuilds(world.context, MESSAGE)
    assert world.queue.take(REFRESH) == []


def test_a_first_sweep_that_takes_too_long_goes_on_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known by then is planned; the message comes back until everything is."""
    world.tasks.add(*(task(f"task-{number}") for number in range(5)))
    world.tasks.page_size = 2
    monkeypatch.setattr(refresh_index, "SLICE", -SLICE)
    plan_rebuilds(world.context, MESSAGE)
    known = [enqueued(world)]
    while again := world.queue.take(PUSHES):
        ((body, _),) = again
        plan_rebuilds(world.context, PlanRebuilds.decode(body))
        known.append(enqueued(world))

    assert [len(tasks) for tasks in known] == [2, 4, 5]


def test_of_what_is_not_in_the_index_acrs_record_tells(world: World) -> None:
    """A task that it shows to be stale is told; what the build files name is not made up."""
    bare = Task(task("bare").id, True, True, None, ())  # noqa: FBT003 - status, step
    system = Task(task("system").id, True, False, None, (), created=world.time.now)  # noqa: FBT003
    world.tasks.add(task("other", ALPINE), task("stale"), bare, system)
    world.tasks.add(task("fresh", dependency(built_on=NEW)), task("brief", registry=OTHERS))
    world.tasks.pages = [
        TaskPage(tuple(t for t in world.tasks.known.values() if t.id.registry == APPS)),
        TaskPage((), (task("brief", registry=OTHERS).id,)),
    ]

    assert told(world) == {
        "other": ("not-all-known", True),
        "stale": ("base-moved", True),
        "fresh": ("already-built-on", True),
        "bare": ("not-all-known", True),
        "system": ("no-step", True),
        "brief": ("base-moved", True),
    }
    explained = explain(world.context, REFERENCE)
    assert {age.refreshed for age in explained.indexes} == {None}
    (other,) = (
        e.record.decision.sentence()
        for e in explained.decisions
        if isinstance(e.record.decision, NotAllKnown) and e.record.decision.task.name == "other"
    )
    assert other == (
        "known to be built on docker.io/library/alpine:3; whether it reads this image, too, is not"
        " known: its build files have not been read yet"
    )


def test_what_acr_has_recorded_since_the_index_was_read_counts(world: World) -> None:
    """A run of somebody else's left the task on an old base; a task that was deleted is gone."""
    world.tasks.add(task("moved", dependency(built_on=NEW)), task("gone"), task("disabled", ALPINE))
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    assert told(world)["moved"] == ("already-built-on", True)
    world.tasks.add(task("moved"), task("disabled", enabled=False))
    del world.tasks.known[task("gone").id]

    assert told(world) == {"moved": ("base-moved", True), "disabled": ("task-disabled", True)}


def test_where_arm_does_not_tell_the_index_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that may not be listed are said not to be, and what is known of them is told."""
    world.tasks.add(task("other", ALPINE), task("theirs", ALPINE, registry=OTHERS))
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.tasks.failures = {"tasks of myapps": [Denied("no role")]}
    world.ledger.record_events([PUSH], world.time.now)
    unreadable, *known = (e.record.decision for e in explain(world.context, REFERENCE).decisions)

    assert unreadable == RegistryUnreadable(str(APPS), "no role")
    assert [type(decision) for decision in known] == [OtherImages, OtherImages]
    # Of a registry with very many tasks only so many are listed.
    world.tasks.add(*(task(f"more-{number}", ALPINE) for number in range(3)))
    world.tasks.page_size = 1
    monkeypatch.setattr(_known, "_PAGES", 2)
    assert set(told(world)) == {"other", "theirs", "more-0", "more-1"}


def test_what_is_told_of_the_others_is_as_good_as_arm_lets_it(world: World) -> None:
    """Tasks of which nothing is known are looked at in ARM, where that is possible."""
    world.tasks.add(
        Task(task("denied").id, True, True, None, ()),  # noqa: FBT003 - status, step
        Task(task("gone").id, True, True, None, ()),  # noqa: FBT003 - status, step
        Task(task("late").id, True, True, None, ()),  # noqa: FBT003 - status, step
        Task(task("system").id, True, False, None, ()),  # noqa: FBT003 - status, step
        task("tagged", dependency("mybase.azurecr.io/images/node:10")),
    )
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    del world.tasks.known[task("gone").id]
    world.tasks.add(task("late"))
    world.tasks.denied = {task("denied").id}

    assert told(world) == {
        "denied": ("not-all-known", True),
        "late": ("base-moved", True),  # ARM's record shows it to be stale by now
        "system": ("no-step", True),
        "tagged": ("other-tag", True),
    }
