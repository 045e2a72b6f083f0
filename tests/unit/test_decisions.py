from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rebuilder.core.decisions import (
    REASONS,
    AlreadyBuiltOn,
    Base,
    BaseMoved,
    BuildTimeOnly,
    BuiltWhileMoving,
    MayNotPull,
    NoStep,
    NothingRecorded,
    OtherImages,
    OtherTag,
    PinnedByDigest,
    RebuildFailed,
    RebuildUnderWay,
    RegistryUnreadable,
    TagGone,
    TaskDecision,
    TaskDisabled,
    TaskGone,
    decide,
    from_record,
    to_record,
)
from rebuilder.core.rebuilds import Rebuild, State, rebuild_key
from rebuilder.core.references import ImageReference
from rebuilder.core.tasks import Kind, RunStatus, Task, TriggerType
from tests.unit.fakes import APPS, NEW, NODE, OLD, dependency, task
from tests.unit.fakes import BASE as BASE_ID

BASE = Base(ImageReference.parse(NODE), NEW, "registry")
BUILD_TIME = dependency(kind=Kind.BUILD_TIME)
OTHER = dependency("docker.io/library/alpine:3")
PINNED = dependency(f"mybase.azurecr.io/images/node@{OLD}", None)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "decision"),
    [
        (task(), BaseMoved),
        (task("t", dependency(built_on=None)), BaseMoved),
        (task("t", dependency(built_on=NEW)), AlreadyBuiltOn),
        (task("t", OTHER, dependency()), BaseMoved),
        (task("t", dependency(built_on=NEW), BUILD_TIME), BaseMoved),
        (task("t", BUILD_TIME), BaseMoved),
        (task("t", BUILD_TIME, trigger=TriggerType.ALL), BaseMoved),
        (task("t", BUILD_TIME, trigger=TriggerType.RUNTIME), BuildTimeOnly),
        (task("t", dependency(), BUILD_TIME, trigger=TriggerType.RUNTIME), BaseMoved),
        (task("t", OTHER), OtherImages),
        (task("t", dependency("mybase.azurecr.io/images/node:10")), OtherTag),
        (task("t", PINNED), PinnedByDigest),
        (task("t", PINNED, dependency()), BaseMoved),
        (task(enabled=False), TaskDisabled),
        (task("t", OTHER, enabled=False), OtherImages),
        (task(has_step=False), NoStep),
        (replace(task(), dependencies=()), NothingRecorded),
        (task("t", dependency("MYBASE.westus.geo.azurecr.io/images/node:9")), BaseMoved),
        (task("t", dependency("mybase.azurecr.cn/images/node:9")), OtherImages),
    ],
)
def test_every_task_gets_a_reason(given: Task, decision: type[TaskDecision]) -> None:
    """Each situation has its own type of decision."""
    made = decide(given, BASE)

    assert type(made) is decision
    assert made.task == given.id
    assert made.rebuild == (decision in (BaseMoved, BuiltWhileMoving))
    assert made.sentence()


def test_a_rebuild_carries_its_evidence() -> None:
    """Old and new digest, which dependency, what for, from where it is known."""
    made = decide(task(), replace(BASE, known_from="event"))

    assert made == BaseMoved(task().id, NODE, "runtime", OLD, NEW, "event")
    for part in (NODE, OLD, NEW, "event", "runtime"):
        assert part in made.sentence()
    unknown = decide(task("t", dependency(built_on=None)), BASE).sentence()
    assert "no record" in unknown


@pytest.mark.parametrize(
    ("started", "since", "decision"),
    [
        (NOON, NOON - timedelta(minutes=1), AlreadyBuiltOn),
        (NOON, NOON + timedelta(minutes=1), BuiltWhileMoving),
        (None, NOON, AlreadyBuiltOn),
        (NOON, None, AlreadyBuiltOn),
    ],
)
def test_a_record_newer_than_the_build_is_no_proof(
    started: datetime | None, since: datetime | None, decision: type[TaskDecision]
) -> None:
    """The recorded digest counts only if it was there when the build began."""
    made = decide(task("t", dependency(built_on=NEW)), replace(BASE, since=since), started)

    assert type(made) is decision
    assert NEW in made.sentence()


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (RebuildUnderWay(task().id, "r-1", "ca1"), "run ca1"),
        (RebuildUnderWay(task().id, "r-1", None), "not scheduled yet"),
        (RebuildFailed(task().id, "r-1", "ca1", "Timeout"), "Timeout"),
        (RebuildFailed(task().id, "r-1", None, "no role"), "not scheduled"),
        (TaskGone(task().id), "gone"),
        (MayNotPull(task().id, str(BASE_ID), "mybase.azurecr.io", ("p1", "p2"), "AcrPull"), "p1"),
        (MayNotPull(task().id, str(BASE_ID), "mybase.azurecr.io", (), ""), "credential add"),
        (TagGone(task().id, NODE), NODE),
        (RegistryUnreadable(str(APPS), "no role"), "no role"),
    ],
)
def test_later_decisions_say_why(decision: TaskDecision | RegistryUnreadable, said: str) -> None:
    """The decisions that only a use case can make explain themselves, too."""
    assert said in decision.sentence()
    assert not decision.rebuild
    assert from_record(to_record(decision)) == decision


def test_codes_are_unique() -> None:
    """A code names one reason."""
    assert len({reason.__name__ for reason in REASONS.values()}) == len(REASONS) == 16


def rebuild(sequence: int, key: str) -> Rebuild:
    """Return a rebuild."""
    return Rebuild(task().id, sequence, key, (NODE,), "push", State.CLAIMED, NOON, "me", NOON)


def test_the_key_is_the_task_and_its_digests() -> None:
    """The order of the bases does not matter; the task and each digest do."""
    other = Base(ImageReference.parse("mybase.azurecr.io/images/go:1"), OLD, "registry")
    key = rebuild_key(task().id, [BASE, other])

    assert key == rebuild_key(task().id, [other, BASE])
    assert key == rebuild_key(task().id, [replace(BASE, known_from="event"), other])
    assert key != rebuild_key(task("t").id, [BASE, other])
    assert key != rebuild_key(task().id, [replace(BASE, digest=OLD), other])
    assert key != rebuild_key(task().id, [BASE])


def test_a_rebuild_has_a_name_of_its_own() -> None:
    """The same digests again are another rebuild with another token."""
    assert rebuild(1, "k" * 64).id != rebuild(2, "k" * 64).id
    assert rebuild(1, "k" * 64).token != rebuild(2, "k" * 64).token


def test_states_know_when_they_are_over() -> None:
    """Terminal states of rebuilds and runs are told from the others."""
    assert [state for state in State if state.over] == [State.SUCCEEDED, State.FAILED]
    assert [status.value for status in RunStatus if not status.terminal] == [
        "Queued",
        "Started",
        "Running",
    ]
