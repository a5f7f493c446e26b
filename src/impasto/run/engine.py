"""The loop: an objective, an optimizer and a mailbox in, events out.

Weights live here and nowhere else, so that steering changes a number and no object. Commands are read at the top of a
step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from impasto.errors import NumericalError, OptionError, suggest
from impasto.events import Command, Event, Mailbox, Snapshot, Steered, Stepped, Warned
from impasto.objective.objective import Objective
from impasto.optimizers.protocol import Optimizer
from impasto.options.fields import declared
from impasto.runtime.distributed import BroadcastMailbox

RECOVERIES = 3
PATIENCE = 10
SEED_STRIDE = 1_000_003
BAND = 1 << 20  # px of a preview that are rounded at once
LIVE = ("strength", "content_weight", "style_weight", "tv_weight", "step_size")


@dataclass
class LiveWeights:
    """What a person can turn during a run.

    With a strength the terms are unitless: ``content`` weighs (1 - strength) over its reference, ``style`` weighs
    strength over its own. Without one they carry raw weights; a run that is not ``unitless`` has no other.
    ``strengths`` are those of regions that have their own, by the region's name.
    """

    strength: float | None
    content_weight: float
    style_weight: float
    tv_weight: float
    step_size: float = 1.0
    terms: dict[str, float] = field(default_factory=dict)
    unitless: bool = True
    strengths: dict[str, float] = field(default_factory=dict)

    def apply(self, values: Mapping[str, float], names: Sequence[str]) -> None:
        """Change values; a term's own name multiplies its weight.

        Raises:
            OptionError: a name is unknown or a value not allowed.
        """
        live = {item.name: item.facts for item in declared() if item.name in LIVE}
        regional = [f"strength:{name.partition(':')[2]}" for name in names if name.startswith("style:")]
        names = [*names, *regional]
        for name, value in values.items():
            if name not in live and name not in names:
                raise OptionError(f"nothing called {name!r} can be steered; {suggest(name, [*live, *names])}", name)
            facts = live.get("strength" if name in regional else name, {})
            low, high = facts.get("low", 0.0), facts.get("high", math.inf)
            if not math.isfinite(value) or not low <= value <= high:
                allowed = (
                    f"a finite number of at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
                )
                raise OptionError(f"{name} is {value}; it must be {allowed}", name)
            if name in regional:
                self.strengths[name.partition(":")[2]] = value
                continue
            if name not in live:
                self.terms[name] = value
                continue
            if name == "strength" and not self.unitless:
                raise OptionError(
                    f"strength is {value}, and this run has raw weights: set content_weight or style_weight", name
                )
            if name in ("content_weight", "style_weight") and self.strength is not None:
                # The one that is not named goes on weighing what it has weighed.
                self.content_weight, self.style_weight = 1 - self.strength, self.strength
                self.strength = None
            setattr(self, name, value)

    def weights(self, normalizers: Mapping[str, float], content_factor: float) -> dict[str, float]:
        """Return the weight of each term, given the terms' sizes at their reference points."""
        weights = {}
        for name, reference in normalizers.items():
            kind, _, region = name.partition(":")
            if kind == "blend":  # a style's part in a blend is the number itself
                weights[name] = self.terms.get(name, reference)
                continue
            if kind == "tv":
                weight = self.tv_weight / reference
            elif kind == "guard":
                weight = 1 / reference
            elif kind == "content":
                weight = self._tradeoff(region)[0] * content_factor / reference
            else:
                weight = self._tradeoff(region)[1] / reference
            weights[name] = weight * self.terms.get(name, 1.0)
        return weights

    def _tradeoff(self, region: str) -> tuple[float, float]:
        """Return the weights of content and style; a region's strength of 0.5 leaves raw weights as they are."""
        own = self.strengths.get(region)
        if self.strength is None:
            content, style = (1.0, 1.0) if own is None else (2 * (1 - own), 2 * own)
            return content * self.content_weight, style * self.style_weight
        strength = self.strength if own is None else own
        return 1 - strength, strength


@dataclass
class Run:
    """The mutable state of a run, as a checkpoint keeps it.

    ``steering`` lists the commands that were obeyed; ``repeated`` counts those of an earlier run that were looked at.
    """

    live_weights: LiveWeights
    step: int = 0
    scale: int = 0
    scale_step: int = 0
    paused: bool = False
    stopped: bool = False
    recoveries: int = 0
    repeated: int = 0
    steering: list[dict[str, Any]] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)


