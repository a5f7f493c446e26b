"""Checkpoints of a run: its states and commands on disk, and how they are restored.

The run, its optimizer and its losses are saved at the start of a step, into a folder with

    run.json the run: options, decisions, inputs with their paths, output file steering.jsonl every command with its
    step, flushed to disk before it is executed checkpoint-000120.* the last two states: tensors in ``.safetensors``,
    the rest in ``.json``

A state is valid once its ``.json`` exists, which is written last and atomically. A thread writes a copy of the tensors
while the run continues; if that copy would be large, the run waits instead. A damaged state is skipped in favor of the
one before it. Because commands are logged before they are executed and the state is saved after that, a run that is
killed at any moment and resumed ends with the same bytes as an uninterrupted one.

With several processes, the first one writes, and states hold the whole image, so that a run can be resumed with a
different number of processes. All of them read the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from impasto import files
from impasto.errors import MachineError, RecordError
from impasto.imaging import images
from impasto.losses.summaries.protocol import Refreshing
from impasto.objective.objective import Objective
from impasto.optimizers.protocol import Optimizer
from impasto.options.renamed import current_names
from impasto.planning.schedule import Scale
from impasto.run.live_weights import LiveWeights
from impasto.run.record import RunDescription, SteeringEntry
from impasto.run.state import RunState
from impasto.runtime.distributed import ALONE, ProcessGroup

FORMAT = 1
RUN, STEERING = "run.json", "steering.jsonl"
CHECKPOINTS_KEPT = 2
MAX_TIME_SHARE = 0.02  # of the run's time that checkpoints may take
ASYNC_LIMIT_BYTES = (
    64 * 2**20
)  # bytes of a state that is copied, to be written while the run continues; for larger ones the run waits
IDENTITY_KEYS = ("options", "decisions", "inputs")  # what two descriptions must have in common to be of the same run
MACHINE_KEYS = ("ranks", "threads", "cpu")  # but for these decisions: how many processes, and what they run on


@dataclass(frozen=True)
class State:
    """A loaded checkpoint: the run, its scales, the normalizers of the current one, and tensors by name."""

    run: RunState
    scales: list[list[float]]
    normalizers: dict[str, float]
    tensors: dict[str, Tensor]

    def restore(self, optimizer: Optimizer, objective: Objective, generator: torch.Generator) -> None:
        """Restore the optimizer, the losses and the generator; they take over the tensors."""
        optimizer.load_state(self._part("optimizer"))
        for name, loss in objective.terms.items():
            if isinstance(loss, Refreshing):
                loss.load_state(self._part(f"loss.{name}"))
        generator.set_state(self.tensors["generator"].cpu())
        self.tensors.clear()

    def _part(self, name: str) -> dict[str, Tensor]:
        start = f"{name}/"
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


class Checkpointer:
    """Saves and loads the checkpoints of one run in one folder.

    Args:
        folder: the folder of the run.
        seconds: time between two checkpoints; longer if they take more than 2% of the time.
        beginning: the description of the run, as stored in ``run.json``.
        generator: the random generator of the run.
        resume: continue from the folder's last checkpoint; otherwise remove its checkpoints.
        group: the processes that paint the image together.

    Raises:
        RecordError: the folder belongs to a different run, or to a newer version.
        MachineError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        beginning: RunDescription,
        generator: torch.Generator,
        *,
        resume: bool,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.folder, self.seconds, self._group = folder, seconds, group
        self.normalizers: dict[str, float] = {}
        self.scales: Sequence[Scale] = ()
        self._generator = generator
        self._writer: threading.Thread | None = None
        self._failure: OSError | None = None
        self._began = self._cost = 0.0
        self.notes: list[str] = []
        try:
            # The other processes wait in the broadcast until the folder is ready.
            same = group.broadcast(_begin(folder, beginning, resume) if group.is_first else None)
            log = _read_log(folder / STEERING)
            self.state = self._load_newest() if same else None
        except OSError as error:
            raise _folder_error(folder, error) from error
        self._log = [line for line in log if line["entry"].get("command") != "stop"]  # a resumed run continues
        self._logged_before = len(self._log)
        self._given_before = int(log[-1]["given"]) if log else 0
        self._due = time.monotonic() + seconds

    def commands(self, given: Sequence[SteeringEntry]) -> list[SteeringEntry]:
        """Return the commands to repeat: those in the log, then those of an earlier run that were not yet executed."""
        return [line["entry"] for line in self._log] + list(given)[self._given_before :]

    def log(self, run: RunState, entry: SteeringEntry) -> None:
        """Write a command to disk before it is executed, unless it was read from the log."""
        if len(run.steering) < len(self._log) or not self._group.is_first:
            return
        given = self._given_before + max(0, run.repeated - self._logged_before)
        line = {"entry": dict(entry), "given": given}
        new = not (self.folder / STEERING).exists()
        with (self.folder / STEERING).open("ab") as file:
            file.write(_json(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_folder(self.folder)
        self._log.append(line)

    def save(self, run: RunState, optimizer: Optimizer, objective: Objective, *, now: bool = False) -> list[str]:
        """Save the state at the start of a step if a checkpoint is due, or ``now``; return warnings."""
        waits = time.monotonic() < self._due or (self._writer is not None and self._writer.is_alive())
        if not objective.shard.group.broadcast(now or not waits):
            return self._news()
        self.close()
        began, self._began = time.perf_counter(), time.monotonic()
        self._due = self._began + self.seconds
        tensors = {"generator": self._generator.get_state()}
        tensors |= {f"optimizer/{key}": value for key, value in optimizer.state().items()}
        for name, loss in objective.terms.items():
            if isinstance(loss, Refreshing):
                tensors |= {f"loss.{name}/{key}": value for key, value in loss.state().items()}
        if not self._group.is_first:
            return []
        asynchronous = sum(value.nbytes for value in tensors.values()) <= ASYNC_LIMIT_BYTES
        copy = asynchronous and objective.shard.is_whole  # gathered tensors are copies
        copies = {key: value.detach().to("cpu", copy=copy).contiguous() for key, value in tensors.items()}
        about = {
            "format": FORMAT,
            "run": asdict(run),
            "references": dict(self.normalizers),
            "scales": [scale.as_data() for scale in self.scales],
        }
        self._cost = time.perf_counter() - began
        clock = time.thread_time if asynchronous else time.perf_counter
        self._writer = threading.Thread(target=self._write, args=(run.step, copies, _json(about), clock), daemon=True)
        self._writer.start()
        if now or not asynchronous:
            self.close()
        return self._news()

    def close(self) -> None:
        """Wait until the last checkpoint is written."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _news(self) -> list[str]:
        news, self.notes = self.notes, []
        if self._failure is not None:
            reason = self._failure.strerror or str(self._failure)
            news.append(
                f"a checkpoint could not be written to {str(self.folder)!r} ({reason}); the run continues without"
            )
            self._failure = None
        return news

    def _write(self, step: int, tensors: dict[str, Tensor], about: bytes, clock: Callable[[], float]) -> None:
        """Write a checkpoint: first the tensors, then the JSON that makes it valid; then delete old ones."""
        began = clock()
        name = f"checkpoint-{step:09d}"
        try:
            file = self.folder / f"{name}.safetensors"
            files.write_atomically(file, lambda opened: save_file(_without_aliases(tensors), opened.name))
            whole = _json({**json.loads(about), "sha256": files.file_sha256(file)})
            files.write_atomically(
                self.folder / f"{name}.json", _json({"state": whole.decode(), "sha256": _sha(whole)})
            )
            _sync_folder(self.folder)
            kept = [path.stem for path in _states(self.folder)[:CHECKPOINTS_KEPT]]
            for path in self.folder.glob("checkpoint-*"):
                if path.stem not in kept:
                    path.unlink(missing_ok=True)
        except OSError as error:
            self._failure = error
        self._delay_next(self._cost + clock() - began)

    def _delay_next(self, cost: float) -> None:
        """Delay the next checkpoint until the cost of this one is a small fraction of the time; an interval of 0 s
        means every step."""
        if self.seconds > 0:
            self._due = max(self._due, self._began + cost / MAX_TIME_SHARE)

    def _load_newest(self) -> State | None:
        """Return the newest intact checkpoint, with a warning for each damaged one."""
        damaged = []
        for path in _states(self.folder):
            try:
                state = _read_state(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                damaged.append(path.stem)
                continue
            if damaged:
                self.notes.append(f"{' and '.join(damaged)} is damaged; falling back to {path.stem}")
            return state
        if damaged:
            self.notes.append(
                f"{' and '.join(damaged)} is damaged and there is no earlier checkpoint; restarting the run"
            )
        return None


def _begin(folder: Path, beginning: RunDescription, resume: bool) -> bool:
    """Prepare a folder for a run, and return whether it contains the same run already."""
    folder.mkdir(parents=True, exist_ok=True)
    if resume and (folder / RUN).exists():
        _check_same(read_run(folder), beginning)
        _read_log(folder / STEERING)  # which repairs it
        return True
    _clear(folder)
    files.write_atomically(folder / RUN, _json({"format": FORMAT, **beginning}))
    return False


def read_run(folder: Path) -> RunDescription:
    """Return the description of the run in a folder.

    Raises:
        RecordError: the folder contains no run, or its description is damaged or of a newer version.
    """
    try:
        beginning: RunDescription = json.loads((folder / RUN).read_bytes())
        number = int(beginning["format"])
    except FileNotFoundError:
        raise RecordError(f"{str(folder)!r} contains no run: use the folder that was passed as --run-dir") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordError(f"{str(folder / RUN)!r} is damaged: the run cannot be resumed; start it again") from None
    if number > FORMAT:
        raise RecordError(f"{str(folder)!r} contains a run of a newer impasto: pip install --upgrade impasto")
    return beginning


def save_input(folder: Path, part: str, picture: images.Picture) -> None:
    """Save an input that is not a file: an array, a tensor or an image in memory."""
    empty = np.zeros(0, np.float32)
    file = io.BytesIO()
    np.savez(
        file,
        pixels=picture.pixels,
        alpha=empty if picture.alpha is None else picture.alpha,
        exif=np.frombuffer(picture.exif or b"", np.uint8),
        about=np.array([picture.name, picture.sha256, str(picture.bits)]),
    )
    try:
        files.write_atomically(folder / f"input-{part}.npz", file.getvalue())
    except OSError as error:
        raise _folder_error(folder, error) from error


def load_input_copy(folder: Path, part: str) -> images.Picture:
    """Return what ``save_input`` stored.

    Raises:
        RecordError: it is missing or damaged.
    """
    path = folder / f"input-{part}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            name, digest, bits = (str(text) for text in kept["about"])
            alpha, exif = kept["alpha"], kept["exif"].tobytes()
            return images.Picture(kept["pixels"], alpha if alpha.size else None, exif or None, name, digest, int(bits))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise RecordError(f"{str(path)!r} is missing or damaged: the run cannot be resumed; start it again") from None


def _folder_error(folder: Path, error: OSError) -> MachineError:
    reason = error.strerror or str(error)
    return MachineError(f"the run cannot be kept in {str(folder)!r} ({reason}): choose another folder")


def _check_same(kept: RunDescription, beginning: RunDescription) -> None:
    kept = {**kept, "options": current_names(kept.get("options") or {})}
    now = json.loads(_json(beginning))
    for part in IDENTITY_KEYS:
        if _portable(kept.get(part)) != _portable(now.get(part)):
            raise RecordError(
                f"the run in this folder has different {part}: resume it unchanged, or choose a different folder"
            )


def _portable(part: Any) -> Any:
    """Return a part of the description without what may change."""
    return {key: value for key, value in part.items() if key not in MACHINE_KEYS} if isinstance(part, dict) else part


def _clear(folder: Path) -> None:
    for path in [*folder.glob("checkpoint-*"), folder / STEERING, folder / RUN]:
        path.unlink(missing_ok=True)


def _states(folder: Path) -> list[Path]:
    """Return the JSON files of the states, newest first."""
    return sorted(folder.glob("checkpoint-*.json"), reverse=True)


def _read_state(path: Path) -> State:
    outer = json.loads(path.read_bytes())
    inner = str(outer["state"]).encode()
    if _sha(inner) != outer["sha256"]:
        raise ValueError(path)
    about = json.loads(inner)
    file = path.with_suffix(".safetensors")
    if files.file_sha256(file) != about["sha256"]:
        raise ValueError(path)
    with safe_open(file, framework="pt") as kept:
        # Copied, so that every tensor has the memory layout that it had in the run: sums may depend on it.
        tensors = {key: kept.get_tensor(key).clone() for key in kept.keys()}  # noqa: SIM118 - it is no mapping
    saved = dict(about["run"])
    weights = LiveWeights(**(saved.pop("knobs", None) or saved.pop("live_weights")))  # older checkpoints say "knobs"
    run = RunState(**saved, live_weights=weights)
    return State(run, about["scales"], about["references"], tensors)


def _read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the log, without an incomplete last line, which is cut off."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = data[: data.rfind(b"\n") + 1]
    lines: list[dict[str, Any]] = []
    for line in whole.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            raise RecordError(f"{str(path)!r} is damaged at line {len(lines) + 1}: the run cannot be resumed") from None
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return lines


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _without_aliases(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with shared memory copied, since safetensors does not allow it."""
    seen: set[int] = set()
    found = {}
    for name, value in tensors.items():
        place = value.untyped_storage().data_ptr()
        found[name] = value.clone() if place in seen else value
        seen.add(place)
    return found


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries to disk, where the system supports it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
