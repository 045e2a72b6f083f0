from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.times import utc_time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+14:00", datetime(2026, 1, 1, 13, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_come_in_utc(text: str, time: datetime) -> None:
    """Whatever zone they were written in."""
    read = utc_time(text)

    assert read == time
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "9" * 5000, "2026-13-01", "2026-01-02T03:04:05+99:00"),
        *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59"),
        *("1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9000-01-01T00:00:00Z"),
    ],
)
def test_the_ends_of_time_are_none(text: str) -> None:
    """What could not be shown or counted with is refused like any other nonsense."""
    with pytest.raises(ValueError, match=r"Invalid|between 1970 and 9000|must be"):
        utc_time(text)


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))))
)
def test_what_is_read_can_be_counted_with(time: datetime) -> None:
    """A day more or less, and any zone, are possible."""
    try:
        read = utc_time(time.isoformat())
    except ValueError:
        return

    assert read == time
    for days in (-1, 1):
        (read + timedelta(days=days)).astimezone(timezone(timedelta(hours=14 * days)))
