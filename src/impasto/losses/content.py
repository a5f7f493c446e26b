"""Content as the features of a middle layer.

The loss is the mean squared difference between the features of the canvas and of the content image, weighted by layer.
Gatys, Ecker & Bethge, CVPR 2016, equation 1. Difference from the paper: a mean instead of half a sum, so that the size
of the image does not matter; ``half_sum`` computes the paper's value. 0 means equal features; the loss has no
invariances beyond those of the features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import Features, Maps, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride


class ContentLoss:
    """Squared difference of features from the content's.

    Args:
        target: the content's features by layer, ``[1, C, H/s, W/s]``, any floating dtype.
        weights: weight by layer; the layers are its keys.
        mask: weight of each position by layer, ``[1, 1, H/s, W/s]``; by default all ones.
        half_sum: compute half the sum of squares, as in the paper, instead of the mean.
    """

    halo_px = 0
    refresh_every: int | None = None

    def __init__(
        self, target: Features, weights: Mapping[str, float], *, mask: Maps | None = None, half_sum: bool = False
    ) -> None:
        self.layers = tuple(weights)
        self._target = {layer: target[layer].detach() for layer in self.layers}
        self._mask = mask
        self._factors = []
        for layer, weight in weights.items():
            positions = float(mask[layer].sum()) if mask else target[layer].shape[-2] * target[layer].shape[-1]
            self._factors.append(weight / 2 if half_sum else weight / max(positions * target[layer].shape[1], 1.0))

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum of squared differences of each layer, ``[L]``."""
        sums = []
        for layer in self.layers:
            step = stride(layer)
            own, target = window.crop_tile(features[layer], step), window.crop_full(self._target[layer], step)
            if self._mask is None:
                sums.append((at_least_float32(own) - at_least_float32(target)).square().sum())
                continue
            # Only positions inside the mask are touched, so that many regions cost what the image costs.
            weights = window.crop_full(self._mask[layer], step).flatten()
            index = weights.nonzero()[:, 0]
            own, target = (at_least_float32(_rows(part).index_select(0, index)) for part in (own, target))
            sums.append(((own - target) * weights[index].sqrt().to(own.dtype)[:, None]).square().sum())
        return torch.stack(sums)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted mean over layers' positions and channels."""
        return (summary * summary.new_tensor(self._factors)).sum()


def _rows(part: Tensor) -> Tensor:
    """Return ``[1, C, h, w]`` as ``[h * w, C]``, a view where the channels come last in memory."""
    return part.permute(0, 2, 3, 1).reshape(-1, part.shape[1])
