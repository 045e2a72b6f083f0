"""One list of a registry answers for many tasks, where that is fewer requests, and is young."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rebuilder.azure.acr._task_cache import (
    FRESH_SECONDS,
    MOST_PAGES,
    REST_SECONDS,
    WORTH,
    TaskCache,
)
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.errors import Throttled, TransientError
from rebuilder.ports.acr import LATELY, TaskPage
from tests.unit.fakes import APPS, task

_PAGE = 100


def named(number: int) -> TaskId:
    """Return a task's id."""
    return TaskId(APPS, f"t{number:05}")


class Lists:
    """A registry of so many tasks, a hundred on a page; each page takes a while."""

    def __init__(self, count: int, seconds: float = 0.0) -> None:
        self.now = 100.0
        self.pages = 0
        self.failure: TransientError | None = None
        self.brief = False
        self.count = count
        self._seconds = seconds
        self._cache = TaskCache(self._page, lambda: self.now)

    def _page(self, after: str) -> TaskPage:
        self.pages += 1
        if self.failure:
            raise self.failure
        self.now += self._seconds
        first = int(after or 0)
        last = min(first + _PAGE, self.count)
        ids = [named(number) for number in range(first, last)]
        more = str(last) if last < self.count else None
        if self.brief:
            return TaskPage((), tuple(ids), more)
        return TaskPage(tuple(task(found.name) for found in ids), (), more)

    def get(self, number: int, age: timedelta = LATELY) -> Task | None:
        """Return what a list told of a task."""
        return self._cache.get(named(number), age)

    def found(self, *numbers: int) -> int:
        """Ask for tasks; tell of how many a list told."""
        return sum(self.get(number) is not None for number in numbers)


def test_a_single_rebuild_is_never_listed() -> None:
    """Its task is read when it begins and when it is over: far apart, and a list would be more."""
    lists = Lists(1)
    for _ in range(20):
        assert lists.found(0) == 0
        lists.now += FRESH_SECONDS / (WORTH + 1)

    assert lists.pages == 0


def test_three_of_ten_thousand_are_read_one_by_one() -> None:
    """Cost follows what is due, and not what is there."""
    lists = Lists(10_000)
    for _ in range(10):
        assert lists.found(7, 5000, 9999) == 0
        lists.now += FRESH_SECONDS

    assert lists.pages == 0


@pytest.mark.parametrize(("count", "pages"), [(60, 1), (200, 2)])
def test_one_list_answers_whoever_is_due(count: int, pages: int) -> None:
    """From then on for as long as it is fresh; then another one, at once, if as many are due."""
    lists = Lists(count)
    assert lists.found(*range(2 * WORTH)) == 1
    assert lists.found(*range(count)) == count
    assert lists.pages == pages

    lists.now += FRESH_SECONDS - 0.1
    assert lists.found(*range(count)) == count
    assert lists.pages == pages

    lists.now += 0.1
    assert lists.found(*range(count)) == count
    assert lists.pages == 2 * pages


def test_a_page_costs_no_more_than_the_reads_that_it_saves() -> None:
    """A registry that is known to have one page is listed where three are due."""
    lists = Lists(60)
    lists.found(*range(2 * WORTH))
    lists.now += FRESH_SECONDS

    assert lists.found(*range(WORTH)) == 1
    assert lists.pages == 2


def test_an_answer_tells_how_old_it_is() -> None:
    """Its age is that of its page, counted from when that was asked for."""
    lists = Lists(150, seconds=0.5)
    lists.found(*range(10))
    lists.now += 1
    first, second = lists.get(0), lists.get(149)

    assert first is not None
    assert second is not None
    assert (first.age, second.age) == (timedelta(seconds=2), timedelta(seconds=1.5))
    assert lists.get(0, timedelta(seconds=1.9)) is None
    assert lists.get(149, timedelta(seconds=1.9)) is not None


def test_what_is_too_old_for_one_is_not_asked_again_for_him() -> None:
    """He reads his task by himself: the list is good for the others."""
    lists = Lists(60)
    lists.found(*range(20))
    lists.now += 2
    assert [lists.get(number, timedelta(seconds=1)) for number in range(20)] == [None] * 20

    assert lists.pages == 1


def test_a_task_that_no_page_names_is_left_to_be_read() -> None:
    """It may have been made since, or be gone."""
    lists = Lists(60)
    lists.found(*range(20))

    assert lists.found(77, 78) == 0
    assert lists.pages == 1


def test_a_registry_that_proves_large_is_given_up() -> None:
    """At most one page for three reads; the next try takes twice as many reads, or more."""
    lists = Lists(10_000)
    due = [9900 + number for number in range(12)]
    assert lists.found(*due) == 0
    assert lists.pages == 2

    for _ in range(5):
        lists.now += FRESH_SECONDS
        assert lists.found(*due[:11]) == 0
    assert lists.pages == 2
    lists.now += FRESH_SECONDS
    assert lists.found(*due) == 0
    assert lists.pages == 6


def test_a_list_has_an_end() -> None:
    """However many are due: what its last page names is answered, and the rest is read."""
    lists, read = Lists(10_000), []
    for _ in range(8):
        before = lists.pages
        lists.found(*range(9000, 9000 + 2 * WORTH * MOST_PAGES))
        read.append(lists.pages - before)
        lists.now += FRESH_SECONDS

    assert read == [2, 4, 8, 16, *[MOST_PAGES] * 4]


def test_a_list_that_takes_long_is_broken_off() -> None:
    """Others wait for it, and it is old by the time that they have it."""
    lists = Lists(2_000, seconds=1.0)
    lists.found(*range(2 * WORTH))
    lists.now += FRESH_SECONDS
    lists.pages = 0
    lists.found(*range(4 * WORTH))

    assert lists.pages == 3


@pytest.mark.parametrize("reason", ["failure", "brief"])
def test_what_lists_do_not_tell_is_read_one_by_one(reason: str) -> None:
    """A registry whose list fails, or leaves out what tasks are built on, is left alone a while."""
    lists = Lists(60)
    lists.failure = Throttled("wait") if reason == "failure" else None
    lists.brief = reason == "brief"
    assert lists.found(*range(60)) == 0
    lists.failure, lists.brief = None, False
    lists.now += REST_SECONDS - 1
    assert lists.found(*range(60)) == 0
    assert lists.pages == 1

    lists.now += FRESH_SECONDS
    assert lists.found(*range(60)) > 0
    assert lists.pages == 2
