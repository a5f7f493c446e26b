"""Whether half precision can be trusted here: one gradient in bfloat16 against the same one in float32.

In: a run made ready, whose network runs in bfloat16 because nobody asked for anything else. Out: the same, or one in
float32 with a note that says why. The gradients are compared once, at the coarsest scale, where that costs the least:
one evaluation in float32 there takes 1 to 3 % of a run, at every scale it would take some 10 %.

The picture is half way between the content and noise of the style's colors, where no term vanishes. The losses,
their targets and the rounded weights are the same in both, so that only the arithmetic differs. A single scale
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
from impasto.run.prepared_run import PreparedRun, in_float32

# Where bfloat16 works the cosine is above 0.99 (docs/performance.md); a machine that gets it wrong is far below.
LEAST_COSINE = 0.9
JUDGED_SIDE = 512  # px; a coarsest scale that is larger is judged at this long side
PIECE = 1 << 22  # values that are turned to float64 at once


class TargetProvider(Protocol):
    """Who makes networks and targets (see ``target_cache.TargetCache``); ``bf16_cosine`` remembers networks that were
    judged."""

    bf16_cosine: dict[Encoder, float]

    def encoder(self, prepared: PreparedRun) -> Encoder: ...
    def problem(self, prepared: PreparedRun, scale: Scale) -> ScaleObjective: ...


def choose_precision(
    prepared: PreparedRun, cache: TargetProvider, *, decided: bool
) -> tuple[PreparedRun, ScaleObjective | None]:
    """Return the prepared run in a precision that can be trusted, and the problem of its first scale if that was made.

    Args:
        prepared: made ready.
        cache: makes and keeps networks and targets.
        decided: an earlier run has decided the precision.
    """
    if decided or prepared.options.machine.precision != "auto" or prepared.compute.dtype != torch.bfloat16:
        return prepared, None
    encoder, scale, problem = cache.encoder(prepared), _judged(prepared.scales[0]), None
    if encoder not in cache.bf16_cosine:
        problem = cache.problem(prepared, scale)
        weights = prepared.initial_weights().weights(problem.normalizers, scale.content_factor)
        tile, seed = prepared.options_at(scale).machine.tile, prepared.options.optimization.seed
        found = agreement(problem, encoder.to_float32(), weights, tile=tile, seed=seed)
        cache.bf16_cosine[encoder] = prepared.group.broadcast(found) or 0.0  # all take the first process's
    cosine = cache.bf16_cosine[encoder]
    if cosine >= LEAST_COSINE:
        return prepared, problem if scale == prepared.scales[0] else None
    note = f"bfloat16 gives a different gradient than float32 here (cosine {cosine:.2f}): the run uses float32"
    return in_float32(prepared, note), None


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
