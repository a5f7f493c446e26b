"""Features of VGG-19 at a small size, for everything that compares places of an image.

Input: an image. Output: features on a grid of cells of 8 px of a copy with a long side of 320 px.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch.nn import functional

from impasto.network.encoder import Encoder
from impasto.network.weights import vgg19_state
from impasto.regions.segmentation.opencv import Pixels, resized

SIDE_PX = 320
CELL_PX = 8
LAYERS = {"relu2_1": 128, "relu3_1": 256, "relu4_1": 512}


@cache
def _encoder() -> Encoder:
    """Return VGG-19 up to relu4_1."""
    return Encoder({name: tensor for name, tensor in vgg19_state().items() if name.split(".")[0] <= "conv4_1"})


def grid_features(pixels: Pixels) -> dict[str, Pixels]:
    """Return the features of each layer of ``LAYERS``, averaged in cells.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].

    Returns:
        ``[C, h, w]`` by layer, where ``h`` and ``w`` are the sides of the small copy over 8, at least 2.
    """
    factor = SIDE_PX / max(pixels.shape[:2])
    height, width = (CELL_PX * max(2, round(factor * length / CELL_PX)) for length in pixels.shape[:2])
    small = resized(pixels, (height, width))
    with torch.inference_mode():
        found = _encoder()(torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)[None], LAYERS)
        size = height // CELL_PX, width // CELL_PX
        return {name: functional.adaptive_avg_pool2d(layer, size)[0].numpy() for name, layer in found.items()}
