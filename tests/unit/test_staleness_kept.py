"""What is kept of staleness: found whole or not at all, and worked out again where it is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import replace
from datetime import timedelta

import msgspec
import pytest

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.rebuilds.rebuild import Check, State
from rebuilder.core.staleness.spells import Why
from rebuilder.errors import Conflict, NotFound, RebuilderError, TransientError
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness import kept
from rebuilder.usecases.staleness.kept import BESIDE, BOOKMARK, GOING, Head, Place, head_of
from rebuilder.usecases.staleness.report import Remembered, staleness, summary
from rebuilder.usecases.staleness.sum_up import Summed, sum_up
from tests.unit.fakes import APPS, NEW, NEWER, NODE, OLD, World, task
from tests.unit.test_standing import PUSH, TASK, follows, rebuilt

HOUR = timedelta(hours=1)
DAY = 24 * HOUR


class Bookmarks:
    """Bookmarks that do something before each one is read or saved."""

    def __init__(self, world: World) -> None:
        self.inner = world.context.bookmarks
        self.before_read: Callable[[str], None] = lambda _: None
        self.before_save: Callable[[str], None] = lambda _: None

    def read(self, name: str) -> Bookmark:
        """Read."""
        self.before_read(name)
        return self.inner.read(name)

    def save(self, bookmark: Bookmark) -> Bookmark:
        """Save."""
        self.before_save(bookmark.name)
        return self.inner.save(bookmark)


def watched(world: World) -> tuple[Context, Bookmarks]:
    """Return a context with such bookmarks."""
    bookmarks = Bookmarks(world)
    return replace(world.context, bookmarks=bookmarks), bookmarks  # type: ignore[arg-type] # what is used of them


def pushed(world: World, digest: str = NEW) -> None:
    """Push an image that leaves the task behind."""
    push = replace(PUSH, digest=digest, pushed_at=world.time.now)
    world.ledger.record_events([push], world.time.now)
    moved = BaseMoved(TASK, NODE, "runtime", OLD, digest, "registry")
    world.ledger.record_decisions(push, [moved], world.time.now)


def caught_up(world: World, digest: str = NEW) -> None:
    """Rebuild the task on it."""
    now = world.time.now
    rebuilt(
        world, State.SUCCEEDED, f"{NODE}@{digest}", check=Check.NEW, run_ended=now, finished_at=now
    )
    follows(world, digest)


@pytest.fixture(name="behind")
def _behind(world: World) -> World:
    """A task that caught up with one push and is behind another, summed up."""
    follows(world)
    pushed(world)
    world.time.pass_(600)
    caught_up(world)
    world.time.pass_(600)
    pushed(world, NEWER)
    world.time.pass_(300)
    sum_up(world.context, "me")
    return world


def head(world: World) -> Head:
    """Return what the last run came to."""
    found = head_of(world.context.bookmarks.read(BOOKMARK).place)
    assert found is not None
    return found


def is_kept(context: Context, days: int = 7) -> bool:
    """Ask, compare the answer with the ledger's, and tell whether it was kept."""
    told = summary(context, days=days)
    wanted = staleness(context, days=days).summary
    assert replace(told, kept=False, now=wanted.now, since=wanted.since) == wanted
    return told.kept


def test_what_is_summed_up_is_told(behind: World) -> None:
    """One time that is over, and one that goes on."""
    assert is_kept(behind.context)
    told = summary(behind.context)
    assert (told.all.spells, told.all.p50, len(told.behind)) == (2, timedelta(minutes=10), 1)
    assert not behind.tasks.asked


def test_nothing_happened_and_nothing_is_written(behind: World) -> None:
    """But when it was looked at; a task that is behind is looked at again."""
    before = head(behind).records
    assert sum_up(behind.context, "me") == Summed(1, 0)
    assert head(behind).records == before
    caught_up(behind, NEWER)
    assert sum_up(behind.context, "me") == Summed(1, 2)
    assert sum_up(behind.context, "me") == Summed(0, 0)
    behind.time.pass_(3600)
    assert sum_up(behind.context, "me") == Summed(1, 0)
    assert is_kept(behind.context)


