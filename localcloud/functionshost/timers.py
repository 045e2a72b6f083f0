"""Timer triggers: NCRONTAB with seconds, or a time span; past due runs once.

Source: azure-webjobs-sdk-extensions, TimerListener, CronSchedule, ScheduleMonitor.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from localcloud.functionshost.settings import HostError, parse_time
from localcloud.functionshost.worker import Result

log = logging.getLogger(__name__)

_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = 6
_MONITORED = timedelta(minutes=1)
_HORIZON = timedelta(days=366 * 8)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a timer runs: fields of a NCRONTAB expression, or a fixed interval."""

    fields: tuple[frozenset[int], ...] = ()
    interval: timedelta | None = None

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read a schedule.

        Raises:
            HostError: It is neither a NCRONTAB expression nor a time span.
        """
        words = text.split()
        if len(words) == 1:
            return cls(interval=parse_time(text))
        if len(words) == _FIELDS - 1:
            words.insert(0, "0")
        if len(words) != _FIELDS:
            raise HostError(f"The schedule expression '{text}' was not recognized")
        try:
            return cls(
                tuple(_field(w, *r, n) for n, (w, r) in enumerate(zip(words, _RANGES, strict=True)))
            )
        except ValueError as error:
            raise HostError(f"The schedule expression '{text}' was not recognized") from error

    def after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`."""
        if self.interval is not None:
            return moment + self.interval
        seconds, minutes, hours, days, months, weekdays = self.fields
        time = moment.replace(microsecond=0) + timedelta(seconds=1)
        while time < moment + _HORIZON:
            weekday = (time.weekday() + 1) % 7
            if time.month not in months or time.day not in days or weekday not in weekdays:
                time = time.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif time.hour not in hours:
                time = time.replace(minute=0, second=0) + timedelta(hours=1)
            elif time.minute not in minutes:
                time = time.replace(second=0) + timedelta(minutes=1)
            elif time.second not in seconds:
                time += timedelta(seconds=1)
            else:
                return time
        raise HostError("the schedule never comes")


def _field(text: str, low: int, high: int, number: int) -> frozenset[int]:
    names = {4: _MONTHS, 5: _DAYS}.get(number, ())

    def value(word: str) -> int:
        if word.lower()[:3] in names:
            return names.index(word.lower()[:3]) + low
        found = int(word)
        if not low <= found <= high:
            raise ValueError(word)
        return found

    chosen: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = value(first)
            end = value(last) if dash else (high if step else begin)
        chosen.update(range(begin, end + 1, int(step or 1)))
    return frozenset(chosen)


class Timer:
    """Runs one function by its schedule.

    Args:
        name: The function's name.
        schedule: When.
        run: Starts an invocation with the worker's JSON.
        now: Local time.
        folder: Where the monitor keeps the timer's status.
        use_monitor: Whether to remember runs across restarts.
        run_on_startup: Whether to run at once.
    """

    def __init__(
        self,
        name: str,
        schedule: Schedule,
        run: Callable[[str], Future[Result]],
        now: Callable[[], datetime],
        folder: Path,
        *,
        use_monitor: bool = True,
        run_on_startup: bool = False,
    ) -> None:
        self._name = name
        self._schedule = schedule
        self._run = run
        self._now = now
        self._file = folder / f"{name}.status.json"
        # The real host does not monitor what runs more than once a minute.
        first = schedule.after(now())
        often = schedule.after(first) - first < _MONITORED
        self._monitored = use_monitor and not often
        self._on_startup = run_on_startup
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"timer-{name}", daemon=True)

    def start(self) -> None:
        """Begin to wait for the schedule."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a running function ends first."""
        self._stopping.set()
        self._thread.join()

    def _loop(self) -> None:
        status = self._status()
        now = self._now()
        following = self._schedule.after(now)
        if status is not None and datetime.fromisoformat(status["Next"]) < now:
            self._invoke(past_due=True, status=status)
        elif self._on_startup:
            self._invoke(past_due=False, status=status)
        while True:
            now = self._now()
            if self._stopping.wait(max(0.0, (following - now).total_seconds())):
                return
            self._invoke(past_due=False, status=self._status())
            # Armed after the run, so runs never overlap; a late one follows at once, once.
            done = self._now()
            following = max(self._schedule.after(following), done)
            if following == done:
                following = self._schedule.after(done)
                self._invoke(past_due=True, status=self._status())

    def _invoke(self, *, past_due: bool, status: dict[str, str] | None) -> None:
        payload = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": status,
            "IsPastDue": past_due,
        }
        started = self._now()
        result = self._run(json.dumps(payload)).result()
        if not result.ok:
            log.error("timer %s failed: %s", self._name, result.error)
        if self._monitored:
            written = {
                "Last": started.isoformat(),
                "Next": self._schedule.after(started).isoformat(),
                "LastUpdated": self._now().isoformat(),
            }
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(written), encoding="utf-8")

    def _status(self) -> dict[str, str] | None:
        if not self._monitored:
            return None
        try:
            status: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return status
