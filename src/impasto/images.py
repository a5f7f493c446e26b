"""Pictures in: files, PIL images, arrays and tensors become float32 sRGB.

In: JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or the first frame of a GIF (grey, palette, CMYK, alpha, 16 bit), a PIL
image, an array or a tensor. Out: a ``Picture``: upright, sRGB, ``[H, W, 3]`` float32 in 0..1, alpha and EXIF beside it.
Sizes are checked in the file's header, before anything is decoded. Saving is in ``saving``, sizes are in ``sizes``;
their public names are reachable from here.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import os
import re
import stat
import struct
import warnings
import zlib
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
    ImageColor,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from impasto import metadata, profiles, sixteen
from impasto.errors import ImageError
from impasto.saving import check_output, encode, quantise, save, write_atomically
from impasto.sizes import Size, parse_size, resize

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "Size",
    "check_output",
    "encode",
    "load",
    "parse_size",
    "quantise",
    "read_record",
    "resize",
    "save",
    "split_crop",
    "write_atomically",
]

MAX_PIXELS = 200_000_000
READABLE = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"
Crop = tuple[int, int, int, int]
_PLUGINS = (
    JpegImagePlugin, PngImagePlugin, WebPImagePlugin, AvifImagePlugin, TiffImagePlugin, BmpImagePlugin, GifImagePlugin
)  # fmt: skip
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
_CROP = re.compile(r"(.+)#([^#/]*)", re.DOTALL)
# What decoders raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError,
    AttributeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the rest of the program sees it.

    ``pixels`` is ``[H, W, 3]`` float32 sRGB in 0..1, ``alpha`` ``[H, W]`` float32 in 0..1 or None, ``exif`` cleaned
    bytes or None. ``sha256`` is that of the file's bytes (of the array's where there was no file), ``bits`` what the
    source held a channel, ``crop`` the part taken as ``(x, y, width, height)``, ``notes`` what the person should know.
    """

    pixels: NDArray[np.float32] = field(repr=False)
    alpha: NDArray[np.float32] | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    name: str = "picture"
    sha256: str = ""
    bits: int = 8
    source: Path | None = None
    crop: Crop | None = None
    notes: tuple[str, ...] = ()

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


@dataclass
class _Raw:
    """Pixels as decoded: colour ``[H, W, 3]`` and alpha ``[H, W]``, uint8, uint16 or float32."""

    colour: NDArray[Any]
    alpha: NDArray[Any] | None
    bits: int
    sha256: str = ""
    exif: bytes | None = None
    notes: list[str] = field(default_factory=list)


def load(
    source: object,
    *,
    max_pixels: int = MAX_PIXELS,
    keep_location: bool = False,
    fill: str | tuple[float, float, float] | None = None,
) -> Picture:
    """Load a picture.

    Args:
        source: a path (``photo.jpg``, or a part of it as ``photo.jpg#x,y,width,height``), a binary file object, a PIL
            image, an array ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` (uint8, uint16, or float in 0..1), or a float
            tensor ``[3, H, W]`` or ``[1, 3, H, W]`` in 0..1.
        max_pixels: the most pixels to accept.
        keep_location: keep the GPS block of the EXIF data.
        fill: a colour (``"white"``, ``"#808080"`` or three floats in 0..1) to lay transparent parts on; None leaves
            the colours beneath as they are stored. The alpha is kept either way.

    Returns:
        The picture, upright and sRGB.

    Raises:
        ImageError: not a picture, damaged, too many pixels, a part outside it, or an array that is no picture.
    """
    name, path, crop = "picture", None, None
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, os.PathLike)):
        path, text = split_crop(source)
        name = path.name
        with _opened(path) as stream:
            raw = _read(stream, repr(str(path)), max_pixels, keep_location)
        crop = None if text is None else _parse_crop(text, raw.colour.shape[:2], str(path))
    elif isinstance(source, Image.Image):
        _check_pixels(source.size, max_pixels, "the PIL image")
        raw = _of_image(source, None, "the PIL image", keep_location)
        raw.sha256 = _array_hash(np.asarray(source))
    elif hasattr(source, "read"):
        name = Path(str(getattr(source, "name", "picture"))).name
        stream = cast("IO[bytes]", source)
        raw = _read(_seekable(stream), repr(name), max_pixels, keep_location)
    else:
        raw = _of_array(source, max_pixels)
    if crop is not None:
        x, y, width, height = crop
        raw.colour = raw.colour[y : y + height, x : x + width]
        raw.alpha = None if raw.alpha is None else raw.alpha[y : y + height, x : x + width]
    pixels, alpha = _unit(raw.colour), None if raw.alpha is None else _unit(raw.alpha)
    if fill is not None and alpha is not None:
        pixels = pixels * alpha[:, :, None] + _colour(fill) * (1 - alpha[:, :, None])
    return Picture(pixels, alpha, raw.exif, name, raw.sha256, raw.bits, path, crop, tuple(dict.fromkeys(raw.notes)))


