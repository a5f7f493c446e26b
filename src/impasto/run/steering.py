"""The commands of a run, read from a mailbox or from an earlier run's record, and executed before a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

from impasto.errors import OptionError
from impasto.events import Command, Mailbox, ProgressEvent, Snapshot, Steered, Warned
from impasto.objective.objective import Objective
from impasto.optimizers.protocol import Optimizer
from impasto.run.checkpoint import Checkpointer
from impasto.run.preview import as_preview
from impasto.run.record import SteeringEntry
from impasto.run.state import RunState
from impasto.runtime.distributed import BroadcastMailbox


def commands_before_step(
    state: RunState, replayed: Sequence[SteeringEntry], mailbox: Mailbox | BroadcastMailbox | None
) -> Iterator[Command]:
    """Yield the commands to execute before the next step; a paused run waits here for more of them."""
    yield from _replayed_commands(state, replayed)
    while mailbox is not None:
        yield from mailbox.collect()
        if not state.paused:
            return
        mailbox.wait(0.5)


def _replayed_commands(state: RunState, replayed: Sequence[SteeringEntry]) -> Iterator[Command]:
    """Yield the commands that an earlier run executed before the same step."""
    while state.repeated < len(replayed) and replayed[state.repeated]["step"] <= state.step + 1:
        entry = replayed[state.repeated]
        state.repeated += 1
        if entry["step"] == state.step + 1:
            yield Command(entry.get("command", "set"), entry.get("values", {}))


def execute(
    command: Command,
    state: RunState,
    objective: Objective,
    optimizer: Optimizer,
    names: Sequence[str],
    checkpointer: Checkpointer | None,
) -> list[ProgressEvent]:
    """Execute a command and return its events. ``names`` are the terms whose weights can be changed."""
    step = state.step + 1
    events: list[ProgressEvent] = []
    if command.name == "checkpoint":
        return events
    if command.name == "set":
        weights = deepcopy(state.live_weights)
        try:
            weights.apply(command.values, names)
        except OptionError as error:
            return [Warned(str(error))]
        _record(state, {"step": step, "values": dict(command.values)}, checkpointer)
        if weights.step_size != state.live_weights.step_size:  # setting it again would undo a halving after NaN
            optimizer.set_step_size(weights.step_size)
        state.live_weights = weights
    elif command.name in ("pause", "resume"):
        state.paused = command.name == "pause"
    elif command.name == "stop":
        _record(state, {"step": step, "command": "stop"}, checkpointer)
        state.stopped, state.paused = True, False
    elif command.name == "snapshot":
        picture = as_preview(objective.shard.gather(optimizer.picture()))
        events.append(Snapshot(state.step, state.scale, picture))
    return [*events, Steered(step, command.name, dict(command.values))]


def _record(state: RunState, entry: SteeringEntry, checkpointer: Checkpointer | None) -> None:
    if checkpointer is not None:
        checkpointer.log(state, entry)
    state.steering.append(entry)