def test_a_push_is_looked_for_by_its_time(behind: World) -> None:
    """Its tag alone."""
    caught_up(behind, NEWER)
    follows(behind, image="mybase.azurecr.io/images/java:17", task_id=task("other").id)
    sum_up(behind.context, "me")
    behind.time.pass_(600)
    push = replace(PUSH, repository="images/java", tag="17", pushed_at=behind.time.now)
    behind.ledger.record_events([push], behind.time.now)
    assert sum_up(behind.context, "me") == Summed(1, 1)
    (spell,) = summary(behind.context).behind
    assert (spell.name, spell.since) == ("myapps/other", behind.time.now)


def test_what_is_left_alone_is_not_looked_at_each_time(world: World) -> None:
    """Every hour, and when something of it is under way."""
    follows(world)
    pushed(world)
    world.time.pass_(300)
    world.ledger.record_decisions(PUSH, [TaskDisabled(TASK)], world.time.now)
    sum_up(world.context, "me")
    world.time.pass_(300)
    assert summary(world.context).behind[0].why is Why.LEFT
    assert sum_up(world.context, "me") == Summed(0, 0)
    rebuilt(world, State.RUNNING)
    assert sum_up(world.context, "me") == Summed(1, 1)
    assert summary(world.context).behind[0].why is Why.UNDER_WAY


@pytest.mark.parametrize("boundary", range(7))
def test_a_run_that_ends_anywhere_has_changed_nothing(behind: World, boundary: int) -> None:
    """What was told before is told after it, and the next run does all that it did not."""
    context, bookmarks = watched(behind)
    before = summary(context)
    behind.time.pass_(120)
    caught_up(behind, NEWER)
    saves: list[str] = []

    def save(name: str) -> None:
        saves.append(name)
        if len(saves) == boundary + 1:
            raise TransientError("out of order")

    bookmarks.before_save = save
    try:
        sum_up(context, "me")
    except TransientError:
        assert summary(context) == before
    bookmarks.before_save = lambda _: None
    behind.time.pass_(600)  # until the lease has run out, if it was not given back
    sum_up(context, "me")
    assert is_kept(context)
    assert summary(context).all.spells == 2


