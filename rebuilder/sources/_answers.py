"""What the answers of hosts mean in the product's terms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from rebuilder._net.http import Answer
from rebuilder.errors import RebuilderError, SourceUnavailable, Throttled, TransientError
from rebuilder.settings import SOURCE_CREDENTIALS

_LONGEST_WAIT = timedelta(hours=1)


def problem(answer: Answer, what: str, host: str, *, shown: bool) -> RebuilderError:
    """Return the error that an answer which is no success stands for.

    Args:
        answer: The answer.
        what: What was asked for.
        host: Whose credential it may be about.
        shown: Whether the host was shown a credential.
    """
    status, headers = answer.status, answer.headers
    limited = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN) and (
        headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in headers
    )
    if status == HTTPStatus.TOO_MANY_REQUESTS or limited:
        return Throttled(f"{what}: {host} asks to wait", _wait(headers))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return TransientError(f"{what}: {host} answers HTTP {status}")
    entry = f"the entry {host!r} of {SOURCE_CREDENTIALS}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        if shown:
            return SourceUnavailable(f"{what}: {host} refuses the credential; look at {entry}")
        return SourceUnavailable(f"{what}: {host} asks for a credential; add {entry}")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        # Hosts do not tell strangers what is there.
        hint = (
            f"if it is, the credential may not read it: look at {entry}"
            if shown
            else f"if it is private, add {entry}"
        )
        return SourceUnavailable(f"{what}: it is not there; {hint}")
    return SourceUnavailable(f"{what}: {host} answers HTTP {status}")


def _wait(headers: Mapping[str, str]) -> timedelta | None:
    after = headers.get("Retry-After", "")
    if after.isdecimal():
        return min(timedelta(seconds=int(after)), _LONGEST_WAIT)
    reset, now = headers.get("X-RateLimit-Reset", ""), headers.get("Date", "")
    if not reset.isdecimal() or not now:
        return None
    try:
        # The host's own clock: this machine's may differ.
        left = datetime.fromtimestamp(int(reset), UTC) - parsedate_to_datetime(now)
    except (ValueError, OverflowError):
        return None
    return min(max(left, timedelta(seconds=1)), _LONGEST_WAIT)
