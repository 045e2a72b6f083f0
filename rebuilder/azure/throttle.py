"""How ARM is asked: few requests at once, none while it asks to wait, no stubborn repetition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy

from rebuilder.azure._clients import TIMEOUTS
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.waits import RETRY_AFTER
from rebuilder.errors import Throttled, TransientError
from rebuilder.telemetry import metrics, signals

CONCURRENCY = 8
_PATIENCE_SECONDS = 60.0


class Kind(StrEnum):
    """What ARM counts apart."""

    READ = "read"
    WRITE = "write"


class ArmThrottle:
    """Bounds the requests that one instance has under way.

    Args:
        concurrency: How many in a subscription; in a registry half of it, at least one.
        clock: Seconds that only grow.
    """

    def __init__(
        self, concurrency: int = CONCURRENCY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._places: dict[str, threading.Semaphore] = {}
        self._rests: dict[tuple[RegistryId, Kind], float] = {}

    @contextmanager
    def request(
        self, registry: RegistryId, kind: Kind = Kind.READ, patience: float = _PATIENCE_SECONDS
    ) -> Iterator[None]:
        """Wait for a place, and give it back after the block.

        Args:
            registry: What the request is about.
            kind: What ARM counts it as.
            patience: Seconds to wait for a place.

        Raises:
            Throttled: ARM asked to wait, a moment ago; nothing was sent.
            TransientError: There was no place in time; nothing was sent.
        """
        left = self._rests.get((registry, kind), 0.0) - self._clock()
        if left > 0:
            text = f"{registry}: ARM asked to wait with each {kind}, {left:.0f} s from now"
            raise Throttled(text, timedelta(seconds=left))
        deadline = time.monotonic() + patience
        # The registry first: who waits for a busy one takes no place of the subscription's.
        with (
            self._place(str(registry), max(1, self._concurrency // 2), deadline),
            self._place(registry.subscription, self._concurrency, deadline),
        ):
            try:
                yield
            except Throttled as error:
                wait = error.retry_after or timedelta()
                self._rests[registry, kind] = self._clock() + wait.total_seconds()
                raise

    @contextmanager
    def _place(self, name: str, places: int, deadline: float) -> Iterator[None]:
        free = self._places.setdefault(name, threading.Semaphore(places))
        if not free.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TransientError(f"{name}: {places} requests are under way, and none ended in time")
        try:
            yield
        finally:
            free.release()


class ReadRetryPolicy(RetryPolicy[Any, Any]):
    """Sends a read again after an error, twice and soon.

    Where ARM says how long to wait, nobody waits here with a thread and a place: the message
    goes back to its queue for so long. The SDK's own policy would sleep, up to ten times.
    """

    def __init__(self) -> None:
        super().__init__(retry_total=2)

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Tell whether a response is worth another request."""
        if signals.on():
            _tell(response)
        answer = response.http_response
        told = {str(name).lower() for name in answer.headers}
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS or told.intersection(RETRY_AFTER):
            return False
        return super().is_retry(settings, response)


def _tell(response: PipelineResponse[Any, Any]) -> None:
    """Count an answer, whatever becomes of it."""
    request = response.http_request
    by = {
        "server.address": urlsplit(request.url).hostname,
        "http.request.method": request.method,
        "http.response.status_code": response.http_response.status_code,
    }
    signals.tell(metrics.REQUESTS, by=by)


def arm_options(arm_endpoint: str) -> dict[str, Any]:
    """Return what every client of ARM is made with.

    Args:
        arm_endpoint: ARM's address, without a slash at the end.
    """
    return {
        "base_url": arm_endpoint,
        "credential_scopes": [f"{arm_endpoint}/.default"],
        "retry_policy": ReadRetryPolicy(),
        **TIMEOUTS,
    }
