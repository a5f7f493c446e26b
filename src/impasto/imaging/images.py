"""Load images: files, PIL images, arrays and tensors become float32 sRGB.

``load`` reads JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or the first frame of a GIF (gray, palette, CMYK, alpha, 16 bit),
a PIL image, an array or a tensor, and returns a ``Picture``: upright, sRGB, ``[H, W, 3]`` float32 in 0..1, with alpha
and EXIF. The size is checked in the file's header, before anything is decoded. ``decode`` reads files, ``encode``
writes them; this module re-exports what other packages need.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, Union, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from impasto.errors import ImageError
from impasto.imaging import metadata
from impasto.imaging.decode import (
    Raw,
    check_pixels,
    header,
    of_image,
    opened,
    quiet,
    read,
    seekable,
    split_crop,
    unit,
)
from impasto.imaging.encode import SUFFIXES, check_output, encode, estimated_bytes, quantize, save
from impasto.imaging.resample import resize
from impasto.options.fields import Output
from impasto.options.sizes import Size, canvas_size, parse_size

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "MAX_PIXELS",
    "READ_SUFFIXES",
    "DecodeLimits",
    "Picture",
    "PictureLike",
    "Size",
    "canvas_size",
    "check_output",
    "encode",
    "estimated_bytes",
    "load",
    "parse_size",
    "quantize",
    "read_record",
    "resize",
    "save",
    "split_crop",
    "unit",
]

MAX_PIXELS = Output.max_pixels
READ_SUFFIXES = frozenset([*SUFFIXES, ".gif"])
Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class DecodeLimits:
    """What ``load`` accepts and keeps: the maximum number of pixels, and whether the GPS block of EXIF data stays."""

    max_pixels: int = MAX_PIXELS
    keep_location: bool = False

    @classmethod
    def of(cls, options: Output) -> DecodeLimits:
        """Return the limits that a run's output options set."""
        return cls(options.max_pixels, options.keep_location)


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    ``pixels`` is ``[H, W, 3]`` float32 sRGB in 0..1, ``alpha`` ``[H, W]`` float32 in 0..1 or None, ``exif`` cleaned
    bytes or None. ``sha256`` is that of the file's bytes (of the array's where there was no file), ``bits`` the
    source's depth per channel, ``crop`` the part used, ``(x, y, width, height)``, ``recorded_path`` the path
    in the record of the run that is repeated, ``notes`` warnings for the user, ``dpi`` the print resolution.
    """

    pixels: NDArray[np.float32] = field(repr=False)
    alpha: NDArray[np.float32] | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    name: str = "picture"
    sha256: str = ""
    bits: int = 8
    source: Path | None = None
    crop: Crop | None = None
    recorded_path: str | None = None
    notes: tuple[str, ...] = ()
    dpi: float | None = None

    @property
    def height(self) -> int:
        """Height in px."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in px."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in px."""
        return self.height, self.width


PathLike: TypeAlias = str | os.PathLike[str]
PictureLike: TypeAlias = Union[PathLike, IO[bytes], Image.Image, NDArray[np.generic], "Tensor", Picture]
"""What ``load`` accepts."""


def load(
    source: PictureLike,
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
    fill: str | tuple[float, float, float] | None = None,
) -> Picture:
    """Load an image.

    Args:
        source: a path (``photo.jpg``, or a part of it as ``photo.jpg#x,y,width,height``), a binary file object, a PIL
            image, an array ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` (uint8, uint16, or float in 0..1), or a float
            tensor ``[3, H, W]`` or ``[1, 3, H, W]`` in 0..1.
        limits: the maximum number of pixels, and whether to keep the location.
        fill: a color (``"white"``, ``"#808080"`` or three floats in 0..1) behind transparent parts; None leaves
            their colors as stored. The alpha is returned either way.

    Returns:
        The image, upright and sRGB.

    Raises:
        ImageError: not an image, damaged, too many pixels, a crop outside it, or an unsuitable array.
    """
    name, path, crop = "picture", None, None
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, os.PathLike)):
        path, text = split_crop(source)
        name = path.name
        with opened(path) as stream:
            raw = read(stream, repr(str(path)), limits.max_pixels, limits.keep_location)
        crop = None if text is None else _parse_crop(text, raw.color.shape[:2], str(path))
    elif isinstance(source, Image.Image):
        check_pixels(source.size, limits.max_pixels, "the PIL image")
        raw = of_image(source, None, "the PIL image", limits.keep_location)
        raw.sha256 = _array_hash(np.asarray(source))
    elif hasattr(source, "read"):
        name = Path(str(getattr(source, "name", "picture"))).name
        stream = cast("IO[bytes]", source)
        raw = read(seekable(stream), repr(name), limits.max_pixels, limits.keep_location)
    else:
        raw = _of_array(source, limits.max_pixels)
    if crop is not None:
        x, y, width, height = crop
        raw.color = raw.color[y : y + height, x : x + width]
        raw.alpha = None if raw.alpha is None else raw.alpha[y : y + height, x : x + width]
    pixels, alpha = unit(raw.color), None if raw.alpha is None else unit(raw.alpha)
    if fill is not None and alpha is not None:
        pixels = pixels * alpha[:, :, None] + _color(fill) * (1 - alpha[:, :, None])
    notes = tuple(dict.fromkeys(raw.notes))
    return Picture(pixels, alpha, raw.exif, name, raw.sha256, raw.bits, path, crop, None, notes, raw.dpi)


def read_record(path: str | os.PathLike[str]) -> str | None:
    """Return the record inside a saved image, or None if it has none.

    Raises:
        ImageError: the file is missing or is not an image.
        RecordError: there is a record, and it is damaged.
    """
    target = Path(path)
    with opened(target) as stream, quiet([]):
        return metadata.record_in(header(stream, repr(str(target))), stream)


def _parse_crop(text: str, size: tuple[int, ...], path: str) -> Crop:
    """Parse a crop, which must lie inside the upright image."""
    height, width = size
    try:
        x, y, part_width, part_height = (int(number) for number in text.split(","))
    except ValueError:
        raise ImageError(
            f"crop {text!r} of {path!r} is not x,y,width,height in px: try #0,0,{width},{height}"
        ) from None
    if x < 0 or y < 0 or part_width < 1 or part_height < 1 or x + part_width > width or y + part_height > height:
        raise ImageError(
            f"crop {text!r} (x,y,width,height) is not inside {path!r}, which is {width} x {height} px: "
            f"x + width may be at most {width} and y + height at most {height}"
        )
    return x, y, part_width, part_height


def _of_array(source: Any, max_pixels: int) -> Raw:
    """Check an array or tensor and split it into color and alpha."""
    if hasattr(source, "detach"):  # a tensor, without loading torch to ask
        values = source.detach().cpu()
        if "float" not in str(values.dtype):
            raise ImageError(f"a tensor of {values.dtype} is not an image: pass floats in 0..1")
        values = values.float().numpy()
        values = values[0] if values.ndim == 4 and values.shape[0] == 1 else values
        if values.ndim != 3 or values.shape[0] != 3:
            shape = tuple(source.shape)
            raise ImageError(
                f"a tensor of shape {shape} is not an image: pass [3, height, width] or [1, 3, height, width]"
            )
        values = np.moveaxis(values, 0, -1)
    elif isinstance(source, np.ndarray):
        values = source
    else:
        kind = type(source).__name__
        raise ImageError(f"a {kind} is not an image: pass a path, PIL image, array, tensor or open file")
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        hint = "[height, width], [height, width, 3] or [height, width, 4]"
        raise ImageError(f"an array of shape {np.shape(source)} is not an image: pass {hint}")
    check_pixels((values.shape[1], values.shape[0]), max_pixels, "the array")
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # also where one of them is NaN
            raise ImageError(f"an array has values from {low:g} to {high:g}: floats must be between 0 and 1")
        values = np.clip(values, 0, 1)
    elif values.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"an array of {values.dtype} is not an image: pass uint8, uint16, or floats in 0..1")
    color = np.broadcast_to(values[:, :, :3], (*values.shape[:2], 3))
    alpha = values[:, :, 3] if values.shape[2] == 4 else None
    return Raw(color, alpha, 16 if values.dtype == np.uint16 else 8, _array_hash(values))


def _array_hash(values: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _color(fill: str | tuple[float, float, float]) -> NDArray[np.float32]:
    """Return a color as three floats in 0..1."""
    if isinstance(fill, str):
        try:
            return np.asarray(ImageColor.getrgb(fill)[:3], np.float32) / np.float32(255)
        except ValueError:
            raise ImageError(f"fill {fill!r} is not a color: use a name such as white, or #808080") from None
    color = np.asarray(fill, np.float32)
    if color.shape != (3,) or not (color.min() >= 0 and color.max() <= 1):
        raise ImageError(f"fill {fill!r} is not a color: use three numbers in 0..1")
    return color
