"""Staleness of a recorded week, beside the table that a person made of it; on both stores."""

from __future__ import annotations

import csv
import io
import json
import uuid
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from rebuilder import composition
from rebuilder.azure.storage.tables.index import TableIndex
from rebuilder.azure.storage.tables.ledger import TableLedger
from rebuilder.cli import main as cli
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.holds import Held, Paused
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State
from rebuilder.core.staleness.figures import Figures, Judged, by, day_of
from rebuilder.core.staleness.spells import Spell, Why
from rebuilder.errors import TransientError
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.report import Staleness, staleness, to_record
from tests.unit.fakes import World

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
OBJECTIVE = timedelta(hours=4)
NODE, ALPINE = "mybase.azurecr.io/images/node:9", "docker.io/library/alpine:3"
HUB = ForeignRegistry("docker.io")
D0, D1, D2, D3, D4, A0, A1 = (f"sha256:{letter * 64}" for letter in "0123456")


def hour(number: float) -> datetime:
    """Return a time of the week."""
    return MONDAY + timedelta(hours=number)


class Week:
    """A week as the ledger keeps it."""

    def __init__(self, world: World, place: Path | TableServiceClient) -> None:
        self.world = world
        subscription = uuid.uuid4().hex  # Azurite is shared
        self.base = RegistryId(subscription, "g", "mybase")
        self.apps = RegistryId(subscription, "g", "myapps")
        settings = replace(
            world.settings, base_registries=frozenset({self.base}), task_registries=(self.apps,)
        )
        self.context: Context = replace(world.context, settings=settings)
        if not isinstance(place, Path):
            self.context = replace(self.context, ledger=TableLedger(place), index=TableIndex(place))
        world.time.now = hour(7 * 24)

    def task(self, name: str) -> TaskId:
        """Return a task."""
        return TaskId(self.apps, name)

    def node(self, digest: str) -> Push:
        """Return a push of the image of ours."""
        return Push(self.base, "images/node", "9", digest, None, "event")

    def pushed(self, push: Push, came: float | None, told: float, *tasks: str) -> None:
        """Record a push, and that tasks are to be rebuilt for it."""
        pushed_at = None if came is None else hour(came)
        self.context.ledger.record_events([replace(push, pushed_at=pushed_at)], hour(told))
        base = NODE if push.registry == self.base else ALPINE
        for name in tasks:
            moved = BaseMoved(self.task(name), base, "runtime", D0, push.digest, "registry")
            self.decided(push, moved, told)

    def decided(self, push: Push, decision: Decision, at: float) -> None:
        """Record a decision."""
        self.context.ledger.record_decisions(push, [decision], hour(at))

    def rebuilt(self, name: str, base: str, claimed: float, **changes: object) -> None:
        """Record the next rebuild of a task, one that succeeded unless told otherwise."""
        task, now = self.task(name), hour(claimed)
        head = self.context.ledger.head(task)
        made = Rebuild(
            task, head.sequence + 1 if head else 1, base, (base,), "push", State.SUCCEEDED, now,
            "me", now, run_id=f"ca{claimed:g}", check=Check.NEW,
        )  # fmt: skip
        ended = changes.get("run_ended")
        over: dict[str, object] = {"finished_at": ended or now, **changes}
        assert self.context.ledger.claim(replace(made, **over))  # type: ignore[arg-type] # by field

    def follows(self, name: str, image: str, built_on: str | None) -> None:
        """Have the index know that a task follows a tag."""
        said = Said(ImageReference.parse(image), Kind.RUNTIME, built_on)
        view = join(self.task(name), [Evidence(Source.BUILD_FILE, (said,))])
        self.context.index.replace(view, hour(160))
        self.context.index.mark_refreshed(self.apps, hour(160))


