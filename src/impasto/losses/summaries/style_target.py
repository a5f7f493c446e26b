"""The first argument of every style loss: the style's features and masks, and the canvas's size and mask.

By layer, it has the style's vectors with their weights, and the number of positions of the canvas, or the sum of their
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from impasto.losses.summaries.protocol import Features, Maps
from impasto.losses.summaries.sampling import positions
from impasto.options.layer_names import stride


@dataclass(frozen=True, eq=False)
class StyleTarget:
    """A style, and the canvas that is compared with it.

    Args:
        style: the style's features by layer, ``[1, C, h, w]``.
        weights: weight by layer; the layers are its keys.
        height, width: of the canvas in px.
        mask: weight of each of the canvas's positions by layer, ``[1, 1, H/s, W/s]``; by default all ones.
        style_mask: weight of each of the style's positions by layer, ``[1, 1, h, w]``; by default all ones.
        picture: the style, ``[1, 3, h, w]``, for losses that compare its pixels.
        statistics: statistics of the style by layer, for losses that support mixing them (``MomentsLoss``,
            ``GramLoss``): they then stand for the style, and ``style`` may be empty.
    """

    style: Features
    weights: Mapping[str, float]
    height: int
    width: int
    mask: Maps | None = None
    style_mask: Maps | None = None
    picture: Tensor | None = None
    statistics: Mapping[str, Tensor] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers compared."""
        return tuple(self.weights)

    @property
    def positions(self) -> dict[str, float]:
        """Number of positions of the canvas by layer, or the sum of its mask."""
        return positions(self.layers, self.height, self.width, self.mask)

    def shape(self, layer: str) -> tuple[int, int]:
        """Return the rows and columns of the canvas's map of a layer."""
        return self.height // stride(layer), self.width // stride(layer)

    def cells(self, layer: str) -> int:
        """Return the number of positions of the canvas in a layer, regardless of its mask."""
        rows, columns = self.shape(layer)
        return rows * columns

    def vectors(self, layer: str) -> Tensor:
        """Return the style's features of a layer as vectors ``[n, C]``, without gradient, in their own dtype."""
        return self.style[layer][0].detach().flatten(1).T

    def weighted(self, layer: str) -> tuple[Tensor, Tensor | None, float]:
        """Return the style's vectors in float64, their weights ``[n, 1]`` or None, and the sum of the weights."""
        vectors = self.vectors(layer).double()
        if self.style_mask is None:
            return vectors, None, float(len(vectors))
        share = self.style_mask[layer].reshape(-1, 1).to(vectors)
        return vectors, share, max(float(share.sum()), 1e-12)

    def mask_of(self, layer: str) -> Tensor | None:
        """Return the canvas's mask at a layer."""
        return None if self.mask is None else self.mask[layer]

    def rotated_style_mask(self, quarters: int) -> Maps | None:
        """Return the style's mask, rotated counterclockwise by a number of quarter turns."""
        if self.style_mask is None:
            return None
        return {layer: mask.rot90(quarters, (2, 3)) for layer, mask in self.style_mask.items()}

    def style_mask_of(self, layer: str) -> Tensor | None:
        """Return the style's mask at a layer."""
        return None if self.style_mask is None else self.style_mask[layer]


def moments(vectors: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the sums ``[C]`` of vectors and ``[C, C]`` of their outer products.

    Args:
        vectors: ``[n, C]``.
        weights: of each, ``[n, 1]``.
    """
    weighted = vectors if weights is None else vectors * weights
    return weighted.sum(0), weighted.T @ vectors
