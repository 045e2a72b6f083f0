"""What operators decided, in the flow of a rebuild: held, looked at again, built once."""

from __future__ import annotations

from copy import replace
from datetime import UTC, datetime, timedelta
from textwrap import dedent

import pytest

from rebuilder.core.audit.model import AuditVerdict as Verdict
from rebuilder.core.audit.standing import of_attempt
from rebuilder.core.decisions.operators import IgnoredByPolicy, WouldRebuild
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import PAGE, Act, Scope, Target, What
from rebuilder.core.policies.holds import CoolingDown, Frozen, OutsideWindow, Paused
from rebuilder.core.policies.reason import Reason
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct, PlanRebuilds, StartBuild
from rebuilder.core.rebuilds.rebuild import LONGEST_GATE, Hold, Rebuild, State
from rebuilder.core.rebuilds.records import rebuild_from_text, rebuild_to_text
from rebuilder.errors import Conflict, InvalidMessage, NotFound, OutcomeUnknown, UnreadableRecord
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.steering.acts import ask, carry_out, history
from rebuilder.usecases.steering.policy_file import apply_policy, roll_back
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OTHERS, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
NIGHTS = """
    policies: {default: {windows: [{from: "22:00", to: "03:00", timezone: UTC}]}}
    """
OPENS = datetime(2026, 1, 2, 22, 0, tzinfo=UTC)
NEWEST = f"sha256:{'d' * 64}"


@pytest.fixture(autouse=True)
def _one_task(world: World) -> None:
    world.tasks.add(task())


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def held_for(world: World) -> list[type[Reason]]:
    """Return why the newest rebuild is held."""
    found = head(world)
    assert (found.state, found.hold) == (State.HELD, Hold.GATE)
    assert found.held is not None
    return [type(reason) for reason in found.held.reasons]


def decide(world: World, text: str) -> None:
    """Apply a policy file, and carry out what comes of it."""
    text = "version: 1\n" + dedent(text).lstrip("\n")
    apply_policy(world.context, text, file="p.yaml", who="ann", because="test")
    carry_out_all(world)


def act(world: World, what: What, target: Target | None = None) -> None:
    """Do something as an operator, and carry it out."""
    ask(world.context, what, target or Target(), who="ann", because="bad base")
    carry_out_all(world)
    world.time.pass_(1)


def carry_out_all(world: World) -> None:
    """Carry out what operators asked for."""
    for body, _ in world.queue.take(ACTS):
        carry_out(world.context, OperatorAct.decode(body).act)


def deliver(world: World) -> list[timedelta]:
    """Deliver every message to build that waits, however long; return how long they waited."""
    messages = world.queue.take(BUILDS)
    for body, _ in messages:
        start_build(world.context, StartBuild.decode(body), "later")
    return [delay for _, delay in messages]


def pushed(world: World, digest: str) -> StartBuild:
    """Return the message after another push of the tag."""
    world.images.digests[NODE] = digest
    push = replace(PUSH, digest=digest)
    world.ledger.record_events([push], world.time.now)
    return replace(MESSAGE, push=push)


