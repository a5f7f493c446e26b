"""The pixels of a file whose metadata makes its decoder fail.

``without_metadata`` copies a JPEG, PNG, WebP, AVIF, HEIC or TIFF without the parts that do not describe pixels, so that
no EXIF, XMP, ICC or IPTC data costs a picture. A file that is itself cut short is not repaired.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

# Of a PNG: also the frames of an animation go, since only the first picture is read.
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_LARGEST_PNG_PROFILE = 1 << 20  # bytes: Pillow refuses more
_RECORD = b"impasto:record"  # in an XMP packet
_TIFF_METADATA = (
    {269, 270, 271, 272, 282, 283, 285, 286, 287, 296, 297, 305, 306, 315, 316, 700, 33432, 33723, 34377}
    | {34665, 34675, 34853, 50341}
    | {33550, 33920, 33922, 34264, 34735, 34736, 34737}
)


def without_metadata(data: bytes) -> bytes | None:
    """Return a file without its metadata, or None if it is of another format, incomplete or has none.

    A PNG keeps a color profile and EXIF data that can be read, a JPEG its color profile. Impasto's record stays.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            found = _png(data)
        elif data.startswith(b"\xff\xd8"):
            found = _jpeg(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            found = _webp(data)
        elif data[:4] in (b"II*\0", b"MM\0*"):
            found = _tiff(data)
        elif data[4:8] == b"ftyp":
            found = _items(data)
        else:
            return None
    except (struct.error, IndexError, ValueError):
        return None
    return None if found == data else found


def _png(data: bytes) -> bytes:
    kept, place, kind = [data[:8]], 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        chunk = data[place : place + 12 + length]
        if len(chunk) < 12 + length:
            raise ValueError("cut short")
        if kind in _PNG_PIXELS or (kind in (b"iCCP", b"eXIf") and _is_sound(kind, chunk)):
            kept.append(chunk)
        place += 12 + length
    return b"".join(kept)


def _is_sound(kind: bytes, chunk: bytes) -> bool:
    """Return whether a chunk's checksum is right, and a color profile in it complete and not too large."""
    body = chunk[8:-4]
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    if kind == b"eXIf":
        return True
    _, found, packed = body.partition(b"\0")
    if not found or packed[:1] != b"\0":
        return False
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(packed[1:], _LARGEST_PNG_PROFILE)
    except zlib.error:
        return False
    return inflater.eof


def _jpeg(data: bytes) -> bytes:
    kept, place = [data[:2]], 2
    for start, end, marker in _jpeg_segments(data):
        body = data[start + 4 : end]
        is_needed = marker in (0xE0, 0xEE) or body.startswith((b"ICC_PROFILE\0", b"impasto\0"))
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or is_needed:
            kept.append(data[start:end])
        place = end
    return b"".join(kept) + data[place:]


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and marker of the segments in front of the pixels."""
    place = 2
    while data[place] == 0xFF and data[place + 1] != 0xDA:
        marker = data[place + 1]
        end = place + 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
        yield place, end, marker
        place = end


def _webp(data: bytes) -> bytes:
    kept, place = b"", 12
    while place + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[place : place + 8])
        chunk = data[place : place + 8 + length + length % 2]
        if kind == b"VP8X":
            flags = 0x28 if _RECORD in data else 0x2C  # profile and EXIF, and XMP
            chunk = chunk[:8] + bytes([chunk[8] & ~flags]) + chunk[9:]
        if kind not in (b"ICCP", b"EXIF") and (kind != b"XMP " or _RECORD in chunk):
            kept += chunk
        place += 8 + length + length % 2
    return b"RIFF" + struct.pack("<I", len(kept) + 4) + b"WEBP" + kept


def _tiff(data: bytes) -> bytes:
    """Return a TIFF whose first directory has only the tags of its pixels; everything stays in its place."""
    order = "<" if data[:2] == b"II" else ">"
    start = int(struct.unpack(order + "I", data[4:8])[0])
    count = int(struct.unpack(order + "H", data[start : start + 2])[0])
    end = start + 2 + 12 * count
    entries = [data[place : place + 12] for place in range(start + 2, end, 12)]
    dropped = _TIFF_METADATA - ({700} if _RECORD in data else set())
    kept = [entry for entry in entries if struct.unpack(order + "H", entry[:2])[0] not in dropped]
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)  # no second page
    return data[:start] + directory.ljust(end + 4 - start, b"\0") + data[end + 4 :]


def _items(data: bytes) -> bytes:
    """Return an AVIF or HEIC whose metadata is of a kind that no reader knows; everything stays in its place."""
    kinds = b"Exif" if _RECORD in data else b"Exif|mime"
    renamed = re.sub(rb"(infe.{8}|infe\x03.{9})(?:" + kinds + rb")", rb"\1skip", data, flags=re.DOTALL)
    return renamed.replace(b"colrprof", b"colrskip")
