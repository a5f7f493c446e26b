"""Antialiased resampling of pixel arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resize(pixels: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample pixels to a different size, antialiased.

    Args:
        pixels: ``[H, W]`` or ``[H, W, C]``, float, 0..1.
        size: ``(height, width)`` in px, each at least 1.

    Returns:
        ``[h, w]`` or ``[h, w, C]`` float32, 0..1; unchanged if the size is already right.
    """
    height, width = size
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels, dtype=np.float32)
    shrinking = height <= pixels.shape[0] and width <= pixels.shape[1]
    # Lanczos keeps the most detail in downscaling; in upscaling it rings more than bicubic does.
    method = Image.Resampling.LANCZOS if shrinking else Image.Resampling.BICUBIC
    planes = pixels.reshape(*pixels.shape[:2], -1)
    resampled = np.empty((height, width, planes.shape[2]), np.float32)
    for channel in range(planes.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(planes[:, :, channel], dtype=np.float32))
        resampled[:, :, channel] = np.asarray(plane.resize((width, height), method, reducing_gap=3.0))
    np.clip(resampled, 0.0, 1.0, out=resampled)
    return resampled.reshape(height, width, *pixels.shape[2:])
