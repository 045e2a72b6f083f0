"""The tables of the embedded store, and how a file of an older version gets them.

Times are texts that sort as the times do; see `time_text`.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from rebuilder.core.events.pushes import repository_of
from rebuilder.core.rebuilds.records import VERSION
from rebuilder.core.times import time_text

TABLES = """
CREATE TABLE IF NOT EXISTS pushes (
    push TEXT PRIMARY KEY, repository TEXT NOT NULL, pushed_at TEXT, event TEXT NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL, deliveries INTEGER NOT NULL,
    tag TEXT, digest TEXT, planned INTEGER NOT NULL DEFAULT 0, pushed_last TEXT);
CREATE INDEX IF NOT EXISTS pushes_by_tag ON pushes (repository, tag, last_at);
CREATE INDEX IF NOT EXISTS pushes_by_digest ON pushes (repository, digest, last_at);
CREATE INDEX IF NOT EXISTS pushes_by_day ON pushes (first_at);
CREATE INDEX IF NOT EXISTS pushes_by_age ON pushes (last_at);
CREATE INDEX IF NOT EXISTS pushes_unplanned ON pushes (first_at) WHERE planned = 0;
CREATE TABLE IF NOT EXISTS ignored (
    source TEXT NOT NULL, subject TEXT NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL, deliveries INTEGER NOT NULL, repository TEXT,
    PRIMARY KEY (source, subject, code, sentence));
CREATE INDEX IF NOT EXISTS ignored_by_repository ON ignored (source, repository, last_at);
CREATE INDEX IF NOT EXISTS ignored_by_age ON ignored (last_at);
CREATE TABLE IF NOT EXISTS decisions (
    push TEXT NOT NULL, record TEXT NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
    task TEXT, PRIMARY KEY (push, record));
CREATE INDEX IF NOT EXISTS decisions_by_task ON decisions (push, task);
CREATE INDEX IF NOT EXISTS decisions_by_age ON decisions (last_at);
CREATE TABLE IF NOT EXISTS rebuilds (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (task, sequence));
CREATE INDEX IF NOT EXISTS successes ON rebuilds (task, sequence)
    WHERE json_extract(record, '$.state') = 'succeeded';
