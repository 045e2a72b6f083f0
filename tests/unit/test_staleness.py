"""Why a task stands on an old base, and for how long operators held it; pure."""

from __future__ import annotations

from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved
from rebuilder.core.decisions.operators import IgnoredByPolicy
from rebuilder.core.decisions.rebuilds import RebuildFailed
from rebuilder.core.policies.holds import Held
from rebuilder.core.rebuilds.rebuild import Check, Hold, Rebuild, State
from rebuilder.core.staleness.figures import Judged, judged
from rebuilder.core.staleness.spells import Follows, Move, Spell, Why, spells
from rebuilder.errors import NotFound, TransientError
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness import walk as reports
from rebuilder.usecases.staleness.report import staleness
from tests.unit.fakes import APPS, BASE, NEW, NODE, OLD, World, task
from tests.unit.test_standing import PUSH, follows

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TASK = task().id
DUE = NOW + HOUR


def rebuild(state: State, hours_ago: float = 1, on: str = NEW, **changes: object) -> Rebuild:
    """Return a rebuild."""
    at, base = NOW - hours_ago * HOUR, f"{NODE}@{on}"
    made = Rebuild(TASK, 1, "key", (base,), PUSH.key, state, at, "me", at, run_id="ca1")
    return replace(made, **changes)  # type: ignore[arg-type] # by the field's name


def only(
    *rebuilds: Rebuild,
    decision: TaskDecision | None = None,
    built_on: str | None = OLD,
    now: bool = True,
) -> Spell:
    """Return the spell of a task since a push two hours ago."""
    moves = (Move(NEW, NOW - 2 * HOUR, NOW - 2 * HOUR),)
    made = {} if decision is None else {NEW: decision}
    known = Follows(TASK, NODE, moves, made, rebuilds, built_on, now)
    (spell,) = spells(known, NOW)
    return spell


@pytest.mark.parametrize(
    ("made", "why", "words"),
    [
        (rebuild(State.HELD, hold=Hold.GATE, outcome="paused"), Why.HELD, "paused"),
        (rebuild(State.HELD, outcome="ACR's trigger"), Why.UNDER_WAY, "held: ca1"),
        (rebuild(State.CLAIMED, run_id=None), Why.UNDER_WAY, "claimed: claimed"),
        (rebuild(State.FAILED, due=DUE), Why.RETRY, "attempt 2 at 2026-05-06 13:00:00: failed"),
        (rebuild(State.FAILED), Why.GIVEN_UP, "after 1 attempt(s): failed"),
        (rebuild(State.GIVEN_UP, outcome="Failed"), Why.GIVEN_UP, "after 1 attempt(s): Failed"),
        (
            rebuild(State.SUCCEEDED, check=Check.STALE, check_reason="a cache", finished_at=NOW),
            Why.STILL_STALE,
            "a cache",
        ),
        (rebuild(State.SKIPPED), Why.WAITING, f"it stands on {OLD}, and nothing is under way"),
        (rebuild(State.RUNNING, on=OLD), Why.UNDER_WAY, "it waits for the end of rebuild key-1"),
        (rebuild(State.HELD, on=OLD, hold=Hold.GATE, outcome="frozen"), Why.HELD, "frozen"),
    ],
)
def test_the_newest_rebuild_tells_why(made: Rebuild, why: Why, words: str) -> None:
    """Whether it is on the digest, or another has to end first."""
    spell = only(made)

    assert (spell.why, spell.over) == (why, False)
    assert spell.sentence.startswith(words)
    assert spell.length(NOW) == 2 * HOUR


def test_what_was_decided_tells_why() -> None:
    """Given up, ignored by policy; built on already, by nobody of ours."""
    failed = RebuildFailed(TASK, "key-1", "ca1", "Failed", 3, None, None)
    assert only(decision=failed).why is Why.GIVEN_UP
    ignored = only(decision=IgnoredByPolicy(TASK, NODE, NEW, "rule 1"))
    assert (ignored.why, ignored.sentence[:11]) == (Why.LEFT, "by policy: ")
    assert judged(ignored, HOUR, NOW) is Judged.LEFT
    moves = (Move(NEW, NOW),)
    built = AlreadyBuiltOn(TASK, NODE, NEW, "record")
    assert not list(spells(Follows(TASK, NODE, moves, {NEW: built}, (), NEW), NOW))


