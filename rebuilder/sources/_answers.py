"""What the answers of hosts mean in the product's terms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from rebuilder._net.http import Answer
from rebuilder.core.waits import asked_wait, used_up
from rebuilder.errors import RebuilderError, SourceUnavailable, Throttled, TransientError
from rebuilder.settings.table import SOURCE_CREDENTIALS

_LONGEST_WAIT = timedelta(hours=1)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def commit_id(text: str, url: str) -> str:
    """Return a commit's id as a host told it.

    Raises:
        SourceUnavailable: It is none.
    """
    if not _COMMIT.fullmatch(text):
        raise SourceUnavailable(f"{url}: what the host tells of the branch is no commit")
    return text


def problem(answer: Answer, what: str, host: str, *, shown: bool) -> RebuilderError:
    """Return the error that an answer which is no success stands for.

    Args:
        answer: The answer.
        what: What was asked for.
        host: Whose credential it may be about.
        shown: Whether the host was shown a credential.
    """
    status, headers = answer.status, answer.headers
    now = datetime.now(UTC)
    limited = status == HTTPStatus.FORBIDDEN and (
        "Retry-After" in headers or used_up(headers, now, _LONGEST_WAIT) is not None
    )
    if status == HTTPStatus.TOO_MANY_REQUESTS or limited:
        wait = asked_wait(headers, now, _LONGEST_WAIT)
        return Throttled(f"{what}: {host} asks to wait", wait)
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
