"""Style as a distribution of features, compared along random directions.

The loss is, for each layer, the mean squared difference of sorted projections onto random unit directions, weighted by
layer: the sliced 2-Wasserstein distance. Heitz, Vanhoey, Chambon & Belcour, CVPR 2021. Differences from the paper: 64
directions per layer instead of as many as channels; at most 16384 positions per layer, redrawn with the directions (all
of a 128 x 128 map); the same fractions of both images are drawn, so that images may differ in size and a mask is a
probability. 0 means equal distributions; if all positions are used, the loss is invariant to their permutation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.summaries.layout import SummaryLayout
from impasto.losses.summaries.protocol import Features, Sweep, at_least_float32
from impasto.losses.summaries.sampling import gather, indices_from_fractions, scatter, stratified_samples
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow

DIRECTIONS = 64
SAMPLES = 16384


class SlicedLoss:
    """Sliced 2-Wasserstein distance.

    Args:
        target: features and masks of the style, and the size and mask of the canvas.
        directions: number of directions per layer.
        samples: maximum number of positions per layer.
        generator: generator of the first directions and positions; by default with a fixed seed.
    """

    halo_px = 0
    refresh_every: int | None = 10

    def __init__(
        self,
        target: StyleTarget,
        *,
        directions: int = DIRECTIONS,
        samples: int = SAMPLES,
        generator: torch.Generator | None = None,
    ) -> None:
        self.layers = target.layers
        self._target, self._weights = target, target.weights
        self._counts = {layer: min(samples, target.cells(layer)) for layer in self.layers}
        self._directions = {layer: min(directions, target.style[layer].shape[1]) for layer in self.layers}
        self._draw(generator or torch.Generator().manual_seed(0))

    def _draw(self, generator: torch.Generator) -> None:
        state = {}
        for layer in self.layers:
            state[f"fractions {layer}"] = stratified_samples(self._counts[layer], generator)
            size = self._target.style[layer].shape[1], self._directions[layer]
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
        """Restore what ``state`` returned."""
        self._state = dict(state)
        self._index, self._axes, self._targets = {}, {}, {}
        for layer in self.layers:
            fractions = state[f"fractions {layer}"]
            vectors = at_least_float32(self._target.vectors(layer))
            chosen = indices_from_fractions(fractions, len(vectors), self._target.style_mask_of(layer)).to(
                vectors.device
            )
            self._index[layer] = indices_from_fractions(
                fractions, self._target.cells(layer), self._target.mask_of(layer)
            )
            self._axes[layer] = state[f"axes {layer}"].to(vectors)
            self._targets[layer] = (vectors[chosen] @ self._axes[layer]).sort(0).values  # [K, P]
        self._layout = SummaryLayout({layer: (len(part), part.shape[1]) for layer, part in self._targets.items()})

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the projections of the sampled positions of each layer at their rows, flattened and joined."""
        parts = []
        for layer in self.layers:
            vectors, which = gather(features[layer], layer, window, self._index[layer])
            parts.append(scatter(vectors @ self._axes[layer].to(vectors), which, self._counts[layer]).flatten())
        return torch.cat(parts)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the mean squared difference of the sorted projections."""
        total = summary.new_zeros(())
        for layer, part in self._layout.split(summary):
            target = self._targets[layer].to(summary.dtype)
            total = total + self._weights[layer] * (part.sort(0).values - target).square().mean()
        return total
