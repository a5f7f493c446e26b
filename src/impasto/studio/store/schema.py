"""The tables of the store, as numbered migrations of one SQLite file.

A store of any earlier version is migrated to the current tables when it is opened, and a missing one is created. A
store written by a newer version is rejected. Migrations that were released are never edited, their names included.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from impasto.errors import RecordError

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE assets (
        id TEXT PRIMARY KEY,             -- SHA-256 of the bytes
        media_type TEXT NOT NULL,
        extension TEXT NOT NULL,
        size INTEGER NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        created REAL NOT NULL
    );
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        purpose TEXT NOT NULL DEFAULT 'picture' CHECK (purpose IN ('picture', 'proof')),
        state TEXT NOT NULL DEFAULT 'queued'
            CHECK (state IN ('queued', 'running', 'paused', 'done', 'cancelled', 'failed')),
        wanted TEXT NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'stop', 'cancel')),
        pictures TEXT NOT NULL,          -- JSON: which asset plays which part
        options TEXT NOT NULL,           -- JSON
        steering TEXT NOT NULL DEFAULT '{}',
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        worker TEXT,
        token TEXT,                      -- changes with every claim: who holds an old one may write no more
        lease_until REAL,
        failures INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        traceback TEXT,
        step INTEGER NOT NULL DEFAULT 0,
        total_steps INTEGER,
        best_step INTEGER NOT NULL DEFAULT 0,
        obeyed INTEGER NOT NULL DEFAULT 0,  -- number of the last command that the run has obeyed
        last_event INTEGER NOT NULL DEFAULT 0,
        stopped INTEGER NOT NULL DEFAULT 0,
        record TEXT
    );
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE INDEX jobs_by_client ON jobs (client, started);
    CREATE TABLE uses (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        asset TEXT NOT NULL REFERENCES assets (id),
        PRIMARY KEY (job, asset)
    ) WITHOUT ROWID;
    CREATE INDEX uses_by_asset ON uses (asset);
    CREATE TABLE commands (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        amounts TEXT NOT NULL,           -- JSON
        created REAL NOT NULL
    );
    CREATE INDEX commands_by_job ON commands (job, number);
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,         -- from 1 in every job, without gaps
        kind TEXT NOT NULL,
        data TEXT NOT NULL,              -- JSON
        created REAL NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE results (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('preview', 'snapshot', 'final')),
        file TEXT NOT NULL,              -- name inside the job's own folder
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        PRIMARY KEY (job, step, kind)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE keepsakes (             -- films and reports of finished jobs, made when asked for
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('film', 'report')),
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'making', 'ready', 'failed')),
        created REAL NOT NULL,
        worker TEXT,
        token TEXT,
        lease_until REAL,
        failures INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        traceback TEXT,
        file TEXT,
        media_type TEXT,
        size INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (job, kind)
    ) WITHOUT ROWID;
    CREATE INDEX keepsakes_by_state ON keepsakes (state, created);
    CREATE INDEX results_by_size ON results (job, size);  -- what jobs take up, without reading the rows
    """,
    """
    -- The uploaded file's own name, as far as it was told.
    ALTER TABLE assets ADD COLUMN name TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE jobs RENAME COLUMN wanted TO target_state;
    ALTER TABLE jobs RENAME COLUMN obeyed TO applied;
    """,
    """
    -- Timelapses and reports become jobs with a source; a ready one keeps its file in the folder of the source.
    DROP INDEX jobs_by_state;
    ALTER TABLE jobs RENAME COLUMN purpose TO old_purpose;
    ALTER TABLE jobs RENAME COLUMN state TO old_state;
    ALTER TABLE jobs ADD COLUMN purpose TEXT NOT NULL DEFAULT 'picture'
        CHECK (purpose IN ('picture', 'proof', 'film', 'report'));
    ALTER TABLE jobs ADD COLUMN state TEXT NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'paused', 'done', 'canceled', 'failed'));
    ALTER TABLE jobs ADD COLUMN source TEXT REFERENCES jobs (id) ON DELETE CASCADE;
    UPDATE jobs SET purpose = old_purpose,
        state = CASE old_state WHEN 'cancelled' THEN 'canceled' ELSE old_state END;
    ALTER TABLE jobs DROP COLUMN old_purpose;
    ALTER TABLE jobs DROP COLUMN old_state;
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE INDEX jobs_by_source ON jobs (source);
    UPDATE events SET data = '{"state": "canceled"}' WHERE kind = 'state' AND data = '{"state": "cancelled"}';
    INSERT INTO jobs (id, client, purpose, state, source, pictures, options, created, failures, error, traceback)
        SELECT job || '-' || kind, '', kind,
            CASE state WHEN 'ready' THEN 'done' WHEN 'failed' THEN 'failed' ELSE 'queued' END,
            job, '{}', '{}', created, failures, error, traceback
        FROM keepsakes ORDER BY created, job, kind;
    INSERT INTO results
        SELECT job || '-' || kind, 0, 'final', file, media_type, size, 0, 0 FROM keepsakes WHERE state = 'ready';
    DROP TABLE keepsakes;
    CREATE INDEX IF NOT EXISTS results_by_size ON results (job, size);  -- older versions did not create it
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """Open one connection to a store, for one thread of one process.

    Args:
        path: the SQLite file; its folder exists.

    Returns:
        A connection in autocommit mode; transactions are begun by hand.
    """
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL survives the death of any process; only a power failure may lose the last transactions.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def migrate(connection: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Apply the migrations that a store has not had yet, one transaction each.

    Args:
        connection: from ``connect``.
        migrations: SQL scripts; the store's ``user_version`` is the number already applied.

    Raises:
        RecordError: the store has more migrations than this version.
    """
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(migrations):
                raise RecordError(
                    f"the studio's store has version {version}, and this Impasto supports up to {len(migrations)}: "
                    "update Impasto, or use a different --data folder"
                )
            if version < len(migrations):
                # Not executescript, which commits first: a migration is applied completely or not at all.
                for statement in _statements(migrations[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        if version >= len(migrations) - 1:
            return


def _statements(script: str) -> list[str]:
    """Split a script into its statements; each ends a line."""
    statements, pending = [], ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
