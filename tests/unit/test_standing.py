"""An audit's last question: what each task stands on now, beside what its tags name now."""

from __future__ import annotations

import json
from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.audit.model import AuditFinding as Finding
from rebuilder.core.audit.model import AuditVerdict as Verdict
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved
from rebuilder.core.decisions.rebuilds import Cycle, OwnOutput, RebuildFailed, RebuildUnderWay
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State
from rebuilder.errors import NotFound, TransientError
from rebuilder.usecases.catch_up.poll_bases import foreign_bookmark
from rebuilder.usecases.reports._standing import Stood, stands
from rebuilder.usecases.reports.audit import audit
from tests.unit.fakes import APPS, BASE, NEW, NEWER, NODE, OLD, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
TASK = task().id
PATIENCE = timedelta(hours=1)
DAY = timedelta(days=1)
ALPINE = "docker.io/library/alpine:3"


def follows(
    world: World, built_on: str | None = OLD, task_id: TaskId = TASK, image: str = NODE
) -> None:
    """Have the index know a task that follows a tag."""
    said = Said(ImageReference.parse(image), Kind.RUNTIME, built_on)
    world.index.replace(join(task_id, [Evidence(Source.BUILD_FILE, (said,))]), world.time.now)
    for registry in world.settings.task_registries:
        world.index.mark_refreshed(registry, world.time.now)


def rebuilt(world: World, state: State, on: str = f"{NODE}@{NEW}", **changes: object) -> None:
    """Store the task's next rebuild."""
    head = world.ledger.head(TASK)
    now = world.time.now
    sequence = head.sequence + 1 if head else 1
    made = Rebuild(TASK, sequence, on, (on,), PUSH.key, state, now, "me", now, run_id="ca1")
    assert world.ledger.claim(replace(made, **changes))  # type: ignore[arg-type] # checked by the test's users


def looked(world: World, *, ask: bool = True) -> Stood:
    """Ask."""
    return stands(world.context, PATIENCE, ask=ask)


def only(world: World) -> Finding:
    """Ask, and return what is found, of which there is one."""
    (finding,) = looked(world).findings
    return finding


def test_a_task_on_what_its_tag_names_is_none(world: World) -> None:
    """By ACR's record, or by a rebuild of ours, whichever tells."""
    follows(world, NEW)
    assert looked(world) == Stood(1, (), ())
    follows(world, OLD)
    rebuilt(world, State.SUCCEEDED)

    assert looked(world) == Stood(1, (), ())


def test_a_task_that_no_push_was_decided_for(world: World) -> None:
    """Its run ended just before the push, so that the index did not name it: audit is not clean."""
    world.ledger.record_events([PUSH], world.time.now)
    follows(world, OLD)
    world.time.pass_(7200)
    found = audit(world.context, world.time.now - DAY, world.time.now, patience=PATIENCE)

    assert not found.clean
    (finding,) = found.standing
    assert (finding.task, finding.verdict) == (TASK, Verdict.LOST)
    assert f"it stands on {OLD}" in finding.sentence


def test_a_claim_of_a_clock_that_was_ahead_is_no_effect(world: World) -> None:
    """Superseded by what nobody goes on with is not superseded."""
    follows(world, OLD)
    world.images.digests[NODE] = NEWER
    world.ledger.record_events([PUSH], world.time.now)
    moved = BaseMoved(TASK, NODE, "runtime", OLD, NEW, "registry")
    world.ledger.record_decisions(PUSH, [moved], world.time.now)
    world.time.pass_(60)
    later = replace(PUSH, digest=NEWER)
    world.ledger.record_events([later], world.time.now)
    world.ledger.record_decisions(later, [replace(moved, new=NEWER)], world.time.now)
    tomorrow = world.time.now + DAY
    rebuilt(world, State.CLAIMED, f"{NODE}@{NEWER}", claimed_at=tomorrow, lease_until=tomorrow)
    world.time.pass_(7200)
    found = audit(world.context, world.time.now - DAY, world.time.now, patience=PATIENCE)

    assert not found.clean
    (finding,) = found.standing
    assert finding.verdict is Verdict.LOST
    assert "lies further ahead than it can" in finding.sentence


def test_what_nobody_has_told_of_yet_may_be_on_its_way(world: World) -> None:
    """A digest that came just now is no loss; one that came long ago is."""
    follows(world, OLD)
    world.images.came[NEW] = world.time.now
    world.time.pass_(60)
    assert only(world).verdict is Verdict.IN_PROGRESS
    world.time.pass_(3600)
    assert only(world).verdict is Verdict.LOST
    world.images.no_times = TransientError("503")

    assert only(world).verdict is Verdict.LOST


def test_what_a_push_told_lately_is_on_its_way(world: World) -> None:
    """And what is unknown is called so."""
    follows(world, None)
    world.ledger.record_events([PUSH], world.time.now)
    finding = only(world)

    assert finding.verdict is Verdict.IN_PROGRESS
    assert finding.sentence.startswith("it stands on nobody knows which digest")


