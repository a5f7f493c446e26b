"""Style as Gaussians: the Wasserstein distance between the feature distributions of the canvas and the style.

The loss is, for each layer, ``(|mu - mu_t|^2 + tr(S + S_t - 2 (S_t^1/2 S S_t^1/2)^1/2)) / C``, the squared
2-Wasserstein distance of two Gaussians (Dowson & Landau, J. Multivariate Analysis 1982), weighted by layer, after
crowsonkb/style-transfer-pytorch. Differences from that program: the root comes from an eigendecomposition in float64 of
``R S R'`` with ``R' R = S_t`` and R as small as the style's rank allows, instead of Newton-Schulz iterations; a layer
with fewer positions than channels takes the small dual over positions, which has the same eigenvalues; instead of
adding 1e-4 to both diagonals, roots are smoothed near zero by 1e-4 of the style's mean variance. 0 (up to that
smoothing) means equal means and covariances; any rearrangement of positions leaves it unchanged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.layout import SummaryLayout
from impasto.losses.summaries.protocol import Features
from impasto.losses.summaries.sampling import owned, tile_weights
from impasto.losses.summaries.style_target import StyleTarget, moments
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

SMOOTHING = 1e-4
RANK_TOLERANCE = 1e-10


class _TraceOfRoot(torch.autograd.Function):
    """The trace of a positive semidefinite matrix's square root, each root smoothed to ``sqrt(x + d^2) - d``."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, smoothing: float) -> Tensor:
        symmetric = matrix.double()
        values, vectors = torch.linalg.eigh((symmetric + symmetric.T) / 2)
        roots = (values.clamp_min(0) + smoothing**2).sqrt()
        ctx.save_for_backward(roots, vectors)
        ctx.dtype = matrix.dtype
        trace: Tensor = (roots - smoothing).sum().to(matrix.dtype)
        return trace

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        roots, vectors = ctx.saved_tensors
        slope = (vectors * (0.5 / roots)) @ vectors.T
        return (slopes[0].double() * slope).to(ctx.dtype), None


def trace_of_root(matrix: Tensor, smoothing: float) -> Tensor:
    """Return the trace of a positive semidefinite matrix's square root, with a gradient that stays bounded.

    Args:
        matrix: ``[n, n]``.
        smoothing: d > 0; each root is ``sqrt(x + d^2) - d``.
    """
    result: Tensor = _TraceOfRoot.apply(matrix, smoothing)  # type: ignore[no-untyped-call]
    return result


def factor(covariance: Tensor) -> Tensor:
    """Return R ``[r, C]`` with ``R' R`` the covariance and r its rank (at least 1)."""
    values, vectors = torch.linalg.eigh(covariance.double())
    kept = values > RANK_TOLERANCE * values[-1].clamp_min(1e-300)
    kept[-1] = True
    root: Tensor = values[kept].clamp_min(0).sqrt()[:, None] * vectors[:, kept].T
    return root


class WassersteinLoss:
    """Squared 2-Wasserstein distance of Gaussians, layer by layer.

    Args:
        target: features and masks of the style, and the size and mask of the canvas.
    """

    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, target: StyleTarget) -> None:
        self.layers = target.layers
        self._weights, self._mask, self._positions = target.weights, target.mask, target.positions
        self._cells = {layer: target.cells(layer) for layer in self.layers}
        self._means, self._factors, self._smoothing, self._channels = {}, {}, {}, {}
        for layer in self.layers:
            vectors, share, count = target.weighted(layer)
            first, second = moments(vectors, share)
            mean = first / count
            covariance = second / count - torch.outer(mean, mean)
            self._means[layer], self._factors[layer] = mean, factor(covariance)
            self._channels[layer] = len(mean)
            self._smoothing[layer] = max(SMOOTHING * float(covariance.trace()) / len(mean), 1e-12)
        self._layout = SummaryLayout(
            {
                layer: (self._cells[layer] if self.is_dual(layer) else count + 1, count)
                for layer, count in self._channels.items()
            }
        )

    def is_dual(self, layer: str) -> bool:
        """Whether a layer has so few positions that all of them are summarized instead of their moments."""
        return self._cells[layer] < self._channels[layer]

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sums of F and F F', or its positions where they are few, flattened and joined."""
        parts = []
        for layer in self.layers:
            vectors = owned(features[layer], layer, window)
            weights = tile_weights(self._mask, layer, window)
            if self.is_dual(layer):
                parts.append(self._placed(vectors if weights is None else vectors * weights.sqrt(), layer, window))
            else:
                parts.extend(part.flatten() for part in moments(vectors, weights))
        return torch.cat(parts)

    def _placed(self, vectors: Tensor, layer: str, window: TileWindow) -> Tensor:
        """Put a tile's vectors among zeros at their places in the whole image, flattened."""
        if window.is_whole:
            return vectors.flatten()
        step = stride(layer)
        (top, bottom), (left, right) = window.rows(step), window.columns(step)
        whole = vectors.new_zeros(window.height // step, window.width // step, vectors.shape[1])
        padded = vectors.view(bottom - top, right - left, -1)
        rest = (0, 0, left, whole.shape[1] - right, top, whole.shape[0] - bottom)
        return functional.pad(padded, rest).flatten()

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the squared distance."""
        total = summary.new_zeros(())
        for layer, part in self._layout.split(summary):
            distance = self._dual(part, layer) if self.is_dual(layer) else self._primal(part, layer)
            total = total + self._weights[layer] * distance / self._channels[layer]
        return total

    def _primal(self, part: Tensor, layer: str) -> Tensor:
        n = self._positions[layer]
        mean = part[0] / n
        # Differences of large numbers follow, and products of small ones: float64 for the C x C part.
        second = (part[1:] / n).double()
        covariance = second - torch.outer(mean.double(), mean.double())
        root = self._factors[layer]
        cross = trace_of_root(root @ covariance @ root.T, self._smoothing[layer])
        return self._combined(mean, covariance.trace(), cross, layer).to(part.dtype)

    def _dual(self, part: Tensor, layer: str) -> Tensor:
        placed = part.double()
        n = self._positions[layer]
        roots = None if self._mask is None else self._mask[layer].reshape(-1, 1).double().sqrt()
        mean = (placed if roots is None else placed * roots).sum(0) / n
        centered = placed - (mean if roots is None else roots * mean)
        projected = centered @ self._factors[layer].T  # [N, r]
        cross = trace_of_root(projected @ projected.T / n, self._smoothing[layer])
        return self._combined(mean, centered.square().sum() / n, cross, layer).to(part.dtype)

    def _combined(self, mean: Tensor, trace: Tensor, cross: Tensor, layer: str) -> Tensor:
        away = (mean.double() - self._means[layer]).square().sum()
        return away + trace + self._factors[layer].square().sum() - 2 * cross
