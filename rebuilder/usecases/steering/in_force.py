"""What operators decided that is in force now, as an instance knows it.

It is looked up when something is about to begin, and at most every half minute: a set-up without a
policy and without pauses pays for nothing more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

from rebuilder.core.policies.acts import Controls
from rebuilder.core.policies.gate import InForce
from rebuilder.core.policies.policy import Policies
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.waves.canary import Quarantined
from rebuilder.errors import InvalidPolicy, UnreadableRecord
from rebuilder.ports.steering import Steering

log = logging.getLogger(__name__)

FRESH = timedelta(seconds=30)
"""How long what was read is believed: a pause stops what would begin later than that."""

_MOST_KEPT = 100
_VERSIONS = 20
"""How many versions of a policy file are tried, newest first, until one can be read."""


class Known:
    """What an instance knows of what is in force; many threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[object, tuple[datetime | None, object]] = {}
        self._read_at: datetime | None = None
        self._token = ""
        self._policies: Policies | None = None
        self._unreadable = self._broken = ""
        self._found = InForce()
        self._seen = ""

    def kept[Found](self, key: object, now: datetime, look: Callable[[], Found]) -> Found:
        """Return what was found for a key in the last half minute, or look for it."""
        with self._lock:
            at, found = self._kept.get(key, (None, None))
        if at is not None and at <= now < at + FRESH:
            return cast("Found", found)
        answer = look()
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (now, answer)
        return answer

    def forget(self) -> None:
        """Have it read again when it is needed: it was changed."""
        with self._lock:
            self._read_at = None

    def now(self, steering: Steering, now: datetime, seen: str = "") -> InForce:
        """Return what is in force.

        Args:
            steering: Where it is read.
            now: The time.
            seen: A version that somebody has seen, who may have seen more than this instance.

        Raises:
            TransientError, Denied: It cannot be read, and what was read is too old.
            UnreadableRecord: Nobody can read which pauses there are.
        """
        with self._lock:
            read_at = self._read_at
            unseen = seen not in ("", self._seen, self._found.version)
            if read_at is None or unseen or not read_at <= now < read_at + FRESH:
                self._found = self._read(steering)
                self._read_at = now
                self._seen = seen or self._seen
            return self._found

    def _read(self, steering: Steering) -> InForce:
        acts = steering.acts()
        try:
            controls = Controls.read(acts.place)
        except ValueError as error:
            raise UnreadableRecord(f"what operators did cannot be read: {error}") from error
        token = steering.token()
        if token != self._token:
            self._policies, problem = _readable(steering) if token else (None, "")
            self._unreadable = problem if self._policies is None else ""
            self._broken = problem
            self._token = token
        stamp = controls.stamp
        version = f"{token}/{stamp}" if token or stamp else ""
        return InForce(
            self._policies,
            controls.pauses,
            self._unreadable,
            self._broken,
            version,
            tuple(Quarantined(a.target.pattern, a.because, a.at) for a in controls.quarantined),
            controls.released,
        )


def _readable(steering: Steering) -> tuple[Policies | None, str]:
    """Return the newest policy file that can be read, and why no newer one can.

    A broken one never takes effect: the last good one stays in force.
    """
    problem = ""
    for version in steering.versions(_VERSIONS):
        try:
            return read_policies(version.text, f"policy version {version.number}"), problem
        except InvalidPolicy as error:
            problem = problem or str(error)
            log.error("the policy file cannot be read: %s", error)  # noqa: TRY400 - the text says it
    return None, problem or "it is gone"
