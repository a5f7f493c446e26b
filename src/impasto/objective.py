"""The terms for one scale: a canvas in, values and the gradient out.

Every term is ``value(sum of summarise)`` (see ``losses.protocol``). The whole picture takes one forward and one
backward pass. Tiles take two: a pass without gradient adds up the summaries in float64, then each tile's share of the
gradient is pushed back against the fixed derivative of the values with respect to the summaries.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.encoder import Encoder, receptive_radius
from impasto.losses.blend import Blended
from impasto.losses.protocol import Features, Loss, Refreshing
from impasto.losses.region import Region
from impasto.view import View

TILE_ALIGNMENT = 16


@dataclass(frozen=True)
class Evaluation:
    """What the objective says of a canvas.

    ``losses`` are the weighted terms, ``total`` their sum, ``gradient`` is ``[1, 3, H, W]`` float32.
    """

    losses: dict[str, float]
    total: float
    gradient: Tensor


class Objective:
    """A weighted sum of losses over one encoder, for one size of canvas.

    Args:
        encoder: makes the features.
        terms: losses by name.
        height, width: the canvas's size in px.
        tile: side of a tile in px, a multiple of 16; ``None`` evaluates the whole picture at once.
        view: what picture a canvas stands for; itself if absent.
    """

    def __init__(
        self,
        encoder: Encoder,
        terms: Mapping[str, Loss],
        height: int,
        width: int,
        *,
        tile: int | None = None,
        view: View | None = None,
    ) -> None:
        self.encoder = encoder
        self.view = None if view is None or view.is_plain else view
        self.terms = dict(terms)
        self.height, self.width = height, width
        self.layers = tuple(dict.fromkeys(layer for loss in terms.values() for layer in loss.layers))
        self.regions = list(_tiles(height, width, tile, self._halo()))

    def _halo(self) -> int:
        radius = receptive_radius(self.layers, self.encoder.network) if self.layers else 1
        radius += max((getattr(loss, "reach", 0) for loss in self.terms.values()), default=0)
        return math.ceil(max(radius, 1) / TILE_ALIGNMENT) * TILE_ALIGNMENT

    def evaluate(self, canvas: Tensor, weights: Mapping[str, float]) -> Evaluation:
        """Return the weighted losses and their gradient with respect to the canvas.

        Args:
            canvas: ``[1, 3, H, W]`` float32 in [0, 1].
            weights: by term; a term without weight, or with weight 0, is not computed.
        """
        for name, loss in self.terms.items():
            if isinstance(loss, Blended):
                loss.blend(weights, name)
        active = {name: loss for name, loss in self.terms.items() if weights.get(name, 0.0) != 0.0}
        if not active:
            return Evaluation({}, 0.0, torch.zeros_like(canvas))
        evaluate = self._evaluate_whole if len(self.regions) == 1 else self._evaluate_tiled
        if self.view is None:
            return evaluate(canvas, active, weights)
        with torch.no_grad():
            seen = self.view.seen(self.view.picture(canvas))
        found = evaluate(seen, active, weights)
        return replace(found, gradient=self.view.pull_back(canvas, found.gradient))

    def values(self, canvas: Tensor) -> dict[str, float]:
        """Return the unweighted losses of a picture, which is taken as it is."""
        with torch.no_grad():
            if self.view is not None:
                canvas = self.view.seen(canvas)
            sums = self._summaries(canvas, self.terms)
            return {name: float(loss.value(sums[name])) for name, loss in self.terms.items()}

    def sweep(self, canvas: Tensor) -> Iterator[tuple[Tensor, Features, Region]]:
        """Yield canvas, features and region tile by tile, without gradient."""
        with torch.no_grad():
            if self.view is not None:
                canvas = self.view.seen(self.view.picture(canvas))
            for region in self.regions:
                tile = _read(canvas, region, self._halo())
                yield tile, self.encoder(tile, self.layers), region

    def refresh(self, canvas: Tensor, seed: int, names: Collection[str] | None = None) -> None:
        """Draw samples and match anew, the same from the same seed.

        Args:
            canvas: ``[1, 3, H, W]`` that matches are made for.
            seed: of the draws.
            names: of the terms; all that have any if absent.
        """
        for name in self.terms if names is None else names:
            loss = self.terms[name]
            if isinstance(loss, Refreshing):
                loss.refresh(torch.Generator().manual_seed(seed), lambda: self.sweep(canvas))

    def _evaluate_whole(self, canvas: Tensor, active: Mapping[str, Loss], weights: Mapping[str, float]) -> Evaluation:
        leaf = canvas.detach().requires_grad_(True)
        features = self.encoder(leaf, _layers(active))
        region = self.regions[0]
        values = [weights[name] * loss.value(loss.summarise(leaf, features, region)) for name, loss in active.items()]
        return _finish(active, values, leaf)

    def _evaluate_tiled(self, canvas: Tensor, active: Mapping[str, Loss], weights: Mapping[str, float]) -> Evaluation:
        with torch.no_grad():
            sums = self._summaries(canvas, active)
        leaves = {name: total.requires_grad_(True) for name, total in sums.items()}
        values = [weights[name] * loss.value(leaves[name]) for name, loss in active.items()]
        slopes = dict(zip(active, torch.autograd.grad(torch.stack(values).sum(), list(leaves.values())), strict=True))
        gradient = torch.zeros_like(canvas)
        halo = self._halo()
        for region in self.regions:
            tile = _read(canvas, region, halo).detach().requires_grad_(True)
            features = self.encoder(tile, _layers(active))
            pushes = [
                (loss.summarise(tile, features, region) * slopes[name].float()).sum() for name, loss in active.items()
            ]
            (part,) = torch.autograd.grad(torch.stack(pushes).sum(), tile)
            height, width = part.shape[-2:]
            top, left = region.read_top, region.read_left
            gradient[..., top : top + height, left : left + width] += part
        numbers = torch.stack(values).detach().tolist()
        return Evaluation(dict(zip(active, numbers, strict=True)), sum(numbers), gradient)

    def _summaries(self, canvas: Tensor, terms: Mapping[str, Loss]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        halo, layers = self._halo(), _layers(terms)
        for region in self.regions:
            tile = _read(canvas, region, halo)
            features = self.encoder(tile, layers)
            for name, loss in terms.items():
                part = loss.summarise(tile, features, region).double()
                sums[name] = sums[name] + part if name in sums else part
        return sums


def _layers(terms: Mapping[str, Loss]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer for loss in terms.values() for layer in loss.layers))


def _finish(active: Mapping[str, Loss], values: list[Tensor], leaf: Tensor) -> Evaluation:
    stacked = torch.stack([value.float() for value in values])
    (gradient,) = torch.autograd.grad(stacked.sum(), leaf)
    numbers = stacked.detach().tolist()
    return Evaluation(dict(zip(active, numbers, strict=True)), sum(numbers), gradient)


def _read(canvas: Tensor, region: Region, halo: int) -> Tensor:
    bottom, right = min(region.bottom + halo, region.height), min(region.right + halo, region.width)
    return canvas[..., region.read_top : bottom, region.read_left : right]


def _tiles(height: int, width: int, tile: int | None, halo: int) -> Iterator[Region]:
    if tile is None or tile >= max(height, width):
        yield Region.whole(height, width)
        return
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            yield Region(height, width, top, left, bottom, right, max(0, top - halo), max(0, left - halo))
