"""Check that bfloat16 is accurate enough for a run: compare one gradient in bfloat16 with the same one in float32.

A prepared run whose network runs in bfloat16 by default is returned unchanged, or in float32 with a note that says why.
The gradients are compared once, at the coarsest scale, where that costs the least: one evaluation in float32 there
takes 1 to 3% of a run; at every scale it would take about 10%.

They are computed at the mean of the content and noise in the style's colors, where no term vanishes. The losses, their
targets and the rounded weights are the same in both, so only the arithmetic differs. A single scale of more than 512 px
is compared at that size.
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

# Where bfloat16 works the cosine is above 0.99 (docs/performance.md); where it is computed incorrectly, far below.
MIN_COSINE = 0.9
COMPARISON_SIDE = 512  # px; a larger coarsest scale is compared at this long side
PIECE = 1 << 22  # values converted to float64 at once


class TargetProvider(Protocol):
    """Builds networks and targets (see ``target_cache.TargetCache``); ``bf16_cosine`` caches the results of the
    comparison."""

    bf16_cosine: dict[Encoder, float]

    def encoder(self, prepared: PreparedRun) -> Encoder: ...
    def scale_objective(self, prepared: PreparedRun, scale: Scale) -> ScaleObjective: ...


def choose_precision(
    prepared: PreparedRun, cache: TargetProvider, *, decided: bool
) -> tuple[PreparedRun, ScaleObjective | None]:
    """Return the run in a precision that is accurate enough, and the objective of its first scale if it was built.

    Args:
        prepared: the prepared run.
        cache: builds and caches networks and targets.
        decided: whether an earlier run has decided the precision.
    """
    if decided or prepared.options.machine.precision != "auto" or prepared.compute.dtype != torch.bfloat16:
        return prepared, None
    if not prepared.tensors.regions:  # no gradient to compare
        return prepared, None
    encoder, scale, scale_objective = cache.encoder(prepared), _scale_to_compare(prepared.scales[0]), None
    if encoder not in cache.bf16_cosine:
        scale_objective = cache.scale_objective(prepared, scale)
        weights = prepared.initial_weights().weights(scale_objective.normalizers, scale.content_factor)
        tile, seed = prepared.options_at(scale).machine.tile, prepared.options.optimization.seed
        found = agreement(scale_objective, encoder.to_float32(), weights, tile=tile, seed=seed)
        cache.bf16_cosine[encoder] = prepared.group.broadcast(found) or 0.0  # all take the first process's
    cosine = cache.bf16_cosine[encoder]
    if cosine >= MIN_COSINE:
        return prepared, scale_objective if scale == prepared.scales[0] else None
    note = f"bfloat16 gives a different gradient than float32 here (cosine {cosine:.2f}): the run uses float32"
    return in_float32(prepared, note), None


def _scale_to_compare(scale: Scale) -> Scale:
    """Return the scale to compare at; a large single scale is reduced, since float32 there takes too much memory and
    time."""
    factor = COMPARISON_SIDE / max(scale.height, scale.width)
    if factor >= 1:
        return scale
    height, width = (max(SMALLEST_SIDE, round(side * factor)) for side in (scale.height, scale.width))
    return replace(scale, height=height, width=width)


def agreement(
    scale_objective: ScaleObjective, full: Encoder, weights: Mapping[str, float], *, tile: int | None, seed: int
) -> float:
    """Return the cosine between an objective's gradients with two encoders of different precision.

    Args:
        scale_objective: an objective with the encoder to check.
        full: the same encoder in float32.
        weights: weight of each term.
        tile: side of a tile in px, as in ``scale_objective``.
        seed: seed of the noise.

    Returns:
        From -1 to 1; 1 if both gradients are zero, 0 if one of them is, or if one is not finite.
    """
    own = scale_objective.objective
    canvas = style_noise(scale_objective.noise, (own.height, own.width), torch.Generator().manual_seed(seed))
    canvas.add_(scale_objective.content).div_(2)
    canvas = own.shard.cut(canvas)
    other = Objective(full, own.terms, own.height, own.width, tile=tile, view=own.view, shard=own.shard)
    half, whole = (each.evaluate(canvas, weights).gradient.flatten() for each in (own, other))
    starts = range(0, len(half), PIECE)
    inner = [_inner(half[start : start + PIECE], whole[start : start + PIECE]) for start in starts]
    product, one, another = own.shard.group.all_reduce_scalars(*(sum(part) for part in zip(*inner, strict=True)))
    if one == 0 and another == 0:
        return 1.0
    length = math.sqrt(one * another)
    cosine = product / length if length > 0 else 0.0
    return cosine if abs(cosine) < 2 else 0.0  # not a number is not below anything


def _inner(half: Tensor, whole: Tensor) -> tuple[float, float, float]:
    """Return the dot products of paired slices: of both, of the first with itself, and of the second with itself."""
    half, whole = half.double(), whole.double()
    return float(half @ whole), float(half @ half), float(whole @ whole)
