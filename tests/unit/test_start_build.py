from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import MANUAL, RunStatus
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.digests import AlreadyBuiltOn, TagGone
from rebuilder.core.decisions.rebuilds import OwnOutput, RebuildFailed, RebuildUnderWay
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.unreadable import NotConfigured, TaskGone
from rebuilder.core.dependencies.evidence import join, recorded
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Failure, Hold, Rebuild, State
from rebuilder.errors import Denied, OutcomeUnknown, Refused, Throttled, TransientError
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OTHERS, World, dependency, run, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)


@pytest.fixture(autouse=True)
def _one_task(world: World) -> None:
    world.tasks.add(task())


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def decided(world: World) -> list[str]:
    """Return the codes of what was recorded about the push."""
    return [record.decision.code for record in world.ledger.decisions(PUSH)]


def test_a_build_is_claimed_scheduled_and_followed(world: World) -> None:
    """The claim comes first, then the run with its token, then the message that follows it."""
    rebuild = start_build(world.context, MESSAGE, "me")

    assert isinstance(rebuild, Rebuild)
    assert rebuild == head(world)
    assert (rebuild.state, rebuild.run_id) == (State.SCHEDULED, "ca1")
    assert rebuild.bases == (f"{NODE}@{NEW}",)
    assert rebuild.push == PUSH.key
    assert world.tasks.scheduled == [(task().id, rebuild.token)]
    ((body, delay),) = world.queue.take(RUNS)
    assert TrackBuild.decode(body) == TrackBuild(task().id, 1, rebuild.version, rebuild.follower)
    assert delay == world.settings.track_interval


def test_what_the_tag_names_now_counts(world: World) -> None:
    """An event that is overtaken builds on the newest image, once."""
    world.images.digests[NODE] = NEWER
    start_build(world.context, MESSAGE, "me")
    start_build(world.context, replace(MESSAGE, push=replace(PUSH, digest=NEWER)), "you")

    assert head(world).bases == (f"{NODE}@{NEWER}",)
    assert len(world.tasks.scheduled) == 1


def test_without_the_role_nothing_is_built(world: World) -> None:
    """A registry that may not be read does not tell whether the event is old."""
    world.images.failure = Denied("no role")
    with pytest.raises(Denied, match="AcrPull"):
        start_build(world.context, MESSAGE, "me")

    assert world.tasks.scheduled == []


def test_the_task_is_gone(world: World) -> None:
    """A task that was deleted since it was indexed is a decision, and leaves the index."""
    world.tasks.known.clear()

    world.index.replace(join(task().id, [recorded(task())]), world.time.now)
    world.time.pass_(1)

    assert start_build(world.context, MESSAGE, "me") == TaskGone(task().id)
    assert decided(world) == ["task-gone"]
    assert world.index.view(task().id) is None


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("which", ["task", "base"])
def test_a_registry_that_is_not_configured_is_left_alone(
    world: World, which: str, *, claimed: bool
) -> None:
    """One that was taken out of the settings while messages waited, or that a forged one names."""
    if claimed:  # by somebody who died before he had scheduled its run
        world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
        start_build(world.context, MESSAGE, "somebody")
        world.time.pass_(91)
    others = (
        replace(world.settings, task_registries=(OTHERS,))
        if which == "task"
        else replace(world.settings, base_registries=frozenset())
    )
    context = replace(world.context, settings=others)

    decision = start_build(context, MESSAGE, "me")

    assert isinstance(decision, NotConfigured)
    assert ("TASK" if which == "task" else "BASE") in decision.sentence()
    assert decided(world) == ["not-configured"]
    assert world.tasks.scheduled == []
    if claimed:
        assert (head(world).state, head(world).outcome) == (State.SKIPPED, decision.sentence())


def test_the_tag_is_gone(world: World) -> None:
    """A tag that was deleted since the push cannot be built on."""
    world.images.digests.clear()

    assert start_build(world.context, MESSAGE, "me") == TagGone(task().id, NODE)
    assert world.tasks.scheduled == []


