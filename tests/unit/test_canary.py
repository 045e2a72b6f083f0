"""Canaries go first; one that fails has the digest quarantined until somebody releases it."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.rebuilds import RebuildUnderWay
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Controls, Scope, Target, What
from rebuilder.core.policies.gate import Hold, gate
from rebuilder.core.policies.holds import Held, from_record, to_record
from rebuilder.core.policies.wave_holds import Awaited, WaitsForUpstream
from rebuilder.core.rebuilds.messages import (
    ACTS,
    BUILDS,
    PUSHES,
    OperatorAct,
    PlanRebuilds,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Failure, State
from rebuilder.core.waves.canary import (
    Canary,
    Quarantined,
    WaitsForCanary,
    Watched,
    held_by,
    stricter,
)
from rebuilder.errors import Conflict, Denied, TransientError
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.reports.explain import explain
from rebuilder.usecases.steering.acts import ask, carry_out
from rebuilder.usecases.steering.policy_file import apply_policy
from rebuilder.usecases.waves.breaker import failures, note
from rebuilder.usecases.waves.upstream import Upwards
from tests.unit.fakes import NEW, NEWER, NODE, OLD, World, dependency, run, task
from tests.unit.policies.making import NOW, asked, in_force
from tests.unit.waves import NODES, ROOT, Wave, image, tid

HOUR = timedelta(hours=1)
IMAGE = f"{NODE}@{NEW}"
POLICY = "version: 1\npolicies: {default: {canary: {tasks: '*/first-*', soak: 1h}}}\n"


@pytest.fixture(name="wave")
def _wave(world: World) -> Wave:
    wave = Wave(world, **{"first-a": "node", "first-b": "node", "web": "node", "below": "web"})
    apply_policy(world.context, POLICY, file="p.yaml", who="ann", because="x")
    carry_out_all(world)
    world.context.in_force.forget()
    return wave


def carry_out_all(world: World) -> list[Act]:
    """Carry out what is asked for."""
    acts = [OperatorAct.decode(body).act for body, _ in world.queue.take(ACTS)]
    for act in acts:
        carry_out(world.context, act)
    return acts


def held_for(wave: Wave, name: str) -> list[str]:
    """Return why a task is held."""
    head = wave.head(name)
    assert head is not None
    if head.state is not State.HELD or head.held is None:
        return []
    return [reason.code for reason in head.held.reasons]


def test_the_others_wait_for_success_and_the_soak(wave: Wave) -> None:
    """Then they are built, once each."""
    wave.push(NODE, NEW)
    wave.deliver(reverse=True)
    assert wave.running() == ["first-a", "first-b"]
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert "myapps/first-a (" in str(wave.head("web").outcome)  # type: ignore[union-attr]
    wave.end("first-a")
    wave.end("first-b")
    web = wave.head("web")
    assert web is not None
    assert "has succeeded on" in str(web.outcome)
    assert web.due is not None
    assert web.due <= wave.world.time.now + HOUR
    wave.world.time.pass_(1800)
    wave.later()
    assert wave.running() == []
    wave.world.time.pass_(1801)
    wave.later()
    while not wave.running():
        wave.later()
    assert wave.all() == ["first-a", "first-b", "web", "below"]


def test_one_that_fails_leaves_the_others_untouched(wave: Wave) -> None:
    """The digest is quarantined, once; a release goes on; and no canary stops it again."""
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("first-b")
    wave.end("first-a", fails=True)
    assert held_for(wave, "web") == ["quarantined"]
    assert "the canary myapps/first-a failed (ca1)" in str(wave.head("web").outcome)  # type: ignore[union-attr]
    acts = carry_out_all(wave.world)
    assert {act.what for act in acts} == {What.QUARANTINE}
    assert len({act.id for act in acts}) == 1
    wave.world.context.in_force.forget()
    for _ in range(5):
        wave.later()
    assert wave.running() == []
    assert held_for(wave, "web") == ["quarantined"]
    explained = explain(wave.world.context, ImageReference.parse(NODE))
    assert [q.image for q in explained.quarantined] == [IMAGE]
    ask(wave.world.context, What.RELEASE, Target(Scope.DIGEST, IMAGE), who="ann", because="ok")
    carry_out_all(wave.world)
    wave.deliver()
    assert wave.running() == ["web"]
    assert wave.all() == ["first-b", "first-a", "web", "below"]


def test_a_newer_digest_begins_anew(wave: Wave) -> None:
    """What was quarantined is the digest, not the tag."""
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("first-a", fails=True)
    wave.end("first-b")
    carry_out_all(wave.world)
    wave.push(NODE, NEWER)
    wave.deliver()
    assert wave.running() == ["first-a", "first-b"]
    wave.end("first-a")
    wave.end("first-b")
    wave.world.time.pass_(3601)
    while not wave.running():
        wave.later()
    assert wave.running() == ["web"]
    assert wave.head("web").bases == (f"{NODE}@{NEWER}",)  # type: ignore[union-attr]


def test_a_quarantine_holds_whoever_has_no_canary_too(world: World) -> None:
    """Nothing more is built on the digest, by whichever policy, or none."""
    wave = Wave(world, web="node")
    act = Act(
        "a", What.QUARANTINE, Target(Scope.DIGEST, IMAGE), "the canary", "bad", world.time.now
    )
    carry_out(world.context, act)
    wave.push(NODE, NEW)
    wave.deliver()
    assert held_for(wave, "web") == ["quarantined"]


@pytest.mark.parametrize("told", [True, False])
def test_no_canary_is_passed_by_an_image_that_moved_beside_its_own(
    world: World, *, told: bool
) -> None:
    """The one that goes first reads one image, and another task both: it waits for either."""
    go = NODES["go"]
    wave = Wave(world, **{"first-a": "node", "web": "node go", "other": "go"})
    apply_policy(world.context, POLICY, file="p.yaml", who="ann", because="x")
    world.context.in_force.forget()
    world.images.digests[NODE] = NEW
    wave.push(go, NEWER)
    if told:
        wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == (["first-a", "other"] if told else ["other"])
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert f"the canary on {IMAGE}" in str(wave.head("web").outcome)  # type: ignore[union-attr]
    for body, _ in world.queue.take(PUSHES):
        plan_rebuilds(world.context, PlanRebuilds.decode(body))
    wave.deliver()
    wave.end("other")
    wave.end("first-a")
    world.time.pass_(3601)
    while not wave.running():
        assert wave.later()
    assert wave.running() == ["web"]
    assert wave.head("web").bases == (f"{go}@{NEWER}", IMAGE)  # type: ignore[union-attr]


def test_no_canary_is_passed_by_an_image_that_is_read_for_the_first_time(world: World) -> None:
    """Nobody knows that the task was ever built on the image: it would take it in."""
    go = NODES["go"]
    wave = Wave(world, **{"first-a": "node", "web": "node go", "other": "go"})
    apply_policy(world.context, POLICY, file="p.yaml", who="ann", because="x")
    world.context.in_force.forget()
    world.images.digests[NODE] = NEW
    world.tasks.add(task("web", dependency(go, OLD), dependency(NODE, None)))
    wave.scan()
    wave.push(go, NEWER)
    wave.deliver()
    assert held_for(wave, "web") == ["waits-for-canary"]


@pytest.mark.parametrize("began", ["before it moved", "after it moved", "nobody may look"])
def test_no_canary_is_passed_by_what_is_only_recorded(world: World, began: str) -> None:
    """A run of others was under way when the image moved: it may have read the one before."""
    go = NODES["go"]
    wave = Wave(world, **{"first-a": "node", "web": "node go", "other": "go"})
    apply_policy(world.context, POLICY, file="p.yaml", who="ann", because="x")
    world.context.in_force.forget()
    world.images.digests[NODE] = NEW
    world.images.came[NEW] = world.images.written[NODE] = world.time.now
    later = timedelta(minutes=-1 if began == "before it moved" else 1)
    at = world.time.now + later
    world.tasks.found_runs["ca9"] = run(
        "ca9", task="web", status=RunStatus.SUCCEEDED, started=at, finished=at + HOUR
    )
    if began == "nobody may look":
        world.tasks.failures["runs"] = [Denied("no role")] * 9
    world.tasks.add(task("web", dependency(go, OLD), dependency(NODE, NEW)))
    wave.scan()
    world.time.pass_(2 * 3600)
    wave.push(go, NEWER)
    wave.deliver()

    assert held_for(wave, "web") == ([] if began == "after it moved" else ["waits-for-canary"])
    assert ("web" in wave.running()) == (began == "after it moved")


def test_no_canary_is_passed_by_way_of_another_task(world: World) -> None:
    """What a task without a canary has pushed carries the wave of the image that it is built on."""
    go = NODES["go"]
    wave = Wave(world, **{"first-a": "node", "quick": "node", "web": "quick go"})
    text = "version: 1\npolicies: {late: {canary: {tasks: '*/first-*'}}}\n"
    text += "rules: [{match: {task: '*/web'}, policy: late}]\n"
    apply_policy(world.context, text, file="p.yaml", who="ann", because="x")
    world.context.in_force.forget()
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == ["first-a", "quick"]
    wave.end("quick", told=False)
    made = world.ledger.head(tid("quick"))
    assert made is not None
    world.images.digests[image("quick")] = made.output_images[0].partition("@")[2]
    wave.push(go, NEWER)
    wave.deliver()
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert f"the canary on {IMAGE}" in str(wave.head("web").outcome)  # type: ignore[union-attr]


def test_a_canary_that_is_left_says_nothing(world: World) -> None:
    """It stands on the digest already, or is disabled: the others go on."""
    wave = Wave(world, **{"first-a": "node", "web": "node"})
    apply_policy(world.context, POLICY, file="p.yaml", who="ann", because="x")
    world.context.in_force.forget()
    wave.record("first-a", {NODE: NEW})
    wave.scan()
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == ["web"]


def broken(world: World, limit: int, **reads: str) -> Wave:
    """Return a wave under a breaker."""
    wave = Wave(world, **reads)
    text = f"version: 1\npolicies: {{default: {{breaker: {{failures: {limit}}}}}}}\n"
    apply_policy(world.context, text, file="p.yaml", who="ann", because="x")
    carry_out_all(world)
    return wave


def test_a_breaker_stops_the_wave(world: World) -> None:
    """At one failure more than may be; what is under way goes on."""
    wave = broken(world, 1, a="node", b="node", c="node", top="c", last="node top")
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("a", fails=True)
    assert carry_out_all(world) == []
    wave.end("b", fails=True)
    wave.end("c")
    assert wave.running() == []
    assert held_for(wave, "top") == ["quarantined"]
    assert "2 task(s) failed on it that did not before, over 1: myapps/a, myapps/b" in str(
        wave.head("top").outcome  # type: ignore[union-attr]
    )
    assert {act.what for act in carry_out_all(world)} == {What.QUARANTINE}
    ask(world.context, What.RELEASE, Target(Scope.DIGEST, IMAGE), who="ann", because="ok")
    carry_out_all(world)
    assert wave.all()[-2:] == ["top", "last"]


def test_a_failure_is_counted_though_storage_failed(world: World) -> None:
    """The message that ended the rebuild comes again, and counts it; others count it no more."""
    wave = broken(world, 0, a="node", b="node", top="b")
    wave.push(NODE, NEW)
    wave.deliver()
    held = world.context.bookmarks
    failing = replace(world.context, bookmarks=cast("Bookmarks", _Failing(held)))
    head = wave.head("a")
    assert head is not None
    ended = TrackBuild(tid("a"), head.sequence, head.version)
    with pytest.raises(TransientError):
        wave.end("a", fails=True, context=failing)
    assert failures(world.context, ROOT.key) == ()
    track_build(world.context, ended)
    track_build(world.context, replace(ended, record=ended.record - 1))
    assert failures(world.context, ROOT.key) == ("myapps/a",)
    wave.end("b")
    assert held_for(wave, "top") == ["quarantined"]


class _Failing:
    """Bookmarks that keep no failure of a wave."""

    def __init__(self, bookmarks: Any) -> None:  # noqa: ANN401 - as those are
        self._bookmarks = bookmarks

    def save(self, mark: Bookmark) -> Bookmark:
        """Refuse it, or do as the others."""
        if mark.name.startswith("failed/"):
            raise TransientError("storage is away")
        saved: Bookmark = self._bookmarks.save(mark)
        return saved

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else is asked for
        return getattr(self._bookmarks, name)


def test_what_failed_before_does_not_count(world: World) -> None:
    """Nor what nobody knows to have been built, nor what Azure refused."""
    wave = broken(world, 0, a="node", b="node")
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("a", fails=True)
    assert failures(world.context, ROOT.key) == ("myapps/a",)
    wave.end("b")
    wave.push(NODE, NEWER)
    wave.deliver()
    wave.end("a", fails=True)
    second = wave.head("b")
    assert second is not None
    assert failures(world.context, second.began_with) == ()
    over = replace(second, state=State.GIVEN_UP, failure=Failure.REFUSED)
    note(world.context, over)
    assert failures(world.context, second.began_with) == ()
    note(world.context, replace(over, failure=Failure.BUILD))
    note(world.context, replace(over, failure=Failure.BUILD))
    assert failures(world.context, second.began_with) == ("myapps/b",)


def test_failures_at_once_are_all_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By compare-and-swap; who loses tries again, and gives up at last."""
    wave = broken(world, 5, a="node", b="node")
    wave.push(NODE, NEW)
    wave.deliver()
    one, two = (wave.head(name) for name in ("a", "b"))
    assert one is not None
    assert two is not None
    save = world.context.bookmarks.save

    def slower(mark: Bookmark) -> Bookmark:
        monkeypatch.setattr(world.context.bookmarks, "save", save)
        note(world.context, replace(two, state=State.GIVEN_UP))
        return save(mark)

    monkeypatch.setattr(world.context.bookmarks, "save", slower)
    note(world.context, replace(one, state=State.GIVEN_UP))
    assert sorted(failures(world.context, ROOT.key)) == ["myapps/a", "myapps/b"]

    def never(_: Bookmark) -> Bookmark:
        raise Conflict("again")

    monkeypatch.setattr(world.context.bookmarks, "save", never)
    other = replace(two, task=replace(two.task, name="c"), state=State.GIVEN_UP)
    note(world.context, other)  # nobody knows that it was ever built
    known = world.index.view(two.task)
    assert known is not None
    world.index.replace(replace(known.view, task=other.task), world.time.now)
    with pytest.raises(Conflict):
        note(world.context, other)


