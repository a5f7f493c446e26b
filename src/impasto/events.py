"""Events of a run, and commands to it; part of the public API.

``iter_stylize`` yields ``Planned``, then for each scale ``ScaleStarted`` and one ``Stepped`` per evaluation, and at the
end ``Finished``; ``Snapshot``, ``Steered`` and ``Warned`` come in between. Commands are posted to a ``Mailbox`` and
executed before the next step. Events are plain data (floats, strings, uint8 arrays) except for ``Finished.result``, so
a server can send them without loading torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Preview = NDArray[np.uint8]

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Planned:
    """The run is planned: sizes, steps, and every setting that was resolved on this machine."""

    scales: tuple[Mapping[str, int], ...]
    total_steps: int
    decisions: Mapping[str, object]


@dataclass(frozen=True)
class ScaleStarted:
    """A scale begins; ``index`` counts from 0."""

    index: int
    count: int
    height: int
    width: int
    steps: int


@dataclass(frozen=True)
class Stepped:
    """One evaluation of the objective is finished.

    ``step`` counts over the whole run from 1, ``scale_step`` within the scale. ``losses`` are the weighted terms by
    name; their sum is ``total``. ``preview`` is ``[H, W, 3]`` uint8, or None if none was requested at this step.
    """

    step: int
    scale: int
    scale_step: int
    total: float
    losses: Mapping[str, float]
    preview: Preview | None = None


@dataclass(frozen=True)
class Snapshot:
    """An image requested by the command ``snapshot`` or by ``--every``."""

    step: int
    scale: int
    picture: Preview


@dataclass(frozen=True)
class Steered:
    """A command was executed before ``step``."""

    step: int
    command: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Warned:
    """A warning; the run continues."""

    message: str


@dataclass(frozen=True)
class Finished(Generic[ResultT]):
    """The run has ended; ``stopped`` is True if a command stopped it.

    ``result`` is the ``Result`` of a run, with the image, or the ``Trained`` of a training. Of several processes only
    the first one has it.
    """

    step: int
    stopped: bool
    result: ResultT | None = field(repr=False, default=None)


ProgressEvent: TypeAlias = Planned | ScaleStarted | Stepped | Snapshot | Steered | Warned
Event: TypeAlias = ProgressEvent | Finished[ResultT]

CommandName = Literal["set", "pause", "resume", "stop", "snapshot", "checkpoint"]


@dataclass(frozen=True)
class Command:
    """A command to a run.

    ``set`` has ``values``: ``strength``, ``content_weight``, ``style_weight``, ``tv_weight``, ``step_size``, or the
    name of a loss term (``style``, ``content``, ``tv``, ``style:sky``), whose weight is multiplied by the value.
    """

    name: CommandName
    values: Mapping[str, float] = field(default_factory=dict)


class Mailbox:
    """A thread-safe queue of commands to a run, which the run reads before each step."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._news = Condition()

    def post(self, name: CommandName, /, **values: float) -> None:
        """Post a command, for example ``post("set", strength=0.7)``."""
        with self._news:
            self._commands.append(Command(name, dict(values)))
            self._news.notify_all()

    def collect(self) -> list[Command]:
        """Return and remove all commands, oldest first."""
        with self._news:
            commands = list(self._commands)
            self._commands.clear()
        return commands

    def wait(self, seconds: float) -> None:
        """Sleep until a command is posted, at most ``seconds``."""
        with self._news:
            if not self._commands:
                self._news.wait(seconds)
