"""A tag that names what it named before: what was built meanwhile stands on the other image."""

from __future__ import annotations

from copy import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import (
    AlreadyBuiltOn,
    BaseMoved,
    BuiltWhileMoving,
    StillStale,
)
from rebuilder.core.dependencies.evidence import join, recorded
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    RUNS,
    PlanRebuilds,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Check, Likely, Rebuild, State
from rebuilder.errors import Denied, OutcomeUnknown, TransientError
from rebuilder.ports.foreign import Seen
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.plan.deciding import decide_for
from rebuilder.usecases.plan.moves import Moves
from rebuilder.usecases.plan.moves import tag_moved_at as came
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports.audit import audit
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OLD, World, dependency, run, task
from tests.unit.test_output import APP, NEW_BASE, OLD_BASE, content

ON_OLD = Push(BASE, "images/node", "9", OLD, None, "event-0")
ON_NEW = Push(BASE, "images/node", "9", NEW, None, "event-1")
ON_NEWER = Push(BASE, "images/node", "9", NEWER, None, "event-2")
ALPINE = "docker.io/library/alpine:3"


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    """A task that was built on the old image, whose tag names the new one now."""
    world = World(tmp_path)
    world.images.came[OLD] = world.time.now - timedelta(days=9)
    world.ledger.record_events([ON_OLD], world.time.now - timedelta(days=9))
    record(world, OLD)
    moved(world, ON_NEW)
    world.time.pass_(1)
    return world


def record(world: World, digest: str) -> None:
    """Have ACR record what the task's last run found its tag to name at its end."""
    known = task("build-app", dependency(built_on=digest))
    world.tasks.add(known)
    world.index.replace(join(known.id, [recorded(known)]), world.time.now)


def moved(world: World, push: Push, *, told: bool = True) -> None:
    """Have the tag name an image, and the event come."""
    world.images.digests[NODE] = push.digest
    world.images.came.setdefault(push.digest, world.time.now)
    world.images.written[NODE] = world.time.now
    if told:
        world.ledger.record_events([push], world.time.now)


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def start(world: World, push: Push = ON_NEW) -> object:
    """Deliver a message of a push."""
    return start_build(world.context, StartBuild(push, task().id), "me")


def begin(world: World) -> None:
    """Let the newest run begin."""
    run_id = str(head(world).run_id)
    begun = replace(world.tasks.found_runs[run_id], started=world.time.now)
    world.tasks.found_runs[run_id] = begun
    world.time.pass_(60)


def end(
    world: World,
    *,
    layers: tuple[str, ...] = (),
    wrong: timedelta = timedelta(),
    over: datetime | None = None,
    named: str = "",
) -> None:
    """Let the newest run end; ACR records what the tag names now, whatever it has read.

    Args:
        world: The world.
        layers: Those of the image that it pushes.
        wrong: How far the clock of whoever looks at it is ahead.
        over: When the run ended; None for now.
        named: What the tag named then; "" for what it names now.
    """
    rebuild = head(world)
    run_id = str(rebuild.run_id)
    if layers:
        world.images.contents[f"myapps.azurecr.io/app:{APP}"] = content(APP, *layers)
    world.tasks.found_runs[run_id] = replace(
        world.tasks.found_runs[run_id],
        status=RunStatus.SUCCEEDED,
        finished=over or world.time.now,
        output_images=(f"myapps.azurecr.io/app:1@{APP}",) if layers else (),
    )
    record(world, named or str(world.images.digests[NODE]))
    world.time.pass_(5)
    world.queue.take(RUNS)
    world.time.now += wrong
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
    world.time.now -= wrong


def bases_have_layers(world: World) -> None:
    """Have the layers of an image tell which of the three it stands on."""
    name = NODE.partition(":")[0]
    bases = (OLD_BASE, NEW_BASE, content(NEWER, "1", "4"))
    world.images.contents = {f"{name}:{base.digest}": base for base in bases}


