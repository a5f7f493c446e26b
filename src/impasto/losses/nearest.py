"""Style by nearest neighbours: every place of the canvas is pulled to the place of the style that it most resembles.

In: features of the canvas, of the style (and of the style turned), and of the content. Out: the mean of ``1 -
cos(F_p, S_match(p))`` over the cells p of stride 4, F being hypercolumns of all layers. Kolkin, Kucera, Paris,
Sykora, Shechtman & Shakhnarovich, Neural Neighbor Style Transfer, arXiv 2203.13215. Matches are of least centred
cosine distance from ``(1 - a) F + a P``, P being the content's features and a the content preservation; they stay
fixed between two refreshes, the targets are not centred. Departures: finer layers are averaged over a cell instead
of sampled; the query's canvas is used as it is, its finest band not exchanged for the content's; matching runs in
chunks. 0 means that every place points where its match points; turning or shuffling the style leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto.encoder import stride
from impasto.losses.hypercolumn import REACH, grid
from impasto.losses.matching import nearest
from impasto.losses.protocol import Features, Maps, Sweep, at_least_float32
from impasto.losses.region import Region

STEP = 4
PRESERVATION = 0.75


class NearestLoss:
    """Mean cosine distance from matched hypercolumns of the style.

    Args:
        styles: features by layer of the style and of any turned copies, ``[1, C, h, w]`` each.
        weights: weight by layer; the layers are its keys.
        height, width: of the canvas in px.
        mask: weight of each of the canvas's positions by layer, ``[1, 1, H/s, W/s]``; all ones if absent. The layer
            of stride 4, or the coarsest, counts.
        style_masks: likewise for each of the styles; matches are where it is above a half of its largest value.
        content: the content's features; without them the query is the canvas alone.
        preservation: a, from 0 to 1.

    Until ``refresh`` is called every place is matched with the style's first: matches belong to a canvas.
    """

    every = 0
    reach = REACH

    def __init__(
        self,
        styles: Sequence[Features],
        weights: Mapping[str, float],
        height: int,
        width: int,
        *,
        mask: Maps | None = None,
        style_masks: Sequence[Maps] | None = None,
        content: Features | None = None,
        preservation: float = PRESERVATION,
    ) -> None:
        self.layers = tuple(weights)
        self._weights = dict(weights)
        self._shape = height // STEP, width // STEP
        self._mask = None if mask is None else _at_step(mask, self._shape)
        self._total = float(self._shape[0] * self._shape[1]) if self._mask is None else float(self._mask.sum())
        keys = []
        for number, style in enumerate(styles):
            first = self.layers[0]
            size = _pixels(style, self.layers)
            vectors = grid(style, weights, Region.whole(*size), STEP).detach().to(style[first].dtype)
            if style_masks is not None:
                kept = _at_step(style_masks[number], (size[0] // STEP, size[1] // STEP)).flatten()
                vectors = vectors[kept >= 0.5 * kept.max()]
            keys.append(vectors)
        self._keys = torch.cat(keys)  # [M, D]
        self._mean = at_least_float32(self._keys).mean(0)
        self._content = None if content is None else {layer: content[layer].detach() for layer in self.layers}
        self._preservation = preservation if content is not None else 0.0
        self._index = torch.zeros(self._shape, dtype=torch.int64)
        # Features in half precision say no more than their products in half precision.
        self._product_dtype = torch.bfloat16 if self._keys.dtype == torch.bfloat16 else None

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Match every place of the canvas anew."""
        whole = torch.zeros(0)
        for _, features, region in sweep():
            vectors = grid(features, self._weights, region, STEP)
            if whole.numel() == 0:
                whole = vectors.new_zeros(*self._shape, vectors.shape[1])
            rows, columns = region.rows(STEP), region.columns(STEP)
            area = whole[rows[0] : rows[1], columns[0] : columns[1]]
            area.copy_(vectors.view(area.shape))
        queries = whole.flatten(0, 1)
        if self._content is not None and self._preservation:
            size = _pixels(self._content, self.layers)
            queries *= 1 - self._preservation
            queries += self._preservation * grid(self._content, self._weights, Region.whole(*size), STEP)
        queries -= queries.mean(0)
        self._index = nearest(queries, self._keys, prepare=self._centred, dtype=self._product_dtype).view(self._shape)

    def _centred(self, keys: Tensor) -> Tensor:
        return at_least_float32(keys) - self._mean

    def state(self) -> dict[str, Tensor]:
        """Return the match of each cell."""
        return {"index": self._index}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` returned."""
        self._index = state["index"]

    def summarise(self, canvas: Tensor, features: Features, region: Region) -> Tensor:
        """Return the sum of cosine distances, ``[1]``."""
        vectors = grid(features, self._weights, region, STEP)
        target = self._keys[region.share(self._index, STEP).flatten()].to(vectors)
        distance = 1 - functional.cosine_similarity(vectors, target, dim=1, eps=1e-6)
        if self._mask is not None:
            distance = distance * region.share(self._mask, STEP).flatten()
        return distance.sum().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean cosine distance."""
        return summary.sum() / max(self._total, 1e-12)


def turned(style: Tensor) -> list[Tensor]:
    """Return a style picture ``[1, 3, H, W]`` and its turns by 90, 180 and 270 degrees."""
    return [style.rot90(quarter, (2, 3)).contiguous() for quarter in range(4)]


def _pixels(features: Features, layers: Sequence[str]) -> tuple[int, int]:
    """Return a picture size that has these features."""
    finest = min(layers, key=stride)
    height, width = features[finest].shape[-2:]
    return height * stride(finest), width * stride(finest)


def _at_step(mask: Maps, shape: tuple[int, int]) -> Tensor:
    """Return the map of a mask whose size is that of the grid, ``[h, w]``; the nearest one brought to it if none is."""
    maps = list(mask.values())
    exact = [m for m in maps if tuple(m.shape[-2:]) == shape]
    best = exact[0] if exact else min(maps, key=lambda m: abs(m.shape[-1] - shape[1]))
    return best[0, 0] if exact else functional.interpolate(best, shape, mode="area")[0, 0]
