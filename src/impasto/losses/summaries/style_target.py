"""What losses on statistics start from: a style's features, the canvas's size, and what counts of both.

In: features and masks as they come. Out: per layer, the style's vectors with their weights, and how many positions
the canvas has or how much they weigh. A loss takes one of these instead of six arguments, and keeps it.
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
    """A style and a canvas that is to be compared with it.

    Args:
        style: the style's features by layer, ``[1, C, h, w]``.
        weights: weight by layer; the layers are its keys.
        height, width: of the canvas in px.
        mask: weight of each of the canvas's positions by layer, ``[1, 1, H/s, W/s]``; all ones if absent.
        style_mask: likewise for the style.
    """

    style: Features
    weights: Mapping[str, float]
    height: int
    width: int
    mask: Maps | None = None
    style_mask: Maps | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers compared."""
        return tuple(self.weights)

    @property
    def positions(self) -> dict[str, float]:
        """How many positions the canvas has in each layer, or how much its mask weighs there."""
        return positions(self.layers, self.height, self.width, self.mask)

    def shape(self, layer: str) -> tuple[int, int]:
        """Return the rows and columns of the canvas's map of a layer."""
        return self.height // stride(layer), self.width // stride(layer)

    def cells(self, layer: str) -> int:
        """Return how many positions the canvas has in a layer, whatever its mask."""
        rows, columns = self.shape(layer)
        return rows * columns

    def vectors(self, layer: str) -> Tensor:
        """Return the style's features of a layer as vectors ``[n, C]``, without gradient, in their own dtype."""
        return self.style[layer][0].detach().flatten(1).T

    def weighted(self, layer: str) -> tuple[Tensor, Tensor | None, float]:
        """Return the style's vectors in float64, their weights ``[n, 1]`` or None, and what these sum to."""
        vectors = self.vectors(layer).double()
        if self.style_mask is None:
            return vectors, None, float(len(vectors))
        share = self.style_mask[layer].reshape(-1, 1).to(vectors)
        return vectors, share, max(float(share.sum()), 1e-12)

    def mask_of(self, layer: str) -> Tensor | None:
        """Return the canvas's mask at a layer."""
        return None if self.mask is None else self.mask[layer]

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
