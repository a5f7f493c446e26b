"""Encode images: every format, with sRGB embedded, and each file replaced atomically.

float32 ``[H, W, 3]`` sRGB in 0..1 is written as PNG, JPEG, WebP, AVIF, HEIC, TIFF or BMP, by the file name's suffix.
JPEG and BMP have no alpha: the image is composited on white. PNG and TIFF can hold 16 bits per channel.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from impasto import files
from impasto.errors import ImageError, suggest
from impasto.imaging import icc, metadata, sixteen_bit
from impasto.imaging.decode import split_crop, unit

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
DEEP_FORMATS = ("PNG", "TIFF")
_LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_535, "HEIC": 16_384}
_OPAQUE_FORMATS = ("JPEG", "BMP")
TILED_FROM = 1 << 24  # px: from here a TIFF is written in tiles
_LARGEST_JPEG_EXIF = 65_533
# Size of a file relative to its pixels, for brush strokes, which compress worse than photographs.
_SHARES = {"JPEG": 0.6, "WEBP": 0.4, "AVIF": 0.4, "HEIC": 0.4}
_BAND = 1 << 22  # values that are rounded at a time


def quantize(pixels: NDArray[np.generic], bits: int = 8) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round pixels to the nearest level.

    Args:
        pixels: any shape, float; values outside 0..1 are clipped.
        bits: 8 or 16.

    Returns:
        The same shape, uint8 or uint16.

    Raises:
        ImageError: a value is not a number, or ``bits`` is neither 8 nor 16.
    """
    if bits not in (8, 16):
        raise ImageError(f"{bits!r} bits per channel cannot be written: choose 8 or 16")
    found = np.empty(pixels.shape, np.uint8 if bits == 8 else np.uint16)
    for part, into in _bands(pixels, found):  # a second float copy of a poster would not fit into memory
        if part.size and np.isnan(part.min()):  # a single NaN makes the minimum NaN
            count = np.isnan(pixels).sum()
            raise ImageError(f"{count} values of the image are NaN: nothing was written")
        levels: NDArray[Any] = np.clip(part, 0.0, 1.0) * (2**bits - 1)
        levels += 0.5
        into[...] = levels.astype(found.dtype)
    return found


def _bands(
    pixels: NDArray[np.generic], into: NDArray[np.generic]
) -> Iterator[tuple[NDArray[np.generic], NDArray[np.generic]]]:
    """Yield both arrays in bands of rows."""
    if pixels.ndim == 0:
        yield pixels, into
        return
    rows = max(1, _BAND // max(1, pixels[:1].size))
    for top in range(0, len(pixels), rows):
        yield pixels[top : top + rows], into[top : top + rows]


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format for a file name's suffix.

    Raises:
        ImageError: the suffix is missing or not one that can be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        what = f"the unknown suffix {suffix!r}" if suffix else "no suffix"
        raise ImageError(f"{Path(path).name!r} has {what}, so its format is unknown: {suggest(suffix, SUFFIXES)}")
    return SUFFIXES[suffix]


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[object] = (),
    *,
    size: tuple[int, int] | None = None,
    bits: int = 8,
    nbytes: int | None = None,
) -> Path:
    """Check, before the work, that an image can be saved there, and create its folder.

    Args:
        path: the output file.
        inputs: the inputs of the run; paths (with or without a crop) must differ from ``path``, others are ignored.
        size: ``(height, width)`` in px if it is known.
        bits: 8 or 16 bits per channel.
        nbytes: an estimate of the file's size, compared with the free space.

    Returns:
        The path.

    Raises:
        ImageError: an unknown suffix, a folder that cannot be created or written, a directory, a read-only file, one of
            the inputs, too large for the format, or too little free space.
    """
    target = Path(path)
    _check_format(format_of(target), size, bits, repr(target.name))
    if target.is_dir():
        raise ImageError(
            f"{str(target)!r} is a directory: choose a file in it, for example {str(target / 'out.png')!r}"
        )
    for source in inputs:
        if isinstance(source, (str, os.PathLike)) and _same_file(target, split_crop(source)[0]):
            raise ImageError(f"{str(target)!r} is one of the inputs and would be overwritten: choose another name")
    folder = files.behind_link(target).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.create_temporary(folder).unlink()
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ImageError(
            f"folder {str(folder)!r} cannot be written ({reason}): choose a different one for the output"
        ) from exc
    if target.exists() and not os.access(target, os.W_OK):
        raise ImageError(f"{str(target)!r} is write-protected: choose another name or run chmod u+w on it")
    short = files.disk_shortfall([(folder, nbytes, "the image")]) if nbytes is not None else None
    if short is not None:
        raise ImageError(short)
    return target