def test_there_is_no_more_reason(world: World) -> None:
    """A task that was built on the digest meanwhile is left alone."""
    world.tasks.add(task("build-app", dependency(built_on=NEW)))

    assert isinstance(start_build(world.context, MESSAGE, "me"), AlreadyBuiltOn)
    assert decided(world) == ["already-built-on"]


def test_a_build_that_began_too_early_is_no_proof(world: World) -> None:
    """A record that names the new digest after a run that began before it: rebuild."""
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    began = world.time.now - timedelta(hours=1)
    world.tasks.found_runs["ca0"] = run("ca0", status=RunStatus.SUCCEEDED, started=began)
    world.images.came[NEW] = began + timedelta(minutes=1)
    start_build(world.context, MESSAGE, "me")

    assert head(world).state is State.SCHEDULED


def test_a_proof_that_cannot_be_had_now_is_asked_for_again(world: World) -> None:
    """The delivery fails and comes again: neither a build nor a reason against it is made up."""
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    world.images.no_times = TransientError("503")
    with pytest.raises(TransientError):
        start_build(world.context, MESSAGE, "me")

    assert decided(world) == []
    assert world.tasks.scheduled == []


def test_a_build_of_ours_is_proof(world: World) -> None:
    """What our own rebuild succeeded on needs no further proof."""
    start_build(world.context, MESSAGE, "me")
    finish(world)
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    decision = start_build(world.context, MESSAGE, "me")

    assert decision == AlreadyBuiltOn(task().id, NODE, NEW, "ledger of rebuilds")


def finish(world: World, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """Let the newest rebuild's run end and be looked at."""
    rebuild = head(world)
    run_id = rebuild.run_id or ""
    ended = replace(world.tasks.found_runs[run_id], status=status)
    world.tasks.found_runs[run_id] = ended
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))


@pytest.mark.parametrize(
    ("status", "decision"),
    [(RunStatus.SUCCEEDED, AlreadyBuiltOn), (RunStatus.CANCELED, RebuildFailed)],
)
def test_the_ledger_knows_even_if_arm_does_not(
    world: World, status: RunStatus, decision: type
) -> None:
    """ARM's record may stay old after our run: the same digests are still not built twice."""
    start_build(world.context, MESSAGE, "me")
    finish(world, status)

    assert isinstance(start_build(world.context, MESSAGE, "you"), decision)
    assert len(world.tasks.scheduled) == 1


def test_a_second_message_finds_the_rebuild_under_way(world: World) -> None:
    """While the run goes on, another message starts nothing and makes sure it is followed."""
    start_build(world.context, MESSAGE, "me")
    world.queue.sent.clear()
    decision = start_build(world.context, MESSAGE, "you")

    assert isinstance(decision, RebuildUnderWay)
    assert decision.run == "ca1"
    assert len(world.queue.take(RUNS)) == 1
    assert len(world.tasks.scheduled) == 1


def test_copies_of_a_message_that_waits_become_one(world: World) -> None:
    """A message whose sending was not answered is there twice; each copy would wait for itself."""
    start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    newer = replace(MESSAGE, push=replace(PUSH, digest=NEWER))
    copies = [newer, newer, newer]
    for _ in range(3):
        for copy in copies:
            assert start_build(world.context, copy, "you") is None
        copies = [StartBuild.decode(body) for body, _ in world.queue.take(BUILDS)]

    assert [copy.wait for copy in copies] == [5]


