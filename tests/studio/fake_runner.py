"""A runner without a network, which the studio's tests run instead of the engine.

Every step hashes the last, so that the final value tells whether each step was done once, in order. The options
``steps``, ``delay`` and ``fault`` say how many, how long each takes and where it goes wrong; through the API, which
knows no delays, ``step_size`` does for milliseconds. A run that begins while the file ``REHEARSAL_ENDLESS`` exists does
not end by itself, so that what a test does to it never comes too late.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from impasto.errors import OptionError
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Steered, Stepped, Warned
from impasto.files import write_atomically
from impasto.studio.store.exports import Exporter, ExportInput
from impasto.studio.store.records import Purpose, StoredEvent
from impasto.studio.worker.loop import PictureWriters, Saved, Task

STEPS = 25
ENDLESS_STEPS = 1_000_000
DELAY_MS = float(os.environ.get("REHEARSAL_DELAY_MS", "0"))


@dataclass(frozen=True)
class Outcome:
    """What a rehearsal ends with."""

    chain: str
    picture: Any


def link(chain: str, step: int) -> str:
    """Return the next value of the chain."""
    return hashlib.sha256(f"{chain}{step}".encode()).hexdigest()


def expected(steps: int = STEPS) -> str:
    """Return the chain's value after all steps."""
    chain = ""
    for step in range(1, steps + 1):
        chain = link(chain, step)
    return chain


def paint(chain: str, strength: float, side: int = 48) -> Any:
    """Make an image of a value: its color, redder with strength."""
    picture = np.empty((side, side, 3), np.uint8)
    picture[...] = [int(255 * strength), *(bytes.fromhex(chain[:4]) if chain else b"\0\0")]
    picture[: side // 4] = 230
    return picture


def run(task: Task, mailbox: Mailbox) -> Iterator[Event]:
    """Rehearse a run."""
    steps = int(task.options.get("steps") or os.environ.get("REHEARSAL_STEPS") or STEPS)
    if Path(os.environ.get("REHEARSAL_ENDLESS") or os.devnull).is_file():
        steps = ENDLESS_STEPS
    delay = float(task.options.get("delay") or task.options.get("step_size", DELAY_MS) / 1000)
    side = int(task.options.get("size") or 48)
    fault = task.options.get("fault")
    state = {"step": 0, "chain": "", "strength": float(task.options.get("strength") or 0.5)}
    saved = task.checkpoint_dir / "state.json"
    if task.resume and saved.exists():
        state = json.loads(saved.read_text())
    if fault == "option":
        raise OptionError("strength is wrong; give another", "strength")
    yield Planned(({"height": side, "width": side, "steps": steps},), steps, {"device": "none"})
    yield ScaleStarted(0, 1, side, side, steps)
    while state["step"] < steps:
        step = state["step"] + 1
        _checkpoint(task.checkpoint_dir, state)
        for command in mailbox.collect():
            if command.name == "set":
                state.update({key: value for key, value in command.values.items() if key in state})
                _checkpoint(task.checkpoint_dir, state)
            yield Steered(step, command.name, command.values)
            picture = paint(state["chain"], state["strength"], side)
            if command.name == "snapshot":
                yield Snapshot(step, 0, picture)
            if command.name == "stop":
                yield Finished(state["step"], True, Outcome(state["chain"], picture))
                return
        if fault == "crash" and step == 7:
            raise RuntimeError("the paint is dry")
        if delay:
            time.sleep(delay)
        state.update(step=step, chain=link(state["chain"], step))
        total = 2.0 * (1.0 + state["strength"]) / step
        losses = {"content": total / 2, "style": total / 2}
        yield Stepped(step, 0, step, total, losses, paint(state["chain"], state["strength"], side))
        if fault == "warn" and step == 1:
            yield Warned("the light is going")
    yield Finished(state["step"], False, Outcome(state["chain"], paint(state["chain"], state["strength"], side)))


def witness() -> None:
    """See a checkpoint being written, at three moments; those who kill workers put themselves here."""


def _checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state whole."""
    witness()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "state.part"
    part.write_text(json.dumps(state))
    witness()
    part.replace(folder / "state.json")
    witness()


def png(picture: Any, text: str = "") -> bytes:
    """Return a PNG of ``[H, W, 3]`` uint8 pixels, with a comment."""
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = picture.reshape(height, -1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            chunk(b"tEXt", b"Comment\0" + text.encode()),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)),
            chunk(b"IEND", b""),
        )
    )


def _preview(picture: Any, path: Path) -> Saved:
    write_atomically(path, png(picture))
    return Saved("image/png", picture.shape[1], picture.shape[0])


def _result(outcome: Outcome, path: Path) -> Saved:
    write_atomically(path, png(outcome.picture, outcome.chain))
    return Saved("image/png", outcome.picture.shape[1], outcome.picture.shape[0], {"chain": outcome.chain})


def _film(export_input: ExportInput, path: Path) -> str:
    path.write_bytes(b"film of " + str([step for step, _ in export_input.previews]).encode())
    return "video/mp4"


def _report(export_input: ExportInput, path: Path) -> str:
    if export_input.job.options.get("seed") == SPOILT:
        raise RuntimeError("the ink is dry")
    path.write_text(f"report of {len(export_input.events)} events", encoding="utf-8")
    return "text/html"


SPOILT = 13  # a seed whose report cannot be written
writers = PictureWriters(_preview, _result, preview_suffix=".png")
exporters: dict[Purpose, Exporter] = {"film": _film, "report": _report}


def steps_told(events: Iterable[StoredEvent]) -> int:
    """Return a job's last step, once it is sure that each was told in its turn, from where it was resumed."""
    step = 0
    for event in events:
        data = json.loads(event.data)
        if event.kind == "resumed":
            assert data["step"] <= step
            step = data["step"]
        elif event.kind == "step":
            assert data["step"] == step + 1
            step += 1
    return step
