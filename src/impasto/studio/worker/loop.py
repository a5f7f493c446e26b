"""A worker: claims a job, runs it, writes down what happens, obeys what it is told, and starts again.

In: jobs and commands out of the store. Out: events, previews, checkpoints and results into it. The run itself is a
``Runner``, a generator of ``impasto.events``, so that this module needs no torch and its tests neither. A run is
paused by not asking the generator for more; a file appears under its name only when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.errors import InputError
from impasto.events import Event, Finished, Mailbox, Planned, Snapshot, Steered, Stepped
from impasto.studio.store.database import Store
from impasto.studio.store.event_codec import encode_event
from impasto.studio.store.exports import Exporter, export_next
from impasto.studio.store.lease import Lease, LeaseLostError, QueuedCommand, claim, worker_name
from impasto.studio.store.records import ExportKind, Purpose, ResultKind, StoredResult

CHECKPOINTS = "checkpoints"
PREVIEWS_KEPT = 120


@dataclass(frozen=True)
class Task:
    """What a runner is given: paths, options, and where its checkpoints live."""

    job: str
    content: Path
    styles: tuple[tuple[Path, float], ...]
    masks: Mapping[str, Path]
    options: Mapping[str, Any]
    regions: tuple[Mapping[str, Any], ...] = field(default=(), kw_only=True)
    purpose: Purpose = field(default="picture", kw_only=True)
    names: Mapping[Path, str] = field(default_factory=dict, kw_only=True)  # what people call the pictures
    checkpoint_dir: Path
    resume: bool


# A runner checkpoints by itself, and keeps in ``checkpoint_dir`` what it was told: a command that it has applied (its
# ``Steered`` is out) is not told again after a crash.
Runner = Callable[[Task, Mailbox], Iterator[Event]]


@dataclass(frozen=True)
class Saved:
    """What a saver says of the file that it wrote."""

    media_type: str
    width: int
    height: int
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PictureWriters:
    """How pictures become files; both write to the path given and may be slow.

    Args:
        preview: takes ``[H, W, 3]`` uint8.
        result: takes the run's ``Result``.
    """

    preview: Callable[[Any, Path], Saved]
    result: Callable[[Any, Path], Saved]
    preview_suffix: str = ".jpg"
    result_suffix: str = ".png"


@dataclass(frozen=True)
class Intervals:
    """How often things happen, in seconds."""

    lease: float = 15.0
    poll: float = 0.1
    preview: float = 0.2
    idle: float = 0.2
    patience: float = 2.0  # a paused job keeps its worker that long while others wait


@dataclass
class _Inbox:
    """What the listening thread has heard, for the thread that runs the job."""

    target_state: str = "run"
    others_wait: bool = False
    lost: bool = False
    last_command: int = 0
    posted: deque[QueuedCommand] = field(default_factory=deque)  # not yet applied


class Worker:
    """Runs jobs from a store, one at a time.

    Args:
        store: where the jobs are.
        runner: makes events of a task.
        writers: make files of pictures.
        intervals: how often things happen.
        name: who claims.
        max_failures: after how many a job is given up.
        exporters: of films and reports, by kind; requests for them are granted between two jobs.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        writers: PictureWriters,
        intervals: Intervals | None = None,
        name: str | None = None,
        max_failures: int = 3,
        exporters: Mapping[ExportKind, Exporter] | None = None,
    ) -> None:
        self.store = store
        self.runner = runner
        self.writers = writers
        self.intervals = intervals or Intervals()
        self.name = name or worker_name()
        self.max_failures = max_failures
        self.exporters = exporters or {}
        self.stopping = threading.Event()

    def work(self) -> None:
        """Run jobs until ``stopping`` is set; a job under way is checkpointed and put back into the queue."""
        while not self.stopping.is_set():
            if not export_next(self.store, self.name, self.exporters) and not self.work_once():
                self.stopping.wait(self.intervals.idle)

    def work_once(self) -> bool:
        """Run one job, if one waits, and say whether one did."""
        lease = claim(self.store, self.name, self.intervals.lease, self.max_failures)
        if lease is None:
            return False
        try:
            if lease.job.target_state == "cancel":
                lease.release("cancelled")
            else:
                _Run(self, lease).go()
        except LeaseLostError:
            self.store.sweep_job(lease.job.id)  # somebody else has it, or it was deleted
        except Exception as error:  # the worker guards the job: whatever it was, it is kept and the next one runs
            line, whole = f"{type(error).__name__}: {error}", traceback.format_exc()
            final = isinstance(error, InputError)
            try:
                lease.fail(line, whole, final, self.max_failures)
            except LeaseLostError:
                self.store.sweep_job(lease.job.id)
        return True