def test_copies_that_come_at_the_same_time_become_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are put back before either is marked: the one that is marked goes on."""
    start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    waiting = replace(MESSAGE, push=replace(PUSH, digest=NEWER))
    start_build(world.context, waiting, "first")
    ((body, _),) = world.queue.take(BUILDS)
    save = world.context.bookmarks.save

    def at_once(bookmark: Bookmark) -> Bookmark:
        monkeypatch.setattr(world.context.bookmarks, "save", save)
        start_build(world.context, StartBuild.decode(body), "quicker")
        return save(bookmark)

    monkeypatch.setattr(world.context.bookmarks, "save", at_once)
    start_build(world.context, StartBuild.decode(body), "slower")
    copies = [StartBuild.decode(body) for body, _ in world.queue.take(BUILDS)]
    assert [(copy.wait, copy.waiter) for copy in copies] == [(2, "slower"), (2, "quicker")]
    for number, copy in enumerate(copies):
        start_build(world.context, copy, f"later {number}")

    ((body, _),) = world.queue.take(BUILDS)
    assert StartBuild.decode(body).waiter == "later 1"


def test_what_marks_a_wait_is_not_kept_for_ever(world: World) -> None:
    """Twice as long as a message may be put off; one that is missing is counted anew."""
    start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    start_build(world.context, replace(MESSAGE, push=replace(PUSH, digest=NEWER)), "you")
    ((body, _),) = world.queue.take(BUILDS)
    world.context.bookmarks.retire(world.time.now + timedelta(days=13, hours=23), "")
    start_build(world.context, StartBuild.decode(body), "you")
    ((body, _),) = world.queue.take(BUILDS)
    assert StartBuild.decode(body).wait == 2
    world.context.bookmarks.retire(world.time.now + timedelta(days=15), "")
    start_build(world.context, StartBuild.decode(body), "you")
    ((body, _),) = world.queue.take(BUILDS)
    assert StartBuild.decode(body).wait == 3


def test_one_that_is_asked_for_waits_apart(world: World) -> None:
    """Somebody's wish to try anew is not lost among the others."""
    start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    newer = replace(MESSAGE, push=replace(PUSH, digest=NEWER))
    start_build(world.context, replace(newer, forced=True), "you")
    start_build(world.context, newer, "you")
    for body, _ in world.queue.take(BUILDS):
        start_build(world.context, StartBuild.decode(body), "you")

    waiting = [StartBuild.decode(body).forced for body, _ in world.queue.take(BUILDS)]
    assert waiting == [True, False]


def test_older_digests_end_first(world: World) -> None:
    """A newer image waits for the run that is going on, then is built."""
    start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    newer = replace(MESSAGE, push=replace(PUSH, digest=NEWER))
    assert start_build(world.context, newer, "you") is None
    ((body, delay),) = world.queue.take(BUILDS)
    assert StartBuild.decode(body) == replace(newer, wait=1, waiter="you")
    assert delay == world.settings.track_interval
    finish(world)
    start_build(world.context, newer, "you")

    assert head(world).sequence == 2
    assert head(world).bases == (f"{NODE}@{NEWER}",)
    assert len(world.tasks.scheduled) == 2


def test_a_task_is_not_rebuilt_for_its_own_output(world: World) -> None:
    """A task that pushes what it is built on is rebuilt once, and not for ever."""
    start_build(world.context, MESSAGE, "me")
    finish(world)
    world.ledger.save(replace(head(world), output_images=(f"{NODE}@{NEWER}",)))
    world.images.digests[NODE] = NEWER

    own = start_build(world.context, replace(MESSAGE, push=replace(PUSH, digest=NEWER)), "me")

    assert own == OwnOutput(task().id, str(NODE), NEWER, "ca1")
    assert "run ca1" in own.sentence()
    assert len(world.tasks.scheduled) == 1


def test_throttling_is_waited_for(world: World) -> None:
    """A refusal for now puts the message back for as long as ARM asked; then it is scheduled."""
    world.tasks.failures["schedule"] = [Throttled("slow down", timedelta(seconds=17))]
    assert start_build(world.context, MESSAGE, "me") is None
    ((body, delay),) = world.queue.take(BUILDS)
    assert delay >= timedelta(seconds=17)
    world.time.pass_(delay.total_seconds())
    start_build(world.context, StartBuild.decode(body), "you")

    assert (head(world).sequence, head(world).state) == (1, State.SCHEDULED)
    assert len(world.tasks.scheduled) == 1


