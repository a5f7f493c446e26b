"""Color separated from shape: OKLab, and the ways to keep, match or transfer colors.

The functions take and return sRGB in [0, 1], as tensors ``[..., 3, H, W]`` (differentiable) or as rows of colors ``[N,
3]``. OKLab (Ottosson, 2020) is computed from linear light; L is lightness, a and b hold the chroma. Keeping the
content's chroma and matching mean and covariance follow Gatys, Ecker, Bethge, Hertzmann & Shechtman, CVPR 2017, section
5; matching whole distributions follows Pitie, Kokaram & Dahyot, ICCV 2005. Differences from the paper: OKLab instead of
YIQ and RGB; the map between covariances is the optimal-transport one; lightness is limited to what the screen can show
at that chroma.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.float64]

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_CONES = np.linalg.inv(_TO_CONES)
_FROM_LAB = np.linalg.inv(_TO_LAB)
# Below this a cube root is continued by a straight line, so that black has a finite slope.
_DARKEST = 1e-7
# Variances below this (a deviation of 0.001) are rounding, not color, and are not amplified.
_MIN_VARIANCE = 1e-6
_SAMPLES = 65_536
_BISECTIONS = 16
AT_ONCE = 2**18  # pixels of an image processed at a time, where that takes much memory per pixel


def to_linear(srgb: Tensor) -> Tensor:
    """Return linear light, in [0, 1] for sRGB in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """Return sRGB from linear light; the linear segment is extended below 0."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def to_oklab(srgb: Tensor) -> Tensor:
    """Return OKLab.

    Args:
        srgb: ``[..., 3, H, W]`` in [0, 1].

    Returns:
        ``[..., 3, H, W]``: L in [0, 1], a and b within about 0.4 of 0.
    """
    cones = _mix(to_linear(srgb), _TO_CONES)
    slope = _DARKEST ** (-2 / 3)
    roots = torch.where(cones > _DARKEST, cones.clamp(min=_DARKEST) ** (1 / 3), cones * slope)
    return _mix(roots, _TO_LAB)


def from_oklab(lab: Tensor) -> Tensor:
    """Return sRGB of OKLab ``[..., 3, H, W]``, unclamped: outside the gamut it leaves [0, 1]."""
    return from_linear(_light(lab))


def _light(lab: Tensor) -> Tensor:
    roots = _mix(lab, _FROM_LAB)
    least = _DARKEST ** (1 / 3)
    return _mix(torch.where(roots > least, roots**3, roots * least**2), _FROM_CONES)


def _mix(planes: Tensor, matrix: Rows) -> Tensor:
    weights = torch.as_tensor(matrix, dtype=planes.dtype, device=planes.device)
    return torch.einsum("ij,...jhw->...ihw", weights, planes)


def rows_to_oklab(colors: NDArray[np.generic]) -> Rows:
    """Return OKLab of colors ``[..., 3]`` in [0, 1] as float64 of the same shape."""
    flat = np.asarray(colors, np.float64).reshape(-1, 3)
    lab = to_oklab(torch.from_numpy(np.ascontiguousarray(flat.T))[:, None])[:, 0].numpy().T
    return np.ascontiguousarray(lab).reshape(np.shape(colors))


def _shown(lab: Tensor, slack: float = 1e-7) -> Tensor:
    light = _light(lab)
    return ((light >= -slack) & (light <= 1 + slack)).all(-3, keepdim=True)


def lightness_range(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Return the minimum and maximum lightness that a screen can show at each position's chroma.

    Args:
        lab: ``[..., 3, H, W]``, inside the gamut.

    Returns:
        Two maps ``[..., 1, H, W]`` around the position's own lightness.
    """
    own = lab[..., :1, :, :]
    chroma = lab[..., 1:, :, :]
    ends = []
    for end in (0.0, 1.0):
        inside, outside = own, torch.full_like(own, end)
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            shown = _shown(torch.cat([middle, chroma], -3))
            inside, outside = torch.where(shown, middle, inside), torch.where(shown, outside, middle)
        ends.append(torch.where(_shown(torch.cat([torch.full_like(own, end), chroma], -3)), end, inside))
    return ends[0], ends[1]


def limit_chroma(lab: Tensor) -> Tensor:
    """Bring colors into the gamut by reducing chroma, at constant lightness and hue."""
    lightness, chroma = lab[..., :1, :, :].clamp(0, 1), lab[..., 1:, :, :]
    inside, outside = torch.zeros_like(lightness), torch.ones_like(lightness)
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        shown = _shown(torch.cat([lightness, chroma * middle], -3))
        inside, outside = torch.where(shown, middle, inside), torch.where(shown, outside, middle)
    share = torch.where(_shown(torch.cat([lightness, chroma], -3)), 1.0, inside)
    return torch.cat([lightness, chroma * share], -3)


