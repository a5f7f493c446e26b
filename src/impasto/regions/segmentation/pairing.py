"""Parts of a photograph and of a painting that are similar, as two label images of equal colors.

Input: two images. Output: label images, up to five labels each. The cells of the photograph are clustered by VGG-19's
features, lightness, height and how probable sky is there, and each cell of the painting joins the nearest cluster. The
features of each image are standardized first, since paint has other statistics than a photograph. A part of the
photograph with no counterpart is white: the whole painting serves it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impasto.regions.segmentation.features import SIDE_PX, grid_features
from impasto.regions.segmentation.opencv import Pixels, k_means, resized, shrunk
from impasto.regions.segmentation.sky import sky_probability

MAX_LABELS = 5
SMALLEST = 0.04  # of either image; smaller parts have no counterpart
COMPONENTS = 12  # principal components of the features
FEATURE_WEIGHT, LIGHT_WEIGHT, HEIGHT_WEIGHT, SKY_WEIGHT = 1.0, 0.6, 1.0, 1.5
WHOLE, NONE = (255, 255, 255), (0, 0, 0)  # a part of the photograph without counterpart, and one of the painting
COLORS = ((70, 130, 220), (60, 160, 80), (215, 130, 50), (160, 80, 170), (120, 110, 100))

Levels = NDArray[np.uint8]
Color = tuple[int, int, int]


def pair(content: Pixels, style: Pixels) -> tuple[Levels, Levels]:
    """Return the label images of a photograph and a painting.

    Args:
        content, style: ``[H, W, 3]`` sRGB in [0, 1], each of its own size.

    Returns:
        ``[h, w, 3]`` uint8 for each, with a long side of 320 px; equal colors belong together.
    """
    smalls = shrunk(content, SIDE_PX), shrunk(style, SIDE_PX)
    described = [_described(small, grid_features(whole)) for small, whole in zip(smalls, (content, style), strict=True)]
    count, shapes = len(described[0][0]), [shape for _, shape in described]
    points = np.concatenate([part for part, _ in described])
    points = np.concatenate([FEATURE_WEIGHT * _reduced(points[:, :-3]), points[:, -3:]], 1).astype(np.float32)
    own = k_means(points[:count], MAX_LABELS)
    centers = np.stack([points[:count][own == k].mean(0) for k in range(MAX_LABELS)])
    nearest = ((points[count:, None] - centers) ** 2).sum(-1).argmin(1)
    sides = own.reshape(shapes[0]), nearest.reshape(shapes[1])
    shared = [k for k in range(MAX_LABELS) if all((side == k).mean() >= SMALLEST for side in sides)]
    shared.sort(key=lambda k: -float((sides[0] == k).mean()))
    colors = dict(zip(shared, COLORS, strict=False))
    return _painted(smalls[0], sides[0], colors, WHOLE), _painted(smalls[1], sides[1], colors, NONE)


def _described(small: Pixels, features: dict[str, Pixels]) -> tuple[Pixels, tuple[int, int]]:
    """Return what an image's cells are compared by, ``[h * w, C + 3]``, and ``(h, w)``."""
    import cv2

    rows, columns = features["relu4_1"].shape[1:]
    layers = [np.sqrt(features[name]).reshape(len(features[name]), -1).T for name in ("relu3_1", "relu4_1")]
    layers = [(layer - layer.mean(0)) / (layer.std(0) + 1e-3) / np.sqrt(layer.shape[1]) for layer in layers]
    light = cv2.cvtColor(resized(small, (rows, columns)), cv2.COLOR_RGB2LAB)[..., 0].reshape(-1, 1)
    light = LIGHT_WEIGHT * (light - light.mean()) / (light.std() + 1)
    height = HEIGHT_WEIGHT * np.repeat(np.linspace(-1.7, 1.7, rows), columns)[:, None]
    sky = np.sqrt(sky_probability(features)).reshape(-1, 1)
    sky = SKY_WEIGHT * (sky - sky.mean()) / (sky.std() + 0.1)
    return np.concatenate([*layers, light, height, sky], 1).astype(np.float32), (rows, columns)


def _reduced(points: Pixels) -> Pixels:
    """Return the principal components of points, scaled so that the first has unit variance."""
    centered = points - points.mean(0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(points))
    found = centered @ vectors[:, ::-1][:, :COMPONENTS]
    return np.asarray(found / np.sqrt(max(float(values[-1]), 1e-8)), np.float32)


def _painted(small: Pixels, cells: NDArray[np.int32], colors: dict[int, Color], rest: Color) -> Levels:
    """Return the label image of an image, without specks."""
    import cv2

    size = (small.shape[0], small.shape[1])
    levels = np.full((*size, 3), rest, np.uint8)
    soft = np.stack([cv2.blur((cells == k).astype(np.float32), (3, 3)) for k in range(MAX_LABELS)])
    soft = np.stack([resized(part, size) for part in soft])
    best = soft.argmax(0)
    for k, color in colors.items():
        levels[best == k] = color
    return levels