CREATE TABLE IF NOT EXISTS unsettled (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chains (
    member TEXT NOT NULL, task TEXT NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (member, task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outputs (
    image TEXT NOT NULL, task TEXT NOT NULL, sequence INTEGER NOT NULL, finished_at TEXT NOT NULL,
    PRIMARY KEY (image, task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bookmarks (
    name TEXT PRIMARY KEY, place TEXT NOT NULL, owner TEXT NOT NULL, lease_until TEXT,
    version INTEGER NOT NULL, kept_until TEXT);
CREATE INDEX IF NOT EXISTS bookmarks_by_age ON bookmarks (kept_until)
    WHERE kept_until IS NOT NULL;
CREATE TABLE IF NOT EXISTS failures (
    queue TEXT NOT NULL, body TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (queue, body));
CREATE INDEX IF NOT EXISTS failures_by_age ON failures (at);
CREATE TABLE IF NOT EXISTS dead_letters (
    id TEXT PRIMARY KEY, origin TEXT NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL, replayed_at TEXT);
CREATE INDEX IF NOT EXISTS dead_letters_by_age ON dead_letters (replayed_at, at);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, queue TEXT NOT NULL, body TEXT NOT NULL, receipt TEXT NOT NULL,
    dequeue_count INTEGER NOT NULL, inserted_at REAL NOT NULL, visible_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, visible_at);
CREATE TABLE IF NOT EXISTS views (
    task TEXT PRIMARY KEY, registry TEXT NOT NULL, read_at TEXT NOT NULL, record TEXT);
CREATE INDEX IF NOT EXISTS views_by_registry ON views (registry, read_at);
CREATE TABLE IF NOT EXISTS dependents (
    repository TEXT NOT NULL, task TEXT NOT NULL, PRIMARY KEY (repository, task)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dependents_by_task ON dependents (task);
CREATE TABLE IF NOT EXISTS refreshes (
    registry TEXT PRIMARY KEY, refreshed_at TEXT, started TEXT, after TEXT);
"""

# Version 1 did not keep apart what something is still to happen to, and had not all the tables.
_FROM_1 = """
CREATE TABLE IF NOT EXISTS unsettled (
    task TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (task, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bookmarks (
    name TEXT PRIMARY KEY, place TEXT NOT NULL, owner TEXT NOT NULL, lease_until TEXT,
    version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
    queue TEXT NOT NULL, body TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (queue, body));
CREATE TABLE IF NOT EXISTS dead_letters (
    id TEXT PRIMARY KEY, origin TEXT NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL, replayed_at TEXT);
INSERT OR IGNORE INTO unsettled SELECT task, sequence FROM rebuilds
    WHERE json_extract(record, '$.state') IN ('claimed', 'scheduled');
"""

# Version 2 found pushes by their repository and decisions by their push only. Its pushes count as
# planned if something was decided after them; nobody knows until when its waits are to be counted.
_FROM_2 = """
ALTER TABLE pushes ADD COLUMN tag TEXT;
ALTER TABLE pushes ADD COLUMN digest TEXT;
ALTER TABLE pushes ADD COLUMN planned INTEGER NOT NULL DEFAULT 0;
UPDATE pushes SET tag = part(push, 2), digest = part(push, 3),
    planned = EXISTS (SELECT 1 FROM decisions WHERE decisions.push = pushes.push),
    first_at = sortable(first_at), last_at = sortable(last_at);
DROP INDEX IF EXISTS pushes_by_repository;
ALTER TABLE ignored ADD COLUMN repository TEXT;
UPDATE ignored SET repository = repository_of(subject),
    first_at = sortable(first_at), last_at = sortable(last_at);
ALTER TABLE decisions ADD COLUMN task TEXT;
UPDATE decisions SET task = json_extract(record, '$.task'),
    first_at = sortable(first_at), last_at = sortable(last_at);
ALTER TABLE bookmarks ADD COLUMN kept_until TEXT;
DELETE FROM bookmarks WHERE name GLOB 'wait/*';
UPDATE failures SET at = sortable(at);
UPDATE dead_letters SET at = sortable(at),
    replayed_at = CASE WHEN replayed_at IS NULL THEN NULL ELSE sortable(replayed_at) END;
DROP TABLE IF EXISTS queues;
CREATE TABLE chains (
    member TEXT NOT NULL, task TEXT NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (member, task, sequence)) WITHOUT ROWID;
INSERT OR IGNORE INTO chains SELECT value, rebuilds.task, rebuilds.sequence
    FROM unsettled JOIN rebuilds USING (task, sequence),
    json_each(coalesce(json_extract(record, '$.chain'), '[]'));
"""

# Of version 3, what came after 0.2.0, which goes on with such a file as with its own.
_WITHIN_3 = "ALTER TABLE pushes ADD COLUMN pushed_last TEXT;"
_UPGRADES = {1: _FROM_1 + _FROM_2 + _WITHIN_3, 2: _FROM_2 + _WITHIN_3, 3: _WITHIN_3}


def _sortable(text: str) -> str:
    try:
        return time_text(datetime.fromisoformat(text))
    except ValueError:
        return text


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file; 0 if it has no tables."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def complete(connection: sqlite3.Connection) -> bool:
    """Tell whether a file has all that this version keeps."""
    columns = connection.execute("PRAGMA table_info(pushes)").fetchall()
    return version_of(connection) == VERSION and "pushed_last" in {name for _, name, *_ in columns}


def make_tables(connection: sqlite3.Connection, version: int) -> None:
    """Make the tables of this version from those of an older one, inside a transaction."""
    connection.create_function("part", 2, lambda text, place: text.split("|")[place])
    connection.create_function("repository_of", 1, repository_of)
    connection.create_function("sortable", 1, _sortable)
    for script in (_UPGRADES.get(version, ""), TABLES):
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