class ChromaKeeper:
    """The content's chroma under a canvas's lightness.

    Args:
        content: ``[1, 3, H, W]`` sRGB in [0, 1]; its chroma is kept.
    """

    def __init__(self, content: Tensor) -> None:
        kept = by_rows(_kept, content)
        self._chroma, self._low, self._high = kept[:, :2], kept[:, 2:3], kept[:, 3:]

    def rows(self, first: int, last: int) -> ChromaKeeper:
        """Return what keeps some of the image's rows, up to ``last``."""
        own = copy(self)
        own._chroma, own._low, own._high = (part[..., first:last, :] for part in (self._chroma, self._low, self._high))
        return own

    def lightness(self, canvas: Tensor) -> Tensor:
        """Return the canvas's lightness ``[1, 1, H, W]``, limited to the gamut at the content's chroma."""
        return _limited(to_oklab(canvas)[:, :1], self._low, self._high)

    def color(self, canvas: Tensor) -> Tensor:
        """Return the image: the canvas's lightness, the content's chroma, ``[1, 3, H, W]`` in [0, 1]."""
        return _limited(from_oklab(torch.cat([self.lightness(canvas), self._chroma], 1)), 0.0, 1.0)


def _kept(content: Tensor) -> Tensor:
    """Return chroma, and the minimum and maximum lightness that it allows, ``[1, 4, H, W]``."""
    lab = to_oklab(content.double())
    return torch.cat([lab[:, 1:], *lightness_range(lab)], 1).to(content)


def by_rows(change: Callable[[Tensor], Tensor], picture: Tensor) -> Tensor:
    """Apply a pixelwise function to an image ``[B, C, H, W]`` in bands of rows.

    Colors are computed in float64 in many steps, for which a whole large image would take too much memory.
    """
    return torch.cat([change(picture[..., band, :]) for band in bands(picture)], -2)


