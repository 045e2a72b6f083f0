"""What a day asks of a store does not follow what was before it; `bench.history` has more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from copy import replace
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient, UpdateMode

from bench import history
from bench._past import NOW, Past, entities, into_azurite, make_tables
from bench.history import OPERATIONS, Tally, compare, grows, in_sqlite, in_tables, main
from rebuilder.azure.storage.tables._tables import Entity
from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.ports.ledger import PushRecord
from rebuilder.sqlite.ledger import SqliteLedger
from tests.azurite import Azurite

# Long, and what it goes through is measured by others.
pytestmark = pytest.mark.unmeasured

type Work = Callable[[Past, Path], Tally]

LITTLE, MUCH = Past(60, 60, 3, 3), Past(600, 150, 3, 3)


def grown(work: Work, folder: Path) -> set[str]:
    """Return the operations that touch more where there is more history."""
    small, large = work(LITTLE, folder), work(MUCH, folder)
    results = compare("store", small, large, MUCH.pushes)
    assert [result["operation"] for result in results] == list(OPERATIONS)
    assert all(result["rows_small"] > 0 for result in results)
    return {result["operation"] for result in results if grows(result)}


@pytest.mark.parametrize("work", [in_sqlite, in_tables], ids=["sqlite", "tables"])
def test_no_operation_grows_with_history(work: Work, tmp_path: Path) -> None:
    """With ten times as many pushes, and more than twice as many rebuilds of each task."""
    assert grown(work, tmp_path) == set()


def test_what_reads_a_whole_history_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its rows, by what SQLite steps over, and by the plans of its statements."""
    by_tag = "WHERE repository || '' = ? AND tag = ? ORDER BY last_at || '' DESC LIMIT ?"
    which = SqliteLedger._pushes

    def every(ledger: SqliteLedger, condition: str, *values: object) -> list[PushRecord]:
        return which(ledger, by_tag if "tag = ?" in condition else condition, *values)

    monkeypatch.setattr(SqliteLedger, "_pushes", every)
    assert grown(in_sqlite, tmp_path) == {"explain"}
    assert any(scan.startswith("SCAN pushes") for scan in in_sqlite(MUCH, tmp_path).scans)


def test_entities_in_answers_are_counted(azurite: Azurite) -> None:
    """Those of a list, one that is asked for or changed by itself, and each of a transaction."""
    answers = history.Answers()
    push = replace(LITTLE.push(0), repository=uuid.uuid4().hex)
    with TableServiceClient.from_connection_string(
        azurite.connection_string, raw_response_hook=answers
    ) as service:
        ledger = TableLedger(service)
        ledger.record_events([push], NOW)  # makes the tables

        def counted(work: Callable[[], object]) -> tuple[int, int]:
            answers.tally = Tally()
            work()
            counts = answers.tally.counts[""]
            return counts.rows, counts.requests

        pushes = [replace(push, digest=f"sha256:{number:064x}") for number in range(30)]
        # Three rows each, a note each that it is unplanned, and one each under its day.
        assert counted(lambda: ledger.record_events(pushes, NOW))[0] == 5 * 30
        assert counted(lambda: ledger.pushes(push.registry, push.repository, push.tag, 20))[0] == 20
        assert counted(lambda: ledger.push(pushes[0].key)) == (1, 1)
        assert counted(lambda: ledger.planned(pushes[0])) == (1, 1)
        assert counted(lambda: ledger.push(replace(push, tag="none").key)) == (0, 1)


def test_azurite_has_a_past_as_the_wire_would_have_made_it(tmp_path: Path) -> None:
    """The same entities, whether all are listed, those of a partition, or one."""
    environment = into_azurite(LITTLE, tmp_path)
    server = Azurite(tmp_path, environment=environment)
    try:
        with TableServiceClient.from_connection_string(server.connection_string) as service:
            make_tables(service)
            sent = dict[str, list[Entity]]()
            for table, rows in entities(LITTLE):
                sent.setdefault(table, []).extend(rows)
            assert len(sent) == 5
            for table, rows in sent.items():
                filled, wired = service.get_table_client(table), service.create_table(f"x{table}")
                for row in rows:
                    wired.upsert_entity(row, mode=UpdateMode.REPLACE)
                assert [*map(dict, filled.list_entities())] == [*map(dict, wired.list_entities())]
                keys = {name: rows[-1][name] for name in ("PartitionKey", "RowKey")}
                for query in (
                    "PartitionKey eq @PartitionKey",
                    "PartitionKey eq @PartitionKey and RowKey ge @RowKey",
                    "PartitionKey eq @PartitionKey or RowKey lt @RowKey",
                ):
                    found, expected = (
                        [*map(dict, client.query_entities(query, parameters=keys))]
                        for client in (filled, wired)
                    )
                    assert found == expected
                    assert found
                one = filled.get_entity(keys["PartitionKey"], keys["RowKey"])
                assert one == wired.get_entity(keys["PartitionKey"], keys["RowKey"])
                assert one.metadata["etag"]
                filled.update_entity({**keys, "more": 1}, mode=UpdateMode.MERGE)
                assert dict(one, more=1) == filled.get_entity(*keys.values())
    finally:
        server.stop()


def test_it_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line is what a program reads; what grows, or walks through a table, is a failure."""
    monkeypatch.setattr(history, "_TASKS", 8)
    monkeypatch.setattr(history, "_TAGS", 4)
    arguments = ["--stores", "sqlite", "--pushes", "400", "--rebuilds", "160"]
    assert main([*arguments, "--cache", str(tmp_path)]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(r["store"], r["operation"], r["pushes"]) for r in told["results"]] == [
        ("sqlite", operation, 400) for operation in OPERATIONS
    ]
    monkeypatch.setattr(history, "grows", lambda _: True)
    assert main([*arguments, "--cache", str(tmp_path)]) == 1


def test_a_past_has_rebuilds_for_every_task() -> None:
    """Else the days would not be alike."""
    with pytest.raises(ValueError, match="20 rebuilds or more"):
        Past(1000, 10, 8, 4)
    with pytest.raises(ValueError, match="a push of its tag"):
        Past(100, 400, 8, 4)
