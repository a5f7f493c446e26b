"""The supervisor of the worker processes, and the main function of a worker process.

The supervisor starts child processes, which claim jobs and run them with the ``run``, ``writers`` and ``exporters`` of
a module. A child whose standard input is closed (because the server stopped or was killed) checkpoints its job, puts it
back into the queue and exits.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from impasto.studio.store.database import Store
from impasto.studio.store.lease import release_dead
from impasto.studio.worker.loop import Worker

RUNNER_MODULE = "impasto.studio.worker.runner"


class WorkerSupervisor:
    """Starts worker processes, restarts those that die, and stops them.

    Args:
        store: the store of the data folder.
        size: number of workers, usually one per device.
        module: name of the module with ``run``, ``writers`` and ``exporters``.
        patience_seconds: how long a worker may take to put its job back before it is killed.
    """

    def __init__(
        self, store: Store, size: int = 1, module: str = RUNNER_MODULE, patience_seconds: float = 20.0
    ) -> None:
        self.store = store
        self.size = size
        self.module = module
        self.patience_seconds = patience_seconds
        self.restarts = 0
        self._children: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the workers and a thread that restarts them when they die."""
        release_dead(self.store)
        self._children = [self._child() for _ in range(self.size)]
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def living(self) -> list[int]:
        """Return the process ids of the workers that are alive."""
        return [child.pid for child in self._children if child.poll() is None]

    def stop(self) -> None:
        """Have the workers put their jobs back into the queue, and wait for them to exit."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for child in self._children:
            if child.stdin is not None:
                child.stdin.close()
        deadline = time.monotonic() + self.patience_seconds
        for child in self._children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        release_dead(self.store)

    def _child(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "impasto.studio.worker.supervisor", str(self.store.folder), self.module]
        return subprocess.Popen(command, stdin=subprocess.PIPE)

    def _watch(self) -> None:
        """Replace dead workers; the pause doubles while they keep dying immediately."""
        pause = 0.2
        while not self._ended.wait(pause):
            dead = [index for index, child in enumerate(self._children) if child.poll() is not None]
            pause = min(pause * 2, 30.0) if dead else max(pause * 0.9, 0.2)
            if dead:
                release_dead(self.store)
            for index in dead:
                self._children[index] = self._child()
                self.restarts += 1
        self.store.close()


def main(folder: str, module: str) -> None:
    """Run a worker until standard input is closed, or SIGTERM or SIGHUP arrives."""
    os.environ["IMPASTO_NO_INDEX"] = "1"  # visitors' images are not files of the owner
    store = Store(Path(folder))
    runner = importlib.import_module(module)
    worker = Worker(store, runner.run, runner.writers, runner.exporters)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: worker.stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes our standard input

    def listen() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        worker.stopping.set()

    threading.Thread(target=listen, daemon=True).start()
    worker.work()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
