from __future__ import annotations

from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import (
    Dependency,
    Kind,
    Makes,
    Output,
    RunStatus,
    Task,
    TriggerType,
)
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, BuiltWhileMoving, TagGone
from rebuilder.core.decisions.operators import IgnoredByPolicy, WouldRebuild
from rebuilder.core.decisions.policy import Policy, RebuildFor
from rebuilder.core.decisions.reasons import REASONS, from_record, to_record
from rebuilder.core.decisions.rebuilds import RebuildFailed, RebuildUnderWay
from rebuilder.core.decisions.runs import MayNotPull, NoStep, TaskDisabled
from rebuilder.core.decisions.unreadable import (
    IndexOld,
    NotConfigured,
    RegistryUnreadable,
    TaskGone,
)
from rebuilder.core.decisions.uses import (
    BuildTimeOnly,
    NothingRecorded,
    OtherImages,
    OtherTag,
    PinnedByDigest,
)
from rebuilder.core.rebuilds.rebuild import Rebuild, State, rebuild_key
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
    """Each situation has its own type of decision, if each task's trigger is asked."""
    made = decide(given, BASE, policy=Policy(RebuildFor.TRIGGER))

    assert type(made) is decision
    assert made.task == given.id
    assert made.rebuild == (decision in (BaseMoved, BuiltWhileMoving))
    assert made.sentence()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            NothingRecorded(task().id),
            (
                "ACR has recorded no base image: no run of it has succeeded, or its build files"
                " name none"
            ),
        ),
        (
            NothingRecorded(task().id, files_read=True),
            "its build files name no image, and ACR has recorded none",
        ),
        (
            NothingRecorded(task().id, asked=True),
            (
                "ACR has recorded no base image, for the task never ran; `az acr task run"
                " --registry myapps --name build-app` runs it"
            ),
        ),
        (
            NothingRecorded(task().id, asked=True, run="ca1", status="Failed"),
            (
                "ACR has recorded no base image, for no run of it has succeeded (the last is ca1:"
                " Failed); `rebuilder runs` tells why, as far as it is known"
            ),
        ),
        (
            NothingRecorded(task().id, asked=True, run="ca1", status="Succeeded"),
            (
                "ACR has recorded no base image, although run ca1 succeeded: it saw none in the"
                " build files"
            ),
        ),
    ],
)
def test_nothing_recorded_tells_why(found: NothingRecorded, told: str) -> None:
    """A task that ran and failed is not told to be run, nor one whose files name no image."""
    assert found.sentence() == told
    assert from_record(to_record(found)) == found


def test_files_that_name_no_image_are_told_from_files_that_nobody_read() -> None:
    """The output tells whether they were read."""
    bare = replace(task(), dependencies=())
    read, seen = Output(Makes.IMAGE, ("a:1",)), Output(Makes.IMAGE, ("a:1",), read=False)

    assert decide(bare, BASE) == NothingRecorded(bare.id)
    assert decide(replace(bare, output=read), BASE) == NothingRecorded(bare.id, files_read=True)
    assert decide(replace(bare, output=seen), BASE) == NothingRecorded(bare.id)


@pytest.mark.parametrize(
    ("given", "rebuild_for", "decision"),
    [
        (task("t", BUILD_TIME, trigger=TriggerType.RUNTIME), RebuildFor.ALL, BaseMoved),
        (task("t", dependency(kind=Kind.FRONTEND)), RebuildFor.ALL, BaseMoved),
        (task("t", BUILD_TIME, trigger=TriggerType.ALL), RebuildFor.RUNTIME, BuildTimeOnly),
        (task("t", dependency(kind=Kind.FRONTEND)), RebuildFor.RUNTIME, BuildTimeOnly),
        (task("t", dependency(), trigger=TriggerType.ALL), RebuildFor.RUNTIME, BaseMoved),
        (task("t", dependency(), trigger=TriggerType.RUNTIME), RebuildFor.TRIGGER, BaseMoved),
        (task("t", dependency(kind=Kind.FRONTEND)), RebuildFor.TRIGGER, BaseMoved),
    ],
)
def test_what_a_task_is_rebuilt_for_is_a_setting(
    given: Task, rebuild_for: RebuildFor, decision: type[TaskDecision]
) -> None:
    """`all` follows every image, `runtime` the base alone, `trigger` what the task asks for."""
    assert type(decide(given, BASE, policy=Policy(rebuild_for))) is decision


