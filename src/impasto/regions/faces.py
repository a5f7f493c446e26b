"""Faces in a photograph, as a soft mask.

The detector is the cascade of local binary patterns (Liao, Zhu, Lei, Zhang & Li, ICB 2007) that scikit-image ships in
its wheel; nothing is downloaded. It detects upright, frontal faces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONG_SIDE = 480
SMALLEST_SHARE = 0.06  # of the long side; smaller detections are mostly false
GROWTH = (0.62, 0.78)  # half axes of the ellipse relative to the detector's square, which cuts off chin and hair


def find_faces(pixels: NDArray[np.float32]) -> list[tuple[float, float, float]]:
    """Return the faces in an image as ``(center row, center column, side)`` in px, the largest first.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
    """
    from skimage import data, feature

    from impasto.imaging.resample import resize

    height, width = pixels.shape[:2]
    factor = min(1.0, LONG_SIDE / max(height, width))
    small = resize(pixels, (max(1, round(height * factor)), max(1, round(width * factor))))
    least = max(24, round(SMALLEST_SHARE * max(small.shape)))
    if min(small.shape[:2]) <= least:
        return []
    carried: Any = data
    detector: Any = feature.Cascade(carried.lbp_frontal_face_cascade_filename())
    found = detector.detect_multi_scale(
        img=np.round(small * 255).astype(np.uint8),
        scale_factor=1.1,
        step_ratio=1,
        min_size=(least, least),
        max_size=(min(small.shape[:2]), min(small.shape[:2])),
        min_neighbor_number=16,  # with fewer agreeing windows, folds of cloth and badges are detected
    )
    faces = [
        ((box["r"] + box["height"] / 2) / factor, (box["c"] + box["width"] / 2) / factor, box["width"] / factor)
        for box in found
    ]
    return sorted(faces, key=lambda face: -face[2])


def face_mask(pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return a soft mask ``[H, W]`` in [0, 1] over the faces of an image, or None if there are none.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
    """
    faces = find_faces(pixels)
    if not faces:
        return None
    rows, columns = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]].astype(np.float32)
    mask = np.zeros(pixels.shape[:2], np.float32)
    for row, column, side in faces:
        across, down = GROWTH
        away = np.hypot((columns - column) / (across * side), (rows - row) / (down * side))
        # 1 inside, 0 from a quarter beyond the ellipse: a face with a hard edge looks pasted in.
        mask = np.maximum(mask, np.clip((1.25 - away) / 0.25, 0, 1))
    return np.asarray(mask * mask * (3 - 2 * mask), np.float32)
