"""Do many things at once that mostly wait for an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from rebuilder.errors import RebuilderError

AT_ONCE = 8
"""Requests under way at the same time: ARM counts them per principal, so there are few."""


def attempts[Given, Got](
    work: Callable[[Given], Got], items: Iterable[Given]
) -> list[Got | RebuilderError]:
    """Do something with each item, several at a time.

    Returns:
        What came of each, in the order of the items: the result, or the product's error that
        was raised instead. Any other error is raised.
    """
    given = list(items)
    waiting = deque(range(len(given)))
    results: dict[int, Got | RebuilderError] = {}

    def work_off() -> None:
        # A few threads that take one item after the other cost less than a future for each item.
        while True:
            try:
                number = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = work(given[number])
            except RebuilderError as error:
                results[number] = error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for worker in [pool.submit(work_off) for _ in range(min(AT_ONCE, len(given)))]:
            worker.result()
    return [results[number] for number in range(len(given))]