class Checkpointer(Protocol):
    """Who makes a run survive its process (see ``impasto.run.checkpoint``)."""

    def log(self, run: Run, entry: Mapping[str, Any]) -> None:
        """Write a command down, durably, before it is obeyed."""
        ...

    def save(self, run: Run, optimizer: Optimizer, objective: Objective, *, now: bool = False) -> list[str]:
        """Keep the state if that is due, or now, and return what the person should know."""
        ...


def as_preview(picture: Tensor) -> Any:
    """Return ``[H, W, 3]`` uint8 of a picture ``[1, 3, H, W]`` in [0, 1]."""
    height, width = picture.shape[-2:]
    shown = torch.empty(height, width, 3, dtype=torch.uint8)
    rows = max(1, BAND // width)
    for top in range(0, height, rows):  # in bands: a poster has no room for a copy in floats
        band = picture[0, :, top : top + rows].permute(1, 2, 0)
        shown[top : top + rows] = (band * 255).round().clamp(0, 255).to(torch.uint8)
    return shown.numpy()


def _shown(objective: Objective, optimizer: Optimizer) -> Any:
    """Return a preview of the whole picture, of several processes on the first."""
    return as_preview(objective.shard.gather(optimizer.picture()))


def descend(
    run: Run,
    objective: Objective,
    optimizer: Optimizer,
    *,
    steps: int,
    normalizers: Mapping[str, float],
    content_factor: float = 1.0,
    mailbox: Mailbox | BroadcastMailbox | None = None,
    replayed: Sequence[Mapping[str, Any]] = (),
    checkpointer: Checkpointer | None = None,
    preview_every: int = 0,
    snapshot_every: int = 0,
    seed: int = 0,
    tolerance: float = 0.0,
) -> Iterator[Event]:
    """Optimize at one scale until its steps are spent or a command stops the run.

    Args:
        run: where the run stands; changed in place.
        objective: for this scale.
        optimizer: holds the canvas.
        steps: evaluations of the objective at this scale.
        references: by which each term's weight is divided.
        content_factor: multiplies the content's weight at this scale.
        mailbox: commands from outside.
        replayed: steering of an earlier run, as ``run.steering`` recorded it, to be repeated at the same steps.
        checkpointer: keeps commands and states on disk.
        preview_every, snapshot_every: every how many steps a picture goes along; 0 for never.
        seed: of the samples that losses draw anew.
        tolerance: the scale ends once ``PATIENCE`` steps gain less than this part of the loss; 0 for never.

    Raises:
        NumericalError: not-a-number appeared again after three halvings of the step.
    """
    weights = run.live_weights.weights(normalizers, content_factor)
    while run.scale_step < steps and not run.stopped:
        told = set()
        for command in _commands(run, replayed, mailbox):
            told.add(command.name)
            yield from _obey(run, command, (objective, optimizer), list(normalizers), checkpointer)
        if "set" in told:
            turned = run.live_weights.weights(normalizers, content_factor)
            if turned != weights:
                weights = turned
                optimizer.on_objective_change()
        if "stop" in told:
            return
        # Only now can a resumed run begin with the state: commands are obeyed, the history dropped where it must be.
        yield from _keep(run, optimizer, objective, checkpointer, "checkpoint" in told)
        _refresh(run, objective, optimizer, seed)
        evaluation = objective.evaluate(optimizer.canvas(), weights)
        if not (math.isfinite(evaluation.total) and math.isfinite(float(evaluation.gradient.sum()))):
            run.recoveries += 1
            if run.recoveries > RECOVERIES:
                raise NumericalError(
                    f"the loss is not a number at step {run.step + 1}, {RECOVERIES} halvings of the step size "
                    "did not help; the last good picture is kept: try --precision fp32, a smaller --step-size "
                    "or smaller weights"
                )
            optimizer.recover()
            yield Warned(f"not a number at step {run.step + 1}: back to the last good picture, step size halved")
            continue
        optimizer.step(evaluation.total, evaluation.gradient)
        total, losses = evaluation.total, evaluation.losses
        del evaluation  # its gradient is as large as the picture
        run.step += 1
        run.scale_step += 1
        run.losses.append({"step": run.step, "scale": run.scale, "total": total, **losses})
        picture = _shown(objective, optimizer) if _is_due(run.step, preview_every) else None
        yield Stepped(run.step, run.scale, run.scale_step, total, losses, picture)
        if _is_due(run.step, snapshot_every):
            yield Snapshot(run.step, run.scale, _shown(objective, optimizer))
        if tolerance and _has_settled(run, tolerance):
            return


def _has_settled(run: Run, tolerance: float) -> bool:
    """Whether the last ``PATIENCE`` steps gained next to nothing; steering starts the count anew."""
    since = run.step - max((entry["step"] for entry in run.steering), default=1) + 1
    if min(run.scale_step, since) <= PATIENCE:
        return False
    totals = [entry["total"] for entry in run.losses[-PATIENCE - 1 :]]
    return totals[0] - min(totals[1:]) < tolerance * abs(totals[0])


def due(objective: Objective, step: int, min_refresh_interval: int = 1) -> list[str]:
    """Return the terms whose samples or matches are to be renewed before a step.

    Args:
        objective: whose terms have ``refresh_every``.
        step: of this scale, from 0.
        min_refresh_interval: the fewest steps that the optimizer wants an objective to stay the same.
    """
    found = []
    for name, loss in objective.terms.items():
        every = loss.refresh_every
        if every is not None and (step == 0 or (every > 0 and step % max(every, min_refresh_interval) == 0)):
            found.append(name)
    return found


def _refresh(run: Run, objective: Objective, optimizer: Optimizer, seed: int) -> None:
    """Renew samples and matches where it is time; a run that is resumed here does the same again."""
    names = due(objective, run.scale_step, optimizer.min_refresh_interval)
    if names:
        objective.refresh(optimizer.canvas(), (seed * SEED_STRIDE + run.step) % 2**63, names)
        if run.scale_step:
            optimizer.on_resample()


def _is_due(step: int, every: int) -> bool:
    return every > 0 and (step == 1 or step % every == 0)


def _commands(
    run: Run, replayed: Sequence[Mapping[str, Any]], mailbox: Mailbox | BroadcastMailbox | None
) -> Iterator[Command]:
    """Yield what is to be obeyed before the next step; a paused run waits here, and obeys the while."""
    yield from _due(run, replayed)
    while mailbox is not None:
        yield from mailbox.collect()
        if not run.paused:
            return
        mailbox.wait(0.5)


def _due(run: Run, replayed: Sequence[Mapping[str, Any]]) -> Iterator[Command]:
    """Yield what an earlier run was told before the step that comes next, counting it as it goes."""
    while run.repeated < len(replayed) and replayed[run.repeated]["step"] <= run.step + 1:
        entry = replayed[run.repeated]
        run.repeated += 1
        if entry["step"] == run.step + 1:
            yield Command(entry.get("command", "set"), entry.get("values", {}))


def _obey(
    run: Run,
    command: Command,
    painting: tuple[Objective, Optimizer],
    names: Sequence[str],
    checkpointer: Checkpointer | None,
) -> Iterator[Event]:
    step, (objective, optimizer) = run.step + 1, painting
    if command.name == "checkpoint":
        return
    if command.name == "set":
        live_weights = deepcopy(run.live_weights)
        try:
            live_weights.apply(command.values, names)
        except OptionError as error:
            yield Warned(str(error))
            return
        _note(run, {"step": step, "values": dict(command.values)}, checkpointer)
        if (
            live_weights.step_size != run.live_weights.step_size
        ):  # else a step that was halved for good reason would grow again
            optimizer.set_step_size(live_weights.step_size)
        run.live_weights = live_weights
    elif command.name in ("pause", "resume"):
        run.paused = command.name == "pause"
    elif command.name == "stop":
        _note(run, {"step": step, "command": "stop"}, checkpointer)
        run.stopped, run.paused = True, False
    elif command.name == "snapshot":
        yield Snapshot(run.step, run.scale, _shown(objective, optimizer))
    yield Steered(step, command.name, dict(command.values))


def _note(run: Run, entry: dict[str, Any], checkpointer: Checkpointer | None) -> None:
    if checkpointer is not None:
        checkpointer.log(run, entry)
    run.steering.append(entry)


def _keep(
    run: Run, optimizer: Optimizer, objective: Objective, checkpointer: Checkpointer | None, now: bool
) -> Iterator[Event]:
    if checkpointer is not None:
        for note in checkpointer.save(run, optimizer, objective, now=now):
            yield Warned(note)
        if now:
            yield Steered(run.step + 1, "checkpoint", {})
    elif now:
        yield Warned("a checkpoint was asked for and this run keeps none: give it a folder, with --run-dir")
