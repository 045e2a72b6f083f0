"""Timer triggers: NCRONTAB with seconds, or a time span; past due runs once.

Source: azure-webjobs-sdk-extensions, TimerListener, CronSchedule, ScheduleMonitor.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from localcloud.functionshost.settings import HostError, parse_time
from localcloud.functionshost.worker import Result

log = logging.getLogger(__name__)

_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = 6
_MONITORED = timedelta(minutes=1)
_HORIZON = timedelta(days=366 * 8)
_STEP_SECONDS = 0.25
_NEVER = "0001-01-01T00:00:00"


@dataclass(frozen=True, slots=True)
class _Status:
    """What the monitor knows of a timer: its last run, the next one, when that was reckoned."""

    last: datetime | None
    following: datetime
    updated: datetime

    def to_json(self) -> dict[str, str]:
        last = self.last.isoformat() if self.last else _NEVER
        return {
            "Last": last,
            "Next": self.following.isoformat(),
            "LastUpdated": self.updated.isoformat(),
        }

    @classmethod
    def from_json(cls, values: dict[str, str]) -> Self:
        last = None if values["Last"] == _NEVER else datetime.fromisoformat(values["Last"])
        following = datetime.fromisoformat(values["Next"])
        return cls(last, following, datetime.fromisoformat(values["LastUpdated"]))


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
            interval = parse_time(text)
            if not interval:
                raise HostError(f"The schedule expression '{text}' never ends")
            return cls(interval=interval)
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
            begin, end = sorted((begin, end))  # NCrontab swaps them, too
        chosen.update(range(begin, end + 1, int(step or 1)))
    return frozenset(chosen)


def timer_info(status: Mapping[str, str] | None = None, *, past_due: bool = False) -> str:
    """Return a timer trigger's data, as the worker takes it.

    Source: azure-webjobs-sdk-extensions, TimerInfo.
    """
    schedule = {"AdjustForDST": True}
    return json.dumps({"Schedule": schedule, "ScheduleStatus": status, "IsPastDue": past_due})


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

    def halt(self) -> None:
        """Begin no more runs."""
        self._stopping.set()

    def join(self, seconds: float | None) -> bool:
        """Wait, after halt, for a run to end; tell whether it has."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        status, past_due = self._begin()
        if past_due or self._on_startup:
            status = self._invoke(status, self._now(), past_due=past_due)
        while self._wait(status.following):
            # Fired a little early, it counts as its own time, or that time would come twice.
            # A run that took too long is followed by one more at once, then by the schedule.
            status = self._invoke(status, max(self._now(), status.following))

    def _wait(self, moment: datetime) -> bool:
        """Wait for a time; tell whether it came before the end."""
        while (left := (moment - self._now()).total_seconds()) > 0:
            # In small steps, because clocks are set and laptops sleep.
            if self._stopping.wait(min(left, _STEP_SECONDS)):
                return False
        return not self._stopping.is_set()

    def _begin(self) -> tuple[_Status, bool]:
        """Return the status to go on from, and whether a run was missed meanwhile."""
        now = self._now()
        fresh = _Status(None, self._schedule.after(now), now)
        status = self._read() if self._monitored else None
        if status is None:
            self._write(fresh)
            return fresh, False
        expected = self._schedule.after(status.last or status.updated)
        if status.following != expected:
            # The schedule was changed, and a changed schedule is never past due.
            status = _Status(None, expected, status.last or status.updated)
            status = fresh if expected < now else status
            self._write(status)
        return status, now > status.following

    def _invoke(self, status: _Status, moment: datetime, *, past_due: bool = False) -> _Status:
        known = status.to_json() if self._monitored else None
        try:
            # A failed run is logged by the host and not repeated.
            self._run(timer_info(known, past_due=past_due)).result()
        except (CancelledError, HostError):
            # Left at the end of the host's grace: not recorded, so that it counts as missed.
            return status
        after = _Status(moment, self._schedule.after(moment), moment)
        self._write(after)
        return after

    def _read(self) -> _Status | None:
        try:
            return _Status.from_json(json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("timer %s: its status cannot be read and is made anew", self._name)
            return None

    def _write(self, status: _Status) -> None:
        if self._monitored:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(status.to_json()), encoding="utf-8")
