"""The default executor: processes on this machine.

Workers are started by ``spawn`` and stay, so that each loads the network once. A worker ends when its batch ends, even
if that is killed, and ignores Ctrl-C, which the batch handles. A worker that dies is replaced.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from impasto.batch.executor import Done, Lost, Painter, Progress, Reply, Task, failure

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

REPORT_SECONDS = 0.2  # between two reports of progress
STOP_SECONDS = 5.0  # for a worker to exit before it is killed


def warm_painter() -> Painter:
    """Return what paints in a worker."""
    from impasto.batch.worker import WarmPainter

    return WarmPainter()


@dataclass
class _Worker:
    name: str
    process: SpawnProcess
    connection: Connection
    number: int | None = None  # of the task in progress


class LocalExecutor:
    """Paints in processes on this machine.

    Args:
        workers: number of processes.
        make_painter: called once in each process; importable by name.
        gpus: number of GPUs, of which each worker sees one.
    """

    def __init__(self, workers: int = 1, make_painter: Callable[[], Painter] = warm_painter, *, gpus: int = 0) -> None:
        self.size = workers
        self._gpus = gpus
        self._make_painter = make_painter
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def start(self, task: Task, avoid: Collection[str] = ()) -> str | None:
        """Hand a task to an idle worker; there is only one node, so ``avoid`` is ignored."""
        worker = next((one for one in self._workers if one.number is None), None)
        if worker is None:
            if len(self._workers) >= self.size:
                return None
            worker = self._spawn()
        worker.number = task.number
        with contextlib.suppress(OSError):  # a worker that has died is reported by wait()
            worker.connection.send(task)
        return worker.name

    def _spawn(self) -> _Worker:
        taken = {worker.name for worker in self._workers}
        name = next(str(number) for number in range(1, self.size + 1) if str(number) not in taken)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, name, self._make_painter, self._gpu(int(name))), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(name, process, ours)
        self._workers.append(worker)
        return worker

    def _gpu(self, number: int) -> str | None:
        """Return the GPU that a worker sees, as ``CUDA_VISIBLE_DEVICES`` names it; None for all there are."""
        if self._gpus < 2:
            return None
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(self._gpus)]
        return names[(number - 1) % len(names)]

    def wait(self, seconds: float) -> list[Reply]:
        """Return the reports of the workers, and ``Lost`` for each task whose worker has died."""
        replies: list[Reply] = []
        for ready in wait([worker.connection for worker in self._workers], seconds):
            worker = next(one for one in self._workers if one.connection is ready)
            try:
                reply: Reply = worker.connection.recv()
            except (EOFError, OSError):
                lost = self._remove(worker)
                if lost is not None:
                    replies.append(lost)
                continue
            if not isinstance(reply, Progress):
                worker.number = None
            replies.append(reply)
        return replies

    def _remove(self, worker: _Worker) -> Lost | None:
        """Forget a worker that has died, and return the report of its task."""
        self._workers.remove(worker)
        worker.connection.close()
        _join(worker.process)
        if worker.number is None:
            return None
        code = worker.process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        hint = "; out of memory, perhaps: fewer --workers need less" if code == -signal.SIGKILL else ""
        return Lost(worker.number, worker.name, "this machine", f"its worker {how}{hint}")

    def cancel(self) -> None:
        """Kill the workers; results that are not complete have temporary names."""
        for worker in self._workers:
            worker.process.kill()
        self.close()

    def close(self) -> None:
        """Stop the workers: those without a task exit, others are killed."""
        for worker in self._workers:
            if worker.number is not None:
                worker.process.kill()
            worker.connection.close()
        for worker in self._workers:
            _join(worker.process)
        self._workers.clear()


def _join(process: Any) -> None:
    process.join(STOP_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _work(connection: Connection, name: str, make_painter: Callable[[], Painter], gpu: str | None) -> None:
    """Paint tasks until the connection closes; the main function of a worker."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before torch is loaded
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    terminated: list[int] = []

    def terminate(number: int, frame: object) -> None:
        """Exit when idle; a group of processes gets the signal together, and the batch decides about images."""
        terminated.append(number)
        if is_idle:
            os._exit(0)

    signal.signal(signal.SIGTERM, terminate)
    painter: Painter | None = None
    is_idle = True
    while not terminated:
        is_idle = True
        try:
            task: Task = connection.recv()
            is_idle = False
        except (EOFError, OSError):
            return
        began = time.perf_counter()
        report = _Reporter(connection, task.number, name)
        try:
            painter = painter or make_painter()
            digest = painter(task, report)
            reply: Reply = Done(task.number, name, time.perf_counter() - began, digest)
        except Exception as error:
            reply = failure(task.number, name, error)
        connection.send(reply)


class _Reporter:
    """Sends the progress of a task, not more often than every ``REPORT_SECONDS``."""

    def __init__(self, connection: Connection, number: int, name: str) -> None:
        self._connection, self._number, self._name = connection, number, name
        self._last = time.monotonic()

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_SECONDS:
            self._last = now
            self._connection.send(Progress(self._number, self._name, fraction))


def _exit_with_parent() -> None:
    """Exit as soon as the batch's process ends, so that a second batch never paints next to a worker of the first."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
