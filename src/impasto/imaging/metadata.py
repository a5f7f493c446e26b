"""Metadata inside an image's file: EXIF copied from the source, and Impasto's record.

The record is text. A PNG stores it in compressed text chunks under the keyword ``impasto``, a JPEG in APP9 segments
(compressed, split if it is longer than one segment), WebP, AVIF, HEIC and TIFF in an XMP packet (compressed, base64).
A BMP stores none.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from typing import IO, Any

from PIL import ExifTags, Image

from impasto.errors import RecordError
from impasto.imaging.damage import DECODER_ERRORS, third_party_decoder

KEYWORD = b"impasto"
DAMAGED = "the record inside this image is damaged: use the original file"
# Readers refuse text chunks of more than 1 MB and would refuse the image with them.
_CHUNK_CHARACTERS = 250_000
_SEGMENT_BYTES = 65_000  # a JPEG segment holds 65,533
LARGEST_DPI = 10_000
_LARGEST_RECORD = 256 * 2**20

# Tags that describe how the old file stored its pixels, or that depend on its size or position:
# XMP (700), IPTC (33723), Photoshop blocks (34377), ICC (34675), print matching (50341), map coordinates (33550 on).
_STORAGE_TAGS = (
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289}
    | {290, 291, 292, 293, 296, 297, 301, 317, 318, 319, 320, 330, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530}
    | set(range(321, 329))
    | {531, 532, 559, 700, 33723, 34377, 34675, 50341, 0x0112, 0x8769, 0x8825}
    | {33550, 33920, 33922, 34264, 34735, 34736, 34737}
)
_OLD_DIMENSIONS = (0xA002, 0xA003)  # they would be wrong in the new file


def clean_exif(exif: Image.Exif, keep_location: bool = False) -> bytes | None:
    """Return cleaned EXIF data: upright, without thumbnail, and without location unless ``keep_location``.

    Args:
        exif: as Pillow reads it; not modified.
        keep_location: keep the GPS block.

    Returns:
        Bytes that begin with ``Exif``, or None if nothing remains.

    Raises:
        DamagedFileError: Pillow cannot parse the data.
    """
    with third_party_decoder():  # Pillow parses tags when they are first read
        tags = dict(exif.items())
    camera = _block(exif, ExifTags.IFD.Exif)
    place = _block(exif, ExifTags.IFD.GPSInfo) if keep_location else {}
    kept = Image.Exif()
    for tag, value in tags.items():
        if tag not in _STORAGE_TAGS and not isinstance(value, dict):
            kept[tag] = value
    for tag in (*_OLD_DIMENSIONS, ExifTags.IFD.Interop):
        camera.pop(tag, None)
    if camera:
        kept[ExifTags.IFD.Exif] = camera
    if place:
        kept[ExifTags.IFD.GPSInfo] = place
    if len(kept) == 0:
        return None
    kept[ExifTags.Base.Orientation] = 1
    with third_party_decoder():  # a tag's value may not fit its type
        return kept.tobytes()


def _block(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """Return a copy of a block of tags, whether it was read from a file or put there by a program."""
    with third_party_decoder():
        value = exif.get(tag)
        return dict(value if isinstance(value, dict) else exif.get_ifd(tag))


def resolution(image: Image.Image) -> float | None:
    """Return the print resolution of an opened image in dots per inch, or None if it has none."""
    found = None
    try:
        # Without a resolution in its header, Pillow reports 72 for some JPEGs.
        if image.format not in ("JPEG", "MPO") or image.info.get("jfif_unit") in (1, 2):
            found = image.info.get("dpi")
        if found is None:
            exif = image.getexif()
            unit = {2: 1.0, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2))
            value = exif.get(ExifTags.Base.XResolution)
            found = None if unit is None or value is None else (float(value) * unit,)
        dpi = 0.0 if found is None else float(found[0])
    except DECODER_ERRORS:
        return None
    dpi = (
        float(round(dpi)) if abs(dpi) < 1e6 and abs(dpi - round(dpi)) < 0.02 else dpi
    )  # a PNG stores whole dots per meter
    return dpi if 1 <= dpi <= LARGEST_DPI else None


def with_resolution(exif: bytes | None, dpi: float | None) -> bytes | None:
    """Add the resolution to EXIF data, for formats without a field for it."""
    if dpi is None:
        return exif
    block = Image.Exif()
    if exif:
        block.load(exif)
    block[ExifTags.Base.XResolution] = block[ExifTags.Base.YResolution] = dpi
    block[ExifTags.Base.ResolutionUnit] = 2
    return block.tobytes()


def png_text(record: str) -> list[bytes]:
    """Return the bodies of the iTXt chunks that hold a record."""
    pieces = [record[start : start + _CHUNK_CHARACTERS] for start in range(0, len(record), _CHUNK_CHARACTERS)]
    return [KEYWORD + b"\0\1\0\0\0" + zlib.compress(piece.encode()) for piece in pieces or [""]]


def jpeg_with_record(jpeg: bytes, record: str) -> bytes:
    """Return a JPEG with the record in APP9 segments, behind the segments that must come first."""
    packed = zlib.compress(record.encode(), 9)
    pieces = [packed[start : start + _SEGMENT_BYTES] for start in range(0, len(packed), _SEGMENT_BYTES)]
    segments = b""
    for index, piece in enumerate(pieces):
        body = KEYWORD + b"\0" + struct.pack(">HH", index, len(pieces)) + piece
        segments += b"\xff\xe9" + struct.pack(">H", len(body) + 2) + body
    place = 2
    while jpeg[place] == 0xFF and 0xE0 <= jpeg[place + 1] <= 0xEF:
        place += 2 + int(struct.unpack(">H", jpeg[place + 2 : place + 4])[0])
    return jpeg[:place] + segments + jpeg[place:]


def xmp_packet(record: str) -> bytes:
    """Return an XMP packet that holds a record."""
    packed = base64.b64encode(zlib.compress(record.encode(), 9)).decode()
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:impasto="urn:impasto:1" impasto:record="{packed}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def record_in(image: Image.Image, stream: IO[bytes]) -> str | None:
    """Return the record of an opened image, or None if it has none.

    Args:
        image: opened, not necessarily decoded.
        stream: the same file, seekable.

    Raises:
        RecordError: there is a record, and it cannot be read.
    """
    try:
        if image.format == "PNG":
            return _from_png(stream)
        if image.format in ("JPEG", "MPO"):
            return _from_jpeg(getattr(image, "applist", []))
        return _from_xmp(image.info.get("xmp"))
    except (zlib.error, UnicodeDecodeError, binascii.Error, struct.error, ValueError) as exc:
        raise RecordError(DAMAGED) from exc


def _from_png(stream: IO[bytes]) -> str | None:
    """Return the text under our keyword; other programs may have rewritten it as any of the three kinds of chunk."""
    pieces = []
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind not in (b"iTXt", b"zTXt", b"tEXt"):
            stream.seek(length + 4, 1)
            continue
        keyword, _, body = stream.read(length).partition(b"\0")
        stream.seek(4, 1)
        if keyword != KEYWORD:
            continue
        if kind == b"zTXt":
            pieces.append(_inflated(body[1:]).decode("latin-1"))
        elif kind == b"tEXt":
            pieces.append(body.decode("latin-1"))
        else:
            text = body[2:].split(b"\0", 2)[2]  # behind the language and the translated keyword
            pieces.append((_inflated(text) if body[0] else text).decode())
    return "".join(pieces) if pieces else None


def _from_jpeg(segments: list[tuple[str, bytes]]) -> str | None:
    pieces: dict[int, bytes] = {}
    count = 0
    for name, body in segments:
        if name == "APP9" and body.startswith(KEYWORD + b"\0"):
            index, count = struct.unpack(">HH", body[8:12])
            pieces[index] = body[12:]
    if not pieces:
        return None
    if sorted(pieces) != list(range(count)):
        raise RecordError(DAMAGED)
    return _inflated(b"".join(pieces[index] for index in range(count))).decode()


def _from_xmp(packet: Any) -> str | None:
    if isinstance(packet, str):
        packet = packet.encode()
    match = re.search(rb'impasto:record="([^"]*)"', packet) if isinstance(packet, bytes) else None
    return _inflated(base64.b64decode(match[1], validate=True)).decode() if match else None


def _inflated(packed: bytes) -> bytes:
    """Return what was compressed, within a limit, so that a crafted file cannot fill the memory."""
    inflater = zlib.decompressobj()
    plain = inflater.decompress(packed, _LARGEST_RECORD)
    if not inflater.eof:
        raise ValueError("the compressed text is truncated")
    return plain


def png_chunks(icc: bytes, exif: bytes | None, dpi: float | None, record: str | None) -> list[tuple[bytes, bytes]]:
    """Return name and body of the chunks that a PNG has before its pixels.

    Args:
        icc: the color profile.
        exif: cleaned EXIF data, or None.
        dpi: dots per inch, or None.
        record: the record, or None.
    """
    chunks = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))]
    if dpi is not None:
        per_meter = round(dpi / 0.0254)
        chunks.append((b"pHYs", struct.pack(">IIB", per_meter, per_meter, 1)))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    if record is not None:
        chunks += [(b"iTXt", body) for body in png_text(record)]
    return chunks
