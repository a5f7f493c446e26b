"""Style as a distribution of features, compared along random directions.

In: features of the canvas and of the style image. Out: for each layer the mean squared difference of sorted
projections onto random unit directions, weighted by layer: the sliced 2-Wasserstein distance. Heitz, Vanhoey,
Chambon & Belcour, CVPR 2021. Departures: 64 directions a layer instead of as many as channels; at most 16384
positions a layer, drawn anew with the directions (a 128 x 128 map is used whole); the same fractions of both
pictures are drawn, so pictures may differ in size and a mask is a probability. 0 means equal distributions; any
rearrangement of positions leaves it unchanged where all are used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.positions import gather, pick, positions, scatter, stratified
from impasto.losses.protocol import Features, Maps, Sweep, at_least_float32
from impasto.losses.region import Region

DIRECTIONS = 64
SAMPLES = 16384


class SlicedLoss:
    """Sliced 2-Wasserstein distance.

    Args:
        style: the style's features by layer, ``[1, C, h, w]``.
        weights: weight by layer; the layers are its keys.
        height, width: of the canvas in px.
        mask: weight of each of the canvas's positions by layer, ``[1, 1, H/s, W/s]``; all ones if absent.
        style_mask: likewise for the style.
        directions: how many in each layer.
        samples: most positions a layer.
        generator: draws the first directions and positions; a fixed seed if absent.
    """

    every = 10

    def __init__(
        self,
        style: Features,
        weights: Mapping[str, float],
        height: int,
        width: int,
        *,
        mask: Maps | None = None,
        style_mask: Maps | None = None,
        directions: int = DIRECTIONS,
        samples: int = SAMPLES,
        generator: torch.Generator | None = None,
    ) -> None:
        self.layers = tuple(weights)
        self._weights = dict(weights)
        self._style = {layer: style[layer].detach() for layer in self.layers}
        self._mask, self._style_mask = mask, style_mask
        cells = positions(self.layers, height, width)
        self._cells = {layer: int(cells[layer]) for layer in self.layers}
        self._counts = {layer: min(samples, self._cells[layer]) for layer in self.layers}
        self._directions = {layer: min(directions, style[layer].shape[1]) for layer in self.layers}
        self._draw(generator or torch.Generator().manual_seed(0))

    def _draw(self, generator: torch.Generator) -> None:
        state = {}
        for layer in self.layers:
            state[f"fractions {layer}"] = stratified(self._counts[layer], generator)
            size = self._style[layer].shape[1], self._directions[layer]
            axes = torch.randn(size, generator=generator, dtype=torch.float64)
            state[f"axes {layer}"] = axes / axes.norm(dim=0)
        self.load_state(state)

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Draw new directions and positions."""
        self._draw(generator)

    def state(self) -> dict[str, Tensor]:
        """Return the drawn fractions and directions by layer."""
        return dict(self._state)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` returned."""
        self._state = dict(state)
        self._index, self._axes, self._targets = {}, {}, {}
        for layer in self.layers:
            fractions = state[f"fractions {layer}"]
            mask = None if self._mask is None else self._mask[layer]
            style_mask = None if self._style_mask is None else self._style_mask[layer]
            vectors = at_least_float32(self._style[layer][0].flatten(1).T)
            chosen = pick(fractions, len(vectors), style_mask).to(vectors.device)
            self._index[layer] = pick(fractions, self._cells[layer], mask)
            self._axes[layer] = state[f"axes {layer}"].to(vectors)
            self._targets[layer] = (vectors[chosen] @ self._axes[layer]).sort(0).values  # [K, P]

    def summarise(self, canvas: Tensor, features: Features, region: Region) -> Tensor:
        """Return the projections of the sampled positions of each layer at their rows, flattened and joined."""
        parts = []
        for layer in self.layers:
            vectors, which = gather(features[layer], layer, region, self._index[layer])
            parts.append(scatter(vectors @ self._axes[layer].to(vectors), which, self._counts[layer]).flatten())
        return torch.cat(parts)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the mean squared difference of the sorted projections."""
        total, start = summary.new_zeros(()), 0
        for layer in self.layers:
            target = self._targets[layer].to(summary.dtype)
            part = summary[start : start + target.numel()].view(target.shape)
            start += target.numel()
            total = total + self._weights[layer] * (part.sort(0).values - target).square().mean()
        return total
