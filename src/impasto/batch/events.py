"""Events of a batch, which ``iter_batch`` yields; plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from impasto.batch.job import Job


@dataclass(frozen=True)
class BatchStarted:
    """The batch begins: number of jobs, and of images that are painted at a time."""

    count: int
    workers: int


@dataclass(frozen=True)
class JobStarted:
    """A worker begins a job; ``attempt`` counts from 1."""

    job: Job
    worker: str
    attempt: int


@dataclass(frozen=True)
class JobProgress:
    """A job is in progress; ``fraction`` of its steps are done."""

    job: Job
    worker: str
    fraction: float


@dataclass(frozen=True)
class JobDone:
    """A result is saved, after so many seconds of work."""

    job: Job
    worker: str
    seconds: float


@dataclass(frozen=True)
class JobSkipped:
    """The result exists already: its record has the same inputs and options."""

    job: Job


@dataclass(frozen=True)
class JobRetried:
    """The worker of a job has died; the job is retried."""

    job: Job
    worker: str
    reason: str
    attempt: int


@dataclass(frozen=True)
class JobFailed:
    """A job has failed and is not retried."""

    job: Job
    reason: str
    attempts: int


@dataclass(frozen=True)
class BatchFinished:
    """The batch has ended; ``stopped`` is True if not all jobs were done."""

    painted: int
    skipped: int
    failed: int
    stopped: bool


BatchEvent = BatchStarted | JobStarted | JobProgress | JobDone | JobSkipped | JobRetried | JobFailed | BatchFinished

NAMES: dict[type[Any], str] = {
    BatchStarted: "batch",
    JobStarted: "started",
    JobProgress: "progress",
    JobDone: "done",
    JobSkipped: "skipped",
    JobRetried: "retried",
    JobFailed: "failed",
    BatchFinished: "finished",
}


def as_data(event: BatchEvent) -> dict[str, object]:
    """Return an event as JSON data, with its name under ``event`` and the fields of its job next to its own."""
    data = asdict(event)
    job = data.pop("job", None)
    if job is not None:
        data |= {"output": job["output"], "content": job["content"], "styles": list(job["styles"])}
    return {"event": NAMES[type(event)], **data}


class StopFlag:
    """Stops a batch from outside, for example from a signal handler.

    ``finish`` ends the batch when the current images are done; ``now`` gives them up.
    """

    def __init__(self) -> None:
        self.state: Literal["run", "finish", "now"] = "run"

    def set(self, state: Literal["finish", "now"]) -> None:
        """Request a stop; ``now`` replaces ``finish`` and not the other way around."""
        if self.state != "now":
            self.state = state
