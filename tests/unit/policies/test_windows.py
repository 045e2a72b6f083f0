from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rebuilder.core.policies.windows import AnyOf, Window, moment, opens

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
"""The last one puts its clocks forward and back by half an hour."""

CHANGES = {
    "Europe/Berlin": (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)),
}
MINUTE = timedelta(minutes=1)

windows = st.builds(
    lambda days, start, end, zone: Window(
        tuple(sorted(days)), start, end if end != start else 1440, zone
    ),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sampled_from(ZONES),
)


def on_the_wall(window: Window, at: datetime) -> bool:
    """Tell by a clock on a wall whether a window is open, the long way."""
    local = at.astimezone(ZoneInfo(window.zone)).replace(tzinfo=None)
    for back in (0, 1):
        day = local.date() - timedelta(days=back)
        if day.weekday() not in window.days:
            continue
        begins = datetime.combine(day, time()) + window.start * MINUTE
        length = (window.end - window.start) % 1440 or 1440
        if begins <= local < begins + length * MINUTE:
            return True
    return False


@given(windows, st.sampled_from([0, 1]), st.integers(-72 * 60, 72 * 60))
def test_a_window_is_what_a_clock_on_the_wall_shows(
    window: Window, change: int, minutes: int
) -> None:
    """Around both changes of daylight saving, in three zones."""
    at = CHANGES[window.zone][change] + minutes * MINUTE

    assert window.open(at) == on_the_wall(window, at)


@given(windows, st.sampled_from([0, 1]), st.integers(-48 * 60, 48 * 60))
@example(Window((6,), 2 * 60, 3 * 60, "Europe/Berlin"), 0, -60)
@example(Window((6,), 60, 150, "Europe/Berlin"), 1, 35)
def test_a_window_opens_at_the_first_moment_that_is_in_it(
    window: Window, change: int, minutes: int
) -> None:
    """Nothing before it is, to the minute; a window that is open opens now."""
    at = CHANGES[window.zone][change] + minutes * MINUTE
    opening = window.opens(at)

    assert opening is not None
    assert window.open(opening)
    before = at
    while before < opening:
        assert not on_the_wall(window, before), before
        before += 7 * MINUTE if opening - before > 8 * MINUTE else MINUTE
    if opening > at:
        assert not window.open(opening - timedelta(seconds=1))


def test_a_window_in_an_hour_that_is_skipped_opens_a_week_later() -> None:
    """On the Sunday on which Berlin has no time from 2 to 3."""
    window = Window((6,), 2 * 60, 3 * 60, "Europe/Berlin")

    opening = window.opens(datetime(2026, 3, 28, 12, tzinfo=UTC))

    assert opening == datetime(2026, 4, 5, 0, tzinfo=UTC)


def test_a_window_in_an_hour_that_comes_twice_opens_twice() -> None:
    """It is open for two hours, by the clock on the wall for one."""
    window = Window((6,), 2 * 60, 3 * 60, "Europe/Berlin")
    begins = datetime(2026, 10, 25, 0, tzinfo=UTC)

    opened = [m for m in range(0, 240, 10) if window.open(begins + m * MINUTE)]

    assert opened == list(range(0, 120, 10))


def test_windows_that_begin_on_one_day_end_on_the_next() -> None:
    """The day is that on which it begins."""
    window = Window((0,), 22 * 60, 4 * 60, "UTC")  # Monday
    tuesday = datetime(2026, 11, 24, tzinfo=UTC)

    assert window.open(tuesday - timedelta(hours=2))
    assert window.open(tuesday + timedelta(hours=3, minutes=59))
    assert not window.open(tuesday + timedelta(hours=4))
    assert not window.open(tuesday + timedelta(hours=23))


@pytest.mark.parametrize(
    ("each", "opening"),
    [
        ((), datetime(2026, 11, 26, 12, tzinfo=UTC)),
        (((Window((0,), 0, 60, "UTC"), Window((3,), 780, 840, "UTC")),), (26, 13)),
        (((Window((0, 4), 0, 60, "UTC"),), (Window((4, 5), 30, 90, "UTC"),)), (27, 0, 30)),
        (((Window((0,), 0, 60, "UTC"),), (Window((1,), 0, 60, "UTC"),)), None),
    ],
)
def test_one_window_of_each_group_has_to_be_open(each: tuple[AnyOf, ...], opening: object) -> None:
    """Windows of one group add up; groups do not. What is never open has no moment."""
    found = opens(each, datetime(2026, 11, 26, 12, tzinfo=UTC))

    if isinstance(opening, tuple):
        day, *rest = opening
        hour, minute = (*rest, 0)[:2]
        opening = datetime(2026, 11, day, hour, minute, tzinfo=UTC)
    assert found == opening


def test_moments_of_freezes() -> None:
    """A date as an end counts as a whole; of an hour that comes twice, the whole is frozen."""
    assert moment("2026-12-23", "Europe/Berlin") == datetime(2026, 12, 22, 23, tzinfo=UTC)
    assert moment("2027-01-03", "UTC", end=True) == datetime(2027, 1, 4, tzinfo=UTC)
    twice = "2026-10-25T02:30"
    assert moment(twice, "Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment(twice, "Europe/Berlin", end=True) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    with pytest.raises(ValueError, match="Z"):
        moment("2026-10-25T02:30Z", "UTC")
