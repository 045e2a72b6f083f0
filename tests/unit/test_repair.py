"""Rebuilt, but still stale: made again after a while, or when somebody asks for it."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind, RunStatus
from rebuilder.core.decisions.digests import AlreadyBuiltOn, StillStale
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join, recorded
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, PlanRebuilds, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import REPAIR_WAITS, Check, Likely, Rebuild, State
from rebuilder.core.rebuilds.records import rebuild_from_text, rebuild_to_text
from rebuilder.errors import Denied, TransientError
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.recovery.replay import retry
from rebuilder.usecases.reports.audit import audit
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OLD, World, dependency, run, task
from tests.unit.test_output import APP, NEW_BASE, OLD_BASE, content

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
NODE_NAME = NODE.partition(":")[0]
FRESH, STALE = ("1", "3", "9"), ("1", "2", "9")  # layers: on the new base, on the old one


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.tasks.add(task())
    world.images.contents = {f"{NODE_NAME}:{OLD}": OLD_BASE, f"{NODE_NAME}:{NEW}": NEW_BASE}
    world.index.replace(join(task().id, [recorded(task())]), world.time.now)
    world.ledger.record_events([PUSH], world.time.now)
    plan_rebuilds(world.context, PlanRebuilds(PUSH))
    world.queue.sent.clear()
    world.time.pass_(1)
    return world


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def end(world: World, layers: tuple[str, ...] = STALE, *, record: str = NEW) -> Rebuild:
    """Let the newest run succeed with an image of some layers, after which ACR records a digest."""
    rebuild = head(world)
    run_id = str(rebuild.run_id)
    world.images.contents[f"myapps.azurecr.io/app:{APP}"] = content(APP, *layers)
    world.tasks.found_runs[run_id] = replace(
        world.tasks.found_runs[run_id],
        status=RunStatus.SUCCEEDED,
        output_images=(f"myapps.azurecr.io/app:1@{APP}",),
        started=world.time.now,
        finished=world.time.now,
    )
    world.tasks.add(task("build-app", dependency(built_on=record)))
    world.queue.take(RUNS)
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
    return head(world)


def built(world: World, layers: tuple[str, ...] = STALE) -> Rebuild:
    """Rebuild the task; its image has these layers."""
    start_build(world.context, MESSAGE, "me")
    return end(world, layers)


def test_a_stale_image_is_made_again_three_times(world: World) -> None:
    """After ten minutes, an hour and six hours; then it is left, and the sweep leaves it, too."""
    stale = built(world)
    for repair, wait in enumerate(REPAIR_WAITS):
        assert (stale.state, stale.check, stale.stale_by) == (
            State.SUCCEEDED,
            Check.STALE,
            Likely.CACHE,
        )
        assert (stale.repair, stale.attempt) == (repair, 1)
        assert stale.due == world.time.now + wait
        assert stale.unsettled
        ((body, delay),) = world.queue.take(BUILDS)
        assert delay == wait
        assert rebuild_from_text(rebuild_to_text(stale)) == stale
        world.time.pass_(wait.total_seconds())
        start_build(world.context, StartBuild.decode(body), "me")
        assert head(world).state is State.SCHEDULED
        stale = end(world)
    assert (stale.repair, stale.due, stale.unsettled) == (3, None, False)
    assert world.queue.take(BUILDS) == []
    assert len({token for _, token in world.tasks.scheduled}) == 4

    for hours in (1, 24):
        world.time.pass_(3600 * hours)
        sweep(world.context, f"sweep-{hours}")
        bodies = [body for body, _ in world.queue.take(BUILDS)]
        assert bodies == []
        plan_rebuilds(world.context, PlanRebuilds(PUSH))
        assert world.queue.take(BUILDS) == []
    assert len(world.tasks.scheduled) == 4


def test_an_image_that_is_as_it_should_be_ends_the_repair(world: World) -> None:
    """The geo-replica has the base by now: the second run stands on it."""
    built(world)
    world.time.pass_(600)
    start_build(world.context, MESSAGE, "me")
    done = end(world, FRESH)

    assert (done.check, done.repair, done.due, done.stale_by) == (Check.NEW, 1, None, None)
    assert isinstance(start_build(world.context, MESSAGE, "you"), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 2


def test_a_repair_comes_when_it_is_due(world: World) -> None:
    """A message that comes before that waits; the plan for the same push says why."""
    built(world)
    world.queue.sent.clear()
    world.time.pass_(60)
    assert start_build(world.context, MESSAGE, "me") is None
    ((_, delay),) = world.queue.take(BUILDS)
    assert delay == timedelta(seconds=540)
    plan_rebuilds(world.context, PlanRebuilds(PUSH))

    decisions = [record.decision for record in world.ledger.decisions(PUSH)]
    (decision,) = [d for d in decisions if isinstance(d, StillStale)]
    assert "run ca1 was for mybase.azurecr.io/images/node:9" in decision.sentence()
    assert "likely a cache" in decision.sentence()
    assert len(world.tasks.scheduled) == 1


@pytest.mark.parametrize("lost", ["message", "due"])
def test_the_sweep_finds_a_repair_that_was_lost(world: World, lost: str) -> None:
    """Its message, or that it was ever due: such a success does not cover the task."""
    stale = built(world)
    world.queue.sent.clear()
    if lost == "due":
        world.ledger.save(replace(stale, due=None))
    world.time.pass_(1200)
    sweep(world.context, "sweep")
    for body, _ in world.queue.take("rebuilder-pushes"):
        plan_rebuilds(world.context, PlanRebuilds.decode(body))
    for body, _ in world.queue.take(BUILDS):
        start_build(world.context, StartBuild.decode(body), "me")

    assert (head(world).sequence, head(world).state, head(world).repair) == (
        2,
        State.SCHEDULED,
        1,
    )


def test_the_sweep_closes_what_a_repair_has_followed(world: World) -> None:
    """The stale success is not taken up again beside its repair."""
    built(world)
    world.time.pass_(600)
    start_build(world.context, MESSAGE, "me")
    world.queue.sent.clear()
    world.time.pass_(600)
    sweep(world.context, "sweep")

    assert [rebuild.sequence for rebuild in world.ledger.unsettled()] == [2]
    assert world.queue.take(BUILDS) == []


@pytest.mark.parametrize("fails", [1, 3])
def test_a_repair_has_attempts_of_its_own(world: World, fails: int) -> None:
    """A run that fails is tried again as others are; the count of repairs stays."""
    built(world)
    world.time.pass_(600)
    for attempt in range(1, fails + 1):
        start_build(world.context, MESSAGE, "me")
        rebuild = head(world)
        assert (rebuild.repair, rebuild.attempt) == (1, attempt)
        run_id = str(rebuild.run_id)
        failed = replace(world.tasks.found_runs[run_id], status=RunStatus.FAILED)
        world.tasks.found_runs[run_id] = failed
        track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
        world.time.pass_(3600)
    world.queue.sent.clear()
    start_build(world.context, MESSAGE, "me")

    assert head(world).state is (State.GIVEN_UP if fails == 3 else State.SCHEDULED)
    assert head(world).repair == 1


def test_a_repair_goes_on_after_it_was_held(world: World) -> None:
    """ARM took no request: that the task counts as built does not end the repair."""
    built(world)
    world.time.pass_(600)
    world.tasks.failures["schedule"] = [TransientError("no connection")]
    with pytest.raises(TransientError):
        start_build(world.context, MESSAGE, "me")
    assert (head(world).state, head(world).repair) == (State.HELD, 1)
    start_build(world.context, MESSAGE, "me")

    assert (head(world).sequence, head(world).state) == (2, State.SCHEDULED)


def test_a_newer_digest_ends_the_repair(world: World) -> None:
    """The older one is of no use any more."""
    built(world)
    world.images.digests[NODE] = NEWER
    newer = replace(MESSAGE, push=replace(PUSH, digest=NEWER))
    start_build(world.context, newer, "me")

    first = world.ledger.rebuild(task().id, 1)
    assert first is not None
    assert (first.state, first.due, first.check) == (State.SUCCEEDED, None, Check.STALE)
    assert (head(world).bases, head(world).repair) == ((f"{NODE}@{NEWER}",), 0)


def asked_for_before_a_newer_one_came(world: World) -> Push:
    """Have a run asked for that begins when a newer digest is there; return the push of that."""
    world.images.contents[f"{NODE_NAME}:{NEWER}"] = content(NEWER, "1", "4")
    start_build(world.context, MESSAGE, "me")
    newer = replace(PUSH, digest=NEWER)
    world.images.digests[NODE] = NEWER
    world.images.came[NEWER] = world.images.written[NODE] = world.time.now
    world.ledger.record_events([newer], world.time.now)
    world.time.pass_(600)
    return newer


@pytest.mark.parametrize(("layers", "again"), [(STALE, True), (("1", "4", "9"), False)])
def test_what_a_run_missed_of_its_own_it_may_have_missed_of_a_newer_one(
    world: World, layers: tuple[str, ...], *, again: bool
) -> None:
    """A newer digest came before it began, and ACR has recorded that; its image tells."""
    newer = asked_for_before_a_newer_one_came(world)
    assert end(world, layers, record=NEWER).check is (Check.STALE if again else Check.NEW)
    found = start_build(world.context, StartBuild(newer, task().id), "me")
    assert len(world.tasks.scheduled) == 1 + again
    assert again or isinstance(found, AlreadyBuiltOn)


def test_what_is_made_again_for_a_newer_digest_is_told_of_by_both(world: World) -> None:
    """The run was for the one before; an audit counts what is built on the one that came."""
    newer = asked_for_before_a_newer_one_came(world)
    end(world, STALE, record=NEWER)
    (decision,) = plan_rebuilds(world.context, PlanRebuilds(newer))
    assert isinstance(decision, StillStale)
    assert f"was for {NODE} at {NEW}, and is to be made again" in decision.sentence()
    start_build(world.context, StartBuild(newer, task().id), "me")
    end(world, ("1", "4", "9"), record=NEWER)
    since = world.time.now - timedelta(hours=1)
    found = audit(world.context, since, world.time.now + timedelta(hours=1), ask_arm=False)
    told = {one.push.digest: one.verdict for one in found.findings}
    assert str(told[NEWER]) == "rebuilt"


def test_a_task_that_is_disabled_is_not_repaired(world: World) -> None:
    """Nothing is built any more; the success stays one."""
    built(world)
    world.tasks.add(task("build-app", dependency(built_on=NEW), enabled=False))

    assert isinstance(start_build(world.context, MESSAGE, "me"), TaskDisabled)
    assert (head(world).state, head(world).due) == (State.SUCCEEDED, None)


def test_what_somebody_else_built_since_is_left_alone(world: World) -> None:
    """A run that succeeded and ended later made the image that is there now."""
    built(world)
    world.time.pass_(60)
    now = world.time.now
    theirs = run("cz1", status=RunStatus.SUCCEEDED, started=now, finished=now)
    world.tasks.found_runs["cz1"] = theirs
    world.time.pass_(540)
    decision = start_build(world.context, MESSAGE, "me")

    assert isinstance(decision, AlreadyBuiltOn)
    assert "run cz1, which ended later" in decision.sentence()
    assert (head(world).due, head(world).repairable) == (None, False)
    assert len(world.tasks.scheduled) == 1


def test_a_commit_that_also_names_another_image_ends_the_repair(world: World) -> None:
    """It made the image on the new base; that the task's images are others is no reason again."""
    built(world)
    world.time.pass_(60)
    now = world.time.now
    world.tasks.found_runs["cz1"] = run(
        "cz1", trigger="Commit", status=RunStatus.SUCCEEDED, started=now, finished=now
    )
    python = "mybase.azurecr.io/images/python:3"
    world.images.digests[python] = OLD
    edited = (dependency(built_on=NEW), dependency(python, kind=Kind.BUILD_TIME))
    world.tasks.add(task("build-app", *edited))
    world.time.pass_(540)
    decision = start_build(world.context, MESSAGE, "me")

    assert isinstance(decision, AlreadyBuiltOn)
    assert "run cz1, which ended later" in decision.sentence()
    assert (head(world).due, head(world).repairable) == (None, False)
    assert len(world.tasks.scheduled) == 1


