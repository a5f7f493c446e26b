"""Photorealism: in every small window the canvas should be an affine function of the content's colors.

The loss is ``sum over channels of V' L V`` divided by the number of windows, where V is a channel of the canvas and L
the matting Laplacian of the content image (Levin, Lischinski & Weiss, CVPR 2006), as in the photorealism term of Luan,
Paris, Shechtman & Bala, Deep Photo Style Transfer, CVPR 2017, equation 2. Differences from the paper: a mean over
windows instead of a sum over pixels; L is never built: the share of a window is ``9 (var(V) - cov(I, V)' (cov(I) +
eps/9)^-1 cov(I, V))``, computed with four box filters. 0 means an affine change of color in every 3 x 3 window; any
such change of the whole canvas leaves it (up to eps) unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import OptionError
from impasto.losses.summaries.protocol import Features
from impasto.losses.summaries.tile_window import TileWindow

EPSILON = 1e-7
SIDE = 3


class MattingLoss:
    """The energy of the canvas under the content's matting Laplacian.

    Args:
        content: ``[1, 3, H, W]`` at the canvas's size.
        epsilon: regularization of the windows' covariances.

    Raises:
        OptionError: the image has no 3 x 3 window.
    """

    layers: tuple[str, ...] = ()
    halo_px = 2
    refresh_every: int | None = None

    def __init__(self, content: Tensor, *, epsilon: float = EPSILON) -> None:
        height, width = content.shape[-2:]
        if min(height, width) < SIDE:
            raise OptionError(
                f"an image of {width}x{height} px has no 3x3 window: use a larger --size", "photorealism_weight"
            )
        self._content = content.detach()
        self._scale = 1 / ((height - 2) * (width - 2))
        self._epsilon = epsilon
        self._whole: Tensor | None = None  # inverses of the whole image's windows, where no tiles are used

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the sum over the windows whose upper left pixel is inside the tile, ``[1]``."""
        bottom, right = min(window.bottom, window.height - 2), min(window.right, window.width - 2)
        if bottom <= window.top or right <= window.left:
            return canvas.new_zeros(1) + 0 * canvas.sum()
        rows, columns = slice(window.top, bottom + 2), slice(window.left, right + 2)
        down, across = window.read_top, window.read_left
        # Variances are small differences of large numbers here, and there are only a dozen maps: float64.
        mine = canvas[
            0, :, rows.start - down : rows.stop - down, columns.start - across : columns.stop - across
        ].double()
        guide = self._content[0, :, rows, columns].double()
        mean, guide_mean = _box(mine), _box(guide)
        variance = _box(mine.square()) - mean.square()  # [3, h, w]
        inverse = self._inverses(guide, guide_mean, window)
        total = variance.sum()
        for channel in range(3):
            covariance = _box(guide * mine[channel]) - guide_mean * mean[channel]  # [3, h, w]
            for place, (a, b) in enumerate(PAIRS):
                times = 1 if a == b else 2
                total = total - times * (inverse[place] * covariance[a] * covariance[b]).sum()
        energy = SIDE**2 * total
        return energy.reshape(1).to(canvas.dtype)

    def _inverses(self, guide: Tensor, mean: Tensor, window: TileWindow) -> Tensor:
        """Return the inverses of the windows' covariances, ``[6, h, w]`` float64 in the order of ``PAIRS``."""
        if window.is_whole and self._whole is not None:
            return self._whole
        products = torch.stack([guide[a] * guide[b] for a, b in PAIRS])
        covariance = _box(products) - torch.stack([mean[a] * mean[b] for a, b in PAIRS])
        inverse = _inverse(covariance, self._epsilon / SIDE**2)
        if window.is_whole:
            self._whole = inverse
        return inverse

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean over windows."""
        return summary.sum() * self._scale


PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def _box(maps: Tensor) -> Tensor:
    """Return the means of ``[K, H, W]`` over 3 x 3 windows, ``[K, H-2, W-2]``."""
    return functional.avg_pool2d(maps[None], SIDE, stride=1)[0]


def _inverse(covariance: Tensor, ridge: float) -> Tensor:
    """Return the inverses of symmetric 3 x 3 matrices, both as upper triangles ``[6, h, w]`` in ``PAIRS``'s order."""
    a, b, c, d, e, f = covariance
    a, d, f = a + ridge, d + ridge, f + ridge
    cofactors = torch.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b])
    determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2]
    inverse: Tensor = cofactors / determinant.clamp_min(ridge**3)
    return inverse
