"""A coarse mask made to follow the edges of its image.

Input: an image and a mask. Output: the mask as a local affine function of the image's colors (He, Sun & Tang, "Guided
image filtering", PAMI 2013, equations 14 to 16), whose coefficients are computed on a small copy of the image and
interpolated (He & Sun, "Fast guided filter", 2015).
"""

from __future__ import annotations

import numpy as np

from impasto.regions.segmentation.opencv import Pixels, resized, shrunk

COEFFICIENT_SIDE_PX = 768


def guided_filter(guide: Pixels, mask: Pixels, radius: float, epsilon: float) -> Pixels:
    """Return a mask that follows the edges of an image.

    Args:
        guide: ``[H, W, 3]`` in [0, 1].
        mask: ``[h, w]`` in [0, 1], of the same shape and any size.
        radius: of the windows, relative to the long side.
        epsilon: the variance of color below which there is no edge.

    Returns:
        ``[H, W]`` in [0, 1].
    """
    import cv2

    small = shrunk(guide, COEFFICIENT_SIDE_PX)
    values = resized(mask, (small.shape[0], small.shape[1]))
    reach = max(1, round(radius * max(small.shape)))

    def mean(image: Pixels) -> Pixels:
        return np.asarray(cv2.blur(image, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REFLECT), np.float32)

    color, level = mean(small), mean(values)
    covariance = mean(small * values[..., None]) - color * level[..., None]  # [h, w, 3]
    products = mean((small[..., :, None] * small[..., None, :]).reshape(*small.shape[:2], 9))
    variance = products.reshape(*small.shape[:2], 3, 3) - color[..., :, None] * color[..., None, :]
    slope = np.linalg.solve(variance + epsilon * np.eye(3, dtype=np.float32), covariance[..., None])[..., 0]
    offset = level - (slope * color).sum(-1)
    coefficients = mean(np.concatenate([slope, offset[..., None]], -1).astype(np.float32))
    coefficients = resized(coefficients, (guide.shape[0], guide.shape[1]))
    followed = np.einsum("hwc,hwc->hw", coefficients[..., :3], guide) + coefficients[..., 3]
    return np.asarray(np.clip(followed, 0, 1), np.float32)