def test_a_repair_goes_on_though_the_task_was_edited(world: World) -> None:
    """No other run has seen to it: it is built on all that the task's tags name now."""
    built(world)
    python = "mybase.azurecr.io/images/python:3"
    world.images.digests[python] = OLD
    edited = (dependency(built_on=NEW), dependency(python, kind=Kind.BUILD_TIME))
    world.tasks.add(task("build-app", *edited))
    world.time.pass_(600)
    start_build(world.context, MESSAGE, "me")

    assert head(world).bases == (f"{NODE}@{NEW}", f"{python}@{OLD}")
    assert len(world.tasks.scheduled) == 2


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.SUCCEEDED])
def test_what_ended_before_or_badly_changes_nothing(world: World, status: RunStatus) -> None:
    """Only a later success is one."""
    stale = built(world)
    assert stale.finished_at is not None
    before = stale.finished_at - timedelta(seconds=30)
    finished = before if status is RunStatus.SUCCEEDED else stale.finished_at + timedelta(hours=1)
    theirs = run("cz1", status=status, started=before, finished=finished)
    world.tasks.found_runs["cz1"] = theirs
    world.time.pass_(600)
    start_build(world.context, MESSAGE, "me")

    assert (head(world).sequence, head(world).repair) == (2, 1)


@pytest.mark.parametrize("cause", ["pin", "tag", "moved"])
def test_what_another_run_would_not_change_is_not_repaired(world: World, cause: str) -> None:
    """The build file names a digest or another tag, or the tag has moved on."""
    image = content(APP, *STALE)
    start_build(world.context, MESSAGE, "me")
    if cause == "pin":
        tag = ImageReference.parse(NODE)
        said = (
            Said(tag, Kind.RUNTIME, OLD, "Dockerfile, line 1"),
            Said(tag.at(OLD), Kind.RUNTIME, OLD, "Dockerfile, line 2"),
        )
        view = join(task().id, [Evidence(Source.BUILD_FILE, said)])
        world.index.replace(view, world.time.now)
    elif cause == "tag":
        image = replace(image, base_name=f"{NODE_NAME}:10", base_digest=OLD)
    else:
        world.images.digests[NODE] = NEWER
    rebuild = head(world)
    world.images.contents[f"myapps.azurecr.io/app:{APP}"] = image
    world.tasks.found_runs["ca1"] = replace(
        world.tasks.found_runs["ca1"],
        status=RunStatus.SUCCEEDED,
        output_images=(f"myapps.azurecr.io/app:1@{APP}",),
    )
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
    stale = head(world)

    assert stale.check is Check.STALE
    assert stale.stale_by is not None
    assert not stale.stale_by.repairable
    assert (stale.due, stale.repairable) == (None, False)
    assert world.queue.take(BUILDS) == []


