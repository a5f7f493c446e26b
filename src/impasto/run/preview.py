"""Convert the canvas to an 8-bit preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from impasto.events import Preview

CHUNK_PX = 1 << 20  # pixels that are rounded at once


def as_preview(picture: Tensor) -> Preview:
    """Return an image ``[1, 3, H, W]`` in [0, 1] as ``[H, W, 3]`` uint8."""
    height, width = picture.shape[-2:]
    preview = torch.empty(height, width, 3, dtype=torch.uint8)
    rows = max(1, CHUNK_PX // width)
    for top in range(0, height, rows):  # in chunks: a float copy of a poster would not fit into memory
        chunk = picture[0, :, top : top + rows].permute(1, 2, 0)
        preview[top : top + rows] = (chunk * 255).round().clamp(0, 255).to(torch.uint8)
    return preview.numpy()
