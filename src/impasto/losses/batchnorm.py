"""Style as the mean and standard deviation of each channel, the statistics of batch normalization.

The loss is, for each layer, the mean over channels of ``(mu - mu_t)^2 + (sigma - sigma_t)^2``, weighted by layer. Li,
Wang, Liu & Hou, IJCAI 2017, equation 13, who find that it captures most of what the Gram matrix does. Difference from
the paper: standard deviations are ``sqrt(variance + 1e-6 of the style's mean variance)``, whose gradient is bounded
where a channel is constant. 0 means equal statistics; any rearrangement of positions leaves it unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.losses.summaries.layout import SummaryLayout
from impasto.losses.summaries.protocol import Features
from impasto.losses.summaries.sampling import owned, tile_weights
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow

SMOOTHING = 1e-6


class BatchNormLoss:
    """Squared distance of channel means and deviations.

    Args:
        target: features and masks of the style, and the size and mask of the canvas.
    """

    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, target: StyleTarget) -> None:
        self.layers = target.layers
        self._weights, self._mask, self._positions = target.weights, target.mask, target.positions
        self._means, self._deviations, self._smoothing = {}, {}, {}
        for layer in self.layers:
            vectors, weights, total = target.weighted(layer)
            share = torch.full_like(vectors[:, :1], 1 / total) if weights is None else weights / total
            mean = (share * vectors).sum(0)
            variance = (share * (vectors - mean).square()).sum(0)
            self._smoothing[layer] = max(SMOOTHING * float(variance.mean()), 1e-12)
            self._means[layer] = mean
            self._deviations[layer] = (variance + self._smoothing[layer]).sqrt()
        self._layout = SummaryLayout({layer: (2, len(mean)) for layer, mean in self._means.items()})

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sums of F and of F squared, joined, ``[sum of 2 C]``."""
        parts = []
        for layer in self.layers:
            vectors = owned(features[layer], layer, window)
            weights = tile_weights(self._mask, layer, window)
            weighted = vectors if weights is None else vectors * weights
            parts += [weighted.sum(0), (weighted * vectors).sum(0)]
        return torch.cat(parts)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the mean squared distance."""
        total = summary.new_zeros(())
        for layer, part in self._layout.split(summary):
            mean, square = part.double() / self._positions[layer]
            deviation = ((square - mean.square()).clamp_min(0) + self._smoothing[layer]).sqrt()
            distance = (mean - self._means[layer]).square().mean()
            distance = distance + (deviation - self._deviations[layer]).square().mean()
            total = total + self._weights[layer] * distance.to(summary.dtype)
        return total
