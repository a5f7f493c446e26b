"""Decode files: JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP and the first frame of a GIF.

A path or an open binary file becomes ``Raw`` pixels: upright, sRGB, at the file's depth, with alpha and EXIF. An
unusable file (missing, empty, damaged, not an image, or with too many pixels) raises a one-line error; the number of
pixels is read from the header before anything is decoded.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from impasto.errors import ImageError
from impasto.files import file_sha256
from impasto.imaging import icc, metadata, salvage, sixteen_bit
from impasto.imaging.damage import DECODER_ERRORS, DamagedFileError, third_party_decoder

READABLE = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"
# Each registers its decoder in Image.OPEN when imported.
_READERS = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "AVIF": AvifImagePlugin,
    "TIFF": TiffImagePlugin,
    "BMP": BmpImagePlugin,
    "GIF": GifImagePlugin,
}
_CROP = re.compile(r"(.+)#([^#/]*)", re.DOTALL)
_METADATA_WARNING = re.compile(r"exif|metadata|tag|malformed MPO|apng|truncated file read", re.IGNORECASE)
_METADATA_LEFT_OUT = "some metadata (EXIF, text, color profile) is damaged or too large and was left out"
_warnings_lock = threading.RLock()  # warnings.catch_warnings changes the whole process


@dataclass
class Raw:
    """Decoded pixels: color ``[H, W, 3]`` and alpha ``[H, W]``, uint8, uint16 or float32."""

    color: NDArray[np.generic]
    alpha: NDArray[np.generic] | None
    bits: int
    sha256: str = ""
    exif: bytes | None = None
    dpi: float | None = None
    notes: list[str] = field(default_factory=list)


def split_crop(source: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split ``photo.jpg#10,20,300,200`` into the file and the text of the crop, None without one.

    An existing file with ``#`` in its name is recognized as such.
    """
    text = os.fspath(source)
    match = _CROP.fullmatch(text)
    if match is None or os.path.lexists(text) or not (os.path.lexists(match[1]) or match[2].count(",") == 3):
        return Path(text), None
    return Path(match[1]), match[2]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, or raise ImageError with the reason."""
    shown = repr(str(path))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{shown} is a directory: choose an image in it")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{shown} is not a regular file: save the image to a file first")
        file = path.open("rb")
    except FileNotFoundError:
        raise ImageError(f"{shown} does not exist: {_near(path)}") from None
    except NotADirectoryError:
        raise ImageError(f"{shown} does not exist: {str(path.parent)!r} is not a folder") from None
    except PermissionError:
        raise ImageError(f"{shown} cannot be read: permission denied; run chmod u+r on it, or copy it") from None
    except (OSError, ValueError) as exc:
        raise ImageError(f"{shown} cannot be opened ({exc}): check the name") from exc
    with file:
        yield file


def _near(path: Path) -> str:
    """Return a hint for a missing file: similar names, or that the folder is missing too."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"the folder {str(path.parent)!r} does not exist or cannot be read"
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(path.name.lower(), lowered, n=3, cutoff=0.6)
    if not near:
        return "check the name"
    return f"did you mean {' or '.join(repr(str(path.parent / lowered[name])) for name in near)}?"


def seekable(stream: IO[bytes]) -> IO[bytes]:
    """Read the rest of a file object and return it as a seekable one."""
    data = stream.read()
    if not isinstance(data, bytes):
        raise ImageError("the file object is opened in text mode: open it in binary mode ('rb')")
    return io.BytesIO(data)


@contextlib.contextmanager
def quiet(notes: list[str], shown: str = "the picture") -> Iterator[None]:
    """Turn decoders' warnings into a note; our own pixel limit replaces Pillow's."""
    with _warnings_lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    about_metadata = [message for message in messages if _METADATA_WARNING.search(message)]
    notes += [f"{shown}: {' '.join(message.split())}" for message in messages if message not in about_metadata]
    if about_metadata:
        notes.append(f"{shown}: {_METADATA_LEFT_OUT}")


