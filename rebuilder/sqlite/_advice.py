"""What is the matter with a file, and what to do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

BUSY_SECONDS = 30

_LOCKED = (
    f"is locked for longer than {BUSY_SECONDS} s: end what else holds it open, a backup or another"
    " program's transaction"
)

_FULL = (
    "cannot grow: its disk is full, or a limit on its size is reached; make room. What was"
    " accepted is kept, and what could not be is told again"
)

_DISK = (
    "cannot be read or written by its disk ({0}): see the system's log, and whether it is mounted"
)

_READ_ONLY = (
    "may not be written: give the account that this runs as the right to write the file and its"
    " folder, or mount it for writing"
)

_DAMAGED = (
    "is damaged, or is no database ({0}): stop what uses it, move it and its -wal and -shm files"
    " away, and put the last copy in its place; without one an empty one is made, and the next"
    " sweep finds what is to be rebuilt"
)

A_FOLDER = "is a folder: write AzureWebJobsStorage=sqlite:FILE"
NO_FOLDER = "cannot be made, for there is no folder for it and none can be made"

_NOT_OPENED = (
    "cannot be opened: see that its folder is one, and that the account that this runs as may use"
    " it"
)

NOT_UPGRADED = (
    "is of version {0} and may not be written, so it cannot get what this program keeps besides:"
    " run any command once as an account that may write it"
)


def advice(path: Path, name: str, error: sqlite3.Error) -> str:
    """Return what is the matter with a file, by SQLite's error, and what to do.

    Source: sqlite.org/rescode.html.
    """
    match name.split("_")[1]:
        case "BUSY" | "LOCKED":
            return _LOCKED
        case "FULL":
            return _FULL
        case "IOERR":
            return _FULL if _no_room(path) else _DISK.format(name)
        case "READONLY" | "PERM" | "AUTH":
            return _READ_ONLY
        case "CORRUPT" | "NOTADB":
            return _DAMAGED.format(name)
        case "CANTOPEN":
            return _FULL if _no_room(path) else _NOT_OPENED
    return f"cannot be used: {error} ({name})"


def _no_room(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    # What is no disk, such as /proc, has no blocks at all.
    return found.f_blocks > 0 and found.f_bavail == 0
