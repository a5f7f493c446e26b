"""The loop of a batch: which job is next, what is retried, and what the journal says.

Input: jobs, a folder and an executor. Output: events. The journal is written before an event is yielded. A job whose
worker dies is tried at most ``MAX_ATTEMPTS`` times and never twice in a row on the node that failed if there are other
nodes; a job that fails by itself is not retried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.batch.events import (
    BatchEvent,
    BatchFinished,
    BatchStarted,
    JobDone,
    JobFailed,
    JobProgress,
    JobRetried,
    JobSkipped,
    JobStarted,
    StopFlag,
)
from impasto.batch.executor import Done, Executor, Failed, Lost, Progress, Reply, Task
from impasto.batch.finished import FinishedCheck
from impasto.batch.job import Job, OptionTable, by_painting, pinned_options
from impasto.batch.journal import Journal
from impasto.batch.local import LocalExecutor
from impasto.errors import OptionError, WeightsError
from impasto.files import temporary_files
from impasto.imaging.images import PathLike

MAX_ATTEMPTS = 3
WAIT_SECONDS = 0.2  # between two looks at the stop flag


def iter_batch(
    jobs: Iterable[Job],
    folder: PathLike,
    *,
    executor: Executor | None = None,
    threads: int = 1,
    force: bool = False,
    stop: StopFlag | None = None,
) -> Iterator[BatchEvent]:
    """Paint many images and yield the events of the batch.

    A batch that was stopped or killed continues when it is called again: results whose record has the same inputs and
    options are skipped. Jobs with the same painting are painted one after the other.

    Args:
        jobs: the images; ``Job(content, styles, output)`` with paths as text, and options by flat name.
        folder: the folder of the results, of the journal ``batch.jsonl`` and of ``failed.jsonl``.
        executor: where to paint; by default one process on this machine. It is not closed.
        threads: CPU threads of a worker, if the batch is new; the results of a batch have the same bytes for any number
            of workers, but not of threads.
        force: paint all images, also those that exist.
        stop: ends the batch before all images are painted.

    Yields:
        ``BatchStarted``, then ``JobStarted``, ``JobProgress``, ``JobDone``, ``JobSkipped``, ``JobRetried`` and
        ``JobFailed``, and at the end ``BatchFinished``.

    Raises:
        OptionError: an option is not allowed, two jobs have one output, or the folder is in use or not writable.
        WeightsError: a worker has no weights.
    """
    ordered = by_painting(jobs)
    _check(ordered)
    chosen: Executor = LocalExecutor() if executor is None else executor
    with Journal(Path(folder)) as journal:
        _remove_temporary_files(journal.folder, ordered)
        pinned = {**pinned_options(ordered, threads), **journal.state.pinned}
        journal.begin(pinned, len(ordered))
        batch = _Batch(journal, chosen, OptionTable(pinned), force, stop or StopFlag())
        try:
            yield from batch.run(ordered)
        finally:
            if executor is None:
                chosen.close()


def _check(jobs: list[Job]) -> None:
    """Raise OptionError for options that are not allowed and for an output that two jobs have."""
    table, outputs = OptionTable(), set[str]()
    for job in jobs:
        table.of(job)
        if job.output in outputs:
            raise OptionError(f"two images have the output {job.output!r}: choose different names", "output")
        outputs.add(job.output)


def _remove_temporary_files(folder: Path, jobs: list[Job]) -> None:
    """Remove what killed workers have left; the folder is locked, so nobody is writing."""
    for path in {(folder / job.output).parent for job in jobs}:
        for left in temporary_files(path):
            left.unlink(missing_ok=True)


@dataclass
class _Attempt:
    """A job with the number of its next attempt and the node where the last one failed."""

    job: Job
    number: int = 1
    avoid: frozenset[str] = frozenset()


@dataclass
class _Batch:
    journal: Journal
    executor: Executor
    table: OptionTable
    force: bool
    stop: StopFlag
    painted: int = 0
    skipped: int = 0
    failed: int = 0
    _active: dict[int, _Attempt] = field(default_factory=dict)
    _again: deque[_Attempt] = field(default_factory=deque)
    _count: int = 0

    def run(self, jobs: list[Job]) -> Iterator[BatchEvent]:
        """Yield the events of the batch."""
        yield BatchStarted(len(jobs), self.executor.size)
        check = FinishedCheck(self.journal.folder)
        waiting = deque(jobs)
        while self.stop.state != "now":
            yield from self._fill(waiting, check)
            if not self._active and (self.stop.state != "run" or not (waiting or self._again)):
                break
            for reply in self.executor.wait(WAIT_SECONDS):
                event = self._handle(reply)
                if event is not None:
                    yield event
        if self._active:
            self.executor.cancel()
        yield BatchFinished(self.painted, self.skipped, self.failed, bool(self._active or self._again or waiting))

    def _fill(self, waiting: deque[Job], check: FinishedCheck) -> Iterator[BatchEvent]:
        """Start jobs until no worker is idle; those that need no work are finished on the way."""
        while self.stop.state == "run" and len(self._active) < self.executor.size and (self._again or waiting):
            attempt = self._again.popleft() if self._again else _Attempt(waiting.popleft())
            event = self._settled(attempt.job, check)
            if event is not None:
                yield event
                continue
            worker = self._start(attempt)
            if worker is None:
                self._again.appendleft(attempt)
                return
            yield JobStarted(attempt.job, worker, attempt.number)

    def _settled(self, job: Job, check: FinishedCheck) -> BatchEvent | None:
        """Return the event of a job that is not to be painted: its result exists, or it has killed too many workers."""
        entry = self.journal.state.entries.get(job.output)
        if self.force:
            return None
        if check.is_finished(job, self.table.of(job), entry):
            if entry is None or entry.state != "done":  # the batch was killed between the file and its line
                self.journal.start(job, 1)
                self.journal.write("done", output=job.output, seconds=0.0, sha256="")
            self.skipped += 1
            return JobSkipped(job)
        if entry is not None and entry.job == job and entry.lost >= MAX_ATTEMPTS:
            self.failed += 1
            reason = f"{entry.lost} workers have died over it and it is not retried; --force retries it"
            self.journal.write("failed", output=job.output, reason=reason)
            return JobFailed(job, reason, entry.lost)
        return None

    def _start(self, attempt: _Attempt) -> str | None:
        """Hand a job to a worker and return its name, None if no worker is idle."""
        job, number = attempt.job, self._count
        path = str(self.journal.folder / job.output)
        task = Task(number, job.content, job.styles, path, self.table.flat(job), job.protect, job.style_only)
        worker = self.executor.start(task, attempt.avoid)
        if worker is not None:
            self._count += 1
            self._active[number] = attempt
            self.journal.start(job, attempt.number)
        return worker

    def _handle(self, reply: Reply) -> BatchEvent | None:
        """Write a report of a worker to the journal and return its event."""
        attempt = self._active.get(reply.number)
        if attempt is None:
            return None
        job = attempt.job
        if isinstance(reply, Progress):
            return JobProgress(job, reply.worker, reply.fraction)
        del self._active[reply.number]
        if isinstance(reply, Done):
            self.painted += 1
            self.journal.write("done", output=job.output, seconds=round(reply.seconds, 3), sha256=reply.sha256)
            return JobDone(job, reply.worker, reply.seconds)
        if isinstance(reply, Failed):
            if reply.kind == "weights":
                raise WeightsError(reply.reason)
            extra: Mapping[str, Any] = {"details": reply.details} if reply.details else {}
            return self._fail(job, reply.reason, attempt.number, extra)
        return self._lose(attempt, reply)

    def _fail(self, job: Job, reason: str, attempts: int, extra: Mapping[str, Any]) -> JobFailed:
        self.failed += 1
        self.journal.write("failed", output=job.output, reason=reason, **extra)
        return JobFailed(job, reason, attempts)

    def _lose(self, attempt: _Attempt, reply: Lost) -> BatchEvent:
        """Retry a job whose worker has died, or abandon it."""
        job = attempt.job
        self.journal.write("lost", output=job.output, reason=reply.reason, node=reply.node)
        lost = self.journal.state.entries[job.output].lost
        if lost >= MAX_ATTEMPTS:
            return self._fail(
                job, f"{lost} workers have died over it; the last time {reply.reason}", attempt.number, {}
            )
        self._again.append(_Attempt(job, attempt.number + 1, frozenset({reply.node})))
        return JobRetried(job, reply.worker, reply.reason, attempt.number + 1)
