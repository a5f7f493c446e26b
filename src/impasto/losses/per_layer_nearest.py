"""Style as nearest neighbors in each layer separately: the last pass of neural neighbor style transfer.

The loss is the mean over layers of the mean of ``1 - cos(F_p, S_match(p))`` over positions p of a layer; matches
minimize the centered cosine distance to features of the style and of its rotations. Kolkin, Kucera, Paris, Sykora,
Shechtman & Shakhnarovich, arXiv 2203.13215, where it sharpens the result of joint matching. A layer with more than 64
positions per side is sampled on a coarser grid, whose offset is redrawn at each refresh. Differences from the paper:
matches are refreshed every 5 steps instead of at each; the rotated copies of the style are sampled once. 0 means that
the features at every sampled position are parallel to their match; rotating the style by 90 degrees does not change the
set of possible matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor

from impasto.losses.nearest import cosines
from impasto.losses.summaries.nearest_search import nearest
from impasto.losses.summaries.protocol import Features, Sweep, at_least_float32
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

SIDE = 64


class PerLayerNearestLoss:
    """Mean cosine distance from matched features of the style, layer by layer.

    Args:
        target: features and masks of the style, size and mask of the canvas; positions of the style are matched where
            its mask is at least half its maximum.
        rotated: features of the style rotated by 90, 180 and 270 degrees, ``[1, C, w, h]``; read one by one.
        side: maximum number of positions per side of a layer.
        generator: generator of the first grids; by default with a fixed seed.

    Before the first ``refresh`` every position is matched with the first of the style, since matches depend on the
    canvas.
    """

    halo_px = 0
    refresh_every: int | None = 5

    def __init__(
        self,
        target: StyleTarget,
        *,
        rotated: Iterable[Features] = (),
        side: int = SIDE,
        generator: torch.Generator | None = None,
    ) -> None:
        self.layers, weights = target.layers, target.weights
        total = sum(weights.values())
        self._weights = {layer: weight / max(total, 1e-12) for layer, weight in weights.items()}
        self._mask = target.mask
        self._shapes = {layer: target.shape(layer) for layer in self.layers}
        self._side = side
        generator = generator or torch.Generator().manual_seed(0)
        self._style: dict[str, tuple[Tensor, Tensor | None]] = {}
        turned: dict[str, list[Tensor]] = {layer: [] for layer in self.layers}
        for quarters, style in enumerate(chain([target.style], rotated)):
            style_mask = target.rotated_style_mask(quarters)
            draws = self._draw(generator)
            for layer in self.layers:
                kept = None if style_mask is None else style_mask[layer][0, 0]
                if quarters == 0:
                    self._style[layer] = style[layer].detach(), kept
                else:
                    turned[layer].append(self._sampled(style[layer].detach(), kept, draws[layer]))
        self._turned = {layer: torch.cat(parts) if parts else None for layer, parts in turned.items()}
        self._use(self._draw(generator), None)

    def _draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {layer: torch.rand(2, generator=generator, dtype=torch.float64) for layer in self.layers}

    def _sampled(self, feature: Tensor, kept: Tensor | None, draw: Tensor) -> Tensor:
        """Return the vectors ``[n, C]`` on a grid of the style, only those inside its mask."""
        (row, column), step = _grid(_shape(feature), draw, self._side)
        part = feature[..., row::step, column::step]
        vectors = part.permute(0, 2, 3, 1).reshape(-1, part.shape[1])
        if kept is None:
            return vectors
        inside = (kept[row::step, column::step] >= 0.5 * kept.max()).flatten()
        return vectors[inside] if bool(inside.any()) else vectors

    def _use(self, draws: Mapping[str, Tensor], index: Mapping[str, Tensor] | None) -> None:
        """Use new grids, and the matches of their positions."""
        self._draws = dict(draws)
        self._grids, self._keys, self._lengths, self._totals = {}, {}, {}, {}
        self._index: dict[str, Tensor] = {}
        for layer in self.layers:
            (row, column), step = _grid(self._shapes[layer], draws[layer], self._side)
            self._grids[layer] = row, column, step
            fresh, turned = self._sampled(*self._style[layer], draws[layer]), self._turned[layer]
            self._keys[layer] = fresh if turned is None else torch.cat([fresh, turned])
            self._lengths[layer] = at_least_float32(self._keys[layer]).norm(dim=1)
            height, width = self._shapes[layer]
            size = len(range(row, height, step)), len(range(column, width, step))
            weight = None if self._mask is None else self._mask[layer][0, 0, row::step, column::step].sum()
            self._totals[layer] = float(size[0] * size[1]) if weight is None else max(float(weight), 1e-12)
            self._index[layer] = torch.zeros(size, dtype=torch.int64) if index is None else index[layer]

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Draw new grids and match their positions."""
        self._use(self._draw(generator), None)
        queries: dict[str, Tensor] = {}
        for _, features, window in sweep():
            for layer in self.layers:
                part, (rows, columns) = self._owned(features[layer], layer, window)
                if layer not in queries:
                    queries[layer] = part.new_zeros(*self._index[layer].shape, part.shape[1])
                queries[layer][rows, columns] = part[0].permute(1, 2, 0)
        for layer, found in queries.items():
            vectors, keys = at_least_float32(found.flatten(0, 1)), at_least_float32(self._keys[layer])
            half = torch.bfloat16 if found.dtype == torch.bfloat16 else None
            index = nearest(vectors - vectors.mean(0), keys - keys.mean(0), dtype=half)
            self._index[layer] = index.view(self._index[layer].shape)

    def _owned(self, feature: Tensor, layer: str, window: TileWindow) -> tuple[Tensor, tuple[slice, slice]]:
        """Return the features of a layer's grid inside the tile, ``[1, C, n, m]``, and their position in the grid."""
        row, column, step = self._grids[layer]
        (top, bottom), (left, right) = window.rows(stride(layer)), window.columns(stride(layer))
        rows = slice(-(-max(0, top - row) // step), -(-max(0, bottom - row) // step))
        columns = slice(-(-max(0, left - column) // step), -(-max(0, right - column) // step))
        own = window.crop_tile(feature, stride(layer))
        part = own[..., row + rows.start * step - top :: step, column + columns.start * step - left :: step]
        return part, (rows, columns)

    def state(self) -> dict[str, Tensor]:
        """Return grids and matches by layer."""
        return {f"{name} {layer}": part[layer] for name, part in self._parts().items() for layer in self.layers}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        found = {name: {layer: state[f"{name} {layer}"] for layer in self.layers} for name in self._parts()}
        self._use(found["draw"], found["index"])

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        return {"draw": self._draws, "index": self._index}

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sum of cosine distances, ``[L]``."""
        sums = []
        for layer in self.layers:
            part, (rows, columns) = self._owned(features[layer], layer, window)
            vectors = part.permute(0, 2, 3, 1).reshape(-1, part.shape[1])
            index = self._index[layer][rows, columns].flatten().to(vectors.device)
            target = self._keys[layer][index].to(vectors)
            distance = 1 - cosines([vectors], [1.0], target, self._lengths[layer][index])
            if self._mask is not None:
                row, column, step = self._grids[layer]
                weight = self._mask[layer][0, 0, row::step, column::step][rows, columns]
                distance = distance * weight.flatten().to(distance)
            sums.append(distance.sum())
        return torch.stack(sums)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted mean over layers of the mean cosine distance."""
        factors = [self._weights[layer] / self._totals[layer] for layer in self.layers]
        return (summary * summary.new_tensor(factors)).sum()


def _shape(feature: Tensor) -> tuple[int, int]:
    return feature.shape[-2], feature.shape[-1]


def _grid(shape: tuple[int, int], draw: Tensor, side: int) -> tuple[tuple[int, int], int]:
    """Return the first row and column of a grid over a map, and its step, for two draws in [0, 1)."""
    step = max(1, -(-max(shape) // side))
    row, column = (int(float(part) * min(step, size)) for part, size in zip(draw, shape, strict=True))
    return (row, column), step
