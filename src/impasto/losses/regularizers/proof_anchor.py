"""Composition of a poster: the reduced canvas is kept close to the proof with which it was initialized.

The loss is the mean squared difference between the canvas and the enlarged proof, averaged over cells of a few pixels
and weighted by the area of each cell, so that a constant shift by d gives d^2. Not from a paper; in super-resolution a
similar term is called back-projection (Irani & Peleg, CVGIP 1991). 0 means that every cell has the proof's mean; detail
finer than a cell leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow

CELLS = (1, 2, 4, 8, 16)  # px; tiles begin at multiples of the last


class ProofAnchorLoss:
    """Squared difference of cell means.

    Args:
        proof: ``[1, 3, H, W]`` at the canvas's size.
        cell: side of a cell in px, one of ``CELLS``; the cells at the right and bottom edges may be smaller.
    """

    layers: tuple[str, ...] = ()
    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, proof: Tensor, *, cell: int) -> None:
        height, width = proof.shape[-2:]
        self._cell = cell
        self._target = _means(proof.detach(), cell)  # [1, 3, h, w]
        self._rows, self._columns = (_sides(length, cell).to(proof.device) for length in (height, width))
        self._scale = 1 / (3 * height * width)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum over the cells inside the tile, weighted by their area in px, ``[1]``."""
        means = _means(at_least_float32(window.crop_tile(canvas)), self._cell)
        rows = slice(window.top // self._cell, window.top // self._cell + means.shape[-2])
        columns = slice(window.left // self._cell, window.left // self._cell + means.shape[-1])
        squared = (means - self._target[..., rows, columns].to(means)).square().sum((0, 1))  # [h, w]
        return (self._rows[rows].to(squared) @ squared @ self._columns[columns].to(squared)).reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over the image's values."""
        return summary.sum() * self._scale


def cell_for(proof: Sequence[int], size: Sequence[int]) -> int:
    """Return the smallest cell at least as large as a pixel of the proof on the canvas, or the largest cell if there is
    none."""
    pixel = max(size) / max(proof)
    return next((cell for cell in CELLS if cell >= pixel), CELLS[-1])


def _means(picture: Tensor, cell: int) -> Tensor:
    return functional.avg_pool2d(picture, cell, ceil_mode=True)


def _sides(length: int, cell: int) -> Tensor:
    """Return the number of pixels of each cell along a side, ``[ceil(length / cell)]``."""
    return torch.arange(0, length, cell).neg().add(length).clamp(max=cell).float()
