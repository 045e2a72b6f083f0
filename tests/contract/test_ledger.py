"""What every Ledger must do; run on SQLite and on Azure Storage tables (Azurite)."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.reasons import REASONS
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.decisions.uses import OtherImages
from rebuilder.core.events.pushes import Malformed, NoTag, Push
from rebuilder.core.failures.pulls import RateLimited
from rebuilder.core.rebuilds.rebuild import Check, Hold, Likely, Rebuild, State
from rebuilder.errors import Conflict, TransientError
from rebuilder.ports.ledger import Ledger
from rebuilder.sqlite.ledger import SqliteLedger

NOW = datetime(2026, 3, 4, 5, 6, 7, 891234, UTC)
LATER = NOW + timedelta(minutes=1)
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(name="ledger")
def _ledger(place: Path | TableServiceClient) -> Ledger:
    return SqliteLedger(place) if isinstance(place, Path) else TableLedger(place)


@pytest.fixture(name="registry")
def _registry() -> RegistryId:
    # Its own for every test: Azurite is shared.
    return RegistryId(uuid.uuid4().hex, "base", "mybase")


@pytest.fixture(name="push")
def _push(registry: RegistryId) -> Push:
    return Push(registry, "images/node", "9", DIGEST, NOW, "event-1")


@pytest.fixture(name="task")
def _task(registry: RegistryId) -> TaskId:
    return TaskId(registry, "build-app")


def claimed(task: TaskId, sequence: int = 1, owner: str = "me") -> Rebuild:
    """Return a rebuild that was just claimed."""
    return Rebuild(
        task,
        sequence,
        "k" * 64,
        ("mybase.azurecr.io/images/node:9@" + DIGEST,),
        "push",
        State.CLAIMED,
        NOW,
        owner,
        LATER,
    )


def test_deliveries_of_a_push_are_counted(ledger: Ledger, push: Push) -> None:
    """A push is kept once, with its first and last delivery."""
    ledger.record_events([push], NOW)
    ledger.record_events([replace(push, event="event-2", pushed_at=LATER)], LATER)

    record = ledger.push(push.key)
    assert record is not None
    assert record.push == push
    assert (record.first_at, record.last_at, record.deliveries) == (NOW, LATER, 2)
    assert ledger.push(replace(push, tag="10").key) is None


def test_concurrent_deliveries_are_all_counted(ledger: Ledger, push: Push) -> None:
    """No delivery is lost, however many come at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ledger.record_events([push], NOW), range(24)))

    record = ledger.push(push.key)
    assert record is not None
    assert record.deliveries == 24
    assert ledger.pushes(push.registry, push.repository, push.tag) == [record]


def test_ignored_events_are_kept_with_their_reason(ledger: Ledger, registry: RegistryId) -> None:
    """An event that starts nothing is kept once per reason, and found in any case."""
    source = str(registry).upper()
    first = NoTag("1", source, "images/node", DIGEST)
    second = Malformed("2", source, "images/ñode", "data.target.tag", "is " + "x" * 70_000)
    ledger.record_events([first], NOW)
    ledger.record_events([replace(first, event="3")], LATER)
    ledger.record_events([second], NOW)

    found = ledger.ignored(str(registry), "images/node")
    found += ledger.ignored(str(registry), "images/ñode")
    assert [(r.code, r.sentence, r.subject, r.deliveries) for r in found] == [
        ("no-tag", first.sentence(), "images/node", 2),
        ("malformed", second.sentence(), "images/ñode", 1),
    ]
    assert ledger.ignored("/subscriptions/none", "images/node") == []


def example(reason: type[Decision], task: TaskId) -> Decision:
    """Return a decision of a type, with every field filled."""
    samples: dict[str, Any] = {
        "task": task,
        "dependencies": ("a:1", "b:2"),
        "bases": ("c:3@d", "e:4@f"),
        "principals": ("one", "two"),
        "chain": ("three", "four"),
        "started": NOW,
        "since": LATER,
        "refreshed": NOW,
        "names": ("five", "six"),
        "created": NOW,
        "at": NOW,
    }
    values = {f: samples.get(f, f"some {f} ünd more") for f in reason.__struct_fields__}
    return reason(**values)


