"""Style as nearest neighbors: the features at every position are pulled toward the most similar features of the style.

The loss is the mean of ``1 - cos(F_p, S_match(p))`` over the cells p of stride 4, F being hypercolumns of all layers, S
those of the style and of its rotations. Kolkin, Kucera, Paris, Sykora, Shechtman & Shakhnarovich, Neural Neighbor Style
Transfer, arXiv 2203.13215. A match minimizes the centered cosine distance from ``(1 - a) F + a P``, P being the
content's features and a the content preservation; matches stay fixed between two refreshes, and the targets are not
centered. Differences from the paper: finer layers are averaged over a cell instead of sampled; the query uses the
unmodified canvas, whose finest band is not replaced by the content's; matching runs in chunks, in the first 256
principal components of the style's hypercolumns (which changes a cosine of about 0.4 by 0.003). 0 means that the
features at every position are parallel to their match; rotating the style by 90 degrees or permuting its positions
leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.hypercolumns import HALO_PX, grid, grid_parts
from impasto.losses.summaries.nearest_search import nearest, principal_axes
from impasto.losses.summaries.protocol import Features, Maps, Sweep, at_least_float32
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

STEP = 4
DIRECTIONS = 256
AXES_FROM = 4096  # keys from which the directions are computed
CHUNK = 4096  # keys projected onto these directions at once
MIN_LENGTH = 1e-6


class NearestLoss:
    """Mean cosine distance from matched hypercolumns of the style.

    Args:
        target: features and masks of the style, size and mask of the canvas. The canvas's mask is used at stride 4, or
            at the coarsest layer; positions of the style are matched where its mask is at least half its maximum.
        rotated: features of the style rotated by 90, 180 and 270 degrees, ``[1, C, w, h]``; read one by one.
        content: the content's features; without them the query uses the canvas only.
        preservation: the content preservation a, from 0 to 1.

    Before the first ``refresh`` every position is matched with the first of the style, since matches depend on the
    canvas.
    """

    refresh_every: int | None = 0
    halo_px = HALO_PX

    def __init__(
        self,
        target: StyleTarget,
        *,
        rotated: Iterable[Features] = (),
        content: Features | None = None,
        preservation: float = 0.0,
    ) -> None:
        self.layers, weights, mask = target.layers, target.weights, target.mask
        self._weights = dict(weights)
        self._shape = target.height // STEP, target.width // STEP
        self._mask = None if mask is None else _at_step(mask, self._shape)
        self._total = float(self._shape[0] * self._shape[1]) if self._mask is None else float(self._mask.sum())
        keys = []
        for quarters, style in enumerate(chain([target.style], rotated)):
            size = _pixels(style, self.layers)
            vectors = grid(style, weights, TileWindow.whole(*size), STEP).detach()
            style_mask = target.rotated_style_mask(quarters)
            if style_mask is not None:
                kept = _at_step(style_mask, (size[0] // STEP, size[1] // STEP)).flatten()
                vectors = vectors[kept >= 0.5 * kept.max()]
            keys.append(vectors)
        self._keys = torch.cat(keys)  # [M, D]
        self._lengths = torch.cat([at_least_float32(part).norm(dim=1) for part in torch.split(self._keys, CHUNK)])
        # Products in half precision lose nothing if the features are in half precision.
        self._product_dtype = torch.bfloat16 if self._keys.dtype == torch.bfloat16 else None
        self._axes, self._reduced = _reduced(self._keys)
        self._wanted: Tensor | None = None
        if content is not None and preservation:
            whole = TileWindow.whole(*_pixels(content, self.layers))
            self._wanted = preservation * self._along(grid(content, weights, whole, STEP).detach())
        self._preservation = preservation if self._wanted is not None else 0.0
        self._index = torch.zeros(self._shape, dtype=torch.int64)

    def _along(self, vectors: Tensor) -> Tensor:
        vectors = at_least_float32(vectors)
        return vectors if self._axes is None else vectors @ self._axes.to(vectors)

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Match every position of the canvas again."""
        whole = torch.zeros(0)
        for _, features, window in sweep():
            vectors = self._along(grid(features, self._weights, window, STEP))
            if whole.numel() == 0:
                whole = vectors.new_zeros(*self._shape, vectors.shape[1])
            rows, columns = window.rows(STEP), window.columns(STEP)
            area = whole[rows[0] : rows[1], columns[0] : columns[1]]
            area.copy_(vectors.view(area.shape))
        queries = whole.flatten(0, 1) * (1 - self._preservation)
        if self._wanted is not None:
            queries += self._wanted
        queries -= queries.mean(0)
        self._index = nearest(queries, self._reduced, normalized=True, dtype=self._product_dtype).view(self._shape)

    def state(self) -> dict[str, Tensor]:
        """Return the match of each cell."""
        return {"index": self._index}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._index = state["index"]

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum of cosine distances, ``[1]``."""
        parts = grid_parts(features, window, self.layers, STEP)
        factors = [weight / part.shape[1] for weight, part in zip(self._weights.values(), parts, strict=True)]
        index = window.crop_full(self._index, STEP).flatten().to(self._keys.device)
        distance = 1 - cosines(parts, factors, self._keys[index].to(parts[0]), self._lengths[index])
        if self._mask is not None:
            distance = distance * window.crop_full(self._mask, STEP).flatten()
        return distance.sum().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean cosine distance."""
        return summary.sum() / max(self._total, 1e-12)