def test_a_record_that_is_wrong_is_not_believed() -> None:
    """ACR has recorded the new digest, and the image was found to stand on the old one."""
    stale = rebuild(State.SUCCEEDED, check=Check.STALE, finished_at=NOW)
    assert only(stale, built_on=NEW).why is Why.STILL_STALE


def test_who_follows_the_tag_no_longer_is_not_behind() -> None:
    """Since when is not recorded."""
    moved = BaseMoved(TASK, NODE, "runtime", OLD, NEW, "registry")
    spell = only(decision=moved, now=False, built_on=None)

    assert (spell.why, spell.over, spell.length(NOW)) == (Why.OTHERWISE, True, None)
    moves = (Move(NEW, NOW),)
    assert not list(spells(Follows(TASK, NODE, moves, {}, (), None, now=False), NOW))


def test_an_end_before_the_beginning_is_unknown() -> None:
    """Clocks differ; nobody was behind for less than no time."""
    early = rebuild(State.SUCCEEDED, finished_at=NOW, run_ended=NOW - 3 * HOUR)
    assert judged(only(early), HOUR, NOW) is Judged.UNKNOWN


def test_only_what_operators_held_counts_as_held() -> None:
    """Each hour once: not what ran before it, nor what was over before the push."""
    held = Held((), NOW - 2 * HOUR, NOW - 2 * HOUR)
    before = rebuild(State.SUCCEEDED, 5, OLD, finished_at=NOW - 4 * HOUR)
    skipped = rebuild(State.SKIPPED, 2, held=held, finished_at=NOW - 1.5 * HOUR)
    failed = rebuild(State.FAILED, 1.25, held=held, finished_at=NOW - HOUR)
    going = rebuild(State.HELD, 0.5, held=held, hold=Hold.GATE)

    assert only(before, skipped, failed, going).held == (0.5 + 0.25 + 1) * HOUR
    assert judged(only(before, skipped, failed, going), HOUR, NOW) is Judged.HELD
    assert judged(only(before, skipped, failed, going), HOUR / 8, NOW) is Judged.LATE


def test_policies_are_told_as_the_rules_give_them(world: World) -> None:
    """Of several, each; that they cannot be read keeps nobody from the rest."""
    text = (
        "version: 1\npolicies: {default: {cooldown: 1h}, nights: {windows: always}}\n"
        'rules: [{match: {task: "myapps/*"}, policy: nights}]\n'
    )
    world.context.steering.apply(text, who="a", at=NOW, because="b", before="")
    follows(world)
    world.ledger.record_events([PUSH], world.time.now)
    (spell,) = staleness(world.context).spells
    assert spell.policy == "default, nights"

    class Broken:
        def now(self, *_: object) -> None:
            raise TransientError("out of order")

    broken: Context = replace(world.context, in_force=Broken())  # type: ignore[arg-type] # a part
    (spell,) = staleness(broken).spells
    assert spell.policy == ""


def test_a_registry_of_the_same_name_is_asked_for(world: World) -> None:
    """Two registries may be the host: ARM knows which."""
    other = RegistryId("s9", "g", "mybase")
    settings = replace(world.settings, base_registries=frozenset({BASE, other}))
    context = replace(world.context, settings=settings)
    world.tasks.out_of_order[other] = NotFound("no such registry")
    follows(world)
    world.ledger.record_events([PUSH], world.time.now)

    staleness(context)
    assert world.tasks.asked
    follows(world, image="elsewhere.azurecr.io/x:1", task_id=task("y").id)
    assert len(staleness(context).spells) == 1


def test_since_when_is_unknown_if_not_all_pushes_were_looked_at(world: World) -> None:
    """One more came before the first of those."""
    follows(world)
    for number in range(25):
        digest = f"sha256:{number:064}"
        world.ledger.record_events(
            [replace(PUSH, digest=digest, pushed_at=world.time.now)], world.time.now
        )
        world.time.pass_(86400)

    (spell,) = staleness(world.context, days=1).behind
    assert (spell.since, spell.length(world.time.now)) == (None, None)


def test_what_cannot_be_told_of_a_task_is_told_as_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rebuilds cannot be read, or nobody thought of what they are."""
    follows(world)
    world.ledger.record_events([PUSH], world.time.now)

    def broken(*_: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(reports, "spells", broken)
    ((_, _, reason),) = staleness(world.context).unknown
    assert "ValueError" in reason

    monkeypatch.setattr(reports, "rebuilds_since", broken)
    ((found, base, reason),) = staleness(world.context).unknown
    assert (found, base) == (TASK, NODE)
    assert "ValueError" in reason
    assert found.registry == APPS
