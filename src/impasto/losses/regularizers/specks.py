"""Two blemishes kept down: specks, which differ from all their neighbours, and frames along the picture's border.

In: the canvas. Out: ``SpeckLoss``: the mean over pixels of the squared difference from that one of the eight
neighbours that is nearest in value, channel by channel; a line or an edge has such a neighbour, a speck has none.
``BorderLoss``: the mean over the outermost bands of the squared difference between a pixel and the one next to it
towards the middle. Not from a paper. 0 means that every pixel has an equal beside it, and that nothing changes
towards the frame; adding a constant leaves both unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.errors import OptionError
from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import Region

BAND = 8
NEIGHBOURS = tuple((row, column) for row in (0, 1, 2) for column in (0, 1, 2) if (row, column) != (1, 1))


class SpeckLoss:
    """How much pixels stand out from all their neighbours.

    Args:
        height, width: of the whole picture in px.

    Raises:
        OptionError: the picture has no pixel with eight neighbours.
    """

    layers: tuple[str, ...] = ()
    reach = 1

    def __init__(self, height: int, width: int) -> None:
        if min(height, width) < 3:
            raise OptionError(f"specks need 3 px a side and the picture is {width}x{height} px", "speck_weight")
        self._scale = 1 / (3 * (height - 2) * (width - 2))

    def summarise(self, canvas: Tensor, features: Features, region: Region) -> Tensor:
        """Return the sum over the pixels it owns that have eight neighbours, ``[1]``."""
        top, left = max(region.top, 1), max(region.left, 1)
        bottom, right = min(region.bottom, region.height - 1), min(region.right, region.width - 1)
        if bottom <= top or right <= left:
            return canvas.new_zeros(1) + 0 * canvas.sum()
        down, across = region.read_top, region.read_left
        area = at_least_float32(canvas)[..., top - 1 - down : bottom + 1 - down, left - 1 - across : right + 1 - across]
        rows, columns = bottom - top, right - left
        middle = area[..., 1:-1, 1:-1]
        least: Tensor | None = None
        for row, column in NEIGHBOURS:
            away = (area[..., row : row + rows, column : column + columns] - middle).abs()
            least = away if least is None else torch.minimum(least, away)
        assert least is not None
        return least.square().sum().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over the picture's values."""
        return summary.sum() * self._scale


class BorderLoss:
    """How much the picture changes towards its frame.

    Args:
        height, width: of the whole picture in px.
        band: how many px deep the border is; at most a quarter of the shorter side.
    """

    layers: tuple[str, ...] = ()
    reach = 1

    def __init__(self, height: int, width: int, *, band: int = BAND) -> None:
        self._band = max(1, min(band, min(height, width) // 4))
        self._scale = 1 / (6 * self._band * (height + width))

    def summarise(self, canvas: Tensor, features: Features, region: Region) -> Tensor:
        """Return the sum over the pairs across the bands whose upper or left pixel it owns, ``[1]``."""
        picture = at_least_float32(canvas)
        return (self._steps(picture, region, 2) + self._steps(picture, region, 3)).reshape(1)

    def _steps(self, picture: Tensor, region: Region, axis: int) -> Tensor:
        """Add up the squared steps along an axis (2 down, 3 across) within the two bands at its ends."""
        size = region.height if axis == 2 else region.width
        first, last = (region.top, region.bottom) if axis == 2 else (region.left, region.right)
        from_side, to_side = (region.left, region.right) if axis == 2 else (region.top, region.bottom)
        start, side_start = (region.read_top, region.read_left) if axis == 2 else (region.read_left, region.read_top)
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