def _reduced(keys: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the directions ``[D, r]`` in which keys are matched (None for all), and the centered, normalized keys.

    A key is normalized by its full length, so that its components in other directions reduce every product equally.
    """
    sums = torch.stack([at_least_float32(part).sum(0) for part in torch.split(keys, CHUNK)])
    mean = sums.sum(0) / max(len(keys), 1)
    axes = None
    if keys.shape[1] > DIRECTIONS:
        chosen = at_least_float32(keys[:: -(-len(keys) // AXES_FROM)]) - mean
        axes = principal_axes(chosen, DIRECTIONS, torch.Generator().manual_seed(0))
    made = []
    for part in torch.split(keys, CHUNK):
        centered = at_least_float32(part) - mean
        length = centered.norm(dim=1, keepdim=True).clamp_min(MIN_LENGTH * 1e-6)
        made.append(((centered if axes is None else centered @ axes) / length).to(keys.dtype))
    return axes, torch.cat(made)


def cosines(parts: Sequence[Tensor], factors: Sequence[float], target: Tensor, lengths: Tensor) -> Tensor:
    """Return the cosine of each vector with its target.

    Args:
        parts: ``[n, C]`` each; the vectors are their concatenation, each multiplied by its factor.
        factors: factor of each part.
        target: ``[n, sum of C]``, without gradient.
        lengths: norms of the targets, ``[n]``.

    Returns:
        ``[n]`` float32 or float64; 1 for two vectors of length 0. Products are computed in the parts' dtype and summed
        in higher precision; the vectors are never concatenated.
    """
    result: Tensor = _Cosines.apply(target, lengths, tuple(factors), *parts)  # type: ignore[no-untyped-call]
    return result


class _Cosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, target: Tensor, lengths: Tensor, factors: tuple[float, ...], *parts: Tensor) -> Tensor:
        kept = torch.float64 if target.dtype == torch.float64 else torch.float32
        product = torch.full((len(target),), MIN_LENGTH**2, dtype=kept, device=target.device)
        square = product.clone()
        start = 0
        for part, factor in zip(parts, factors, strict=True):
            wanted = target[:, start : start + part.shape[1]]
            start += part.shape[1]
            product += factor * (part * wanted).sum(1, dtype=kept)
            square += factor**2 * part.square().sum(1, dtype=kept)
        long = square.sqrt()
        lengths = (lengths.to(kept).square() + MIN_LENGTH**2).sqrt()
        cosine = (product / (long * lengths)).clamp_(max=1)
        ctx.factors = factors
        ctx.save_for_backward(target, lengths, long, cosine, *parts)
        return cosine

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        target, lengths, long, cosine, *parts = ctx.saved_tensors
        toward = slopes[0] / (long * lengths)
        along = -slopes[0] * cosine / long.square()
        start, gradients = 0, []
        for part, factor in zip(parts, ctx.factors, strict=True):
            wanted = target[:, start : start + part.shape[1]]
            start += part.shape[1]
            pulled = wanted * (factor * toward).to(part.dtype)[:, None]
            gradients.append(pulled.addcmul_(part, (factor**2 * along).to(part.dtype)[:, None]))
        return None, None, None, *gradients


def rotations(style: Tensor) -> list[Tensor]:
    """Return a style image ``[1, 3, H, W]`` and its rotations by 90, 180 and 270 degrees."""
    return [style.rot90(quarter, (2, 3)).contiguous() for quarter in range(4)]


def _pixels(features: Features, layers: Sequence[str]) -> tuple[int, int]:
    """Return an image size that has features of this size."""
    finest = min(layers, key=stride)
    height, width = features[finest].shape[-2:]
    return height * stride(finest), width * stride(finest)


def _at_step(mask: Maps, shape: tuple[int, int]) -> Tensor:
    """Return the map of a mask at the size of the grid, ``[h, w]``; if there is none, the nearest one is resized."""
    maps = list(mask.values())
    exact = [m for m in maps if tuple(m.shape[-2:]) == shape]
    best = exact[0] if exact else min(maps, key=lambda m: abs(m.shape[-1] - shape[1]))
    return best[0, 0] if exact else functional.interpolate(best, shape, mode="area")[0, 0]
