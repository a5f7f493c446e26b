"""Pictures with whole pixels and damaged metadata: EXIF, XMP, ICC and IPTC in every format that carries them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from impasto.imaging import icc, metadata

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF")
SIZE = (24, 16)
_PIXEL_TAGS = {254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339}


def pictures(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield the description and the bytes of ``count`` pictures of ``SIZE`` (width, height)."""
    chance = random.Random(seed)
    plain = {kind: _saved(kind) for kind in FORMATS}
    for number in range(count):
        kind = FORMATS[number % len(FORMATS)]
        what = chance.choice(("exif", "xmp", "icc", "iptc"))
        yield f"{seed}/{number} {kind} {what}", _with_damage(plain[kind], kind, what, chance)


def _picture() -> Image.Image:
    width, height = SIZE
    ramp = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3) * 255 // (height * width * 3)
    return Image.fromarray(ramp.astype(np.uint8))


def _exif() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = 1
    for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution):
        exif[tag] = TiffImagePlugin.IFDRational(300, 1)
    exif[ExifTags.Base.ResolutionUnit] = 2
    exif[ExifTags.IFD.Exif] = {0x829A: 0.01, 0x9003: "2020:01:02 03:04:05", 0xA002: 4000, 0x927C: b"notes" * 3}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (47.0, 30.0, 0.0)}
    return exif.tobytes()


def _saved(kind: str) -> bytes:
    file = io.BytesIO()
    image = _picture()
    options = {"exif": _exif(), "icc_profile": icc.srgb_profile(), "xmp": metadata.xmp_packet("{}")}
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700], tags[33723], tags[34377] = options.pop("xmp"), _iptc(), b"8BIM" + bytes(40)
        image.save(file, kind, tiffinfo=tags, **options)
    elif kind == "HEIF":
        from pillow_heif import from_pillow

        image.info.update(options)
        from_pillow(image).save(file)
    else:
        image.save(file, kind, **options)
    return file.getvalue()


def _iptc() -> bytes:
    return b"\x1c\x02\x05\x00\x05title" + b"\x1c\x02\x78\x00\x03abc"


def _mutated(block: bytes, chance: random.Random) -> bytes:
    """Return a block with changed bytes, cut short, repeated, or replaced by noise; at most 60,000 bytes."""
    how = chance.randrange(6)
    if how == 0:
        return block[: chance.randrange(len(block) + 1)]
    if how == 1:
        return chance.randbytes(chance.randrange(400))
    if how == 2:
        return (block * 40)[: chance.randrange(60_000)]
    changed = bytearray(block)
    for _ in range(chance.choice((1, 2, 8, 40))):
        changed[chance.randrange(len(changed))] = chance.choice((0, 1, 2, 7, 127, 128, 255, chance.randrange(256)))
    return bytes(changed)


def _with_damage(data: bytes, kind: str, what: str, chance: random.Random) -> bytes:
    if kind == "JPEG":
        return _jpeg(data, what, chance)
    if kind == "PNG":
        return _png(data, what, chance)
    if kind == "WEBP":
        return _webp(data, what, chance)
    if kind == "TIFF":
        return _tiff(data, chance)
    return _in_place(data, what, chance)


