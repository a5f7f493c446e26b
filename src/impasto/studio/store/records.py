"""The studio's nouns as value objects, read off the store's rows, and what can be wrong with a wish.

In: rows. Out: frozen dataclasses that no transaction hangs on.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from impasto.errors import ImpastoError

State = Literal["queued", "running", "paused", "done", "cancelled", "failed"]
OVER: tuple[State, ...] = ("done", "cancelled", "failed")
Command = Literal["set", "snapshot", "pause", "resume", "stop", "cancel"]
Purpose = Literal["picture", "proof"]
ResultKind = Literal["preview", "snapshot", "final"]
ExportKind = Literal["film", "report"]


class NotFoundError(ImpastoError):
    """There is no such job, asset or result."""


class ConflictError(ImpastoError):
    """What is asked for cannot be done in the state that things are in."""


class QueueFullError(ImpastoError):
    """Too many jobs wait already; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Asset:
    """An uploaded picture, known by the SHA-256 of its bytes; ``name`` is what people call it, empty if not told."""

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
    """One run, from the wish to the picture."""

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

    @property
    def over(self) -> bool:
        """Whether nothing will happen to the job any more."""
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
    """A picture that a job has left behind at a step."""

    step: int
    kind: ResultKind
    file: str
    media_type: str
    size: int
    width: int
    height: int


@dataclass(frozen=True)
class Export:
    """A film or a report of a finished job, wished for or made; ``file`` is its name inside the job's folder."""

    job: str
    kind: ExportKind
    state: Literal["waiting", "making", "ready", "failed"]
    error: str | None
    file: str | None
    media_type: str | None
    size: int


@dataclass(frozen=True)
class QueueLimits:
    """How much may wait: jobs not yet over, in all and of one client."""

    queue: int = 500
    client: int = 40
    retry_after: int = 30


def job_from_row(row: sqlite3.Row) -> Job:
    """Read a job off a row of its table."""
    every = dict(row)
    values = {name: every[name] for name in Job.__dataclass_fields__}
    for name in ("pictures", "options", "steering", "record"):
        values[name] = json.loads(values[name]) if values[name] is not None else None
    values["stopped"] = bool(values["stopped"])
    return Job(**values)
