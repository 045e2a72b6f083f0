"""A small memory of what was read last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable


class Recent[K: Hashable, V]:
    """Keeps the entries that were used last, up to a weight; safe for threads.

    Args:
        limit: The weight of all entries.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return an entry, which is now the newest."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep an entry, and forget the oldest ones beyond the limit."""
        with self._lock:
            if key in self._entries:
                self._weight -= self._entries.pop(key)[1]
            self._entries[key] = (value, weight)
            self._weight += weight
            while self._weight > self._limit:
                _, (_, oldest) = self._entries.popitem(last=False)
                self._weight -= oldest