def test_what_stands_on_a_quarantined_digest_is_marked(
    wave: Wave, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By explain, and by deps of its task."""
    monkeypatch.setattr(composition, "compose", lambda _: wave.world.context)
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("first-b")
    wave.end("first-a", fails=True)
    carry_out_all(wave.world)
    assert cli.main(["explain", NODE]) == 0
    marked = f"          STANDS ON A QUARANTINED DIGEST: {IMAGE}: the canary myapps/first-a failed"
    assert capsys.readouterr().out.count(marked) == 1
    assert cli.main(["deps", "--task", "first-b"]) == 0
    marked = "      STANDS ON A QUARANTINED DIGEST: the canary myapps/first-a failed"
    assert marked in capsys.readouterr().out


def test_release_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the image with its digest, with a reason."""
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    assert cli.main(["release", IMAGE, "--because", "ok"]) == 1
    assert "quarantined: nothing" in capsys.readouterr().out
    carry_out_all(world)
    again = Act("b", What.QUARANTINE, Target(Scope.DIGEST, IMAGE), "c", "bad", world.time.now)
    carry_out(world.context, again)
    assert world.context.in_force.now(world.context.steering, world.time.now).quarantined == ()
    other = f"{NODE}@{NEWER}"
    carry_out(world.context, replace(again, id="c", target=Target(Scope.DIGEST, other)))
    assert cli.main(["release", other, "--because", "ok"]) == 0
    for wrong in (NODE, "::"):
        with pytest.raises(SystemExit):
            cli.main(["release", wrong, "--because", "ok"])


def test_controls_keep_a_digest_once() -> None:
    """However often it is found to be bad; what is released stays so."""
    one = Act("1", What.QUARANTINE, Target(Scope.DIGEST, IMAGE), "c", "bad", NOW)
    found = Controls().done(one).done(replace(one, id="2"))
    assert [act.id for act in found.quarantined] == ["1"]
    free = found.done(replace(one, id="3", what=What.RELEASE))
    assert (free.quarantined, free.released) == ((), (IMAGE,))
    assert free.done(replace(one, id="4")).quarantined == ()
    assert Controls.read(free.write()) == free
    assert free.stamp == "3"


_AWAITED = st.builds(Awaited, st.just("/registries/r/tasks/t"), st.text(max_size=5))


@given(
    st.lists(_AWAITED, max_size=30),
    st.lists(_AWAITED, max_size=3),
    st.lists(st.text(max_size=5), max_size=2),
    st.lists(st.integers(0, 100), max_size=3),
    st.integers(0, 100),
    st.booleans(),
)
def test_no_hold_without_an_end_or_an_ender(
    upstream: list[Awaited],
    first: list[Awaited],
    failed: list[str],
    ended: list[int],
    soak: int,
    quarantined: bool,  # noqa: FBT001 - of hypothesis
) -> None:
    """Whatever a wave waits for, it says when that is over, or what ends it; and is kept so."""
    over = tuple(NOW - timedelta(hours=hours) for hours in ended)
    watched = Watched(tuple(first), tuple(failed), over)
    canary = held_by(watched, Canary(("*",), timedelta(hours=soak)), IMAGE, NOW)
    bad = (Quarantined(IMAGE, "bad", NOW),) if quarantined else ()
    question = replace(
        asked(), wave=ROOT.key, upstream=tuple(upstream), bases=(IMAGE,), canary=canary
    )
    found = gate(question, replace(in_force(), quarantined=bad), NOW)
    if not isinstance(found, Hold):
        assert [*upstream, *first, *failed] == []
        assert not quarantined
        return
    for reason in found.reasons:
        assert reason.ender()
        assert reason.sentence()
        assert isinstance(reason, WaitsForUpstream | WaitsForCanary | Quarantined)
        assert reason.ends is None or reason.ends > NOW
    held = Held(found.reasons, NOW, NOW)
    assert from_record(to_record(held)) == held


def test_of_two_canaries_both_hold() -> None:
    """All tasks, for the longer time."""
    one, two = Canary(("a", "b"), HOUR), Canary(("b", "c"))
    assert stricter(one, two) == Canary(("a", "b", "c"), HOUR)
    assert stricter(one, None) == stricter(None, one) == one


def test_a_digest_that_nobody_was_told_of_waits_for_the_canary_as_well(wave: Wave) -> None:
    """A message of the digest before finds it; its event may come later, or never.

    Whoever finds it has it planned: then the canary is begun, and is not taken for left alone.
    """
    wave.push(NODE, NEW)
    wave.world.images.digests[NODE] = NEWER
    plans = wave.world.queue.take(BUILDS)
    (web,) = [body for body, _ in plans if StartBuild.decode(body).task == tid("web")]
    start_build(wave.world.context, StartBuild.decode(web), "early")
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert wave.running() == []
    planned = {PlanRebuilds.decode(body) for body, _ in wave.world.queue.take(PUSHES)}
    assert {plan.push.digest for plan in planned} == {NEWER}
    for plan in planned:
        plan_rebuilds(wave.world.context, plan)
    wave.deliver()
    assert wave.running() == ["first-a", "first-b"]
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert wave.world.queue.take(PUSHES) == []


def test_a_record_says_nothing_of_a_canary_before_the_plan(wave: Wave) -> None:
    """ACR records what the tag named when a run ended, which may have read the one before.

    A task that is on the digest and that no plan has met was made after it, and is left alone.
    """
    wave.push(NODE, NEW)
    wave.world.images.digests[NODE] = NEWER
    for name in ("first-a", "first-b"):
        wave.record(name, {NODE: NEWER})
    wave.scan()
    plans = wave.world.queue.take(BUILDS)
    (web,) = [body for body, _ in plans if StartBuild.decode(body).task == tid("web")]
    start_build(wave.world.context, StartBuild.decode(web), "early")
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert "its plan is to come" in str(wave.head("web").outcome)  # type: ignore[union-attr]
    wave.world.time.pass_(31 * 60)
    start_build(wave.world.context, StartBuild.decode(web), "late")
    assert wave.running() == ["web"]


@pytest.mark.parametrize("asked", [False, True])
def test_a_canary_whose_failed_attempt_was_overtaken_is_not_over(
    wave: Wave, *, asked: bool
) -> None:
    """Another image that it reads moved, too: the rebuild on both is to be begun.

    What was decided last for the push may be that the attempt is under way.
    """
    wave.push(NODE, NEW)
    wave.deliver()
    wave.end("first-b")
    head = wave.head("first-a")
    assert head is not None
    if asked:
        again = StartBuild(Push.from_key(head.push), tid("first-a"))
        assert isinstance(start_build(wave.world.context, again, "again"), RebuildUnderWay)
    now = wave.world.time.now
    wave.world.ledger.save(replace(head, state=State.FAILED, due=None, finished_at=now))
    start_build(wave.world.context, StartBuild(Push.from_key(head.push), tid("web")), "again")
    assert held_for(wave, "web") == ["waits-for-canary"]
    assert "myapps/first-a (to be begun)" in str(wave.head("web").outcome)  # type: ignore[union-attr]


def test_what_a_canary_stands_on_waits_for_none(world: World) -> None:
    """It comes before one, which is built on it: of two they would wait for each other for ever."""
    reads = {"first-a": "node low", "first-b": "node high", "low": "node", "high": "node"}
    wave = Wave(world, **reads, web="node")
    apply_policy(world.context, POLICY, file="p.yaml", who="ann", because="x")
    carry_out_all(world)
    wave.push(NODE, NEW)
    wave.deliver()
    assert wave.running() == ["high", "low"]
    assert held_for(wave, "web") == ["waits-for-canary"]
    wave.end("high")
    wave.end("low")
    assert wave.running() == ["first-a", "first-b"]
    assert wave.all() == ["high", "low", "first-a", "first-b", "web"]


def test_a_push_that_is_told_while_somebody_stands_still_is_waited_for(wave: Wave) -> None:
    """They see a time that was ahead of them when they began, and do not take it for impossible."""
    walk = Upwards(wave.world.context, ROOT)
    wave.world.time.pass_(60)
    wave.world.ledger.record_events([ROOT], wave.world.time.now)
    first = wave.world.index.view(tid("first-a"))
    assert first is not None
    assert walk.told(ROOT, first, ImageReference.parse(NODE)) == "its plan is to come"
