"""What a run tells its listeners, and what listeners may tell a run.

Events come out of ``iter_stylize`` in order; commands go in through a ``Mailbox`` and are read at the top of a step.
Everything here is plain data (floats, strings, uint8 arrays), so that a server can pass it on without loading torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Preview = NDArray[np.uint8]


@dataclass(frozen=True)
class Planned:
    """The run is planned: sizes, steps and every decision that the machine took part in."""

    scales: tuple[Mapping[str, int], ...]
    total_steps: int
    decisions: Mapping[str, Any]


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
    """One evaluation of the objective is done.

    ``step`` counts over the whole run from 1, ``scale_step`` within the scale. ``losses`` are weighted terms by name;
    their sum is ``total``. ``preview`` is ``[H, W, 3]`` uint8 where one was due.
    """

    step: int
    scale: int
    scale_step: int
    total: float
    losses: Mapping[str, float]
    preview: Preview | None = None


@dataclass(frozen=True)
class Snapshot:
    """A picture asked for by ``snapshot`` or by ``--every``."""

    step: int
    scale: int
    picture: Preview


@dataclass(frozen=True)
class Steered:
    """A command was obeyed before ``step``."""

    step: int
    command: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Warned:
    """Something the person should know; the run goes on."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The run is over; ``stopped`` says whether it was cut short. The picture is on the ``Result`` that follows."""

    step: int
    stopped: bool
    result: Any = field(repr=False, default=None)


Event = Planned | ScaleStarted | Stepped | Snapshot | Steered | Warned | Finished

CommandName = Literal["set", "pause", "resume", "stop", "snapshot", "checkpoint"]


@dataclass(frozen=True)
class Command:
    """A wish of the person at the controls.

    ``set`` carries ``values``: ``strength``, ``content_weight``, ``style_weight``, ``tv_weight``, ``step_size``, or a
    term's own name (``style``, ``content``, ``tv``, ``style:sky``) for its weight.
    """

    name: CommandName
    values: Mapping[str, float] = field(default_factory=dict)


class Mailbox:
    """Commands on their way to a run. Any thread may post; the engine collects at the top of a step."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._news = Condition()

    def post(self, name: CommandName, /, **values: float) -> None:
        """Leave a command, for example ``post("set", strength=0.7)``."""
        with self._news:
            self._commands.append(Command(name, dict(values)))
            self._news.notify_all()

    def collect(self) -> list[Command]:
        """Return and remove everything that has come in, oldest first."""
        with self._news:
            commands = list(self._commands)
            self._commands.clear()
        return commands

    def wait(self, seconds: float) -> None:
        """Sleep until a command comes in, at most ``seconds``."""
        with self._news:
            if not self._commands:
                self._news.wait(seconds)
