"""How long a server asks to be left alone, by the headers of its answer.

Anything may stand in a header: five thousand digits, a date without a zone, nothing that is a
number. What cannot be understood counts as not said; what is longer than anybody would wait is cut
to the longest wait of the caller. Nothing here raises.

Sources: RFC 9110, "Retry-After"; docs.github.com, REST API, rate limits (`X-RateLimit-*`, the
reset as a time); docs.docker.com/docker-hub/usage/pulls (`ratelimit-remaining: COUNT;w=SECONDS`);
the IETF's draft-ietf-httpapi-ratelimit-headers (`RateLimit-*`, the reset in seconds); azure-core's
retry policy (`retry-after-ms`, `x-ms-retry-after-ms`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

RETRY_AFTER = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms")
"""Where a wait may be asked for, in lower case."""

_LEAST = timedelta(seconds=1)
_LEAST_WINDOW = timedelta(minutes=1)
_NUMBER = re.compile(r"([0-9]+)(?:\.[0-9]*)?")
_REMAINING = re.compile(r"([0-9]+)(?:\s*;\s*w=([0-9]+))?")
_LONGEST_TEXT = 64
_MOST_DIGITS = 15  # of seconds or milliseconds: far over any wait, far under what a float holds
# Some write when the reset is, some the seconds until then; no window lasts a year.
_A_TIME = 365 * 24 * 60 * 60


def asked_wait(headers: Mapping[str, str], now: datetime, longest: timedelta) -> timedelta | None:
    """Return how long a server that refused asks to wait; None if it does not say.

    Args:
        headers: The headers of its answer, in any case.
        now: This machine's time, for servers that do not tell theirs.
        longest: The longest wait to return.
    """
    wait = retry_after(headers, now, longest)
    return used_up(headers, now, longest) if wait is None else wait


def retry_after(headers: Mapping[str, str], now: datetime, longest: timedelta) -> timedelta | None:
    """Return what Retry-After says, or its forms in milliseconds; None if it says nothing.

    See `asked_wait` for the arguments.
    """
    found = _lower(headers)
    for name in RETRY_AFTER:
        text = found.get(name, "")
        if (number := _number(text)) is not None:
            return _within(number / 1000 if name.endswith("-ms") else number, _LEAST, longest)
        if (time := _date(text)) is not None:
            left = time - (_date(found.get("date", "")) or now)
            return _within(left.total_seconds(), _LEAST, longest)
    return None


def used_up(headers: Mapping[str, str], now: datetime, longest: timedelta) -> timedelta | None:
    """Return how long a server has no more requests for us; None if it has, or does not say.

    See `asked_wait` for the arguments.
    """
    found = _lower(headers)
    for prefix in ("x-ratelimit-", "ratelimit-"):
        left = _REMAINING.fullmatch(found.get(f"{prefix}remaining", "")[:_LONGEST_TEXT].strip())
        if left is None or left[1].strip("0"):
            continue
        reset = _number(found.get(f"{prefix}reset", ""))
        if reset is None:
            return _within(_number(left[2] or "") or 0, _LEAST_WINDOW, longest)
        if reset > _A_TIME:
            # The server's own clock, if it tells: this machine's may differ.
            clock = _date(found.get("date", "")) or now
            return _within(reset - clock.timestamp(), _LEAST, longest)
        return _within(reset, _LEAST_WINDOW, longest)
    return None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _number(text: str) -> float | None:
    """Return a number that is not negative; one of too many digits is cut to a large one."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    digits = match[1].lstrip("0") or "0"
    return float(digits if len(digits) <= _MOST_DIGITS else "9" * _MOST_DIGITS)


def _date(text: str) -> datetime | None:
    if not text or len(text) > _LONGEST_TEXT:
        return None
    try:
        time = parsedate_to_datetime(text)
        # One without a zone is meant as all the others: HTTP knows no other zone.
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _within(seconds: float, least: timedelta, longest: timedelta) -> timedelta:
    wait = min(max(seconds, least.total_seconds()), longest.total_seconds())
    return timedelta(seconds=wait)
