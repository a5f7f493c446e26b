"""Frames along the picture's border, kept down.

In: the canvas. Out: the mean over the outermost bands of the squared difference between a pixel and the one next to
it toward the middle. Not from a paper. 0 means that nothing changes toward the frame; adding a constant leaves it
unchanged.
"""

from __future__ import annotations

from torch import Tensor

from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow

BAND = 8


class BorderLoss:
    """How much the picture changes toward its frame.

    Args:
        height, width: of the whole picture in px.
        band: how many px deep the border is; at most a quarter of the shorter side.
    """

    layers: tuple[str, ...] = ()
    halo_px = 1
    refresh_every: int | None = None

    def __init__(self, height: int, width: int, *, band: int = BAND) -> None:
        self._band = max(1, min(band, min(height, width) // 4))
        self._scale = 1 / (6 * self._band * (height + width))

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum over the pairs across the bands whose upper or left pixel is inside the tile, ``[1]``."""
        picture = at_least_float32(canvas)
        return (self._steps(picture, window, 2) + self._steps(picture, window, 3)).reshape(1)

    def _steps(self, picture: Tensor, window: TileWindow, axis: int) -> Tensor:
        """Add up the squared steps along an axis (2 down, 3 across) within the two bands at its ends."""
        size = window.height if axis == 2 else window.width
        first, last = (window.top, window.bottom) if axis == 2 else (window.left, window.right)
        from_side, to_side = (window.left, window.right) if axis == 2 else (window.top, window.bottom)
        start, side_start = (window.read_top, window.read_left) if axis == 2 else (window.read_left, window.read_top)
        strip = picture.narrow(5 - axis, from_side - side_start, to_side - from_side)
        total = picture.new_zeros(()) + 0 * picture.sum()
        for low, high in ((0, self._band), (size - 1 - self._band, size - 1)):
            low, high = max(low, first), min(high, last)
            if high > low:
                area = strip.narrow(axis, low - start, high - low + 1)
                total = total + area.diff(dim=axis).square().sum()
        return total

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over the bands' values."""
        return summary.sum() * self._scale
