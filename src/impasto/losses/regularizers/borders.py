"""A penalty on frames along the image's border.

The loss is the mean over the outermost bands of the squared difference between a pixel and its neighbor toward the
middle. Not from a paper. 0 means that the bands are constant across their width; adding a constant leaves it unchanged.
"""

from __future__ import annotations

from torch import Tensor

from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow

BAND = 8


class BorderLoss:
    """Mean squared change of the image toward its border.

    Args:
        height, width: size of the whole image in px.
        band: width of the border in px; at most a quarter of the shorter side.
    """

    layers: tuple[str, ...] = ()
    halo_px = 1
    refresh_every: int | None = None

    def __init__(self, height: int, width: int, *, band: int = BAND) -> None:
        self._band = max(1, min(band, min(height, width) // 4))
        self._scale = 1 / (6 * self._band * (height + width))

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum over the pairs of pixels in the bands whose upper or left pixel is inside the tile,
        ``[1]``."""
        picture = at_least_float32(canvas)
        return (self._steps(picture, window, 2) + self._steps(picture, window, 3)).reshape(1)

    def _steps(self, picture: Tensor, window: TileWindow, axis: int) -> Tensor:
        """Sum the squared differences along an axis (2 down, 3 across) within the two bands at its ends."""
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
