"""Exports (timelapses and reports) of finished jobs: jobs of the one queue, with the finished job as their ``source``.

The id of an export is the id of its source and its kind, so each export exists once. The worker that writes it reads
the files and the log of the source, and writes into the folder of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from impasto.studio.store.database import Store
from impasto.studio.store.records import ConflictError, ExportKind, Job, NotFoundError, Purpose, State, StoredEvent

SUFFIXES: dict[Purpose, str] = {"film": ".mp4", "report": ".html"}
EXPORT_STATES: dict[State, str] = {"queued": "waiting", "running": "making", "done": "ready", "failed": "failed"}


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


def request(store: Store, job_id: str, kind: ExportKind) -> Job:
    """Request an export; one that exists or is under way is not repeated, one that failed is retried.

    Raises:
        NotFoundError: the job does not exist.
        ConflictError: the job is not finished.
    """
    with store.transaction() as connection:
        job, export_id = store.job(job_id), f"{job_id}-{kind}"
        if job.state != "done":
            raise ConflictError(f"a {kind} needs a finished job, and this one is {job.state}")
        # Without a client, because exports do not use up a client's turn.
        changed = connection.execute(
            "INSERT INTO jobs (id, source, client, purpose, pictures, options, created) "
            "VALUES (?, ?, '', ?, '{}', '{}', ?) "
            "ON CONFLICT (id) DO UPDATE SET failures = 0, error = NULL, traceback = NULL WHERE state = 'failed'",
            (export_id, job_id, kind, store.clock()),
        )
        if changed.rowcount:
            store.set_state(connection, export_id, "queued")
        return store.job(export_id)


def get(store: Store, job_id: str, kind: ExportKind) -> Job:
    """Return an export.

    Raises:
        NotFoundError: it was never requested, or the job does not exist.
    """
    store.job(job_id)
    try:
        return store.job(f"{job_id}-{kind}")
    except NotFoundError:
        raise NotFoundError(f"no {kind} of this job was requested yet: POST to this address first") from None


def export_input(store: Store, job_id: str) -> ExportInput:
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
