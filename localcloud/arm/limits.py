"""ARM's own throttling: a token bucket per subscription, principal and kind of operation.

Source: learn.microsoft.com, "Understand how Azure Resource Manager throttles requests".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated

from localcloud.arm.errors import ArmError
from localcloud.clock import Clock
from localcloud.switches import AtLeast

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)
_KINDS = {"GET": "read", "HEAD": "read", "DELETE": "delete"}

type Size = Annotated[int, AtLeast(1)]
type Rate = Annotated[float, AtLeast(0.01)]


@dataclass(slots=True)
class Limits:
    """How much ARM answers; POST counts as a write.

    Attributes:
        enabled: Whether requests are counted at all.
        read_size: How many reads a full bucket allows at once.
        read_rate: How many more reads each second of cloud time allows.
        write_size: How many writes a full bucket allows at once.
        write_rate: How many more writes each second of cloud time allows.
        delete_size: How many deletes a full bucket allows at once.
        delete_rate: How many more deletes each second of cloud time allows.
    """

    enabled: bool = False
    read_size: Size = 250
    read_rate: Rate = 25.0
    write_size: Size = 200
    write_rate: Rate = 10.0
    delete_size: Size = 200
    delete_rate: Rate = 10.0


class Throttle:
    """Counts requests against the limits.

    Args:
        clock: Cloud time, by which buckets fill again.
    """

    def __init__(self, clock: Clock) -> None:
        self.limits = Limits()
        self._clock = clock
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}  # tokens, since when

    def take(self, method: str, path: str, principal: str) -> dict[str, str]:
        """Count a request; return the headers that tell what is left.

        Raises:
            ArmError: 429; the request must have no effect.
        """
        limits, kind = self.limits, _KINDS.get(method, "write")
        if not limits.enabled:
            return {}
        size = float(getattr(limits, f"{kind}_size"))
        rate = float(getattr(limits, f"{kind}_rate"))
        match = _SUBSCRIPTION.match(path)
        scope = match[1].lower() if match else ""
        key = (scope, principal, kind)
        now = self._clock.elapsed()
        held, since = self._buckets.get(key, (size, now))
        tokens = min(size, held + (now - since) * rate)
        left = tokens - 1 if tokens >= 1 else tokens
        self._buckets[key] = (left, now)
        named = "subscription" if scope else "tenant"
        headers = {f"x-ms-ratelimit-remaining-{named}-{kind}s": str(int(left))}
        if tokens >= 1:
            return headers
        wait = math.ceil((1 - tokens) / rate)
        raise ArmError(
            429,
            "SubscriptionRequestsThrottled" if scope else "TenantRequestsThrottled",
            f"Number of '{kind}' requests for {named} '{scope}' actor '{principal}' exceeded."
            f" Please try again after '{wait}' seconds.",
            {**headers, "Retry-After": str(wait)},
        )

    def refill(self) -> None:
        """Fill every bucket."""
        self._buckets.clear()
