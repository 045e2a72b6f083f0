from __future__ import annotations

from copy import replace
from datetime import datetime, timedelta

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import IMAGE_UPDATE, Kind
from rebuilder.core.audit.model import Audit
from rebuilder.core.audit.model import AuditFinding as Finding
from rebuilder.core.audit.model import AuditVerdict as Verdict
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, BuiltWhileMoving
from rebuilder.core.decisions.rebuilds import OwnOutput, RebuildFailed, RebuildUnderWay
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import RegistryUnreadable
from rebuilder.core.decisions.uses import OtherTag
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.dead_letters import DeadLetter, Origin
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
from rebuilder.core.rebuilds.rebuild import Check, Native, Rebuild, State
from rebuilder.errors import TransientError
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports import audit as usecase
from rebuilder.usecases.reports.audit import audit
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, run, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
LATER = replace(PUSH, digest=NEWER)
TASK = task().id
MOVED = BaseMoved(TASK, NODE, "runtime", OLD, NEW, "registry")
HOUR = timedelta(hours=1)


def told(world: World, *decisions: Decision, push: Push = PUSH) -> None:
    """Tell of a push, and decide after it."""
    world.ledger.record_events([push], world.time.now)
    world.ledger.record_decisions(push, decisions, world.time.now)


def built(world: World, state: State, digest: str = NEW, **changes: object) -> Rebuild:
    """Store the task's next rebuild."""
    head = world.ledger.head(TASK)
    sequence = head.sequence + 1 if head else 1
    values: dict[str, object] = {
        "task": TASK,
        "sequence": sequence,
        "key": digest[-64:],
        "bases": (f"{NODE}@{digest}",),
        "push": PUSH.key,
        "state": state,
        "claimed_at": world.time.now,
        "owner": "me",
        "lease_until": world.time.now,
        "run_id": f"ca{sequence}",
    }
    made = Rebuild(**{**values, **changes})  # type: ignore[arg-type] # checked by the test's users
    assert world.ledger.claim(made)
    return made


def audited(world: World, since: timedelta = 24 * HOUR, until: datetime | None = None) -> Audit:
    """Audit what was told until now, and now; the index is whole."""
    for registry in world.settings.task_registries:
        world.index.mark_refreshed(registry, world.time.now)
    end = until or world.time.now + timedelta(seconds=1)
    return audit(world.context, world.time.now - since, end)


def follower(world: World) -> None:
    """Have the index know a task that follows the tag, and one of no configured registry."""
    said = Said(ImageReference.parse(NODE), Kind.RUNTIME, OLD)
    for known in (TASK, replace(TASK, registry=replace(APPS, name="elsewhere"))):
        world.index.replace(join(known, [Evidence(Source.BUILD_FILE, (said,))]), world.time.now)


def only(world: World) -> Finding:
    """Return the one finding."""
    (finding,) = audited(world).findings
    return finding


def test_a_rebuild_that_succeeded_is_the_effect(world: World) -> None:
    """One push, one effect, and everything is clean."""
    told(world, MOVED, OtherTag(task("other").id, (f"{NODE}0",)))
    rebuild = built(world, State.SUCCEEDED, check=Check.NEW)
    found = audited(world)

    sentence = f"run ca1 on {NODE}@{NEW}"
    at = world.time.now
    assert found.findings == (Finding(PUSH, at, TASK, Verdict.REBUILT, sentence, rebuild),)
    assert (found.pushes, found.effects, found.clean, found.unchecked) == (1, 1, True, 0)
    assert set(found.counts) == set(Verdict)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"native": Native.ADOPTED}, Verdict.ADOPTED),
        ({"native": Native.MISSED}, Verdict.REBUILT),
        ({"check": Check.UNKNOWN}, Verdict.REBUILT),
        ({"check": Check.STALE, "check_reason": "a cache"}, Verdict.STALE),
    ],
)
def test_how_it_was_rebuilt_is_counted(
    world: World, changes: dict[str, object], verdict: Verdict
) -> None:
    """ACR's own trigger in time or not, and what the image was found to stand on."""
    told(world, MOVED)
    built(world, State.SUCCEEDED, NEW, **changes)
    found = audited(world)

    assert [finding.verdict for finding in found.findings] == [verdict]
    assert found.native_adopted == (changes.get("native") is Native.ADOPTED)
    assert found.native_missed == (changes.get("native") is Native.MISSED)
    assert found.unchecked == (changes.get("check") is Check.UNKNOWN)
    assert found.clean is (verdict is not Verdict.STALE)


