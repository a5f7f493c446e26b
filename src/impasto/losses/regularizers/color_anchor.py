"""A color anchor: the low-frequency colors of the canvas are kept close to the content's.

The loss is the squared difference of the lowest cosine coefficients (DCT-II, orthonormal) of the canvas and the content
image, divided by the number of pixel values, so that a constant shift by d gives d^2. Not from a paper. The
coefficients are linear in the canvas, so a tile's share is exact and of a fixed small size. 0 means equal low
frequencies; detail finer than the last coefficient leaves it unchanged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow

FREQUENCIES = 8


class ColorAnchorLoss:
    """Squared difference of low cosine coefficients.

    Args:
        content: ``[1, 3, H, W]`` at the canvas's size.
        frequencies: number of frequencies along each side, at most the number of pixels.
    """

    layers: tuple[str, ...] = ()
    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, content: Tensor, *, frequencies: int = FREQUENCIES) -> None:
        height, width = content.shape[-2:]
        self._rows = _cosines(min(frequencies, height), height).to(content.device)  # [k, H]
        self._columns = _cosines(min(frequencies, width), width).to(content.device)
        self._scale = 1 / (3 * height * width)
        self._target = self.summarize(content.detach().double(), {}, TileWindow.whole(height, width))

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the coefficients of the area inside the tile, ``[3 k k]``."""
        owned = at_least_float32(window.crop_tile(canvas))[0]
        rows = self._rows[:, window.top : window.bottom].to(owned)
        columns = self._columns[:, window.left : window.right].to(owned)
        return (rows @ owned @ columns.T).flatten()

    def value(self, summary: Tensor) -> Tensor:
        """Return the squared difference per pixel value."""
        return (summary - self._target.to(summary.dtype)).square().sum() * self._scale


def _cosines(count: int, length: int) -> Tensor:
    """Return the first vectors of the orthonormal DCT-II basis, ``[count, length]`` float64."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) * math.pi / length
    basis = torch.cos(torch.arange(count, dtype=torch.float64)[:, None] * place)
    basis[0] *= math.sqrt(0.5)
    return basis * math.sqrt(2 / length)
