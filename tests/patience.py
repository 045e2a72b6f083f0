"""Waiting in tests: for what is to come, however long it takes; no test measures time.

Whatever may hang has the one limit below. A test that is right never meets it, so it says nothing
about the machine; pytest's own limit lies above it and holds for what a test does not wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import httpx

SECONDS = 240.0
"""After so long something has not come late: it does not come."""

request = partial(httpx.request, timeout=SECONDS, trust_env=False)
get = partial(request, "GET")
post = partial(request, "POST")
client = partial(httpx.Client, timeout=SECONDS, trust_env=False)


def until[T](look: Callable[[], T], what: str = "it") -> T:
    """Look until what is seen is true; return it.

    Args:
        look: What tells whether it has come.
        what: What is waited for, for the failure's message.

    Raises:
        AssertionError: It did not come.
    """
    deadline = time.monotonic() + SECONDS
    pause = 0.005
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(pause)
        # What comes late is looked at less often: looking is work, too.
        pause = min(pause * 1.3, 0.2)
    return found
