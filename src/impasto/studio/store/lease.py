"""The worker's half of the store: claim a job, hold it by a lease, write what happens, let it go.

In: events as plain data. Out: rows, but only while the lease is held: every write names the claim's token, and a
worker that was thought dead and wakes up finds that its token is worth nothing. A job is thus claimed by one, finished
once, and never lost: whoever dies leaves a row whose lease runs out.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from impasto.errors import ImpastoError
from impasto.studio.store.database import Store
from impasto.studio.store.records import Job, State, StoredResult, job_from_row

MAX_FAILURES = 3


class LeaseLostError(ImpastoError):
    """The job belongs to somebody else by now, or is gone."""


@dataclass(frozen=True)
class QueuedCommand:
    """A steering command with its number."""

    number: int
    name: str
    amounts: dict[str, float]


@dataclass(frozen=True)
class Requests:
    """What the people want of a held job: where it should come to, and what to steer."""

    target_state: str
    commands: tuple[QueuedCommand, ...]
    others_wait: bool


def worker_name() -> str:
    """Return a name that tells host and process, for people and for ``release_dead``."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def claim(store: Store, worker: str, lease_seconds: float, max_failures: int = MAX_FAILURES) -> Lease | None:
    """Take the next job: one whose worker died, else the longest-waiting client's oldest; its
    pictures come before its proofs, since one may go on from a proof while others still wait.

    Args:
        store: where.
        worker: who claims.
        lease_seconds: how long the claim holds without a heartbeat.
        max_failures: a job whose workers died this often without getting any further is marked failed.

    Returns:
        The lease, or None if nothing waits.
    """
    with store.transaction() as connection:
        now = store.clock()
        _expire_leases(store, connection, now, max_failures)
        token = secrets.token_hex(8)
        row = connection.execute(
            """
            UPDATE jobs SET worker = ?, token = ?, lease_until = ?, started = COALESCE(started, ?)
            WHERE id = (
                SELECT id FROM jobs AS one WHERE state = 'queued'
                ORDER BY started IS NULL,
                         (SELECT COALESCE(MAX(started), 0) FROM jobs AS other WHERE other.client = one.client),
                         purpose = 'proof',
                         number
                LIMIT 1)
            RETURNING *
            """,
            (worker, token, now + lease_seconds, now),
        ).fetchone()
        if row is None:
            return None
        job = job_from_row(row)
        store.set_state(connection, job.id, "running")
        return Lease(store, store.job(job.id), token, lease_seconds)


def _expire_leases(store: Store, connection: sqlite3.Connection, now: float, max_failures: int) -> None:
    """Put the jobs of dead workers back into the queue; count the death against them."""
    rows = connection.execute(
        "SELECT id, target_state, failures, state FROM jobs "
        "WHERE worker IS NOT NULL AND state IN ('running', 'paused') AND lease_until < ?",
        (now,),
    ).fetchall()
    for row in rows:
        connection.execute("UPDATE jobs SET worker = NULL, token = NULL, lease_until = NULL WHERE id = ?", (row["id"],))
        if row["target_state"] == "cancel":
            store.set_state(connection, row["id"], "cancelled")
            continue
        if row["state"] == "paused" and row["target_state"] == "pause":
            continue  # nothing was being computed: no fault of the job's
        failures = row["failures"] + 1
        error = "the worker died while it held this job"
        connection.execute("UPDATE jobs SET failures = ?, error = ? WHERE id = ?", (failures, error, row["id"]))
        if failures >= max_failures:
            _give_up(store, connection, row["id"], error)
        else:
            store.set_state(connection, row["id"], "paused" if row["target_state"] == "pause" else "queued")


def _give_up(store: Store, connection: sqlite3.Connection, job_id: str, error: str) -> None:
    """Mark a job failed, the reason kept."""
    store.set_state(connection, job_id, "failed", error=error)


def release_dead(store: Store) -> int:
    """End the leases of this host's workers that no longer live, so that nobody waits for them to run out.

    Returns:
        How many leases were ended.
    """
    host, ended = socket.gethostname(), 0
    with store.transaction() as connection:
        for table in ("jobs", "keepsakes"):
            for (worker,) in connection.execute(
                f"SELECT DISTINCT worker FROM {table} WHERE worker IS NOT NULL"  # noqa: S608 - a name of our own
            ).fetchall():
                name, _, _random = worker.rpartition(":")
                name, _, process = name.rpartition(":")
                if name == host and process.isdigit() and not _lives(int(process)):
                    dead = connection.execute(
                        f"UPDATE {table} SET lease_until = 0 WHERE worker = ?",  # noqa: S608 - a name of our own
                        (worker,),
                    )
                    ended += dead.rowcount
    return ended


