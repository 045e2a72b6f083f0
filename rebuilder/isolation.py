"""Work on many things, of which none harms another.

Whatever goes over many tasks, images, hosts, registries, messages or findings goes through here.
What one of them raises is its own problem: an error of the product as it is, anything else as
Unforeseen, with its traceback in the log. The others go on.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

from rebuilder._log_lines import Lines
from rebuilder.errors import RebuilderError, Unforeseen

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Requests under way at the same time: ARM counts them per principal, so there are few."""

_OWN = ("/rebuilder/", "/functions/")


def attempt[Given, Got](work: Callable[[Given], Got], item: Given) -> Got | RebuilderError:
    """Do something with one of many things.

    Returns:
        The result, or the error that was raised instead; Unforeseen for any that is none of the
        product's.
    """
    try:
        return work(item)
    except RebuilderError as error:
        return error
    except Exception as error:  # noqa: BLE001 - this is the place where nothing gets past
        found = unforeseen(error)
        log.error("%s: %s\n%s", _named(item), found, Lines(_stack(error)))  # noqa: TRY400 - without its text
        return found


def attempts[Given, Got](
    work: Callable[[Given], Got], items: Iterable[Given], *, at_once: int | None = None
) -> list[Got | RebuilderError]:
    """Do something with each item, several at a time; see `attempt`.

    Args:
        work: What to do.
        items: With what. Each is shown in the log, if it comes to that.
        at_once: How many at a time; AT_ONCE if left out.

    Returns:
        What came of each, in the order of the items.
    """
    return together(partial(attempt, work), items, at_once=at_once)


def together[Given, Got](
    work: Callable[[Given], Got], items: Iterable[Given], *, at_once: int | None = None
) -> list[Got]:
    """Do something with each part of one thing, several at a time.

    Returns:
        What came of each, in the order of the items.

    Raises:
        Exception: What the first part raised that did; the others were done.
    """
    given = list(items)
    workers = min(at_once or AT_ONCE, len(given))
    if len(given) == 1:
        return [work(given[0])]
    waiting = deque(range(len(given)))
    results: dict[int, Got] = {}
    errors: dict[int, Exception] = {}

    def work_off() -> None:
        # A few threads that take one item after the other cost less than a future for each item.
        while True:
            try:
                number = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = work(given[number])
            except Exception as error:  # noqa: BLE001 - raised below
                errors[number] = error

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            # Each in a copy of the caller's context: it belongs to the same trace.
            working = [pool.submit(copy_context().run, work_off) for _ in range(workers)]
        for worker in working:
            worker.result()
    else:
        work_off()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(given))]


def unforeseen(error: Exception) -> Unforeseen:
    """Return an error that says which one was raised, and where.

    Its own text is left out: nobody knows what stands in it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename != __file__ and any(p in f.filename for p in _OWN)]
    place = ""
    for frame in (own or frames)[-1:]:
        name = frame.filename.replace("\\", "/").rpartition("/rebuilder/")[2]
        place = f" in {frame.name} ({name}, line {frame.lineno})"
    return Unforeseen(f"something unforeseen went wrong: {type(error).__name__}{place}")


def _named(item: object) -> str:
    """Return which item it is, without what somebody else wrote into it."""
    found = getattr(item, "id", getattr(item, "reference", item))
    kind = type(item).__name__
    return f"{kind} {found}"[:200] if type(found).__str__ is not object.__str__ else kind


def _stack(error: Exception) -> str:
    return "".join(traceback.format_tb(error.__traceback__))