def test_a_build_while_the_base_moved_is_proved_by_its_digest(world: World) -> None:
    """The other reason to rebuild names its digest, too."""
    now = world.time.now
    told(world, BuiltWhileMoving(TASK, NODE, NEW, now, now))
    assert only(world).verdict is Verdict.IN_PROGRESS

    built(world, State.SUCCEEDED)
    assert only(world).verdict is Verdict.REBUILT


def test_a_newer_digest_supersedes(world: World) -> None:
    """A rebuild on it that was claimed after the push is the effect of both; stale stays stale."""
    told(world, MOVED)
    rebuild = built(world, State.SUCCEEDED, NEWER)
    assert only(world).verdict is Verdict.SUPERSEDED

    assert rebuild.version == 1
    world.ledger.save(replace(rebuild, check=Check.STALE))
    assert only(world).verdict is Verdict.STALE


def test_a_rebuild_after_one_of_a_clock_that_was_ahead_supersedes(world: World) -> None:
    """What was skipped has the time of tomorrow; the one after it has its number."""
    world.time.now += 24 * HOUR
    told(world, MOVED)
    built(world, State.SKIPPED, run_id=None, outcome="the base moved on")
    follower(world)
    world.time.now -= 24 * HOUR
    built(world, State.SUCCEEDED, NEWER)
    world.time.now += 48 * HOUR

    assert audited(world, since=72 * HOUR).findings[0].verdict is Verdict.SUPERSEDED


def test_a_rebuild_of_a_clock_that_was_behind_hides_none_before_it(world: World) -> None:
    """By that clock it was over days before the push, and so all before it would be."""
    follower(world)
    told(world, MOVED)
    built(world, State.SUCCEEDED, finished_at=world.time.now, run_ended=world.time.now)
    ended = world.time.now + HOUR
    world.time.now -= 72 * HOUR
    built(world, State.SUCCEEDED, NEWER, finished_at=world.time.now, run_ended=ended)
    world.time.now += 76 * HOUR

    assert only(world).verdict is Verdict.REBUILT


def test_a_rebuild_before_the_push_supersedes_nothing(world: World) -> None:
    """What was claimed earlier cannot have known the digest."""
    follower(world)
    built(world, State.SUCCEEDED, OLD)
    world.time.pass_(1)
    told(world, MOVED)
    world.time.pass_(7200)

    assert only(world).verdict is Verdict.LOST


@pytest.mark.parametrize("inside", [True, False])
def test_a_later_push_takes_over(world: World, *, inside: bool) -> None:
    """A failed rebuild does not matter any more when the tag has moved on."""
    told(world, MOVED)
    built(world, State.GIVEN_UP)
    world.time.pass_(60)
    told(world, replace(MOVED, new=NEWER), push=LATER)
    until = world.time.now + timedelta(seconds=30 if inside else -30)
    world.time.pass_(60)
    found = audited(world, until=until)

    verdicts = [finding.verdict for finding in found.findings]
    assert verdicts == [Verdict.SUPERSEDED, Verdict.IN_PROGRESS][: 1 + inside]
    assert f"the tag moved on to {NEWER}" in found.findings[0].sentence


def test_the_registry_tells_which_push_is_the_later_one(world: World) -> None:
    """Who was told of the first one had the clock of tomorrow."""
    follower(world)
    began = world.time.now
    world.time.now += 24 * HOUR
    told(world, MOVED, push=replace(PUSH, pushed_at=began))
    world.time.now -= 23 * HOUR
    later = replace(LATER, pushed_at=began + HOUR)
    told(world, replace(MOVED, new=NEWER), push=later)
    world.time.now += 47 * HOUR

    found = {f.push.digest: f for f in audited(world, since=72 * HOUR).findings}
    assert found[NEW].verdict is Verdict.SUPERSEDED
    assert NEWER in found[NEW].sentence


def test_a_later_push_that_is_not_about_the_task_takes_nothing_over(world: World) -> None:
    """The task may not follow the tag any more; then its rebuild stays given up."""
    told(world, MOVED)
    built(world, State.GIVEN_UP, outcome="Failed", advice="fix the Dockerfile")
    world.time.pass_(60)
    told(world, TaskDisabled(task("other").id), push=LATER)
    found = audited(world)

    (finding,) = found.findings
    assert finding.verdict is Verdict.GIVEN_UP
    assert finding.sentence == "after 1 attempt(s): Failed; fix the Dockerfile"
    assert not found.clean


