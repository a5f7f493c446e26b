"""Exports (films and reports) of finished jobs: requested through the API, written by a worker between two jobs.

In: requests. Out: rows with the state of each export, and a claim on one of them for the worker that writes it. A
worker that dies while writing leaves a row whose lease expires; after three deaths or one error the export is marked
failed.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from impasto.studio.store.database import Store
from impasto.studio.store.records import ConflictError, Export, ExportKind, Job, NotFoundError, StoredEvent

SUFFIXES: dict[ExportKind, str] = {"film": ".mp4", "report": ".html"}
LEASE_SECONDS = 600.0
MAX_DEATHS = 3
_COLUMNS = ", ".join(Export.__dataclass_fields__)


@dataclass(frozen=True)
class Claim:
    """A worker's claim on an export; ``token`` is invalid once another worker has claimed it."""

    export: Export
    token: str


@dataclass(frozen=True)
class ExportInput:
    """The input of an exporter: the files and the log of a finished job; ``previews`` are pairs of step and path."""

    job: Job
    content: Path
    style: Path
    final: Path
    previews: tuple[tuple[int, Path], ...]
    events: tuple[StoredEvent, ...]


Exporter = Callable[[ExportInput, Path], str]  # writes to the path and returns the media type


def request(store: Store, job_id: str, kind: ExportKind) -> Export:
    """Request an export; one that exists or is under way is not repeated, one that failed is retried.

    Raises:
        NotFoundError: the job does not exist.
        ConflictError: the job is not finished.
    """
    with store.transaction() as connection:
        job = store.job(job_id)
        if job.state != "done":
            raise ConflictError(f"a {kind} needs a finished job, and this one is {job.state}")
        connection.execute(
            "INSERT INTO keepsakes (job, kind, created) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
            "state = 'waiting', failures = 0, error = NULL, traceback = NULL WHERE state = 'failed'",
            (job_id, kind, store.clock()),
        )
        return get(store, job_id, kind)


def get(store: Store, job_id: str, kind: ExportKind) -> Export:
    """Return an export with its state.

    Raises:
        NotFoundError: it was never requested, or the job does not exist.
    """
    store.job(job_id)
    row = store.connection().execute(
        f"SELECT {_COLUMNS} FROM keepsakes WHERE job = ? AND kind = ?",  # noqa: S608 - names of our own
        (job_id, kind),
    )
    found = row.fetchone()
    if found is None:
        raise NotFoundError(f"no {kind} of this job was requested yet: POST to this address first")
    return Export(**found)


def claim(store: Store, worker: str) -> Claim | None:
    """Claim the export that has waited longest, those of dead workers included."""
    with store.transaction() as connection:
        now = store.clock()
        _expire_leases(connection, now)
        token = secrets.token_hex(8)
        row = connection.execute(
            f"""
            UPDATE keepsakes SET state = 'making', worker = ?, token = ?, lease_until = ?
            WHERE (job, kind) = (
                SELECT job, kind FROM keepsakes WHERE state = 'waiting' ORDER BY created, job, kind LIMIT 1)
            RETURNING {_COLUMNS}
            """,  # noqa: S608 - names of our own
            (worker, token, now + LEASE_SECONDS),
        ).fetchone()
        return None if row is None else Claim(Export(**row), token)


def _expire_leases(connection: sqlite3.Connection, now: float) -> None:
    """Put the requests of dead workers back."""
    connection.execute(
        "UPDATE keepsakes SET worker = NULL, token = NULL, lease_until = NULL, failures = failures + 1, "
        "error = 'the worker died while it wrote this', "
        "state = CASE WHEN failures + 1 >= ? THEN 'failed' ELSE 'waiting' END "
        "WHERE state = 'making' AND lease_until < ?",
        (MAX_DEATHS, now),
    )


def finish(store: Store, claimed: Claim, file: str, media_type: str, size: int) -> bool:
    """Mark an export ready; return False if the claim was lost."""
    return _end(
        store, claimed, "state = 'ready', error = NULL, file = ?, media_type = ?, size = ?", file, media_type, size
    )


def fail(store: Store, claimed: Claim, error: str, traceback: str) -> bool:
    """Mark an export failed, with the reason; return False if the claim was lost."""
    return _end(store, claimed, "state = 'failed', error = ?, traceback = ?", error, traceback)


def _end(store: Store, claimed: Claim, change: str, *values: object) -> bool:
    with store.transaction() as connection:
        ended = connection.execute(
            f"UPDATE keepsakes SET {change}, worker = NULL, token = NULL, lease_until = NULL "  # noqa: S608 - ours
            "WHERE job = ? AND kind = ? AND token = ? RETURNING 1",
            (*values, claimed.export.job, claimed.export.kind, claimed.token),
        )
        return ended.fetchone() is not None


def export_next(store: Store, worker: str, exporters: Mapping[ExportKind, Exporter]) -> bool:
    """Write the next export that is waiting, and return whether there was one."""
    claimed = claim(store, worker) if exporters else None
    if claimed is None:
        return False
    kind = claimed.export.kind
    folder = store.job_folder(claimed.export.job)
    temp_path = folder / f"{kind}.part{os.getpid()}{SUFFIXES[kind]}"
    try:
        media_type = exporters[kind](_export_input(store, claimed.export.job), temp_path)
        whole = folder / f"{kind}{SUFFIXES[kind]}"
        temp_path.replace(whole)
        finish(store, claimed, whole.name, media_type, whole.stat().st_size)
    except Exception as error:  # the worker guards itself: the error is stored and the next export is written
        fail(store, claimed, f"{type(error).__name__}: {error}", traceback.format_exc())
    finally:
        temp_path.unlink(missing_ok=True)
        store.sweep_job(claimed.export.job)  # deleted meanwhile
    return True


def _export_input(store: Store, job_id: str) -> ExportInput:
    """Collect the files and the log of a finished job."""
    job, folder = store.job(job_id), store.job_folder(job_id)
    results = store.results(job_id)
    pictures = [*job.pictures["styles"], *job.pictures.get("regions", ())]
    events: list[StoredEvent] = []
    while batch := store.events(job_id, events[-1].number if events else 0):
        events += batch
    return ExportInput(
        job=job,
        content=store.asset_path(store.asset(job.pictures["content"])),
        style=store.asset_path(store.asset(pictures[0]["asset"])),
        final=next(folder / result.file for result in results if result.kind == "final"),
        previews=tuple((result.step, folder / result.file) for result in results if result.kind == "preview"),
        events=tuple(events),
    )
