"""Words that all of building has in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

type Log = Callable[[str], None]
type Find = Callable[[str], Path]
"""Finds the file or folder that a command names; it raises BuildError for one elsewhere."""

HERE = "linux/amd64"
"""The platform of the agent's machines."""


class BuildError(Exception):
    """The build failed; the message is the last line of the run's log."""
