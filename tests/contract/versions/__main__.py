"""Write down what this version of the product keeps, so that later ones are tested with it.

    python -m tests.contract.versions 0.1.0

makes `0.1.0.sql`, the embedded store as SQL, and `0.1.0.json`, the entities of Azure Storage's
tables (Azurite). Run it with the code of a version once, when that version is released.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.azure.storage.tables.dead_letters import TableDeadLetters
from rebuilder.azure.storage.tables.index import TableIndex
from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.reasons import REASONS
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.dependencies.index import IndexScan
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import NoTag, Push
from rebuilder.core.rebuilds.messages import BUILDS, PUSHES, PlanRebuilds, StartBuild
from rebuilder.core.rebuilds.rebuild import Check, Failure, Native, Rebuild, State
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.dead_letters import DeadLetters
from rebuilder.ports.index import DependencyIndex
from rebuilder.ports.ledger import Ledger
from rebuilder.ports.queue import WorkQueue
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import SqliteQueues
from tests.azurite import Azurite

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 4, 5, 6, 7, 891234, UTC)
HOUR = timedelta(hours=1)
BASE = RegistryId("11111111-1111-4111-8111-111111111111", "base", "mybase")
APPS = RegistryId("11111111-1111-4111-8111-111111111111", "apps", "myapps")
ONE, TWO, THREE = (TaskId(APPS, name) for name in ("one", "two", "three"))
OLD, NEW = (f"sha256:{letter * 64}" for letter in "ab")
NODE = "mybase.azurecr.io/images/node:9"
FIRST = Push(BASE, "images/node", "9", OLD, NOW - HOUR, "event-1")
SECOND = Push(BASE, "images/node", "9", NEW, NOW, "event-2")
FOREIGN = Push(ForeignRegistry("docker.io"), "library/alpine", "3", NEW, None, "poll")
OUTPUT = f"myapps.azurecr.io/one:cb1@{NEW}"


def decision(reason: type[Decision]) -> Decision:
    """Return a decision of a type, with every field filled."""
    samples: dict[str, Any] = {
        "task": ONE,
        "dependencies": ("a:1", "b:2"),
        "principals": ("one", "two"),
        "chain": ("three", "four"),
        "started": NOW,
        "since": NOW,
        "refreshed": NOW,
        "names": ("five", "six"),
    }
    values = {f: samples.get(f, f"some {f} ünd more") for f in reason.__struct_fields__}
    return reason(**values)


def first_decisions() -> list[Decision]:
    """Return what 0.1.0 wrote of every reason that it knew, in its order."""
    return [
        replace(decision(REASONS[code]), **_NEWER.get(code, {})) for code in _FIRST_REASONS.split()
    ]


_FIRST_REASONS = """
base-moved built-while-moving already-built-on rebuild-under-way rebuild-failed circle
task-unreadable own-output other-images other-tag pinned-by-digest build-time-only task-disabled
no-step nothing-recorded may-not-pull task-gone tag-gone registry-unreadable index-old
"""
_NEWER: dict[str, dict[str, Any]] = {
    "rebuild-failed": {"cause": None},
    "nothing-recorded": {"files_read": False, "asked": False, "run": None, "status": None},
}


def rebuilds() -> Iterable[tuple[Rebuild, Rebuild | None]]:
    """Return claims, each with what became of it."""
    bases = (f"{NODE}@{OLD}",)
    first = Rebuild(
        ONE, 1, "k" * 64, bases, FIRST.key, State.CLAIMED, NOW - HOUR, "owner", NOW, run_id=None
    )
    done = replace(
        first,
        state=State.SUCCEEDED,
        run_id="cb1",
        finished_at=NOW,
        outcome="Succeeded",
        output_images=(OUTPUT,),
        dependencies=bases,
        native=Native.MISSED,
        check=Check.NEW,
        check_reason="its annotation names it",
        advice="none",
    )
    yield first, done
    later = replace(first, sequence=2, key="l" * 64, bases=(f"{NODE}@{NEW}",), push=SECOND.key)
    failed = replace(
        later, state=State.FAILED, run_id="cb2", failure=Failure.BUILD, due=NOW + HOUR, attempt=1
    )
    yield later, failed
    yield replace(first, task=TWO), None
    held = replace(first, task=THREE, state=State.HELD, due=NOW + HOUR, chain=(str(ONE), str(TWO)))
    yield held, None


def fill(
    ledger: Ledger, index: DependencyIndex, bookmarks: Bookmarks, letters: DeadLetters
) -> None:
    """Write something of everything that is kept."""
    for push, at in ((FIRST, NOW - HOUR), (SECOND, NOW), (FIRST, NOW - HOUR / 2), (FOREIGN, NOW)):
        ledger.record_events([push], at)
    untagged = NoTag("e", str(BASE), f"images/node@{OLD}", OLD)
    ledger.record_events([untagged], NOW - HOUR)
    ledger.record_events([untagged], NOW)
    ledger.record_decisions(FIRST, [decision(reason) for reason in REASONS.values()], NOW - HOUR)
    ledger.record_decisions(FIRST, [decision(REASONS["base-moved"])], NOW)
    for claim, change in rebuilds():
        ledger.claim(claim)
        if change is not None:
            ledger.save(change)
    image = ImageReference.parse(NODE)
    record = Evidence(Source.ACR_RECORD, (Said(image, Kind.RUNTIME, OLD, "ACR's record"),), None)
    index.replace(join(ONE, [record]), NOW)
    index.remove(TWO, NOW)
    index.mark_refreshed(APPS, NOW - HOUR)
    index.save_scan(IndexScan(APPS, NOW, "after this"))
    taken = bookmarks.save(Bookmark("sweep").acquired("me", NOW + HOUR))
    bookmarks.save(taken.released("docker.io/library/alpine:3"))
    bookmarks.save(Bookmark(f"wait/{'f' * 64}", "3"))
    bookmarks.save(Bookmark(f"pace/{BASE.subscription}", NOW.isoformat()))
    letters.record_failure("rebuilder-builds", "a body", "ValueError: a reason", NOW)
    waiting = DeadLetter(Origin.QUEUE, "rebuilder-builds", '{"a":1}', "no role", NOW - HOUR)
    replayed = DeadLetter(Origin.EVENT, str(BASE), '{"id":"1"}', "MaxDeliveryAttempts", NOW)
    for letter in (waiting, replayed):
        letters.record(letter)
    letters.mark_replayed(replayed.id, NOW + HOUR)


def send(queues: WorkQueue) -> None:
    """Put messages into the queues."""
    queues.send(PUSHES, PlanRebuilds(SECOND).encode())
    queues.send(BUILDS, StartBuild(SECOND, TWO).encode(), HOUR)


def main() -> None:
    """Write both files of a version."""
    version = sys.argv[1]
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "store.db"
        fill(SqliteLedger(file), SqliteIndex(file), SqliteBookmarks(file), SqliteDeadLetters(file))
        send(SqliteQueues(file, lambda: NOW))
        with closing(sqlite3.connect(file)) as db:
            lines = [*db.iterdump()]
            (kept,) = db.execute("PRAGMA user_version").fetchone()
        lines.append(f"PRAGMA user_version = {kept};")
        (HERE / f"{version}.sql").write_text("\n".join(lines) + "\n", encoding="utf-8")
        server = Azurite(Path(made))
        try:
            with TableServiceClient.from_connection_string(server.connection_string) as service:
                fill(
                    TableLedger(service),
                    TableIndex(service),
                    TableBookmarks(service),
                    TableDeadLetters(service),
                )
                tables = {
                    table.name: [
                        dict(entity)
                        for entity in service.get_table_client(table.name).list_entities()
                    ]
                    for table in service.list_tables()
                }
        finally:
            server.stop()
    text = json.dumps(tables, indent=1, sort_keys=True, ensure_ascii=False)
    (HERE / f"{version}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
