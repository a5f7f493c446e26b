"""Resize and rotate images, and make opposite edges join.

Images are ``[1, 3, H, W]`` in [0, 1]. The periodic part of an image follows Moisan, J. Mathematical Imaging and
Vision 2011: what is removed is as smooth as possible.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image ``[1, 3, H, W]`` at another size, by antialiased bicubic interpolation, in [0, 1]."""
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return functional.interpolate(picture, tuple(size), mode="bicubic", antialias=True).clamp_(0, 1)


def rotated(picture: Tensor, mask: Tensor | None, degrees: float) -> tuple[Tensor, Tensor | None]:
    """Rotate an image counterclockwise, in a frame that contains all of it.

    Args:
        picture: ``[1, 3, H, W]``.
        mask: ``[1, 1, H, W]`` or None.
        degrees: quarter turns are exact.

    Returns:
        The rotated image and mask; the mask excludes the corners that the rotation leaves empty.
    """
    quarters, remainder = divmod(degrees % 360, 90)
    if remainder == 0:
        turned = torch.rot90(picture, int(quarters), (-2, -1)).contiguous()
        return turned, None if mask is None else torch.rot90(mask, int(quarters), (-2, -1)).contiguous()
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    height, width = picture.shape[-2:]
    new_height = round(height * abs(cos) + width * abs(sin))
    new_width = round(width * abs(cos) + height * abs(sin))
    # Where each new pixel comes from, in px from the middle, then in [-1, 1].
    rows = torch.arange(new_height, dtype=torch.float32) - (new_height - 1) / 2
    columns = torch.arange(new_width, dtype=torch.float32) - (new_width - 1) / 2
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.stack([(x * cos - y * sin) * 2 / width, (x * sin + y * cos) * 2 / height], -1)[None].to(picture)
    inside = torch.ones_like(picture[:, :1]) if mask is None else mask
    turned = functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)
    there = functional.grid_sample(inside, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return turned.clamp(0, 1), torch.where(there > 1 - 1e-3, 1.0, there.clamp(0, 1))


def periodic(picture: Tensor) -> Tensor:
    """Return an image whose opposite edges meet without a step."""
    values = picture.double()
    edges = torch.zeros_like(values)
    rows, columns = values[..., -1, :] - values[..., 0, :], values[..., -1] - values[..., 0]
    edges[..., 0, :] += rows
    edges[..., -1, :] -= rows
    edges[..., 0] += columns
    edges[..., -1] -= columns
    height, width = values.shape[-2:]
    down = 2 * torch.cos(2 * math.pi * torch.arange(height, dtype=torch.float64, device=picture.device) / height)
    across = 2 * torch.cos(2 * math.pi * torch.arange(width, dtype=torch.float64, device=picture.device) / width)
    divisor = down[:, None] + across[None] - 4
    divisor[0, 0] = 1
    spectrum = torch.fft.fft2(edges) / divisor
    spectrum[..., 0, 0] = 0
    smooth: Tensor = torch.fft.ifft2(spectrum).real
    return (values - smooth).clamp(0, 1).to(picture.dtype)
