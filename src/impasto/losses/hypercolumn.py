"""Hypercolumns: what several layers say of one place, side by side in one vector.

Layers of other strides are brought to a common place by their cells' centres: a cell of stride s at index i is
centred at ``(i + 0.5) s`` px. So a place has the same vector whichever tile computes it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from impasto.encoder import stride
from impasto.losses.protocol import Features, at_least_float32
from impasto.losses.region import Region

REACH = 16  # px: interpolation reads the next cell of the deepest block


def grid(features: Features, weights: Mapping[str, float], region: Region, step: int) -> Tensor:
    """Return the hypercolumns at the cells of a stride that a region owns.

    Finer layers are averaged over the cell, coarser ones interpolated. Each layer is multiplied with its weight
    over its number of channels.

    Args:
        features: by layer, ``[1, C, h, w]`` on the region's canvas.
        weights: factor by layer.
        region: what is owned; it must read ``REACH`` px beyond, save at the picture's edge.
        step: the stride, 1 to 16.

    Returns:
        ``[n, sum of C]`` float32 or float64, row by row.
    """
    rows = region.bottom // step - region.top // step
    columns = region.right // step - region.left // step
    parts = []
    for layer, weight in weights.items():
        own = stride(layer)
        if own <= step:
            part = at_least_float32(region.own(features[layer], own))
            part = functional.avg_pool2d(part, step // own) if own < step else part
            part = part[..., :rows, :columns]
        else:
            part = functional.interpolate(
                at_least_float32(features[layer]), scale_factor=own // step, mode="bilinear", align_corners=False
            )
            top, left = (region.top - region.read_top) // step, (region.left - region.read_left) // step
            part = part[..., top : top + rows, left : left + columns]
            lacking = (0, columns - part.shape[-1], 0, rows - part.shape[-2])
            part = functional.pad(part, lacking, mode="replicate") if any(lacking) else part
        parts.append(part[0].flatten(1).T * (weight / part.shape[1]))
    return torch.cat(parts, 1)


def at_points(
    canvas: Tensor, features: Features, layers: tuple[str, ...], region: Region, points: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the hypercolumns at those points that a region owns, colour first, and which points they are.

    Args:
        canvas: ``[1, 3, h, w]``, what the region reads.
        features: by layer, ``[1, C, h/s, w/s]``.
        layers: which, in this order.
        region: what is owned; it must read ``REACH`` px beyond, save at the picture's edge.
        points: ``[K]`` indices into the whole picture's pixels.

    Returns:
        ``[n, 3 + sum of C]`` float32 or float64, and ``[n]``.
    """
    rows, columns = points // region.width, points % region.width
    inside = (
        (rows >= region.top) & (rows < region.bottom) & (columns >= region.left) & (columns < region.right)
    ).nonzero()[:, 0]
    rows, columns = rows[inside].to(canvas.device), columns[inside].to(canvas.device)
    parts = [at_least_float32(canvas[0, :, rows - region.read_top, columns - region.read_left].T)]
    for layer in layers:
        step = stride(layer)
        low_row, high_row, down = _between(rows, step, region.height, region.read_top)
        low_column, high_column, across = _between(columns, step, region.width, region.read_left)
        part = at_least_float32(features[layer][0])  # [C, h, w]
        down, across = down.to(part), across.to(part)
        above = part[:, low_row, low_column].lerp(part[:, low_row, high_column], across)
        below = part[:, high_row, low_column].lerp(part[:, high_row, high_column], across)
        parts.append(above.lerp(below, down).T)
    return torch.cat(parts, 1), inside.to(canvas.device)


def _between(pixels: Tensor, step: int, size: int, read_from: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two cells around each pixel's centre, in the tile's own count, and how far along it lies, 0 to 1."""
    place = ((pixels.double() + 0.5) / step - 0.5).clamp(0, size // step - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(size // step - 1)
    return low - read_from // step, high - read_from // step, place - low