def back_during_a_run(world: World) -> None:
    """Build on the new image, and have the tag go back before the run ends."""
    start(world)
    begin(world)
    moved(world, ON_OLD)
    world.time.pass_(60)
    end(world)


def test_what_was_built_on_the_other_one_is_built_again(world: World) -> None:
    """ACR has recorded the old digest, and the image stands on the new one."""
    back_during_a_run(world)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_OLD))

    assert isinstance(decision, BaseMoved)
    assert (decision.old, decision.new) == (NEW, OLD)
    assert "the last that succeeded" in decision.sentence()
    start(world, ON_OLD)
    assert head(world).bases == (f"{NODE}@{OLD}",)
    assert len(world.tasks.scheduled) == 2
    begin(world)
    end(world)
    assert isinstance(start(world, ON_OLD), AlreadyBuiltOn)


def test_an_attempt_that_failed_since_changes_nothing(world: World) -> None:
    """The newest rebuild that succeeded made the image, whatever was tried after it."""
    back_during_a_run(world)
    start(world, ON_OLD)
    done = head(world)
    world.ledger.save(replace(done, state=State.SKIPPED, finished_at=world.time.now))

    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_OLD))
    assert isinstance(decision, BaseMoved)
    assert decision.old == NEW


def test_a_tag_that_was_back_before_the_run_began_was_read(world: World) -> None:
    """The run was asked for on the new image and began when the tag named the old one again."""
    start(world)
    moved(world, ON_OLD)
    world.time.pass_(10)
    begin(world)
    end(world)

    assert isinstance(start(world, ON_OLD), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


@pytest.mark.parametrize("push", [ON_OLD, ON_NEWER], ids=["back", "on"])
def test_a_run_that_began_when_the_tag_had_moved_may_have_read_a_copy_that_was_behind(
    world: World, push: Push
) -> None:
    """Its image stands on what the rebuild was for, as it should; the tag names another by now."""
    bases_have_layers(world)
    start(world)
    moved(world, push)
    world.time.pass_(5)
    begin(world)
    end(world, layers=("1", "3", "9"))
    assert head(world).check is Check.NEW

    base = Base(ImageReference.parse(NODE), push.digest, "event")
    decision = decide_for(world.context, world.tasks.task(task().id), base)
    assert isinstance(decision, BaseMoved)
    assert (decision.old, decision.new) == (NEW, push.digest)
    assert f"(known from image of rebuild {head(world).id})" in decision.sentence()
    start(world, push)
    assert head(world).bases == (f"{NODE}@{push.digest}",)
    assert len(world.tasks.scheduled) == 2


@pytest.mark.parametrize(
    ("since", "again"),
    [("", True), ("before it moved", False), ("while it was away", True)],
    ids=["nobody", "before it moved", "while it was away"],
)
def test_an_image_that_missed_what_it_was_for_is_built_again_when_the_tag_comes_back(
    world: World, since: str, *, again: bool
) -> None:
    """From a copy that was behind; when it was looked at, the tag had moved on.

    What a run of others has made since counts, if that one began when the tag named the image.
    """
    bases_have_layers(world)
    start(world)
    begin(world)
    over = world.time.now
    if since == "before it moved":
        ran_by_another(world)
    world.time.pass_(600)
    moved(world, ON_NEWER)
    end(world, layers=("1", "2", "9"), over=over, named=NEW)
    assert (head(world).check, head(world).stale_by) == (Check.STALE, Likely.MOVED)
    began = world.time.now
    world.time.pass_(60)
    moved(world, ON_NEW)
    if since == "while it was away":
        ran_by_another(world, began)

    assert isinstance(start(world, ON_NEW), Rebuild if again else AlreadyBuiltOn)
    assert head(world).repair == again
    assert len(world.tasks.scheduled) == 1 + again


def ran_by_another(world: World, began: datetime | None = None) -> None:
    """Have somebody run the task until in a minute; None: from now."""
    began = began or world.time.now
    world.time.pass_(60)
    another = run("ca9", status=RunStatus.SUCCEEDED, started=began, finished=world.time.now)
    world.tasks.found_runs["ca9"] = another


def test_a_claim_of_a_clock_that_was_behind_does_not_count(world: World) -> None:
    """That the tag named another image days ago is not what the run, of now, may have read."""
    world.time.pass_(3600)
    moved(world, ON_NEWER)
    world.time.pass_(3600)
    moved(world, ON_NEW)
    world.time.pass_(3600)
    world.time.now -= timedelta(days=3)
    start(world)
    world.time.now += timedelta(days=3)
    begin(world)
    moved(world, ON_NEW)  # the same again, which counts as written, too
    end(world)

    assert isinstance(start(world), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


def test_a_claim_of_a_clock_that_was_ahead_does_not_count(world: World) -> None:
    """That it says to have begun after it was over hides no tag that was away meanwhile."""
    world.time.now += timedelta(days=3)
    start(world)
    world.time.now -= timedelta(days=3)
    begin(world)
    moved(world, ON_NEWER)
    world.time.pass_(60)
    moved(world, ON_NEW)
    world.time.pass_(60)
    end(world)
    start(world)

    assert len(world.tasks.scheduled) == 2


@pytest.mark.parametrize(("claimed", "ended"), [(0, -3), (3, 3)])
def test_an_end_by_a_clock_that_was_wrong_does_not_count(
    world: World, claimed: int, ended: int
) -> None:
    """When the run was over, Azure tells: the tag was away before that."""
    world.time.now += timedelta(days=claimed)
    start(world)
    world.time.now -= timedelta(days=claimed)
    begin(world)
    moved(world, ON_NEWER)
    world.time.pass_(60)
    moved(world, ON_NEW)
    world.time.pass_(60)
    end(world, wrong=timedelta(days=ended))
    start(world)

    assert len(world.tasks.scheduled) == 2


def test_a_claim_that_started_nothing_changed_no_image(world: World) -> None:
    """Whoever held it died before its run, and the tag went back: the image is as it was."""
    began = world.time.now - timedelta(days=8)
    before = run(
        "ca0",
        status=RunStatus.SUCCEEDED,
        created=began,
        started=began,
        finished=began + timedelta(minutes=5),
    )
    world.tasks.found_runs["ca0"] = before
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    start(world)
    assert head(world).state is State.CLAIMED
    moved(world, ON_OLD)
    world.time.pass_(91)

    assert isinstance(start(world, ON_OLD), AlreadyBuiltOn)
    assert head(world).state is State.SKIPPED
    assert world.tasks.found_runs == {"ca0": before}


@pytest.mark.parametrize("told", [True, False])
def test_a_run_that_was_over_before_the_tag_was_away(world: World, *, told: bool) -> None:
    """It was asked for on the image before, began on this one, and nothing came until its end."""
    start(world)
    moved(world, ON_NEWER)
    world.time.pass_(60)
    begin(world)
    if told:  # an event of the image before, which may have been pushed while the run went on
        world.ledger.record_events([ON_NEW], world.time.now)
        world.time.pass_(1)
    end(world)
    world.time.pass_(3600)
    moved(world, ON_OLD, told=False)
    moved(world, ON_NEWER)

    assert isinstance(start(world, ON_NEWER), Rebuild if told else AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == (2 if told else 1)


@pytest.mark.parametrize("told", [True, False])
def test_a_run_that_was_over_before_the_tag_was_away_once_more(world: World, *, told: bool) -> None:
    """An event told that the tag was back, before the run began; that it was away again since."""
    start(world)
    moved(world, replace(ON_NEWER, pushed_at=world.time.now))
    world.time.pass_(60)
    moved(world, replace(ON_NEW, digest=f"sha256:{'d' * 64}"))
    world.time.pass_(60)
    moved(world, replace(ON_NEWER, pushed_at=world.time.now), told=told)
    world.time.pass_(60)
    begin(world)
    end(world)
    world.time.pass_(3600)
    moved(world, ON_OLD)
    world.time.pass_(60)
    moved(world, ON_NEWER, told=False)

    assert isinstance(start(world, ON_NEWER), AlreadyBuiltOn if told else Rebuild)
    assert len(world.tasks.scheduled) == (1 if told else 2)


def test_a_push_between_the_first_and_the_last_of_a_digest_is_not_known(world: World) -> None:
    """The tag went back and forth twice: what it named when the run began nobody can tell."""
    moved(world, ON_NEWER)
    world.time.pass_(60)
    moved(world, ON_NEW)
    world.time.pass_(60)
    start(world)
    begin(world)
    moved(world, ON_NEWER)  # while it goes on
    world.time.pass_(60)
    end(world)
    world.time.pass_(3600)
    moved(world, ON_NEW)
    world.time.pass_(60)
    moved(world, ON_NEWER, told=False)

    assert isinstance(start(world, ON_NEWER), Rebuild)
    assert len(world.tasks.scheduled) == 2


def test_a_registry_that_does_not_let_us_look_proves_nothing(world: World) -> None:
    """Without the tag's time the rebuild counts: it was on the new image."""
    back_during_a_run(world)
    world.images.no_times = Denied("no")
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_OLD))

    assert isinstance(decision, BaseMoved)


def test_an_image_that_is_found_to_stand_on_it_is_left(world: World) -> None:
    """Its layers tell that the run read the old image, after the tag went back."""
    bases_have_layers(world)
    start(world)
    begin(world)
    moved(world, ON_OLD)
    end(world, layers=("1", "2", "9"))

    assert isinstance(start(world, ON_OLD), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


def test_a_run_that_ended_later_made_the_image(world: World) -> None:
    """Somebody ran the task by hand after the tag went back."""
    back_during_a_run(world)
    by_hand = run("ca9", status=RunStatus.SUCCEEDED, started=world.time.now)
    world.time.pass_(60)
    world.tasks.found_runs["ca9"] = replace(by_hand, finished=world.time.now)

    assert isinstance(start(world, ON_OLD), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


def built_by_another(world: World, *, since: bool = True, wrong: timedelta = timedelta()) -> None:
    """Build on the new image; the tag names the newer one for a while, when somebody runs the task.

    Args:
        world: The world.
        since: Whether somebody does.
        wrong: How far the clock of whoever builds on the new image is ahead.
    """
    world.time.now += wrong
    start(world)
    world.time.now -= wrong
    begin(world)
    end(world, wrong=wrong)
    moved(world, ON_NEWER)
    world.time.pass_(60)
    if since:
        ran_by_another(world)
    moved(world, ON_NEW)
    world.time.pass_(60)


@pytest.mark.parametrize("known", [True, False])
def test_what_another_run_made_while_the_tag_was_away_is_built_again(
    world: World, *, known: bool
) -> None:
    """The newest rebuild is on the image that the tag names, and is not what the task stands on."""
    built_by_another(world, since=True)
    record(world, NEW)
    if not known:
        unknown = task("build-app", dependency(built_on=None))
        world.tasks.add(unknown)
        world.index.replace(join(unknown.id, [recorded(unknown)]), world.time.now)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_NEW))
    assert decision.rebuild

    begun = start(world, ON_NEW)
    assert len(world.tasks.scheduled) == 2, begun


def built_untold(world: World, *, moved_by: tuple[str, ...] = ()) -> None:
    """Build on the new image, and have another run build on the newer one, of which no event comes.

    Args:
        world: The world.
        moved_by: What the run was started for, as ARM tells.
    """
    start(world)
    begin(world)
    end(world)
    moved(world, ON_NEWER, told=False)
    began = world.time.now
    world.time.pass_(60)
    another = run("ca9", status=RunStatus.SUCCEEDED, started=began, finished=world.time.now)
    world.tasks.found_runs["ca9"] = replace(another, moved=moved_by)


@pytest.mark.parametrize("since", [True, False])
def test_a_run_since_that_only_the_record_tells_of(world: World, *, since: bool) -> None:
    """The event of the image that it was built on was lost; the record of no run proves nothing."""
    built_untold(world)
    if not since:
        del world.tasks.found_runs["ca9"]
    record(world, NEWER)
    moved(world, ON_NEW)
    world.time.pass_(60)

    start(world, ON_NEW)
    assert len(world.tasks.scheduled) == 1 + since


@pytest.mark.parametrize(
    ("moved_by", "over", "again"),
    [(NEW, 0, False), (NEWER, 0, True), ("", 0, True), ("", 60, False)],
    ids=["the same", "the other", "nothing, during it", "nothing, after it"],
)
def test_a_run_since_tells_itself_what_it_was_started_for(
    world: World, moved_by: str, over: int, *, again: bool
) -> None:
    """It ended when the tag was back, so that ACR has recorded what it has not read.

    Of one that was started for no image, a commit or a person, nobody knows: it is doubted.
    """
    built_untold(world, moved_by=(f"{NODE}@{moved_by}",) if moved_by else ())
    world.time.pass_(over)
    moved(world, ON_NEW)
    record(world, NEW)
    world.time.pass_(60)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_NEW))

    start(world, ON_NEW)
    assert decision.rebuild == again
    assert len(world.tasks.scheduled) == 1 + again


