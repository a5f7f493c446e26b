"""Style as means and covariances of features, each compared relative to that of the style.

The loss is, for each layer, ``|S - S_t|^2 / |S_t|^2 + |mu - mu_t|^2 / |mu_t|^2`` (Frobenius norms of covariances,
Euclidean norms of means), weighted by layer. Matching mean and covariance instead of the Gram matrix follows Li, Wang,
Liu & Hou, IJCAI 2017, who compare the two statistics; dividing by the norm of the style's is not from a paper: it gives
each layer the same influence for every network and style. A Gram matrix mixes the two statistics, and its error is
dominated by the mean; matching them separately reproduces colors more accurately and keeps strokes coherent. The
targets are raw moments, which mix linearly, so several styles can be blended. 0 means equal means and covariances; any
rearrangement of positions leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from impasto.losses.summaries.layout import SummaryLayout
from impasto.losses.summaries.masked_moments import masked_moment_sums
from impasto.losses.summaries.moment_sums import mean_of_pieces, moment_sums, owned_rows
from impasto.losses.summaries.protocol import Features, Maps, at_least_float32
from impasto.losses.summaries.sampling import tile_weights
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow

FLOOR = 1e-12


def raw_moments(features: Features, mask: Maps | None = None) -> dict[str, Tensor]:
    """Return ``[C + 1, C]`` by layer: the mean of the outer products, and below it the mean.

    Args:
        features: by layer, ``[1, C, h, w]``.
        mask: weight of each position by layer, ``[1, 1, h, w]``.
    """
    return summed_moments([(features, mask)])


def summed_moments(pieces: Iterable[tuple[Features, Maps | None]]) -> dict[str, Tensor]:
    """Return the result of ``raw_moments`` for an image whose features and masks come in pieces."""
    return mean_of_pieces(pieces, _of_features)


def _of_features(feature: Tensor, mask: Tensor | None) -> Tensor:
    rows = at_least_float32(feature[0].flatten(1).T)
    return _sums(rows, None if mask is None else mask.reshape(-1, 1))


def _sums(rows: Tensor, weights: Tensor | None) -> Tensor:
    """Return ``[C + 1, C]``: the weighted sum of the rows' outer products, and below it the weighted sum of the
    rows."""
    return moment_sums(rows) if weights is None else masked_moment_sums(rows, weights)


class MomentsLoss:
    """Relative squared distance of means and covariances, layer by layer.

    Args:
        target: features and masks of the style, or its ``raw_moments`` as ``statistics``; size and mask of the canvas.
    """

    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, target: StyleTarget) -> None:
        self.layers = target.layers
        self._weights, self._mask, self._positions = target.weights, target.mask, target.positions
        raw = target.statistics or raw_moments(target.style, target.style_mask)
        self._targets = {}
        for layer in self.layers:
            mean, covariance = _central(raw[layer].detach())
            sizes = mean.square().sum().clamp_min(FLOOR), covariance.square().sum().clamp_min(FLOOR)
            self._targets[layer] = (mean, covariance, *sizes)
        self._layout = SummaryLayout({layer: (len(t[0]) + 1, len(t[0])) for layer, t in self._targets.items()})

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sums of F F' and of F, flattened and joined."""
        parts = [
            _sums(owned_rows(features[layer], layer, window), tile_weights(self._mask, layer, window)).flatten()
            for layer in self.layers
        ]
        return torch.cat(parts)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the relative distances."""
        total = summary.new_zeros(())
        for layer, part in self._layout.split(summary):
            target_mean, target_covariance, mean_size, covariance_size = self._targets[layer]
            mean, covariance = _central(part / self._positions[layer])
            away = (mean - target_mean.to(part.dtype)).square().sum() / mean_size.to(part.dtype)
            shape = (covariance - target_covariance.to(part.dtype)).square().sum() / covariance_size.to(part.dtype)
            total = total + self._weights[layer] * (away + shape)
        return total


def _central(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean ``[C]`` and covariance ``[C, C]`` of raw moments ``[C + 1, C]``."""
    mean = raw[-1]
    return mean, raw[:-1] - torch.outer(mean, mean)