@pytest.mark.parametrize(
    ("lead", "likely", "said"),
    [
        (timedelta(seconds=12), Likely.REPLICA, "12 s after the digest came to its registry"),
        (timedelta(minutes=10), Likely.CACHE, "likely a cache"),
        (None, Likely.CACHE, "likely a cache"),
    ],
)
def test_a_run_that_was_quicker_than_a_replica(
    world: World, lead: timedelta | None, likely: Likely, said: str
) -> None:
    """How long after the push it began is the evidence."""
    if lead is not None:
        world.images.came[NEW] = world.time.now - lead
    stale = built(world)

    assert stale.stale_by is likely
    assert said in str(stale.check_reason)
    assert f"those of {NODE}@{OLD}, not {NODE}@{NEW}" in str(stale.check_reason)


def test_when_a_digest_came_may_not_be_known(world: World) -> None:
    """The image is stale all the same, and a cache is the likely cause then."""
    world.images.no_times = Denied("403")
    stale = built(world)

    assert (stale.check, stale.stale_by) == (Check.STALE, Likely.CACHE)


LOG = """2019/08/05 05:23:02 The following dependencies were found:
2019/08/05 05:23:02
- image:
    registry: myapps.azurecr.io
    repository: app
    tag: "1"
    digest: sha256:dddd
  runtime-dependency:
    registry: mybase.azurecr.io
    repository: images/node
    tag: "9"
    digest: {}
  git: {{}}

Run ID: ca1 was successful after 34s
"""