def estimated_bytes(path: str | os.PathLike[str], size: tuple[int, int], bits: int = 8, channels: int = 3) -> int:
    """Return an upper estimate of a painting's file size in bytes.

    Args:
        path: the suffix selects the format.
        size: ``(height, width)`` in px.
        bits: per channel.
        channels: 3, or 4 with alpha.
    """
    share = _SHARES.get(format_of(path), 1.0)
    return int(size[0] * size[1] * channels * bits / 8 * share) + (1 << 16)


def save(
    path: str | os.PathLike[str],
    pixels: NDArray[np.generic],
    *,
    alpha: NDArray[np.generic] | None = None,
    exif: bytes | None = None,
    bits: int = 8,
    dpi: float | None = None,
    quality: int = 95,
    record: str | None = None,
) -> Path:
    """Save an image atomically: the old file stays until the new one is complete on the disk.

    Args:
        path: the suffix selects the format.
        pixels: ``[H, W, 3]`` float sRGB, 0..1 (clipped), or uint8.
        alpha: ``[H, W]`` float, 0..1, or None; JPEG and BMP composite the image on white.
        exif: cleaned EXIF data, as on ``Picture``.
        bits: 8, or 16 for PNG and TIFF.
        dpi: dots per inch stored in the file.
        quality: 1..100 for JPEG, WebP (100 is lossless), AVIF and HEIC.
        record: text stored inside the file; BMP has no place for it.

    Returns:
        The path.

    Raises:
        ImageError: an unknown suffix, an image the format cannot hold, NaN, or a disk error.
    """
    target, kind = Path(path), format_of(path)
    facts: dict[str, Any] = {"exif": exif, "dpi": dpi, "record": record}
    data: bytes | Callable[[IO[bytes]], None]
    if kind == "TIFF":
        data = partial(_write_tiff, _to_levels(pixels, kind, alpha, bits), **facts)  # straight to the disk
    else:
        data = encode(pixels, kind, alpha=alpha, bits=bits, quality=quality, **facts)
    try:
        files.write_atomically(target, data)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ImageError(f"{str(target)!r} cannot be written ({reason}): check the folder and its free space") from exc
    return target


def encode(
    pixels: NDArray[np.generic],
    format: str,  # noqa: A002 - the field's own word for it
    *,
    alpha: NDArray[np.generic] | None = None,
    exif: bytes | None = None,
    bits: int = 8,
    dpi: float | None = None,
    quality: int = 95,
    record: str | None = None,
) -> bytes:
    """Return the bytes that ``save`` would write.

    Args:
        pixels: ``[H, W, 3]`` float sRGB, 0..1 (clipped), or uint8.
        format: one of ``FORMATS``, in any case; ``jpg`` and ``tif`` are accepted.
        alpha, exif, bits, dpi, quality, record: as for ``save``.

    Raises:
        ImageError: an unknown format, an image the format cannot hold, wrong shapes, or NaN.
    """
    kind = SUFFIXES.get(f".{format.lower()}", format.upper())
    if kind not in FORMATS:
        raise ImageError(f"format {format!r} cannot be written: {suggest(kind, FORMATS)}")
    if not 1 <= quality <= 100:
        raise ImageError(f"quality {quality!r} is outside 1 to 100: 95 is a good value")
    levels = _to_levels(pixels, kind, alpha, bits)
    if kind not in ("PNG", "JPEG", "TIFF", "BMP"):
        exif = metadata.with_resolution(exif, dpi)
    if kind == "TIFF":
        file = io.BytesIO()
        _write_tiff(levels, file, exif=exif, dpi=dpi, record=record)
        return file.getvalue()
    if bits == 16:
        return sixteen_bit.png_bytes(levels, metadata.png_chunks(icc.srgb_profile(), exif, dpi, record))
    return _encode_eight(Image.fromarray(np.ascontiguousarray(levels)), kind, exif, dpi, quality, record)