def test_a_refusal_for_now_is_held_and_asks_for_nothing(world: World) -> None:
    """Nothing was sent, so no run is looked for: throttling leads to no further requests."""
    world.tasks.failures["schedule"] = [Throttled("slow down", timedelta(seconds=17))] * 3
    message = MESSAGE
    for attempt in range(3):
        assert start_build(world.context, message, f"me-{attempt}") is None
        ((body, delay),) = world.queue.take(BUILDS)
        message = StartBuild.decode(body)
        assert (head(world).state, head(world).hold) == (State.HELD, Hold.ARM)
        assert head(world).due == message.turn == world.time.now + delay
        assert head(world).outcome == "not asked for yet: slow down"
        assert head(world).unsettled
        world.time.pass_(delay.total_seconds())
    start_build(world.context, message, "you")

    assert world.tasks.listed == 0
    assert (head(world).sequence, head(world).state) == (1, State.SCHEDULED)
    assert (head(world).hold, head(world).outcome) == (Hold.NATIVE, None)
    assert len(world.tasks.scheduled) == 1


def test_what_is_held_for_arm_waits_for_its_time(world: World) -> None:
    """Another message for the same rebuild does not ask ARM before it said to be asked again."""
    world.tasks.failures["schedule"] = [Throttled("slow down", timedelta(seconds=17))]
    start_build(world.context, MESSAGE, "me")
    world.queue.sent.clear()
    world.time.pass_(5)
    assert start_build(world.context, MESSAGE, "you") is None

    ((_, delay),) = world.queue.take(BUILDS)
    assert timedelta(seconds=10) < delay <= timedelta(seconds=13)
    assert world.tasks.scheduled == []


def test_what_is_held_for_arm_waits_although_others_may_go(world: World) -> None:
    """Another instance's line may be empty by now: the record says when it is time."""
    world.tasks.failures["schedule"] = [TransientError("no connection")]
    with pytest.raises(TransientError):
        start_build(world.context, MESSAGE, "me")
    world.ledger.save(replace(head(world), due=world.time.now + timedelta(seconds=40)))
    assert start_build(world.context, MESSAGE, "you") is None

    ((_, delay),) = world.queue.take(BUILDS)
    assert delay == timedelta(seconds=40)
    assert world.tasks.scheduled == []


def test_a_newer_digest_does_not_wait_for_arm_with_an_older_one(world: World) -> None:
    """What was never sent for the older digest is left out."""
    world.tasks.failures["schedule"] = [TransientError("no connection")]
    with pytest.raises(TransientError):
        start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    start_build(world.context, replace(MESSAGE, push=replace(PUSH, digest=NEWER)), "you")

    first = world.ledger.rebuild(task().id, 1)
    assert first is not None
    assert first.state is State.SKIPPED
    assert (head(world).sequence, head(world).bases) == (2, (f"{NODE}@{NEWER}",))
    assert world.tasks.listed == 0


def test_a_failed_connection_is_tried_again(world: World) -> None:
    """Nothing was sent: the delivery fails, and the next one schedules at once."""
    world.tasks.failures["schedule"] = [TransientError("no connection")]
    with pytest.raises(TransientError):
        start_build(world.context, MESSAGE, "me")
    assert (head(world).state, head(world).due) == (State.HELD, world.time.now)
    start_build(world.context, MESSAGE, "you")

    assert (head(world).sequence, head(world).state) == (1, State.SCHEDULED)
    assert world.tasks.listed == 0


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("token_shown", [True, False])
def test_a_lost_answer_is_looked_up(world: World, *, effect: bool, token_shown: bool) -> None:
    """No answer: after the lease the run is looked for, adopted if there, else scheduled."""
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    world.tasks.effect_first = effect
    assert start_build(world.context, MESSAGE, "me") is None
    assert head(world).state is State.CLAIMED
    assert start_build(world.context, MESSAGE, "you") is None  # the lease still holds
    if effect and not token_shown:
        made = world.tasks.found_runs["ca1"]
        created = world.time.now + timedelta(seconds=1)
        world.tasks.found_runs["ca1"] = replace(made, token=None, created=created)
    world.time.pass_(91)
    start_build(world.context, MESSAGE, "you")

    assert (head(world).state, head(world).run_id) == (State.SCHEDULED, "ca1")
    assert head(world).owner == "you"
    assert len(world.tasks.scheduled) == 1


