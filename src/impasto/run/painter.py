"""One run through its scales: a prepared job in, events out, a Result at the end."""

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
from impasto.planning.schedule import Scale
from impasto.planning.time_budget import LAST_LOOK, Pace
from impasto.regions.canvas_view import ViewedOptimizer
from impasto.run import out_of_memory, record
from impasto.run.checkpoint import Keeper, State, keep_picture
from impasto.run.engine import Knobs, Optimizer, Run, descend
from impasto.run.job import Job
from impasto.run.result import Result, finish
from impasto.run.target_cache import Shared
from impasto.runtime.distributed import BroadcastMailbox, RowShard


class Painting:
    """One run from its first scale, or from a checkpoint, to its last.

    Args:
        job: the prepared run.
        shared: networks and targets that runs have in common.
        steering: commands to repeat, as a record lists them.
        parents: records of the pictures that the start came from, the oldest first.
        first_picture: returns what the canvas begins as, ``[1, 3, h, w]``, None where ``init`` says.
    """

    def __init__(
        self,
        job: Job,
        shared: Shared,
        steering: list[Mapping[str, Any]],
        parents: Sequence[Mapping[str, Any]],
        first_picture: Callable[[Job], Tensor | None],
    ) -> None:
        self.job, self.shared, self.steering, self.parents = job, shared, steering, parents
        self.first_picture = first_picture
        self.run = Run(job.knobs())
        self.generator = torch.Generator().manual_seed(job.options.descent.seed)
        self.canvas: Tensor | None = None
        self.problem: ScaleObjective | None = None
        self.keeper: Keeper | None = None
        self.pace: Pace | None = None
        self.shard = RowShard(0)  # of the canvas

    def events(
        self, folder: str | os.PathLike[str] | None, seconds: float, resume: bool, listeners: Mapping[str, Any]
    ) -> Iterator[Event]:
        """Go through the run, kept in a folder if one is given, to its result."""
        try:
            with out_of_memory.explained(self._short):
                if folder is not None:
                    yield from self.keep_in(Path(folder), seconds, resume)
                yield from self.paint(**listeners)
                result = self.result()
        finally:
            if self.keeper is not None:
                self.keeper.close()
        yield Finished(self.run.step, self.run.stopped, result)

    def _short(self) -> MachineError:
        """Return what to say where memory ran out, once the last checkpoint is written."""
        if self.keeper is not None:
            self.keeper.close()
        return out_of_memory.of_run(self.job, self.run.scale, None if self.keeper is None else self.keeper.folder)

    def keep_in(self, folder: Path, seconds: float, resume: bool) -> Iterator[Event]:
        """Keep the run in a folder, and go on from what is kept there."""
        self.job.check_room(folder)
        beginning = record.make(
            self.job.options.flat(), self.job.planned, self.job.files, steering=self.steering, parents=self.parents
        )
        beginning |= {
            "places": {part: str(file.source.resolve()) for part, file in self.job.files.items() if file.source},
            "output": str(self.job.output.resolve()) if self.job.output is not None else None,
            "weights": _absolute(self.job.options.machine.weights),
            "seconds": seconds,
        }
        for part, file in self.job.files.items():
            if file.source is None and self.job.group.is_first:
                keep_picture(folder, part, file)
        self.keeper = Keeper(folder, seconds, beginning, self.generator, resume=resume, group=self.job.group)
        self.steering = self.keeper.commands(self.steering)
        if self.keeper.state is not None:
            self.run = self.keeper.state.run
            self.run.repeated = len(self.run.steering)
            self.pace = None  # its time was planned when it began, and the scales are as they were left
            self.job = replace(self.job, scales=[Scale.of_data(data) for data in self.keeper.state.scales])
        for note in self.keeper.notes:
            yield Warned(note)
        self.keeper.notes.clear()

    def paint(self, **listeners: Any) -> Iterator[Event]:
        """Go through the scales that are left; a scale that is not split is painted by the first process alone."""
        job, group = self.job, self.job.group
        state = self.keeper.state if self.keeper is not None else None
        for index in range(self.run.scale, len(job.scales)):
            if state is None:
                self.run.scale, self.run.scale_step = index, 0
            small = group.shard(job.scales[index].height).is_whole
            if group.is_first or not small:
                mailbox = listeners["mailbox"] if small else BroadcastMailbox(listeners["mailbox"], group)
                with job.freed_at(job.scales[index]):
                    yield from self._paint(index, state, {**listeners, "mailbox": mailbox})
            if small and group.world_size > 1:
                self._hand_over(job.scales[index])
            if self.run.stopped:
                return
            state = None

    def _paint(self, index: int, state: State | None, listeners: Mapping[str, Any]) -> Iterator[Event]:
        """Go through one scale, from a checkpoint of it if there is one."""
        job, run, scale = self.job, self.run, self.job.scales[index]
        if index or self.problem is None:
            self.problem = None  # before the next one is made: at a poster's size two would not fit
            self.problem = self.shared.problem(job, scale)
        normalizers = self.problem.normalizers if state is None else state.normalizers
        if state is None:
            before = self.shard.all_gather(self.canvas) if self.canvas is not None else None
            self.canvas = starting_canvas(
                before if index else self.first_picture(job), self.problem, job.options.descent.init, self.generator
            )
        optimizer = _optimizer(job, self.problem, self.canvas)
        self.canvas, self.shard = None, self.problem.objective.shard  # the optimiser has its own
        optimizer.set_step_size(run.knobs.step_size)
        if self.keeper is not None:
            self.keeper.normalizers, self.keeper.scales = normalizers, self.job.scales
        if state is not None:
            state.restore(optimizer, self.problem.objective, self.generator)
        if self.pace is not None:
            if index == 0:
                weights = run.knobs.weights(normalizers, scale.content_factor)
                self.pace.calibrate(scale, partial(self.problem.objective.evaluate, optimizer.canvas(), weights))
            yield self._repace(job.scales, index)
            scale = self.job.scales[index]
        yield ScaleStarted(index, len(job.scales), scale.height, scale.width, scale.steps)
        yield from self._paced(optimizer, scale, normalizers, listeners)

    def _hand_over(self, scale: Scale) -> None:
        """Let every process have what the first has painted."""
        group = self.job.group
        told = group.broadcast(asdict(self.run))
        if not group.is_first:
            self.run = Run(**{**told, "knobs": Knobs(**told["knobs"])})
            self.canvas = torch.empty(1, 3, scale.height, scale.width, device=self.job.place.device)
        assert self.canvas is not None
        self.canvas, self.shard = group.broadcast_tensor(self.canvas.contiguous()), RowShard(scale.height)

    def _repace(self, usual: Sequence[Scale], index: int, done: int = 0) -> Planned:
        """Plan the rest of the run anew from what steps have taken so far."""
        assert self.pace is not None
        rest = self.pace.plan(
            [replace(usual[index], steps=max(1, usual[index].steps)), *usual[index + 1 :]], begun=True
        )
        rest[0] = replace(rest[0], steps=rest[0].steps + done)
        self.job = replace(self.job, scales=[*self.job.scales[:index], *rest])
        if self.keeper is not None:
            self.keeper.scales = self.job.scales
        return planned(self.job)

    def _paced(
        self, optimizer: Optimizer, scale: Scale, normalizers: Mapping[str, float], listeners: Mapping[str, Any]
    ) -> Iterator[Event]:
        """Descend at one scale; with a budget, look at the clock after the first steps of the last."""
        began, first = time.perf_counter(), self.run.scale_step
        if self.pace is not None and self.run.scale == len(self.job.scales) - 1 and scale.steps > 2 * LAST_LOOK:
            yield from self._descend(optimizer, replace(scale, steps=LAST_LOOK), normalizers, listeners)
            if self.run.stopped or self.run.scale_step < LAST_LOOK:
                return
            self.pace.learn(scale, LAST_LOOK, time.perf_counter() - began)
            yield self._repace(self.job.scales, self.run.scale, LAST_LOOK)
            scale = self.job.scales[self.run.scale]
        yield from self._descend(optimizer, scale, normalizers, listeners)
        if self.pace is not None:
            self.pace.learn(scale, self.run.scale_step - first, time.perf_counter() - began)

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
                keeper=self.keeper,
                seed=self.job.options.descent.seed,
                tolerance=0.0 if self.job.options.descent.steps else self.job.options.descent.tolerance,
                **listeners,
            )
        except NumericalError as error:
            if self.job.output is None:
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
        if not self.job.group.is_first:
            return None
        assert self.problem is not None
        return finish(self.job, self.run, canvas.pop(), self.problem, self.parents)


def planned(job: Job) -> Planned:
    """Return what a job comes to, as an event."""
    scales = tuple({"height": s.height, "width": s.width, "steps": s.steps} for s in job.scales)
    return Planned(scales, sum(s.steps for s in job.scales), job.decisions)


def _absolute(file: str | None) -> str | None:
    """Return a weights file's whole path; a name of fetched weights stays a name."""
    return str(Path(file).resolve()) if file is not None and Path(file).exists() else file


def _optimizer(job: Job, problem: ScaleObjective, canvas: Tensor | None) -> Optimizer:
    start, shard = problem.content if canvas is None else canvas, problem.objective.shard
    chosen, plan = job.options.descent.optimizer, job.plan_at(*start.shape[-2:])
    optimizer: Optimizer = optimizer_for(chosen, shard.cut(start), plan, shard)
    return optimizer if problem.view.is_plain else ViewedOptimizer(optimizer, problem.view.rows(*shard.rows))
