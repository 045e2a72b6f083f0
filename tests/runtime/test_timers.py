"""Timer functions: when they are due, and what is remembered of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from localcloud.functionshost import timers
from localcloud.functionshost.settings import HostError
from localcloud.functionshost.timers import Schedule, Timer
from localcloud.functionshost.worker import Result, failed
from tests.patience import SECONDS, until
from tests.runtime.apps import probe, running

START = datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC)  # a Thursday
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * * *", "2026-01-01T12:00:15"),
        ("0 */5 * * * *", "2026-01-01T12:05:00"),
        ("*/5 * * * *", "2026-01-01T12:05:00"),
        ("0 30 9 * * *", "2026-01-02T09:30:00"),
        ("0 0 9-17/4 * * *", "2026-01-01T13:00:00"),
        ("0 5/20 * * * *", "2026-01-01T12:05:00"),
        ("0 17-9 * * * *", "2026-01-01T12:09:00"),
        ("0 0 0 * * mon-fri", "2026-01-02T00:00:00"),
        ("0 0 0 * * Sunday", "2026-01-04T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 0 13 * 5", "2026-02-13T00:00:00"),
        ("0 0 0 1 jan,jul *", "2026-07-01T00:00:00"),
        ("10,20 0 12 * * *", "2026-01-01T12:00:20"),
        ("01:00:00", "2026-01-01T13:00:10"),
        ("1.00:00", "2026-01-02T12:00:10"),
    ],
)
def test_schedules(text: str, expected: str) -> None:
    """Six fields with seconds, five without, or a time span; both days must fit, as in NCrontab."""
    assert Schedule.parse(text).after(START) == datetime.fromisoformat(expected + "+00:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * * *",
        "* * * * * 7",
        "x * * * * *",
        "*/0 * * * * *",
        "a:b",
        "0:00:00",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    """It is refused with its text."""
    with pytest.raises(HostError):
        Schedule.parse(text)


def test_a_schedule_that_never_comes_is_refused(tmp_path: Path) -> None:
    """The thirtieth of February has no timer."""
    with pytest.raises(HostError, match="never comes"):
        Timer("t", Schedule.parse("0 0 0 30 2 *"), lambda _: Future(), lambda: START, tmp_path)


class World:
    """A clock that is moved by hand, and the runs of one timer."""

    def __init__(self, folder: Path) -> None:
        self.time = START
        self.runs: list[dict[str, Any]] = []
        self.result = Result(ok=True, value=None, error=None, outputs={})
        self.takes = timedelta()
        self._looks = 0
        self._folder = folder
        self._changed = threading.Condition()
        self._timer: Timer | None = None

    def start(self, schedule: str, **options: bool) -> None:
        """Start the timer, after stopping it if it runs."""
        self.stop()
        parsed = Schedule.parse(schedule)
        self._timer = Timer("t", parsed, self._run, self._now, self._folder, **options)
        made = self._looks
        self._timer.start()
        # The first look is when it reckons its first time; after it the clock may be moved.
        until(lambda: self._looks > made + 1)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.halt()
            assert self._timer.join(SECONDS)
            self._timer = None

    def _now(self) -> datetime:
        self._looks += 1
        return self.time

    def _run(self, payload: str) -> Future[Result]:
        done: Future[Result] = Future()
        done.set_result(self.result)
        with self._changed:
            self.runs.append(json.loads(payload))
            self.time += self.takes
            self._changed.notify_all()
        return done

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Wait for runs."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.runs) >= count, SECONDS)
            return list(self.runs)

    def written(self) -> dict[str, str]:
        """Return what the monitor keeps."""
        status: dict[str, str] = json.loads((self._folder / "t.status.json").read_text())
        return status


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(timers, "_STEP_SECONDS", 0.005)
    world = World(tmp_path)
    yield world
    world.stop()


def test_a_timer_runs_when_its_time_has_come(world: World) -> None:
    """Not before; with the status of the run before, and not past due."""
    world.start("0 */5 * * * *")
    world.time += 5 * MINUTE
    world.wait(1)
    world.time += 5 * MINUTE
    first, second = world.wait(2)
    assert first == {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": "0001-01-01T00:00:00",
            "Next": "2026-01-01T12:05:00+00:00",
            "LastUpdated": START.isoformat(),
        },
        "IsPastDue": False,
    }
    assert second["ScheduleStatus"]["Last"] == "2026-01-01T12:05:10+00:00"
    assert second["ScheduleStatus"]["Next"] == "2026-01-01T12:10:00+00:00"


def test_missed_runs_are_made_up_for_once(world: World) -> None:
    """After a pause of hours one run is past due; then the schedule goes on."""
    world.start("0 */5 * * * *")
    world.stop()
    world.time += 3 * HOUR
    world.start("0 */5 * * * *", run_on_startup=True)
    (late,) = world.wait(1)
    assert late["IsPastDue"] is True
    world.time += 5 * MINUTE
    assert world.wait(2)[1]["IsPastDue"] is False


def test_nothing_is_missed_between_two_runs(world: World) -> None:
    """A restart in between runs nothing, unless it is asked for."""
    world.start("0 */5 * * * *")
    world.start("0 */5 * * * *")
    world.stop()
    assert world.runs == []
    world.start("0 */5 * * * *", run_on_startup=True)
    assert world.wait(1)[0]["IsPastDue"] is False


def test_a_changed_schedule_is_never_past_due(world: World) -> None:
    """The status is written anew, from the new schedule."""
    world.start("0 */5 * * * *")
    world.stop()
    world.time += 3 * HOUR
    world.start("0 0 * * * *")
    world.time += HOUR
    (only,) = world.wait(1)
    assert only["IsPastDue"] is False
    assert only["ScheduleStatus"]["Next"] == "2026-01-01T16:00:00+00:00"


def test_a_changed_schedule_with_a_time_to_come_keeps_it(world: World) -> None:
    """The time is reckoned from the last run, as the real monitor does."""
    world.start("01:00:00")
    world.stop()
    world.time += MINUTE
    world.start("02:00:00")
    world.stop()
    assert world.written()["Next"] == (START + 2 * HOUR).isoformat()


def test_a_failed_run_counts(world: World) -> None:
    """It is not repeated, and its time is recorded."""
    world.result = failed("boom")
    world.start("0 */5 * * * *")
    world.time += 5 * MINUTE
    world.wait(1)
    world.stop()
    assert len(world.runs) == 1
    assert world.written()["Last"] == "2026-01-01T12:05:10+00:00"


def test_a_run_that_takes_too_long_is_followed_by_one(world: World) -> None:
    """Runs never overlap; of three times that passed meanwhile, one run comes at once."""
    world.takes = 17 * MINUTE
    world.start("0 */5 * * * *")
    world.time += 5 * MINUTE
    runs = world.wait(2)
    world.takes = timedelta()
    assert not runs[1]["IsPastDue"]
    assert runs[1]["ScheduleStatus"]["Next"] == "2026-01-01T12:10:00+00:00"


@pytest.mark.parametrize(
    ("schedule", "use_monitor"), [("*/30 * * * * *", True), ("0 */5 * * * *", False)]
)
def test_without_a_monitor_nothing_is_kept(
    world: World, tmp_path: Path, schedule: str, *, use_monitor: bool
) -> None:
    """Whether it is switched off, or the timer runs more than once a minute."""
    world.start(schedule, use_monitor=use_monitor)
    world.time += 5 * MINUTE
    assert world.wait(1)[0]["ScheduleStatus"] is None
    world.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", '{"Last": 1}', '{"Last": "x"}'])
def test_a_status_that_cannot_be_read_is_made_anew(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """It is said in the log; the timer goes on."""
    (tmp_path / "t.status.json").write_text(content)
    world.start("0 */5 * * * *")
    world.time += 5 * MINUTE
    assert world.wait(1)[0]["IsPastDue"] is False
    assert "made anew" in caplog.text


def test_a_timer_function_gets_its_request(tmp_path: Path) -> None:
    """%SETTING% in the schedule; past due after a pause between two hosts, kept in data."""
    code = """
