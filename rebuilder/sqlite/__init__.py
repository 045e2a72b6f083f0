"""The embedded store: ledger and queues in one SQLite file."""

from __future__ import annotations
