"""The protocol of executors, which carry out tasks and know nothing of batches.

``start`` hands a task to an idle worker and ``wait`` returns what the workers report. An executor replaces workers that
die and reports their tasks as ``Lost``; whether to try again is decided by the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from impasto.errors import ImpastoError, WeightsError


@dataclass(frozen=True)
class Task:
    """One image, as a worker needs it: plain data. ``output`` is the path of the result, ``options`` are resolved."""

    number: int
    content: str
    styles: tuple[str, ...]
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)
    protect: str | None = None
    style_only: str | None = None


@dataclass(frozen=True)
class Progress:
    """A fraction of a task's steps are done."""

    number: int
    worker: str
    fraction: float


@dataclass(frozen=True)
class Done:
    """A result is on the disk; ``seconds`` of work, and the hash of the file."""

    number: int
    worker: str
    seconds: float
    sha256: str


@dataclass(frozen=True)
class Failed:
    """A task has raised an exception.

    ``kind`` is ``input`` for an image that cannot be painted, ``weights`` for a worker without weights, which no task
    of this batch can do without, and ``bug`` for an exception that Impasto does not raise deliberately; ``details``
    has its traceback.
    """

    number: int
    worker: str
    reason: str
    kind: Literal["input", "weights", "bug"] = "input"
    details: str = ""


@dataclass(frozen=True)
class Lost:
    """The worker has died or cannot be reached; ``node`` is the machine it was on."""

    number: int
    worker: str
    node: str
    reason: str


Reply = Progress | Done | Failed | Lost
Painter = Callable[[Task, Callable[[float], None]], str]
"""Paints a task, reports the fraction that is done, and returns the SHA-256 of the result."""


class Executor(Protocol):
    """Carries out tasks, at most ``size`` at a time."""

    @property
    def size(self) -> int:
        """Number of tasks that may be in progress."""
        ...

    def start(self, task: Task, avoid: Collection[str] = ()) -> str | None:
        """Hand a task to an idle worker and return its name; None if there is none outside the nodes to avoid.

        Nodes to avoid are used where there are no other nodes.
        """
        ...

    def wait(self, seconds: float) -> Sequence[Reply]:
        """Wait for reports of workers, at most so long, and return them."""
        ...

    def cancel(self) -> None:
        """Give up the tasks in progress."""
        ...

    def close(self) -> None:
        """Stop the workers; also after ``cancel`` and after an error."""
        ...


def failure(number: int, worker: str, error: Exception) -> Failed:
    """Return the report of a task that has raised an exception."""
    import traceback

    reason = " ".join(str(error).split())
    if isinstance(error, WeightsError):
        return Failed(number, worker, reason, "weights")
    if isinstance(error, ImpastoError):
        return Failed(number, worker, reason)
    if isinstance(error, OSError):
        return Failed(number, worker, f"{error.strerror or reason}: {error.filename or 'a file'}")
    details = "".join(traceback.format_exception(error))
    return Failed(number, worker, f"unexpected {type(error).__name__}: {reason}", "bug", details)