def _lives(process: int) -> bool:
    """Say whether a process id is somebody's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Lease:
    """One worker's hold on one job. Every method raises ``LeaseLostError`` once the hold is gone."""

    def __init__(self, store: Store, job: Job, token: str, lease_seconds: float) -> None:
        self.store = store
        self.job = job
        self.token = token
        self.lease_seconds = lease_seconds

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction in which the job is surely ours; it also is a heartbeat."""
        with self.store.transaction() as connection:
            held = connection.execute(
                "UPDATE jobs SET lease_until = ? WHERE id = ? AND token = ? RETURNING 1",
                (self.store.clock() + self.lease_seconds, self.job.id, self.token),
            ).fetchone()
            if held is None:
                raise LeaseLostError(f"job {self.job.id} is held by another worker, or was deleted")
            yield connection

    def heartbeat(self) -> None:
        """Keep the job for another lease."""
        with self._held():
            pass

    def requests(self, after: int) -> Requests:
        """Read the requests, without taking the write lock.

        Args:
            after: number of the last command already known.
        """
        connection = self.store.connection()
        row = connection.execute(
            "SELECT target_state, EXISTS (SELECT 1 FROM jobs WHERE state = 'queued') "
            "OR EXISTS (SELECT 1 FROM keepsakes WHERE state = 'waiting') AS waiting FROM jobs "
            "WHERE id = ? AND token = ?",
            (self.job.id, self.token),
        ).fetchone()
        if row is None:
            raise LeaseLostError(f"job {self.job.id} is held by another worker, or was deleted")
        rows = connection.execute(
            "SELECT number, name, amounts FROM commands WHERE job = ? AND number > ? AND name IN ('set', 'snapshot') "
            "ORDER BY number",
            (self.job.id, after),
        )
        commands = tuple(QueuedCommand(line["number"], line["name"], json.loads(line["amounts"])) for line in rows)
        return Requests(row["target_state"], commands, bool(row["waiting"]))

    def append(
        self,
        events: Sequence[tuple[str, Mapping[str, Any]]],
        step: int | None = None,
        total_steps: int | None = None,
        result: StoredResult | None = None,
        applied: int | None = None,
    ) -> None:
        """Log events, and with them in one transaction the progress and the picture that they speak of.

        Args:
            events: kinds and data.
            step: how far the run is; further than ever clears the count of failures.
            total_steps: how far it goes.
            result: a picture that was written.
            applied: number of the last command that the run has applied.
        """
        with self._held() as connection:
            if result is not None:
                self._keep(connection, result)
            for kind, data in events:
                self.store.add_event(connection, self.job.id, kind, data)
            connection.execute(
                "UPDATE jobs SET failures = CASE WHEN ?1 > best_step THEN 0 ELSE failures END, "
                "best_step = MAX(best_step, COALESCE(?1, 0)), step = COALESCE(?1, step), "
                "total_steps = COALESCE(?2, total_steps), applied = MAX(applied, COALESCE(?3, 0)) WHERE id = ?4",
                (step, total_steps, applied, self.job.id),
            )

    def _keep(self, connection: sqlite3.Connection, result: StoredResult) -> None:
        """Write a result's row."""
        connection.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.job.id, result.step, result.kind, result.file, result.media_type, result.size,
                result.width, result.height,
            ),
        )  # fmt: skip

    def forget(self, results: Sequence[StoredResult]) -> None:
        """Drop results' rows; the caller removes the files afterwards."""
        with self._held() as connection:
            connection.executemany(
                "DELETE FROM results WHERE job = ? AND step = ? AND kind = ?",
                [(self.job.id, result.step, result.kind) for result in results],
            )

    def pause(self) -> None:
        """Mark the job paused but keep it, so that it can go on at once."""
        with self._held() as connection:
            self.store.set_state(connection, self.job.id, "paused")

    def resume(self) -> None:
        """Mark a held job running again."""
        with self._held() as connection:
            self.store.set_state(connection, self.job.id, "running")

    def release(self, state: State) -> bool:
        """Let go of the job: ``queued`` for the next worker, ``paused`` until somebody resumes it, or ``cancelled``.

        Returns:
            False if somebody has resumed it in the meantime and it is still ours.
        """
        with self._held() as connection:
            target_state = connection.execute("SELECT target_state FROM jobs WHERE id = ?", (self.job.id,)).fetchone()[
                "target_state"
            ]
            if state == "paused" and target_state != "pause":
                return False
            if state == "queued" and target_state == "pause":
                state = "paused"
            self._let_go(connection)
            self.store.set_state(connection, self.job.id, state)
            return True

    def _let_go(self, connection: sqlite3.Connection) -> None:
        """Take the worker's name off the job."""
        connection.execute(
            "UPDATE jobs SET worker = NULL, token = NULL, lease_until = NULL WHERE id = ?", (self.job.id,)
        )

    def finish(
        self, event: Mapping[str, Any], result: StoredResult, record: Mapping[str, Any] | None, stopped: bool
    ) -> None:
        """Mark the job done: result, last event and state in one transaction, so that it happens once or not at all."""
        with self._held() as connection:
            self._keep(connection, result)
            self.store.add_event(connection, self.job.id, "finished", event)
            connection.execute(
                "UPDATE jobs SET step = ?, stopped = ?, record = ?, error = NULL WHERE id = ?",
                (result.step, stopped, json.dumps(record) if record is not None else None, self.job.id),
            )
            self._let_go(connection)
            self.store.set_state(connection, self.job.id, "done")

    def fail(self, error: str, traceback: str, final: bool = False, max_failures: int = MAX_FAILURES) -> bool:
        """Count a failure, its traceback kept; the job goes back into the queue until it has had enough of them.

        Args:
            error: one line.
            traceback: the whole of it.
            final: trying again would be of no use.
            max_failures: how many are enough.

        Returns:
            Whether the job is now marked failed.
        """
        with self._held() as connection:
            failures = connection.execute(
                "UPDATE jobs SET failures = failures + 1, error = ?, traceback = ? WHERE id = ? RETURNING failures",
                (error, traceback, self.job.id),
            ).fetchone()[0]
            self._let_go(connection)
            if final or failures >= max_failures:
                _give_up(self.store, connection, self.job.id, error)
                return True
            self.store.set_state(connection, self.job.id, "queued", error=error)
            return False
