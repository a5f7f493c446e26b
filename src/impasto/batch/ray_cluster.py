"""The executor for clusters: Ray actors, each with a network that stays loaded.

Ray places the actors and notices that they die. It retries nothing: a task that is lost is reported as ``Lost`` with
its node, and the batch decides. Actors that die are replaced. Where the folders of the batch are shared, tasks travel
as paths and results are written by the actors; elsewhere images travel as encoded bytes, each painting once, and
results come back as bytes.

This is the only module that imports ray.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from impasto.batch import shipping
from impasto.batch.executor import Done, Failed, Lost, Painter, Reply, Task, failure
from impasto.batch.local import warm_painter
from impasto.errors import MachineError
from impasto.files import create_temporary, write_atomically
from impasto.imaging.images import split_crop

VERSION = "2.60"
LOCAL = "local"
CONNECT_SECONDS = 5.0
READY_SECONDS = 300.0  # without any worker that is ready
HINT = "pip install 'impasto[cluster]'"


@dataclass(frozen=True)
class ActorSettings:
    """What each worker gets: CPU cores (as many as threads), memory in bytes for Ray's scheduler, and GPUs."""

    threads: int = 1
    memory: int = 0
    gpus: int = 0


@dataclass
class _Worker:
    name: str
    actor: Any
    pending: Any  # the reference that is waited for
    node: str = ""
    shared: bool = True
    ready: bool = False
    task: Task | None = None


