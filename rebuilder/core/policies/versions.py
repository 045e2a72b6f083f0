"""The versions of the policy file."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class PolicyVersion(Struct, frozen=True):
    """A version of the policy file.

    Attributes:
        number: Counts the versions from 1; 0 for one that was not applied by the product.
        token: What a store tells it by from what came after it.
        text: The file.
        who: Who applied it; "" if that is not known.
        at: When; None if that is not known.
        because: Why.
    """

    number: int
    token: str
    text: str
    who: str = ""
    at: datetime | None = None
    because: str = ""
