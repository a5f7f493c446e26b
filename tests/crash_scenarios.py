"""Runs that are killed and resumed, for ``test_checkpoint``: one process that forks a child for every run.

In: a folder. Out: one line of JSON per scenario, with the exit codes of the children and the hashes of the resumed and
the uninterrupted image. The network has only two blocks, so a run takes a fraction of a second. Children are killed
with SIGKILL, by themselves at critical moments or by their parent.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from impasto import files
from impasto.events import Mailbox, Stepped
from impasto.run import checkpoint, result
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache
from impasto.workflows.replay import iter_resume
from random_weights import state_before
from runs import iter_stylize
from waiting import wait_until

OPTIONS: dict[str, Any] = {
    "size": "64",
    "steps": 30,
    "scales": 2,
    "style_layers": "relu1_1+relu2_1",
    "content_layers": "relu2_2",
    "precision": "fp32",
    "init": "random",
}
STEERED = {9: {"strength": 0.8}, 10: {"step_size": 0.5}, 21: {"strength": 0.3}}


def small_state() -> dict[str, torch.Tensor]:
    """Return random weights for the first two blocks."""
    return state_before("conv3")


class Runs:
    """Starts, kills and resumes runs in one folder each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = TargetCache(small_state())
        rng = np.random.default_rng(3)
        for name in ("content", "style"):
            coarse = Image.fromarray((rng.random((8, 8, 3)) * 255).astype(np.uint8))
            coarse.resize((64, 48)).save(root / f"{name}.png")

    def follow(self, folder: Path, resume: bool, at: Callable[[int], None], options: dict[str, Any]) -> None:
        """Run to the end, and send each steering command once, at its step."""
        mailbox = Mailbox()
        if resume:
            events = iter_resume(folder, monitor=Monitor(mailbox), cache=self.cache)
        else:
            events = iter_stylize(
                self.root / "content.png",
                self.root / "style.png",
                output=folder / "out.png",
                checkpoint_dir=folder,
                checkpoint_seconds=0.0,
                mailbox=mailbox,
                cache=self.cache,
                **{**OPTIONS, **options},
            )
        for event in events:
            if isinstance(event, Stepped):
                if event.step in STEERED and not is_logged(folder, event.step + 1):
                    mailbox.post("set", **STEERED[event.step])
                at(event.step)

    def child(self, task: Callable[[], None]) -> int:
        """Fork a child that runs a task, and return its process id."""
        process = os.fork()
        if process:
            return process
        try:
            task()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)

    def whole(self, name: str, options: dict[str, Any]) -> str:
        """Run without interruption and return the hash of the image."""
        folder = self.root / name
        assert wait_for(self.child(lambda: self.follow(folder, False, ignore, options))) == 0
        return digest(folder / "out.png")

    def killed(
        self, name: str, options: dict[str, Any], die: Callable[[], Callable[[int], None]], times: int = 1
    ) -> dict[str, Any]:
        """Run and resume, killed ``times`` times; then resume to the end. Return the exit codes and the hash."""
        folder = self.root / name
        attempts = [lambda resume=resume: self.follow(folder, resume, die(), options) for resume in (False, True, True)]
        deaths = [wait_for(self.child(attempt)) for attempt in attempts[:times]]
        last = wait_for(self.child(lambda: self.follow(folder, True, ignore, options)))
        return {"name": name, "deaths": deaths, "last": last, "hash": digest(folder / "out.png")}

    def killed_from_outside(self, name: str, options: dict[str, Any], step: int) -> dict[str, Any]:
        """Kill a run from the parent after the checkpoint of a step, and resume it; the run pauses before its end."""
        folder = self.root / name
        process = self.child(lambda: self.follow(folder, False, pause_at(OPTIONS["steps"] - 1), options))
        wait_until(lambda: any(kept >= step for kept in checkpoints(folder)), f"the checkpoint of step {step}")
        os.kill(process, signal.SIGKILL)
        death = wait_for(process)
        last = wait_for(self.child(lambda: self.follow(folder, True, ignore, options)))
        return {"name": name, "deaths": [death], "last": last, "hash": digest(folder / "out.png")}


def is_logged(folder: Path, step: int) -> bool:
    """Return whether the log contains a command for a step."""
    try:
        lines = (folder / checkpoint.STEERING).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return False
    return any(json.loads(line)["entry"]["step"] == step for line in lines)


