from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.waits import asked_wait, retry_after, used_up

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONGEST = timedelta(hours=6)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
DATE = "Fri, 02 Jan 2026 03:04:05 GMT"
EPOCH = int(NOW.timestamp())
MANY = "9" * 5000


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry-After": "90"}, timedelta(seconds=90)),
        ({"RETRY-AFTER": " 90 "}, timedelta(seconds=90)),
        ({"Retry-After": "1.5"}, SECOND),
        ({"Retry-After": "0"}, SECOND),
        ({"Retry-After": "99999999999999999999"}, LONGEST),
        ({"Retry-After": MANY}, LONGEST),
        ({"Retry-After": "0" * 5000 + "7"}, timedelta(seconds=7)),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "-" + MANY}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e999"}, None),
        ({"Retry-After": "NaN"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "5, 10"}, None),
        ({"Retry-After": "Fri, 02 Jan 2026 03:14:05 GMT"}, timedelta(minutes=10)),
        ({"Retry-After": "Fri, 02 Jan 2026 03:14:05"}, timedelta(minutes=10)),
        ({"Retry-After": "Fri, 02 Jan 2026 03:14:05 -0000"}, timedelta(minutes=10)),
        ({"Retry-After": "Fri, 02 Jan 2026 05:14:05 +0200"}, timedelta(minutes=10)),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, SECOND),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"}, None),
        ({"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359"}, SECOND),
        ({"Retry-After": f"Fri, 02 Jan {MANY} 00:00:00 GMT"}, None),
        ({"Retry-After": "Fri, 02 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"Retry-After": "Fri, 02 Jan 2026 03:14:05 GMT", "Date": DATE}, timedelta(minutes=10)),
        # The server's clock is ten minutes ahead, and it waits by that one.
        (
            {
                "Retry-After": "Fri, 02 Jan 2026 03:15:05 GMT",
                "Date": "Fri, 02 Jan 2026 03:14:05 GMT",
            },
            MINUTE,
        ),
        (
            {"Retry-After": "Fri, 02 Jan 2026 03:14:05 GMT", "Date": "Fri, 02 Jan 2026 03:04:05"},
            timedelta(minutes=10),
        ),
        ({"Retry-After": "Fri, 02 Jan 2026 03:14:05 GMT", "Date": MANY}, timedelta(minutes=10)),
        ({"retry-after-ms": "2500"}, timedelta(seconds=2.5)),
        ({"x-ms-retry-after-ms": MANY}, LONGEST),
        ({"x-ms-retry-after-ms": "inf"}, None),
        ({"Retry-After": "soon", "x-ms-retry-after-ms": "2000"}, timedelta(seconds=2)),
    ],
)
def test_what_retry_after_says(headers: dict[str, str], wait: timedelta | None) -> None:
    """Seconds, milliseconds or a date, within bounds; nonsense says nothing."""
    assert retry_after(headers, NOW, LONGEST) == wait


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"ratelimit-remaining": "99;w=21600"}, None),
        ({"ratelimit-remaining": "many"}, None),
        ({"ratelimit-remaining": MANY}, None),
        ({"ratelimit-remaining": "-1"}, None),
        ({"ratelimit-reset": "600"}, None),
        ({"ratelimit-remaining": "0"}, MINUTE),
        ({"ratelimit-remaining": "000"}, MINUTE),
        ({"ratelimit-remaining": "0;w=21600"}, LONGEST),
        ({"ratelimit-remaining": "0; w=600"}, timedelta(minutes=10)),
        ({"ratelimit-remaining": "0;w=99999999999999999"}, LONGEST),
        ({"ratelimit-remaining": "0;w=" + MANY}, LONGEST),
        ({"ratelimit-remaining": "0;w=21600", "ratelimit-reset": "600"}, timedelta(minutes=10)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "2"}, MINUTE),
        ({"ratelimit-remaining": "0", "ratelimit-reset": MANY}, LONGEST),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "-1"}, MINUTE),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": str(EPOCH + 600)}, timedelta(minutes=10)),
        (
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 600)},
            timedelta(minutes=10),
        ),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str(EPOCH + 600)}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH - 600)}, SECOND),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 30}, LONGEST),
        (
            {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(EPOCH + 660),
                "Date": "Fri, 02 Jan 2026 03:14:05",
            },
            MINUTE,
        ),
        (
            {"X-RateLimit-Remaining": "5", "RateLimit-Remaining": "0", "RateLimit-Reset": "90"},
            timedelta(seconds=90),
        ),
    ],
)
def test_when_there_are_requests_again(headers: dict[str, str], wait: timedelta | None) -> None:
    """In every spelling, as a time or as seconds, within bounds."""
    assert used_up(headers, NOW, LONGEST) == wait


def test_retry_after_goes_first() -> None:
    """It is about this request; the rate limit is about all of them."""
    limits = {"ratelimit-remaining": "0;w=600"}

    assert asked_wait({**limits, "Retry-After": "5"}, NOW, LONGEST) == timedelta(seconds=5)
    assert asked_wait({**limits, "Retry-After": "soon"}, NOW, LONGEST) == timedelta(minutes=10)
    assert asked_wait({}, NOW, LONGEST) is None


NAMES = st.sampled_from(
    [
        *("Retry-After", "retry-after-ms", "Date", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
        *("ratelimit-remaining", "ratelimit-reset"),
    ]
)
VALUES = (
    st.text(max_size=80)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.from_regex(r"(Mon|Fri), [0-9]{1,3} (Jan|Feb) [0-9]{1,9} [0-9:]{1,9}( [+-][0-9]{1,8})?")
)


@given(st.dictionaries(NAMES, VALUES), st.integers(min_value=1, max_value=10**6))
def test_no_header_raises(headers: dict[str, str], most: int) -> None:
    """Whatever stands in them, there is an answer within the bounds, or none."""
    longest = timedelta(seconds=most)
    wait = asked_wait(headers, NOW, longest)

    assert wait is None or timedelta() < wait <= longest
