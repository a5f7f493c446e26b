"""The journal of a batch: an append-only file of JSON lines next to the results.

``batch.jsonl`` has one line per event: ``batch`` (with what is pinned), ``started`` (with the job), ``done``,
``failed`` and ``lost`` (a worker died). A line that was cut off by a crash is ignored. Whoever holds the journal holds
a lock on it, which the system releases when the process ends, however it ends.

``failed.jsonl`` lists the failed jobs as a manifest.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from impasto.batch.job import Job
from impasto.errors import InputError, OptionError
from impasto.files import folder_for, write_atomically

JOURNAL, FAILED = "batch.jsonl", "failed.jsonl"
FORMAT = 1
DURABLE = frozenset({"batch", "done", "failed", "lost"})  # events that are on the disk before the batch continues


@dataclass
class Entry:
    """What the journal says about one result, by its path below the folder.

    ``state`` is the last event; ``lost`` counts the workers that died over the job in one run of the batch.
    """

    job: Job
    state: str = "started"
    reason: str = ""
    seconds: float = 0.0
    sha256: str = ""
    attempts: int = 0
    lost: int = 0


@dataclass
class JournalState:
    """All entries by output, and what was pinned when the batch was first started."""

    entries: dict[str, Entry] = field(default_factory=dict)
    pinned: dict[str, Any] = field(default_factory=dict)

    def failures(self) -> list[Entry]:
        """Return the entries of failed jobs."""
        return [entry for entry in self.entries.values() if entry.state == "failed"]

    def add(self, line: Mapping[str, Any]) -> None:
        """Take one line of the journal into account."""
        event = line["event"]
        if event == "batch":
            self.pinned = {**line["pinned"], **self.pinned}
            for entry in self.entries.values():
                entry.lost = entry.lost if entry.state == "failed" else 0
            return
        output = str(line["output"])
        if event == "started":
            masks = line.get("protect"), line.get("style_only")
            job = Job(line["content"], tuple(line["styles"]), output, line["options"], *masks)
            entry = self.entries.setdefault(output, Entry(job))
            if entry.job != job or entry.state == "done" or line["attempt"] == 1:
                entry.lost = 0
            entry.job, entry.state, entry.attempts = job, "started", line["attempt"]
            return
        entry = self.entries[output]
        entry.state = event
        if event == "done":
            entry.seconds, entry.sha256, entry.lost, entry.reason = line["seconds"], line["sha256"], 0, ""
        elif event == "failed":
            entry.reason = line["reason"]
        elif event == "lost":
            entry.lost, entry.reason = entry.lost + 1, line["reason"]


def read(folder: Path) -> JournalState:
    """Return the state of a journal; an empty state if there is none.

    Raises:
        InputError: the file is not a journal, or one of a newer version.
    """
    state = JournalState()
    path = folder / JOURNAL
    if not path.exists():
        return state
    for number, line in enumerate(_lines(path), start=1):
        if line is None:
            continue
        if line.get("format", FORMAT) > FORMAT:
            raise InputError(f"{str(path)!r} was written by a newer version: pip install --upgrade impasto")
        try:
            state.add(line)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"line {number} of {str(path)!r} is not a line of a journal ({error!r}): choose another folder"
            ) from None
    return state


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the lines as data; None for a line that was cut off."""
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            yield line if isinstance(line, dict) else None


class Journal:
    """The journal of a folder, locked and open for appending; a context manager.

    Args:
        folder: the folder of the batch, created if needed.

    Raises:
        OptionError: the folder is not writable, or another batch uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder_for(folder, "output")
        self.path = self.folder / JOURNAL
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise OptionError(
                f"a batch is already running in {str(folder)!r}: wait until it ends, or choose another folder", "output"
            ) from None
        try:
            self.state = read(self.folder)
            self._end_last_line()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write ``failed.jsonl``, or remove it if nothing has failed, and release the lock."""
        failures = self.state.failures()
        path = self.folder / FAILED
        try:
            if failures:
                write_atomically(path, "".join(f"{_text(as_row(entry))}\n" for entry in failures).encode())
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(self._file)

    def _end_last_line(self) -> None:
        """End a line that was cut off, so that the next one is a line of its own."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def write(self, event: str, **values: object) -> None:
        """Append an event."""
        line = {"event": event, **values, "time": round(time.time(), 3)}
        os.write(self._file, f"{_text(line)}\n".encode())
        if event in DURABLE:
            os.fsync(self._file)
        self.state.add(json.loads(_text(line)))

    def begin(self, pinned: Mapping[str, object], count: int) -> None:
        """Append the beginning of a batch."""
        from impasto import __version__

        self.write("batch", format=FORMAT, impasto=__version__, pinned=dict(pinned), count=count)

    def start(self, job: Job, attempt: int) -> None:
        """Append the beginning of a job."""
        self.write("started", **asdict(job) | {"styles": list(job.styles), "attempt": attempt})
        self.state.entries[job.output].job = job  # shares its options with other jobs; those that were read do not


def as_row(entry: Entry) -> dict[str, object]:
    """Return a failed job as a row of a manifest."""
    job = entry.job
    row: dict[str, Any] = {"content": job.content, "style": list(job.styles), "output": job.output}
    masks = {"protect": job.protect, "style_only": job.style_only}
    row |= {name: mask for name, mask in masks.items() if mask is not None}
    return {**row, **job.options, "reason": entry.reason}


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, default=str)
