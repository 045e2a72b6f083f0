"""The boundaries of a call: where a process can be killed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from rebuilder import isolation
from rebuilder.sqlite import _database

KILLED = 137


class Boundaries:
    """Counts the effects of a call, and ends the process at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.kill_at: int | None = None
        self.reads = True  # whether a request that changes nothing is one

    def pass_(self) -> None:
        """One more boundary is reached."""
        if self.count == self.kill_at:
            os._exit(KILLED)  # as SIGKILL: no clean-up whatever
        self.count += 1


BOUNDARIES = Boundaries()


class _Connection(sqlite3.Connection):
    """Every transaction that is committed, and every change by itself, is two boundaries."""

    def commit(self) -> None:
        BOUNDARIES.pass_()
        super().commit()
        BOUNDARIES.pass_()

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # noqa: ANN401 - passed on
        alone = not self.in_transaction and sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if alone:
            BOUNDARIES.pass_()
        cursor = super().execute(sql, *parameters)
        if alone:
            BOUNDARIES.pass_()
        return cursor


class Watched:
    """Every request to Azure is two boundaries."""

    def __init__(self, port: object) -> None:
        self._port = port

    def __getattr__(self, name: str) -> object:
        method = getattr(self._port, name)
        if name != "schedule" and not BOUNDARIES.reads:
            return cast("object", method)

        def call(*args: object, **options: object) -> object:
            BOUNDARIES.pass_()
            answer = method(*args, **options)
            BOUNDARIES.pass_()
            return answer

        return call


def count(patch: pytest.MonkeyPatch) -> None:
    """Count at the lowest level: commits of SQLite, requests to Azure, one at a time."""

    def connected(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    patch.setattr(_database, "_connected", connected)
    patch.setattr(isolation, "AT_ONCE", 1)
