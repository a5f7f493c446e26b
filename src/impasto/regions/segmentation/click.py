"""What is at a point that somebody clicked on, as a soft mask.

Input: an image and points to include or leave out. Output: a mask. The cells of the image are clustered by VGG-19's
features, color and position; the connected part of a cluster around a point is what the point probably selects. GrabCut
draws its border, and the guided filter lets that follow the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impasto.regions.segmentation.features import SIDE_PX
from impasto.regions.segmentation.guided_filter import guided_filter
from impasto.regions.segmentation.names import Click
from impasto.regions.segmentation.opencv import Flags, Pixels, connected, grab_cut, k_means, resized, shrunk

CLUSTERS = (9, 6, 4)  # fewer where what a point selects would be a speck
MIN_SELECTED = 0.015  # of the cells
MIN_KEPT = 0.4  # fraction of the selected cells that GrabCut must keep
SPOT = 0.012  # of the long side: radius around a point that is certainly selected
LAYER_WEIGHTS = {"relu2_1": 1.0, "relu3_1": 1.0}
COLOR_WEIGHT, POSITION_WEIGHT = 1.0, 0.25
RADIUS, EPSILON = 0.006, 4e-4


def selection_mask(pixels: Pixels, clicks: Sequence[Click], features: dict[str, Pixels]) -> Pixels:
    """Return a soft mask ``[H, W]`` in [0, 1] over what is at the points.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
        clicks: x and y in [0, 1] and whether the point is added or removed; the first is added.
        features: of the image, as ``grid_features`` returned them.
    """
    import cv2

    small = shrunk(pixels, SIDE_PX)
    height, width = small.shape[:2]
    points, shape = _points(small, features)
    levels = [k_means(points, min(count, len(points))).reshape(shape) for count in CLUSTERS]
    meant = np.zeros(shape, bool)
    for x, y, added in clicks:
        parts = [_part(cells, x, y) for cells in levels]
        part = next((part for part in parts if part.mean() >= MIN_SELECTED), parts[-1])
        meant = meant | part if added else meant & ~part
    # What is far from the selected cells is omitted: by color alone every similar object would be selected.
    near = _enlarged(cv2.dilate(meant.astype(np.float32), np.ones((5, 5))) > 0, (height, width))
    spots = np.zeros((2, height, width), np.uint8)
    for x, y, added in clicks:
        center = min(width - 1, int(x * width)), min(height - 1, int(y * height))
        cv2.circle(spots[int(added)], center, max(2, round(SPOT * max(height, width))), 1, -1)
    inside, outside = spots[1] > 0, (spots[0] > 0) | ~near
    likely = _enlarged(meant, (height, width))
    found = grab_cut(small, likely, inside, outside, iterations=4)
    found = _touching(found, clicks)
    if found.sum() < MIN_KEPT * likely.sum():  # the colors on both sides are similar: the cells are more reliable
        found = (likely & ~outside) | inside
    return guided_filter(pixels, found.astype(np.float32), RADIUS, EPSILON)


def _points(small: Pixels, features: dict[str, Pixels]) -> tuple[Pixels, tuple[int, int]]:
    """Return what the cells of an image are compared by, ``[h * w, D]``, and ``(h, w)``."""
    import cv2

    rows, columns = next(iter(features.values())).shape[1:]
    lab = cv2.cvtColor(resized(small, (rows, columns)), cv2.COLOR_RGB2LAB)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / max(rows, columns)
    parts = [COLOR_WEIGHT * lab.reshape(-1, 3) / 25, POSITION_WEIGHT * 4 * np.stack([y.ravel(), x.ravel()], -1)]
    for name, weight in LAYER_WEIGHTS.items():
        layer = np.sqrt(features[name].reshape(features[name].shape[0], -1).T)
        layer = layer - layer.mean(0)
        parts.append(weight * 2 * layer / np.sqrt((layer**2).sum(-1).mean() + 1e-8))
    points = np.concatenate(parts, 1).astype(np.float32)
    return points, (rows, columns)


def _part(cells: NDArray[np.int32], x: float, y: float) -> Flags:
    """Return the connected cells of the cluster at a point."""
    row, column = min(cells.shape[0] - 1, int(y * cells.shape[0])), min(cells.shape[1] - 1, int(x * cells.shape[1]))
    parts = connected(cells == cells[row, column])
    return np.asarray(parts == parts[row, column], bool)


def _touching(found: Flags, clicks: Sequence[Click]) -> Flags:
    """Return the connected parts of a mask that contain an added place."""
    height, width = found.shape
    parts = connected(found)
    at = [parts[min(height - 1, int(y * height)), min(width - 1, int(x * width))] for x, y, added in clicks if added]
    return np.isin(parts, [part for part in at if part > 0])


def _enlarged(cells: Flags, size: tuple[int, int]) -> Flags:
    return resized(cells.astype(np.float32), size) > 0.5
