"""The canvas, objective and optimizer of a run, which ``engine.run`` advances scale by scale.

A ``Painting`` starts from a prepared run and the history of earlier runs, and returns a ``Result`` at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import MachineError, NumericalError
from impasto.events import Planned, ProgressEvent, ScaleStarted
from impasto.imaging.images import PictureLike
from impasto.objective.objective import Objective
from impasto.objective.scale_objective import ScaleObjective, starting_canvas
from impasto.optimizers.factory import optimizer_for
from impasto.optimizers.protocol import Optimizer
from impasto.planning.schedule import Scale
from impasto.planning.time_budget import REPLAN_AFTER_STEPS, TimeBudget
from impasto.regions.canvas_view import ViewedOptimizer
from impasto.run import out_of_memory, record
from impasto.run.checkpoint import Checkpointer, State, save_input
from impasto.run.live_weights import LiveWeights
from impasto.run.prepared_run import PreparedRun
from impasto.run.record import Decisions, Record, RunDescription, SteeringEntry
from impasto.run.result import Result, finish
from impasto.run.state import Monitor, RunState
from impasto.run.target_cache import TargetCache
from impasto.runtime.distributed import BroadcastMailbox, RowShard


@dataclass(frozen=True)
class History:
    """What a run inherits from earlier runs.

    Args:
        decisions: settings that an earlier run resolved, from its record; they are reused.
        steering: commands of an earlier run, from its record; they are repeated.
        parents: records of the images from which ``start`` was made, oldest first.
        start: the image that initializes the canvas, instead of ``init``.
    """

    decisions: Decisions | None = None
    steering: Sequence[SteeringEntry] = ()
    parents: Sequence[Record] = ()
    start: PictureLike | None = None


@dataclass(frozen=True)
class CheckpointFolder:
    """Where and how often a run saves its state.

    Args:
        path: the folder.
        seconds: time between two checkpoints; 0 for every step.
        resume: continue from the last checkpoint in the folder, if there is one.
    """

    path: str | os.PathLike[str]
    seconds: float = 10.0
    resume: bool = False


class Painting:
    """A run, from its first scale or from a checkpoint to its last scale.

    Args:
        prepared: the prepared run.
        cache: networks and targets that several runs share.
        history: what the run inherits from earlier runs.
        monitor: mailbox, previews and snapshots.
        folder: where the run saves checkpoints, if it saves any.
        first_picture: returns the image that initializes the canvas, ``[1, 3, h, w]``, or None to follow ``init``.
    """

    def __init__(
        self,
        prepared: PreparedRun,
        cache: TargetCache,
        history: History,
        monitor: Monitor,
        folder: CheckpointFolder | None,
        first_picture: Callable[[PreparedRun], Tensor | None],
    ) -> None:
        self.prepared, self.cache, self.history, self.folder = prepared, cache, history, folder
        self.steering = list(history.steering)
        self.first_picture = first_picture
        self.state = RunState(prepared.initial_weights())
        self.scale_objective: ScaleObjective | None = None
        self.normalizers: Mapping[str, float] = {}
        self.checkpointer: Checkpointer | None = None
        self.budget: TimeBudget | None = None
        self._monitor = monitor
        self._generator = torch.Generator().manual_seed(prepared.options.optimization.seed)
        self._canvas: Tensor | None = None
        self._shard = RowShard(0)  # of the canvas
        self._optimizer: Optimizer | None = None
        self._restored: State | None = None
        self._replans_soon = False
        self._began, self._first_step = 0.0, 0

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer of the current scale."""
        assert self._optimizer is not None
        return self._optimizer

    @property
    def objective(self) -> Objective:
        """The objective of the current scale."""
        assert self.scale_objective is not None
        return self.scale_objective.objective

    @property
    def tolerance(self) -> float:
        """The relative gain below which a scale ends early; 0 if the number of steps was set."""
        descent = self.prepared.options.optimization
        return 0.0 if descent.steps else descent.tolerance

    @contextmanager
    def open(self) -> Iterator[None]:
        """Write the last checkpoint at the end, and add advice to an out-of-memory error."""
        try:
            with out_of_memory.translate_oom(self._oom_error):
                yield
        finally:
            self._close_checkpoints()

    def _close_checkpoints(self) -> None:
        if self.checkpointer is not None:
            self.checkpointer.close()

    def _oom_error(self) -> MachineError:
        """Return the out-of-memory error, after the last checkpoint is written."""
        self._close_checkpoints()
        folder = None if self.checkpointer is None else self.checkpointer.folder
        return out_of_memory.oom_error_for_run(self.prepared, self.state.scale, folder)

    def open_checkpoints(self) -> list[str]:
        """Open the folder of checkpoints, if the run has one, continue from the last checkpoint, and return
        warnings."""
        if self.folder is None:
            return []
        prepared, folder = self.prepared, Path(self.folder.path)
        prepared.check_disk_space(folder)
        made = record.make(
            prepared.options.flat(),
            prepared.all_decisions,
            prepared.files,
            steering=self.steering,
            parents=self.history.parents,
            output=prepared.output,
        )
        beginning: RunDescription = {
            **made,
            "places": {role: str(file.source.resolve()) for role, file in prepared.files.items() if file.source},
            "output": str(prepared.output.resolve()) if prepared.output is not None else None,
            "weights": _absolute(prepared.options.machine.weights),
            "seconds": self.folder.seconds,
        }
        for role, file in prepared.files.items():
            if file.source is None and prepared.group.is_first:
                save_input(folder, role, file)
        self.checkpointer = Checkpointer(
            folder, self.folder.seconds, beginning, self._generator, resume=self.folder.resume, group=prepared.group
        )
        self.steering = list(self.checkpointer.commands(self.steering))
        self._restored = self.checkpointer.state
        if self._restored is not None:
            self.state = self._restored.run
            self.state.repeated = len(self.state.steering)
            self.budget = None  # the steps were fitted into the time when the run began
            self.prepared = replace(prepared, scales=[Scale.from_data(data) for data in self._restored.scales])
        notes = list(self.checkpointer.notes)
        self.checkpointer.notes.clear()
        return notes

    def _is_split(self, index: int) -> bool:
        """Whether a scale is split over processes; the first process alone paints one with few rows."""
        return not self.prepared.group.shard(self.prepared.scales[index].height).is_whole

    @contextmanager
    def scale(self, index: int) -> Iterator[bool]:
        """Enter a scale; yields whether this process paints it."""
        if self._restored is None:
            self.state.scale, self.state.scale_step = index, 0
        if not (self.prepared.group.is_first or self._is_split(index)):
            yield False
            return
        with self.prepared.allocator_at(self.prepared.scales[index]):
            try:
                yield True
            except NumericalError as error:
                raise self._with_saved_picture(error) from error
            finally:
                if self._optimizer is not None:
                    self._canvas, self._optimizer = self._optimizer.picture(), None
            if self.budget is not None:
                steps = self.state.scale_step - self._first_step
                self.budget.learn(self.prepared.scales[index], steps, time.perf_counter() - self._began)

    def begin_scale(self, index: int) -> list[ProgressEvent]:
        """Build the objective and the optimizer of a scale, or restore them from a checkpoint of this scale."""
        if index or self.scale_objective is None:
            self.scale_objective = None  # first, because two do not fit in memory at the size of a poster
            self.scale_objective = self.cache.scale_objective(self.prepared, self.prepared.scales[index])
        restored, generator = self._restored, self._generator
        self.normalizers = self.scale_objective.normalizers if restored is None else restored.normalizers
        if restored is None:
            before = self._shard.all_gather(self._canvas) if self._canvas is not None else None
            start = before if index else self.first_picture(self.prepared)
            init = self.prepared.options.optimization.init
            self._canvas = starting_canvas(start, self.scale_objective, init, generator)
            before = start = None
        self._optimizer = _optimizer(self.prepared, self.scale_objective, self._canvas)
        self._canvas, self._shard = None, self.scale_objective.objective.shard  # the optimizer has its own copy
        self._optimizer.set_step_size(self.state.live_weights.step_size)
        if self.checkpointer is not None:
            self.checkpointer.normalizers, self.checkpointer.scales = self.normalizers, self.prepared.scales
        if restored is not None:
            restored.restore(self._optimizer, self.scale_objective.objective, generator)
        events: list[ProgressEvent] = []
        if self.budget is not None:
            scale = self.prepared.scales[index]
            if index == 0:
                weights = self.state.live_weights.weights(self.normalizers, scale.content_factor)
                self.budget.calibrate(scale, partial(self.objective.evaluate, self._optimizer.canvas(), weights))
            events.append(self._replan(self.budget, index))
        scales = self.prepared.scales
        scale = scales[index]
        is_last = index == len(scales) - 1
        self._replans_soon = self.budget is not None and is_last and scale.steps > 2 * REPLAN_AFTER_STEPS
        self._began, self._first_step = time.perf_counter(), self.state.scale_step
        return [*events, ScaleStarted(index, len(scales), scale.height, scale.width, scale.steps)]

    def monitor_at(self, index: int) -> Monitor:
        """Return the monitor; at a split scale all processes receive the commands of the first one."""
        if not self._is_split(index):
            return self._monitor
        mailbox = self._monitor.mailbox
        assert not isinstance(mailbox, BroadcastMailbox)
        return replace(self._monitor, mailbox=BroadcastMailbox(mailbox, self.prepared.group))

    @property
    def steps_until_replanning(self) -> int:
        """The number of steps of the current scale, or the number after which its steps are replanned."""
        return REPLAN_AFTER_STEPS if self._replans_soon else self.prepared.scales[self.state.scale].steps

    def replan_within_scale(self) -> Planned | None:
        """Fit the rest of the last scale into the remaining time, if its first steps were timed in this process."""
        if not self._replans_soon or self.budget is None:
            return None
        self._replans_soon = False
        if self.state.stopped or self.state.scale_step < REPLAN_AFTER_STEPS:
            return None
        scale = self.prepared.scales[self.state.scale]
        self.budget.learn(scale, REPLAN_AFTER_STEPS, time.perf_counter() - self._began)
        return self._replan(self.budget, self.state.scale, REPLAN_AFTER_STEPS)

    def _replan(self, budget: TimeBudget, index: int, done: int = 0) -> Planned:
        """Replan the rest of the run from the measured time of a step."""
        usual = self.prepared.scales
        first = replace(usual[index], steps=max(1, usual[index].steps))
        rest = budget.plan([first, *usual[index + 1 :]], begun=True)
        rest[0] = replace(rest[0], steps=rest[0].steps + done)
        self.prepared = replace(self.prepared, scales=[*usual[:index], *rest])
        if self.checkpointer is not None:
            self.checkpointer.scales = self.prepared.scales
        return planned_event(self.prepared)

    def hand_over(self, index: int) -> None:
        """End a scale; if one process painted it, broadcast its canvas and state."""
        self._restored = None
        group = self.prepared.group
        if group.world_size == 1 or self._is_split(index):
            return
        state = group.broadcast(asdict(self.state))
        scale = self.prepared.scales[index]
        if not group.is_first:
            self.state = RunState(**{**state, "live_weights": LiveWeights(**state["live_weights"])})
            self._canvas = torch.empty(1, 3, scale.height, scale.width, device=self.prepared.compute.device)
        assert self._canvas is not None
        self._canvas, self._shard = group.broadcast_tensor(self._canvas.contiguous()), RowShard(scale.height)

    def _with_saved_picture(self, error: NumericalError) -> NumericalError:
        """Save the last good image if the run has an output file, and return the error with its path."""
        if self.prepared.output is None:
            return error
        self._canvas = self.optimizer.picture()
        result = self.result()
        return NumericalError(str(error) if result is None else f"{error} ({result.path})")

    def result(self) -> Result | None:
        """Return the current image, saved if the run has an output file; None except in the first process."""
        assert self._canvas is not None
        canvas = [self._shard.gather(self._canvas)]
        self._canvas = None
        if not self.prepared.group.is_first:
            return None
        assert self.scale_objective is not None
        folder = None if self.checkpointer is None else self.checkpointer.folder
        objective, parents = self.scale_objective, self.history.parents
        return finish(self.prepared, self.state, canvas.pop(), objective, parents, unsaved=folder)


def planned_event(prepared: PreparedRun) -> Planned:
    """Return the sizes, steps and decisions of a run as an event."""
    scales = tuple({"height": s.height, "width": s.width, "steps": s.steps} for s in prepared.scales)
    return Planned(scales, sum(s.steps for s in prepared.scales), prepared.decisions)


def _absolute(file: str | None) -> str | None:
    """Return the absolute path of a weights file; a name of fetched weights stays a name."""
    return str(Path(file).resolve()) if file is not None and Path(file).exists() else file


def _optimizer(prepared: PreparedRun, scale_objective: ScaleObjective, canvas: Tensor | None) -> Optimizer:
    start, shard = scale_objective.content if canvas is None else canvas, scale_objective.objective.shard
    chosen, plan = prepared.options.optimization.optimizer, prepared.memory_plan_at(*start.shape[-2:])
    optimizer: Optimizer = optimizer_for(chosen, shard.cut(start), plan, shard)
    return (
        optimizer
        if scale_objective.view.is_plain
        else ViewedOptimizer(optimizer, scale_objective.view.rows(*shard.rows))
    )