def test_every_decision_comes_back_as_it_was(ledger: Ledger, push: Push, task: TaskId) -> None:
    """Each type of decision survives the ledger, in order."""
    decisions = [example(reason, task) for reason in REASONS.values()]
    ledger.record_decisions(push, decisions, NOW)

    found = ledger.decisions(push)
    assert [record.decision for record in found] == decisions
    assert {(record.first_at, record.last_at) for record in found} == {(NOW, NOW)}


def test_the_same_decision_again_moves_its_last_time(
    ledger: Ledger, push: Push, task: TaskId
) -> None:
    """A decision is not repeated; another one about the same task stands beside it."""
    disabled = TaskDisabled(task)
    ledger.record_decisions(push, [disabled], NOW)
    ledger.record_decisions(push, [disabled, OtherImages(task, ("x:1",))], LATER)

    found = ledger.decisions(push)
    assert [(r.first_at, r.last_at) for r in found] == [(NOW, LATER), (LATER, LATER)]


def test_many_and_long_decisions(ledger: Ledger, push: Push, registry: RegistryId) -> None:
    """More decisions than a transaction holds, and longer ones than a property, are kept whole."""
    many: list[Decision] = [TaskDisabled(TaskId(registry, f"task-{n}")) for n in range(230)]
    long = OtherImages(TaskId(registry, "long"), tuple(f"image-{n}:ü" for n in range(9_000)))
    ledger.record_decisions(push, [*many, long], NOW)

    found = [record.decision for record in ledger.decisions(push)]
    assert found == [*many, long]


def test_no_decisions_are_no_error(ledger: Ledger, push: Push) -> None:
    """A push that concerns no task at all can be recorded."""
    ledger.record_decisions(push, [], NOW)

    assert ledger.decisions(push) == []


def test_a_sequence_is_claimed_once(ledger: Ledger, task: TaskId) -> None:
    """Of many who claim the same rebuild, one gets it."""
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: ledger.claim(claimed(task, owner=f"o{n}")), range(16)))

    assert won.count(True) == 1
    head = ledger.head(task)
    assert head is not None
    assert head.owner == f"o{won.index(True)}"


def test_the_newest_rebuild_is_the_head(ledger: Ledger, task: TaskId) -> None:
    """Rebuilds are found by sequence, newest first."""
    assert ledger.head(task) is None
    assert ledger.rebuilds(task) == []
    assert ledger.rebuild(task, 1) is None
    for sequence in (1, 2, 10):
        assert ledger.claim(claimed(task, sequence))

    assert ledger.head(task) == claimed(task, 10)
    assert [rebuild.sequence for rebuild in ledger.rebuilds(task)] == [10, 2, 1]
    assert ledger.rebuild(task, 2) == claimed(task, 2)


def test_the_heads_of_many_tasks(ledger: Ledger, registry: RegistryId) -> None:
    """More tasks than a statement takes; one without rebuilds is left out."""
    tasks = [TaskId(registry, f"task-{number}") for number in range(620)]
    built = tasks[::200]
    for task in built:
        for sequence in (1, 2, 10):
            ledger.claim(claimed(task, sequence))

    assert ledger.heads(tasks) == {task: claimed(task, 10) for task in built}
    assert ledger.heads([]) == {}


def test_a_rebuild_comes_back_as_it_was(ledger: Ledger, task: TaskId) -> None:
    """Every field of a rebuild survives, long outputs too."""
    ledger.claim(claimed(task))
    changed = replace(
        claimed(task),
        state=State.SUCCEEDED,
        run_id="ca1",
        finished_at=LATER,
        outcome="Succeeded — ümläut",
        output_images=tuple(f"myapp.azurecr.io/app:{n}@{DIGEST}" for n in range(900)),
        dependencies=("mybase.azurecr.io/images/node:9@" + DIGEST,),
    )
    saved = ledger.save(changed)

    assert saved == replace(changed, version=2)
    assert ledger.rebuild(task, 1) == saved


def test_only_the_current_version_can_be_changed(ledger: Ledger, task: TaskId) -> None:
    """A change made from an older version is refused."""
    ledger.claim(claimed(task))
    ledger.save(claimed(task))

    with pytest.raises(Conflict, match="build-app"):
        ledger.save(claimed(task))
    with pytest.raises(Conflict):
        ledger.save(claimed(task, 7))


