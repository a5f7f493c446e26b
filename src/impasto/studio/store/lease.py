"""The worker's side of the store: claim a job under a lease, store its events, release it.

A worker writes only while its lease is valid: every write checks the token of the claim, and the token of a worker that
was considered dead is no longer valid. So a job is claimed by one worker, finished once, and never lost: a worker that
dies leaves a row whose lease expires.
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

from impasto.errors import ImpastoError
from impasto.studio.store.database import Store
from impasto.studio.store.records import Job, State, StoredResult, job_from_row

MAX_FAILURES = 3


class LeaseLostError(ImpastoError):
    """The job was claimed by another worker, or deleted."""


@dataclass(frozen=True)
class QueuedCommand:
    """A steering command with its number."""

    number: int
    name: str
    amounts: dict[str, float]


@dataclass(frozen=True)
class Requests:
    """The requests for a claimed job: its target state and new commands."""

    target_state: str
    commands: tuple[QueuedCommand, ...]
    others_wait: bool


def worker_name() -> str:
    """Return a name with host and process id, for logs and for ``release_dead``."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def claim(store: Store, worker: str, lease_seconds: float, max_failures: int = MAX_FAILURES) -> Lease | None:
    """Claim the next job: one whose worker died, else the oldest job of the client that has waited longest.

    Exports come first, because they are short and a user waits for them. Images come before proofs, because a user
    may pick a proof and paint it while other proofs still wait.

    Args:
        store: the store with the queue.
        worker: name of the worker.
        lease_seconds: how long the claim is valid without a heartbeat.
        max_failures: a job is marked failed after that many failures without progress.

    Returns:
        The lease, or None if no job waits.
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
                ORDER BY source IS NULL,
                         started IS NULL,
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
    """Put the jobs of dead workers back into the queue, and count a failure for each."""
    rows = connection.execute(
        "SELECT id, target_state, failures, state FROM jobs "
        "WHERE worker IS NOT NULL AND state IN ('running', 'paused') AND lease_until < ?",
        (now,),
    ).fetchall()
    for row in rows:
        connection.execute("UPDATE jobs SET worker = NULL, token = NULL, lease_until = NULL WHERE id = ?", (row["id"],))
        if row["target_state"] == "cancel":
            store.set_state(connection, row["id"], "canceled")
            continue
        if row["state"] == "paused" and row["target_state"] == "pause":
            continue  # it was paused, so the job did not cause the death
        failures = row["failures"] + 1
        error = "the worker died while it ran this job"
        connection.execute("UPDATE jobs SET failures = ?, error = ? WHERE id = ?", (failures, error, row["id"]))
        if failures >= max_failures:
            _give_up(store, connection, row["id"], error)
        else:
            store.set_state(connection, row["id"], "paused" if row["target_state"] == "pause" else "queued")


def _give_up(store: Store, connection: sqlite3.Connection, job_id: str, error: str) -> None:
    """Mark a job failed, with the reason."""
    store.set_state(connection, job_id, "failed", error=error)


def release_dead(store: Store) -> int:
    """End the leases of dead workers on this host, so that their jobs need not wait until the leases expire.

    Returns:
        The number of leases ended.
    """
    host, ended = socket.gethostname(), 0
    with store.transaction() as connection:
        workers = connection.execute("SELECT DISTINCT worker FROM jobs WHERE worker IS NOT NULL").fetchall()
        for (worker,) in workers:
            name, _, _random = worker.rpartition(":")
            name, _, process = name.rpartition(":")
            if name == host and process.isdigit() and not _is_alive(int(process)):
                ended += connection.execute("UPDATE jobs SET lease_until = 0 WHERE worker = ?", (worker,)).rowcount
    return ended


def _is_alive(process: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Lease:
    """One worker's lease on one job. Every method raises ``LeaseLostError`` once it is lost."""

    def __init__(self, store: Store, job: Job, token: str, lease_seconds: float) -> None:
        self.store = store
        self.job = job
        self.token = token
        self.lease_seconds = lease_seconds

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that verifies and renews the lease."""
        with self.store.transaction() as connection:
            held = connection.execute(
                "UPDATE jobs SET lease_until = ? WHERE id = ? AND token = ? RETURNING 1",
                (self.store.clock() + self.lease_seconds, self.job.id, self.token),
            ).fetchone()
            if held is None:
                raise LeaseLostError(f"job {self.job.id} was claimed by another worker, or deleted")
            yield connection

    def heartbeat(self) -> None:
        """Renew the lease."""
        with self._transaction():
            pass

    def requests(self, after: int) -> Requests:
        """Read the target state and new commands, without taking the write lock.

        Args:
            after: number of the last command already known.
        """
        connection = self.store.connection()
        row = connection.execute(
            "SELECT target_state, EXISTS (SELECT 1 FROM jobs WHERE state = 'queued') AS waiting FROM jobs "
            "WHERE id = ? AND token = ?",
            (self.job.id, self.token),
        ).fetchone()
        if row is None:
            raise LeaseLostError(f"job {self.job.id} was claimed by another worker, or deleted")
        rows = connection.execute(
            "SELECT number, name, amounts FROM commands WHERE job = ? AND number > ? AND name IN ('set', 'snapshot') "
            "ORDER BY number",
            (self.job.id, after),
        )
        commands = tuple(QueuedCommand(line["number"], line["name"], json.loads(line["amounts"])) for line in rows)
        return Requests(row["target_state"], commands, bool(row["waiting"]))

    def append(
        self,
        events: Sequence[tuple[str, Mapping[str, object]]],
        step: int | None = None,
        total_steps: int | None = None,
        result: StoredResult | None = None,
        applied: int | None = None,
    ) -> None:
        """Store events, and in the same transaction the progress and the image that belong to them.

        Args:
            events: kinds and data.
            step: the last finished step; a new maximum resets the count of failures.
            total_steps: number of steps of the run.
            result: an image that was written.
            applied: number of the last command that the run has applied.
        """
        with self._transaction() as connection:
            if result is not None:
                self._insert_result(connection, result)
            for kind, data in events:
                self.store.add_event(connection, self.job.id, kind, data)
            connection.execute(
                "UPDATE jobs SET failures = CASE WHEN ?1 > best_step THEN 0 ELSE failures END, "
                "best_step = MAX(best_step, COALESCE(?1, 0)), step = COALESCE(?1, step), "
                "total_steps = COALESCE(?2, total_steps), applied = MAX(applied, COALESCE(?3, 0)) WHERE id = ?4",
                (step, total_steps, applied, self.job.id),
            )

    def _insert_result(self, connection: sqlite3.Connection, result: StoredResult) -> None:
        """Write a result's row."""
        connection.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.job.id, result.step, result.kind, result.file, result.media_type, result.size,
                result.width, result.height,
            ),
        )  # fmt: skip

    def delete_results(self, results: Sequence[StoredResult]) -> None:
        """Delete the rows of results; the caller deletes the files afterwards."""
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM results WHERE job = ? AND step = ? AND kind = ?",
                [(self.job.id, result.step, result.kind) for result in results],
            )

    def pause(self) -> None:
        """Mark the job paused but keep the lease, so that it can resume immediately."""
        with self._transaction() as connection:
            self.store.set_state(connection, self.job.id, "paused")

    def resume(self) -> None:
        """Mark a paused job running again."""
        with self._transaction() as connection:
            self.store.set_state(connection, self.job.id, "running")

    def release(self, state: State) -> bool:
        """Release the job: ``queued`` for the next worker, ``paused`` until it is resumed, or ``canceled``.

        Returns:
            False if it was resumed in the meantime and the lease is kept.
        """
        with self._transaction() as connection:
            target_state = connection.execute("SELECT target_state FROM jobs WHERE id = ?", (self.job.id,)).fetchone()[
                "target_state"
            ]
            if state == "paused" and target_state != "pause":
                return False
            if state == "queued" and target_state == "pause":
                state = "paused"
            self._clear_claim(connection)
            self.store.set_state(connection, self.job.id, state)
            return True

    def _clear_claim(self, connection: sqlite3.Connection) -> None:
        """Clear the job's worker, token and lease."""
        connection.execute(
            "UPDATE jobs SET worker = NULL, token = NULL, lease_until = NULL WHERE id = ?", (self.job.id,)
        )

    def finish(
        self, event: Mapping[str, object], result: StoredResult, record: Mapping[str, object] | None, stopped: bool
    ) -> None:
        """Mark the job done: result, last event and state in one transaction."""
        with self._transaction() as connection:
            self._insert_result(connection, result)
            self.store.add_event(connection, self.job.id, "finished", event)
            connection.execute(
                "UPDATE jobs SET step = ?, stopped = ?, record = ?, error = NULL WHERE id = ?",
                (result.step, stopped, json.dumps(record) if record is not None else None, self.job.id),
            )
            self._clear_claim(connection)
            self.store.set_state(connection, self.job.id, "done")

    def fail(self, error: str, traceback: str, final: bool = False, max_failures: int = MAX_FAILURES) -> bool:
        """Count a failure and store its traceback; the job returns to the queue until it has failed too often.

        Args:
            error: one line.
            traceback: the complete traceback.
            final: whether a retry would be useless.
            max_failures: number of failures after which the job is marked failed.

        Returns:
            Whether the job is now marked failed.
        """
        with self._transaction() as connection:
            failures = connection.execute(
                "UPDATE jobs SET failures = failures + 1, error = ?, traceback = ? WHERE id = ? RETURNING failures",
                (error, traceback, self.job.id),
            ).fetchone()[0]
            self._clear_claim(connection)
            if final or failures >= max_failures:
                _give_up(self.store, connection, self.job.id, error)
                return True
            self.store.set_state(connection, self.job.id, "queued", error=error)
            return False