def test_foreign_runs_are_not_adopted(world: World) -> None:
    """Older runs, runs with another token and triggered runs are not ours."""
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    start_build(world.context, MESSAGE, "me")
    early, late = world.time.now - timedelta(minutes=1), world.time.now
    world.tasks.found_runs |= {
        "cb1": run("cb1", created=early, trigger=MANUAL),
        "cb2": run("cb2", created=late, token="b3RoZXI="),
        "cb3": run("cb3", created=late, trigger="Commit"),
        "cb4": run("cb4", created=None),
    }
    world.time.pass_(91)
    start_build(world.context, MESSAGE, "you")

    assert head(world).run_id == "ca1"


@pytest.mark.parametrize(
    "refusal",
    [Refused("TasksOperationsNotAllowed", "ask support"), Denied("scheduleRun/action missing")],
)
def test_a_refusal_is_an_outcome(world: World, refusal: Exception) -> None:
    """What ARM will never do is recorded and acknowledged, and not tried again."""
    world.tasks.failures["schedule"] = [refusal]  # type: ignore[list-item] # both are errors of ours
    start_build(world.context, MESSAGE, "me")

    assert (head(world).state, head(world).failure) == (State.GIVEN_UP, Failure.REFUSED)
    assert head(world).outcome == str(refusal)
    assert "rebuilder retry" in str(head(world).advice)
    assert isinstance(start_build(world.context, MESSAGE, "me"), RebuildFailed)
    assert world.tasks.scheduled == []


@pytest.mark.parametrize("gone", [True, False])
def test_a_task_that_is_left_while_its_run_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    """Disabled or deleted between the look and the request: left alone, and not given up."""

    def schedule(task: TaskId, token: str) -> str:
        del token
        known = world.tasks.known.pop(task)
        if not gone:
            world.tasks.add(replace(known, enabled=False))
        raise Refused("TaskDisabled", "The task is disabled.")

    monkeypatch.setattr(world.tasks, "schedule", schedule)
    decision = start_build(world.context, MESSAGE, "me")

    assert isinstance(decision, TaskGone if gone else TaskDisabled)
    assert (head(world).state, head(world).advice) == (State.SKIPPED, None)


@pytest.mark.parametrize("effect", [True, False])
def test_an_abandoned_older_claim_does_not_block(world: World, *, effect: bool) -> None:
    """A claim whose holder died before the base moved on is closed or adopted, then overtaken."""
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    world.tasks.effect_first = effect
    start_build(world.context, MESSAGE, "me")
    world.images.digests[NODE] = NEWER
    newer = replace(MESSAGE, push=replace(PUSH, digest=NEWER))
    assert start_build(world.context, newer, "you") is None
    world.time.pass_(91)
    if effect:
        assert start_build(world.context, newer, "you") is None
        assert head(world).run_id == "ca1"
        finish(world)
    start_build(world.context, newer, "you")

    first = world.ledger.rebuild(task().id, 1)
    assert first is not None
    assert first.state is (State.SUCCEEDED if effect else State.SKIPPED)
    assert (head(world).sequence, head(world).bases) == (2, (f"{NODE}@{NEWER}",))


def test_other_bases_belong_to_the_key(world: World) -> None:
    """Two bases that move together are one rebuild, whichever push comes first."""
    go = "mybase.azurecr.io/images/go:1"
    world.images.digests[go] = NEW
    unknown = dependency("mybase.azurecr.io/images/gone:1", None)
    hub = dependency("docker.io/library/alpine:3")
    world.tasks.add(task("build-app", dependency(), dependency(go), unknown, hub))
    start_build(world.context, MESSAGE, "me")
    other = replace(PUSH, repository="images/go", tag="1")
    decision = start_build(world.context, StartBuild(other, task().id), "you")

    assert isinstance(decision, RebuildUnderWay)
    assert head(world).bases == (f"{go}@{NEW}", f"{NODE}@{NEW}")


def test_a_claim_that_another_won_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deliveries that claim at once: one goes on, the other comes back later."""
    monkeypatch.setattr(type(world.ledger), "claim", lambda *_: False)

    assert start_build(world.context, MESSAGE, "me") is None
    assert len(world.queue.take(BUILDS)) == 1
    assert world.tasks.scheduled == []