@pytest.mark.parametrize(
    ("state", "due", "verdict"),
    [
        (State.HELD, 1, Verdict.HELD),
        (State.CLAIMED, None, Verdict.IN_PROGRESS),
        (State.SCHEDULED, 1, Verdict.IN_PROGRESS),
        (State.RUNNING, 1, Verdict.IN_PROGRESS),
        (State.FAILED, 1, Verdict.RETRY),
        (State.FAILED, None, Verdict.GIVEN_UP),
        (State.GIVEN_UP, None, Verdict.GIVEN_UP),
        (State.SKIPPED, None, Verdict.IN_PROGRESS),  # decided: to be planned
        (State.RUNNING, -3, Verdict.LOST),
        (State.FAILED, -3, Verdict.LOST),
    ],
)
def test_the_newest_attempt_counts(
    world: World, state: State, due: int | None, verdict: Verdict
) -> None:
    """How far it is; what should have gone on long ago is lost."""
    told(world, MOVED)
    built(world, State.FAILED)
    at = None if due is None else world.time.now + due * HOUR
    built(world, state, due=at, attempt=2, key=NEW[-64:])

    assert only(world).verdict is verdict


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (AlreadyBuiltOn(TASK, NODE, NEW, "ledger"), Verdict.ALREADY),
        (RebuildFailed(TASK, "id", "ca1", "Failed"), Verdict.GIVEN_UP),
        (OwnOutput(TASK, NODE, NEW, "ca1"), Verdict.CYCLE),
        (TaskDisabled(TASK), Verdict.LEFT),
        (RebuildUnderWay(TASK, "id", None), Verdict.IN_PROGRESS),
    ],
)
def test_what_the_build_decided_counts(world: World, decision: Decision, verdict: Verdict) -> None:
    """It looks later than the plan did, in the same second even."""
    told(world, MOVED, decision)

    assert only(world).verdict is verdict
    assert only(world).verdict.effect is (verdict is Verdict.ALREADY)


def test_a_plan_after_that_counts_again(world: World) -> None:
    """A task that was disabled, and is planned anew, waits for its build."""
    told(world, MOVED, TaskDisabled(TASK))
    world.time.pass_(60)
    world.ledger.record_decisions(PUSH, [MOVED], world.time.now)

    assert only(world).verdict is Verdict.IN_PROGRESS


def test_a_task_that_needed_nothing_is_an_effect_or_nothing(world: World) -> None:
    """Already built on it counts; built on another tag does not concern the push."""
    told(world, AlreadyBuiltOn(TASK, NODE, NEW, "x"), OtherTag(task("o").id, ()))

    assert only(world).verdict is Verdict.ALREADY


def test_what_was_planned_and_never_done_is_lost(world: World) -> None:
    """After an hour; until then it may be in its queue."""
    follower(world)
    told(world, MOVED)
    world.time.pass_(3600)
    assert only(world).verdict is Verdict.IN_PROGRESS

    world.time.pass_(1)
    assert only(world).verdict is Verdict.LOST
    assert not audited(world).clean


@pytest.mark.parametrize("before", [True, False])
def test_a_rebuild_that_was_held_and_left_tells_why(world: World, *, before: bool) -> None:
    """The tag went back while it was held, and no event told so; one of before tells nothing."""
    follower(world)
    if before:
        built(world, State.SKIPPED, run_id=None, outcome="before", finished_at=world.time.now)
        world.time.pass_(60)
    told(world, MOVED)
    world.time.pass_(60)
    if not before:
        left = "already built on the digest before"
        built(world, State.SKIPPED, run_id=None, outcome=left, finished_at=world.time.now)
    world.time.pass_(3601)

    assert only(world).verdict is (Verdict.LOST if before else Verdict.LEFT)
    assert before or only(world).sentence == "already built on the digest before"


