"""How ARM is asked: few requests at once, none while it asks to wait, one list for many looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from rebuilder.azure.acr._run_cache import FRESH_SECONDS, RunCache
from rebuilder.azure.throttle import ArmThrottle as Manners
from rebuilder.azure.throttle import Kind
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.acr.tasks import Run
from rebuilder.errors import Throttled, TransientError
from tests.patience import SECONDS
from tests.unit.fakes import run

FIRST, SECOND, THIRD = (RegistryId("s1", "g", name) for name in ("a", "b", "c"))
ELSEWHERE = RegistryId("s2", "g", "a")
REGISTRIES = (FIRST, SECOND, THIRD, ELSEWHERE)


class Seconds:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Crowd:
    """Requests that stay under way until they are let go."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._go = threading.Event()
        self._pool = ThreadPoolExecutor(16)
        self._changed = threading.Condition()
        self._under_way: list[RegistryId] = []

    def send(self, registry: RegistryId, count: int, under_way: int) -> None:
        """Begin requests; check how many of the registry are under way then, and stay so."""
        for _ in range(count):
            self._pool.submit(self._request, registry)
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(registry) >= under_way, SECONDS)
            assert not self._changed.wait_for(lambda: self.count(registry) > under_way, 0.05)

    def count(self, registry: RegistryId) -> int:
        """Return how many requests of a registry were ever under way."""
        return self._under_way.count(registry)

    def _request(self, registry: RegistryId) -> None:
        with self._manners.request(registry):
            with self._changed:
                self._under_way.append(registry)
                self._changed.notify_all()
            self._go.wait(SECONDS)

    def end(self) -> None:
        """Let every request end."""
        self._go.set()
        self._pool.shutdown()


@pytest.mark.parametrize(
    ("concurrency", "expected"),
    [(8, [4, 4, 0, 4]), (5, [2, 2, 1, 2]), (1, [1, 0, 0, 1])],
)
def test_few_requests_are_under_way_at_once(concurrency: int, expected: list[int]) -> None:
    """So many in a subscription, half of it in a registry, and the others come afterwards."""
    crowd = Crowd(Manners(concurrency))
    counts = [4, 5, 1, 5]
    try:
        for registry, count, most in zip(REGISTRIES, counts, expected, strict=True):
            crowd.send(registry, count, most)
    finally:
        crowd.end()

    assert [crowd.count(registry) for registry in REGISTRIES] == counts


def test_who_waits_too_long_is_told_that_nothing_was_sent() -> None:
    """A place that does not become free in time is a transient error."""
    manners = Manners(1)
    with (
        manners.request(FIRST),
        pytest.raises(TransientError, match=r"registries/a: 1 requests are under way"),
        manners.request(FIRST, patience=0.01),
    ):
        pass

    with manners.request(FIRST, patience=0.01):
        pass


def test_a_place_is_given_back_after_an_error() -> None:
    """A request that fails does not keep its place."""
    manners = Manners(1)
    for _ in range(3):
        with pytest.raises(KeyError), manners.request(FIRST, patience=0.01):
            raise KeyError


def test_nobody_knocks_while_arm_asks_to_wait() -> None:
    """A refused read holds back the reads of its registry, for as long as ARM said."""
    seconds = Seconds()
    manners = Manners(8, seconds)
    with pytest.raises(Throttled, match="too many"), manners.request(FIRST):
        raise Throttled("too many", timedelta(seconds=7))

    seconds.now += 3
    with pytest.raises(Throttled, match="ARM asked to wait") as held, manners.request(FIRST):
        pass
    assert held.value.retry_after == timedelta(seconds=4)
    with manners.request(FIRST, Kind.WRITE), manners.request(SECOND):
        pass
    seconds.now += 4
    with manners.request(FIRST):
        pass


def test_a_refusal_without_a_time_holds_nobody_back() -> None:
    """What ARM did not say is not made up here."""
    manners = Manners(8, Seconds())
    with pytest.raises(Throttled), manners.request(FIRST):
        raise Throttled("too many")

    with manners.request(FIRST):
        pass


class Lists:
    """A registry's runs, newest first, in pages of three; counts the pages that are read."""

    def __init__(self, count: int) -> None:
        self.seconds = Seconds()
        self.pages = 0
        self.failure: Exception | None = None
        self.runs = [run(f"r{number}") for number in range(count)]
        self.looks = RunCache(self._list, self.seconds)

    def _list(self) -> Iterator[Sequence[Run]]:
        for first in range(0, len(self.runs), 3):
            self.pages += 1
            if self.failure:
                raise self.failure
            yield self.runs[first : first + 3]

    def found(self, *numbers: int) -> list[bool]:
        """Look at runs; tell which of them the list answered."""
        return [self.looks.get(f"r{number}") is not None for number in numbers]


def test_a_single_run_is_read_by_itself() -> None:
    """Looks that are far apart are not worth a list."""
    lists = Lists(9)
    for _ in range(4):
        assert lists.found(0) == [False]
        lists.seconds.now += FRESH_SECONDS

    assert lists.pages == 0


def test_one_list_answers_many_looks() -> None:
    """From the second look on, a page answers for every run that is on it."""
    lists = Lists(9)

    assert lists.found(0, 1, 2, 0, 1) == [False, True, True, True, True]
    assert lists.pages == 1


def test_further_pages_are_read_as_they_are_worth_it() -> None:
    """One page for every two looks that the pages before did not answer."""
    lists = Lists(9)

    assert lists.found(0, 1, 3, 4, 5, 6, 7, 8) == [
        False,
        True,
        False,
        True,
        True,
        False,
        True,
        True,
    ]
    assert lists.pages == 3
    assert lists.found(77, 78, 79, 80) == [False] * 4
    assert lists.pages == 3


def test_an_answer_is_never_older_than_a_few_seconds() -> None:
    """Then the list is read anew."""
    lists = Lists(3)
    assert lists.found(0, 1) == [False, True]
    lists.runs = []
    lists.seconds.now += FRESH_SECONDS - 0.1
    assert lists.found(2) == [True]

    lists.seconds.now += 0.1
    assert lists.found(2) == [False]


def test_a_run_that_two_pages_hold_is_as_the_newer_page_says() -> None:
    """Runs that begin while pages are read move the others down."""
    lists = Lists(3)
    lists.runs += [run("r0", error="older"), run("r9")]
    lists.found(0, 1, 9, 9)

    found = lists.looks.get("r0")
    assert found is not None
    assert found.error is None
    assert lists.pages == 2


def test_a_list_that_fails_begins_anew() -> None:
    """Whoever looked is told; the next ones try again."""
    lists = Lists(6)
    lists.failure = Throttled("too many")
    assert lists.found(0) == [False]
    with pytest.raises(Throttled):
        lists.looks.get("r1")
    lists.failure = None

    assert lists.found(1, 2) == [False, True]


def test_many_threads_share_one_list() -> None:
    """Whoever looks while the list is read waits for it."""
    lists = Lists(3)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: lists.looks.get(f"r{number % 3}"), range(300)))

    assert found.count(None) == 1
    assert lists.pages == 1