def test_without_policy_and_pause_nothing_is_different(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look for it, however many rebuilds begin in half a minute."""
    looked: list[int] = []
    steering = world.context.steering
    token = steering.token

    def counted() -> str:
        looked.append(1)
        return token()

    monkeypatch.setattr(steering, "token", counted)
    for number in range(5):
        world.tasks.add(task(f"t{number}"))
        start_build(world.context, StartBuild(PUSH, task(f"t{number}").id), "me")

    assert len(world.tasks.scheduled) == 5
    assert len(looked) == 1
    world.time.pass_(31)
    start_build(world.context, MESSAGE, "me")
    assert len(looked) == 2
    assert "held" not in rebuild_to_text(head(world))


def test_a_window_holds_and_then_the_newest_is_built_once(world: World) -> None:
    """Three pushes while it is closed, one run on the last when it opens."""
    world.ledger.record_events([PUSH], world.time.now)
    decide(world, NIGHTS)

    start_build(world.context, MESSAGE, "me")

    assert held_for(world) == [OutsideWindow]
    assert head(world).due == OPENS
    assert "opens at 2026-01-02 22:00 UTC" in str(head(world).outcome)
    world.time.pass_(3600)
    start_build(world.context, pushed(world, NEWER), "me")
    start_build(world.context, pushed(world, NEWEST), "me")
    start_build(world.context, pushed(world, NEWEST), "me")
    assert head(world).bases == (f"{NODE}@{NEWEST}",)
    assert world.tasks.scheduled == []
    delays = [delay for _, _, delay in world.queue.sent]
    assert len(delays) == 3  # one for each digest, and none for what was told twice
    assert max(delays) > OPENS - world.time.now
    world.time.now = OPENS + timedelta(seconds=1)
    deliver(world)

    assert len(world.tasks.scheduled) == 1
    assert (head(world).state, head(world).bases) == (State.SCHEDULED, (f"{NODE}@{NEWEST}",))
    rebuilds = world.ledger.rebuilds(task().id)
    assert [r.state for r in rebuilds[1:]] == [State.SKIPPED, State.SKIPPED]


def test_what_is_held_asks_nobody_until_it_is_time(world: World) -> None:
    """It is looked at once a day, without ARM and without a registry."""
    act(world, What.PAUSE)
    start_build(world.context, MESSAGE, "me")
    read = len(world.tasks.read)
    for _ in range(3):
        world.time.now = (head(world).due or world.time.now) + timedelta(seconds=1)
        (delay,) = deliver(world)
        assert delay == LONGEST_GATE + timedelta(seconds=1)

    assert len(world.tasks.read) == read
    assert held_for(world) == [Paused]
    assert of_attempt(head(world), world.time.now, timedelta(hours=1)) == (
        Verdict.HELD,
        head(world).outcome,
    )


def test_one_that_comes_early_waits_on(world: World) -> None:
    """A message before its time changes nothing, and is not sent again."""
    decide(world, NIGHTS)
    start_build(world.context, MESSAGE, "me")
    before = head(world)
    world.queue.take(BUILDS)
    start_build(world.context, MESSAGE, "copy")
    start_build(world.context, replace(MESSAGE, push=replace(PUSH, digest=NEWER)), "other")

    assert head(world) == before
    assert world.queue.take(BUILDS) == []


def test_pause_and_resume(world: World) -> None:
    """What a pause held goes on at once when it is resumed, and nothing twice."""
    act(world, What.PAUSE, Target(Scope.TASK, "myapps/*"))
    start_build(world.context, MESSAGE, "me")
    assert held_for(world) == [Paused]
    assert "--task myapps/* is paused by ann" in str(head(world).outcome)
    late = world.queue.take(BUILDS)
    act(world, What.RESUME, Target(Scope.TASK, "theirapps/*"))
    assert world.queue.take(BUILDS) == []
    act(world, What.RESUME, Target(Scope.TASK, "myapps/*"))
    assert deliver(world) == [timedelta()]
    for body, _ in late:
        start_build(world.context, StartBuild.decode(body), "late")

    assert len(world.tasks.scheduled) == 1
    assert head(world).state is State.SCHEDULED
    assert [found.what for found in history(world.context, 2)] == [What.RESUME, What.RESUME]


def test_a_policy_that_lets_go_is_seen_at_once(world: World) -> None:
    """Applying one has everything that is held looked at again."""
    decide(world, "freezes: [{name: x, from: 2026-01-01, to: 2026-01-09, timezone: UTC}]")
    start_build(world.context, MESSAGE, "me")
    assert held_for(world) == [Frozen]
    assert head(world).due == world.time.now + LONGEST_GATE
    world.queue.take(BUILDS)
    decide(world, "rules: []")
    deliver(world)

    assert head(world).state is State.SCHEDULED


def test_the_sweep_looks_at_what_was_decided_since(world: World) -> None:
    """Whatever was lost between a decision and the message for what it lets go."""
    act(world, What.PAUSE)
    start_build(world.context, MESSAGE, "me")
    world.queue.take(BUILDS)
    assert sweep(world.context, "s").resumed == 0
    ask(world.context, What.RESUME, Target(), who="ann", because="well")
    carry_out_all(world)
    world.queue.take(BUILDS)  # lost
    assert sweep(world.context, "s").resumed == 1
    deliver(world)

    assert head(world).state is State.SCHEDULED


def test_a_decision_that_changes_nothing_is_looked_at_once(world: World) -> None:
    """What is still held afterwards remembers that it was looked at."""
    act(world, What.PAUSE)
    start_build(world.context, MESSAGE, "me")
    act(world, What.PAUSE, Target(Scope.TASK, "theirapps/*"))
    world.queue.take(BUILDS)
    assert sweep(world.context, "s").resumed == 1
    deliver(world)

    assert held_for(world) == [Paused]
    assert sweep(world.context, "s").resumed == 0


def test_what_is_overdue_is_sent_again(world: World) -> None:
    """Its message was lost; the sweep goes on with it, and no audit calls it lost before."""
    decide(world, NIGHTS)
    start_build(world.context, MESSAGE, "me")
    world.queue.take(BUILDS)
    world.time.now = OPENS
    assert sweep(world.context, "s").resumed == 0
    assert of_attempt(head(world), OPENS, timedelta(hours=1)) is not None
    world.time.pass_(180)
    assert sweep(world.context, "s").resumed == 1
    deliver(world)

    assert head(world).state is State.SCHEDULED


def test_a_cooldown_begins_anew_and_ends_within_its_limit(world: World) -> None:
    """Each push is another rebuild; the first one's wait is kept over all of them."""
    decide(world, "policies: {default: {cooldown: 4h, maxWait: 10h}}")
    began = world.time.now
    world.ledger.record_events([PUSH], began)
    start_build(world.context, MESSAGE, "me")
    assert head(world).due == began + timedelta(hours=4)
    digests = [f"sha256:{letter * 64}" for letter in "def"]
    for digest in digests:
        world.time.pass_(3 * 3600)
        start_build(world.context, pushed(world, digest), "me")

    assert held_for(world) == [CoolingDown]
    assert head(world).due == began + timedelta(hours=10)
    held = head(world).held
    assert held is not None
    assert (held.first, held.newest) == (began, began + timedelta(hours=9))
    assert rebuild_from_text(rebuild_to_text(head(world))) == head(world)
    world.time.now = began + timedelta(hours=10)
    deliver(world)
    assert len(world.tasks.scheduled) == 1
    assert head(world).bases == (f"{NODE}@{digests[-1]}",)


def test_who_retries_by_hand_does_not_wait_for_a_cooldown(world: World) -> None:
    """A person has looked at it."""
    decide(world, "policies: {default: {cooldown: 4h}}")
    start_build(world.context, MESSAGE, "me")
    assert held_for(world) == [CoolingDown]
    start_build(world.context, replace(MESSAGE, forced=True, after=1), "me")

    assert head(world).state is State.SCHEDULED


def test_the_first_wait_of_another_rebuild_is_not_kept(world: World) -> None:
    """What was held and built is over: the next push begins to wait itself."""
    decide(world, "policies: {default: {cooldown: 4h, maxWait: 5h}}")
    start_build(world.context, MESSAGE, "me")
    world.time.pass_(5 * 3600)
    deliver(world)
    assert head(world).state is State.SCHEDULED
    world.ledger.save(replace(head(world), state=State.SUCCEEDED, due=None))
    start_build(world.context, pushed(world, NEWER), "me")

    assert head(world).due == world.time.now + timedelta(hours=4)


@pytest.mark.parametrize("looks", [1, 2])
def test_a_tag_that_goes_back_begins_to_wait_itself(world: World, looks: int) -> None:
    """Its digest was told of long ago, and the task was built on another since.

    It waits since it came back, however often the tag is written again.
    """
    decide(world, "policies: {default: {cooldown: 4h, maxWait: 10h}}")
    start_build(world.context, pushed(world, NEW), "me")
    world.time.pass_(3600)
    start_build(world.context, pushed(world, NEWER), "me")
    world.time.pass_(4 * 3600)
    deliver(world)
    world.ledger.save(replace(head(world), state=State.SUCCEEDED, due=None))
    act(world, What.PAUSE)
    world.time.pass_(3600)
    back = world.time.now
    for _ in range(looks):
        start_build(world.context, pushed(world, NEW), "me")
        world.time.pass_(60)
    world.time.pass_(6 * 3600)
    start_build(world.context, pushed(world, NEWEST), "me")
    newest = world.time.now
    act(world, What.RESUME)
    deliver(world)

    held = head(world).held
    assert held is not None
    assert held.first == back
    assert held_for(world) == [CoolingDown]
    assert head(world).due == min(newest + timedelta(hours=4), back + timedelta(hours=10))


def test_the_wait_for_an_image_that_is_not_read_any_more_is_over(world: World) -> None:
    """The task was edited meanwhile: what moves of its new images begins to wait itself."""
    decide(world, "policies: {default: {cooldown: 4h, maxWait: 5h}}")
    start_build(world.context, MESSAGE, "me")
    assert held_for(world) == [CoolingDown]
    world.time.pass_(5 * 3600 - 60)
    other = "mybase.azurecr.io/images/go:1"
    world.tasks.add(task("build-app", dependency(other)))
    scan_registry(world.context, APPS)
    world.images.digests[other] = NEW
    push = Push(BASE, "images/go", "1", NEW, None, "e")
    world.ledger.record_events([push], world.time.now)
    start_build(world.context, StartBuild(push, task().id), "me")

    held = head(world).held
    assert held is not None
    assert (held.first, held.newest) == (world.time.now, world.time.now)
    world.time.pass_(3600)
    deliver(world)
    assert held_for(world) == [CoolingDown]


def test_a_task_is_ignored(world: World) -> None:
    """A decision, with the rule; what was held for it is over."""
    act(world, What.PAUSE)
    start_build(world.context, MESSAGE, "me")
    decide(world, 'rules: [{match: {task: "myapps/build*"}, ignore: true}]')

    found = start_build(world.context, replace(MESSAGE, forced=True), "me")

    assert found == IgnoredByPolicy(task().id, NODE, NEW, "rule 1 (line 2)")
    assert head(world).state is State.SKIPPED
    world.tasks.add(task("other"))
    other = start_build(world.context, StartBuild(PUSH, task("other").id), "me")
    assert isinstance(other, Rebuild)
    assert other.state is State.HELD


def test_tags_and_kinds_are_those_of_the_task(world: World) -> None:
    """As ARM tells them, and as the build uses the image."""
    world.tasks.add(replace(task(), tags=(("rebuilder-policy", "slow"),)))
    decide(world, "policies: {slow: {selectable: true, cooldown: 9h}}")
    start_build(world.context, MESSAGE, "me")
    assert held_for(world) == [CoolingDown]
    decide(world, "rules: [{match: {kinds: [runtime]}, ignore: true}]")
    assert isinstance(
        start_build(world.context, replace(MESSAGE, forced=True), "me"), IgnoredByPolicy
    )


def test_a_claim_that_is_taken_over_is_held(world: World) -> None:
    """Nothing was started for it, and somebody has paused meanwhile."""
    world.tasks.failures["schedule"] = [OutcomeUnknown("cut")]
    start_build(world.context, MESSAGE, "me")
    act(world, What.PAUSE)
    world.time.pass_(91)
    start_build(world.context, MESSAGE, "you")

    assert held_for(world) == [Paused]
    assert head(world).sequence == 1
    act(world, What.RESUME)
    deliver(world)
    assert [scheduled for scheduled, _ in world.tasks.scheduled] == [task().id]


def test_a_next_attempt_waits_for_the_gate(world: World) -> None:
    """A build that failed is not tried again outside its window."""
    start_build(world.context, MESSAGE, "me")
    failed = replace(head(world), state=State.FAILED, due=world.time.now)
    world.ledger.save(failed)
    decide(world, NIGHTS)
    world.time.pass_(31)
    start_build(world.context, MESSAGE, "me")

    assert held_for(world) == [OutsideWindow]
    assert (head(world).sequence, head(world).attempt) == (2, 2)
    sweep(world.context, "s")
    first = world.ledger.rebuild(task().id, 1)
    assert first is not None
    assert first.due is None
    world.time.now = OPENS + timedelta(seconds=2)
    start_build(world.context, MESSAGE, "me")
    assert (head(world).sequence, head(world).state) == (2, State.SCHEDULED)


def test_two_who_hold_the_same_at_once_leave_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one looks again later, and finds it held."""
    act(world, What.PAUSE)
    claim = world.ledger.claim

    def slower(rebuild: Rebuild) -> bool:
        monkeypatch.setattr(world.ledger, "claim", claim)
        start_build(world.context, MESSAGE, "quicker")
        return claim(rebuild)

    monkeypatch.setattr(world.ledger, "claim", slower)
    assert start_build(world.context, MESSAGE, "slower") is None
    assert len(world.ledger.rebuilds(task().id)) == 1


def test_an_image_that_also_moved_is_asked_about_too(world: World) -> None:
    """A run would read both: the one that is paused holds the other."""
    other = "mybase.azurecr.io/images/go:1"
    world.tasks.add(task("build-app", dependency(), dependency(other)))
    world.images.digests[other] = NEW
    decide(
        world,
        """
        policies: {slow: {cooldown: 9h}}
        rules: [{match: {base: "*/node:*"}, policy: slow}]
        """,
    )
    start_build(world.context, MESSAGE, "me")
    assert held_for(world) == [CoolingDown]
    world.images.digests[other] = NEWER
    push = Push(BASE, "images/go", "1", NEWER, None, "e")
    start_build(world.context, StartBuild(push, task().id), "me")

    assert held_for(world) == [CoolingDown]
    assert f"{other}@{NEWER}" in head(world).bases
    held = head(world).held
    assert held is not None
    assert held.moved == (other, NODE)


# Observing.


def test_who_observes_starts_nothing_and_tells_what_would_be(world: World) -> None:
    """A decision, once; the sweep does not ask for it again and again."""
    world.tasks.add(task())
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.context = replace(world.context, settings=replace(world.settings, observe=True))
    plan_rebuilds(world.context, PlanRebuilds(PUSH))
    deliver(world)

    decisions = [record.decision for record in world.ledger.decisions(PUSH)]
    assert decisions[-1] == WouldRebuild(task().id, NODE, NEW, (f"{NODE}@{NEW}",))
    assert world.tasks.scheduled == []
    assert world.ledger.head(task().id) is None
    world.ledger.record_events([PUSH], world.time.now)
    world.ledger.planned(PUSH)
    world.time.pass_(7 * 3600)
    assert sweep(world.context, "s").missed == []
    acting = replace(world.context, settings=world.settings)
    assert sweep(acting, "s").missed == [PUSH.key]


def test_who_observes_ends_what_was_held(world: World) -> None:
    """It would begin now."""
    act(world, What.PAUSE)
    start_build(world.context, MESSAGE, "me")
    world.context = replace(world.context, settings=replace(world.settings, observe=True))
    act(world, What.RESUME)
    deliver(world)

    assert head(world).state is State.SKIPPED
    assert world.tasks.scheduled == []


# What operators did.


def test_acts_are_kept_page_by_page(world: World) -> None:
    """However many there are, each is remembered once."""
    for number in range(PAGE + 5):
        done = Act(f"a{number}", What.PAUSE, Target(), "ann", f"{number}", world.time.now)
        carry_out(world.context, done)
        carry_out(world.context, done)
        world.time.pass_(1)

    found = [int(done.because) for done in history(world.context, 1000)]
    assert found == list(range(PAGE + 5))[::-1]
    assert [int(done.because) for done in history(world.context, 7)] == found[:7]
    assert list(history(world.context, 0)) == []


def test_acts_that_are_done_at_once_are_all_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By compare-and-swap; who loses tries again."""
    steering = world.context.steering
    save = steering.save_acts

    def slower(mark: object) -> object:
        monkeypatch.setattr(steering, "save_acts", save)
        carry_out(world.context, Act("b", What.PAUSE, Target(), "b", "", world.time.now))
        return save(mark)  # type: ignore[arg-type] # it is a bookmark

    monkeypatch.setattr(steering, "save_acts", slower)
    carry_out(world.context, Act("a", What.PAUSE, Target(), "a", "", world.time.now))
    assert {done.id for done in history(world.context, 9)} == {"a", "b"}

    def never(_: object) -> object:
        raise Conflict("again")

    monkeypatch.setattr(steering, "save_acts", never)
    with pytest.raises(Conflict):
        carry_out(world.context, Act("c", What.PAUSE, Target(), "c", "", world.time.now))


def test_an_act_of_the_future_is_refused(world: World) -> None:
    """It would count as newer than every other until then."""
    late = Act("a", What.PAUSE, Target(), "a", "", world.time.now + timedelta(days=1))
    with pytest.raises(InvalidMessage, match="ahead"):
        carry_out(world.context, late)
    assert list(history(world.context, 9)) == []


def test_acts_that_nobody_can_read_let_nothing_begin(world: World) -> None:
    """Somebody may have paused."""
    mark = world.context.steering.acts()
    world.context.steering.save_acts(replace(mark, place="{"))
    with pytest.raises(UnreadableRecord, match="what operators did"):
        start_build(world.context, MESSAGE, "me")
    assert world.tasks.scheduled == []


def test_a_broken_policy_never_takes_effect(world: World) -> None:
    """The last good one stays in force; without one, nothing begins."""
    steering = world.context.steering
    broken = {"who": "", "at": world.time.now, "because": ""}
    steering.apply("version: 7", before="", **broken)  # type: ignore[arg-type]
    start_build(world.context, MESSAGE, "me")
    assert [r.code for r in head(world).held.reasons] == ["policy-unreadable"]  # type: ignore[union-attr]
    decide(world, NIGHTS)
    deliver(world)
    assert held_for(world) == [OutsideWindow]
    steering.apply("version: 8", before=steering.token(), **broken)  # type: ignore[arg-type]
    world.context.in_force.forget()
    start_build(world.context, replace(MESSAGE, forced=True), "me")
    assert held_for(world) == [OutsideWindow]
    with pytest.raises(Conflict):
        steering.apply("version: 1", before="1", **broken)  # type: ignore[arg-type]


def test_a_policy_can_be_gone_back_to(world: World) -> None:
    """As a new version, so that what was in between is not forgotten."""
    decide(world, NIGHTS)
    decide(world, "rules: []")
    back, new = roll_back(world.context, None, who="bob", because="oops")
    assert (back.number, new.number, new.text) == (1, 3, back.text)
    assert new.because == "back to version 1: oops"
    _, new = roll_back(world.context, 2, who="bob", because="well")
    assert new.number == 4
    with pytest.raises(NotFound, match="there is no version 9"):
        roll_back(world.context, 9, who="bob", because="")