def _to_levels(pixels: NDArray[np.generic], kind: str, alpha: NDArray[np.generic] | None, bits: int) -> NDArray[Any]:
    """Check an image, and return the levels that a format stores, ``[H, W, 3]`` or ``[H, W, 4]`` uint8 or uint16."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"an array of shape {pixels.shape} is not an image: pass [height, width, 3]")
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise ImageError(f"alpha of shape {alpha.shape} does not match an image of shape {pixels.shape[:2]}")
    _check_format(kind, (pixels.shape[0], pixels.shape[1]), bits, "the image")
    if alpha is not None and kind in _OPAQUE_FORMATS:
        cover = _unit(alpha)[:, :, None]
        pixels, alpha = _unit(pixels) * cover + (1 - cover), None
    levels = _levels(pixels, bits)
    if alpha is not None:
        levels = np.concatenate([levels, _levels(alpha, bits)[:, :, None]], axis=2)
    return levels


def _write_tiff(
    levels: NDArray[Any], stream: IO[bytes], *, exif: bytes | None, dpi: float | None, record: str | None
) -> None:
    """Write a TIFF: large images in tiles, small ones in strips, which every reader supports."""
    xmp = metadata.xmp_packet(record) if record is not None else None
    tiled = levels.shape[0] * levels.shape[1] >= TILED_FROM
    sixteen_bit.write_tiff(stream, levels, exif, icc.srgb_profile(), dpi, xmp, tiled=tiled)


def _encode_eight(
    image: Image.Image, kind: str, exif: bytes | None, dpi: float | None, quality: int, record: str | None
) -> bytes:
    file = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": icc.srgb_profile()}
    if exif is not None and not (kind == "JPEG" and len(exif) > _LARGEST_JPEG_EXIF):
        options["exif"] = exif
    if dpi is not None:
        options["dpi"] = (dpi, dpi)
    xmp = metadata.xmp_packet(record) if record is not None else None
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        for body in metadata.png_text(record) if record is not None else []:
            info.add(b"iTXt", body)
        image.save(file, "PNG", pnginfo=info, **options)
    elif kind == "JPEG":
        # From 90 up the colors keep full resolution: brush strokes have sharp edges between colors. No ``optimize``:
        # it would fail on noisy images, whose data is longer than the buffer Pillow sets aside for it.
        image.save(file, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, **options)
    elif kind == "BMP":
        image.save(file, "BMP", **({"dpi": (dpi, dpi)} if dpi is not None else {}))
    else:
        if xmp:
            options["xmp"] = xmp
        if kind == "WEBP":
            image.save(file, "WEBP", quality=quality, lossless=quality == 100, exact=True, **options)
        elif kind == "AVIF":
            image.save(file, "AVIF", quality=quality, subsampling="4:4:4" if quality >= 90 else "4:2:0", **options)
        else:
            from pillow_heif import from_pillow

            image.info.update(options)
            from_pillow(image).save(file, quality=quality)  # 4:2:0, which every reader of HEIC knows
    data = file.getvalue()
    return metadata.jpeg_with_record(data, record) if kind == "JPEG" and record is not None else data


def _unit(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return levels or floats as float32 in 0..1."""
    return unit(values if values.dtype in (np.uint8, np.uint16) else np.clip(values, 0.0, 1.0))


def _levels(values: NDArray[np.generic], bits: int) -> NDArray[Any]:
    """Return uint8 or uint16; such input is unchanged."""
    if values.dtype == (np.uint8 if bits == 8 else np.uint16):
        return values
    return quantize(_unit(values) if values.dtype in (np.uint8, np.uint16) else values, bits)


def _check_format(kind: str, size: tuple[int, int] | None, bits: int, what: str) -> None:
    """Raise ImageError for images that the format cannot store."""
    if bits not in (8, 16):
        raise ImageError(f"{bits!r} bits per channel cannot be written: choose 8 or 16")
    if bits == 16 and kind not in DEEP_FORMATS:
        raise ImageError(
            f"{what} would be {kind}, which has 8 bits per channel: use {' or '.join(DEEP_FORMATS)} for 16"
        )
    most = _LARGEST_SIDE.get(kind)
    if size is not None and most is not None and max(size) > most:
        raise ImageError(
            f"{what} is {size[1]} x {size[0]} px and {kind} allows at most {most} px per side: use PNG or TIFF"
        )


def _same_file(one: Path, other: Path) -> bool:
    """Return whether two paths refer to the same file, also through links."""
    try:
        return one.samefile(other)
    except OSError:
        return False