@app.timer_trigger(arg_name="timer", schedule="%WHEN%")
def tick(timer: func.TimerRequest) -> None:
    probe.say((timer.past_due, timer.schedule_status["Last"][:4]))
"""
    settings = {"WHEN": "0 0 * * * *"}
    times = [START]
    options: dict[str, Any] = {"data": tmp_path / "data", "now": lambda: times[-1]}
    with running(tmp_path / "app", code, settings, **options) as host:
        assert host.wait_idle(SECONDS)
        assert probe.said == []
    times.append(START + 3 * HOUR)
    with running(tmp_path / "app", code, settings, **options):
        assert probe.wait(1) == [(True, "0001")]


def test_a_timer_that_does_not_end_counts_as_missed(tmp_path: Path) -> None:
    """Left at the end of the host's grace, its run is due again at the next start."""
    code = """
@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *", run_on_startup=True)
def tick(timer: func.TimerRequest) -> None:
    probe.say(timer.past_due)
    probe.hold()
"""
    times = [START]
    with running(tmp_path / "app", code, data=tmp_path, now=lambda: times[-1]) as host:
        probe.wait(1)
        host.stop(grace=0.1)
        probe.gate.set()
    status = json.loads((tmp_path / "timers" / "tick.status.json").read_text())
    assert status["Last"].startswith("0001")
