"""The loop of a worker: claim a job, run it, store its events, apply its commands, repeat.

The worker writes events, previews, checkpoints and results to the store. The run itself is a ``Runner``, a generator of
``impasto.events``, so neither this module nor its tests need torch. A run is paused by not advancing the generator.
Timelapses and reports of finished jobs are jobs as well, written by an ``Exporter``.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import InputError
from impasto.events import Event, Finished, Mailbox, Planned, Snapshot, Steered, Stepped
from impasto.studio.store.database import Store
from impasto.studio.store.event_codec import encode_event
from impasto.studio.store.exports import SUFFIXES, Exporter, export_input
from impasto.studio.store.lease import Lease, LeaseLostError, QueuedCommand, claim, worker_name
from impasto.studio.store.records import Purpose, ResultKind, StoredResult

if TYPE_CHECKING:
    from impasto.run.result import Result

CHECKPOINTS = "checkpoints"
PREVIEWS_KEPT = 120


@dataclass(frozen=True)
class Task:
    """The input of a runner: paths, options, and the checkpoint folder."""

    job: str
    content: Path
    styles: tuple[tuple[Path, float], ...]
    masks: Mapping[str, Path]
    options: Mapping[str, Any]
    regions: tuple[Mapping[str, Any], ...] = field(default=(), kw_only=True)
    purpose: Purpose = field(default="picture", kw_only=True)
    names: Mapping[Path, str] = field(default_factory=dict, kw_only=True)  # the users' file names
    checkpoint_dir: Path
    resume: bool


# A runner writes its own checkpoints, with the commands that it has applied: a command whose ``Steered`` event was
# yielded is not sent again after a crash.
Runner = Callable[[Task, Mailbox], Iterator[Event["Result"]]]


@dataclass(frozen=True)
class Saved:
    """The properties of a file that a writer wrote."""

    media_type: str
    width: int
    height: int
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PictureWriters:
    """The functions that write images to a path, completely or not at all; both may be slow.

    Args:
        preview: writes ``[H, W, 3]`` uint8.
        result: writes the ``Result`` of the run.
    """

    preview: Callable[[Any, Path], Saved]
    result: Callable[[Any, Path], Saved]
    preview_suffix: str = ".jpg"
    result_suffix: str = ".png"


@dataclass(frozen=True)
class Intervals:
    """The intervals of a worker, in seconds."""

    lease: float = 15.0
    poll: float = 0.1
    preview: float = 0.2
    idle: float = 0.2
    yield_after: float = 2.0  # a paused job is released after that time if others wait


@dataclass
class _Inbox:
    """What the listening thread has read, for the thread that runs the job."""

    target_state: str = "run"
    others_wait: bool = False
    lost: bool = False
    last_command: int = 0
    posted: deque[QueuedCommand] = field(default_factory=deque)  # not yet applied


class Worker:
    """Runs jobs from a store, one at a time.

    Args:
        store: where the jobs are.
        runner: yields the events of a task.
        writers: write images to files.
        exporters: write timelapses and reports, completely or not at all.
        intervals: how often the worker polls, saves previews and renews its lease.
        name: of the worker, for the store.
        max_failures: number of failures after which a job is marked failed.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        writers: PictureWriters,
        exporters: Mapping[Purpose, Exporter],
        intervals: Intervals | None = None,
        name: str | None = None,
        max_failures: int = 3,
    ) -> None:
        self.store = store
        self.runner = runner
        self.writers = writers
        self.exporters = exporters
        self.intervals = intervals or Intervals()
        self.name = name or worker_name()
        self.max_failures = max_failures
        self.stopping = threading.Event()

    def work(self) -> None:
        """Run jobs until ``stopping`` is set; the current job is checkpointed and put back into the queue."""
        while not self.stopping.is_set():
            if not self.work_once():
                self.stopping.wait(self.intervals.idle)

    def work_once(self) -> bool:
        """Run the next job of the queue, and return whether there was one."""
        lease = claim(self.store, self.name, self.intervals.lease, self.max_failures)
        if lease is None:
            return False
        owner = lease.job.source or lease.job.id
        try:
            if lease.job.target_state == "cancel":
                lease.release("canceled")
            else:
                _Run(self, lease).run()
        except LeaseLostError:
            self.store.sweep_job(owner)  # another worker has it, or it was deleted
        except Exception as error:  # the error is stored with the job, and the worker continues
            line, whole = f"{type(error).__name__}: {error}", traceback.format_exc()
            final = isinstance(error, InputError) or lease.job.source is not None
            try:
                lease.fail(line, whole, final, self.max_failures)
            except LeaseLostError:
                self.store.sweep_job(owner)
        return True