@pytest.fixture(name="week")
def _week(tmp_path: Path, place: Path | TableServiceClient) -> Week:
    """Everything that may become of a task, in one week; see TABLE."""
    week = Week(World(tmp_path), place)
    every = ("web", "api", "batch")
    week.pushed(week.node(D0), -30 * 24, -30 * 24)
    week.pushed(week.node(D1), 1, 1.01, *every)
    week.decided(week.node(D1), TaskDisabled(week.task("legacy")), 1.01)
    week.rebuilt("web", f"{NODE}@{D1}", 1.1, run_ended=hour(2))
    week.rebuilt("api", f"{NODE}@{D1}", 1.1, run_ended=hour(7), check=Check.UNKNOWN)
    paused = Paused("all", "ann", "a sale", hour(0), None)
    held = Held((paused,), hour(1.01), hour(1.01), (NODE,))
    week.rebuilt("batch", f"{NODE}@{D1}", 9, run_ended=hour(10), held=held)
    # Two digests while everybody is behind are one time of being behind.
    week.pushed(week.node(D2), 25, 25.01, *every)
    week.pushed(week.node(D3), 26, 26.01, *every)
    for digest in (D2, D3):
        week.decided(week.node(digest), TaskDisabled(week.task("legacy")), 26.01)
    week.rebuilt("web", f"{NODE}@{D3}", 26.1, run_ended=hour(28))
    week.rebuilt("api", f"{NODE}@{D3}", 26.1)
    given_up = State.GIVEN_UP
    week.rebuilt("batch", f"{NODE}@{D3}", 26.1, state=given_up, outcome="Failed", check=None)
    week.pushed(Push(HUB, "library/alpine", "3", A1, None, "poll"), None, 30, "fresh")
    week.rebuilt("fresh", f"{ALPINE}@{A1}", 30.1, run_ended=hour(31))
    week.pushed(week.node(D4), 166, 166.01, *every)
    week.decided(week.node(D4), TaskDisabled(week.task("legacy")), 166.01)
    running = State.RUNNING
    week.rebuilt("web", f"{NODE}@{D4}", 166.1, state=running, check=None, finished_at=None)
    for name, built_on in (("web", D3), ("api", D4), ("batch", D1), ("legacy", D0)):
        week.follows(name, NODE, built_on)
    week.follows("fresh", ALPINE, A1)
    week.follows("new", NODE, None)
    return week


# By hand: day, spells, p50 and p95 in hours, within, late, held, open, left alone, unknown.
TABLE = [
    ("2026-01-05", 4, 1, 6, 1, 1, 1, 0, 1, 0),
    ("2026-01-06", 4, 3, 3, 1, 1, 0, 0, 0, 2),
    ("2026-01-11", 2, None, None, 0, 0, 0, 1, 0, 1),
    ("all", 10, 3, 6, 2, 2, 1, 1, 1, 3),
]


def row(name: str, counted: Figures) -> tuple[object, ...]:
    """Return figures as the table has them."""
    hours = [t and t / timedelta(hours=1) for t in (counted.p50, counted.p95)]
    return name, counted.spells, *hours, *(counted.counts[judged] for judged in Judged)


def of(found: Staleness, name: str) -> list[Spell]:
    """Return what is told of a task."""
    return [spell for spell in found.spells if spell.name == f"myapps/{name}"]


def test_a_week_is_as_the_table_says(week: Week) -> None:
    """By day and in all; by base, too."""
    found = staleness(week.context, days=7, objective=OBJECTIVE)

    groups = by(day_of, found.spells, OBJECTIVE, found.now)
    assert [row(*g) for g in groups.items()] + [row("all", found.figures)] == TABLE
    assert found.figures.share == 0.5
    assert found.figures.unchecked == 1
    record = to_record(found)
    assert {base: group["spells"] for base, group in record["by"]["base"].items()} == {
        NODE: 9,
        ALPINE: 1,
    }
    assert list(record["by"]["policy"]) == ["(none)"]


def test_what_is_behind_is_told_with_its_reason(week: Week) -> None:
    """Since the first digest that it lacks, the longest first; what nobody knows apart."""
    found = staleness(week.context, days=7, objective=OBJECTIVE)

    told = {spell.name: (spell.since, spell.why) for spell in found.behind}
    assert told == {
        "myapps/legacy": (hour(1), Why.LEFT),
        "myapps/batch": (hour(25), Why.WAITING),
        "myapps/web": (hour(166), Why.UNDER_WAY),
    }
    assert list(told) == ["myapps/legacy", "myapps/batch", "myapps/web"]
    assert [spell.name for spell in found.late] == ["myapps/batch"]
    ((task, base, reason),) = found.unknown
    assert (task.name, base) == ("new", NODE)
    assert "nobody knows what it stands on" in reason
    assert [spell.why for spell in of(found, "api")] == [
        Why.CAUGHT_UP,
        Why.CAUGHT_UP,
        Why.OTHERWISE,
    ]
    held, _ = of(found, "batch")
    assert held.held == timedelta(hours=9) - timedelta(hours=1.01)
    assert not week.world.tasks.asked