@pytest.mark.parametrize("again", [True, False])
def test_a_tag_that_went_back_before_anything_began_lost_nothing(
    world: World, *, again: bool
) -> None:
    """The task was decided for again, on the image that the tag named before and names now."""
    follower(world)
    built_on = AlreadyBuiltOn(TASK, NODE, NEW, "ledger")
    told(world, built_on)
    world.time.pass_(60)
    told(world, replace(MOVED, new=NEWER), push=LATER)
    if again:
        world.time.pass_(60)
        told(world, built_on)
    world.time.pass_(3601)

    (found,) = [f for f in audited(world).findings if f.push.digest == NEWER]
    assert found.verdict is (Verdict.SUPERSEDED if again else Verdict.LOST)
    assert not again or found.sentence == f"the tag went back to {NEW}"


def test_what_is_not_in_need_of_the_image_any_more_is_left(world: World) -> None:
    """A build file that was changed between the plan and the build is no loss."""
    told(world, MOVED)
    world.time.pass_(3601)

    assert only(world).verdict is Verdict.LEFT
    assert only(world).sentence == "it is not in need of the image any more, by the index"


@pytest.mark.parametrize(
    ("state", "verdict"),
    [(State.SUCCEEDED, Verdict.SUPERSEDED), (State.GIVEN_UP, Verdict.GIVEN_UP)],
)
def test_a_tag_that_went_back_to_what_a_run_was_on_is_judged_by_that(
    world: World, state: State, verdict: Verdict
) -> None:
    """When the push's turn came, the tag named what a run under way was on: nothing was to do."""
    under_way = built(world, state)
    told(world, replace(MOVED, new=NEWER), push=LATER)
    world.time.pass_(60)
    decision = RebuildUnderWay(TASK, under_way.id, under_way.run_id)
    world.ledger.record_decisions(LATER, [decision], world.time.now)
    follower(world)
    world.time.pass_(3700)

    (finding,) = (found for found in audited(world).findings if found.push == LATER)
    assert finding.verdict is verdict


def test_a_run_on_older_digests_is_waited_for(world: World) -> None:
    """The message comes back when that is over, unless nobody follows it."""
    follower(world)
    told(world, MOVED)
    world.time.pass_(7200)
    older = built(world, State.RUNNING, OLD, due=world.time.now)
    finding = only(world)

    assert finding.verdict is Verdict.IN_PROGRESS
    assert f"the end of rebuild {older.id} (running)" in finding.sentence
    world.time.pass_(3601)
    assert only(world).verdict is Verdict.LOST


def test_two_rebuilds_on_the_same_digests_are_doubled(world: World) -> None:
    """Two records that succeeded one after the other, and are no attempts of one another."""
    told(world, MOVED)
    built(world, State.SUCCEEDED)
    built(world, State.SUCCEEDED)
    finding = only(world)

    assert finding.verdict is Verdict.DOUBLED
    assert finding.sentence == "runs ca1 and ca2 succeeded on the same digests"


@pytest.mark.parametrize(
    "how",
    [
        "attempts",
        "moved back",
        "moved back early",
        "moved meanwhile",
        "moved meanwhile, by a wrong clock",
    ],
)
def test_what_looks_doubled_and_is_not(world: World, how: str) -> None:
    """Somebody asked for another attempt; or the tag was moved away and back.

    It may have gone back before a rebuild on the other image had succeeded, or been another one
    while the first run went on.
    """
    told(world, MOVED)
    finished = world.time.now + timedelta(minutes=5)
    wrong = 72 * HOUR if how == "moved meanwhile, by a wrong clock" else 0 * HOUR
    built(world, State.SUCCEEDED, finished_at=finished - wrong, run_ended=finished)
    world.time.pass_(60)
    if how.startswith("moved meanwhile"):
        told(world, push=LATER)
    world.time.pass_(600)
    if how == "moved back":
        built(world, State.SUCCEEDED, NEWER)
    if how == "moved back early":
        built(world, State.FAILED, NEWER)
    built(world, State.SUCCEEDED, attempt=2 if how == "attempts" else 1)

    (finding,) = (found for found in audited(world).findings if found.push == PUSH)
    assert finding.verdict is Verdict.REBUILT


def test_a_tag_that_moved_after_the_first_run_makes_the_second_one_a_double(world: World) -> None:
    """What the first run has read is known, and the tag was back before anything was begun."""
    told(world, MOVED)
    built(world, State.SUCCEEDED, finished_at=world.time.now + timedelta(minutes=5))
    world.time.pass_(600)
    told(world, push=LATER)
    built(world, State.SUCCEEDED)

    (finding,) = (found for found in audited(world).findings if found.push == PUSH)
    assert finding.verdict is Verdict.DOUBLED