class _Run:
    """One job, run by one worker."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        self.worker = worker
        self.store = worker.store
        self.intervals = worker.intervals
        self.lease = lease
        self.folder = self.store.job_folder(lease.job.source or lease.job.id)
        self.mailbox = Mailbox()
        self.inbox = _Inbox(target_state=lease.job.target_state, last_command=lease.job.applied)
        self.ended = threading.Event()
        self.step = lease.job.step
        self.resuming = lease.job.step > 0
        self.stop_posted = False
        self.at_checkpoint = False  # whether the last step is on disk
        self.checkpoint_asked = False
        self.preview_due = 0.0

    def run(self) -> None:
        """Run the job until it ends, is released while paused, is canceled, or the worker stops."""
        job = self.lease.job
        self.folder.mkdir(parents=True, exist_ok=True)
        self._read_requests()  # earlier commands, in order and before the first step
        listener = threading.Thread(target=self._listen, name=f"listen-{job.id}", daemon=True)
        listener.start()
        try:
            if job.source is None:
                self._paint()
            else:
                self._export(job.source)
        finally:
            self.ended.set()
            listener.join()

    def _paint(self) -> None:
        """Run the runner."""
        for leftover in (*self.folder.glob("*.part*"), *self.folder.glob("*.tmp")):
            leftover.unlink(missing_ok=True)
        events = self.worker.runner(self._task(), self.mailbox)
        try:
            self._follow(events)
        finally:
            getattr(events, "close", lambda: None)()

    def _export(self, source: str) -> None:
        """Write a timelapse or a report."""
        kind = self.lease.job.purpose
        path = self.folder / f"{kind}{SUFFIXES[kind]}"
        media_type = self.worker.exporters[kind](export_input(self.store, source), path)
        self.lease.finish({}, result_row(path, 0, "final", Saved(media_type, 0, 0)), None, False)

    def _task(self) -> Task:
        """Build the runner's task, with paths in place of asset ids."""
        job = self.lease.job
        names: dict[Path, str] = {}

        def path(asset_id: str) -> Path:
            asset = self.store.asset(asset_id)
            asset_path = self.store.asset_path(asset)
            names[asset_path] = asset.name or asset_path.name
            return asset_path

        return Task(
            job=job.id,
            content=path(job.pictures["content"]),
            styles=tuple((path(style["asset"]), float(style["weight"])) for style in job.pictures["styles"]),
            masks={role: path(asset_id) for role, asset_id in job.pictures.get("masks", {}).items()},
            regions=tuple(
                {
                    **{key: value for key, value in region.items() if key != "asset"},
                    "mask": path(region["mask"]),
                    "style": path(region["asset"]),
                }
                for region in job.pictures.get("regions", ())
            ),
            options=job.options,
            purpose=job.purpose,
            names=names,
            checkpoint_dir=self.folder / CHECKPOINTS,
            resume=(self.folder / CHECKPOINTS).exists(),
        )

    # The listening thread --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Renew the lease and read commands until the run ends."""
        renewal_due = time.monotonic() + self.intervals.lease / 3
        try:
            while not self.ended.wait(self.intervals.poll):
                # Another process may hold the lock for long; try again later.
                with contextlib.suppress(sqlite3.OperationalError):
                    if time.monotonic() >= renewal_due:
                        self.lease.heartbeat()
                        renewal_due = time.monotonic() + self.intervals.lease / 3
                    self._read_requests()
        except LeaseLostError:
            self.inbox.lost = True
        finally:
            self.store.close()

    def _read_requests(self) -> None:
        """Pass new commands to the mailbox."""
        requests = self.lease.requests(self.inbox.last_command)
        for command in requests.commands:
            self.inbox.posted.append(command)
            self.mailbox.post("set" if command.name == "set" else "snapshot", **command.amounts)
            self.inbox.last_command = command.number
        self.inbox.target_state = requests.target_state
        self.inbox.others_wait = requests.others_wait

    # The running thread ----------------------------------------------------------------------------------------------

    def _follow(self, events: Iterator[Event[Result]]) -> None:
        """Store every event, and act on requests between events."""
        while not self.inbox.lost:
            if self.inbox.target_state == "cancel":
                self.lease.release("canceled")
                return
            if self.inbox.target_state == "stop" and not self.stop_posted:
                self.mailbox.post("stop")
                self.stop_posted = True
            must_pause = self.worker.stopping.is_set() or self.inbox.target_state == "pause"
            if must_pause and self.at_checkpoint:
                if self._wait_while_paused():
                    return
                continue
            if must_pause and not self.checkpoint_asked:
                self.mailbox.post("checkpoint")
                self.checkpoint_asked = True
            event = next(events, None)
            if event is None:
                raise RuntimeError("the run ended without a result")
            if self._write(event):
                return

    def _wait_while_paused(self) -> bool:
        """Wait while the job is paused; return whether it was released because the worker stops or others wait."""
        if self.worker.stopping.is_set():
            return self.lease.release("queued")
        self.lease.pause()
        release_due = time.monotonic() + self.intervals.yield_after
        while self.inbox.target_state == "pause" and not self.inbox.lost:
            needed = self.worker.stopping.is_set() or (self.inbox.others_wait and time.monotonic() > release_due)
            if needed and self.lease.release("paused"):
                return True
            time.sleep(self.intervals.poll / 2)
        if not self.inbox.lost and self.inbox.target_state != "cancel":
            self.lease.resume()
        return self.inbox.lost

    def _write(self, event: Event[Result]) -> bool:
        """Store an event, and return whether it was the last."""
        total_steps, result = None, None
        lines: list[tuple[str, Mapping[str, object]]] = []
        if isinstance(event, Finished):
            self._finish(event)
            return True
        if isinstance(event, Planned):
            total_steps = event.total_steps
        elif isinstance(event, Stepped):
            self.step = event.step
            self.at_checkpoint = False
            # The checkpoint may be newer than the step in the store, so the first step of the run decides.
            if self.resuming:
                lines.append(("resumed", {"step": event.step - 1}))
                self.resuming = False
            if event.preview is not None and time.monotonic() >= self.preview_due:
                self.preview_due = time.monotonic() + self.intervals.preview
                result = self._save_picture(event.step, "preview", event.preview)
        elif isinstance(event, Snapshot):
            result = self._save_picture(event.step, "snapshot", event.picture)
        kind, data = encode_event(event)
        if kind == "step":
            data["at"] = round(self.store.clock(), 3)  # for readers who measure the speed of the run
        if result is not None:
            data["picture"] = result.kind
        applied = self._applied_command(event) if isinstance(event, Steered) else None
        self.lease.append([*lines, (kind, data)], self.step, total_steps, result, applied)
        if isinstance(event, Steered) and event.command == "checkpoint":
            self.at_checkpoint, self.checkpoint_asked = True, False
        if result is not None and result.kind == "preview":
            self._thin_previews()
        return False

    def _applied_command(self, event: Steered) -> int | None:
        """Return the number of the command that an event confirms; the commands before it were refused."""
        posted = self.inbox.posted
        for command in list(posted):
            if command.name == event.command and command.amounts == dict(event.values):
                while posted.popleft() is not command:
                    pass
                return command.number
        return None

    def _save_picture(self, step: int, kind: ResultKind, picture: Any) -> StoredResult:
        """Write the image of a step."""
        path = self.folder / f"{step:07d}-{kind}{self.worker.writers.preview_suffix}"
        return result_row(path, step, kind, self.worker.writers.preview(picture, path))

    def _thin_previews(self) -> None:
        """Delete every second preview, except the newest, once there are too many."""
        previews = [result for result in self.store.results(self.lease.job.id) if result.kind == "preview"]
        if len(previews) <= PREVIEWS_KEPT:
            return
        dropped = previews[1:-1:2]
        self.lease.delete_results(dropped)
        for result in dropped:
            (self.folder / result.file).unlink(missing_ok=True)

    def _finish(self, event: Finished[Result]) -> None:
        """Write the result, mark the job done in one transaction, then delete the checkpoints."""
        self.lease.heartbeat()
        path = self.folder / f"{event.step:07d}-final{self.worker.writers.result_suffix}"
        saved = self.worker.writers.result(event.result, path)
        data = {"step": event.step, "stopped": event.stopped, "picture": "final"}
        self.lease.finish(data, result_row(path, event.step, "final", saved), saved.record, event.stopped)
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)


def result_row(path: Path, step: int, kind: ResultKind, saved: Saved) -> StoredResult:
    """Return the store's row for a written image."""
    return StoredResult(step, kind, path.name, saved.media_type, path.stat().st_size, saved.width, saved.height)
