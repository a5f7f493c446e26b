"""The objective of one scale: the values of its terms at a canvas, and the gradient.

Every term is ``value(sum of summarize)`` (see ``losses.summaries.protocol``). The whole image takes one forward and
one backward pass. Tiles take two: a pass without gradient adds up the summaries in float64, then each tile's share of
the gradient is pushed back against the fixed derivative of the values with respect to the summaries. Tiles whose first
pass was kept need no second one.

With several processes, each owns a shard of the tiles. It receives a halo of canvas rows from its neighbors, the
summaries are summed over all processes, and the gradient of the halo is sent back. All processes use the losses of the
first one, so that they make the same decisions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.summaries.blend import Blended
from impasto.losses.summaries.protocol import Features, Loss, Refreshing
from impasto.losses.summaries.tile_window import TileWindow
from impasto.network.encoder import Encoder
from impasto.objective.tiling import Tile, tiles
from impasto.regions.canvas_view import CanvasView
from impasto.runtime.distributed import RowShard


@dataclass(frozen=True)
class Evaluation:
    """The objective's values and gradient at a canvas.

    ``losses`` are the weighted terms, ``total`` is their sum, ``gradient`` is ``[1, 3, H, W]`` in the canvas's dtype
    (with several processes, the rows of this one). If any process finds a gradient that is not finite, ``total`` is NaN
    on all of them.
    """

    losses: dict[str, float]
    total: float
    gradient: Tensor


class Objective:
    """A weighted sum of losses over one encoder, for one canvas size.

    Args:
        encoder: computes the features.
        terms: losses by name.
        height, width: size of the canvas in px.
        tile: side of a tile in px, a multiple of 16; ``None`` evaluates the image in one piece.
        keep: number of tiles whose activations the first pass keeps; one tile costs no extra memory, since the second
            pass needs it. The number does not change the result.
        view: maps the canvas to the image; the identity if absent.
        shard: the rows that this process owns, all if absent; ``evaluate`` takes and returns these.
    """

    def __init__(
        self,
        encoder: Encoder,
        terms: Mapping[str, Loss],
        height: int,
        width: int,
        *,
        tile: int | None = None,
        keep: int = 1,
        view: CanvasView | None = None,
        shard: RowShard | None = None,
    ) -> None:
        self.encoder = encoder
        self.shard = shard or RowShard(height)
        self.view = None if view is None or view.is_plain else view
        self._own_view = self.view if self.view is None or self.shard.is_whole else self.view.rows(*self.shard.rows)
        self.terms = dict(terms)
        self.height, self.width = height, width
        self.layers = tuple(dict.fromkeys(layer for loss in terms.values() for layer in loss.layers))
        reach = max((loss.halo_px for loss in terms.values()), default=0)
        deep = max((loss.halo_px for loss in terms.values() if loss.layers), default=0)
        shards = self.shard.all_rows or ((0, height),)
        made = [
            tiles(height, width, tile, self.layers, encoder.network, reach=reach, feature_reach=deep, rows=rows)
            for rows in shards
        ]
        self.tiles = [part for own in made for part in own]
        self.windows = [part.window for part in self.tiles]
        # How many rows beyond its shard any process reads: all see as many, so that all know what the others need.
        self._halo = max(
            max(first - part.read[0].start, part.read[0].stop - last)
            for (first, last), own in zip(shards, made, strict=True)
            for part in own
        )
        self._own = made[shards.index(self.shard.rows)]
        top, _ = self.shard.window(self._halo)
        # The last tiles keep the activations of their first pass: they are the largest, where that saves the most.
        self._placed = sorted((part.seen_from(top) for part in self._own), key=lambda part: part.pixels)
        self.keep = min(keep, len(self._own))

    def evaluate(self, canvas: Tensor, weights: Mapping[str, float]) -> Evaluation:
        """Return the weighted losses and their gradient with respect to the canvas.

        Args:
            canvas: ``[1, 3, H, W]`` in [0, 1]; float32, or float64 for an encoder in float64.
            weights: weight by term; a term without a weight, or with weight 0, is not computed.
        """
        for loss in self.terms.values():
            if isinstance(loss, Blended):
                loss.blend(weights)
        active = {name: loss for name, loss in self.terms.items() if weights.get(name, 0.0) != 0.0}
        if not active:
            return Evaluation({}, 0.0, torch.zeros_like(canvas))
        view, compared = self._own_view, canvas
        if view is not None:
            with torch.no_grad():
                compared = view.as_compared(view.picture(canvas))
        (wide,) = self.shard.with_halo([compared], self._halo)
        if self.tiles[0].window.is_whole:
            leaf = wide.detach().requires_grad_(True)
            features = self.encoder(leaf, _layers(active))
            window = self.tiles[0].window
            values = [
                weights[name] * loss.value(loss.summarize(leaf, features, window)) for name, loss in active.items()
            ]
            stacked = torch.stack([value.to(leaf.dtype) for value in values])
            (gradient,) = torch.autograd.grad(stacked.sum(), leaf)
            numbers = stacked.tolist()
            del leaf, features, values, stacked  # before the gradient is pulled back, which takes memory too
        else:
            numbers, gradient = self._evaluate_tiled(wide, active, weights)
        gradient = self.shard.reduce_halo(gradient, self._halo)
        if view is not None:
            gradient = view.pull_back(canvas, gradient)
        return self._agreed(Evaluation(dict(zip(active, numbers, strict=True)), sum(numbers), gradient))

    def values(self, canvas: Tensor, *, together: bool = False) -> dict[str, float]:
        """Return the unweighted losses of an image, to which ``view`` is not applied.

        Args:
            canvas: the whole image ``[1, 3, H, W]``, also with several processes.
            together: all processes call this with the same image, and each computes its own rows.
        """
        with torch.no_grad():
            if self.view is not None:
                canvas = self.view.as_compared(canvas)
            if together:
                sums = self._summed(self._summaries(canvas, self.terms, self._own))
            else:
                sums = self._summaries(canvas, self.terms, self.tiles)
            return {name: float(loss.value(sums[name])) for name, loss in self.terms.items()}

    def sweep(self, canvas: Tensor) -> Iterator[tuple[Tensor, Features, TileWindow]]:
        """Yield canvas, features and window tile by tile, without gradient; all tiles in every process.

        Args:
            canvas: the whole image.
        """
        with torch.no_grad():
            if canvas.shape[-2] < self.height:
                canvas = self.shard.all_gather(canvas)
            if self.view is not None:
                canvas = self.view.as_compared(self.view.picture(canvas))
            for tile in self.tiles:
                part = tile.canvas(canvas)
                yield part, tile.features(self.encoder, part, self.layers), tile.window

    def refresh(self, canvas: Tensor, seed: int, names: Collection[str] | None = None) -> None:
        """Draw new samples and matches, which depend only on the canvas and the seed.

        Args:
            canvas: ``[1, 3, H, W]`` to match.
            seed: seed of the samples.
            names: names of the terms to refresh; all of them if absent.
        """
        for name in self.terms if names is None else names:
            loss = self.terms[name]
            if isinstance(loss, Refreshing):
                loss.refresh(torch.Generator().manual_seed(seed), lambda: self.sweep(canvas))

    def _evaluate_tiled(
        self, canvas: Tensor, active: Mapping[str, Loss], weights: Mapping[str, float]
    ) -> tuple[list[float], Tensor]:
        """Return the weighted losses, and the gradient of the rows that this process reads."""
        gradient = torch.zeros_like(canvas)
        count = len(self._placed) - self.keep
        first, kept = self._placed[:count], self._placed[count:]
        with torch.no_grad():
            sums = self._summaries(canvas, active, first)
        passes = []
        for tile in kept:
            passes.append(self._forward(canvas, active, tile))
            _add(sums, {name: part.detach() for name, part in passes[-1].summaries.items()})
        leaves = {name: total.requires_grad_(True) for name, total in self._summed(sums).items()}
        values = [weights[name] * loss.value(leaves[name]) for name, loss in active.items()]
        found = torch.autograd.grad(torch.stack(values).sum(), list(leaves.values()))
        slopes = dict(zip(active, found, strict=True))
        while passes:
            passes.pop().push_back(slopes, gradient)
        for tile in reversed(
            first
        ):  # the same order however many were kept, so that overlapping margins sum to the same bits
            self._forward(canvas, active, tile).push_back(slopes, gradient)
        return torch.stack(values).tolist(), gradient

    def _summed(self, sums: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum the summaries over all processes, in one message."""
        if self.shard.is_whole:
            return sums
        joined = self.shard.group.all_reduce_(torch.cat([part.flatten() for part in sums.values()]))
        parts = torch.split(joined, [part.numel() for part in sums.values()])
        return {name: part.view_as(sums[name]) for name, part in zip(sums, parts, strict=True)}

    def _agreed(self, found: Evaluation) -> Evaluation:
        """Return the evaluation with the losses of the first process; NaN if any process has a non-finite gradient."""
        if self.shard.is_whole:
            return found
        group = self.shard.group
        own = [value if group.is_first else 0.0 for value in found.losses.values()]
        *losses, finite = group.all_reduce_scalars(*own, float(found.gradient.sum()))
        total = sum(losses) if math.isfinite(finite) else math.nan
        return Evaluation(dict(zip(found.losses, losses, strict=True)), total, found.gradient)

    def _forward(self, canvas: Tensor, active: Mapping[str, Loss], tile: Tile) -> _Pass:
        leaf = tile.canvas(canvas).detach().requires_grad_(True)
        features = tile.features(self.encoder, leaf, _layers(active))
        return _Pass(tile, leaf, {name: loss.summarize(leaf, features, tile.window) for name, loss in active.items()})

    def _summaries(self, canvas: Tensor, terms: Mapping[str, Loss], over: Sequence[Tile]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        layers = _layers(terms)
        for tile in over:
            part = tile.canvas(canvas)
            features = tile.features(self.encoder, part, layers)
            _add(sums, {name: loss.summarize(part, features, tile.window) for name, loss in terms.items()})
            del part, features  # before those of the next tile are created
        return sums


@dataclass(frozen=True)
class _Pass:
    """The forward pass of a tile, ready for backward: its part of the canvas and its summaries."""

    tile: Tile
    leaf: Tensor
    summaries: Mapping[str, Tensor]

    def push_back(self, slopes: Mapping[str, Tensor], gradient: Tensor) -> None:
        """Add the tile's share to the gradient, given the derivative of the total with respect to each summary."""
        pushes = [(part * slopes[name].to(part.dtype)).sum() for name, part in self.summaries.items()]
        (share,) = torch.autograd.grad(torch.stack(pushes).sum(), self.leaf)
        self.tile.canvas(gradient).add_(share)


def _add(sums: dict[str, Tensor], parts: Mapping[str, Tensor]) -> None:
    for name, part in parts.items():
        sums[name] = sums[name] + part.double() if name in sums else part.double()


def _layers(terms: Mapping[str, Loss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer for loss in terms.values() for layer in loss.layers))
