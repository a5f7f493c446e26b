"""Hypercolumns: the features of several layers at one position, concatenated into one vector.

Layers of other strides are brought to a common place by their cells' centers: a cell of stride s at index i is
centered at ``(i + 0.5) s`` px. So a place has the same vector whichever tile computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

HALO_PX = 16  # px: interpolation reads the next cell of the deepest block


def grid_parts(features: Features, window: TileWindow, layers: Iterable[str], step: int) -> list[Tensor]:
    """Return each layer at the cells of a stride inside a tile.

    Finer layers are averaged over the cell, coarser ones interpolated.

    Args:
        features: by layer, ``[1, C, h, w]`` on the tile's canvas.
        window: what is owned; it must read ``HALO_PX`` px beyond, except at the image's edge.
        layers: which, in this order.
        step: the stride, 1 to 16.

    Returns:
        ``[n, C]`` each, row by row, in the features' dtype: a cell's mean needs no more digits than its values have.
    """
    rows = window.bottom // step - window.top // step
    columns = window.right // step - window.left // step
    parts = []
    for layer in layers:
        own = stride(layer)
        if own <= step:
            part = window.crop_tile(features[layer], own)
            part = functional.avg_pool2d(part, step // own) if own < step else part
        else:
            part = functional.interpolate(
                features[layer], scale_factor=own // step, mode="bilinear", align_corners=False
            )
            top, left = (window.top - window.read_top) // step, (window.left - window.read_left) // step
            if top or left:
                part = part[..., top:, left:]
            lacking = (0, max(0, columns - part.shape[-1]), 0, max(0, rows - part.shape[-2]))
            part = functional.pad(part, lacking, mode="replicate") if max(lacking) > 0 else part
        if part.shape[-2:] != (rows, columns):  # a slice of everything would cost a copy in the backward pass
            part = part[..., :rows, :columns]
        parts.append(part.permute(0, 2, 3, 1).reshape(-1, part.shape[1]))
    return parts


def grid(features: Features, weights: Mapping[str, float], window: TileWindow, step: int) -> Tensor:
    """Return the hypercolumns at the cells of a stride inside a tile.

    Each layer is multiplied with its weight over its number of channels; otherwise as for ``grid_parts``.

    Returns:
        ``[n, sum of C]`` in the features' dtype, row by row.
    """
    parts = grid_parts(features, window, weights, step)
    return torch.cat([part * (weight / part.shape[1]) for part, weight in zip(parts, weights.values(), strict=True)], 1)


def at_points(
    canvas: Tensor, features: Features, layers: tuple[str, ...], window: TileWindow, points: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the hypercolumns at those points inside a tile, color first, and which points they are.

    Args:
        canvas: ``[1, 3, h, w]``, what the tile reads.
        features: by layer, ``[1, C, h/s, w/s]``.
        layers: which, in this order.
        window: what is owned; it must read ``HALO_PX`` px beyond, except at the image's edge.
        points: ``[K]`` indices into the whole image's pixels.

    Returns:
        ``[n, 3 + sum of C]`` float32 or float64, and ``[n]``.
    """
    rows, columns = points // window.width, points % window.width
    inside = (
        (rows >= window.top) & (rows < window.bottom) & (columns >= window.left) & (columns < window.right)
    ).nonzero()[:, 0]
    rows, columns = rows[inside].to(canvas.device), columns[inside].to(canvas.device)
    place = (rows - window.read_top) * canvas.shape[-1] + columns - window.read_left
    parts = [at_least_float32(_rows(canvas).index_select(0, place))]
    for layer in layers:
        step = stride(layer)
        low_row, high_row, down = _between(rows, step, window.height, window.read_top)
        low_column, high_column, across = _between(columns, step, window.width, window.read_left)
        cells = torch.cat(
            [
                row * features[layer].shape[-1] + column
                for row in (low_row, high_row)
                for column in (low_column, high_column)
            ]
        )
        shares = torch.cat([y * x for y in (1 - down, down) for x in (1 - across, across)]).to(canvas.device)
        picked = at_least_float32(_rows(features[layer]).index_select(0, cells))
        parts.append((picked * shares.to(picked)[:, None]).view(4, len(rows), picked.shape[1]).sum(0))
    return torch.cat(parts, 1), inside.to(canvas.device)


def _rows(part: Tensor) -> Tensor:
    """Return a map ``[1, C, h, w]`` as ``[h * w, C]``, a view where its channels lie together."""
    return part.permute(0, 2, 3, 1).reshape(-1, part.shape[1])


def _between(pixels: Tensor, step: int, size: int, read_from: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two cells around each pixel's center, as indices into the tile, and the weight of the second."""
    place = ((pixels.double() + 0.5) / step - 0.5).clamp(0, size // step - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(size // step - 1)
    return low - read_from // step, high - read_from // step, place - low
