"""Who may pull from a registry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PullAccess:
    """Whether an identity may pull from a registry.

    Attributes:
        allowed: Whether one of its roles there allows it.
        role: The name of the role that would, in a registry of this kind.
    """

    allowed: bool
    role: str
