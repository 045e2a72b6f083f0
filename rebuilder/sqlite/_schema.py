"""The tables of the embedded store, and how a file of an older version gets them."""

from __future__ import annotations

import sqlite3

VERSION = 2

TABLES = """
CREATE TABLE IF NOT EXISTS pushes (
    push TEXT PRIMARY KEY, repository TEXT NOT NULL, pushed_at TEXT, event TEXT NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL, deliveries INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS pushes_by_repository ON pushes (repository);
CREATE TABLE IF NOT EXISTS ignored (
    source TEXT NOT NULL, subject TEXT NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL, deliveries INTEGER NOT NULL,
    PRIMARY KEY (source, subject, code, sentence));
CREATE TABLE IF NOT EXISTS decisions (
    push TEXT NOT NULL, record TEXT NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
    PRIMARY KEY (push, record));
CREATE TABLE IF NOT EXISTS rebuilds (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (task, sequence));
CREATE TABLE IF NOT EXISTS unsettled (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outputs (
    image TEXT NOT NULL, task TEXT NOT NULL, sequence INTEGER NOT NULL, finished_at TEXT NOT NULL,
    PRIMARY KEY (image, task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bookmarks (
    name TEXT PRIMARY KEY, place TEXT NOT NULL, owner TEXT NOT NULL, lease_until TEXT,
    version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
    queue TEXT NOT NULL, body TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (queue, body));
CREATE TABLE IF NOT EXISTS dead_letters (
    id TEXT PRIMARY KEY, origin TEXT NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL, replayed_at TEXT);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, queue TEXT NOT NULL, body TEXT NOT NULL, receipt TEXT NOT NULL,
    dequeue_count INTEGER NOT NULL, inserted_at REAL NOT NULL, visible_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, visible_at);
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS views (
    task TEXT PRIMARY KEY, registry TEXT NOT NULL, read_at TEXT NOT NULL, record TEXT);
CREATE INDEX IF NOT EXISTS views_by_registry ON views (registry, read_at);
CREATE TABLE IF NOT EXISTS dependents (
    repository TEXT NOT NULL, task TEXT NOT NULL, PRIMARY KEY (repository, task)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dependents_by_task ON dependents (task);
CREATE TABLE IF NOT EXISTS refreshes (
    registry TEXT PRIMARY KEY, refreshed_at TEXT, started TEXT, after TEXT);
"""

# Version 1 did not keep apart what something is still to happen to.
_FROM_1 = (
    "INSERT OR IGNORE INTO unsettled SELECT task, sequence FROM rebuilds"
    " WHERE json_extract(record, '$.state') IN ('claimed', 'scheduled')"
)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file; 0 if it has no tables."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def make_tables(connection: sqlite3.Connection, version: int) -> None:
    """Make the tables of this version from those of an older one, inside a transaction."""
    for statement in filter(str.strip, TABLES.split(";")):
        connection.execute(statement)
    if version == 1:
        connection.execute(_FROM_1)
    connection.execute(f"PRAGMA user_version = {VERSION}")