def test_two_runs_with_one_token_are_doubled(world: World) -> None:
    """ARM shows what the ledger cannot know."""
    told(world, MOVED)
    token = built(world, State.SUCCEEDED).token
    world.tasks.found_runs = {name: run(name, token=token) for name in ("ca1", "ca2")}
    finding = only(world)

    assert finding.verdict is Verdict.DOUBLED
    assert "runs ca1 and ca2 carry the token" in finding.sentence
    now = world.time.now
    apart = audit(world.context, now - HOUR, now + HOUR, ask_arm=False)
    assert apart.clean


@pytest.mark.parametrize(("native", "late"), [(None, 1), (Native.MISSED, 1), (Native.ADOPTED, 0)])
def test_a_native_run_beside_ours_is_counted(
    world: World, native: Native | None, late: int
) -> None:
    """ACR's trigger came after it had been waited for: said, for the wait may be too short."""
    told(world, MOVED)
    built(world, State.SUCCEEDED, native=native)
    moved = (f"{NODE}@{NEW}",)
    native_run = run("cb1", trigger=IMAGE_UPDATE, moved=moved)
    world.tasks.found_runs = {"cb1": native_run, "ca1": run("ca1", moved=moved)}
    found = audited(world)

    assert found.native_late == late
    assert found.clean


