"""Content as edges: the Laplacian of the image preserves lines and small shapes that deep features lose.

The loss is the mean squared difference of the Laplacians of the canvas and the content image after pooling over cells
of a few pixels, summed over channels. Li, Xu, Nie & Chua, Laplacian-Steered Neural Style Transfer, ACM MM 2017.
Differences from the paper: a mean instead of a sum; the outermost cells, which lack a neighbor, are omitted; several
pool sizes are averaged. 0 means equal Laplacians; adding a constant or a linear gradient to the canvas leaves it
unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import OptionError
from impasto.losses.summaries.protocol import Features, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow

POOLS = (4, 16)


class EdgeLoss:
    """Squared difference of Laplacians.

    Args:
        content: ``[1, 3, H, W]`` at the canvas's size.
        pools: sides of the cells in px, divisors of 16; those too large for the image are omitted.

    Raises:
        OptionError: the image has no cell with four neighbors even at the smallest pool size.
    """

    layers: tuple[str, ...] = ()
    halo_px = 16
    refresh_every: int | None = None

    def __init__(self, content: Tensor, *, pools: Sequence[int] = POOLS) -> None:
        height, width = content.shape[-2:]
        self._pools = [pool for pool in pools if min(height, width) // pool >= 3]
        if not self._pools:
            raise OptionError(
                f"the edge loss needs 3 cells of {min(pools)} px per side; the image is {width}x{height} px: "
                "use a larger --size",
                "edge_weight",
            )
        window = TileWindow.whole(height, width)
        self._targets = {pool: _laplacian(content.detach(), pool, window) for pool in self._pools}
        self._factors = [1 / (len(self._pools) * target.numel()) for target in self._targets.values()]

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum of squared differences for each pool, over the cells inside the tile."""
        sums = []
        for pool in self._pools:
            mine = _laplacian(canvas, pool, window)
            (top, bottom), (left, right) = _inner(window, pool)
            target = self._targets[pool][..., top - 1 : bottom - 1, left - 1 : right - 1].to(mine)
            sums.append((mine - target).square().sum())
        return torch.stack(sums)

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over cells, averaged over pools."""
        return (summary * summary.new_tensor(self._factors)).sum()


def _inner(window: TileWindow, pool: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and columns of the cells inside a tile that have four neighbors."""
    (top, bottom), (left, right) = window.rows(pool), window.columns(pool)
    top, left = max(top, 1), max(left, 1)
    bottom, right = min(bottom, window.height // pool - 1), min(right, window.width // pool - 1)
    return (top, max(top, bottom)), (left, max(left, right))


def _laplacian(canvas: Tensor, pool: int, window: TileWindow) -> Tensor:
    pooled = functional.avg_pool2d(at_least_float32(canvas).sum(1, keepdim=True), pool)
    (top, bottom), (left, right) = _inner(window, pool)
    down, across = window.read_top // pool, window.read_left // pool
    area = pooled[..., top - 1 - down : bottom + 1 - down, left - 1 - across : right + 1 - across]
    if bottom == top or right == left:
        return area.new_zeros(1, 1, bottom - top, right - left)
    around = area[..., :-2, 1:-1] + area[..., 2:, 1:-1] + area[..., 1:-1, :-2] + area[..., 1:-1, 2:]
    return 4 * area[..., 1:-1, 1:-1] - around