def test_the_log_tells_what_a_run_used_where_the_image_may_not_be_read(world: World) -> None:
    """ACR's record names another digest, and the log proves that it is this run's."""
    world.images.contents.clear()
    world.tasks.logs["ca1"] = LOG.format(OLD)
    start_build(world.context, MESSAGE, "me")
    stale = end(world, record=OLD)

    assert (stale.check, stale.stale_by) == (Check.STALE, Likely.CACHE)
    assert str(stale.check_reason).startswith(
        f"the run's log says that it used {NODE} at {OLD}, not {NODE}@{NEW}: likely a cache"
    )
    assert stale.due is not None


def test_the_log_is_read_only_if_the_record_is_doubtful(world: World) -> None:
    """A record that names the new digest costs no further request."""
    world.images.contents.clear()
    world.tasks.logs["ca1"] = LOG.format(OLD)
    start_build(world.context, MESSAGE, "me")
    done = end(world, record=NEW)

    assert done.check is Check.UNKNOWN
    assert world.tasks.logs_read == []


@pytest.mark.parametrize("case", ["new", "moved", "nothing", "denied", "foreign"])
def test_a_record_alone_proves_nothing(world: World, case: str) -> None:
    """It may be of the run before: without the log, it is not known what the run used."""
    world.images.contents.clear()
    world.tasks.logs["ca1"] = {
        "new": LOG.format(NEW),
        "moved": LOG.format(OLD),
        "nothing": "Run ID: ca1 was successful after 34s\n",
        "denied": "",
        "foreign": LOG.format(OLD),
    }[case]
    start_build(world.context, MESSAGE, "me")
    if case == "moved":
        world.images.digests[NODE] = NEWER
    elif case == "denied":
        world.tasks.failures["log"] = [Denied("AuthorizationFailed")]
    elif case == "foreign":
        world.context = replace(
            world.context, settings=replace(world.settings, base_registries=frozenset())
        )
    done = end(world, record=OLD)

    assert (done.check, done.due) == (Check.UNKNOWN, None)