class _Run:
    """One job in the hands of one worker."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        self.worker = worker
        self.store = worker.store
        self.intervals = worker.intervals
        self.lease = lease
        self.folder = self.store.job_folder(lease.job.id)
        self.mailbox = Mailbox()
        self.inbox = _Inbox(target_state=lease.job.target_state, last_command=lease.job.applied)
        self.ended = threading.Event()
        self.step = lease.job.step
        self.resuming = lease.job.step > 0
        self.stop_posted = False
        self.at_checkpoint = False  # whether all that was computed is on disk
        self.checkpoint_asked = False
        self.preview_due = 0.0

    def go(self) -> None:
        """Run the job until it ends, is paused for long, is cancelled, or the worker stops."""
        job = self.lease.job
        self.folder.mkdir(parents=True, exist_ok=True)
        for litter in self.folder.glob("*.part*"):
            litter.unlink(missing_ok=True)
        self._hear()  # what was told before this life, in order and before the first step
        listener = threading.Thread(target=self._listen, name=f"listen-{job.id}", daemon=True)
        listener.start()
        events = self.worker.runner(self._task(), self.mailbox)
        try:
            self._follow(events)
        finally:
            self.ended.set()
            getattr(events, "close", lambda: None)()
            listener.join()

    def _task(self) -> Task:
        """Turn asset ids into paths."""
        job = self.lease.job
        names: dict[Path, str] = {}

        def path(asset_id: str) -> Path:
            asset = self.store.asset(asset_id)
            place = self.store.asset_path(asset)
            names[place] = asset.name or place.name
            return place

        return Task(
            job=job.id,
            content=path(job.pictures["content"]),
            styles=tuple((path(style["asset"]), float(style["weight"])) for style in job.pictures["styles"]),
            masks={part: path(asset_id) for part, asset_id in job.pictures.get("masks", {}).items()},
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
        """Heartbeat and hear, until the run ends."""
        beat_due = time.monotonic() + self.intervals.lease / 3
        try:
            while not self.ended.wait(self.intervals.poll):
                # A lock held by others for long is no reason to stop listening.
                with contextlib.suppress(sqlite3.OperationalError):
                    if time.monotonic() >= beat_due:
                        self.lease.heartbeat()
                        beat_due = time.monotonic() + self.intervals.lease / 3
                    self._hear()
        except LeaseLostError:
            self.inbox.lost = True
        finally:
            self.store.close()

    def _hear(self) -> None:
        """Pass new commands on to the mailbox."""
        requests = self.lease.requests(self.inbox.last_command)
        for command in requests.commands:
            self.inbox.posted.append(command)
            self.mailbox.post("set" if command.name == "set" else "snapshot", **command.amounts)
            self.inbox.last_command = command.number
        self.inbox.target_state = requests.target_state
        self.inbox.others_wait = requests.others_wait

    # The running thread ----------------------------------------------------------------------------------------------

    def _follow(self, events: Iterator[Event]) -> None:
        """Write every event down; look at the inbox in between."""
        while not self.inbox.lost:
            if self.inbox.target_state == "cancel":
                self.lease.release("cancelled")
                return
            if self.inbox.target_state == "stop" and not self.stop_posted:
                self.mailbox.post("stop")
                self.stop_posted = True
            stand_still = self.worker.stopping.is_set() or self.inbox.target_state == "pause"
            if stand_still and self.at_checkpoint:
                if self._let_go_or_wait():
                    return
                continue
            if stand_still and not self.checkpoint_asked:
                self.mailbox.post("checkpoint")
                self.checkpoint_asked = True
            event = next(events, None)
            if event is None:
                raise RuntimeError("the run ended without a result")
            if self._write(event):
                return

    def _let_go_or_wait(self) -> bool:
        """Claim a paused job as long as nobody else needs the worker; say whether it was let go."""
        if self.worker.stopping.is_set():
            return self.lease.release("queued")
        self.lease.pause()
        patience = time.monotonic() + self.intervals.patience
        while self.inbox.target_state == "pause" and not self.inbox.lost:
            needed = self.worker.stopping.is_set() or (self.inbox.others_wait and time.monotonic() > patience)
            if needed and self.lease.release("paused"):
                return True
            time.sleep(self.intervals.poll / 2)
        if not self.inbox.lost and self.inbox.target_state != "cancel":
            self.lease.resume()
        return self.inbox.lost

    def _write(self, event: Event) -> bool:
        """Write an event down and say whether it was the last."""
        total_steps, result = None, None
        lines: list[tuple[str, dict[str, Any]]] = []
        if isinstance(event, Finished):
            self._finish(event)
            return True
        if isinstance(event, Planned):
            total_steps = event.total_steps
        elif isinstance(event, Stepped):
            self.step = event.step
            self.at_checkpoint = False
            # The checkpoint may be ahead of its note in the store, so the run itself says where it goes on from.
            if self.resuming:
                lines.append(("resumed", {"step": event.step - 1}))
                self.resuming = False
            if event.preview is not None and time.monotonic() >= self.preview_due:
                self.preview_due = time.monotonic() + self.intervals.preview
                result = self._keep(event.step, "preview", event.preview)
        elif isinstance(event, Snapshot):
            result = self._keep(event.step, "snapshot", event.picture)
        kind, data = encode_event(event)
        if kind == "step":
            data["at"] = round(self.store.clock(), 3)  # for those who read it later and want to know the intervals
        if result is not None:
            data["picture"] = result.kind
        applied = self._applied(event) if isinstance(event, Steered) else None
        self.lease.append([*lines, (kind, data)], self.step, total_steps, result, applied)
        if isinstance(event, Steered) and event.command == "checkpoint":
            self.at_checkpoint, self.checkpoint_asked = True, False
        if result is not None and result.kind == "preview":
            self._thin()
        return False

    def _applied(self, event: Steered) -> int | None:
        """Return the number of the command that an event answers; those before it were refused."""
        posted = self.inbox.posted
        for command in list(posted):
            if command.name == event.command and command.amounts == dict(event.values):
                while posted.popleft() is not command:
                    pass
                return command.number
        return None

    def _keep(self, step: int, kind: ResultKind, picture: Any) -> StoredResult:
        """Write a picture of a step: under a temporary name, then renamed."""
        name = f"{step:07d}-{kind}{self.worker.writers.preview_suffix}"
        saved = write_whole(self.folder / name, lambda path: self.worker.writers.preview(picture, path))
        return stored(self.folder / name, step, kind, saved)

    def _thin(self) -> None:
        """Drop every second preview, the newest excepted, once there are too many."""
        previews = [result for result in self.store.results(self.lease.job.id) if result.kind == "preview"]
        if len(previews) <= PREVIEWS_KEPT:
            return
        dropped = previews[1:-1:2]
        self.lease.forget(dropped)
        for result in dropped:
            (self.folder / result.file).unlink(missing_ok=True)

    def _finish(self, event: Finished) -> None:
        """Write the result, then say so in one transaction, then sweep up the checkpoints."""
        self.lease.heartbeat()
        path = self.folder / f"{event.step:07d}-final{self.worker.writers.result_suffix}"
        saved = write_whole(path, lambda target: self.worker.writers.result(event.result, target))
        data = {"step": event.step, "stopped": event.stopped, "picture": "final"}
        self.lease.finish(data, stored(path, event.step, "final", saved), saved.record, event.stopped)
        shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)


def write_whole(path: Path, write: Callable[[Path], Saved]) -> Saved:
    """Let something write a file beside ``path``, then give it its name."""
    part = path.with_name(f"{path.stem}.part{os.getpid()}{path.suffix}")
    saved = write(part)
    part.replace(path)
    return saved


def stored(path: Path, step: int, kind: ResultKind, saved: Saved) -> StoredResult:
    """Describe a written picture for the store."""
    return StoredResult(step, kind, path.name, saved.media_type, path.stat().st_size, saved.width, saved.height)
