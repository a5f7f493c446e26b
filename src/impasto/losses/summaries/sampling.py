"""Positions of a layer: their total weight, those inside a tile, and those drawn as samples.

Samples are drawn once for the whole image, as indices into a layer's cells, and each tile fills in its own rows
of a buffer of fixed size. The sum of the buffers over tiles is the buffer of the whole image, so a loss on
samples is additive like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import Maps, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride


def positions(layers: Iterable[str], height: int, width: int, mask: Maps | None = None) -> dict[str, float]:
    """Return the number of positions of a canvas by layer, or the sum of its mask.

    Args:
        layers: names.
        height, width: of the canvas in px.
        mask: weight of each position by layer, ``[1, 1, H/s, W/s]``.
    """
    if mask is not None:
        return {layer: max(float(mask[layer].sum()), 1e-12) for layer in layers}
    return {layer: float((height // stride(layer)) * (width // stride(layer))) for layer in layers}


def owned(feature: Tensor, layer: str, window: TileWindow) -> Tensor:
    """Return the features inside a tile as vectors ``[n, C]``, float32 or float64."""
    return at_least_float32(window.crop_tile(feature, stride(layer))[0].flatten(1).T)


def tile_weights(mask: Maps | None, layer: str, window: TileWindow) -> Tensor | None:
    """Return the mask inside a tile as ``[n, 1]``, or None without a mask."""
    return None if mask is None else window.crop_full(mask[layer], stride(layer)).reshape(-1, 1)


def stratified_samples(count: int, generator: torch.Generator) -> Tensor:
    """Return ``[count]`` sorted float64 numbers in [0, 1), one drawn in each of ``count`` equal intervals."""
    draws = torch.rand(count, generator=generator, dtype=torch.float64)
    return (torch.arange(count, dtype=torch.float64) + draws) / count


def indices_from_fractions(fractions: Tensor, cells: int, mask: Tensor | None = None) -> Tensor:
    """Turn fractions into indices of cells; ``cells`` stratified fractions without a mask give each cell once.

    Args:
        fractions: ``[K]`` float64 in [0, 1).
        cells: number of cells.
        mask: weight of each, any shape with ``cells`` values; a cell is sampled in proportion to it.

    Returns:
        ``[K]`` int64.
    """
    if mask is None:
        return (fractions * cells).long().clamp_(0, cells - 1)
    cumulative = mask.detach().flatten().double().cpu().cumsum(0)
    return torch.searchsorted(cumulative, fractions * cumulative[-1], right=True).clamp_(0, cells - 1)


def gather(feature: Tensor, layer: str, window: TileWindow, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sampled vectors inside a tile, and the indices of their samples.

    Args:
        feature: ``[1, C, h, w]`` on the tile's canvas.
        layer: its name.
        window: what is owned.
        index: ``[K]`` indices into the whole image's cells of that layer.

    Returns:
        ``[n, C]`` and ``[n]``; n is K where the tile is the whole image.
    """
    step = stride(layer)
    part = window.crop_tile(feature, step)[0]
    rows, columns = index // (window.width // step), index % (window.width // step)
    (top, bottom), (left, right) = window.rows(step), window.columns(step)
    inside = ((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)).nonzero()[:, 0]
    local = (rows[inside] - top) * part.shape[-1] + columns[inside] - left
    return at_least_float32(part.flatten(1)[:, local.to(feature.device)].T), inside.to(feature.device)


def scatter(vectors: Tensor, which: Tensor, count: int) -> Tensor:
    """Put vectors ``[n, D]`` into their rows of a buffer of zeros ``[count, D]``."""
    if len(which) == count:
        return vectors
    return vectors.new_zeros(count, vectors.shape[1]).index_copy(0, which, vectors)
