"""Style as patches: every 3 x 3 patch of the canvas's features is pulled toward the most similar patch of the style.

The loss is, for each layer, the mean of ``(Psi_i(F) - Psi_match(i)(S))^2`` over patches and their values, weighted by
layer. Li & Wand, CVPR 2016, equations 2 and 3: matches have the largest normalized cross-correlation. Differences from
the paper: a mean instead of a sum; matches stay fixed between two refreshes; the style is not rotated or enlarged. The
mask of a patch is that of its center, and the sum is computed cell by cell: each cell is compared with the values that
the patches around it assign to it. 0 means that every patch is a patch of the style; permuting non-overlapping patches
of the style does not change the set of matches.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import OptionError
from impasto.losses.summaries.nearest_search import nearest
from impasto.losses.summaries.protocol import Features, Sweep, at_least_float32
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

SIDE = 3
OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))


class MRFLoss:
    """Squared distance from matched patches of the style.

    Args:
        target: features and masks of the style, and the size and mask of the canvas. Patches of the
            style are matched where its mask is above a half of its largest value.

    Before the first ``refresh`` every patch is matched with the first patch of the style, since matches depend on the
    canvas.

    Raises:
        OptionError: a layer of the canvas or of the style has no 3 x 3 patch.
    """

    refresh_every: int | None = 25

    def __init__(self, target: StyleTarget) -> None:
        self.layers = target.layers
        self.halo_px = max(stride(layer) for layer in self.layers)
        self._style, self._centers, self._factors, self._mask = {}, {}, {}, {}
        for layer in self.layers:
            style, shape = target.style[layer].detach(), target.shape(layer)
            for side, of in ((min(shape), "canvas"), (min(style.shape[-2:]), "style")):
                if side < SIDE:
                    raise OptionError(
                        f"{layer} of the {of} is only {side} cells wide or high at a canvas of {target.width}x"
                        f"{target.height} px; patches need at least {SIDE} ({SIDE * stride(layer)} px) at every scale: "
                        "use a larger --size, --scales 1, or a shallower layer",
                        "style_layers",
                    )
            self._style[layer] = style
            inner = torch.zeros(style.shape[-2:], dtype=torch.bool)
            inner[1:-1, 1:-1] = True
            style_mask, mask = target.style_mask_of(layer), target.mask_of(layer)
            if style_mask is not None:
                kept = style_mask[0, 0].cpu()
                chosen = inner & (kept >= 0.5 * kept.max())
                inner = chosen if chosen.any() else inner
            self._centers[layer] = inner.flatten().nonzero()[:, 0]  # cells of the style with a whole patch
            center_weight = torch.zeros(shape)
            center_weight[1:-1, 1:-1] = 1.0 if mask is None else mask[0, 0, 1:-1, 1:-1].cpu()
            self._mask[layer] = center_weight
            total = float(center_weight.sum()) * SIDE**2 * style.shape[1]
            self._factors[layer] = target.weights[layer] / max(total, 1e-12)
        self._index = {layer: torch.zeros(part.shape, dtype=torch.int64) for layer, part in self._mask.items()}

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Match every patch of the canvas again."""
        index = {layer: torch.zeros(self._mask[layer].shape, dtype=torch.int64) for layer in self.layers}
        keys = {layer: self._keys(layer) for layer in self.layers}
        for _, features, window in sweep():
            for layer in self.layers:
                vectors, rows, columns = _patches(features[layer], layer, window)
                if vectors.numel():
                    found = self._centers[layer][nearest(vectors, keys[layer]).cpu()]
                    index[layer][rows[0] : rows[1], columns[0] : columns[1]] = found.view(rows[1] - rows[0], -1)
        self._index = index

    def _keys(self, layer: str) -> Tensor:
        unfolded = functional.unfold(at_least_float32(self._style[layer]), SIDE)[0].T  # [(h-2)(w-2), 9 C]
        width = self._style[layer].shape[-1]
        centers = self._centers[layer]
        place = (centers // width - 1) * (width - 2) + centers % width - 1
        return unfolded[place.to(unfolded.device)]

    def state(self) -> dict[str, Tensor]:
        """Return the matched cell of the style for each patch's center, by layer."""
        return dict(self._index)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._index = dict(state)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return each layer's sum of squared differences over the cells inside the tile, ``[L]``."""
        sums = []
        for layer in self.layers:
            vectors = at_least_float32(window.crop_tile(features[layer], stride(layer)))[0].flatten(1)  # [C, n]
            count, wanted, rest = self._wanted(layer, window, vectors)
            near = (count * (vectors - wanted).square().sum(0)).sum()
            sums.append(near + rest)
        return torch.stack(sums)

    def _wanted(self, layer: str, window: TileWindow, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each owned cell the number of patches that cover it and the mean of their target values, and the
        sum of the variances."""
        step = stride(layer)
        (top, bottom), (left, right) = window.rows(step), window.columns(step)
        style = at_least_float32(self._style[layer][0]).flatten(1).to(like)  # [C, M]
        width = self._style[layer].shape[-1]
        weight = functional.pad(self._mask[layer], (1, 1, 1, 1)).to(like)
        index = functional.pad(self._index[layer], (1, 1, 1, 1))
        count = like.new_zeros(like.shape[1])
        first, second = torch.zeros_like(like), like.new_zeros(like.shape[1])
        for row, column in OFFSETS:
            # The target of the patch centered at (p - offset) is, at p, the cell at offset from its match's center.
            rows = slice(top + 1 - row, bottom + 1 - row)
            columns = slice(left + 1 - column, right + 1 - column)
            share = weight[rows, columns].flatten()
            cell = (index[rows, columns] + row * width + column).flatten().clamp(0, style.shape[1] - 1)
            vectors = style[:, cell.to(style.device)]
            count += share
            first += share * vectors
            second += share * vectors.square().sum(0)
        mean = first / count.clamp_min(1e-12)
        return count, mean, (second - count * mean.square().sum(0)).clamp_min(0).sum()

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum over layers of the mean squared difference."""
        return (summary * summary.new_tensor([self._factors[layer] for layer in self.layers])).sum()


def _patches(feature: Tensor, layer: str, window: TileWindow) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
    """Return the patches whose centers are inside the tile, ``[n, 9 C]``, and the rows and columns of those centers."""
    step = stride(layer)
    height, width = window.height // step, window.width // step
    rows, columns = window.rows(step), window.columns(step)
    rows = max(rows[0], 1), min(rows[1], height - 1)
    columns = max(columns[0], 1), min(columns[1], width - 1)
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return feature.new_zeros(0), rows, columns
    down, across = window.read_top // step, window.read_left // step
    area = feature[..., rows[0] - 1 - down : rows[1] + 1 - down, columns[0] - 1 - across : columns[1] + 1 - across]
    return functional.unfold(at_least_float32(area), SIDE)[0].T, rows, columns