def split_crop(source: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Return the file and the text of the part asked for, ``photo.jpg#10,20,300,200`` -> ``photo.jpg``, ``10,20,...``.

    A file that has ``#`` in its name is found under its name.
    """
    text = os.fspath(source)
    match = _CROP.fullmatch(text)
    if match is None or os.path.lexists(text) or not (os.path.lexists(match[1]) or match[2].count(",") == 3):
        return Path(text), None
    return Path(match[1]), match[2]


def read_record(path: str | os.PathLike[str]) -> str | None:
    """Return the record inside a saved picture, or None where it has none.

    Raises:
        ImageError: the file is missing or not a picture.
        RecordError: there is a record, and it is damaged.
    """
    target = Path(path)
    with _opened(target) as stream, _quiet([]):
        return metadata.record_in(_identified(stream, repr(str(target))), stream)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, or say in one line why not."""
    shown = repr(str(path))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{shown} is a directory: name one picture in it")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{shown} is not a regular file: save the picture to a file first")
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise ImageError(f"{shown} does not exist: {_near(path)}") from None
    except NotADirectoryError:
        raise ImageError(f"{shown} does not exist: {str(path.parent)!r} is not a folder") from None
    except PermissionError:
        raise ImageError(f"{shown} may not be read: run chmod u+r on it, or copy it to where you may") from None
    except (OSError, ValueError) as exc:
        raise ImageError(f"{shown} cannot be opened ({exc}): check the name") from exc
    with file:
        yield file


def _near(path: Path) -> str:
    """Return what to say of a missing file: names like it, or that the folder is missing too."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"there is no folder {str(path.parent)!r} that can be read"
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(path.name.lower(), lowered, n=3, cutoff=0.6)
    if not near:
        return "check the name"
    return f"did you mean {' or '.join(repr(str(path.parent / lowered[name])) for name in near)}?"


def _seekable(stream: IO[bytes]) -> IO[bytes]:
    """Return the rest of a file object as one that can be read twice."""
    data = stream.read()
    if not isinstance(data, bytes):
        raise ImageError("a file object opened as text is no picture: open it in binary mode ('rb')")
    return io.BytesIO(data)


@contextlib.contextmanager
def _quiet(notes: list[str]) -> Iterator[None]:
    """Turn what decoders warn about into notes; our own limit on pixels stands in for Pillow's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            notes.append(" ".join(str(warning.message).split()))


def _identified(stream: IO[bytes], shown: str) -> Image.Image:
    """Open a picture, reading no more than its header.

    The plugins are asked directly: ``Image.open`` would apply Pillow's own limit on pixels, a global of the process.
    """
    stream.seek(0)
    prefix = stream.read(16)
    if not prefix:
        raise ImageError(f"{shown} is empty (0 bytes): copy it again or choose another picture")
    damage: Exception | None = None
    for name in _FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(prefix) is not True and not accept(prefix):
            continue
        try:
            stream.seek(0)
            return factory(stream, "")
        except _DAMAGE as exc:
            damage = exc
    if prefix[4:8] == b"ftyp":
        from pillow_heif import HeifImageFile

        try:
            stream.seek(0)
            return cast(Image.Image, HeifImageFile(stream))
        except _DAMAGE as exc:
            damage = exc
    if damage is None:
        raise ImageError(f"{shown} is not a picture that can be read: give {READABLE}")
    raise ImageError(_damaged(shown, damage)) from damage


