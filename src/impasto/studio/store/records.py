"""The rows of the store as value objects, and the errors of the store.

They are frozen dataclasses, independent of any transaction.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from impasto.errors import ImpastoError
from impasto.options.renamed import current_names

State = Literal["queued", "running", "paused", "done", "canceled", "failed"]
OVER: tuple[State, ...] = ("done", "canceled", "failed")
Command = Literal["set", "snapshot", "pause", "resume", "stop", "cancel"]
PicturePurpose = Literal["picture", "proof"]
ExportKind = Literal["film", "report"]
Purpose = Literal["picture", "proof", "film", "report"]
ResultKind = Literal["preview", "snapshot", "final"]


class NotFoundError(ImpastoError):
    """The job, asset or result does not exist."""


class ConflictError(ImpastoError):
    """The request is not possible in the current state."""


class QueueFullError(ImpastoError):
    """Too many jobs are waiting; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Asset:
    """An uploaded image, identified by the SHA-256 of its bytes; ``name`` is the user's file name, or empty."""

    id: str
    media_type: str
    extension: str
    size: int
    width: int
    height: int
    created: float
    name: str = ""


@dataclass(frozen=True)
class Job:
    """One run, from the request to the image; or an export, with the finished job ``source`` that it shows."""

    number: int
    id: str
    client: str
    purpose: Purpose
    state: State
    target_state: Literal["run", "pause", "stop", "cancel"]
    pictures: dict[str, Any]
    options: dict[str, Any]
    steering: dict[str, float]
    created: float
    started: float | None
    ended: float | None
    worker: str | None
    failures: int
    error: str | None
    traceback: str | None
    step: int
    total_steps: int | None
    best_step: int
    applied: int
    last_event: int
    stopped: bool
    record: dict[str, Any] | None
    source: str | None

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in OVER


@dataclass(frozen=True)
class StoredEvent:
    """One line of a job's log; ``number`` counts from 1 without gaps."""

    number: int
    kind: str
    data: str
    created: float


@dataclass(frozen=True)
class StoredResult:
    """A stored image of a job at a step; an export has one with step, width and height 0."""

    step: int
    kind: ResultKind
    file: str
    media_type: str
    size: int
    width: int
    height: int


@dataclass(frozen=True)
class QueueLimits:
    """The number of unfinished jobs allowed, in total and for one client."""

    queue: int = 500
    client: int = 40
    retry_after: int = 30


def job_from_row(row: sqlite3.Row) -> Job:
    """Build a job from its row."""
    every = dict(row)
    values = {name: every[name] for name in Job.__dataclass_fields__}
    for name in ("pictures", "options", "steering", "record"):
        values[name] = json.loads(values[name]) if values[name] is not None else None
    values["options"] = current_names(values["options"])
    values["stopped"] = bool(values["stopped"])
    return Job(**values)