# What somebody asks for.


@pytest.mark.parametrize("layers", [STALE, FRESH])
def test_retry_forces_it_once(world: World, layers: tuple[str, ...]) -> None:
    """Although it counts as built; a message that is delivered twice leads to one run."""
    built(world, layers)
    world.queue.sent.clear()
    assert retry(world.context, task().id).key == PUSH.key
    ((body, _),) = world.queue.take(BUILDS)
    message = StartBuild.decode(body)
    start_build(world.context, message, "me")
    assert (head(world).sequence, head(world).state) == (2, State.SCHEDULED)
    assert head(world).repair == 1
    start_build(world.context, message, "you")
    end(world, FRESH)
    assert isinstance(start_build(world.context, message, "again"), AlreadyBuiltOn)

    assert len(world.tasks.scheduled) == 2


def test_retry_forces_what_was_repaired_in_vain(world: World) -> None:
    """After the last repair it is a person's to say; then it is left again."""
    stale = built(world)
    for wait in REPAIR_WAITS:
        world.time.pass_(wait.total_seconds())
        start_build(world.context, MESSAGE, "me")
        stale = end(world)
    world.queue.sent.clear()
    assert isinstance(start_build(world.context, MESSAGE, "me"), AlreadyBuiltOn)
    retry(world.context, task().id)
    ((body, _),) = world.queue.take(BUILDS)
    start_build(world.context, StartBuild.decode(body), "me")
    assert (head(world).sequence, head(world).repair) == (5, 4)
    stale = end(world)

    assert (stale.repairable, stale.due) == (False, None)


def test_retry_of_a_task_that_nothing_is_known_of(world: World) -> None:
    """ACR's record says that it is built on the image: it is built again all the same, once."""
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    world.index.replace(
        join(task().id, [recorded(task("build-app", dependency(built_on=NEW)))]), world.time.now
    )
    assert isinstance(start_build(world.context, MESSAGE, "me"), AlreadyBuiltOn)
    retry(world.context, task().id)
    ((body, _),) = world.queue.take(BUILDS)
    assert StartBuild.decode(body).after == 0
    start_build(world.context, StartBuild.decode(body), "me")
    end(world, FRESH)

    assert isinstance(start_build(world.context, StartBuild.decode(body), "me"), AlreadyBuiltOn)
    assert len(world.tasks.scheduled) == 1


def test_a_message_of_an_older_version_forces_nothing(world: World) -> None:
    """It does not tell after which rebuild it was asked for: what succeeded is not built twice."""
    built(world, FRESH)
    message = StartBuild(PUSH, task().id, forced=True)

    assert isinstance(start_build(world.context, message, "me"), AlreadyBuiltOn)


def test_a_repair_is_no_double(world: World) -> None:
    """The audit counts one effect, not two runs on the same digests; before that it is stale."""
    since = world.time.now - timedelta(hours=1)
    built(world)
    found = audit(world.context, since, world.time.now + timedelta(hours=1), ask_arm=False)
    assert [str(finding.verdict) for finding in found.findings] == ["stale"]
    world.time.pass_(600)
    start_build(world.context, MESSAGE, "me")
    end(world, FRESH)
    found = audit(world.context, since, world.time.now + timedelta(hours=1), ask_arm=False)

    assert [str(finding.verdict) for finding in found.findings] == ["rebuilt"]
    assert found.clean