def _damaged(shown: str, reason: Exception) -> str:
    line = " ".join(str(reason).split())[:120] or type(reason).__name__
    return f"{shown} is damaged, cut short or of a rare kind ({line}): copy it again or save it anew as PNG"


def _read(stream: IO[bytes], shown: str, max_pixels: int, keep_location: bool) -> _Raw:
    """Decode a file whose pixel count is within the limit."""
    notes: list[str] = []
    with _quiet(notes):
        image = _identified(stream, shown)
        _check_pixels(image.size, max_pixels, shown)
        stream.seek(0)
        digest = hashlib.file_digest(cast(Any, stream), "sha256").hexdigest()
        raw = _of_image(image, stream, shown, keep_location)
    raw.sha256 = digest
    raw.notes += notes
    return raw


def _check_pixels(size: tuple[int, int], max_pixels: int, shown: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{shown} has {width} x {height} = {width * height} pixels, more than the {max_pixels} allowed: "
            f"if you trust it, pass --max-pixels {width * height}"
        )
    if width < 1 or height < 1:
        raise ImageError(f"{shown} is {width} x {height} px, which is no picture: give at least 1 x 1")


def _of_image(image: Image.Image, stream: IO[bytes] | None, shown: str, keep_location: bool) -> _Raw:
    """Decode an opened picture, turn it upright, convert it to sRGB and clean its EXIF."""
    try:
        orientation, exif, notes = _exif_of(image, keep_location)
        if stream is not None and sixteen.is_deep(image, stream):
            if image.format == "PNG":
                _verify_png(stream)
            colour, alpha = sixteen.read_deep(image, stream)
            raw = _deep(colour, alpha, image.info.get("icc_profile"), shown)
        elif image.mode[0] in "IF":
            image.load()
            raw = _deep(_wide_values(image, shown), None, image.info.get("icc_profile"), shown)
        else:
            image.load()
            raw = _eight(image, shown)
    except _DAMAGE as exc:
        raise ImageError(_damaged(shown, exc)) from exc
    raw.exif = exif
    raw.notes += [f"{shown}: {note}" for note in notes]
    raw.colour = _upright(raw.colour, orientation)
    raw.alpha = None if raw.alpha is None else _upright(raw.alpha, orientation)
    return raw


def _exif_of(image: Image.Image, keep_location: bool) -> tuple[int, bytes | None, list[str]]:
    """Return the orientation (1..8), the cleaned EXIF data, and notes."""
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    except _DAMAGE:
        return 1, None, ["its EXIF data is damaged and was left out"]
    try:
        return orientation, metadata.clean_exif(exif, keep_location), []
    except _DAMAGE:
        return orientation, None, ["its EXIF data is damaged and was left out"]


def _verify_png(stream: IO[bytes]) -> None:
    """Check every chunk's checksum; OpenCV would fill what is missing with black and say nothing."""
    stream.seek(0)
    Image.OPEN["PNG"][0](stream, "").verify()


def _eight(image: Image.Image, shown: str) -> _Raw:
    """Return an 8-bit picture's colours in sRGB and its alpha."""
    icc = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        alpha = np.asarray(image.getchannel("A"))
        image = image.convert(image.mode[:-1])
    elif image.mode == "1":
        image = image.convert("L")
    converted, note = profiles.image_to_srgb(image, icc)
    return _Raw(np.asarray(converted), alpha, 8, notes=[f"{shown}: {note}"] if note else [])


def _deep(colour: NDArray[Any], alpha: NDArray[Any] | None, icc: bytes | None, shown: str) -> _Raw:
    """Return a deep picture's colours in sRGB, ``[H, W, 1]`` or ``[H, W, 3]`` uint16 -> ``[H, W, 3]`` float32."""
    converted, note = profiles.values_to_srgb(_unit(colour), icc)
    return _Raw(converted, alpha, 16, notes=[f"{shown}: {note}"] if note else [])