def _jpeg(data: bytes, what: str, chance: random.Random) -> bytes:
    heads = {
        "exif": (b"\xff\xe1", b"Exif\0\0", _exif()[6:]),
        "xmp": (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0", metadata.xmp_packet("{}")),
        "icc": (b"\xff\xe2", b"ICC_PROFILE\0" + bytes([chance.randrange(3), chance.randrange(3)]), icc.srgb_profile()),
        "iptc": (b"\xff\xed", b"Photoshop 3.0\0", b"8BIM\x04\x04\0\0" + struct.pack(">I", 18) + _iptc()),
    }
    marker, prefix, block = heads[what]
    body = prefix + _mutated(block, chance)
    if chance.random() < 0.2:  # a list of pictures that is none
        body, marker = b"MPF\0" + _mutated(_exif()[6:], chance), b"\xff\xe2"
    place, out = 2, b""
    while 0xE0 <= data[place + 1] <= 0xEF:
        end = place + 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
        if not data[place + 4 : end].startswith(prefix[:6]):
            out += data[place:end] if chance.random() < 0.5 else b""
        place = end
    return data[:2] + out + marker + struct.pack(">H", len(body) + 2) + body + data[place:]


def _png(data: bytes, what: str, chance: random.Random) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packed = zlib.compress(icc.srgb_profile())
    choices = {
        "exif": (b"eXIf", _mutated(_exif()[6:], chance)),
        "xmp": (b"iTXt", _mutated(b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp_packet("{}"), chance)),
        "icc": (b"iCCP", _mutated(b"profile\0\0" + packed, chance)),
        "iptc": (b"zTXt", _mutated(b"Raw profile type iptc\0\0" + zlib.compress(b"\niptc\n 21\n" + _iptc()), chance)),
    }
    name, body = choices[what]
    if chance.random() < 0.2:
        name, body = chance.choice((b"pHYs", b"gAMA", b"cHRM", b"tEXt", b"sRGB", b"tIME")), chance.randbytes(3)
    end = -12 if name not in (b"iCCP", b"eXIf") and chance.random() < 0.3 else data.index(b"IDAT") - 4
    if chance.random() < 0.3:  # nothing that comes from the encoder remains
        place = data.index(b"IHDR") + 21
        data, end = data[:place] + data[data.index(b"IDAT") - 4 :], place if end > 0 else end
    return data[:end] + chunk(name, body) + data[end:]


def _webp(data: bytes, what: str, chance: random.Random) -> bytes:
    name = {"exif": b"EXIF", "xmp": b"XMP ", "icc": b"ICCP", "iptc": b"EXIF"}[what]
    place, out = 12, b""
    while place + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        if kind == name:
            body = _mutated(body, chance)
        out += kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        place += 8 + length + length % 2
    return b"RIFF" + struct.pack("<I", len(out) + 4) + b"WEBP" + out


def _tiff(data: bytes, chance: random.Random) -> bytes:
    """Change type, count or value of some of the tags that do not describe the pixels."""
    changed = bytearray(data)
    start = int(struct.unpack("<I", data[4:8])[0])
    entries = [start + 2 + 12 * number for number in range(struct.unpack("<H", data[start : start + 2])[0])]
    loose = [entry for entry in entries if struct.unpack("<H", data[entry : entry + 2])[0] not in _PIXEL_TAGS]
    for entry in chance.sample(loose, chance.randrange(1, 4)):
        how = chance.randrange(4)
        if how == 0:
            struct.pack_into("<H", changed, entry + 2, chance.choice((0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 16, 200)))
        elif how == 1:
            struct.pack_into("<I", changed, entry + 4, chance.choice((0, 1, 2, 5, 1000, 2**31, 2**32 - 1)))
        elif how == 2:
            struct.pack_into("<I", changed, entry + 8, chance.choice((0, 8, start, len(data) - 3, 2**31, 2**32 - 1)))
        else:
            changed[entry + 2 : entry + 12] = chance.randbytes(10)
    return bytes(changed)


def _in_place(data: bytes, what: str, chance: random.Random) -> bytes:
    """Change bytes of a block without moving it: AVIF and HEIC refer to it by its place."""
    if what == "icc":
        place = data.index(b"colrprof") + 8
        length = int(struct.unpack(">I", data[place - 12 : place - 8])[0]) - 12
    elif what == "xmp":
        place, length = data.index(b"<?xpacket begin"), len(metadata.xmp_packet("{}"))
    else:
        maker = data.index(b"Maker")  # encoders may write the block anew
        place = max(data.rfind(b"II*\0", 0, maker), data.rfind(b"MM\0*", 0, maker))
        length = data.index(b"notes" * 3) - place
    block = _mutated(data[place : place + length], chance)[:length].ljust(length, b"\0")
    return data[:place] + block + data[place + length :]