@pytest.mark.parametrize(
    ("state", "due", "verdict"),
    [
        (State.HELD, 60, Verdict.HELD),
        (State.RUNNING, 60, Verdict.IN_PROGRESS),
        (State.RUNNING, -7200, Verdict.LOST),
        (State.FAILED, 60, Verdict.RETRY),
        (State.GIVEN_UP, None, Verdict.GIVEN_UP),
        (State.SKIPPED, None, Verdict.LOST),
    ],
)
def test_a_rebuild_on_the_digest_tells(
    world: World, state: State, due: int | None, verdict: Verdict
) -> None:
    """How far it has come is how the task stands."""
    follows(world, OLD)
    when = None if due is None else world.time.now + timedelta(seconds=due)
    rebuilt(world, state, due=when)

    assert only(world).verdict is verdict


def test_rebuilt_but_still_stale(world: World) -> None:
    """The image itself shows it."""
    follows(world, OLD)
    rebuilt(world, State.SUCCEEDED, check=Check.STALE, check_reason="its layers are the old ones")
    finding = only(world)

    assert (finding.verdict, finding.sentence) == (Verdict.STALE, "its layers are the old ones")


def test_a_rebuild_on_another_digest_is_waited_for(world: World) -> None:
    """One run at a time: what comes after it comes."""
    follows(world, OLD)
    rebuilt(world, State.RUNNING, f"{NODE}@{NEWER}", due=world.time.now)
    finding = only(world)

    assert finding.verdict is Verdict.IN_PROGRESS
    assert "waits for the end of rebuild" in finding.sentence


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (TaskDisabled(TASK), Verdict.LEFT),
        (AlreadyBuiltOn(TASK, NODE, NEW, "run"), None),
        (RebuildFailed(TASK, "r", "ca1", "Failed"), Verdict.GIVEN_UP),
        (OwnOutput(TASK, NODE, NEW, "ca1"), Verdict.CYCLE),
        (Cycle(TASK, NODE, NEW, ("a", "b")), Verdict.CYCLE),
        (RebuildUnderWay(TASK, "r", "ca1"), Verdict.LOST),
        (BaseMoved(TASK, NODE, "runtime", OLD, NEW, "registry"), Verdict.LOST),
    ],
)
def test_what_was_decided_last_tells(
    world: World, decision: TaskDecision, verdict: Verdict | None
) -> None:
    """A reason not to build is accepted; that it is to be built, and was not, is none."""
    follows(world, OLD)
    world.ledger.record_events([PUSH], world.time.now)
    world.ledger.record_decisions(PUSH, [decision], world.time.now)
    world.time.pass_(7200)

    assert [finding.verdict for finding in looked(world).findings] == [verdict] * bool(verdict)


def test_without_asking_the_newest_push_tells(world: World) -> None:
    """The registry is not asked; a tag that was never pushed is not compared."""
    follows(world, OLD)
    world.images.failure = TransientError("must not be asked")
    assert looked(world, ask=False) == Stood(1, (), ())
    world.ledger.record_events([PUSH], world.time.now)

    assert [f.push.digest for f in looked(world, ask=False).findings] == [NEW]


def test_a_foreign_tag_is_compared_with_what_the_poll_saw(world: World) -> None:
    """Nobody is asked; what was never polled is not compared."""
    follows(world, OLD, image=ALPINE)
    assert looked(world) == Stood(1, (), ())
    reference = ImageReference.parse(ALPINE)
    mark = world.context.bookmarks.read(foreign_bookmark(reference))
    place = {"at": world.time.now.isoformat(), "seen": True, "digest": NEW, "etag": ""}
    world.context.bookmarks.save(replace(mark, place=json.dumps(place)))
    finding = only(world)

    assert str(finding.push.registry) == "docker.io"
    assert finding.verdict is Verdict.LOST


def test_what_cannot_be_compared_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that nobody has read, and one that does not answer, keep no other from it."""
    follows(world, OLD)
    follows(world, OLD, task("other").id, "mybase.azurecr.io/images/gone:1")
    real = world.images.digest

    def digest(host: str, repository: str, tag: str) -> str | None:
        if repository == "images/gone":
            raise NotFound("no such registry")
        return real(host, repository, tag)

    monkeypatch.setattr(world.images, "digest", digest)
    settings = replace(
        world.settings, task_registries=(*world.settings.task_registries, replace(APPS, name="new"))
    )
    context = replace(world.context, settings=settings)
    found = stands(context, PATIENCE, ask=True)

    assert found.tags == 2
    assert len(found.remarks) == 2
    assert found.remarks[0].endswith("registries/new were never all read")
    assert found.remarks[1].endswith("no such registry")
    assert [finding.task for finding in found.findings] == [TASK]
