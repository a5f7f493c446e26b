"""Color profiles: convert decoded images to sRGB with their ICC profile.

ImageCms works in 8 bits only, so deeper images are converted with an interpolated table that it computes (about 50
nodes per channel, denser toward black): smooth, and within half an 8-bit level of the exact conversion at every node.
An sRGB profile changes nothing.
"""

from __future__ import annotations

import io
import itertools
import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from impasto.imaging.damage import DamagedFileError, third_party_decoder

BROKEN = "its color profile is damaged or of another color space and was ignored; colors were read as sRGB"
# The table's nodes as 8-bit levels: steps of 1 near black, where a linear or gamma 1.8 profile is steep in sRGB, of 7
# near white.
_NODES = np.unique(np.rint(255 * np.linspace(0, 1, 56) ** 1.6)).astype(np.uint8)
_PROBE = np.arange(0, 256, 15, dtype=np.uint8)


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Return an sRGB profile to embed, without a timestamp."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the creation date
    profile[84:100] = bytes(16)  # a checksum over that date; zero means "not computed"
    return bytes(profile)


def image_to_srgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert an 8-bit image without alpha to sRGB.

    Args:
        image: mode L, RGB, CMYK or LAB; any other mode is converted by its definition.
        icc: the profile from the file, or None.

    Returns:
        The image in mode RGB, and a note for the user if the profile could not be used.
    """
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    note = None
    if icc or image.mode == "LAB":
        try:
            transform = _transform(icc, image.mode)
            if transform is None:
                return image.convert("RGB"), None
            with third_party_decoder():
                converted = ImageCms.applyTransform(image, transform)
            assert converted is not None
            return converted, None
        except (ImageCms.PyCMSError, OSError, DamagedFileError):
            note = BROKEN
    return image.convert("RGB"), note


def values_to_srgb(values: NDArray[np.float32], icc: bytes | None) -> tuple[NDArray[np.float32], str | None]:
    """Convert pixels deeper than 8 bits to sRGB through an interpolated table.

    Args:
        values: ``[H, W, 1]`` or ``[H, W, 3]`` float32, 0..1, in the profile's space.
        icc: the profile from the file, or None.

    Returns:
        ``[H, W, 3]`` float32, 0..1, sRGB, and a note for the user if the profile could not be used.
    """
    height, width, channels = values.shape
    table, note = None, None
    if icc:
        try:
            transform = _transform(icc, "L" if channels == 1 else "RGB")
            table = None if transform is None else _table(transform, channels)
        except (ImageCms.PyCMSError, OSError, DamagedFileError):
            note = BROKEN
    if table is None:
        return np.ascontiguousarray(np.broadcast_to(values, (height, width, 3))), note
    converted = np.empty((height, width, 3), np.float32)
    rows = max(1, 500_000 // width)  # strips: the eight corners of every pixel would be a lot of memory at once
    for top in range(0, height, rows):
        strip = values[top : top + rows].reshape(-1, channels)
        converted[top : top + rows] = _interpolate(table, strip).reshape(-1, width, 3)
    return converted, note


def _transform(icc: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB, or None if there is nothing to convert."""
    source: Any = ImageCms.createProfile("LAB") if mode == "LAB" else io.BytesIO(icc or b"")
    with third_party_decoder():
        transform = ImageCms.buildTransform(
            ImageCms.getOpenProfile(source) if mode != "LAB" else source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Optimized, gray would go through 33 steps, far too few near black.
            ImageCms.Flags.BLACKPOINTCOMPENSATION | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE),
        )
    if mode in ("L", "RGB"):
        # Names are unreliable and many sRGB profiles differ in a byte: what counts is whether colors change.
        probe = _lattice(1 if mode == "L" else 3, _PROBE)
        moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
        if np.abs(moved - np.asarray(probe.convert("RGB"))).max() <= 1:
            return None
    return transform


def _lattice(channels: int, levels: NDArray[np.uint8]) -> Image.Image:
    """Return every combination of levels as an image, the last channel running fastest."""
    if channels == 1:
        return Image.fromarray(levels[None, :])
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)  # [n, n, n, 3]
    return Image.fromarray(grid.reshape(len(levels) ** 2, len(levels), 3))


def _table(transform: ImageCms.ImageCmsTransform, channels: int) -> NDArray[np.float32]:
    """Return the conversion at the nodes: ``[n, 3]`` for gray, ``[n, n, n, 3]`` for color, 0..1."""
    converted = np.asarray(ImageCms.applyTransform(_lattice(channels, _NODES), transform), np.float32)
    converted /= np.float32(255)
    return converted.reshape(*(len(_NODES),) * channels, 3)


def _interpolate(table: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the table's value between its nodes, linear along each channel: ``[N, C]`` -> ``[N, 3]``."""
    nodes, channels = table.shape[0], values.shape[1]
    # Where each of the 65,536 values lies between the nodes; deep images have no other values.
    position = np.interp(np.linspace(0, 255, 65536), _NODES, np.arange(nodes)).astype(np.float32)
    position = position[np.rint(values * 65535).astype(np.uint16)]
    lower = np.minimum(position.astype(np.int32), nodes - 2)
    part = position - lower
    flat = table.reshape(-1, 3)
    total = np.zeros((len(values), 3), np.float32)
    for corner in itertools.product((0, 1), repeat=channels):
        index = np.zeros(len(values), np.int64)
        weight = np.ones(len(values), np.float32)
        for channel, upper in enumerate(corner):
            index = index * nodes + lower[:, channel] + upper
            weight = weight * (part[:, channel] if upper else 1 - part[:, channel])
        total += flat[index] * weight[:, None]
    return total
