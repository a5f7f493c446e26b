"""Match the statistics of features to those of other features, by an affine map over one layer's channels.

From the means ``[C]`` and covariances ``[C, C]`` of two sets of features, compute a matrix and an offset, so that
``matrix @ x + offset`` has the target's statistics and moves the features least: optimal transport between Gaussians,
the map of Olkin & Pukelsheim 1982, for style transfer Mroueh 2019. AdaIN (Huang & Belongie, ICCV 2017, equation 8)
matches mean and deviation of each channel alone. Difference from the paper: directions with hardly any variance are not
amplified beyond a floor, see ``VARIANCE_FLOOR``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import at_least_float32

# Relative to the mean variance over all directions; a direction with less is noise or absent.
VARIANCE_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean ``[C]`` and covariance ``[C, C]`` of features, float64."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True, eq=False)
class Affine:
    """``matrix @ x + offset`` over channels: ``[C, C]`` and ``[C]``, float64."""

    matrix: Tensor
    offset: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return features ``[1, C, H, W]`` mapped, in their own dtype."""
        matrix, offset = self.matrix.to(features), self.offset.to(features)
        flat = torch.baddbmm(offset[None, :, None], matrix[None], features.flatten(2))  # [1, C, H*W]
        return flat.view(features.shape)


def statistics(parts: Iterable[tuple[Tensor, Tensor | None]]) -> Statistics:
    """Return the statistics of features that come in parts.

    Args:
        parts: features ``[1, C, h, w]`` and the weight of each position, ``[1, 1, h, w]`` or None for equal weights.
    """
    total, first, second = 0.0, torch.zeros(()), torch.zeros(())
    for features, weight in parts:
        rows = at_least_float32(features[0].flatten(1))  # [C, N]
        if weight is None:
            total += rows.shape[1]
            weighted = rows
        else:
            share = weight.flatten().to(rows)
            total += float(share.sum())
            weighted = rows * share
        first = first.to(rows.device) + weighted.sum(1, dtype=torch.float64)
        second = second.to(rows.device) + (weighted @ rows.T).double()
    mean = first / max(total, 1e-12)
    return Statistics(mean, second / max(total, 1e-12) - mean[:, None] * mean[None, :])


def transport(source: Statistics, target: Statistics) -> Affine:
    """Reach the target's mean and covariance with the least movement."""
    root, inverse = _roots(source.covariance)
    inner, _ = _roots(root @ target.covariance @ root)
    matrix = inverse @ inner @ inverse
    return Affine(matrix, target.mean - matrix @ source.mean)


def blend(maps: Iterable[tuple[float, Affine]]) -> Affine:
    """Return the weighted sum of maps; weights that sum to one keep it a mixture."""
    parts = list(maps)
    return Affine(
        torch.stack([weight * one.matrix for weight, one in parts]).sum(0),
        torch.stack([weight * one.offset for weight, one in parts]).sum(0),
    )


def weaken(one: Affine, strength: float) -> Affine:
    """Interpolate a map between the identity (0) and itself (1)."""
    still = Affine(torch.eye(len(one.offset)).to(one.matrix), torch.zeros_like(one.offset))
    return blend([(strength, one), (1 - strength, still)])


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the symmetric square root and its inverse, bounded by the floor; the inverse is 0 without variance."""
    # In float32 it takes half the time, but at small images, whose covariance is mostly null, it may not converge.
    values, vectors = torch.linalg.eigh(((matrix + matrix.T) / 2).double())
    values = values.clamp(min=0)
    floor = VARIANCE_FLOOR * values.mean()
    root = values.sqrt()
    inverse = torch.where(values > 0, values.clamp(min=floor).clamp(min=1e-12).rsqrt(), 0.0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T