def test_arm_is_asked_within_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be looked at is said, and does not spoil the rest."""
    told(world, MOVED, replace(MOVED, task=task("other").id))
    built(world, State.SUCCEEDED)
    monkeypatch.setattr(usecase, "ASKED", 1)

    def failing(*_: object, **__: object) -> None:
        raise TransientError("no answer")

    monkeypatch.setattr(world.tasks, "runs", failing)
    found = audited(world)

    assert found.remarks == (
        "ARM was asked about 1 of 2 tasks",
        f"the runs of {TASK} could not be read: no answer",
    )


def letter(world: World, source: str, body: str, origin: Origin = Origin.QUEUE) -> str:
    """Keep a dead letter; return its id."""
    made = DeadLetter(origin, source, body, "it broke", world.time.now)
    world.context.dead_letters.record(made)
    return made.id


@pytest.mark.parametrize("which", ["build", "plan"])
def test_a_dead_letter_is_why_nothing_happened(world: World, which: str) -> None:
    """It names the letter and what to type."""
    told(world, MOVED)
    message = StartBuild(PUSH, TASK) if which == "build" else PlanRebuilds(PUSH)
    known = letter(world, BUILDS if which == "build" else PUSHES, message.encode())
    finding = only(world)

    assert finding.verdict is Verdict.DEAD_LETTER
    assert finding.sentence.endswith(f"it broke; `rebuilder replay {known}`")
    assert not audited(world).clean
    world.context.dead_letters.mark_replayed(known, world.time.now)
    assert only(world).verdict is Verdict.IN_PROGRESS


def test_a_dead_letter_of_another_task_is_not_the_reason(world: World) -> None:
    """The task of the letter has its own finding."""
    told(world, MOVED)
    letter(world, BUILDS, StartBuild(PUSH, task("other").id).encode())

    assert only(world).verdict is Verdict.IN_PROGRESS


def test_dead_letters_about_no_push_are_listed_only(world: World) -> None:
    """They wait, and no push lacks its effect for them."""
    letter(world, RUNS, TrackBuild(TASK, 1, 1).encode())
    letter(world, REFRESH, "{}")
    letter(world, BUILDS, "[]")
    letter(world, str(BASE), "{}", Origin.EVENT)
    letter(world, str(BASE), "{", Origin.EVENT)
    for half in ('"\\ud800"', PlanRebuilds(PUSH).encode().replace("node", "\\ud800")):
        for source in (PUSHES, BUILDS, RUNS):
            letter(world, source, half)
    letter(world, str(BASE), EVENT.replace("node", "\\ud800"), Origin.EVENT)
    found = audited(world)

    assert len(found.waiting) == 12
    assert found.waiting[0].task == TASK
    assert (found.findings, found.clean) == ((), True)


EVENT = (
    f'{{"topic":"{BASE}","id":"e","subject":"s","eventType":"Microsoft.ContainerRegistry.ImagePushed",'
    f'"data":{{"target":{{"digest":"{NEW}","repository":"images/node","tag":"9"}}}}}}'
)


def test_an_event_that_never_came_is_found(world: World) -> None:
    """The push is known from its dead letter alone; once, however many there are."""
    letter(world, str(BASE), EVENT, Origin.EVENT)
    letter(world, PUSHES, PlanRebuilds(PUSH).encode())
    finding = only(world)

    assert (finding.push.key, finding.task) == (PUSH.key, None)
    assert finding.verdict is Verdict.DEAD_LETTER


def test_an_event_that_was_told_otherwise_is_no_exception(world: World) -> None:
    """Another delivery, or the sweep, told of the push, before the time span even."""
    world.ledger.record_events([PUSH], world.time.now)
    world.time.pass_(48 * 3600)
    letter(world, str(BASE), EVENT, Origin.EVENT)

    assert audited(world).findings == ()


def test_a_push_that_nobody_follows_needs_no_decision(world: World) -> None:
    """Most pushes are of that kind."""
    told(world)

    assert audited(world).findings == ()


def test_a_push_that_was_never_planned_is_lost(world: World) -> None:
    """The index names who should have been rebuilt; a later push makes up for it."""
    follower(world)
    told(world)
    assert only(world).verdict is Verdict.IN_PROGRESS

    world.time.pass_(3601)
    assert only(world).verdict is Verdict.LOST
    assert only(world).sentence == "never planned, although the index names myapps/build-app"
    letter(world, PUSHES, PlanRebuilds(PUSH).encode())
    assert only(world).verdict is Verdict.DEAD_LETTER


def test_a_push_that_was_planned_concerns_nobody_who_came_later(world: World) -> None:
    """A task that names its tag since then was not left out of its plan."""
    told(world)
    plan_rebuilds(world.context, PlanRebuilds(PUSH))
    follower(world)
    world.time.pass_(3601)

    assert audited(world).findings == ()


def test_a_push_that_was_never_planned_may_be_superseded(world: World) -> None:
    """The later push has its own finding."""
    follower(world)
    told(world)
    world.time.pass_(3601)
    told(world, push=LATER)

    assert [finding.verdict for finding in audited(world).findings] == [
        Verdict.SUPERSEDED,
        Verdict.IN_PROGRESS,
    ]


def test_a_base_registry_that_cannot_be_read_is_said(world: World) -> None:
    """Then nobody can tell who needed the push."""
    world.ledger.record_events([PUSH], world.time.now)
    world.tasks.failures["registry"] = [TransientError("no answer")]
    found = audited(world)

    assert found.remarks == (f"who needs {PUSH.key} could not be told: no answer",)


def test_pushes_of_foreign_registries_are_audited_too(world: World) -> None:
    """They are told by the poll."""
    alpine = Push(ForeignRegistry("docker.io"), "library/alpine", "3", NEW, None, "poll")
    told(world, replace(MOVED, dependency="docker.io/library/alpine:3"), push=alpine)
    built(world, State.SUCCEEDED, bases=(f"docker.io/library/alpine:3@{NEW}",))

    assert only(world).verdict is Verdict.REBUILT


def test_a_registry_that_could_not_be_read_is_an_exception(world: World) -> None:
    """Until a later plan decides for a task of it."""
    told(world, RegistryUnreadable(str(APPS), "no role"))
    finding = only(world)
    assert (finding.verdict, finding.task) == (Verdict.UNREADABLE, None)
    assert not audited(world).clean

    world.time.pass_(60)
    world.ledger.record_decisions(PUSH, [MOVED], world.time.now)
    assert only(world).verdict is Verdict.IN_PROGRESS


def test_what_the_registry_knows_otherwise_of_a_push_is_said(world: World) -> None:
    """A forged event is seen as one; what nobody has to look at is not asked about."""
    follower(world)
    forged = replace(PUSH, digest=f"sha256:{'e' * 64}")
    told(world, push=forged)
    world.time.pass_(7200)
    (finding,) = audited(world).findings

    assert finding.verdict is Verdict.LOST
    assert finding.sentence.endswith(
        "the registry has no manifest of this digest: it was deleted since, or never was there and"
        " the event was wrong"
    )
    world.images.failure = TransientError("no answer")
    (finding,) = audited(world).findings
    assert "whether the registry knows of it could not be asked: no answer" in finding.sentence
