"""A penalty on specks: pixels that differ from all their neighbors.

The loss is the mean over pixels of the squared difference from the closest in value of the eight neighbors, channel by
channel; a pixel of a line or an edge has a close neighbor, a speck has none. Not from a paper. 0 means that every pixel
has an equal neighbor; adding a constant leaves it unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.errors import OptionError
from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow

NEIGHBORS = tuple((row, column) for row in (0, 1, 2) for column in (0, 1, 2) if (row, column) != (1, 1))


class SpeckLoss:
    """Mean squared difference of pixels from their closest neighbor.

    Args:
        height, width: size of the whole image in px.

    Raises:
        OptionError: the image has no pixel with eight neighbors.
    """

    layers: tuple[str, ...] = ()
    halo_px = 1
    refresh_every: int | None = None

    def __init__(self, height: int, width: int) -> None:
        if min(height, width) < 3:
            raise OptionError(
                f"the despeckle penalty needs at least 3 px per side; the image is {width}x{height} px",
                "despeckle_weight",
            )
        self._scale = 1 / (3 * (height - 2) * (width - 2))

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum over the pixels inside the tile that have eight neighbors, ``[1]``."""
        top, left = max(window.top, 1), max(window.left, 1)
        bottom, right = min(window.bottom, window.height - 1), min(window.right, window.width - 1)
        if bottom <= top or right <= left:
            return canvas.new_zeros(1) + 0 * canvas.sum()
        down, across = window.read_top, window.read_left
        area = at_least_float32(canvas)[..., top - 1 - down : bottom + 1 - down, left - 1 - across : right + 1 - across]
        rows, columns = bottom - top, right - left
        middle = area[..., 1:-1, 1:-1]
        least: Tensor | None = None
        for row, column in NEIGHBORS:
            away = (area[..., row : row + rows, column : column + columns] - middle).abs()
            least = away if least is None else torch.minimum(least, away)
        assert least is not None
        return least.square().sum().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over the image's values."""
        return summary.sum() * self._scale
