"""Whether half precision can be trusted here: one gradient in bfloat16 against the same one in float32.

In: a run made ready, whose network runs in bfloat16 because nobody asked for anything else. Out: the same, or one in
float32 with a note that says why. The gradients are compared once, at the coarsest scale, where that costs the least:
one evaluation in float32 there takes 1 to 3 % of a run, at every scale it would take some 10 %.

The picture is half way between the content and noise of the style's colours, where no term vanishes. The losses and
their targets are the same objects in both, so that only the arithmetic and the weights' rounding differ. A single scale
of more than 512 px is judged at that size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from impasto.network.encoder import Encoder
from impasto.objective.objective import Objective
from impasto.objective.scale_objective import ScaleObjective, style_noise
from impasto.options.layer_names import SMALLEST_SIDE
from impasto.planning.schedule import Scale
from impasto.run.job import Job

# Where bfloat16 works the cosine is above 0.99 (docs/performance.md); a machine that gets it wrong is far below.
LEAST_COSINE = 0.9
JUDGED_SIDE = 512  # px; a coarsest scale that is larger is judged at this long side
PIECE = 1 << 22  # values that are turned to float64 at once


class Maker(Protocol):
    """Who makes networks and targets (see ``target_cache.Shared``); ``agreements`` remembers networks that were
    judged."""

    agreements: dict[Encoder, float]

    def encoder(self, job: Job) -> Encoder: ...
    def problem(self, job: Job, scale: Scale) -> ScaleObjective: ...


def settle(job: Job, shared: Maker, apart: Maker, *, decided: bool) -> tuple[Job, ScaleObjective | None]:
    """Return the job in a precision that can be trusted, and the problem of its first scale if that was made.

    Args:
        job: made ready.
        shared: makes and keeps networks and targets.
        apart: makes the network in float32, which is thrown away with it.
        decided: an earlier run has decided the precision.
    """
    if decided or job.options.machine.precision != "auto" or job.place.dtype != torch.bfloat16:
        return job, None
    encoder, scale, problem = shared.encoder(job), _judged(job.scales[0]), None
    whole = replace(job, place=replace(job.place, dtype=torch.float32))
    if encoder not in shared.agreements:
        problem = shared.problem(job, scale)
        weights = job.knobs().weights(problem.normalizers, scale.content_factor)
        tile, seed = job.options_at(scale).machine.tile, job.options.descent.seed
        found = agreement(problem, apart.encoder(whole), weights, tile=tile, seed=seed)
        shared.agreements[encoder] = job.group.broadcast(found) or 0.0  # all take the first process's
    cosine = shared.agreements[encoder]
    if cosine >= LEAST_COSINE:
        return job, problem if scale == job.scales[0] else None
    note = f"bfloat16 gives another gradient than float32 here (cosine {cosine:.2f}): the run uses float32"
    return replace(whole, notes=[*job.notes, note]), None


def _judged(scale: Scale) -> Scale:
    """Return the scale to compare at: a poster of one scale has no room for float32, nor the time."""
    factor = JUDGED_SIDE / max(scale.height, scale.width)
    if factor >= 1:
        return scale
    height, width = (max(SMALLEST_SIDE, round(side * factor)) for side in (scale.height, scale.width))
    return replace(scale, height=height, width=width)


def agreement(
    problem: ScaleObjective, full: Encoder, weights: Mapping[str, float], *, tile: int | None, seed: int
) -> float:
    """Return the cosine between the gradients of a problem in its own precision and in that of another network.

    Args:
        problem: with the network to be judged.
        full: the same network in float32.
        weights: by term.
        tile: side of a tile in px, as the problem has it.
        seed: of the noise.

    Returns:
        From -1 to 1; 0 where either gradient is nothing or not a number.
    """
    own = problem.objective
    canvas = style_noise(problem.noise, (own.height, own.width), torch.Generator().manual_seed(seed))
    canvas.add_(problem.content).div_(2)
    canvas = own.shard.cut(canvas)
    other = Objective(full, own.terms, own.height, own.width, tile=tile, view=own.view, shard=own.shard)
    half, whole = (each.evaluate(canvas, weights).gradient.flatten() for each in (own, other))
    starts = range(0, len(half), PIECE)
    inner = [_inner(half[start : start + PIECE], whole[start : start + PIECE]) for start in starts]
    product, one, another = own.shard.group.all_reduce_scalars(*(sum(part) for part in zip(*inner, strict=True)))
    length = math.sqrt(one * another)
    cosine = product / length if length > 0 else 0.0
    return cosine if abs(cosine) < 2 else 0.0  # not a number is not below anything


def _inner(half: Tensor, whole: Tensor) -> tuple[float, float, float]:
    """Return the inner products of a piece of both, of the one with itself and of the other with itself."""
    half, whole = half.double(), whole.double()
    return float(half @ whole), float(half @ half), float(whole @ whole)
