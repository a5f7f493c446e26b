"""Sky as a soft mask.

In: a picture. Out: a mask, or None where there is no sky. A linear classifier of VGG-19's features and of the height in
the picture says how probable sky is in each cell (``data/sky.npz``, logistic regression on 150 photographs). Where it is
sure, two mixtures of colors are trained that draw the border (GrabCut: Rother, Kolmogorov & Blake, SIGGRAPH 2004), and
the guided filter lets the mask follow roofs and branches. What does not reach the top of the picture is no sky.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from impasto.regions.segmentation.features import LAYERS, grid_features
from impasto.regions.segmentation.guided_filter import guided_filter

Pixels = NDArray[np.float32]

SIDE_PX = 320
SURE, UNLIKELY = 0.85, 0.1  # probabilities from which a place is sky, and below which it is not
LEAST_MEAN = 0.55  # probability that what was found must have on average
SMOOTH = 6.0  # units of CIE L*a*b* between neighbors within the sky
SMALLEST = 0.015  # of the picture
RADIUS, EPSILON = 0.008, 4e-4


def sky_mask(
    pixels: Pixels, foreground: Pixels | None = None, features: dict[str, Pixels] | None = None
) -> Pixels | None:
    """Return a soft mask ``[H, W]`` in [0, 1] over the sky, or None where there is none.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
        foreground: ``[H, W]`` in [0, 1], what is known to be no sky.
        features: of the picture, as ``grid_features`` returned them.
    """
    import cv2

    factor = min(1.0, SIDE_PX / max(pixels.shape[:2]))
    height, width = (max(8, round(factor * length)) for length in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    probable = _probability(features or grid_features(pixels))
    probable = cv2.resize(probable, (width, height), interpolation=cv2.INTER_LINEAR)
    if foreground is not None:
        probable = probable * (1 - cv2.resize(foreground, (width, height), interpolation=cv2.INTER_AREA))
    sure = (probable > SURE) & _smooth(small)
    if sure.mean() < SMALLEST / 3:
        return None
    found = _reaching_top(_cut(small, probable, sure))
    if found.mean() < SMALLEST or probable[found].mean() < LEAST_MEAN:
        return None
    return guided_filter(pixels, found.astype(np.float32), RADIUS, EPSILON)


@cache
def _classifier() -> tuple[Pixels, float]:
    with files(__package__).joinpath("data", "sky.npz").open("rb") as file, np.load(file) as stored:
        return stored["weight"].astype(np.float32), float(stored["bias"])


def _probability(features: dict[str, Pixels]) -> Pixels:
    """Return the probability of sky in each cell, ``[h, w]``."""
    weight, bias = _classifier()
    layers = np.concatenate([features[name] for name in LAYERS])  # [C, h, w]
    rows = np.linspace(0, 1, layers.shape[1], dtype=np.float32)[:, None]
    logits = np.einsum("c,chw->hw", weight[:-1], np.sqrt(layers)) + weight[-1] * rows + bias
    return np.asarray(1 / (1 + np.exp(-logits.clip(-30, 30))), np.float32)


def _smooth(small: Pixels) -> NDArray[np.bool_]:
    import cv2

    lab = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (3, 3), 0)
    spread = cv2.dilate(lab, np.ones((3, 3))) - cv2.erode(lab, np.ones((3, 3)))
    return np.asarray(np.linalg.norm(spread, axis=-1) < 2 * SMOOTH, bool)


def _cut(small: Pixels, probable: Pixels, sure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the sky by the colors of what is surely sky and surely not."""
    import cv2

    state = np.where(probable > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    state[sure] = cv2.GC_FGD
    state[probable < UNLIKELY] = cv2.GC_BGD
    if not np.isin(state, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        return np.ones_like(sure)
    cv2.setRNGSeed(0)
    levels = np.round(small * 255).astype(np.uint8)
    cv2.grabCut(levels, state, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return np.asarray((state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD), bool)


def _reaching_top(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import cv2

    _, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=8)
    top = np.unique(labels[:3])
    return np.isin(labels, top[top > 0])
