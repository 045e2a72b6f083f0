"""A ledger with a past: pushes and rebuilds of long ago, and a last day that is always the same.

What is kept is written past the product, in its own form: a million pushes one by one would take
hours. The last day does not depend on how much was before it, so what is asked about that day can
be compared.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Protocol

from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables import _deliveries
from rebuilder.azure.storage.tables._rows import decision_entity, rebuild_entity
from rebuilder.azure.storage.tables._tables import Entity, key
from rebuilder.azure.storage.tables._version import version_of
from rebuilder.azure.storage.tables.ledger import DECISIONS, OUTPUTS, REBUILDS
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State
from rebuilder.core.rebuilds.records import decision_to_text, rebuild_to_text
from rebuilder.core.times import time_text
from rebuilder.ports.ledger import PushRecord
from rebuilder.sqlite._database import Database

BASE = RegistryId("11111111-1111-4111-8111-111111111111", "images", "mybase")
HOST = "mybase.azurecr.io"
APPS = tuple(
    RegistryId("22222222-2222-4222-8222-222222222222", "apps", f"apps{number}")
    for number in range(4)
)
NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
_PER_TAG = 2  # pushes of each tag on the last day
_DAY = timedelta(days=1)
_QUIET = 2 * _DAY  # nothing was pushed on the day before the last: an audit looks back a little
_PAST = 88 * _DAY
_TABLES = (_deliveries.PUSHES, _deliveries.DAYS, DECISIONS, REBUILDS, OUTPUTS)
_IN_AZURITE = Path(__file__).with_name("past_in_azurite.cjs")
_MEGABYTES = 18_000
_NEWEST = 20  # rebuilds of each task that are never retired: the least that a past holds


@dataclass(frozen=True, slots=True)
class Past:
    """How much there is.

    Attributes:
        pushes: How many pushes.
        rebuilds: How many rebuilds, of all tasks together.
        tasks: How many tasks.
        tags: How many tags they are built on, all of one registry.

    Raises:
        ValueError: The tasks have no rebuild for each push that the last rebuilds are of.
    """

    pushes: int
    rebuilds: int
    tasks: int
    tags: int

    def __post_init__(self) -> None:
        if self.each_task < _NEWEST or self.pushes < self.tags * self.each_task:
            raise ValueError(
                f"each task needs {_NEWEST} rebuilds or more, and a push of its tag for each"
            )

    @property
    def each_task(self) -> int:
        """How many rebuilds each task has."""
        return self.rebuilds // self.tasks

    @property
    def last_day(self) -> int:
        """How many pushes came on the last day."""
        return _PER_TAG * self.tags

    def reference(self, tag: int) -> ImageReference:
        """Return a tag that tasks are built on."""
        return ImageReference.parse(f"{HOST}/images/base{tag % 10}:{tag // 10}")

    def task(self, number: int) -> TaskId:
        """Return a task."""
        return TaskId(APPS[number % len(APPS)], f"build-application-{number:05}")

    def tag_of(self, task: int) -> int:
        """Return the tag that a task is built on."""
        return task % self.tags

    def push(self, age: int) -> Push:
        """Return the push after which so many others came; below zero, one that is yet to come."""
        reference = self.reference(age % self.tags)
        return Push(
            BASE, reference.path, str(reference.tag), digest(age), self.time(age), f"event-{age}"
        )

    def time(self, age: int) -> datetime:
        """Return when a push was delivered."""
        if age < self.last_day:
            return NOW - _DAY * age / self.last_day
        return (
            NOW - _QUIET - _PAST * (age - self.last_day + 1) / max(1, self.pushes - self.last_day)
        )

    def records(self) -> Iterator[PushRecord]:
        """Yield every push, each delivered once."""
        for age in range(self.pushes):
            yield PushRecord(self.push(age), self.time(age), self.time(age), 1)

    def rebuilt(self) -> Iterator[tuple[Push, BaseMoved, Rebuild]]:
        """Yield every rebuild, each after its push and its decision; task by task, newest last."""
        for number in range(self.tasks):
            for sequence in range(1, self.each_task + 1):
                yield self._rebuilt(number, sequence)

    def _rebuilt(self, number: int, sequence: int) -> tuple[Push, BaseMoved, Rebuild]:
        task, tag = self.task(number), self.tag_of(number)
        back = self.each_task - sequence  # how many are newer
        pushes = self.pushes // self.tags  # of the tag
        if back >= _NEWEST:
            # The older ones go back to the first push.
            back = _NEWEST + (back - _NEWEST) * (pushes - _NEWEST) // (self.each_task - _NEWEST)
        age = tag + back * self.tags
        push, name = self.push(age), str(self.reference(tag))
        moved = BaseMoved(task, name, "runtime", digest(age + self.tags), push.digest, "registry")
        began = self.time(age) + timedelta(minutes=1)
        image = f"{task.registry.name}.azurecr.io/{task.name}:{sequence}@{digest(number)}"
        rebuild = Rebuild(
            task=task,
            sequence=sequence,
            key=key(str(task), push.digest),
            bases=(f"{name}@{push.digest}",),
            push=push.key,
            state=State.SUCCEEDED,
            claimed_at=began,
            owner="0" * 32,
            lease_until=began + timedelta(seconds=90),
            version=4,
            run_id=f"p{number}-{sequence}",
            finished_at=began + timedelta(minutes=2),
            outcome="Succeeded",
            output_images=(image,),
            dependencies=(f"{name}@{push.digest}",),
            check=Check.NEW,
            # No two runs take equally long: what is counted of them is as large as in life.
            run_ended=began + timedelta(microseconds=(number * 7919 + sequence * 104_729) % 2**26),
        )
        return push, moved, rebuild


def digest(age: int) -> str:
    """Return the digest of a push by its age; before the last day of all, the age is negative."""
    return f"sha256:{age + 2**32:064x}"


class Kept(Protocol):
    """What can be written into a store."""

    @property
    def tasks(self) -> int:
        """How many tasks."""

    @property
    def pushes(self) -> int:
        """How many pushes."""

    @property
    def each_task(self) -> int:
        """How many rebuilds each task has."""

    def records(self) -> Iterator[PushRecord]:
        """Yield every push, each delivered once."""

    def rebuilt(self) -> Iterator[tuple[Push, BaseMoved, Rebuild]]:
        """Yield every rebuild, each after its push and its decision."""


def into_sqlite(past: Kept, file: Path) -> None:
    """Write a past into a new file of the embedded store."""
    database = Database(file)
    with database.statement():
        pass  # which makes its tables
    database.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            db.execute(f"PRAGMA {pragma}")
        indexes = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO pushes (push, repository, tag, digest, pushed_at, event, first_at,"
            " last_at, deliveries, planned) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            map(_push_row, past.records()),
        )
        for some in batched(past.rebuilt(), 10_000, strict=False):
            db.executemany(
                "INSERT INTO decisions (push, record, task, first_at, last_at)"
                " VALUES (?, ?, ?, ?, ?)",
                [
                    (p.key, decision_to_text(d), str(d.task), *(time_text(r.claimed_at),) * 2)
                    for p, d, r in some
                ],
            )
            db.executemany(
                "INSERT INTO rebuilds VALUES (?, ?, ?, ?)",
                [(str(r.task), r.sequence, r.version, rebuild_to_text(r)) for _, _, r in some],
            )
            db.executemany(
                "INSERT INTO unsettled VALUES (?, ?)",
                [(str(r.task), r.sequence) for _, _, r in some if r.unsettled],
            )
            db.executemany(
                "INSERT INTO outputs VALUES (?, ?, ?, ?)",
                [
                    (image.lower(), str(r.task), r.sequence, time_text(r.claimed_at))
                    for _, _, r in some
                    for image in r.output_images
                ],
            )
        for _, sql in indexes:
            db.execute(sql)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        (found,) = db.execute(
            "SELECT json_array((SELECT count(*) FROM pushes), (SELECT count(*) FROM rebuilds))"
        ).fetchone()
        if json.loads(found) != [past.pushes, past.each_task * past.tasks]:
            raise RuntimeError(f"{file} holds {found}")


def _push_row(record: PushRecord) -> tuple[object, ...]:
    push, time = record.push, time_text(record.first_at)
    repository = f"{push.registry}|{push.repository}"
    return push.key, repository, push.tag, push.digest, time, push.event, time, time, 1


def into_azurite(past: Past, folder: Path) -> Mapping[str, str]:
    """Write a past as files for Azurite, whose tables take it in as they are made.

    Over the wire a million pushes would take hours.

    Args:
        past: What was before.
        folder: Where the files are to be, one for each table; there already.

    Returns:
        The environment that Azurite is to be started in.
    """
    with ExitStack() as files:
        opened = {
            name: files.enter_context((folder / f"{name}.jsonl").open("w")) for name in _TABLES
        }
        for table, rows in entities(past):
            opened[table].writelines(f"{json.dumps(row)}\n" for row in rows)
    # Everything is in memory, which is more than Node.js allows by itself.
    options = f"--max-old-space-size={_MEGABYTES} --require {_IN_AZURITE}"
    return {"NODE_OPTIONS": options, "BENCH_PAST": str(folder)}


def make_tables(service: TableServiceClient) -> None:
    """Make the tables that a past is in."""
    version_of(service).ensure()  # tables without a version are those of an older one
    for name in _TABLES:
        service.create_table_if_not_exists(name)


def entities(past: Past) -> Iterator[tuple[str, list[Entity]]]:
    """Yield the rows of a past, some of one table at a time."""
    for record in past.records():
        rows = list(_push_entities(record))
        yield _deliveries.PUSHES, rows
        whole = (row for row in rows if not _deliveries.is_beside(row))
        yield _deliveries.DAYS, [_deliveries.day_row(row) for row in whole]
    for push, decision, rebuild in past.rebuilt():
        yield DECISIONS, [decision_entity(push, decision, rebuild.claimed_at)]
        yield REBUILDS, [rebuild_entity(rebuild)]
        yield (
            OUTPUTS,
            [
                {
                    "PartitionKey": key(image.lower()),
                    "RowKey": key(str(rebuild.task), str(rebuild.sequence)),
                    "task": str(rebuild.task),
                    "sequence": rebuild.sequence,
                }
                for image in rebuild.output_images
            ],
        )


def _push_entities(record: PushRecord) -> Iterator[Entity]:
    one, time = _deliveries.pushed(record.push), time_text(record.first_at)
    times: Entity = {"first_at": time, "last_at": time, "deliveries": 1, _deliveries.FILED: True}
    entity = one.entity | times
    yield entity
    yield from one.rows(entity)