def test_every_image_counts_unless_told_otherwise() -> None:
    """The Azure CLI makes Runtime triggers by itself, so they are no reason to leave images out."""
    given = task("t", BUILD_TIME, trigger=TriggerType.RUNTIME)

    assert decide(given, BASE) == decide(given, BASE, policy=Policy(RebuildFor.ALL))


def test_an_image_that_does_not_count_says_who_left_it_out() -> None:
    """What helps differs: the task's trigger, or the setting."""
    given = task("t", BUILD_TIME, trigger=TriggerType.RUNTIME)

    assert (
        "trigger type to All" in decide(given, BASE, policy=Policy(RebuildFor.TRIGGER)).sentence()
    )
    assert (
        "REBUILDER_REBUILD_FOR" in decide(given, BASE, policy=Policy(RebuildFor.RUNTIME)).sentence()
    )


def test_a_use_without_digest_says_nothing_beside_one_with() -> None:
    """One run reads a tag once: the digest of one use is that of the other."""
    unknown = dependency(built_on=None, kind=Kind.BUILD_TIME)

    assert isinstance(decide(task("t", unknown, dependency(built_on=NEW)), BASE), AlreadyBuiltOn)
    moved = decide(task("t", unknown, dependency()), BASE)
    assert isinstance(moved, BaseMoved)
    assert moved.old == OLD


@pytest.mark.parametrize(
    "given",
    [
        dependency(),
        dependency(built_on=NEW),
        dependency(f"mybase.azurecr.io/images/node@{OLD}", None),
        dependency(kind=Kind.BUILD_TIME),
    ],
)
def test_a_decision_names_the_source_of_the_knowledge(given: Dependency) -> None:
    """Whoever reads the decision or its record sees who says that the task uses the image."""
    said = replace(given, known_from="build file Dockerfile, line 7: COPY --from")
    made = decide(
        task("t", said, trigger=TriggerType.RUNTIME), BASE, policy=Policy(RebuildFor.TRIGGER)
    )

    assert said.known_from in made.sentence()
    assert said.known_from in to_record(made).values()
    assert from_record(to_record(made)) == made


def test_a_moving_base_names_its_source_too() -> None:
    """The record that is not believed may be another source's than ACR."""
    said = replace(dependency(built_on=NEW), known_from="output image app:1")
    made = decide(task("t", said), replace(BASE, since=NOON), NOON - timedelta(minutes=1))

    assert isinstance(made, BuiltWhileMoving)
    assert "output image app:1" in made.sentence()


def test_records_of_older_versions_are_read() -> None:
    """A decision that was recorded before it named its source is still told."""
    made = decide(task(), BASE)
    record = to_record(made)
    del record["source"]

    assert from_record(record) == made


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
        (NotConfigured(task().id, "r", "SETTING"), "SETTING does not name r"),
        (IgnoredByPolicy(task().id, NODE, NEW, "rule 2 (line 7)"), "rule 2 (line 7)"),
        (WouldRebuild(task().id, NODE, NEW, (f"{NODE}@{NEW}",)), "REBUILDER_MODE is observe"),
        (RegistryUnreadable(str(APPS), "no role"), "no role"),
        (IndexOld(str(APPS), NOON, 24), "older than 24 hours"),
    ],
)
def test_later_decisions_say_why(
    decision: TaskDecision | RegistryUnreadable | IndexOld, said: str
) -> None:
    """The decisions that only a use case can make explain themselves, too."""
    assert said in decision.sentence()
    assert not decision.rebuild
    assert from_record(to_record(decision)) == decision


def test_codes_are_unique() -> None:
    """A code names one reason."""
    assert len({reason.__name__ for reason in REASONS.values()}) == len(REASONS) == 32


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
    over = [State.SUCCEEDED, State.FAILED, State.GIVEN_UP, State.SKIPPED]
    assert [state for state in State if state.over] == over
    assert [status.value for status in RunStatus if not status.terminal] == [
        "Queued",
        "Started",
        "Running",
    ]