def _wide_values(image: Image.Image, shown: str) -> NDArray[Any]:
    """Return a one-channel picture of 16 or 32 bits as ``[H, W, 1]`` uint16 or float32."""
    values = np.asarray(image)[:, :, None]
    if image.mode.startswith("I;16"):
        return values.astype(np.uint16)
    most = 65535 if image.mode == "I" else 1.0
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= most):  # also where one of them is NaN
        raise ImageError(f"{shown} has values from {low:g} to {high:g}, outside 0 to {most:g}: save it as 16-bit PNG")
    return values.astype(np.uint16 if image.mode == "I" else np.float32)


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels turned and mirrored as the EXIF orientation (1..8) asks."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _parse_crop(text: str, size: tuple[int, ...], path: str) -> Crop:
    """Return the part asked for, which must lie inside the upright picture."""
    height, width = size
    try:
        x, y, part_width, part_height = (int(number) for number in text.split(","))
    except ValueError:
        raise ImageError(f"crop {text!r} of {path!r} is not x,y,width,height in px, such as #0,0,{width},{height}") from None
    if x < 0 or y < 0 or part_width < 1 or part_height < 1 or x + part_width > width or y + part_height > height:
        raise ImageError(
            f"crop {text!r} (x,y,width,height) is not inside {path!r}, which is {width} x {height} px: "
            f"x + width may be at most {width} and y + height at most {height}"
        )
    return x, y, part_width, part_height


def _of_array(source: Any, max_pixels: int) -> _Raw:
    """Check an array or tensor and return it as colour and alpha."""
    if hasattr(source, "detach"):  # a tensor, without loading torch to ask
        values = source.detach().cpu()
        if "float" not in str(values.dtype):
            raise ImageError(f"a tensor of {values.dtype} is no picture: give floats in 0..1")
        values = values.float().numpy()
        values = values[0] if values.ndim == 4 and values.shape[0] == 1 else values
        if values.ndim != 3 or values.shape[0] != 3:
            shape = tuple(source.shape)
            raise ImageError(f"a tensor of shape {shape} is no picture: give [3, height, width] or [1, 3, height, width]")
        values = np.moveaxis(values, 0, -1)
    elif isinstance(source, np.ndarray):
        values = source
    else:
        raise ImageError(f"a {type(source).__name__} is no picture: give a path, PIL image, array, tensor or file object")
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        hint = "[height, width], [height, width, 3] or [height, width, 4]"
        raise ImageError(f"an array of shape {np.shape(source)} is no picture: give {hint}")
    _check_pixels((values.shape[1], values.shape[0]), max_pixels, "the array")
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # also where one of them is NaN
            raise ImageError(f"an array with values from {low:g} to {high:g} is no picture: floats must be within 0..1")
        values = np.clip(values, 0, 1)
    elif values.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"an array of {values.dtype} is no picture: give uint8, uint16, or floats in 0..1")
    colour = np.broadcast_to(values[:, :, :3], (*values.shape[:2], 3))
    alpha = values[:, :, 3] if values.shape[2] == 4 else None
    return _Raw(colour, alpha, 16 if values.dtype == np.uint16 else 8, _array_hash(values))


def _array_hash(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return contiguous float32 in 0..1, whether levels or floats came in."""
    if values.dtype.kind == "u":
        scaled = np.ascontiguousarray(values).astype(np.float32)
        scaled /= np.float32(np.iinfo(values.dtype).max)
        return scaled
    return np.ascontiguousarray(values, dtype=np.float32)


def _colour(fill: str | tuple[float, float, float]) -> NDArray[np.float32]:
    """Return a colour as three floats in 0..1."""
    if isinstance(fill, str):
        try:
            return np.asarray(ImageColor.getrgb(fill)[:3], np.float32) / np.float32(255)
        except ValueError:
            raise ImageError(f"fill {fill!r} is no colour: give a name such as white, or #808080") from None
    colour = np.asarray(fill, np.float32)
    if colour.shape != (3,) or not (colour.min() >= 0 and colour.max() <= 1):
        raise ImageError(f"fill {fill!r} is no colour: give three numbers in 0..1")
    return colour
