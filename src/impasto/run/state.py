"""The state of a run that changes with every step, and its monitor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from impasto.events import Mailbox
from impasto.run.live_weights import LiveWeights
from impasto.run.record import SteeringEntry
from impasto.runtime.distributed import BroadcastMailbox


@dataclass(frozen=True)
class Monitor:
    """How a run is controlled and observed.

    Args:
        mailbox: commands from other threads.
        preview_every: number of steps between two ``Stepped`` events with a preview; 0 for never.
        snapshot_every: number of steps between two ``Snapshot`` events; 0 for never.
    """

    mailbox: Mailbox | BroadcastMailbox | None = None
    preview_every: int = 0
    snapshot_every: int = 0


@dataclass
class RunState:
    """The mutable state of a run, as a checkpoint stores it.

    ``steering`` lists the commands executed so far; ``repeated`` counts the commands of an earlier run that were
    replayed.
    """

    live_weights: LiveWeights
    step: int = 0
    scale: int = 0
    scale_step: int = 0
    paused: bool = False
    stopped: bool = False
    recoveries: int = 0
    repeated: int = 0
    steering: list[SteeringEntry] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)

    def without_stop(self) -> RunState:
        """Return a copy that continues where this one was stopped."""
        steering = [entry for entry in self.steering if entry.get("command") != "stop"]
        return replace(self, stopped=False, steering=steering)
