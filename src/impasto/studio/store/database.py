"""The store: assets, jobs, commands, events and results in one SQLite file, images in folders next to it.

This is the API's side, which returns rows as value objects; the worker's side (claims, leases, events) is ``lease``.
Every change to a job happens in a BEGIN IMMEDIATE transaction, so any process may be killed between any two statements.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from impasto.studio.store import schema
from impasto.studio.store.records import (
    OVER,
    Asset,
    Command,
    ConflictError,
    Job,
    NotFoundError,
    Purpose,
    QueueFullError,
    QueueLimits,
    State,
    StoredEvent,
    StoredResult,
    job_from_row,
)


class Store:
    """A data folder: ``studio.sqlite3``, ``assets/``, ``jobs/<id>/``, ``incoming/``.

    Args:
        folder: created if missing.
        clock: returns seconds since the epoch.

    Raises:
        RecordError: the store was written by a newer version.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self._local = threading.local()
        for name in ("assets", "jobs", "incoming"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        schema.migrate(self.connection())

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened at first use."""
        if getattr(self._local, "process", None) != os.getpid():
            self._local.connection = schema.connect(self.folder / "studio.sqlite3")
            self._local.process = os.getpid()
        connection: sqlite3.Connection = self._local.connection
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self._local, "process", None) == os.getpid():
            self._local.connection.close()
            self._local.process = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a write transaction: commit at the end, roll back on any exception."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job's images and checkpoints."""
        return self.folder / "jobs" / job_id

    def asset_path(self, asset: Asset) -> Path:
        """Return the path of an asset's file."""
        return self.folder / "assets" / f"{asset.id}{asset.extension}"

    # Assets ----------------------------------------------------------------------------------------------------------

    def add_asset(self, asset: Asset, incoming: Path) -> Asset:
        """Move an uploaded file into the store; the same bytes uploaded twice are one asset.

        Args:
            asset: its description; ``id`` is the SHA-256 of the bytes.
            incoming: the file in ``incoming/``, which is moved.

        Returns:
            The asset as stored.
        """
        with self.transaction() as connection:
            # The rename is inside the transaction, so that a deletion of the same asset cannot come in between.
            incoming.replace(self.asset_path(asset))
            connection.execute(
                "INSERT INTO assets VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET created = excluded.created, "  # uploaded again, so not unused
                "name = CASE excluded.name WHEN '' THEN name ELSE excluded.name END",
                (
                    asset.id, asset.media_type, asset.extension, asset.size, asset.width, asset.height, asset.created,
                    asset.name,
                ),
            )  # fmt: skip
            return self.asset(asset.id)

    def asset(self, asset_id: str) -> Asset:
        """Return an asset or raise NotFoundError."""
        row = self.connection().execute("SELECT * FROM assets WHERE id = ?", (asset_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no asset {asset_id!r}: upload the image first")
        return Asset(**row)

    def assets(self, limit: int = 200) -> list[Asset]:
        """Return the newest assets first."""
        rows = self.connection().execute("SELECT * FROM assets ORDER BY created DESC, id LIMIT ?", (limit,))
        return [Asset(**row) for row in rows]

    def delete_asset(self, asset_id: str) -> None:
        """Delete an asset that no job uses."""
        with self.transaction() as connection:
            asset = self.asset(asset_id)
            users = connection.execute("SELECT COUNT(*) FROM uses WHERE asset = ?", (asset_id,)).fetchone()[0]
            if users:
                raise ConflictError(f"{users} job(s) in the history use this image: delete the jobs first")
            connection.execute("DELETE FROM assets WHERE id = ?", (asset_id,))
            self.asset_path(asset).unlink(missing_ok=True)

    def delete_unused_assets(self, older_than_seconds: float) -> tuple[int, int]:
        """Delete the assets that no job uses and that are older than the limit; return their number and bytes."""
        with self.transaction() as connection:
            rows = connection.execute(
                "DELETE FROM assets WHERE created <= ? AND id NOT IN (SELECT asset FROM uses) RETURNING *",
                (self.clock() - older_than_seconds,),
            ).fetchall()
            unused = [Asset(**row) for row in rows]
            for asset in unused:
                self.asset_path(asset).unlink(missing_ok=True)
        return len(unused), sum(asset.size for asset in unused)

    # Jobs ------------------------------------------------------------------------------------------------------------

    def create_job(
        self,
        client: str,
        pictures: Mapping[str, object],
        assets: Sequence[str],
        options: Mapping[str, object],
        limits: QueueLimits | None = None,
        purpose: Purpose = "picture",
    ) -> Job:
        """Put a job at the end of the queue.

        Args:
            client: who submitted the job, for fair scheduling.
            pictures: asset ids by role, JSON-compatible.
            assets: every asset id in ``pictures``.
            options: by name, JSON-compatible.
            limits: on the number of waiting jobs.
            purpose: an image, or a proof (a small variation to choose from).

        Raises:
            NotFoundError: an asset does not exist.
            QueueFullError: the client, or all clients together, have too many jobs waiting.
        """
        limits = limits or QueueLimits()
        job_id = secrets.token_hex(8)
        with self.transaction() as connection:
            waiting, own = connection.execute(
                "SELECT COUNT(*), COALESCE(SUM(client = ?), 0) FROM jobs "
                "WHERE state IN ('queued', 'running', 'paused') AND source IS NULL",
                (client,),
            ).fetchone()
            if own >= limits.client:
                raise QueueFullError(
                    f"{own} of your jobs are waiting, and {limits.client} are allowed", limits.retry_after
                )
            if waiting >= limits.queue:
                raise QueueFullError(f"{waiting} jobs are waiting, and {limits.queue} are allowed", limits.retry_after)
            connection.execute(
                "INSERT INTO jobs (id, client, purpose, pictures, options, created) VALUES (?, ?, ?, ?, ?, ?)",
                (job_id, client, purpose, json.dumps(pictures), json.dumps(options), self.clock()),
            )
            for asset in dict.fromkeys(assets):
                self.asset(asset)
                connection.execute("INSERT INTO uses VALUES (?, ?)", (job_id, asset))
            self.add_event(connection, job_id, "state", {"state": "queued"})
            return self.job(job_id)

    def job(self, job_id: str) -> Job:
        """Return a job or raise NotFoundError."""
        row = self.connection().execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no job {job_id!r}")
        return job_from_row(row)

    def jobs(
        self,
        limit: int = 50,
        before: int | None = None,
        state: State | None = None,
        purpose: Purpose | None = None,
        brief: bool = False,
    ) -> list[Job]:
        """Return the newest jobs first, from below number ``before`` on, without exports; ``brief`` omits records."""
        columns = ", ".join(
            f"NULL AS {name}" if brief and name in ("record", "traceback") else name
            for name in Job.__dataclass_fields__
        )
        rows = self.connection().execute(
            f"SELECT {columns} FROM jobs "  # noqa: S608 - names of our own
            "WHERE source IS NULL AND (? IS NULL OR number < ?) AND (? IS NULL OR state = ?) "
            "AND (? IS NULL OR purpose = ?) ORDER BY number DESC LIMIT ?",
            (before, before, state, state, purpose, purpose, limit),
        )
        return [job_from_row(row) for row in rows]

    def waiting(self) -> dict[str, int]:
        """Return the number of jobs ahead of each waiting job, as if all were one client's."""
        rows = self.connection().execute(
            "SELECT id FROM jobs WHERE state = 'queued' AND source IS NULL ORDER BY purpose = 'proof', number"
        )
        return {row["id"]: position for position, row in enumerate(rows)}

    def sizes(self, job_ids: Sequence[str]) -> dict[str, int]:
        """Return the bytes of the images, timelapses and reports of each job."""
        rows = self.connection().execute(
            "WITH asked AS (SELECT value FROM json_each(?)) "
            "SELECT COALESCE(source, id), COALESCE(SUM((SELECT SUM(size) FROM results WHERE job = id)), 0) FROM jobs "
            "WHERE id IN asked OR source IN asked GROUP BY 1",
            (json.dumps(list(job_ids)),),
        )
        return dict(rows.fetchall())

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state, without exports."""
        rows = self.connection().execute("SELECT state, COUNT(*) FROM jobs WHERE source IS NULL GROUP BY state")
        return {**dict.fromkeys(get_args(State), 0), **dict(rows.fetchall())}

    def command(self, job_id: str, name: Command, amounts: Mapping[str, float] | None = None) -> Job:
        """Send a command to a job; it is stored, so that no crash loses it.

        Args:
            job_id: of the job.
            name: ``set`` steers the job with ``amounts``; the others need no values.
            amounts: option values by name, only for ``set``.

        Raises:
            NotFoundError: the job does not exist.
            ConflictError: the job has ended, or the command is not possible in its state.
        """
        with self.transaction() as connection:
            job = self.job(job_id)
            if job.over:
                raise ConflictError(f"the job is {job.state} and accepts no more commands")
            connection.execute(
                "INSERT INTO commands (job, name, amounts, created) VALUES (?, ?, ?, ?)",
                (job_id, name, json.dumps(dict(amounts or {})), self.clock()),
            )
            if name == "set":
                merged = json.dumps({**job.steering, **(amounts or {})})
                connection.execute("UPDATE jobs SET steering = ? WHERE id = ?", (merged, job_id))
            elif name != "snapshot":
                self._set_target(connection, job, name)
            return self.job(job_id)

    def _set_target(self, connection: sqlite3.Connection, job: Job, name: Command) -> None:
        """Set the target state of a job, and its state as well if no worker has claimed it."""
        target_state = {"pause": "pause", "resume": "run", "stop": "stop", "cancel": "cancel"}[name]
        if name == "resume" and job.target_state not in ("pause", "run"):
            raise ConflictError(f"the job will {job.target_state} and cannot be resumed")
        if job.target_state == "cancel" and name != "cancel":
            raise ConflictError("the job is being canceled")
        if name == "pause" and job.target_state == "stop":
            raise ConflictError("the job is being stopped")
        state: State = job.state
        if job.worker is None:
            if name == "pause":
                state = "paused"
            elif name == "cancel" or (name == "stop" and job.started is None):
                state = "canceled"
            else:
                state = "queued"
        connection.execute("UPDATE jobs SET target_state = ? WHERE id = ?", (target_state, job.id))
        if state != job.state:
            self.set_state(connection, job.id, state)

    def set_state(self, connection: sqlite3.Connection, job_id: str, state: State, **more: object) -> None:
        """Change a job's state inside a transaction, and log it."""
        ended = self.clock() if state in OVER else None
        connection.execute("UPDATE jobs SET state = ?, ended = ? WHERE id = ?", (state, ended, job_id))
        self.add_event(connection, job_id, "state", {"state": state, **more})

    def delete_job(self, job_id: str) -> None:
        """Delete a job with its images and exports; a worker that has claimed it or an export loses its lease."""
        with self.transaction() as connection:
            self.job(job_id)
            connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        shutil.rmtree(self.job_folder(job_id), ignore_errors=True)

    def sweep_job(self, job_id: str) -> None:
        """Delete the folder of a job that no longer exists."""
        known = self.connection().execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if known is None:
            shutil.rmtree(self.job_folder(job_id), ignore_errors=True)

    # Events and results ----------------------------------------------------------------------------------------------

    def add_event(self, connection: sqlite3.Connection, job_id: str, kind: str, data: Mapping[str, object]) -> int:
        """Append to a job's log inside a transaction and return the event's number."""
        row = connection.execute(
            "UPDATE jobs SET last_event = last_event + 1 WHERE id = ? RETURNING last_event", (job_id,)
        ).fetchone()
        number = int(row[0])
        connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
            (job_id, number, kind, json.dumps(data, allow_nan=False), self.clock()),
        )
        return number

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """Return a job's events with numbers above ``after``, oldest first."""
        rows = self.connection().execute(
            "SELECT number, kind, data, created FROM events WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
            (job_id, after, limit),
        )
        return [StoredEvent(**row) for row in rows]

    def results(self, job_id: str) -> list[StoredResult]:
        """Return the stored images of a job, by step."""
        rows = self.connection().execute(
            "SELECT step, kind, file, media_type, size, width, height FROM results WHERE job = ? ORDER BY step, kind",
            (job_id,),
        )
        return [StoredResult(**row) for row in rows]
