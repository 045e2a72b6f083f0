"""Azure's errors in the product's terms, translated in this one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from rebuilder.core.waits import retry_after
from rebuilder.errors import (
    Denied,
    NotFound,
    OutcomeUnknown,
    RebuilderError,
    Refused,
    Throttled,
    TransientError,
)

_WORDS, _CODE = 500, 100  # characters
_THROTTLED = 429
_NOT_FOUND = 404
_DENIED = (401, 403)
_TIMEOUT = 408
_SERVER = 500
# ARM counts by the hour at most.
_LONGEST_WAIT = timedelta(hours=1)


@contextmanager
def translated(action: str, *, once: bool = False) -> Iterator[None]:
    """Turn what Azure's SDKs raise inside the block into the product's errors.

    Args:
        action: What is being done, to which resource, for the message.
        once: The request has an effect that must not happen twice, so an unclear end is
            OutcomeUnknown.
    """
    try:
        yield
    except RebuilderError:
        raise
    except AzureError as error:
        raise _translate(error, action, once=once) from error


@contextmanager
def answered(action: str, *, once: bool = False) -> Iterator[None]:
    """Do as `translated`, and turn what an answer of another shape raises into an error, too.

    The SDKs' models take any JSON, and raise whatever they do at the first field that is not what
    they expect. That is a service out of order, about one thing, and no fault of who asked.
    """
    with translated(action, once=once):
        try:
            yield
        except _SHAPE as error:
            unclear = OutcomeUnknown if once else TransientError
            name = type(error).__name__
            raise unclear(f"{action}: the answer is not one of Azure's ({name})") from error


_SHAPE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(RecursionError, OverflowError),
)


def no_table(error: HttpResponseError) -> bool:
    """Tell whether an error means that a table was never made."""
    # The SDK gives the code as an attribute for some operations, in the text for the others.
    code = str(getattr(error, "error_code", "")).rpartition(".")[2].replace("_", "").lower()
    return code == "tablenotfound" or "TableNotFound" in str(error)


def _translate(error: AzureError, action: str, *, once: bool) -> RebuilderError:
    unclear: type[TransientError] = OutcomeUnknown if once else TransientError
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _from_response(error, int(error.status_code), action, unclear)
    if isinstance(error, ClientAuthenticationError):
        # The SDK's text lists what was tried; the first line is what a person needs. It does not
        # tell an identity endpoint that is out of order from an identity that is not there, and
        # nothing was sent either way: it is tried again, and given up when that lasts.
        text = _plain((str(error.message).splitlines() or [""])[0])
        # That everything was tried says nothing.
        why = "" if text.startswith("DefaultAzureCredential failed") else f": {text}"
        return TransientError(
            f"{action}: no credential{why}; in Azure, give the function app an identity,"
            " on a laptop run `az login`"
        )
    if isinstance(error, ServiceRequestError) and _never_sent(error):
        return TransientError(f"{action}: no connection ({_kind(error)})")
    return unclear(f"{action}: no usable answer ({_kind(error)})")


def _from_response(
    error: HttpResponseError, status: int, action: str, unclear: type[TransientError]
) -> RebuilderError:
    code = _plain((error.error.code if error.error else None) or f"HTTP {status}")[:_CODE]
    words = _plain((error.error.message if error.error else None) or error.reason or "")
    text = f"{action}: {code}: {words}"
    if status == _THROTTLED:
        headers: Mapping[str, str] = getattr(error.response, "headers", {})
        return Throttled(text, retry_after(headers, datetime.now(UTC), _LONGEST_WAIT))
    if status in _DENIED:
        return Denied(text)
    if status == _NOT_FOUND:
        return NotFound(text)
    if status >= _SERVER or status == _TIMEOUT or status < 400:  # noqa: PLR2004 - HTTP's errors
        return unclear(text)
    return Refused(code, text)


def _plain(words: object) -> str:
    """Return Azure's words on one line, as they can be kept: not too many, whole characters."""
    text = " ".join(str(words)[: 2 * _WORDS].split())[:_WORDS]
    return text.encode(errors="replace").decode()


def _never_sent(error: AzureError) -> bool:
    """Tell whether the connection failed before the request went out.

    azure-core raises ServiceRequestError for a connection cut after that, too, and urllib3 calls
    that one a proxy error where there is a proxy; only these two are certain.
    """
    pending: list[object] = [error.inner_exception]
    seen: set[int] = set()
    while pending:
        inner = pending.pop()
        if inner is None or id(inner) in seen:
            continue
        seen.add(id(inner))
        if isinstance(inner, ConnectTimeoutError | NewConnectionError):
            return True
        if isinstance(inner, BaseException):
            reason = getattr(inner, "reason", None)
            pending += [reason, inner.__cause__, inner.__context__, *inner.args]
    return False


def _kind(error: AzureError) -> str:
    return type(error.inner_exception or error).__name__