def wait_for(process: int) -> int:
    """Wait for a child and return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die() -> None:
    """Kill this process, as a power failure would."""
    os.kill(os.getpid(), signal.SIGKILL)


def digest(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ignore(step: int) -> None:
    """Do nothing at a step."""


def pause_at(wanted: int) -> Callable[[int], None]:
    """Pause at a step until the parent kills this process."""
    return lambda step: signal.pause() if step == wanted else None


def checkpoints(folder: Path) -> list[int]:
    """Return the steps with a complete checkpoint."""
    return [int(path.stem.rpartition("-")[2]) for path in folder.glob("checkpoint-*.json")]


def die_at_step(wanted: int) -> Callable[[], Callable[[int], None]]:
    """Die at the end of a step, before its checkpoint."""
    return lambda: lambda step: die() if step == wanted else None


def patched(where: Any, name: str, replacement: Callable[[Any], Any]) -> Callable[[], Callable[[int], None]]:
    """Replace a function in the child by one that kills the process."""

    def prepare() -> Callable[[int], None]:
        setattr(where, name, replacement(getattr(where, name)))
        return ignore

    return prepare


def die_after_logging(call: Any) -> Any:
    """Die after a command has been logged and before it is executed."""

    def log(self: Any, run: Any, entry: Any) -> None:
        call(self, run, entry)
        if run.step == 21:
            die()

    return log


def die_within_a_log_line(call: Any) -> Any:
    """Die while a line of the log is being written."""

    def log(self: Any, run: Any, entry: Any) -> None:
        if run.step == 21:
            with (self.folder / checkpoint.STEERING).open("ab") as file:
                file.write(b'{"entry": {"st')
            die()
        call(self, run, entry)

    return log


def die_before_file(wanted: str) -> Callable[[Any], Any]:
    """Die before a checkpoint file is in place, with half of it under its temporary name."""

    def replacement(call: Any) -> Any:
        def write(path: Path, data: Any) -> None:
            if path.suffix == f".{wanted}" and "checkpoint-000000012" <= path.stem < "d":
                temp_path = path.with_name(f".impasto-{path.name}.tmp")
                with temp_path.open("w+b") as file:
                    data(file) if callable(data) else file.write(data)
                os.truncate(temp_path, temp_path.stat().st_size // 2)
                die()
            call(path, data)

        return write

    return replacement


def die_before_saving(call: Any) -> Any:
    """Die after the last step and before the image is saved."""
    return lambda *args, **kwargs: die()


def main(root: Path) -> None:
    torch.set_num_threads(1)
    runs = Runs(root)
    write = files.write_atomically
    whole = runs.whole("whole", {})
    scenarios: dict[str, Callable[[], dict[str, Any]]] = {
        "at once": lambda: runs.killed("at once", {}, die_at_step(1)),
        "in the first scale": lambda: runs.killed("in the first scale", {}, die_at_step(10)),
        "in the last scale": lambda: runs.killed("in the last scale", {}, die_at_step(29)),
        "a command logged": lambda: runs.killed(
            "a command logged", {}, patched(checkpoint.Checkpointer, "log", die_after_logging)
        ),
        "half a line": lambda: runs.killed(
            "half a line", {}, patched(checkpoint.Checkpointer, "log", die_within_a_log_line)
        ),
        "no tensors": lambda: runs.killed(
            "no tensors", {}, patched(files, "write_atomically", die_before_file("safetensors"))
        ),
        "no json": lambda: runs.killed("no json", {}, patched(files, "write_atomically", die_before_file("json"))),
        "nothing saved": lambda: runs.killed("nothing saved", {}, patched(result, "save", die_before_saving)),
        "three times": lambda: runs.killed("three times", {}, die_at_step(24), times=3),
        "from outside": lambda: runs.killed_from_outside("from outside", {}, 5),
    }
    assert files.write_atomically is write
    for scenario in scenarios.values():
        print(json.dumps({**scenario(), "whole": whole}), flush=True)
    adam = {"optimizer": "adam", "init": "content"}
    whole = runs.whole("adam whole", adam)
    print(json.dumps({**runs.killed("adam", adam, die_at_step(17)), "whole": whole}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