def identified(stream: IO[bytes], shown: str) -> Image.Image:
    """Open an image and read only its header.

    The plugins are called directly: ``Image.open`` would apply Pillow's own limit on pixels, a global of the process.
    """
    stream.seek(0)
    prefix = stream.read(16)
    if not prefix:
        raise ImageError(f"{shown} is empty (0 bytes): copy it again or choose another image")
    damage: Exception | None = None
    for name in _READERS:
        factory, accept = Image.OPEN[name]
        # A string instead of True means that the format is known but its decoder is not installed.
        if accept is None or not accept(prefix) or isinstance(accept(prefix), str):
            continue
        try:
            stream.seek(0)
            return factory(stream, "")
        except DECODER_ERRORS as exc:
            damage = exc
    if prefix[4:8] == b"ftyp":
        from pillow_heif import HeifImageFile

        try:
            stream.seek(0)
            return cast("Any", HeifImageFile)(stream)  # type: ignore[no-any-return]
        except DECODER_ERRORS as exc:
            damage = exc
    if damage is None:
        raise ImageError(f"{shown} is not a readable image: use {READABLE}")
    raise ImageError(_damaged(shown, damage)) from damage


def _damaged(shown: str, reason: Exception) -> str:
    line = " ".join(str(reason).split())[:120] or type(reason).__name__
    return f"{shown} is damaged, truncated or unsupported ({line}): copy it again or save it as PNG"


def read(stream: IO[bytes], shown: str, max_pixels: int, keep_location: bool) -> Raw:
    """Decode a file whose pixel count is within the limit."""
    for library in ("PIL", "tifffile"):  # otherwise their log messages about damage would reach the terminal
        logger = logging.getLogger(library)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    notes: list[str] = []
    with quiet(notes, shown):
        try:
            raw = _decoded(stream, shown, max_pixels, keep_location)
        except ImageError as error:
            rest = _without_metadata(stream, error)
            try:
                raw = _decoded(rest, shown, max_pixels, keep_location)
            except ImageError:
                raise error from error.__cause__
            raw.notes.append(f"{shown}: {_METADATA_LEFT_OUT}")
    stream.seek(0)
    raw.sha256 = file_sha256(stream)
    raw.notes += notes
    return raw


def _decoded(stream: IO[bytes], shown: str, max_pixels: int, keep_location: bool) -> Raw:
    image = identified(stream, shown)
    check_pixels(image.size, max_pixels, shown)
    raw = of_image(image, stream, shown, keep_location)
    with contextlib.suppress(*DECODER_ERRORS):
        if getattr(image, "is_animated", False):
            raw.notes.append(f"{shown} contains more than one image: the first is used")
    return raw


def _without_metadata(stream: IO[bytes], error: ImageError) -> IO[bytes]:
    """Return a file without its metadata, or raise the error that it caused if the metadata cannot be to blame."""
    if error.__cause__ is not None:  # the complaint of a decoder
        stream.seek(0)
        rest = salvage.without_metadata(stream.read())
        if rest is not None:
            return io.BytesIO(rest)
    raise error


def header(stream: IO[bytes], shown: str) -> Image.Image:
    """Open an image as ``identified`` does, without its metadata if that is unreadable."""
    try:
        return identified(stream, shown)
    except ImageError as error:
        return identified(_without_metadata(stream, error), shown)


def check_pixels(size: tuple[int, int], max_pixels: int, shown: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{shown} has {width} x {height} = {width * height} pixels, more than the limit of {max_pixels}: "
            f"if you trust it, pass --max-pixels {width * height}"
        )
    if width < 1 or height < 1:
        raise ImageError(f"{shown} is {width} x {height} px: use an image of at least 1 x 1")


