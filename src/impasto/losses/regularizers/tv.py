"""Total variation: the difference of neighboring pixels.

The loss is the mean difference over horizontal and vertical pairs of pixels, squared (``l2``) or absolute (``l1``, as
in neural-style-pt, whose sum over pixels in 0 to 255 corresponds to a constant factor); or squared over all eight
neighbors (``nine``, as in crowsonkb/style-transfer-pytorch: a third for straight pairs and a twelfth for diagonal ones,
twice), which has no preferred direction. Rudin, Osher & Fatemi, Physica D 1992; as a term of style transfer: Mahendran
& Vedaldi, CVPR 2015, section 3. 0 means a constant image; adding a constant leaves it unchanged.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.protocol import Features
from impasto.losses.summaries.tile_window import TileWindow

Norm = Literal["l1", "l2", "nine"]


class TotalVariationLoss:
    """Mean difference of neighboring pixels.

    Args:
        height, width: size of the whole image in px.
        norm: ``l1`` absolute, ``l2`` squared, ``nine`` squared with diagonals.
        factor: factor of the mean.
        wrap: treat opposite edges as neighbors, for seamless images; the image must then be a single tile.
    """

    layers: tuple[str, ...] = ()
    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, height: int, width: int, *, norm: Norm = "l2", factor: float = 1.0, wrap: bool = False) -> None:
        self._norm, self._wrap = norm, wrap
        self._scale = factor / (3 * height * width)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum over the pairs whose upper or left pixel is inside the tile, ``[1]``."""
        top, left = window.top - window.read_top, window.left - window.read_left
        rows = min(window.bottom + 1, window.height) - window.top
        columns = min(window.right + 1, window.width) - window.left
        area = canvas[..., top : top + rows, left : left + columns]
        if self._wrap:
            area = functional.pad(canvas, (0, 1, 0, 1), mode="circular")
        owned_rows, owned_columns = window.bottom - window.top, window.right - window.left
        down = (area[..., 1:, :] - area[..., :-1, :])[..., :owned_columns]
        across = (area[..., 1:] - area[..., :-1])[..., :owned_rows, :]
        if self._norm == "l1":
            return (down.abs().sum() + across.abs().sum()).reshape(1)
        straight = down.square().sum() + across.square().sum()
        if self._norm == "l2":
            return straight.reshape(1)
        # Both diagonals of each square of four pixels, counted with the square's upper left one.
        falling, rising = area[..., 1:, 1:] - area[..., :-1, :-1], area[..., 1:, :-1] - area[..., :-1, 1:]
        diagonal = falling.square().sum() + rising.square().sum()
        return (2 * (straight / 3 + diagonal / 12)).reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over the image's values."""
        return summary.sum() * self._scale


def total_variation(canvas: Tensor, norm: Norm = "l2") -> float:
    """Return the total variation of an image ``[1, 3, H, W]``, for reference points and reports."""
    height, width = canvas.shape[-2:]
    loss = TotalVariationLoss(height, width, norm=norm)
    with torch.no_grad():
        return float(loss.value(loss.summarize(canvas, {}, TileWindow.whole(height, width)).double()))
