"""Style as Gram matrices: which features occur together, regardless of position.

The loss is the squared distance between the Gram matrices of the canvas and of the style image, weighted by layer.
Gatys, Ecker & Bethge, CVPR 2016, equations 3 to 5: E_l = sum (G - A)^2 / (4 C^2 N^2). Differences from the paper: each
Gram matrix is divided by its own number of positions, so the style and the canvas may differ in size; in addition to
the paper's normalization there are that of neural-style-pt (mean squared difference of F F^T / (C N)) and a relative
one, sum (G - A)^2 / sum A^2, which is dimensionless. 0 means equal Gram matrices; any rearrangement of positions leaves
it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from impasto.losses.summaries.layout import SummaryLayout
from impasto.losses.summaries.moment_sums import mean_of_pieces
from impasto.losses.summaries.protocol import Features, Maps, at_least_float32
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

Normalization = Literal["gatys", "neural-style", "relative"]


def gram_matrix(features: Tensor) -> Tensor:
    """Return the channel-by-channel inner products of a feature map.

    Args:
        features: ``[B, C, H, W]``, any floating dtype.

    Returns:
        ``[B, C, C]`` float32 (float64 for float64), unchanged by any rearrangement of positions.
    """
    flat = at_least_float32(features.flatten(2))  # [B, C, H*W]
    return flat @ flat.transpose(1, 2)


class GramLoss:
    """Squared distance of the canvas's Gram matrices from the style's.

    Args:
        target: features and masks of the style, or its ``gram_targets`` as ``statistics``; size and mask of the canvas.
        normalization: how a layer's sum of squared differences is divided.
    """

    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, target: StyleTarget, *, normalization: Normalization = "gatys") -> None:
        self.layers = target.layers
        grams = target.statistics or gram_targets(target.style, target.style_mask)
        self._targets = {layer: grams[layer].detach() for layer in self.layers}
        self._mask, self._positions = target.mask, target.positions
        self._factors = {layer: target.weights[layer] * self._factor(layer, normalization) for layer in self.layers}
        self._layout = SummaryLayout({layer: (len(gram), len(gram)) for layer, gram in self._targets.items()})

    def _factor(self, layer: str, normalization: Normalization) -> float:
        count = len(self._targets[layer])
        if normalization == "gatys":
            return 1 / (4 * count**2)
        if normalization == "neural-style":
            return 1 / count**4
        return 1 / max(float(self._targets[layer].square().sum()), 1e-12)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the Gram matrices of the layers, flattened and joined, ``[sum of C^2]``."""
        grams = []
        for layer in self.layers:
            owned = window.crop_tile(features[layer], stride(layer))
            if self._mask is not None:
                owned = owned * window.crop_full(self._mask[layer], stride(layer)).sqrt()
            grams.append(gram_matrix(owned).flatten())
        return torch.cat(grams)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the normalized squared distance."""
        total = summary.new_zeros(())
        for layer, gram in self._layout.split(summary):
            difference = gram / self._positions[layer] - self._targets[layer].to(gram.dtype)
            total = total + self._factors[layer] * difference.square().sum()
        return total


def gram_targets(features: Features, mask: Maps | None = None) -> dict[str, Tensor]:
    """Return a style's Gram matrices, each divided by its number of positions (or its mask's weight).

    Args:
        features: the style's features by layer, ``[1, C, h, w]``.
        mask: weight of each position by layer, ``[1, 1, h, w]``.
    """
    return summed_grams([(features, mask)])


def summed_grams(pieces: Iterable[tuple[Features, Maps | None]]) -> dict[str, Tensor]:
    """Return the result of ``gram_targets`` for a style whose features and masks come in pieces."""
    return mean_of_pieces(pieces, _sums)


def _sums(feature: Tensor, mask: Tensor | None) -> Tensor:
    return gram_matrix(feature if mask is None else feature * mask.sqrt())[0]
