"""Do many things at once that mostly wait for an answer."""

from __future__ import annotations

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

    def attempt(item: Given) -> Got | RebuilderError:
        try:
            return work(item)
        except RebuilderError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(attempt, items))
