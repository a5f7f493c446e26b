"""Read the format and size of an image from its first bytes, without decoding it.

The header has the media type, width and height, so the server can reject an image that is too large during the upload,
without a decoder. The worker decodes the file and finds any damage.

Not imagesize 2.0: it fails on AVIF and HEIC files with EXIF, ignores the orientation of PNG and WebP, and returns no
format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD_BYTES = 1 << 20  # how far the metadata of a JPEG and the boxes of a HEIC are searched
ACCEPTED = "PNG, JPEG, WebP, TIFF, HEIC, AVIF, GIF, BMP"


class UnknownFormatError(ValueError):
    """The bytes are not an image in a format that Impasto reads."""


@dataclass(frozen=True)
class Header:
    """The format and size of an image."""

    media_type: str
    extension: str
    width: int
    height: int


# Formats whose size may come late: TIFF has it anywhere, JPEG after the camera's metadata.
LATE = (b"II*\0", b"MM\0*", b"\xff\xd8\xff")


def sniff(head: bytes, whole: bool = False) -> Header | None:
    """Read the format and size of an image.

    Args:
        head: the file's first bytes, or all of them.
        whole: whether ``head`` is the complete file.

    Returns:
        None if more bytes are needed.

    Raises:
        UnknownFormatError: this is not an image, or the file ends before its size.
    """
    try:
        header = _read(head)
    except (struct.error, IndexError):
        header = None
    if header is None and (whole or (len(head) >= HEAD_BYTES and not head.startswith(LATE))):
        raise UnknownFormatError(f"this is not a readable image; accepted formats: {ACCEPTED}")
    if header is not None and (header.width < 1 or header.height < 1):
        raise UnknownFormatError("the image has no pixels")
    return header


def _read(head: bytes) -> Header | None:
    if len(head) < 32:
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Header("image/png", ".png", *struct.unpack(">II", head[16:24]))
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return Header("image/gif", ".gif", *struct.unpack("<HH", head[6:10]))
    if head[:2] == b"BM":
        width, height = struct.unpack("<ii", head[18:26])
        return Header("image/bmp", ".bmp", width, abs(height))
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(head)
    if head[4:8] == b"ftyp":
        return _heif(head)
    raise UnknownFormatError(f"this is not a readable image; accepted formats: {ACCEPTED}")


def _jpeg(head: bytes) -> Header | None:
    """Walk the segments up to the frame header."""
    at = 2
    while at + 9 <= len(head):
        if head[at] != 0xFF:
            raise UnknownFormatError("the JPEG is damaged; save it again")
        marker = head[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill bytes and marks without length
            at += 1 if marker == 0xFF else 2
            continue
        length, _, height, width = struct.unpack(">HBHH", head[at + 2 : at + 9])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return Header("image/jpeg", ".jpg", width, height)
        at += 2 + length
    return None


def _webp(head: bytes) -> Header:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack("<HH", head[26:30]))
    return Header("image/webp", ".webp", width, height)


def _tiff(head: bytes) -> Header | None:
    """Read the first directory, which may lie at the very end."""
    order = "<" if head[:2] == b"II" else ">"
    (at,) = struct.unpack(order + "I", head[4:8])
    (count,) = struct.unpack(order + "H", head[at : at + 2])
    sides = {}
    for index in range(count):
        entry = head[at + 2 + 12 * index : at + 14 + 12 * index]
        tag, kind = struct.unpack(order + "HH", entry[:4])
        if tag in (256, 257):
            sides[tag] = struct.unpack(order + ("H" if kind == 3 else "I"), entry[8 : 10 if kind == 3 else 12])[0]
    if len(sides) < 2:
        raise UnknownFormatError("the TIFF has no size; save it again")
    return Header("image/tiff", ".tif", sides[256], sides[257])


_BRANDS = {b"avif": ("image/avif", ".avif"), b"avis": ("image/avif", ".avif")}
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")


def _heif(head: bytes) -> Header | None:
    """Find the largest image among the property boxes: its coded size, which may have an encoder's padding."""
    length = struct.unpack(">I", head[:4])[0]
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(length, 256), 4))}
    kinds = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if not kinds and not brands.intersection(_HEIC):
        raise UnknownFormatError(f"this is not a readable image; accepted formats: {ACCEPTED}")
    media_type, extension = kinds[0] if kinds else ("image/heic", ".heic")
    sizes = []
    at = head.find(b"ispe")
    while at >= 0 and at + 16 <= len(head):
        sizes.append(struct.unpack(">II", head[at + 8 : at + 16]))
        at = head.find(b"ispe", at + 4)
    # The boxes with all sizes precede the pixels; until those begin there may be a larger image to come.
    if not sizes or (head.find(b"mdat") < 0 and len(head) < HEAD_BYTES):
        return None
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header(media_type, extension, width, height)