def test_a_claim_of_tomorrow_hides_no_tag_that_was_away_since(world: World) -> None:
    """When its run was over, Azure tells."""
    built_by_another(world, wrong=timedelta(days=1))
    record(world, NEW)
    start(world, ON_NEW)
    assert len(world.tasks.scheduled) == 2


def test_nobody_else_ran_it_while_the_tag_was_away(world: World) -> None:
    """Then the rebuild is what the task stands on."""
    built_by_another(world, since=False)
    decision = start(world, ON_NEW)
    assert isinstance(decision, AlreadyBuiltOn)
    assert decision.known_from == "ledger of rebuilds"


def test_who_may_not_look_goes_by_the_rebuild(world: World) -> None:
    """A registry that does not tell when its tags were written proves nothing against it."""
    built_by_another(world, since=True)
    world.images.failure = Denied("no")
    base = Base(ImageReference.parse(NODE), NEW, "event")
    assert isinstance(decide_for(world.context, world.tasks.task(task().id), base), AlreadyBuiltOn)


@pytest.mark.parametrize("wrong", [0, -3])
def test_the_sweep_finds_it_without_an_event(world: World, wrong: int) -> None:
    """Nobody told that the tag went back; what was decided before the run ended proves nothing."""
    for push in (ON_OLD, ON_NEW):
        plan_rebuilds(world.context, PlanRebuilds(push))
    world.queue.take(BUILDS)
    start(world)
    begin(world)
    moved(world, ON_OLD, told=False)
    world.time.pass_(60)
    end(world, wrong=timedelta(days=wrong))
    world.queue.take(PUSHES)
    world.time.pass_(1800)
    sweep(world.context, "sweep")
    told = [PlanRebuilds.decode(body).push.digest for body, _ in world.queue.take(PUSHES)]
    assert told == [OLD]
    plan_rebuilds(world.context, PlanRebuilds(ON_OLD))
    assert len(world.queue.take(BUILDS)) == 1

    # Once it is decided about, it is not told again and again.
    world.time.pass_(1800)
    start(world, ON_OLD)
    begin(world)
    end(world)
    world.time.pass_(1800)
    sweep(world.context, "again")
    assert world.queue.take(PUSHES) == []


