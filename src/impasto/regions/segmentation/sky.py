"""Sky, by a rule: what reaches the top of the picture, is smooth, and is bright or blue.

In: a picture. Out: a soft mask, or None. No package ships a network for it, so seeds are pixels that a path of smooth
steps joins to the top edge; they, and what is certainly below, train two mixtures of colors (GrabCut: Rother,
Kolmogorov & Blake, SIGGRAPH 2004), and the guided filter lets the mask follow roofs and branches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impasto.regions.segmentation.guided_filter import guided_filter

Pixels = NDArray[np.float32]

SIDE_PX = 320
SMOOTH = 5.0  # largest step between neighbors in units of CIE L*a*b*
SMALLEST = 0.02  # of the picture
LARGEST = 0.97
RADIUS, EPSILON = 0.01, 4e-4


def sky_mask(pixels: Pixels, foreground: Pixels | None = None) -> Pixels | None:
    """Return a soft mask ``[H, W]`` in [0, 1] over the sky, or None where there is none.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
        foreground: ``[H, W]`` in [0, 1], what is known to be no sky.
    """
    import cv2

    height, width = pixels.shape[:2]
    factor = min(1.0, SIDE_PX / max(height, width))
    size = max(8, round(factor * width)), max(8, round(factor * height))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    blocked = np.zeros(small.shape[:2], bool)
    if foreground is not None:
        blocked = cv2.resize(foreground, size, interpolation=cv2.INTER_AREA) > 0.5
    seeds = _seeds(small, blocked)
    if seeds.mean() < SMALLEST or not _looks_like_sky(small, seeds):
        return None
    found = _cut(small, seeds, blocked)
    if not SMALLEST <= found.mean() <= LARGEST:
        return None
    return guided_filter(pixels, found.astype(np.float32), RADIUS, EPSILON)


def _seeds(small: Pixels, blocked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the smooth pixels that smooth paths join to the top edge."""
    import cv2

    lab = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (3, 3), 0)
    step = np.zeros(small.shape[:2], np.float32)
    step[1:] = np.maximum(step[1:], np.linalg.norm(lab[1:] - lab[:-1], axis=-1))
    step[:, 1:] = np.maximum(step[:, 1:], np.linalg.norm(lab[:, 1:] - lab[:, :-1], axis=-1))
    smooth = (step < SMOOTH) & ~blocked
    smooth = cv2.erode(smooth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    _, labels = cv2.connectedComponents(smooth.astype(np.uint8), connectivity=4)
    top = np.unique(labels[: max(2, small.shape[0] // 50)])
    return np.isin(labels, top[top > 0])


def _looks_like_sky(small: Pixels, seeds: NDArray[np.bool_]) -> bool:
    import cv2

    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    inside, outside = lab[seeds], lab[~seeds]
    lightness, green, yellow = inside.mean(0)
    blue = yellow < -6 and green < 20
    brighter = lightness > 55 and (len(outside) == 0 or lightness > outside[:, 0].mean() + 8)
    leaves = green < -10 and yellow > 5
    return bool((blue or brighter) and not leaves)


def _cut(small: Pixels, seeds: NDArray[np.bool_], blocked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import cv2

    height = small.shape[0]
    state = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    state[seeds] = cv2.GC_PR_FGD
    state[cv2.erode(seeds.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0] = cv2.GC_FGD
    state[blocked] = cv2.GC_BGD
    lowest = np.flatnonzero(seeds.any(1)).max()
    state[min(height - 1, lowest + height // 6) :][~seeds[min(height - 1, lowest + height // 6) :]] = cv2.GC_BGD
    if not (state == cv2.GC_BGD).any() and not (state == cv2.GC_PR_BGD).any():
        return seeds
    cv2.setRNGSeed(0)
    cv2.grabCut(np.round(small * 255).astype(np.uint8), state, None, np.zeros((1, 65)), np.zeros((1, 65)), 3,
                cv2.GC_INIT_WITH_MASK)  # fmt: skip
    found = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    _, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=8)
    top = np.unique(labels[:3])
    return np.isin(labels, top[top > 0])
