"""Images with 16 bits per channel: Pillow silently reduces such color files to 8 bits and cannot write them.

Pixels are uint16 ``[H, W, C]``. PNG is read by OpenCV and TIFF by tifffile (by OpenCV if the compression needs it).
Both are written here: numpy filters a PNG's rows, Pillow builds a TIFF's directory, so that EXIF is included. 8-bit
TIFF is written here too, so that both depths carry the same metadata.

The package imagecodecs (2026.3.6) was measured and is not used: the same pixels in about the same time (1536x1024, 16
bit: 0.32 s to write a PNG, here 0.28 s; 0.05 s to read it, OpenCV 0.06 s), files 2% smaller, and 80 MB to install.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from impasto.imaging.damage import DamagedFileError, third_party_decoder

Deep = NDArray[np.uint16]
TILE = 256
_STRIP_BYTES = 1 << 20
_HEADER, _BIG_HEADER = b"II\x2a\x00\x08\x00\x00\x00", b"II\x2b\x00\x08\x00\x00\x00" + bytes(8)
_BIG_FROM = (1 << 32) - (1 << 26)  # bytes of pixels, which may not compress at all


def is_deep(image: Image.Image, stream: IO[bytes]) -> bool:
    """Return whether an opened PNG or TIFF has 16 bits per channel."""
    if image.format == "PNG":
        stream.seek(24)  # the bit depth in IHDR, always the first chunk
        return stream.read(1) == b"\x10"
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        with third_party_decoder():
            depths = set(image.tag_v2.get(258, (1,)))
        return image.mode in ("L", "LA", "RGB", "RGBA", "RGBX", "RGBa", "I;16", "I;16B") and depths == {16}
    return False


def check_tiff_length(image: TiffImagePlugin.TiffImageFile, stream: IO[bytes]) -> None:
    """Raise DamagedFileError if a TIFF lacks some of its data; decoders fill the gap, or complain on the terminal."""
    length = stream.seek(0, io.SEEK_END)
    for starts, sizes in ((273, 279), (324, 325)):  # strips, tiles
        with third_party_decoder():
            ends = [a + b for a, b in zip(image.tag_v2.get(starts, ()), image.tag_v2.get(sizes, ()), strict=False)]
            truncated = any(end > length for end in ends)
        if truncated:
            raise DamagedFileError("the file is truncated")


def read_deep(image: Image.Image, stream: IO[bytes]) -> tuple[Deep, Deep | None]:
    """Read a PNG or TIFF for which ``is_deep`` holds.

    Args:
        image: opened by Pillow, not decoded.
        stream: the same file, seekable.

    Returns:
        Color ``[H, W, 1]`` or ``[H, W, 3]`` and alpha ``[H, W]`` or None, uint16, as stored (not rotated upright).

    Raises:
        DamagedFileError: the file is damaged or of a kind that cannot be read.
    """
    if image.format == "PNG":
        values = _by_opencv(stream)
        key = image.info.get("transparency")
        if values.shape[2] in (1, 3) and key is not None:  # one color is declared transparent
            return values, (values != np.asarray(key)).any(axis=2) * np.uint16(65535)
        if image.mode in ("L", "LA") or image.mode.startswith("I"):
            values = values[:, :, [0, -1]] if values.shape[2] == 4 else values[:, :, :1]
    else:
        values = _by_tifffile(stream)
    colors = 3 if values.shape[2] >= 3 else 1
    alpha = values[:, :, colors] if values.shape[2] > colors else None
    return values[:, :, :colors], alpha


def _by_opencv(stream: IO[bytes]) -> Deep:
    import cv2

    stream.seek(0)
    encoded = np.frombuffer(stream.read(), np.uint8)
    try:
        values = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise DamagedFileError(str(exc).splitlines()[0]) from exc
    if values is None or values.dtype != np.uint16 or values.reshape(*values.shape[:2], -1).shape[2] > 4:
        raise DamagedFileError("the 16-bit data cannot be decoded")
    values = values.reshape(*values.shape[:2], -1)
    order = {1: [0], 2: [0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]
    return np.asarray(values[:, :, order], np.uint16)


def _by_tifffile(stream: IO[bytes]) -> Deep:
    import tifffile

    stream.seek(0)
    with third_party_decoder(), tifffile.TiffFile(stream) as file:
        page = file.pages.first
        try:
            values = page.asarray()
        except ValueError as exc:
            if "imagecodecs" not in str(exc):
                raise
            values = None  # of a compression that needs the package imagecodecs
        planar, photometric, samples = page.planarconfig == 2, page.photometric, page.extrasamples
    if values is None:
        return _by_opencv(stream)
    if values.ndim not in (2, 3) or values.dtype != np.uint16:
        raise DamagedFileError("the 16-bit data cannot be decoded")
    if planar and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(*values.shape[:2], -1)
    if photometric == 0:  # white is zero
        values = np.concatenate([65535 - values[:, :, :1], values[:, :, 1:]], axis=2)
    colors = 3 if photometric == 2 else 1
    extra = [int(kind) for kind in samples]
    if values.shape[2] > colors and extra[:1] == [1]:  # colors are stored multiplied by alpha
        alpha = np.maximum(values[:, :, colors : colors + 1].astype(np.float64), 1)
        plain = np.minimum(np.rint(values[:, :, :colors] * (65535 / alpha)), 65535)
        values = np.concatenate([plain.astype(np.uint16), values[:, :, colors:]], axis=2)
    keep = colors + 1 if extra[:1] in ([1], [2]) else colors
    return np.asarray(values[:, :, :keep], np.uint16)


def png_bytes(values: Deep, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a 16-bit PNG.

    Args:
        values: ``[H, W, 3]`` or ``[H, W, 4]``.
        chunks: name and body of the chunks between the header and the pixels.
    """
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    row_bytes = width * channels * 2
    rows = max(1, _STRIP_BYTES // row_bytes)
    deflater = zlib.compressobj(6)
    above = np.zeros((1, row_bytes), np.uint8)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), *(_chunk(name, body) for name, body in chunks)]
    for top in range(0, height, rows):
        lines = values[top : top + rows].astype(">u2").reshape(-1, width * channels).view(np.uint8)
        data = deflater.compress(_filtered(lines, above, channels * 2).tobytes())
        above = lines[-1:]
        if data:
            parts.append(_chunk(b"IDAT", data))
    parts += [_chunk(b"IDAT", deflater.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _filtered(lines: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """Return each row after its filter number: the smaller of the differences to the left and to the row above."""
    left = lines.copy()
    left[:, pixel_bytes:] -= lines[:, :-pixel_bytes]
    up = lines - np.concatenate([above, lines[:-1]])
    left_cost, up_cost = (np.abs(rows.view(np.int8).astype(np.int16)).sum(axis=1) for rows in (left, up))
    choice = up_cost < left_cost
    numbers = np.where(choice, 2, 1).astype(np.uint8)[:, None]
    return np.concatenate([numbers, np.where(choice[:, None], up, left)], axis=1)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def write_tiff(
    stream: IO[bytes],
    values: NDArray[np.uint8] | Deep,
    exif: bytes | None,
    icc: bytes,
    dpi: float | None,
    xmp: bytes | None,
    *,
    tiled: bool = False,
) -> None:
    """Write a TIFF, deflated with horizontal differencing.

    Args:
        stream: empty, writable and seekable.
        values: ``[H, W, 3]`` or ``[H, W, 4]``, uint8 or uint16.
        exif: cleaned EXIF data, or None.
        icc: the color profile.
        dpi: dots per inch, or None.
        xmp: an XMP packet, or None.
        tiled: in tiles, so that a viewer can show a part without reading the rest, and as BigTIFF, whose offsets have
            64 bits, where the pixels take more than 32; otherwise in strips, which every reader knows.
    """
    height, width, channels = values.shape
    big = tiled and values.nbytes > _BIG_FROM
    rows = TILE if tiled else max(1, _STRIP_BYTES // (width * channels * values.itemsize))
    columns = TILE if tiled else width
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(_BIG_HEADER if big else _HEADER)
    _describe(tags, values, exif, icc, dpi, xmp)
    starts, sizes = (324, 325) if tiled else (273, 279)
    if tiled:
        tags[322] = tags[323] = TILE
    else:
        tags[278] = rows
    lefts, tops = range(0, width, columns), range(0, height, rows)
    tags.tagtype[starts] = tags.tagtype[sizes] = 16 if big else 4
    tags[starts] = tags[sizes] = (0,) * (len(tops) * len(lefts))
    end = tags.save(stream)  # reserves space for the directory, which lies before the pixels
    deflated = partial(_deflated, shape=(rows, columns) if tiled else None)
    lengths: list[int] = []
    with ThreadPoolExecutor() as pool:
        for top in tops:  # row by row, so that few compressed tiles wait in memory
            blocks = [values[top : top + rows, left : left + columns] for left in lefts]
            lengths.extend(stream.write(data) for data in pool.map(deflated, blocks))
    first = end if tiled else 0  # Pillow itself counts strips from the end of the directory
    tags[starts], tags[sizes] = tuple(accumulate(lengths[:-1], initial=first)), tuple(lengths)
    stream.seek(0)
    tags.save(stream)


def _describe(
    tags: Any,
    values: NDArray[np.uint8] | Deep,
    exif: bytes | None,
    icc: bytes,
    dpi: float | None,
    xmp: bytes | None,
) -> None:
    """Enter the tags that strips and tiles share in a directory."""
    if exif:
        block = Image.Exif()
        block.load(exif)
        for tag in block:
            value = block.get_ifd(tag) if tag in (0x8769, 0x8825) else block[tag]
            if tag in (0x8769, 0x8825):
                tags.tagtype[tag] = 4
            tags[tag] = value
    height, width, channels = values.shape
    tags[256], tags[257], tags[258], tags[259] = width, height, (8 * values.itemsize,) * channels, 8
    tags[262], tags[274], tags[277], tags[284] = 2, 1, channels, 1
    tags[317], tags[339] = 2, (1,) * channels
    if channels == 4:
        tags[338] = 2
    if dpi is not None:
        tags[282], tags[283], tags[296] = dpi, dpi, 2
    tags.tagtype[34675] = 7
    tags[34675] = icc
    if xmp:
        tags.tagtype[700] = 1
        tags[700] = xmp


def _deflated(values: NDArray[Any], shape: tuple[int, int] | None) -> bytes:
    """Return a strip or tile, compressed; a tile at the edge is padded to its full shape."""
    if shape is not None and shape != values.shape[:2]:
        rest = shape[0] - values.shape[0], shape[1] - values.shape[1]
        values = np.pad(values, ((0, rest[0]), (0, rest[1]), (0, 0)), mode="edge")
    lines = values.astype(values.dtype.newbyteorder("<"))
    lines[:, 1:] -= values[:, :-1]
    return zlib.compress(lines.tobytes(), 6)
