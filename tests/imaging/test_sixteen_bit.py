"""Sixteen bits a channel: exact round trips, and files as other programs write them."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from impasto.errors import ImageError
from impasto.imaging.images import encode, load, quantize
from impasto.imaging.sixteen_bit import png_bytes

RNG = np.random.default_rng(7)
DEEP = RNG.integers(0, 65536, (23, 31, 3), dtype=np.uint16)
ALPHA = RNG.integers(0, 65536, (23, 31), dtype=np.uint16)
UNIT, ALPHA_UNIT = DEEP / np.float32(65535), ALPHA / np.float32(65535)


def check(picture, color=DEEP, alpha=None):
    """Check that an image holds these levels and no others."""
    assert picture.bits == 16
    assert picture.notes == ()
    np.testing.assert_array_equal(quantize(picture.pixels, 16), color)
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(quantize(picture.alpha, 16), alpha)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_round_trips_are_exact(kind, alpha):
    data = encode(UNIT, kind, bits=16, alpha=None if alpha is None else ALPHA_UNIT, dpi=300, record="r")
    check(load(io.BytesIO(data)), DEEP, alpha)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_other_programs_read_what_we_write(kind):
    data = encode(UNIT, kind, bits=16, alpha=ALPHA_UNIT)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read[:, :, [2, 1, 0, 3]], np.dstack([DEEP, ALPHA]))
    if kind == "tiff":
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), np.dstack([DEEP, ALPHA]))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (31, 23)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]), st.integers(0, 2**32))
def test_png_rows_of_any_length(height, width, channels, seed):
    levels = np.random.default_rng(seed).integers(0, 65536, (height, width, channels), dtype=np.uint16)
    read = cv2.imdecode(np.frombuffer(png_bytes(levels, []), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read.reshape(height, width, channels), levels[:, :, [2, 1, 0, 3][:channels]])


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_large_pictures_are_written_in_strips(kind):
    levels = np.add.outer(np.arange(700), np.arange(900)).astype(np.uint16)[:, :, None] * np.array([1, 5, 9], np.uint16)
    data = encode(levels, kind, bits=16)
    check(load(io.BytesIO(data)), levels)
    assert len(data) < levels.nbytes / 4  # smooth images are packed


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 5},
    ],
    ids=str,
)
def test_tiffs_of_every_layout(options):
    values = np.moveaxis(DEEP, -1, 0) if "planarconfig" in options else DEEP
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", **options)
    file.seek(0)
    check(load(file))


def test_a_tiff_packed_as_only_opencv_reads_it():
    ok, data = cv2.imencode(".tiff", DEEP[:, :, ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    assert ok
    check(load(io.BytesIO(data.tobytes())))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_gray_tiffs(photometric):
    file = io.BytesIO()
    tifffile.imwrite(file, DEEP[:, :, 0], photometric=photometric)
    file.seek(0)
    gray = DEEP[:, :, :1] if photometric == "minisblack" else 65535 - DEEP[:, :, :1]
    check(load(file), np.repeat(gray, 3, axis=2))


def test_a_tiff_of_a_rare_kind_is_one_error():
    file = io.BytesIO()
    tifffile.imwrite(file, np.dstack([DEEP[:, :, 0], ALPHA]), photometric="minisblack", extrasamples=["unassalpha"])
    file.seek(0)
    with pytest.raises(ImageError, match="truncated or unsupported"):
        load(file)


def test_tiff_alpha():
    for kind in ("unassalpha", "assocalpha", "unspecified"):
        stored = DEEP
        if kind == "assocalpha":
            stored = np.rint(DEEP * (ALPHA[:, :, None] / 65535)).astype(np.uint16)
        file = io.BytesIO()
        tifffile.imwrite(file, np.dstack([stored, ALPHA]), photometric="rgb", extrasamples=[kind])
        file.seek(0)
        picture = load(file)
        if kind == "assocalpha":
            solid = ALPHA > 6553
            assert np.abs(quantize(picture.pixels, 16).astype(int) - DEEP)[solid].max() <= 6
            np.testing.assert_array_equal(quantize(picture.alpha, 16), ALPHA)
        else:
            check(picture, DEEP, ALPHA if kind == "unassalpha" else None)


def deep_png(levels: np.ndarray, color_type: int, key: tuple[int, ...] = ()) -> io.BytesIO:
    """Return a PNG in any of the format's color types, with a transparent color if given."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + header + transparent + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_pngs_of_every_color_type():
    gray = np.repeat(DEEP[:, :, :1], 3, axis=2)
    check(load(deep_png(DEEP[:, :, 0], 0)), gray)
    check(load(deep_png(DEEP, 2)), DEEP)
    check(load(deep_png(np.dstack([DEEP[:, :, 0], ALPHA]), 4)), gray, ALPHA)
    check(load(deep_png(np.dstack([DEEP, ALPHA]), 6)), DEEP, ALPHA)


@pytest.mark.parametrize("color_type", [0, 2])
def test_a_transparent_color_becomes_alpha(color_type):
    key = (DEEP[4, 5, 0],) if color_type == 0 else tuple(DEEP[4, 5])
    picture = load(deep_png(DEEP[:, :, 0] if color_type == 0 else DEEP, color_type, key))
    assert picture.bits == 16
    assert picture.alpha[4, 5] == 0
    stored = DEEP[:, :, :1] if color_type == 0 else DEEP
    np.testing.assert_array_equal(picture.alpha == 0, (stored == np.array(key)).all(axis=2))


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_deep_pictures(kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    if kind == "png":
        exif[ExifTags.Base.Make] = "Maker"
        data = encode(DEEP, "png", bits=16, alpha=ALPHA, exif=exif.tobytes())
    else:
        file = io.BytesIO()
        tags = [(274, "H", 1, orientation, True), (271, "s", 0, "Maker", True)]
        tifffile.imwrite(file, np.dstack([DEEP, ALPHA]), photometric="rgb", extrasamples=["unassalpha"], extratags=tags)
        data = file.getvalue()
    flat = Image.fromarray((DEEP >> 8).astype(np.uint8))
    flat.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(flat))
    picture = load(io.BytesIO(data))
    levels = quantize(picture.pixels, 16)
    np.testing.assert_array_equal(levels >> 8, expected)
    assert picture.alpha.shape == picture.size
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[ExifTags.Base.Orientation] == 1
    assert kept[ExifTags.Base.Make] == "Maker"
    check(load(io.BytesIO(encode(picture.pixels, kind, bits=16, exif=picture.exif))), levels)


def test_eight_bits_through_the_tiff_writer():
    levels = (DEEP >> 8).astype(np.uint8)
    picture = load(io.BytesIO(encode(levels, "tiff")))
    assert picture.bits == 8
    np.testing.assert_array_equal(quantize(picture.pixels, 8), levels)