def away_during_a_run(world: World) -> None:
    """Build on the new image; its tag names a newer one for a minute while the run is under way."""
    start(world)
    begin(world)
    moved(world, ON_NEWER)
    world.time.pass_(60)
    moved(world, ON_NEW)
    world.time.pass_(60)


def test_a_tag_that_was_away_while_a_run_was_under_way(world: World) -> None:
    """The run may have read the newer image: it is made again, and once."""
    away_during_a_run(world)
    end(world)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_NEW))

    assert isinstance(decision, BuiltWhileMoving)
    start(world)
    assert (len(world.tasks.scheduled), head(world).repair) == (2, 1)
    begin(world)
    end(world)
    assert isinstance(start(world), AlreadyBuiltOn)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_NEW))
    assert isinstance(decision, AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 2


def test_its_message_waits_for_the_run(world: World) -> None:
    """One that comes while the run is under way is not answered with the run itself."""
    away_during_a_run(world)
    assert start(world, ON_NEWER) is None
    assert len(world.queue.take(BUILDS)) == 1
    end(world)
    start(world, ON_NEWER)
    assert len(world.tasks.scheduled) == 2


def test_the_record_tells_what_no_event_told(world: World) -> None:
    """The run ended when the tag named the newer image; then it went back."""
    start(world)
    begin(world)
    moved(world, ON_NEWER, told=False)
    end(world)
    world.time.pass_(60)
    moved(world, ON_NEW)
    world.time.pass_(1)
    start(world)
    assert len(world.tasks.scheduled) == 2


@pytest.mark.parametrize("case", ["after its end", "before it began", "told late", "run is gone"])
def test_a_tag_that_was_away_at_another_time(world: World, case: str) -> None:
    """The run has read the new image: nothing is started."""
    start(world)
    if case == "before it began":
        moved(world, ON_NEWER)
        world.time.pass_(5)
        moved(world, ON_NEW)
        world.time.pass_(5)
    begin(world)
    if case == "told late":
        world.ledger.record_events([ON_NEWER], world.time.now)
        world.time.pass_(60)
    if case == "run is gone":
        moved(world, ON_NEWER)
        moved(world, ON_NEW)
        world.time.pass_(60)
    end(world)
    if case == "after its end":
        moved(world, ON_NEWER)
        world.time.pass_(60)
        moved(world, ON_NEW)
        record(world, NEW)
    if case == "run is gone":
        del world.tasks.found_runs[str(head(world).run_id)]
    world.time.pass_(60)

    assert isinstance(start(world), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


def test_an_event_that_is_delivered_again_moves_no_tag(world: World) -> None:
    """Of the image before, while the run was under way: it tells the time at which that came."""
    before = replace(ON_NEWER, pushed_at=world.time.now)
    moved(world, before)
    world.time.pass_(5)
    moved(world, ON_NEW)
    world.time.pass_(5)
    start(world)
    begin(world)
    world.ledger.record_events([before], world.time.now)
    world.time.pass_(60)
    end(world)
    moved(world, replace(ON_OLD, pushed_at=world.time.now))
    world.time.pass_(60)
    moved(world, ON_NEW)
    record(world, NEW)

    assert isinstance(start(world), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


def test_who_may_not_look_leaves_it(world: World) -> None:
    """Whether the tag was away cannot be told: nothing is started."""
    away_during_a_run(world)
    end(world)
    world.images.no_times = Denied("no")

    assert isinstance(start(world), AlreadyBuiltOn)


def test_what_nothing_is_recorded_of_is_doubted_too(world: World) -> None:
    """A task whose record ACR does not keep was built by us while the tag was away."""
    away_during_a_run(world)
    end(world)
    known = task("build-app", dependency(built_on=None))
    decision = decide_for(world.context, known, Base(ImageReference.parse(NODE), NEW, "registry"))

    assert isinstance(decision, BuiltWhileMoving)


@pytest.mark.parametrize("during", [True, False])
def test_a_tag_that_is_moved_to_an_older_image(world: World, *, during: bool) -> None:
    """It had another tag so far. Only a run that was under way may have read the one before."""
    world.images.came[NEW] = world.time.now - timedelta(days=5)
    began = world.time.now
    world.time.pass_(60)
    if during:
        moved(world, ON_NEW)
        world.time.pass_(60)
    ended = world.time.now
    world.tasks.found_runs["ca0"] = run(
        "ca0", status=RunStatus.SUCCEEDED, started=began, finished=ended
    )
    record(world, NEW)
    world.time.pass_(60)
    if not during:
        moved(world, ON_NEW)  # the same pushed again
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_NEW))

    assert type(decision) is (BuiltWhileMoving if during else AlreadyBuiltOn)


def test_the_time_of_a_tag_counts_if_it_named_another(world: World) -> None:
    """The same pushed again, or a lock, may write a tag as well."""
    name = Base(ImageReference.parse(NODE), NEW, "registry")
    first = world.images.came[NEW]
    moved(world, ON_NEW)
    assert came(world.context, name) == first
    world.ledger.record_events([ON_NEWER], world.time.now)
    world.time.pass_(60)
    moved(world, ON_NEW)
    assert came(world.context, name) == world.time.now
    world.images.no_times = Denied("no")
    assert came(world.context, name) is None


def seen(world: World, digest: str, minutes: int) -> Push:
    """Have the poll see a foreign tag name an image."""
    world.time.pass_(60 * minutes)
    world.foreign.seen[ALPINE] = Seen(digest)
    push = Push(ForeignRegistry("docker.io"), "library/alpine", "3", digest, world.time.now, "poll")
    world.ledger.record_events([push], world.time.now)
    return push


@pytest.mark.parametrize(
    ("began", "ended", "doubted"), [(5, 10, False), (25, 70, True), (45, 50, True), (65, 70, False)]
)
def test_a_foreign_tag_that_came_back(
    world: World, *, began: int, ended: int, doubted: bool
) -> None:
    """Seen after 0, away after 30, back after 60 minutes: it came back some time in between."""
    seen(world, OLD, 0)
    zero = world.time.now
    seen(world, NEW, 30)
    seen(world, OLD, 30)
    made = run(
        "ca0",
        status=RunStatus.SUCCEEDED,
        started=zero + timedelta(minutes=began),
        finished=zero + timedelta(minutes=ended),
    )
    moves = Moves(world.context, Base(ImageReference.parse(ALPINE), OLD, "poll"))

    assert (moves.during(made) is not None) is doubted
    assert moves.since() == zero + timedelta(minutes=60)
    assert moves.proves(made) is (began >= 60)


@pytest.mark.parametrize("first", [True, False])
def test_a_foreign_tag_that_the_poll_was_not_the_first_to_tell_of(
    world: World, *, first: bool
) -> None:
    """Who found it told no time; it had named another, so it moved at some time before."""
    if not first:
        seen(world, OLD, 0)
    world.time.pass_(1800)
    world.foreign.seen[ALPINE] = Seen(NEW)
    push = Push(ForeignRegistry("docker.io"), "library/alpine", "3", NEW, None, "wave")
    world.ledger.record_events([push], world.time.now)
    told = world.time.now
    made = run("ca0", status=RunStatus.SUCCEEDED, started=told - timedelta(minutes=9))
    world.tasks.found_runs["ca0"] = replace(made, finished=told - timedelta(minutes=1))
    known = task("build-app", dependency(ALPINE, NEW))
    world.tasks.add(known)
    seen(world, NEW, 10)
    decision = decide_for(world.context, known, Base(ImageReference.parse(ALPINE), NEW, "poll"))

    # What was never seen before may have been there for long.
    assert isinstance(decision, AlreadyBuiltOn if first else BuiltWhileMoving)


def test_a_foreign_tag_that_was_away_while_a_rebuild_was_under_way(world: World) -> None:
    """What the poll saw in between may have been read."""
    seen(world, NEW, 0)
    known = task("build-app", dependency(ALPINE, OLD))
    world.tasks.add(known)
    push = Push(ForeignRegistry("docker.io"), "library/alpine", "3", NEW, None, "poll")
    start_build(world.context, StartBuild(push, known.id), "me")
    begin(world)
    seen(world, NEWER, 30)
    seen(world, NEW, 30)
    rebuild = head(world)
    world.tasks.found_runs[str(rebuild.run_id)] = replace(
        world.tasks.found_runs[str(rebuild.run_id)],
        status=RunStatus.SUCCEEDED,
        finished=world.time.now,
    )
    world.tasks.add(task("build-app", dependency(ALPINE, NEW)))
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
    decision = decide_for(
        world.context,
        task("build-app", dependency(ALPINE, NEW)),
        Base(ImageReference.parse(ALPINE), NEW, "poll"),
    )

    assert isinstance(decision, BuiltWhileMoving)


def test_an_audit_does_not_believe_the_record_either(world: World) -> None:
    """It is not clean while the image stands on what the tag named for a while."""
    back_during_a_run(world)
    for registry in world.settings.task_registries:
        world.index.mark_refreshed(registry, world.time.now)
    world.time.pass_(7200)
    since = world.time.now - timedelta(days=1)
    found = audit(world.context, since, world.time.now, patience=timedelta(hours=1))

    assert not found.clean
    (finding,) = found.standing
    assert (finding.task, finding.push.digest) == (task().id, OLD)


def test_an_audit_believes_a_run_that_ended_later(world: World) -> None:
    """It made the image that is there now."""
    start(world)
    begin(world)
    end(world)
    moved(world, ON_OLD)
    world.time.pass_(60)
    later = run("cb7", status=RunStatus.SUCCEEDED, started=world.time.now)
    world.time.pass_(60)
    world.tasks.found_runs["cb7"] = replace(later, finished=world.time.now)
    record(world, OLD)
    for registry in world.settings.task_registries:
        world.index.mark_refreshed(registry, world.time.now)
    world.time.pass_(7200)
    since = world.time.now - timedelta(days=1)

    assert audit(world.context, since, world.time.now, patience=timedelta(hours=1)).standing == ()


def test_an_image_that_cannot_be_looked_at_now_is_asked_about_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started while it is not known: the message is delivered again."""
    back_during_a_run(world)
    scheduled = list(world.tasks.scheduled)
    rebuild = head(world)
    pushed = replace(rebuild, output_images=(f"myapps.azurecr.io/app:1@{APP}",))
    world.ledger.save(pushed)

    def busy(*_: object) -> None:
        raise TransientError("503")

    monkeypatch.setattr(world.images, "content", busy)
    with pytest.raises(TransientError, match="503"):
        start(world, ON_OLD)

    assert world.tasks.scheduled == scheduled


def test_an_image_on_an_old_base_is_no_proof_when_the_tag_comes_back(world: World) -> None:
    """It was to be repaired; what was tried since, on another image, failed."""
    start(world)
    begin(world)
    end(world)
    left = replace(head(world), check=Check.STALE, stale_by=Likely.REPLICA)
    world.ledger.save(left)
    moved(world, ON_NEWER)
    start(world, ON_NEWER)
    world.ledger.save(replace(head(world), state=State.FAILED, due=None))
    run_id = str(head(world).run_id)
    failed = replace(world.tasks.found_runs[run_id], status=RunStatus.FAILED)
    world.tasks.found_runs[run_id] = failed
    world.time.pass_(60)
    moved(world, ON_NEW)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(ON_NEW))

    assert isinstance(decision, StillStale)
    start(world)
    assert len(world.tasks.scheduled) == 3
