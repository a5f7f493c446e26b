"""The loops of a run: over scales, and over the steps of a scale. They advance a ``Painting`` and yield events.

Time budget, checkpoints, row shards and steering are separate objects, which the loops call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from impasto.errors import NumericalError
from impasto.events import Event, Finished, ProgressEvent, Snapshot, Steered, Stepped, Warned
from impasto.objective.objective import Objective
from impasto.optimizers.protocol import Optimizer
from impasto.run.checkpoint import Checkpointer
from impasto.run.painter import Painting, planned_event
from impasto.run.preview import as_preview
from impasto.run.record import SteeringEntry
from impasto.run.result import Result
from impasto.run.state import Monitor, RunState
from impasto.run.steering import commands_before_step, execute

MAX_RECOVERIES = 3
PATIENCE = 10
SEED_STRIDE = 1_000_003


def run(painting: Painting) -> Iterator[Event[Result]]:
    """Paint scale by scale, from the first or from a checkpoint, and yield the events of the run."""
    with painting.open():
        yield planned_event(painting.prepared)
        yield from [Warned(note) for note in painting.prepared.notes]
        yield from [Warned(note) for note in painting.open_checkpoints()]
        for index in range(painting.state.scale, len(painting.prepared.scales)):
            with painting.scale(index) as is_painted_here:
                if is_painted_here:
                    yield from painting.begin_scale(index)
                while is_painted_here:
                    yield from optimize(
                        painting.state,
                        painting.objective,
                        painting.optimizer,
                        steps=painting.steps_until_replanning,
                        normalizers=painting.normalizers,
                        content_factor=painting.prepared.scales[index].content_factor,
                        monitor=painting.monitor_at(index),
                        replayed=painting.steering,
                        checkpointer=painting.checkpointer,
                        seed=painting.prepared.options.optimization.seed,
                        tolerance=painting.tolerance,
                    )
                    replanned = painting.replan_within_scale()
                    if replanned is None:
                        break
                    yield replanned
            painting.hand_over(index)
            if painting.state.stopped:
                break
        result = painting.result()
    yield from [Warned(note) for note in (result.notes if result is not None else ())]
    yield Finished(painting.state.step, painting.state.stopped, result)


def optimize(
    state: RunState,
    objective: Objective,
    optimizer: Optimizer,
    *,
    steps: int,
    normalizers: Mapping[str, float],
    content_factor: float = 1.0,
    monitor: Monitor = Monitor(),  # noqa: B008 - frozen
    replayed: Sequence[SteeringEntry] = (),
    checkpointer: Checkpointer | None = None,
    seed: int = 0,
    tolerance: float = 0.0,
) -> Iterator[ProgressEvent]:
    """Optimize at one scale until its steps are done, the loss has converged or a command stops the run.

    Commands, ``replayed`` ones first, are executed before a step, then the state is saved. ``normalizers`` divide the
    weight of each term, ``content_factor`` multiplies that of the content. ``tolerance`` is the relative gain over
    ``PATIENCE`` steps below which the scale ends; 0 for never. ``seed`` is the seed of resampled losses.

    Raises:
        NumericalError: NaN appeared again after three halvings of the step size.
    """
    weights = state.live_weights.weights(normalizers, content_factor)
    while state.scale_step < steps and not state.stopped:
        executed = set()
        for command in commands_before_step(state, replayed, monitor.mailbox):
            executed.add(command.name)
            yield from execute(command, state, objective, optimizer, list(normalizers), checkpointer)
        changed = state.live_weights.weights(normalizers, content_factor)
        if "set" in executed and changed != weights:
            weights = changed
            optimizer.on_objective_change()
        if "stop" in executed:
            if checkpointer is not None:  # the state without the stop, since a resumed run continues
                checkpointer.save(state.without_stop(), optimizer, objective, now=True)
            return
        # Only now, so that a resumed run starts after these commands and with the history dropped if they require it.
        yield from _checkpoint(state, objective, optimizer, checkpointer, "checkpoint" in executed)
        _refresh(state, objective, optimizer, seed)
        evaluation = objective.evaluate(optimizer.canvas(), weights)
        if not (math.isfinite(evaluation.total) and math.isfinite(float(evaluation.gradient.sum()))):
            yield _recover(state, optimizer)
            continue
        optimizer.step(evaluation.total, evaluation.gradient)
        total, losses = evaluation.total, evaluation.losses
        del evaluation  # its gradient is as large as the image
        yield from _record_step(state, total, losses, objective, optimizer, monitor)
        if tolerance and _has_converged(state, tolerance):
            return


def _checkpoint(
    state: RunState, objective: Objective, optimizer: Optimizer, checkpointer: Checkpointer | None, now: bool
) -> list[ProgressEvent]:
    """Save the state if a checkpoint is due or ``now``."""
    if checkpointer is None:
        return [Warned("a checkpoint was requested, but this run has no folder for it: pass --run-dir")] if now else []
    events: list[ProgressEvent] = [Warned(note) for note in checkpointer.save(state, optimizer, objective, now=now)]
    return [*events, Steered(state.step + 1, "checkpoint", {})] if now else events


def _recover(state: RunState, optimizer: Optimizer) -> Warned:
    """Return to the last finite canvas with half the step size."""
    state.recoveries += 1
    if state.recoveries > MAX_RECOVERIES:
        raise NumericalError(
            f"the loss became NaN at step {state.step + 1}, and halving the step size {MAX_RECOVERIES} times "
            "did not help; the last good image is kept: try --precision fp32, a smaller --step-size "
            "or smaller weights"
        )
    optimizer.recover()
    return Warned(
        f"the loss became NaN at step {state.step + 1}: returning to the last good image with half the step size"
    )


def _record_step(
    state: RunState,
    total: float,
    losses: Mapping[str, float],
    objective: Objective,
    optimizer: Optimizer,
    monitor: Monitor,
) -> list[ProgressEvent]:
    """Count a step, and return its events with the images that are due."""
    state.step += 1
    state.scale_step += 1
    state.losses.append({"step": state.step, "scale": state.scale, "total": total, **losses})
    with_preview = _is_due(state.step, monitor.preview_every)
    with_snapshot = _is_due(state.step, monitor.snapshot_every)
    picture: Any = None
    if with_preview or with_snapshot:
        picture = as_preview(objective.shard.gather(optimizer.picture()))
    events: list[ProgressEvent] = [
        Stepped(state.step, state.scale, state.scale_step, total, losses, picture if with_preview else None)
    ]
    return [*events, Snapshot(state.step, state.scale, picture)] if with_snapshot else events


def _is_due(step: int, every: int) -> bool:
    return every > 0 and (step == 1 or step % every == 0)


def _has_converged(state: RunState, tolerance: float) -> bool:
    """Whether the loss has not improved in the last ``PATIENCE`` steps; the count restarts after a command."""
    since = state.step - max((entry["step"] for entry in state.steering), default=1) + 1
    if min(state.scale_step, since) <= PATIENCE:
        return False
    totals = [entry["total"] for entry in state.losses[-PATIENCE - 1 :]]
    return totals[0] - min(totals[1:]) < tolerance * abs(totals[0])


def terms_to_refresh(objective: Objective, step: int, min_refresh_interval: int = 1) -> list[str]:
    """Return the terms whose samples or matches are refreshed before a step.

    Args:
        objective: the objective, whose terms declare ``refresh_every``.
        step: step of this scale, from 0.
        min_refresh_interval: the number of steps for which the optimizer needs a constant objective.
    """
    names = []
    for name, loss in objective.terms.items():
        every = loss.refresh_every
        if every is not None and (step == 0 or (every > 0 and step % max(every, min_refresh_interval) == 0)):
            names.append(name)
    return names


def _refresh(state: RunState, objective: Objective, optimizer: Optimizer, seed: int) -> None:
    """Refresh samples and matches when they are due; a resumed run refreshes the same ones."""
    names = terms_to_refresh(objective, state.scale_step, optimizer.min_refresh_interval)
    if names:
        objective.refresh(optimizer.canvas(), (seed * SEED_STRIDE + state.step) % 2**63, names)
        if state.scale_step:
            optimizer.on_resample()
