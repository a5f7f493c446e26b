"""Starts tiny workers over one data folder and kills them: python crash_workers.py FOLDER KILLS SEED.

Half of them die at a statement of their own choice (SIGKILL from inside, at a claim, a checkpoint, a finish or
anywhere), half by a SIGKILL from here, soon after a random statement. Prints what each death interrupted, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import fake_runner

from impasto.files import write_atomically
from impasto.studio.store.database import Store
from impasto.studio.store.lease import release_dead
from impasto.studio.store.records import Asset
from impasto.studio.worker.loop import Intervals, PictureWriters, Saved, Worker

MARKS = {"claim": "SET worker = '", "finish": "'finished'", "anywhere": ""}
PACE = Intervals(poll=0.004, preview=0.0, idle=0.001)


def live(folder: Path, seed: int, phase: str, log: int, sign: int) -> None:
    """Be a worker that dies at the chosen phase, or gives a sign after some statements and goes on until killed."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    dice = random.Random(seed)
    store = Store(folder)
    release_dead(store)
    if store.counts()["queued"] < 3:
        order(store)

    def die(what: str) -> None:
        os.write(log, (json.dumps(what) + "\n").encode())
        os.kill(os.getpid(), signal.SIGKILL)

    if phase in MARKS:
        arm(store, MARKS[phase], dice, lambda: die(phase))
    if phase == "outside":
        arm(store, "", dice, lambda: os.write(sign, b"."))
    if phase == "checkpoint":
        left = dice.randrange(1, 60)

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                die("checkpoint")

        fake_runner.witness = count
    writers = fake_runner.writers
    if phase == "pen":
        writers = PictureWriters(writers.preview, lambda outcome, path: torn(outcome, path, die), ".png")
    worker = Worker(store, fake_runner.run, writers, fake_runner.exporters, PACE, max_failures=10_000)
    worker.work()


def end_with(parent: int) -> None:
    """Do not outlive a campaign that was broken off."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def torn(outcome: Any, path: Path, die: Callable[[str], None]) -> Saved:
    """Write half a result and die."""

    def write(file: IO[bytes]) -> None:
        file.write(fake_runner.png(outcome.picture, outcome.chain)[:50])
        file.flush()
        die("pen")

    write_atomically(path, write)
    raise AssertionError("still alive")


def arm(store: Store, mark: str, dice: random.Random, die: Callable[[], object]) -> None:
    """Die a few statements after the mark was seen a few times."""
    left = [dice.randrange(1, 200) if not mark else dice.randrange(1, 3 if mark == "'finished'" else 4)]
    after = [dice.randrange(0, 4)]

    def see(statement: str) -> None:
        if left[0] > 0 and mark in statement:
            left[0] -= 1
        if left[0] == 0:
            if after[0] == 0:
                die()
            after[0] -= 1

    store.connection().set_trace_callback(see)


def order(store: Store) -> None:
    """Put a job into the queue and write down that it must come to an end."""
    content = fake_runner.png(fake_runner.paint("", 0.5))
    name = hashlib.sha256(content).hexdigest()
    incoming = store.folder / "incoming" / f"{os.getpid()}"
    incoming.write_bytes(content)
    store.add_asset(Asset(name, "image/png", ".png", len(content), 48, 48, 0.0), incoming)
    pictures = {"content": name, "styles": [{"asset": name, "weight": 1.0}]}
    job = store.create_job("one", pictures, [name], {})
    with (store.folder / "ordered.txt").open("a") as ordered:
        ordered.write(job.id + "\n")


def spawn(folder: Path, seed: int, phase: str, log: int, sign: int) -> int:
    """Fork a worker; this process opens no store itself, as SQLite forbids to take one through a fork."""
    process = os.fork()
    if process == 0:
        try:
            live(folder, seed, phase, log, sign)
        finally:
            os._exit(1)
    return process


def main(folder: Path, kills: int, seed: int) -> None:
    """Kill as many as asked, two of them alive at a time, and report."""
    dice = random.Random(seed)
    heard, log = os.pipe()
    interrupted: dict[str, int] = {}
    killed = 0

    def keep(slot: int) -> None:
        nonlocal killed
        while killed < kills:
            phase = dice.choice([*MARKS, "pen", "checkpoint", "outside", "outside", "outside", "outside"])
            reached, sign = os.pipe()
            process = spawn(folder, dice.randrange(2**30), phase, log, sign)
            os.close(sign)
            if phase == "outside":
                os.read(reached, 1)
                os.kill(process, signal.SIGKILL)
                os.write(log, b'"outside"\n')
            status = os.waitpid(process, 0)[1]
            if not os.WIFSIGNALED(status):
                raise SystemExit(f"a worker ended by itself: {status}")
            os.close(reached)
            killed += 1

    threads = [threading.Thread(target=keep, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(log)
    with os.fdopen(heard) as lines:
        for line in lines:
            interrupted[json.loads(line)] = interrupted.get(json.loads(line), 0) + 1
    print(json.dumps(interrupted))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
