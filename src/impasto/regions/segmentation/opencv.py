"""Four functions of OpenCV as the masks use them: arrays in, arrays out, the same for the same input.

Images are ``[H, W, 3]`` float32 sRGB in [0, 1], sizes ``(height, width)`` in px.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Flags = NDArray[np.bool_]


def resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image or mask at another size: averaged where it shrinks, interpolated linearly where it grows."""
    import cv2

    if image.shape[:2] == size:
        return image
    shrinking = size[0] < image.shape[0] and size[1] < image.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=method), np.float32)


def shrunk(image: Pixels, long_side: int) -> Pixels:
    """Return an image with at most a long side."""
    factor = min(1.0, long_side / max(image.shape[:2]))
    height, width = (max(1, round(factor * length)) for length in image.shape[:2])
    return resized(image, (height, width))


def grab_cut(picture: Pixels, likely: Flags, inside: Flags, outside: Flags, iterations: int = 3) -> Flags:
    """Return what has the colors of one part of an image rather than those of the other, ``[H, W]``.

    Rother, Kolmogorov & Blake, "GrabCut", SIGGRAPH 2004: two mixtures of colors and a cut along edges.

    Args:
        picture: in which to look.
        likely: a first guess.
        inside, outside: what is certain; ``inside`` wins where both are set.
    """
    import cv2

    state = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    state[outside] = cv2.GC_BGD
    state[inside] = cv2.GC_FGD
    chosen = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if chosen.all() or not chosen.any():
        return chosen
    cv2.setRNGSeed(0)  # it begins with k-means
    cut: Any = cv2.grabCut
    levels, models = np.round(picture * 255).astype(np.uint8), np.zeros((2, 1, 65))
    cut(levels, state, None, models[0], models[1], iterations, cv2.GC_INIT_WITH_MASK)
    return np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))


def connected(found: Flags) -> NDArray[np.int32]:
    """Return the number of the connected part that each place belongs to, 0 outside, ``[H, W]``."""
    import cv2

    return np.asarray(cv2.connectedComponents(found.astype(np.uint8), connectivity=8)[1], np.int32)


def k_means(points: Pixels, count: int) -> NDArray[np.int32]:
    """Return the cluster of each point, ``[N]``, the best of three attempts.

    Args:
        points: ``[N, D]``.
        count: of clusters, at most N.
    """
    import cv2

    cv2.setRNGSeed(0)
    clustered: Any = cv2.kmeans
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-3)
    return np.asarray(clustered(points, count, None, criteria, 3, cv2.KMEANS_PP_CENTERS)[1][:, 0], np.int32)
