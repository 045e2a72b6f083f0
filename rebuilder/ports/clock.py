"""The time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

type Clock = Callable[[], datetime]
"""The time, with its zone."""