def test_what_another_run_writes_counts_once(
    behind: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody writes beside one that is at it, and who lost his lease changes nothing."""
    context, bookmarks = watched(behind)
    mark = context.bookmarks.read(BOOKMARK)
    later = behind.time.now + HOUR / 10
    held = context.bookmarks.save(replace(mark, owner="other", lease_until=later))
    assert sum_up(context, "me") is None
    context.bookmarks.save(replace(held, owner="", lease_until=None))

    before = head(behind)
    caught_up(behind, NEWER)

    def save(name: str) -> None:
        if name.startswith(f"{BOOKMARK}/"):
            raise Conflict("another one")

    bookmarks.before_save = save
    assert sum_up(context, "me") is None
    assert head(behind) == before
    assert "another one" in caplog.text


def test_an_answer_is_of_one_run(behind: World) -> None:
    """Another one ends while it is looked up: then it is looked up again, a few times."""
    context, bookmarks = watched(behind)
    caught_up(behind, NEWER)
    names: list[str] = []

    def read(name: str) -> None:
        if name.startswith(f"{BOOKMARK}/") and not names:
            names.append(name)
            for _ in range(2):
                behind.time.pass_(1)
                pushed(behind, f"sha256:{len(names):064}")
                names.append(name)
                sum_up(behind.context, "other")

    bookmarks.before_read = read
    told = summary(context)
    assert told.kept
    assert told.now == behind.time.now


def test_what_was_read_is_read_again_after_the_next_run(behind: World) -> None:
    """Until then the head alone, but for days before those that were read."""
    context, bookmarks = watched(behind)
    names: list[str] = []
    bookmarks.before_read = names.append
    remembered = Remembered()
    first = summary(context, days=2, remembered=remembered)
    assert len(names) == 3
    names.clear()
    assert summary(context, days=2, remembered=remembered) == first
    assert summary(context, days=1, remembered=remembered) == summary(behind.context, days=1)
    assert names == [BOOKMARK] * 2
    assert summary(context, days=5, remembered=remembered) == summary(behind.context, days=5)
    assert len(names) == 5
    caught_up(behind, NEWER)
    sum_up(behind.context, "me")
    assert summary(context, days=5, remembered=remembered) == summary(behind.context, days=5)
    assert not summary(context, days=5, remembered=remembered).behind
    assert not summary(context, days=30, remembered=remembered).kept


def lose(world: World, record: str) -> None:
    """Write something else where the head names a record."""
    place = head(world).records[record]
    mark = world.context.bookmarks.read(f"{BOOKMARK}/{record}/{place.slot}/0")
    world.context.bookmarks.save(replace(mark, place="else"))


def spoil(world: World, record: str) -> None:
    """Have the head name what cannot be read."""
    lose(world, record)
    found = head(world)
    place = found.records[record]
    spoilt = replace(
        found, records=found.records | {record: Place(place.slot, (place.versions[0] + 1,))}
    )
    save(world, spoilt)


def forget(world: World, record: str) -> None:
    """Have the head not name a record."""
    found = head(world)
    save(world, replace(found, records={n: p for n, p in found.records.items() if n != record}))


def save(world: World, found: Head) -> None:
    """Save a head."""
    mark = world.context.bookmarks.read(BOOKMARK)
    world.context.bookmarks.save(replace(mark, place=msgspec.json.encode(found).decode()))


@pytest.mark.parametrize("how", [lose, spoil])
@pytest.mark.parametrize("of", [GOING, "day"])
def test_what_is_lost_is_worked_out_again(
    behind: World, how: Callable[[World, str], None], of: str
) -> None:
    """Whoever asks meanwhile is told what the ledger says."""
    day = behind.time.now.date().isoformat()
    how(behind, day if of == "day" else of)
    assert not is_kept(behind.context)
    pushed(behind, OLD)
    sum_up(behind.context, "me")
    assert is_kept(behind.context)


def test_a_head_without_what_goes_on_is_none(behind: World) -> None:
    """Nobody takes that for nothing."""
    forget(behind, GOING)
    assert not is_kept(behind.context)
    sum_up(behind.context, "me")
    assert is_kept(behind.context)


@pytest.mark.parametrize("place", ["", "{", '{"form": 2}'])
def test_a_store_without_sums_is_read(behind: World, place: str) -> None:
    """One that nobody has summed up, or another version: by the ledger; the next run sums it up."""
    mark = behind.context.bookmarks.read(BOOKMARK)
    behind.context.bookmarks.save(replace(mark, place=place))
    assert not is_kept(behind.context)
    sum_up(behind.context, "me")
    assert is_kept(behind.context)


def test_another_form_is_not_read(behind: World) -> None:
    """Though it looks like this one."""
    save(behind, replace(head(behind), form=kept.FORM + 1))
    assert not is_kept(behind.context)


def test_what_is_too_old_is_not_told(behind: World) -> None:
    """Nobody sums up any more; nor for a span that was not summed up."""
    behind.time.pass_(1300)
    assert not is_kept(behind.context)
    sum_up(behind.context, "me")
    assert is_kept(behind.context)
    assert not is_kept(behind.context, days=30)


@pytest.mark.parametrize("seconds", [-7200, 3 * 86_400, 9 * 86_400])
def test_whoever_was_away_for_long_sums_up_what_was_missed(behind: World, seconds: int) -> None:
    """Or begins anew: after a week, and if the last run was by a clock that was ahead."""
    behind.time.pass_(seconds)
    assert not is_kept(behind.context)
    sum_up(behind.context, "me")
    assert is_kept(behind.context, days=1)


def test_sums_go_with_what_they_are_of(behind: World) -> None:
    """What is older than the history is neither named nor kept."""
    context = replace(behind.context, settings=replace(behind.settings, history=2 * DAY))
    for _ in range(8):
        behind.time.pass_(86_400)
        pushed(behind, f"sha256:{behind.time.now.day:064}")
        sum_up(context, "me")
        caught_up(behind, f"sha256:{behind.time.now.day:064}")
        behind.time.pass_(60)
        sum_up(context, "me")
    today = behind.time.now.date()
    names = [name for name in head(behind).records if name not in (GOING, BESIDE)]
    assert names
    assert min(names) >= (today - 2 * DAY).isoformat()
    assert context.bookmarks.retire(behind.time.now, "").removed >= 4
    assert summary(context, days=2).kept
    assert not summary(context, days=3).kept


def test_what_cannot_be_read_for_a_while_began_when_it_began(
    behind: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unknown meanwhile, and counted once when it is over."""
    (spell,) = summary(behind.context).behind
    read = behind.ledger.pushes

    def pushes(*_: object) -> None:
        raise TransientError("out of order")

    monkeypatch.setattr(behind.ledger, "pushes", pushes)
    behind.time.pass_(3 * 86_400)
    for _ in range(2):
        sum_up(behind.context, "me")
    told = summary(behind.context)
    assert not told.behind
    assert [reason for _, _, reason in told.unknown] == ["out of order"]

    monkeypatch.setattr(behind.ledger, "pushes", read)
    sum_up(behind.context, "me")
    assert summary(behind.context).behind[0].since == spell.since
    caught_up(behind, NEWER)
    for _ in range(2):
        sum_up(behind.context, "me")
    told = summary(behind.context)
    assert (told.all.spells, told.behind) == (2, ())
    assert is_kept(behind.context)


def test_a_registry_of_which_nobody_knows_the_host_keeps_no_other(
    behind: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its tags wait until all are looked at."""
    gone = RegistryId("s9", "g", "gonebase")
    failure: RebuilderError = NotFound("no such registry")
    behind.tasks.out_of_order[gone] = failure
    behind.ledger.record_events([replace(PUSH, registry=gone)], behind.time.now)
    caplog.set_level(logging.WARNING)
    assert sum_up(behind.context, "me") == Summed(1, 0)
    assert "its tags wait: no such registry" in caplog.text


def test_a_record_of_any_size_is_kept(behind: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many bookmarks as it needs."""
    monkeypatch.setattr(kept, "_PART", 20)
    caught_up(behind, NEWER)
    sum_up(behind.context, "me")
    assert len(head(behind).records[behind.time.now.date().isoformat()].versions) > 2
    assert is_kept(behind.context)


def test_who_stands_on_the_newest_is_not_behind_though_others_are(world: World) -> None:
    """A tag that moved before the span left one of two tasks behind."""
    follows(world)
    follows(world, NEW, task("other").id)
    pushed(world)
    world.time.pass_(5 * 86_400)
    (spell,) = staleness(world.context, days=1).spells
    assert (spell.task, spell.task.registry) == (TASK, APPS)


def test_what_spans_midnight_is_counted_once(world: World) -> None:
    """Two digests on two days, and one rebuild: the day of the second counts nothing."""
    follows(world)
    for digest in (NEW, NEWER):
        pushed(world, digest)
        sum_up(world.context, "me")
        world.time.pass_(86_400)
    caught_up(world, NEWER)
    for _ in range(4):
        sum_up(world.context, "me")
        assert is_kept(world.context)
        assert summary(world.context).all.spells == 1
        world.time.pass_(86_400)
