"""One run through its scales: a prepared run prepared in, events out, a Result at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import MachineError, NumericalError
from impasto.events import Event, Finished, Planned, ScaleStarted, Warned
from impasto.objective.scale_objective import ScaleObjective, starting_canvas
from impasto.optimizers.factory import optimizer_for
from impasto.optimizers.protocol import Optimizer
from impasto.planning.schedule import Scale
from impasto.planning.time_budget import REPLAN_AFTER_STEPS, TimeBudget
from impasto.regions.canvas_view import ViewedOptimizer
from impasto.run import out_of_memory, record
from impasto.run.checkpoint import Checkpointer, State, save_input
from impasto.run.engine import LiveWeights, Run, descend
from impasto.run.prepared_run import PreparedRun
from impasto.run.result import Result, finish
from impasto.run.target_cache import TargetCache
from impasto.runtime.distributed import BroadcastMailbox, RowShard


class Painting:
    """One run from its first scale, or from a checkpoint, to its last.

    Args:
        prepared: the prepared run.
        cache: networks and targets that runs have in common.
        steering: commands to repeat, as a record lists them.
        parents: records of the pictures that the start came from, the oldest first.
        first_picture: returns what the canvas begins as, ``[1, 3, h, w]``, None where ``init`` says.
    """

    def __init__(
        self,
        prepared: PreparedRun,
        cache: TargetCache,
        steering: list[Mapping[str, Any]],
        parents: Sequence[Mapping[str, Any]],
        first_picture: Callable[[PreparedRun], Tensor | None],
    ) -> None:
        self.prepared, self.cache, self.steering, self.parents = prepared, cache, steering, parents
        self.first_picture = first_picture
        self.run = Run(prepared.initial_weights())
        self.generator = torch.Generator().manual_seed(prepared.options.descent.seed)
        self.canvas: Tensor | None = None
        self.problem: ScaleObjective | None = None
        self.checkpointer: Checkpointer | None = None
        self.budget: TimeBudget | None = None
        self.shard = RowShard(0)  # of the canvas

    def events(
        self, folder: str | os.PathLike[str] | None, seconds: float, resume: bool, listeners: Mapping[str, Any]
    ) -> Iterator[Event]:
        """Go through the run, kept in a folder if one is given, to its result."""
        try:
            with out_of_memory.translate_oom(self._short):
                if folder is not None:
                    yield from self.use_folder(Path(folder), seconds, resume)
                yield from self.paint(**listeners)
                result = self.result()
        finally:
            if self.checkpointer is not None:
                self.checkpointer.close()
        yield Finished(self.run.step, self.run.stopped, result)

    def _short(self) -> MachineError:
        """Return what to say where memory ran out, once the last checkpoint is written."""
        if self.checkpointer is not None:
            self.checkpointer.close()
        return out_of_memory.oom_error_for_run(
            self.prepared, self.run.scale, None if self.checkpointer is None else self.checkpointer.folder
        )

    def use_folder(self, folder: Path, seconds: float, resume: bool) -> Iterator[Event]:
        """Keep the run in a folder, and go on from what is kept there."""
        self.prepared.check_disk_space(folder)
        beginning = record.make(
            self.prepared.options.flat(),
            self.prepared.planned,
            self.prepared.files,
            steering=self.steering,
            parents=self.parents,
        )
        beginning |= {
            "places": {part: str(file.source.resolve()) for part, file in self.prepared.files.items() if file.source},
            "output": str(self.prepared.output.resolve()) if self.prepared.output is not None else None,
            "weights": _absolute(self.prepared.options.machine.weights),
            "seconds": seconds,
        }
        for part, file in self.prepared.files.items():
            if file.source is None and self.prepared.group.is_first:
                save_input(folder, part, file)
        self.checkpointer = Checkpointer(
            folder, seconds, beginning, self.generator, resume=resume, group=self.prepared.group
        )
        self.steering = self.checkpointer.commands(self.steering)
        if self.checkpointer.state is not None:
            self.run = self.checkpointer.state.run
            self.run.repeated = len(self.run.steering)
            self.budget = None  # its time was planned when it began, and the scales are as they were left
            self.prepared = replace(
                self.prepared, scales=[Scale.from_data(data) for data in self.checkpointer.state.scales]
            )
        for note in self.checkpointer.notes:
            yield Warned(note)
        self.checkpointer.notes.clear()

    def paint(self, **listeners: Any) -> Iterator[Event]:
        """Go through the scales that are left; a scale that is not split is painted by the first process alone."""
        prepared, group = self.prepared, self.prepared.group
        state = self.checkpointer.state if self.checkpointer is not None else None
        for index in range(self.run.scale, len(prepared.scales)):
            if state is None:
                self.run.scale, self.run.scale_step = index, 0
            small = group.shard(prepared.scales[index].height).is_whole
            if group.is_first or not small:
                mailbox = listeners["mailbox"] if small else BroadcastMailbox(listeners["mailbox"], group)
                with prepared.allocator_at(prepared.scales[index]):
                    yield from self._paint(index, state, {**listeners, "mailbox": mailbox})
            if small and group.world_size > 1:
                self._hand_over(prepared.scales[index])
            if self.run.stopped:
                return
            state = None

    def _paint(self, index: int, state: State | None, listeners: Mapping[str, Any]) -> Iterator[Event]:
        """Go through one scale, from a checkpoint of it if there is one."""
        prepared, run, scale = self.prepared, self.run, self.prepared.scales[index]
        if index or self.problem is None:
            self.problem = None  # before the next one is made: at a poster's size two would not fit
            self.problem = self.cache.problem(prepared, scale)
        normalizers = self.problem.normalizers if state is None else state.normalizers
        if state is None:
            before = self.shard.all_gather(self.canvas) if self.canvas is not None else None
            self.canvas = starting_canvas(
                before if index else self.first_picture(prepared),
                self.problem,
                prepared.options.descent.init,
                self.generator,
            )
        optimizer = _optimizer(prepared, self.problem, self.canvas)
        self.canvas, self.shard = None, self.problem.objective.shard  # the optimizer has its own
        optimizer.set_step_size(run.live_weights.step_size)
        if self.checkpointer is not None:
            self.checkpointer.normalizers, self.checkpointer.scales = normalizers, self.prepared.scales
        if state is not None:
            state.restore(optimizer, self.problem.objective, self.generator)
        if self.budget is not None:
            if index == 0:
                weights = run.live_weights.weights(normalizers, scale.content_factor)
                self.budget.calibrate(scale, partial(self.problem.objective.evaluate, optimizer.canvas(), weights))
            yield self._replan(prepared.scales, index)
            scale = self.prepared.scales[index]
        yield ScaleStarted(index, len(prepared.scales), scale.height, scale.width, scale.steps)
        yield from self._paced(optimizer, scale, normalizers, listeners)

    def _hand_over(self, scale: Scale) -> None:
        """Let every process have what the first has painted."""
        group = self.prepared.group
        told = group.broadcast(asdict(self.run))
        if not group.is_first:
            self.run = Run(**{**told, "live_weights": LiveWeights(**told["live_weights"])})
            self.canvas = torch.empty(1, 3, scale.height, scale.width, device=self.prepared.compute.device)
        assert self.canvas is not None
        self.canvas, self.shard = group.broadcast_tensor(self.canvas.contiguous()), RowShard(scale.height)

    def _replan(self, usual: Sequence[Scale], index: int, done: int = 0) -> Planned:
        """MemoryPlan the rest of the run anew from what steps have taken so far."""
        assert self.budget is not None
        rest = self.budget.plan(
            [replace(usual[index], steps=max(1, usual[index].steps)), *usual[index + 1 :]], begun=True
        )
        rest[0] = replace(rest[0], steps=rest[0].steps + done)
        self.prepared = replace(self.prepared, scales=[*self.prepared.scales[:index], *rest])
        if self.checkpointer is not None:
            self.checkpointer.scales = self.prepared.scales
        return planned(self.prepared)

    def _paced(
        self, optimizer: Optimizer, scale: Scale, normalizers: Mapping[str, float], listeners: Mapping[str, Any]
    ) -> Iterator[Event]:
        """Descend at one scale; with a budget, look at the clock after the first steps of the last."""
        began, first = time.perf_counter(), self.run.scale_step
        if (
            self.budget is not None
            and self.run.scale == len(self.prepared.scales) - 1
            and scale.steps > 2 * REPLAN_AFTER_STEPS
        ):
            yield from self._descend(optimizer, replace(scale, steps=REPLAN_AFTER_STEPS), normalizers, listeners)
            if self.run.stopped or self.run.scale_step < REPLAN_AFTER_STEPS:
                return
            self.budget.learn(scale, REPLAN_AFTER_STEPS, time.perf_counter() - began)
            yield self._replan(self.prepared.scales, self.run.scale, REPLAN_AFTER_STEPS)
            scale = self.prepared.scales[self.run.scale]
        yield from self._descend(optimizer, scale, normalizers, listeners)
        if self.budget is not None:
            self.budget.learn(scale, self.run.scale_step - first, time.perf_counter() - began)

    def _descend(
        self, optimizer: Optimizer, scale: Scale, normalizers: Mapping[str, float], listeners: Mapping[str, Any]
    ) -> Iterator[Event]:
        assert self.problem is not None
        try:
            yield from descend(
                self.run,
                self.problem.objective,
                optimizer,
                steps=scale.steps,
                normalizers=normalizers,
                content_factor=scale.content_factor,
                replayed=self.steering,
                checkpointer=self.checkpointer,
                seed=self.prepared.options.descent.seed,
                tolerance=0.0 if self.prepared.options.descent.steps else self.prepared.options.descent.tolerance,
                **listeners,
            )
        except NumericalError as error:
            if self.prepared.output is None:
                raise
            self.canvas = optimizer.picture()
            result = self.result()
            raise NumericalError(str(error) if result is None else f"{error} ({result.path})") from error
        finally:
            self.canvas = optimizer.picture()

    def result(self) -> Result | None:
        """Return the picture as it is now, saved if that was asked for; it is the first process's."""
        assert self.canvas is not None
        canvas = [self.shard.gather(self.canvas)]
        self.canvas = None
        if not self.prepared.group.is_first:
            return None
        assert self.problem is not None
        return finish(self.prepared, self.run, canvas.pop(), self.problem, self.parents)


def planned(prepared: PreparedRun) -> Planned:
    """Return what a prepared run comes to, as an event."""
    scales = tuple({"height": s.height, "width": s.width, "steps": s.steps} for s in prepared.scales)
    return Planned(scales, sum(s.steps for s in prepared.scales), prepared.decisions)


def _absolute(file: str | None) -> str | None:
    """Return a weights file's whole path; a name of fetched weights stays a name."""
    return str(Path(file).resolve()) if file is not None and Path(file).exists() else file


def _optimizer(prepared: PreparedRun, problem: ScaleObjective, canvas: Tensor | None) -> Optimizer:
    start, shard = problem.content if canvas is None else canvas, problem.objective.shard
    chosen, plan = prepared.options.descent.optimizer, prepared.memory_plan_at(*start.shape[-2:])
    optimizer: Optimizer = optimizer_for(chosen, shard.cut(start), plan, shard)
    return optimizer if problem.view.is_plain else ViewedOptimizer(optimizer, problem.view.rows(*shard.rows))
