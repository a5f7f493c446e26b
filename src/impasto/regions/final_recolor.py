"""The content's colors, mapped to the style's, under the lightness of the painted image.

The result is the image with its lightness limited to the style's range and its chroma taken from the content, mapped so
that mean and covariance are the style's. Kolkin et al., Neural Neighbor Style Transfer, arXiv 2203.13215, color as the
last step; OKLab and the optimal-transport map as in ``color``. So that colors follow the painted shapes, the chroma
passes a guided filter (He, Sun & Tang, IEEE PAMI 2013) whose guide is that lightness. A gray style makes the image
gray.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from impasto.regions.color import Rows, by_rows, from_oklab, limit_chroma, matching_map, moments, to_oklab
from impasto.regions.region_tensors import Region, RegionTensors

RIDGE = 1e-4  # added to both covariances: a gray content is not amplified
RADIUS = 1 / 100  # of the long side: radius of the filter
FLATNESS = 1e-3  # variance of lightness below which the filter treats an area as flat


def recolored(picture: Tensor, tensors: RegionTensors) -> Tensor:
    """Return an image with the content's colors, mapped to the style's.

    Args:
        picture: ``[1, 3, H, W]`` sRGB in [0, 1].
        tensors: at the image's size. Each region takes its own style's colors; frozen pixels and regions that keep
            the content's colors are unchanged.

    Returns:
        ``[1, 3, H, W]`` in [0, 1], inside the gamut at its own lightness.
    """
    lab, given = by_rows(_lab, picture), by_rows(_lab, tensors.content)
    lightness, chroma = torch.zeros_like(lab[:, :1]), torch.zeros_like(lab[:, 1:])
    left = torch.ones_like(lightness)
    for region in tensors.regions:
        if region.lightness_only:
            continue
        share = left if region.mask is None else region.mask.to(lab)
        low, high, matrix, offset = _lightness_and_map(region, given)
        left = (left - share).clamp(0, 1)
        moved = torch.einsum("ij,bihw->bjhw", matrix.to(lab), given[:, 1:]) + offset.to(lab).view(1, 2, 1, 1)
        lightness = lightness + share * lab[:, :1].clamp(low, high)
        chroma = chroma + share * moved
    guide = lightness + left * lab[:, :1]
    radius = max(1, round(RADIUS * max(picture.shape[-2:])))
    new = torch.cat([guide, guided(chroma + left * lab[:, 1:], guide, radius)], 1)
    stays = left if tensors.frozen_mask is None else torch.maximum(left, tensors.frozen_mask.to(left))
    painted = by_rows(lambda rows: from_oklab(limit_chroma(rows)).clamp(0, 1).to(picture), new)
    return picture * stays.to(picture) + painted * (1 - stays.to(picture))


def _lab(rows: Tensor) -> Tensor:
    return to_oklab(rows.double())


def _lightness_and_map(region: Region, content: Tensor) -> tuple[float, float, Tensor, Tensor]:
    """Return a region's range of lightness, and the affine map from the content's chroma to that of its styles."""
    low, high, found, parts = 1.0, 0.0, [], []
    for source in region.styles:
        lab = to_oklab(source.picture.double())
        seen = lab[:, :1] if source.mask is None else lab[:, :1][source.mask > 0.5 * source.mask.max()]
        low, high = min(low, float(seen.min())), max(high, float(seen.max()))
        found.append(_moments(lab, source.mask))
        parts.append(source.part)
    share = np.array(parts) / sum(parts)
    mean = sum(part * first for part, (first, _) in zip(share, found, strict=True))
    # Second moments are mixed directly, so differences between the styles' means add to the covariance.
    raw = sum(part * (second + np.outer(first, first)) for part, (first, second) in zip(share, found, strict=True))
    source_mean, source_spread = _moments(content, region.mask)
    ridge = RIDGE * np.eye(2)
    spread = raw - np.outer(mean, mean)
    matrix, offset = matching_map((source_mean, source_spread + ridge), (mean, spread + ridge))
    return low, high, torch.from_numpy(matrix), torch.from_numpy(offset)


def _moments(lab: Tensor, mask: Tensor | None) -> tuple[Rows, Rows]:
    rows = lab[0, 1:].flatten(1).T.cpu().numpy()
    return moments(rows, None if mask is None else mask.double().flatten().cpu().numpy())


def guided(values: Tensor, guide: Tensor, radius: int, flatness: float = FLATNESS) -> Tensor:
    """Return values smoothed where their guide is flat, with edges where it has edges.

    Args:
        values: ``[1, C, H, W]``.
        guide: ``[1, 1, H, W]``.
        radius: of the window in px.
        flatness: variance of the guide that counts as nothing.
    """

    def mean(part: Tensor) -> Tensor:
        return functional.avg_pool2d(part, 2 * radius + 1, 1, radius, count_include_pad=False)

    about, level = mean(guide), mean(values)
    slope = (mean(guide * values) - about * level) / (mean(guide.square()) - about.square() + flatness)
    return mean(slope) * guide + mean(level - slope * about)
