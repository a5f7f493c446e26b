"""A poster's composition: the canvas, made small, is held near the proof that it was started from.

In: the canvas and the proof. Out: the mean squared difference of their means over cells of a few pixels, so that a
picture shifted by d everywhere is at d^2. Not from a paper; super-resolution calls the like back-projection (Irani &
Peleg, CVGIP 1991). 0 means that the canvas made small is the proof; detail finer than a cell leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from impasto.losses.protocol import Features, at_least_float32
from impasto.losses.region import Region

CELLS = (1, 2, 4, 8, 16)  # px; tiles begin at multiples of the last


class CompositionLoss:
    """Squared difference of the means of cells.

    Args:
        proof: ``[1, 3, H, W]`` at the canvas's size.
        cell: side of a cell in px, one of ``CELLS``; what remains at the right and at the bottom are smaller cells.
    """

    layers: tuple[str, ...] = ()

    def __init__(self, proof: Tensor, *, cell: int) -> None:
        self._cell = cell
        self._target = _means(proof.detach(), cell)
        self._scale = 1 / self._target.numel()

    def summarise(self, canvas: Tensor, features: Features, region: Region) -> Tensor:
        """Return the sum over the cells that the region owns, ``[1]``."""
        means = _means(at_least_float32(region.own(canvas)), self._cell)
        top, left = region.top // self._cell, region.left // self._cell
        target = self._target[..., top : top + means.shape[-2], left : left + means.shape[-1]]
        return (means - target.to(means)).square().sum().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over the cells' values."""
        return summary.sum() * self._scale


def cell_for(proof: Sequence[int], size: Sequence[int]) -> int:
    """Return the smallest cell that is as large as a proof's pixel on a picture of another size, or the largest."""
    pixel = max(size) / max(proof)
    return next((cell for cell in CELLS if cell >= pixel), CELLS[-1])


def _means(picture: Tensor, cell: int) -> Tensor:
    return functional.avg_pool2d(picture, cell, ceil_mode=True)
