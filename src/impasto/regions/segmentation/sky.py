"""Sky as a soft mask.

Input: an image. Output: a mask, or None where there is no sky. A linear classifier of VGG-19's features and of the
height in the image says how probable sky is in each cell (``data/sky.npz``, logistic regression on 250 photographs).
GrabCut draws the border from where it is sure, and the guided filter lets the mask follow roofs and branches. What does
not reach the top of the image is not sky.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from importlib.resources import files

import numpy as np

from impasto.regions.segmentation.features import LAYERS, grid_features
from impasto.regions.segmentation.guided_filter import guided_filter
from impasto.regions.segmentation.opencv import Flags, Pixels, connected, grab_cut, resized, shrunk

SIDE_PX = 320
SURE, UNLIKELY = 0.85, 0.1  # probabilities from which a place is sky, and below which it is not
MIN_MEAN = 0.55  # probability that what was found must have on average
SMOOTH = 6.0  # units of CIE L*a*b* between neighbors within the sky
SMALLEST, LARGEST = 0.015, 0.99  # of the image; if nothing else is in it, it may as well be a wall
RADIUS, EPSILON = 0.008, 4e-4


def sky_mask(
    pixels: Pixels, foreground: Pixels | None = None, features: dict[str, Pixels] | None = None
) -> Pixels | None:
    """Return a soft mask ``[H, W]`` in [0, 1] over the sky, or None where there is none.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
        foreground: ``[H, W]`` in [0, 1], what is known not to be sky.
        features: of the image, as ``grid_features`` returned them.
    """
    small = shrunk(pixels, SIDE_PX)
    size = (small.shape[0], small.shape[1])
    probable = resized(sky_probability(features or grid_features(pixels)), size)
    if foreground is not None:
        probable = probable * (1 - resized(foreground, size))
    sure = (probable > SURE) & _smooth(small)
    if sure.mean() < SMALLEST / 3:
        return None
    found = _reaching_top(grab_cut(small, probable > 0.5, sure, probable < UNLIKELY))
    if not SMALLEST <= found.mean() <= LARGEST or probable[found].mean() < MIN_MEAN:
        return None
    return guided_filter(pixels, found.astype(np.float32), RADIUS, EPSILON)


@cache
def _file() -> bytes:
    return files(__package__).joinpath("data", "sky.npz").read_bytes()


def classifier_hash() -> str:
    """Return the SHA-256 of the classifier's file."""
    return hashlib.sha256(_file()).hexdigest()


@cache
def _classifier() -> tuple[Pixels, float]:
    with np.load(io.BytesIO(_file())) as stored:
        return stored["weight"].astype(np.float32), float(stored["bias"])


def sky_probability(features: dict[str, Pixels]) -> Pixels:
    """Return the probability of sky in each cell of ``grid_features``, ``[h, w]``."""
    weight, bias = _classifier()
    layers = np.concatenate([features[name] for name in LAYERS])  # [C, h, w]
    rows = np.linspace(0, 1, layers.shape[1], dtype=np.float32)[:, None]
    logits = np.einsum("c,chw->hw", weight[:-1], np.sqrt(layers)) + weight[-1] * rows + bias
    return np.asarray(1 / (1 + np.exp(-logits.clip(-30, 30))), np.float32)


def _smooth(small: Pixels) -> Flags:
    import cv2

    lab = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (3, 3), 0)
    spread = cv2.dilate(lab, np.ones((3, 3))) - cv2.erode(lab, np.ones((3, 3)))
    return np.asarray(np.linalg.norm(spread, axis=-1) < 2 * SMOOTH, bool)


def _reaching_top(found: Flags) -> Flags:
    parts = connected(found)
    top = np.unique(parts[:3])
    return np.isin(parts, top[top > 0])
