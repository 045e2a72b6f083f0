"""What the exit codes of all commands mean."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended; docs/cli.md is written from it."""

    OK = 0
    FAILED = 1
    NOT_RUN = 2
    GAPS = 3
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What it means for any command."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "it did what it was asked",
    Exit.FAILED: "an error, which the last line tells; or the answer is that something is wrong",
    Exit.NOT_RUN: "it was not run: wrong usage, or nothing could be asked",
    Exit.GAPS: "there are gaps",
    # As shells have it for a process that SIGINT ended.
    Exit.INTERRUPTED: "Ctrl-C",
}
