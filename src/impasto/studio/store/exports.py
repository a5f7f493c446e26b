"""Films and reports of finished jobs: wished for by the API, made by a worker between two jobs.

In: wishes. Out: rows that say how far a wish has come, and a hold on one for the worker that makes it. Who dies while
making one leaves a row whose lease runs out; after three deaths or one error the wish is marked failed.
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
from impasto.studio.store.records import ConflictError, Job, Keepsake, KeepsakeKind, NotFoundError, StoredEvent

SUFFIXES: dict[KeepsakeKind, str] = {"film": ".mp4", "report": ".html"}
LEASE_SECONDS = 600.0
MAX_DEATHS = 3
_COLUMNS = ", ".join(Keepsake.__dataclass_fields__)


@dataclass(frozen=True)
class Hold:
    """A worker's claim on a wish; ``token`` is worth nothing once somebody else has it."""

    keepsake: Keepsake
    token: str


@dataclass(frozen=True)
class Material:
    """What a keepsake is made of: a finished job's files and log; ``previews`` are by step."""

    job: Job
    content: Path
    style: Path
    final: Path
    previews: tuple[tuple[int, Path], ...]
    events: tuple[StoredEvent, ...]


Maker = Callable[[Material, Path], str]  # writes to the path and returns the media type


def ask(store: Store, job_id: str, kind: KeepsakeKind) -> Keepsake:
    """Wish for a keepsake; one that is there or under way is not made twice, one that failed is tried again.

    Raises:
        NotFoundError: no such job.
        ConflictError: the job is not finished.
    """
    with store.transaction() as connection:
        job = store.job(job_id)
        if job.state != "done":
            raise ConflictError(f"a {kind} is made of a finished job, and this one is {job.state}")
        connection.execute(
            "INSERT INTO keepsakes (job, kind, created) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
            "state = 'waiting', failures = 0, error = NULL, traceback = NULL WHERE state = 'failed'",
            (job_id, kind, store.clock()),
        )
        return keepsake(store, job_id, kind)


def keepsake(store: Store, job_id: str, kind: KeepsakeKind) -> Keepsake:
    """Return how far a wish has come.

    Raises:
        NotFoundError: nobody has wished for it, or there is no such job.
    """
    store.job(job_id)
    row = store.connection().execute(
        f"SELECT {_COLUMNS} FROM keepsakes WHERE job = ? AND kind = ?",  # noqa: S608 - names of our own
        (job_id, kind),
    )
    found = row.fetchone()
    if found is None:
        raise NotFoundError(f"no {kind} of this job was asked for yet: POST to this address first")
    return Keepsake(**found)


def claim(store: Store, worker: str) -> Hold | None:
    """Take the longest-waiting wish, one of a dead worker included."""
    with store.transaction() as connection:
        now = store.clock()
        _bury(connection, now)
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
        return None if row is None else Hold(Keepsake(**row), token)


def _bury(connection: sqlite3.Connection, now: float) -> None:
    """Put the wishes of dead workers back."""
    connection.execute(
        "UPDATE keepsakes SET worker = NULL, token = NULL, lease_until = NULL, failures = failures + 1, "
        "error = 'the worker died while it made this', "
        "state = CASE WHEN failures + 1 >= ? THEN 'failed' ELSE 'waiting' END "
        "WHERE state = 'making' AND lease_until < ?",
        (MAX_DEATHS, now),
    )


def finish(store: Store, hold: Hold, file: str, media_type: str, size: int) -> bool:
    """Say that a keepsake is there; False if it was no longer ours to make."""
    return _end(
        store, hold, "state = 'ready', error = NULL, file = ?, media_type = ?, size = ?", file, media_type, size
    )


def fail(store: Store, hold: Hold, error: str, traceback: str) -> bool:
    """Say why a keepsake cannot be made."""
    return _end(store, hold, "state = 'failed', error = ?, traceback = ?", error, traceback)


def _end(store: Store, hold: Hold, change: str, *values: object) -> bool:
    with store.transaction() as connection:
        ended = connection.execute(
            f"UPDATE keepsakes SET {change}, worker = NULL, token = NULL, lease_until = NULL "  # noqa: S608 - ours
            "WHERE job = ? AND kind = ? AND token = ? RETURNING 1",
            (*values, hold.keepsake.job, hold.keepsake.kind, hold.token),
        )
        return ended.fetchone() is not None


def make_one(store: Store, worker: str, makers: Mapping[KeepsakeKind, Maker]) -> bool:
    """Make the next keepsake that is wished for, if one is, and say whether one was."""
    hold = claim(store, worker) if makers else None
    if hold is None:
        return False
    kind = hold.keepsake.kind
    folder = store.job_folder(hold.keepsake.job)
    part = folder / f"{kind}.part{os.getpid()}{SUFFIXES[kind]}"
    try:
        media_type = makers[kind](_material(store, hold.keepsake.job), part)
        whole = folder / f"{kind}{SUFFIXES[kind]}"
        part.replace(whole)
        finish(store, hold, whole.name, media_type, whole.stat().st_size)
    except Exception as error:  # the worker guards itself: whatever it was, it is kept and the next wish is granted
        fail(store, hold, f"{type(error).__name__}: {error}", traceback.format_exc())
    finally:
        part.unlink(missing_ok=True)
        store.sweep_job(hold.keepsake.job)  # deleted meanwhile
    return True


def _material(store: Store, job_id: str) -> Material:
    """Gather what there is of a finished job."""
    job, folder = store.job(job_id), store.job_folder(job_id)
    results = store.results(job_id)
    pictures = [*job.pictures["styles"], *job.pictures.get("regions", ())]
    events: list[StoredEvent] = []
    while batch := store.events(job_id, events[-1].number if events else 0):
        events += batch
    return Material(
        job=job,
        content=store.asset_path(store.asset(job.pictures["content"])),
        style=store.asset_path(store.asset(pictures[0]["asset"])),
        final=next(folder / result.file for result in results if result.kind == "final"),
        previews=tuple((result.step, folder / result.file) for result in results if result.kind == "preview"),
        events=tuple(events),
    )