def bands(picture: Tensor) -> list[slice]:
    """Return the rows of an image ``[B, C, H, W]`` in bands of about ``AT_ONCE`` pixels."""
    height, width = picture.shape[-2:]
    step = max(1, AT_ONCE // width)
    return [slice(first, min(first + step, height)) for first in range(0, height, step)]


class _Limit(torch.autograd.Function):
    """Clamp whose backward pass keeps gradients that lead back into the range, so that no pixel stays at the limit."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, low: Any, high: Any) -> Tensor:
        ctx.save_for_backward(value <= low, value >= high)
        return torch.clamp(value, low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0]
        below, above = ctx.saved_tensors
        outward = (below & (gradient > 0)) | (above & (gradient < 0))
        return gradient.masked_fill(outward, 0.0), None, None


def _limited(value: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    limited: Tensor = _Limit.apply(value, low, high)  # type: ignore[no-untyped-call]
    return limited


def gray_of(lightness: Tensor) -> Tensor:
    """Return the gray image ``[B, 3, H, W]`` of a lightness ``[B, 1, H, W]``."""
    return from_linear(lightness**3).clamp(0, 1).expand(-1, 3, -1, -1)


def desaturated(srgb: Tensor) -> Tensor:
    """Return an image ``[B, 3, H, W]`` as gray of the same lightness."""
    return gray_of(to_oklab(srgb)[:, :1])


def saturate(srgb: Tensor, factor: float) -> Tensor:
    """Return an image with its chroma multiplied, within the gamut, at its own lightness and hue.

    Args:
        srgb: ``[B, 3, H, W]`` in [0, 1].
        factor: 0 for gray, 1 changes nothing.
    """
    if factor == 1:
        return srgb
    if factor == 0:
        return desaturated(srgb)
    lab = to_oklab(srgb.double())
    lab = torch.cat([lab[:, :1], lab[:, 1:] * factor], 1)
    return from_oklab(limit_chroma(lab)).clamp(0, 1).to(srgb.dtype)


def moments(colors: Rows, weight: Rows | None = None) -> tuple[Rows, Rows]:
    """Return the weighted mean ``[3]`` and covariance ``[3, 3]`` of colors ``[N, 3]``."""
    weight = np.ones(len(colors)) if weight is None else np.asarray(weight, np.float64)
    share = weight / weight.sum()
    mean = share @ colors
    centered = colors - mean
    return mean, (centered * share[:, None]).T @ centered


def matching_map(source: tuple[Rows, Rows], target: tuple[Rows, Rows]) -> tuple[Rows, Rows]:
    """Return the affine map that gives colors another mean and covariance, moving them as little as possible.

    Args:
        source, target: mean ``[3]`` and covariance ``[3, 3]``.

    Returns:
        A symmetric matrix and an offset: ``colors @ matrix + offset``. A source without spread in some direction (a
        gray image) keeps none there.
    """
    (mean, covariance), (wanted_mean, wanted) = source, target
    root, inverse = _roots(covariance)
    inner, _ = _roots(root @ wanted @ root)
    matrix = inverse @ inner @ inverse
    return matrix, wanted_mean - mean @ matrix


def _roots(matrix: Rows) -> tuple[Rows, Rows]:
    """Return the symmetric square root and its inverse, which leaves directions without variance unchanged."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values = np.clip(values, 0, None)
    root = np.sqrt(values)
    inverse = np.where(values > 0, 1 / np.sqrt(np.maximum(values, _MIN_VARIANCE)), 0.0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T


def match(source: Rows, target: Rows, weight: Rows | None = None, target_weight: Rows | None = None) -> Rows:
    """Return colors with the mean and covariance of others, in the space they come in.

    Args:
        source, target: ``[N, 3]`` and ``[M, 3]``.
        weight, target_weight: ``[N]`` and ``[M]``, 0 or more, not all 0; equal if absent.
    """
    matrix, offset = matching_map(moments(source, weight), moments(target, target_weight))
    return source @ matrix + offset


def transport(
    source: Rows,
    target: Rows,
    weight: Rows | None = None,
    target_weight: Rows | None = None,
    *,
    rounds: int = 12,
) -> Rows:
    """Return colors with the whole distribution of others, by matching it along rotated axes repeatedly.

    Args:
        source, target: ``[N, 3]`` and ``[M, 3]``.
        weight, target_weight: as for ``match``.
        rounds: number of rotations.
    """
    generator = np.random.default_rng(2005)
    chosen = _systematic(len(source), weight)
    goal = target[_systematic(len(target), target_weight)]
    moved = match(source, target, weight, target_weight)
    shares = np.linspace(0, 1, 257)
    for turn in range(rounds):
        axes = np.eye(3) if turn == 0 else np.linalg.qr(generator.standard_normal((3, 3)))[0]
        turned, wanted = moved @ axes, goal @ axes
        for axis in range(3):
            here = np.quantile(turned[chosen, axis], shares)
            there = np.quantile(wanted[:, axis], shares)
            if here[-1] - here[0] < 1e-6:  # one color only: there is nothing to spread
                turned[:, axis] += there.mean() - here.mean()
            else:
                turned[:, axis] = np.interp(turned[:, axis], here, there)
        moved = turned @ axes.T
    # A direction in which the target has no spread, such as a gray's chroma, has none in the result.
    return match(moved, target, weight, target_weight)


def _systematic(count: int, weight: Rows | None) -> NDArray[np.intp]:
    """Return positions sampled systematically in proportion to their weight, without randomness."""
    if weight is None and count <= _SAMPLES:
        return np.arange(count)
    total = np.cumsum(np.ones(count) if weight is None else np.asarray(weight, np.float64))
    number = min(count, _SAMPLES)
    marks = (np.arange(number) + 0.5) / number * total[-1]
    return np.asarray(np.minimum(np.searchsorted(total, marks), count - 1), np.intp)


def recolor(source: Tensor, target: Tensor, how: str, weight: Tensor | None, target_weight: Tensor | None) -> Tensor:
    """Return an image in the colors of another.

    Args:
        source, target: ``[1, 3, H, W]`` and ``[1, 3, h, w]`` sRGB in [0, 1].
        how: ``match`` (mean and covariance), ``histogram`` (the whole distribution) or ``palette`` (the
            distribution's chroma under the source's own lightness).
        weight, target_weight: ``[1, 1, H, W]`` and ``[1, 1, h, w]``: weight of each pixel; equal if absent.

    Returns:
        ``[1, 3, H, W]`` in [0, 1], inside the gamut at its own lightness.
    """
    rows, wanted = _rows(source), _rows(target)
    weights = [None if w is None else w.detach().cpu().double().numpy().ravel() for w in (weight, target_weight)]
    new = (match if how == "match" else transport)(rows, wanted, *weights)
    if how == "palette":
        new[:, 0] = rows[:, 0]
    lab = torch.from_numpy(np.ascontiguousarray(new.T)).view(1, 3, *source.shape[-2:])
    return from_oklab(limit_chroma(lab)).clamp(0, 1).to(source)


def _rows(picture: Tensor) -> Rows:
    return rows_to_oklab(picture[0].detach().cpu().double().permute(1, 2, 0).reshape(-1, 3).numpy())
