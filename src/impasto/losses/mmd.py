"""Style as a distribution of features, compared by the maximum mean discrepancy.

The loss is ``E k(x, x') - 2 E k(x, y) + E k(y, y')`` over positions x of the canvas and y of the style, weighted by
layer. Li, Wang, Liu & Hou, IJCAI 2017, equation 9, who show that Gatys's loss is the one with ``k = (x'y)^2``.

* ``PolynomialMMDLoss``: ``k = (x'y + c)^2 / C^2`` has an explicit feature map, mean and raw second moments, so the
  expectation is taken over all pairs of positions exactly: ``(|M - M_t|^2 + 2 c |mu - mu_t|^2) / C^2``. ``c`` is
  the style's mean square.
* ``GaussianMMDLoss``: ``k = exp(-|x - y|^2 / (2 s^2))`` on samples of positions, s^2 half the mean squared distance of
  the style's samples. Differences from the paper: all pairs of the samples instead of the linear-time estimator; the
  same fractions of the two images are drawn, so that an image is at distance 0 from itself.

0 means equal moments (polynomial) or equal samples (Gaussian); the first is invariant to permutations of positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.summaries.layout import SummaryLayout
from impasto.losses.summaries.protocol import Features, Sweep
from impasto.losses.summaries.sampling import (
    gather,
    indices_from_fractions,
    owned,
    scatter,
    stratified_samples,
    tile_weights,
)
from impasto.losses.summaries.style_target import StyleTarget, moments
from impasto.losses.summaries.tile_window import TileWindow

SAMPLES = 1024


class PolynomialMMDLoss:
    """Maximum mean discrepancy with a polynomial kernel of degree 2.

    Args:
        target: features and masks of the style, and the size and mask of the canvas.
        offset: the kernel's c, relative to the style's mean square of a feature vector.
    """

    halo_px = 0
    refresh_every: int | None = None

    def __init__(
        self,
        target: StyleTarget,
        *,
        offset: float = 1.0,
    ) -> None:
        self.layers = target.layers
        self._weights, self._mask, self._positions = target.weights, target.mask, target.positions
        self._targets: dict[str, tuple[Tensor, Tensor]] = {}
        self._offsets = {}
        for layer in self.layers:
            vectors, share, total = target.weighted(layer)
            first, second = moments(vectors, share)
            self._targets[layer] = first / total, second / total
            self._offsets[layer] = offset * float(second.trace() / total)
        self._layout = SummaryLayout(
            {layer: (len(first) + 1, len(first)) for layer, (first, _) in self._targets.items()}
        )

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sums of F and F F', flattened and joined, ``[sum of C (C + 1)]``."""
        parts = []
        for layer in self.layers:
            vectors = owned(features[layer], layer, window)
            parts += [part.flatten() for part in moments(vectors, tile_weights(self._mask, layer, window))]
        return torch.cat(parts)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the discrepancy."""
        total = summary.new_zeros(())
        for layer, sums in self._layout.split(summary):
            first, second = (target.to(summary.dtype) for target in self._targets[layer])
            part = sums / self._positions[layer]
            away = (part[0] - first).square().sum()
            distance = (part[1:] - second).square().sum()
            total = total + self._weights[layer] * (distance + 2 * self._offsets[layer] * away) / len(first) ** 2
        return total


class GaussianMMDLoss:
    """Maximum mean discrepancy with a Gaussian kernel, on samples of positions.

    Args:
        target: features and masks of the style, and the size and mask of the canvas.
        samples: maximum number of positions per layer.
        generator: generator of the first samples; by default with a fixed seed.
    """

    halo_px = 0
    refresh_every: int | None = 1

    def __init__(
        self,
        target: StyleTarget,
        *,
        samples: int = SAMPLES,
        generator: torch.Generator | None = None,
    ) -> None:
        self.layers = target.layers
        self._target, self._weights = target, target.weights
        self._counts = {layer: min(samples, target.cells(layer)) for layer in self.layers}
        self._fractions: dict[str, Tensor] = {}
        self._draw(generator or torch.Generator().manual_seed(0))

    def _draw(self, generator: torch.Generator) -> None:
        self.load_state({layer: stratified_samples(self._counts[layer], generator) for layer in self.layers})

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Draw new positions in the canvas and in the style."""
        self._draw(generator)

    def state(self) -> dict[str, Tensor]:
        """Return the drawn fractions by layer."""
        return dict(self._fractions)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._fractions = dict(state)
        self._index, self._targets, self._scales = {}, {}, {}
        for layer in self.layers:
            fractions = self._fractions[layer]
            vectors = self._target.vectors(layer)
            chosen = indices_from_fractions(fractions, len(vectors), self._target.style_mask_of(layer)).to(
                vectors.device
            )
            self._index[layer] = indices_from_fractions(
                fractions, self._target.cells(layer), self._target.mask_of(layer)
            )
            self._targets[layer] = vectors[chosen].double()
            spread = _squared_distances(self._targets[layer], self._targets[layer]).mean()
            self._scales[layer] = max(float(spread), 1e-12)
        self._layout = SummaryLayout(
            {layer: (self._counts[layer], drawn.shape[1]) for layer, drawn in self._targets.items()}
        )

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sampled vectors of each layer at their rows, flattened and joined."""
        return torch.cat(
            [
                scatter(*gather(features[layer], layer, window, self._index[layer]), self._counts[layer]).flatten()
                for layer in self.layers
            ]
        )

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the discrepancy."""
        total = summary.new_zeros(())
        for layer, drawn in self._layout.split(summary):
            style, scale = self._targets[layer].to(summary.dtype), self._scales[layer]
            within = torch.exp(_squared_distances(drawn, drawn) / -scale).mean()
            between = torch.exp(_squared_distances(drawn, style) / -scale).mean()
            target = torch.exp(_squared_distances(style, style) / -scale).mean()
            total = total + self._weights[layer] * (within - 2 * between + target)
        return total


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared distances ``[n, m]`` between the rows of ``[n, C]`` and ``[m, C]``."""
    squares = x.square().sum(1, keepdim=True) + y.square().sum(1)
    return (squares - 2 * x @ y.T).clamp_min(0)