class RayExecutor:
    """Paints on a Ray cluster.

    Args:
        address: ``local`` to start Ray on this machine, or the address of a cluster, as ``10.0.0.1:6379``.
        workers: number of actors; None for as many as the cluster has room for.
        settings: of each actor.
        make_painter: called once in each actor; importable by name on all nodes.

    Raises:
        MachineError: Ray is not installed, has a different version, or does not answer.
    """

    def __init__(
        self,
        address: str = LOCAL,
        workers: int | None = None,
        settings: ActorSettings = ActorSettings(),
        make_painter: Callable[[], Painter] = warm_painter,
    ) -> None:
        self._ray = _connect(address)
        self._settings, self._make_painter = settings, make_painter
        self._asked = workers
        self._workers: list[_Worker] = []
        self._objects: dict[str, Any] = {}
        self._probe: Path | None = None
        self._names = 0
        self._last_ready = time.monotonic()
        if self.size < 1:
            self._ray.shutdown()
            raise MachineError(
                f"no node of the Ray cluster has {settings.threads} cores and {settings.memory / 2**30:.1f} GiB for a "
                "worker: choose fewer --threads or a smaller --size"
            )

    @property
    def size(self) -> int:
        """Number of actors that the nodes have room for, or that was asked for if it is less."""
        room = 0
        for node in self._alive():
            has = node["Resources"]
            fits = int(has.get("CPU", 0) // self._settings.threads)
            if self._settings.memory:
                fits = min(fits, int(has.get("memory", 0) // self._settings.memory))
            if self._settings.gpus:
                fits = min(fits, int(has.get("GPU", 0) // self._settings.gpus))
            room += fits
        return room if self._asked is None else min(room, self._asked)

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def start(self, task: Task, avoid: Collection[str] = ()) -> str | None:
        """Hand a task to a ready actor that is idle, on a node that is not to be avoided if there is any other."""
        self._grow(task)
        idle = [worker for worker in self._workers if worker.ready and worker.task is None]
        others = {node["NodeID"] for node in self._alive()} - set(avoid)
        chosen = next((worker for worker in idle if worker.node not in avoid), None)
        if chosen is None and not others and idle:
            chosen = idle[0]
        if chosen is None:
            return None
        chosen.task = task
        if chosen.shared:
            chosen.pending = chosen.actor.paint.remote(task)
        else:
            sent, names, contents = self._shipped(task)
            chosen.pending = chosen.actor.paint_shipped.remote(sent, names, *contents)
        return chosen.name

    def _shipped(self, task: Task) -> tuple[Task, list[str], list[Any]]:
        """Return a task with marked paths, the marks, and the files; paintings are stored once."""
        sent, files = shipping.pack(task)
        contents = []
        for name, path in files.items():
            if name == shipping.CONTENT:
                contents.append(path.read_bytes())
                continue
            if name not in self._objects:
                self._objects[name] = self._ray.put(path.read_bytes())
            contents.append(self._objects[name])
        return sent, list(files), contents

    def _grow(self, task: Task) -> None:
        """Start actors until there are as many as the cluster has room for."""
        if self._probe is None:
            folder = Path(task.output).parent
            folder.mkdir(parents=True, exist_ok=True)
            self._probe = create_temporary(folder)
        actor_class = self._ray.remote(_Actor)
        for _ in range(self.size - len(self._workers)):
            self._names += 1
            resources: dict[str, Any] = {"num_cpus": self._settings.threads, "num_gpus": self._settings.gpus}
            if self._settings.memory:
                resources["memory"] = self._settings.memory
            actor = actor_class.options(max_restarts=0, max_task_retries=0, **resources).remote(
                str(self._names), self._make_painter
            )
            paths = [str(self._probe), str(split_crop(task.content)[0])]
            self._workers.append(_Worker(str(self._names), actor, actor.hello.remote(paths)))

    def wait(self, seconds: float) -> list[Reply]:
        """Return what actors report; actors that are ready become idle, and those that died are forgotten."""
        pending = [worker.pending for worker in self._workers if worker.pending is not None]
        if any(worker.ready for worker in self._workers):
            self._last_ready = time.monotonic()
        elif time.monotonic() - self._last_ready > READY_SECONDS:
            raise MachineError(f"no worker of the Ray cluster was ready within {READY_SECONDS:.0f} s: see ray status")
        if not pending:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(pending, num_returns=len(pending), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(pending, num_returns=1, timeout=seconds)
        replies = [self._received(next(one for one in self._workers if one.pending is ref)) for ref in ready]
        return [reply for reply in replies if reply is not None]

    def _received(self, worker: _Worker) -> Reply | None:
        """Handle what an actor has returned."""
        from ray.exceptions import RayError, RayTaskError

        task, reference = worker.task, worker.pending
        worker.pending, worker.task = None, None
        try:
            found = self._ray.get(reference)
        except RayTaskError as error:  # an exception of the actor's own code
            if task is None:
                raise MachineError(f"a worker on a Ray node cannot start: {_short(error)}") from None
            return failure(task.number, worker.name, error)
        except RayError as error:
            self._workers.remove(worker)
            self._ray.kill(worker.actor)
            reason = f"its worker was lost: {_short(error)}"
            return None if task is None else Lost(task.number, worker.name, worker.node, reason)
        if task is None:
            worker.node, worker.shared, version = found
            _check_version(version, worker.node)
            worker.ready = True
            return None
        return self._finished(task, found)

    def _finished(self, task: Task, found: tuple[Reply, bytes | None]) -> Reply:
        """Write a result that came back as bytes, and return the report."""
        reply, data = found
        if isinstance(reply, Failed) and reply.kind == "weights":
            return replace(reply, reason=f"{reply.reason} (on a Ray node)")
        if data is not None:
            write_atomically(Path(task.output), data)
        return reply

    def cancel(self) -> None:
        """Kill the actors."""
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers.clear()

    def close(self) -> None:
        """Kill the actors and leave the cluster; one that was started here ends."""
        if self._ray.is_initialized():
            self.cancel()
            self._ray.shutdown()
        if self._probe is not None:
            self._probe.unlink(missing_ok=True)


class _Actor:
    """A worker on a node.

    Args:
        name: of the worker.
        make_painter: returns what paints, when the first task arrives.
    """

    def __init__(self, name: str, make_painter: Callable[[], Painter]) -> None:
        self._name, self._make_painter = name, make_painter
        self._painter: Painter | None = None
        self._store = shipping.Store()

    def hello(self, paths: list[str]) -> tuple[str, bool, str]:
        """Return the node, whether it has the files of the batch, and the version of Impasto there."""
        import ray

        from impasto import __version__

        shared = all(Path(path).exists() for path in paths)
        return ray.get_runtime_context().get_node_id(), shared, __version__

    def paint(self, task: Task) -> tuple[Reply, bytes | None]:
        """Paint a task whose paths exist here."""
        began = time.perf_counter()
        try:
            self._painter = self._painter or self._make_painter()
            digest = self._painter(task, lambda fraction: None)
        except Exception as error:
            return failure(task.number, self._name, error), None
        return Done(task.number, self._name, time.perf_counter() - began, digest), None

    def paint_shipped(self, task: Task, names: list[str], *contents: bytes) -> tuple[Reply, bytes | None]:
        """Paint a task whose files come along, and return the bytes of the result."""
        with self._store.unpacked(task, dict(zip(names, contents, strict=True))) as here:
            reply, _ = self.paint(here)
            return reply, Path(here.output).read_bytes() if isinstance(reply, Done) else None


def _connect(address: str) -> Any:
    """Import ray, start or join a cluster, and return the module."""
    if address == LOCAL:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # everywhere: listen on the loopback only
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MachineError(f"--ray needs Ray, which is not installed: {HINT}") from None
    if not ray.__version__.startswith(f"{VERSION}."):
        raise MachineError(f"--ray works with Ray {VERSION}, and {ray.__version__} is installed: {HINT}")
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    try:
        if address == LOCAL:
            ray.init(_node_ip_address="127.0.0.1", include_dashboard=False, **quiet)
        else:
            _check_answers(address)
            ray.init(address=address, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise MachineError(f"Ray at {address!r} does not answer or does not fit: {_short(error)}") from None
    return ray


def _check_answers(address: str) -> None:
    """Raise MachineError if nobody listens at an address, without waiting as long as Ray does."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise MachineError(f"--ray is {address!r}; it must be local or an address such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise MachineError(
            f"no Ray cluster answers at {address!r} ({error.strerror or error}): check the address, or use --ray local"
        ) from None


def _check_version(version: str, node: str) -> None:
    from impasto import __version__

    if version != __version__:
        raise MachineError(
            f"the Ray node {node[:12]} has impasto {version}, and this machine {__version__}: install the same version"
        )


def _short(error: Exception) -> str:
    """Return the last line of an error of Ray, which may have hundreds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