def test_of_concurrent_changes_one_wins(ledger: Ledger, task: TaskId) -> None:
    """Many changes of one version: one is stored."""
    ledger.claim(claimed(task))

    def change(number: int) -> bool:
        try:
            ledger.save(replace(claimed(task), owner=f"o{number}"))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(change, range(8)))

    assert stored.count(True) == 1
    head = ledger.head(task)
    assert head is not None
    assert (head.owner, head.version) == (f"o{stored.index(True)}", 2)


def test_an_unreachable_store_is_transient(tmp_path: Path, push: Push) -> None:
    """A store that cannot be used now raises what is delivered again."""
    folder = tmp_path / "ledger.db"
    folder.mkdir()
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        "TableEndpoint=http://127.0.0.1:1/a;"
    )
    with pytest.raises(TransientError):
        SqliteLedger(folder).record_events([push], NOW)
    with (
        TableServiceClient.from_connection_string(nowhere, retry_total=0) as service,
        pytest.raises(TransientError),
    ):
        TableLedger(service).record_events([push], NOW)


def test_what_is_unsettled_is_listed_until_it_is_settled(ledger: Ledger, task: TaskId) -> None:
    """A claim, a run, and a failure whose next attempt is due; not what nothing happens to."""

    def listed() -> list[Rebuild]:
        return [rebuild for rebuild in ledger.unsettled() if rebuild.task == task]

    rebuild = claimed(task)
    ledger.claim(rebuild)
    assert listed() == [rebuild]
    for change in (
        {"state": State.RUNNING, "run_id": "ca1", "due": LATER},
        {"state": State.FAILED, "due": LATER},
    ):
        rebuild = ledger.save(replace(rebuild, **change))  # type: ignore[arg-type] # fields of it
        assert listed() == [rebuild]
    later = replace(claimed(task, 2), attempt=2)
    ledger.claim(later)
    assert listed() == [rebuild, later]
    ledger.save(replace(rebuild, due=None))
    later = ledger.save(replace(later, state=State.SUCCEEDED, check=Check.STALE, due=LATER))
    assert listed() == [later]  # its image is to be made again
    ledger.save(replace(later, due=None))

    assert listed() == []


def test_why_a_run_failed_is_kept(ledger: Ledger, task: TaskId) -> None:
    """With the end of its log, whatever stands in it, and what it is held for."""
    ledger.claim(claimed(task))
    kept = replace(
        claimed(task),
        state=State.HELD,
        hold=Hold.ARM,
        cause=RateLimited("toomanyrequests: ü", "docker.io", 90),
        log="ü漢\n" * 1000,
        repair=2,
        stale_by=Likely.REPLICA,
    )
    saved = ledger.save(kept)

    assert ledger.head(task) == saved == replace(kept, version=2)


def test_who_pushed_an_image_is_known(ledger: Ledger, task: TaskId) -> None:
    """Its newest rebuild, in any case of letters; unknown before it is saved."""
    image = f"myapps.azurecr.io/{task.registry.subscription}/app:1@{DIGEST}"
    assert ledger.producer(image) is None
    for sequence in (1, 2):
        ledger.claim(claimed(task, sequence))
        done = replace(
            claimed(task, sequence),
            state=State.SUCCEEDED,
            output_images=(image.replace("myapps", "MyApps"),),
            finished_at=NOW + timedelta(hours=sequence),
        )
        saved = ledger.save(done)
        assert ledger.producer(image) == saved
    assert ledger.producer(image.replace("app:1", "app:2")) is None


def test_the_pushes_of_a_time_span(ledger: Ledger, push: Push) -> None:
    """By their first delivery, oldest first; the end does not belong to the span."""

    def told(since: datetime, until: datetime) -> list[str]:
        found = ledger.pushes_between(since, until)
        return [told.push.tag for told in found if told.push.registry == push.registry]

    for minutes, tag in ((0, "a"), (2, "c"), (1, "b")):
        ledger.record_events([replace(push, tag=tag)], NOW + timedelta(minutes=minutes))
    ledger.record_events([replace(push, tag="a")], NOW + timedelta(hours=1))

    assert told(NOW, NOW + timedelta(hours=2)) == ["a", "b", "c"]
    assert told(NOW + timedelta(seconds=1), NOW + timedelta(minutes=2)) == ["b"]
    elsewhere = timezone(timedelta(hours=3))
    assert told(NOW.astimezone(elsewhere), NOW + timedelta(minutes=1)) == ["a"]