def of_image(image: Image.Image, stream: IO[bytes] | None, shown: str, keep_location: bool) -> Raw:
    """Decode an opened image, turn it upright, convert it to sRGB and clean its EXIF."""
    try:
        exif, notes = _exif_of(image, keep_location)
        if stream is not None and isinstance(image, TiffImagePlugin.TiffImageFile):
            sixteen_bit.check_tiff_length(image, stream)
        if stream is not None and sixteen_bit.is_deep(image, stream):
            if image.format == "PNG":
                _verify_png(stream)
            color, alpha = sixteen_bit.read_deep(image, stream)
            raw = _deep(color, alpha, _profile_of(image), shown)
        elif image.mode[0] in "IF":
            raw = _deep(_wide_values(image, shown), None, _profile_of(image), shown)
        else:
            raw = _eight(image, shown)
        orientation = _orientation_of(image)  # only now: Pillow turns a TIFF upright itself while it decodes it
    except DamagedFileError as exc:
        raise ImageError(_damaged(shown, exc)) from exc
    raw.exif, raw.dpi = exif, metadata.resolution(image)
    raw.notes += [f"{shown}: {note}" for note in notes]
    raw.color = _upright(raw.color, orientation)
    raw.alpha = None if raw.alpha is None else _upright(raw.alpha, orientation)
    return raw


def _profile_of(image: Image.Image) -> bytes | None:
    """Return the color profile; a TIFF may store it with the type of something else, which is a broken profile."""
    profile = image.info.get("icc_profile")
    return profile if profile is None or isinstance(profile, bytes) else b"of another type"


def _exif_of(image: Image.Image, keep_location: bool) -> tuple[bytes | None, list[str]]:
    """Return the cleaned EXIF data, and notes."""
    try:
        with third_party_decoder():
            exif = image.getexif()
        return metadata.clean_exif(exif, keep_location), []
    except DamagedFileError:
        return None, [_METADATA_LEFT_OUT]


def _orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of the decoded pixels, 1..8; 1 is upright."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _verify_png(stream: IO[bytes]) -> None:
    """Check every chunk's checksum; OpenCV would silently fill missing data with black."""
    with third_party_decoder():
        stream.seek(0)
        Image.OPEN["PNG"][0](stream, "").verify()


def _eight(image: Image.Image, shown: str) -> Raw:
    """Return an 8-bit image's colors in sRGB and its alpha."""
    alpha = None
    with third_party_decoder():
        image.load()
        profile = _profile_of(image)
        if image.has_transparency_data:
            image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
            alpha = np.asarray(image.getchannel("A"))
            image = image.convert(image.mode[:-1])
        elif image.mode == "1":
            image = image.convert("L")
    converted, note = icc.image_to_srgb(image, profile)
    return Raw(np.asarray(converted), alpha, 8, notes=[f"{shown}: {note}"] if note else [])


def _deep(color: NDArray[np.generic], alpha: NDArray[np.generic] | None, profile: bytes | None, shown: str) -> Raw:
    """Return a deep image's colors in sRGB, ``[H, W, 1]`` or ``[H, W, 3]`` uint16 -> ``[H, W, 3]`` float32."""
    converted, note = icc.values_to_srgb(unit(color), profile)
    return Raw(converted, alpha, 16, notes=[f"{shown}: {note}"] if note else [])


def _wide_values(image: Image.Image, shown: str) -> NDArray[np.generic]:
    """Return a one-channel image of 16 or 32 bits as ``[H, W, 1]`` uint16 or float32."""
    with third_party_decoder():
        image.load()
        values = np.asarray(image)[:, :, None]
    if image.mode.startswith("I;16"):
        return values.astype(np.uint16)
    most = 65535 if image.mode == "I" else 1.0
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= most):  # also where one of them is NaN
        raise ImageError(f"{shown} has values from {low:g} to {high:g}, outside 0 to {most:g}: save it as 16-bit PNG")
    return values.astype(np.uint16 if image.mode == "I" else np.float32)


def _upright(values: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Rotate and mirror pixels by the EXIF orientation (1..8)."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def unit(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Convert integer levels or floats to contiguous float32 in 0..1."""
    if values.dtype.kind == "u":
        scaled = np.ascontiguousarray(values).astype(np.float32)
        scaled /= np.float32(2 ** (8 * values.dtype.itemsize) - 1)
        return scaled
    return np.ascontiguousarray(values, dtype=np.float32)
