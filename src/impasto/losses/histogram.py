"""Style as the histogram of every channel: features are pulled toward their histogram-matched values.

The loss is the mean of ``(F - R(F))^2``, where R maps each channel so that its histogram becomes that of the style,
weighted by layer. Risser, Wilmot & Barnes, arXiv 1701.08893, section 4.2, where it is added to a Gram loss to prevent
unstable contrast. Differences from the paper: R is a piecewise linear map between 1024 quantiles of each image (of at
most 16384 positions) instead of 256 bins; the targets stay fixed between two refreshes instead of being recomputed at
each step; values that occur many times, such as the zeros of a ReLU, are mapped to the middle of their quantiles. 0
means equal histograms at the last refresh, which does not depend on the order of positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import Features, Sweep, at_least_float32
from impasto.losses.summaries.sampling import (
    gather,
    indices_from_fractions,
    owned,
    scatter,
    stratified_samples,
    tile_weights,
)
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

QUANTILES = 1024
SAMPLES = 16384


class HistogramLoss:
    """Squared distance from the histogram-matched features.

    Args:
        target: features and masks of the style, and the size and mask of the canvas.
        samples: maximum number of positions per layer from which quantiles are computed.

    Until ``refresh`` is called, the targets are 0, since they depend on the canvas.
    """

    halo_px = 0
    refresh_every: int | None = 5

    def __init__(
        self,
        target: StyleTarget,
        *,
        samples: int = SAMPLES,
    ) -> None:
        self.layers = target.layers
        self._weights, self._mask, self._positions = target.weights, target.mask, target.positions
        self._shapes = {layer: target.shape(layer) for layer in self.layers}
        self._channels = {layer: target.style[layer].shape[1] for layer in self.layers}
        self._samples = samples
        self._quantiles, self._targets = {}, {}
        for layer in self.layers:
            vectors = at_least_float32(target.vectors(layer))
            chosen = self._chosen(len(vectors), target.style_mask_of(layer))
            self._quantiles[layer] = quantiles(vectors[chosen.to(vectors.device)])
            self._targets[layer] = target.style[layer].new_zeros(1, self._channels[layer], *self._shapes[layer])

    def _chosen(self, cells: int, mask: Tensor | None) -> Tensor:
        return indices_from_fractions(
            stratified_samples(min(self._samples, cells), torch.Generator().manual_seed(0)), cells, mask
        )

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Match the histograms of the current canvas, and store the mapped features as targets."""
        tables = self._tables(sweep)
        targets: dict[str, Tensor] = {}
        for _, features, window in sweep():
            for layer in self.layers:
                part = features[layer]
                if layer not in targets:
                    targets[layer] = part.new_zeros(1, self._channels[layer], *self._shapes[layer])
                cut = at_least_float32(window.crop_tile(part, stride(layer)))
                mapped = remap(cut[0].flatten(1).T, tables[layer], self._quantiles[layer].to(cut)).T.reshape(cut.shape)
                window.crop_full(targets[layer], stride(layer)).copy_(mapped)
        self._targets = targets

    def _tables(self, sweep: Sweep) -> dict[str, Tensor]:
        chosen = {}
        for layer in self.layers:
            mask = None if self._mask is None else self._mask[layer]
            chosen[layer] = self._chosen(self._shapes[layer][0] * self._shapes[layer][1], mask)
        drawn: dict[str, Tensor] = {}
        for _, features, window in sweep():
            for layer in self.layers:
                part = scatter(*gather(features[layer], layer, window, chosen[layer]), len(chosen[layer]))
                drawn[layer] = drawn[layer] + part if layer in drawn else part
        return {layer: quantiles(vectors) for layer, vectors in drawn.items()}

    def state(self) -> dict[str, Tensor]:
        """Return the targets by layer."""
        return dict(self._targets)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._targets = dict(state)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sum of squared differences, ``[L]``."""
        sums = []
        for layer in self.layers:
            vectors = owned(features[layer], layer, window)
            target = window.crop_full(self._targets[layer], stride(layer))[0].flatten(1).T.to(vectors)
            squares = (vectors - target).square().sum(1, keepdim=True)
            weights = tile_weights(self._mask, layer, window)
            sums.append((squares if weights is None else squares * weights).sum())
        return torch.stack(sums)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the mean squared difference."""
        factors = [self._weights[layer] / (self._positions[layer] * self._channels[layer]) for layer in self.layers]
        return (summary * summary.new_tensor(factors)).sum()


def quantiles(vectors: Tensor, count: int = QUANTILES) -> Tensor:
    """Return evenly spaced quantiles of every column of ``[n, C]``, ascending, ``[count, C]``."""
    ordered = vectors.sort(0).values
    place = torch.linspace(0, len(vectors) - 1, count, dtype=torch.float64, device=vectors.device)
    low = place.floor().long()
    part = (place - low)[:, None].to(vectors)
    return ordered[low] * (1 - part) + ordered[(low + 1).clamp_max(len(vectors) - 1)] * part


def remap(vectors: Tensor, table: Tensor, target: Tensor) -> Tensor:
    """Map each value from its position among its column's quantiles to the same position among the target quantiles.

    Args:
        vectors: ``[n, C]``.
        table: the quantiles of the vectors' own distribution, ``[Q, C]``.
        target: the target quantiles, ``[Q, C]``.

    Returns:
        ``[n, C]``.
    """
    columns = vectors.T.contiguous()  # [C, n]
    knots, wanted = table.T.contiguous(), target.T.contiguous()  # [C, Q]
    last = knots.shape[1] - 1
    left = (torch.searchsorted(knots, columns, right=True) - 1).clamp(0, last)
    first = torch.searchsorted(knots, columns).clamp(0, last)
    low, high = knots.gather(1, left), knots.gather(1, (left + 1).clamp_max(last))
    part = ((columns - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    between = wanted.gather(1, left).lerp(wanted.gather(1, (left + 1).clamp_max(last)), part)
    # A value that equals several quantiles is mapped to the middle of them.
    middle = wanted.gather(1, (first + left) // 2).lerp(wanted.gather(1, (first + left + 1) // 2), 0.5)
    return torch.where(first < left, middle, between).T
