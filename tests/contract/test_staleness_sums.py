"""A recorded week, summed up by the day as it is recorded, on both stores."""

from __future__ import annotations

import uuid
from copy import replace
from datetime import timedelta
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from rebuilder import composition
from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.cli import main as cli
from rebuilder.core.bookmarks import Bookmark
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.ports.ledger import Retired
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.kept import BOOKMARK, GOING
from rebuilder.usecases.staleness.report import staleness, summary
from rebuilder.usecases.staleness.sum_up import sum_up
from tests.contract.test_staleness import OBJECTIVE, TABLE, Week, hour, of, row
from tests.contract.test_staleness import _week as _recorded
from tests.unit.fakes import World

week = _recorded  # its fixture, of another module


class Own:
    """Bookmarks under names of their own: Azurite is shared."""

    def __init__(self, bookmarks: Bookmarks) -> None:
        self._bookmarks = bookmarks
        self._prefix = f"{uuid.uuid4().hex}/"
        self.read_names: list[str] = []

    def read(self, name: str) -> Bookmark:
        """Read."""
        self.read_names.append(name)
        return replace(self._bookmarks.read(self._prefix + name), name=name)

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Save."""
        saved = self._bookmarks.save(replace(bookmark, name=self._prefix + bookmark.name))
        return replace(saved, name=bookmark.name)

    def retire(self, now: object, place: str) -> Retired:
        """Retire."""
        return self._bookmarks.retire(now, place)  # type: ignore[arg-type] # as it was called

    def close(self) -> None:
        """Close."""
        self._bookmarks.close()


@pytest.fixture(name="context")
def _context(week: Week, place: Path | TableServiceClient) -> Context:
    inner = week.context.bookmarks if isinstance(place, Path) else TableBookmarks(place)
    return replace(week.context, bookmarks=Own(inner))


def test_a_week_is_as_the_table_says(context: Context) -> None:
    """By what is kept: the table, what is behind, and what nobody knows."""
    assert not summary(context).kept
    sum_up(context, "me")
    told = summary(context, days=7, objective=OBJECTIVE)
    wanted = staleness(context, days=7, objective=OBJECTIVE)

    assert told.kept
    days = [row(*group) for group in told.by["day"].items()]
    assert [*days, row("all", told.all)] == TABLE
    assert told == replace(wanted.summary, kept=True)
    assert [spell.since for spell in of(wanted, "web")] == [hour(1), hour(25), hour(166)]


def test_it_is_read_by_key(week: Week, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head, what goes on, and each day: nothing of the ledger or the index, and of no task."""
    sum_up(context, "me")

    def read(*_: object) -> None:
        pytest.fail("of what is kept alone")

    for port, names in (
        (context.ledger, ("pushes", "pushes_between", "decisions", "rebuilds", "unsettled")),
        (context.index, ("views", "dependents", "view", "page")),
    ):
        for name in names:
            monkeypatch.setattr(port, name, read)
    own = context.bookmarks
    assert isinstance(own, Own)
    own.read_names.clear()
    assert summary(context, days=7).kept
    told = own.read_names
    assert told[0] == BOOKMARK
    assert len(told) == len(set(told)) == 2 + 3  # three days on which something was over
    assert any(name.startswith(f"{BOOKMARK}/{GOING}/") for name in told)
    assert not week.world.tasks.asked


def test_what_ends_later_counts_on_its_day(week: Week, context: Context) -> None:
    """Of a day that was summed up long before; and once, however often it is summed up."""
    sum_up(context, "me")
    week.world.time.now = hour(7 * 24 + 30)
    (ended,) = [spell for spell in summary(context).behind if spell.name == "myapps/batch"]
    week.rebuilt("batch", f"{ended.base}@{ended.digest}", 190, run_ended=hour(191))
    week.follows("batch", ended.base, ended.digest)
    for _ in range(2):
        week.world.time.now += timedelta(hours=1)
        sum_up(context, "me")
        told = summary(context, days=9)
        assert not told.kept  # nobody has summed up so far back
        told = summary(context, days=8)
        assert told.kept
        assert told.by["day"]["2026-01-06"].spells == 4
        assert "myapps/batch" not in {spell.name for spell in told.behind}
    wanted = staleness(context, days=8).summary
    assert told == replace(wanted, kept=True)


def test_sums_go_with_the_history(week: Week, context: Context) -> None:
    """They are kept until a day's history is over, and no longer."""
    sum_up(context, "me")
    until = hour(7 * 24) + context.settings.history
    place, removed = "", 0
    while True:
        done = context.bookmarks.retire(until, place)
        place, removed = done.place, removed + done.removed
        if not place:
            break
    assert removed >= 2
    assert not summary(context).kept  # what is not there is not taken for nothing
    assert summary(context).all.spells == staleness(context).figures.spells
    assert week.world.time.now == hour(7 * 24)


def test_the_command_tells_when_it_was_summed_up(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And tells the same."""
    monkeypatch.setattr(composition, "compose", lambda _: context)
    monkeypatch.setattr(composition, "release", lambda: None)
    assert cli.main(["stale", "--days", "7"]) == 0
    before = capsys.readouterr().out
    sum_up(context, "me")
    assert cli.main(["stale", "--days", "7"]) == 0
    after = capsys.readouterr().out
    assert " Summed up at 2026-01-12T00:00:00Z." in after
    assert after.replace(" Summed up at 2026-01-12T00:00:00Z.", "") == before


def test_a_world_without_time_is_read(tmp_path: Path) -> None:
    """A store in which nothing ever happened has nothing to tell, and tells so."""
    world = World(tmp_path)
    sum_up(world.context, "me")
    told = summary(world.context)
    assert (told.kept, told.all.spells, told.behind, told.unknown) == (True, 0, (), ())
    assert told.by == {"day": {}, "base": {}, "policy": {}}