def test_what_is_behind_for_longer_than_the_span_is_told(week: Week) -> None:
    """Of a day, nothing that was over before."""
    found = staleness(week.context, days=1, objective=OBJECTIVE)

    assert {(spell.name, spell.since) for spell in found.behind} == {
        ("myapps/legacy", hour(1)),
        ("myapps/batch", hour(25)),
        ("myapps/web", hour(166)),
    }
    assert [spell.name for spell in found.spells if spell.over] == ["myapps/api"]


def test_a_tag_that_went_back_is_not_counted_from_when_it_named_that_first(week: Week) -> None:
    """When it went back, nobody recorded: the time is unknown, and that it is behind is not."""
    week.context.ledger.record_events([week.node(D3)], hour(167))

    found = staleness(week.context, days=7, objective=OBJECTIVE)
    spell = of(found, "api")[-1]
    assert (spell.digest, spell.why, spell.since) == (D3, Why.WAITING, None)
    # One that stands on that is behind no longer, and nobody recorded since when.
    assert of(found, "web")[-1].why is Why.OTHERWISE
    assert row("all", found.figures)[-1] == 5


def test_a_time_after_it_was_told_is_none(week: Week) -> None:
    """Whoever sent the event had a wrong clock, or made it up."""
    week.pushed(week.node(A0), 400, 167, "web")

    found = staleness(week.context, days=7, objective=OBJECTIVE)
    assert [spell.since for spell in of(found, "web")] == [hour(1), hour(25), hour(166)]
    assert [spell.since for spell in of(found, "batch")] == [hour(1), hour(25)]
    assert of(found, "api")[-1].since is None


def test_what_cannot_be_read_is_unknown(week: Week, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of that tag alone."""
    ledger = week.context.ledger
    read = ledger.pushes

    def pushes(registry: object, *where: object) -> object:
        if registry == HUB:
            raise TransientError("out of order")
        return read(registry, *where)  # type: ignore[arg-type] # as it was called

    monkeypatch.setattr(ledger, "pushes", pushes)
    found = staleness(week.context, days=7, objective=OBJECTIVE)

    assert ("fresh", ALPINE, "out of order") in [(t.name, b, r) for t, b, r in found.unknown]
    assert len(of(found, "web")) == 3


def test_the_command(
    week: Week, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people, as JSON and as CSV."""
    monkeypatch.setattr(composition, "compose", lambda _: week.context)
    monkeypatch.setattr(composition, "release", lambda: None)

    assert cli.main(["stale", "--objective", "4h", "--days", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Behind now:"
    assert lines[4].split()[:5] == ["myapps/batch", NODE, "2026-01-06T01:00:00Z", "143h00m", "late"]
    assert any(line.startswith("unknown: myapps/new on ") for line in lines)
    (total,) = (line.split() for line in lines if line.startswith("all "))
    assert total == ["all", "10", "3h00m", "6h00m", "50.0%", "2", "2", "1", "1", "1", "3", "1"]

    assert cli.main(["stale", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["objectiveHours"] == 4
    assert record["all"]["counts"]["late"] == 2
    assert [spell["countsAs"] for spell in record["behind"]] == ["left alone", "late", "open"]

    assert cli.main(["stale", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 10
    assert {r["counts_as"] for r in rows} == {j.value for j in Judged}
    assert next(r for r in rows if r["run"] == "ca9")["hours"] == "9.0"


@pytest.mark.parametrize(
    "arguments", [["--objective", "soon"], ["--days", "0"], ["--json", "--csv"]]
)
def test_wrong_usage_is_told(arguments: list[str]) -> None:
    """With what would be right."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["stale", *arguments])
    assert ended.value.code == 2
