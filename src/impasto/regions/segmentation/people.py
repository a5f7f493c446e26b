"""People and other foreground objects as a soft mask.

Input: an image and the faces found in it. Output: a mask over its people; if there are none, over the animals and
objects in the foreground, which the network also marks. It looks at the whole image, then at a window around each thing
it marked and below each face, since its output has 256x256 cells. The guided filter lets the mask follow hair and
hands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from impasto.regions.segmentation.faces import Face
from impasto.regions.segmentation.guided_filter import guided_filter
from impasto.regions.segmentation.networks import PEOPLE_SIDE, people
from impasto.regions.segmentation.opencv import Pixels, resized, shrunk

LONG_SIDE_PX = 1024
MAX_WINDOWS = 8
MARKED = 0.3  # probability from which an area is examined separately
SMALLEST_SHARE = 0.001  # of the image, of what is examined separately
MARGIN = 0.35  # of a window around what was marked, relative to its longer side
LARGEST_WINDOW = 0.7  # of the image; a larger window shows nothing new
RADIUS, EPSILON = 0.012, 1e-3  # of the guided filter

Window = tuple[int, int, int, int]


def foreground_mask(pixels: Pixels, faces: Sequence[Face]) -> Pixels:
    """Return a soft mask ``[H, W]`` in [0, 1] over people and other foreground objects, all zero if there are none.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
        faces: of the image, as ``find_faces`` returned them.

    Raises:
        WeightsError: the networks have not been fetched.
    """
    small = shrunk(pixels, LONG_SIDE_PX)
    size = (small.shape[0], small.shape[1])
    whole = people(small)
    total, weight = resized(whole, size).copy(), np.ones(size, np.float32)
    for top, left, bottom, right in _windows(whole, faces, size, size[0] / pixels.shape[0]):
        down = _fade(bottom - top, top > 0, bottom < size[0])
        across = _fade(right - left, left > 0, right < size[1])
        trust = 2 * down[:, None] * across
        total[top:bottom, left:right] += trust * resized(people(small[top:bottom, left:right]), trust.shape)
        weight[top:bottom, left:right] += trust
    return _contrast(guided_filter(pixels, _contrast(total / weight, 0.2), RADIUS, EPSILON), 0.12)


def _windows(whole: Pixels, faces: Sequence[Face], size: tuple[int, int], factor: float) -> list[Window]:
    """Return windows worth a closer look as top, left, bottom and right in px, the most important first."""
    import cv2

    height, width = size
    found: list[tuple[float, list[float]]] = []
    count, _, stats, _ = cv2.connectedComponentsWithStats((whole > MARKED).astype(np.uint8), connectivity=8)
    for left, top, across, down, area in stats[1:count] / np.array([PEOPLE_SIDE] * 4 + [PEOPLE_SIDE**2]):
        if area >= SMALLEST_SHARE:
            margin = MARGIN * max(across * width, down * height)
            y, x = top * height - margin, left * width - margin
            found.append((area, [y, x, y + down * height + 2 * margin, x + across * width + 2 * margin]))
    for face in faces:
        x, y, side = face.x * factor, face.y * factor, face.side * factor
        found.append((1.0, [y - 2 * side, x - 4 * side, y + 8 * side, x + 4 * side]))
    windows: list[Window] = []
    for _, (top, left, bottom, right) in sorted(found, key=lambda item: -item[0]):
        window = max(0, int(top)), max(0, int(left)), min(height, int(bottom)), min(width, int(right))
        area = (window[2] - window[0]) * (window[3] - window[1])
        if 0 < area <= LARGEST_WINDOW * height * width:
            windows.append(window)
    return windows[:MAX_WINDOWS]


def _fade(length: int, first: bool, last: bool) -> Pixels:
    """Return weights over a window's side that fall to 0 within an eighth of it at the ends inside the image."""
    place = (np.arange(length, dtype=np.float32) + 0.5) / length
    ends = [place] * first + [1 - place] * last
    return np.asarray(np.minimum(1, 8 * np.minimum.reduce([*ends, np.ones_like(place)])), np.float32)


def _contrast(mask: Pixels, dead: float) -> Pixels:
    """Return a mask with values below ``dead`` at 0, those above ``1 - dead`` at 1, and a smooth step between."""
    part = np.clip((mask - dead) / (1 - 2 * dead), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)
