"""Painters for tests of batches, importable in worker processes: fake ones, and one with small random weights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from impasto.batch.executor import Painter, Task
from impasto.errors import ImageError, WeightsError
from impasto.files import file_sha256, write_atomically
from impasto.imaging import images
from impasto.options.fields import Options
from impasto.run import record

PAUSE_SECONDS = "IMPASTO_TEST_PAUSE"  # environment variable: time that a fake painting takes


def fake() -> Painter:
    """Return a painter that saves a small image with a true record; names of photographs make it fail."""
    return _fake


def _fake(task: Task, report: Callable[[float], None]) -> str:
    import numpy as np

    name = Path(task.content).name
    if "broken" in name:
        raise ImageError(f"{task.content!r} is damaged")
    if "noweights" in name:
        raise WeightsError("there are no weights; run: impasto weights fetch")
    if "bug" in name:
        raise ZeroDivisionError("division by zero")
    if "killer" in name or ("once" in name and _first_time(task)):
        os.kill(os.getpid(), signal.SIGKILL)
    report(0.5)
    time.sleep(float(os.environ.get(PAUSE_SECONDS, "0")))
    inputs = {"content": images.load(task.content)}
    for number, style in enumerate(task.styles, start=1):
        inputs["style" if number == 1 else f"style {number}"] = images.load(style)
    about = record.make(Options.of(**task.options).flat(), {"worker": os.getpid()}, inputs)
    output = Path(task.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    images.save(output, np.zeros((8, 8, 3), np.uint8), record=record.text(about))
    with output.with_name("painted.txt").open("a") as file:  # one line per finished image, over all processes
        file.write(f"{output.name}\n")
    return file_sha256(output)


def _first_time(task: Task) -> bool:
    mark = Path(f"{task.output}.seen")
    if mark.exists():
        return False
    write_atomically(mark, b"")
    return True


def tiny() -> Painter:
    """Return the real painter, with random weights."""
    from impasto.batch.worker import WarmPainter
    from impasto.run.target_cache import TargetCache
    from random_weights import state_before

    return WarmPainter(TargetCache(state_before("conv3")))
