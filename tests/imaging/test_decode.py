"""Files that are damaged, missing, forbidden, too large or no images: each is one line, and nothing else happens."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from impasto.errors import ImageError
from impasto.imaging import decode, icc, metadata, sixteen_bit
from impasto.imaging.images import DecodeLimits, Picture, encode, load, save

LEVELS = np.stack(np.meshgrid(np.arange(0, 240, 6), np.arange(0, 180, 6), indexing="xy"), axis=-1)
LEVELS = np.concatenate([LEVELS, 255 - LEVELS[:, :, :1]], axis=2).astype(np.uint8)  # [30, 40, 3], smooth
RGB = Image.fromarray(LEVELS)
FORMATS = ["jpg", "png", "webp", "avif", "heic", "tif", "bmp", "gif"]


def written(image: Image.Image, kind: str, **options) -> bytes:
    """Return a file as other programs write it."""
    file = io.BytesIO()
    if kind == "heic":
        from pillow_heif import from_pillow

        from_pillow(image).save(file, quality=95, **options)
    else:
        image.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
    return file.getvalue()


def one_line(caught, *words: str) -> None:
    """Check that an error is one line with these words in it."""
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("kind", FORMATS)
def test_cut_short_anywhere(tmp_path, kind):
    data = written(RGB, kind)
    for fraction in (0.02, 0.1, 0.3, 0.5, 0.8, 0.97):
        path = tmp_path / f"{fraction}.{kind}"
        path.write_bytes(data[: int(len(data) * fraction)])
        if kind in ("gif", "png") and fraction > 0.9:
            continue  # what is missing may be no more than a checksum or the end mark
        with pytest.raises(ImageError) as caught:
            load(path)
        one_line(caught, path.name)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_deep_pictures_cut_short(kind):
    data = encode(np.random.default_rng(0).random((40, 50, 3)), kind, bits=16)
    for fraction in (0.1, 0.5, 0.9, 0.97):
        with pytest.raises(ImageError) as caught:
            load(io.BytesIO(data[: int(len(data) * fraction)]))
        one_line(caught, "picture")


def test_a_tiff_cut_short_says_nothing_else_on_the_terminal(capfd):
    for options in ({}, {"compression": "tiff_adobe_deflate"}):
        data = bytearray(written(RGB, "tif", **options))
        with Image.open(io.BytesIO(data)) as image:
            start, size = image.tag_v2[273][0], image.tag_v2[279][0]
        with pytest.raises(ImageError, match="truncated"):
            load(io.BytesIO(bytes(data).replace(struct.pack("<L", size), struct.pack("<L", size + len(data)))))
        assert start > 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_damaged_anywhere_is_a_picture_or_one_error(data):
    kind = data.draw(st.sampled_from(FORMATS))
    damaged = bytearray(written(RGB, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = load(io.BytesIO(bytes(damaged)), limits=DecodeLimits(max_pixels=1_000_000))
    except ImageError as error:
        message = str(error)
    else:
        message = "" if np.isfinite(picture.pixels).all() else "not\nfinite"
    assert "\n" not in message


@pytest.mark.parametrize("name", ["words.jpg", "page.png", "empty.png"])
def test_what_is_no_picture(tmp_path, name):
    path = tmp_path / name
    path.write_bytes({"words.jpg": b"just words, " * 9, "page.png": b"%PDF-1.7\n", "empty.png": b""}[name])
    with pytest.raises(ImageError) as caught:
        load(path)
    one_line(caught, name, "empty (0 bytes)" if name == "empty.png" else "not a readable image: use JPEG, PNG")


def test_programs_in_a_picture_format_are_not_run():
    with pytest.raises(ImageError, match="not a(n| readable) image"):
        load(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"))


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
def test_odd_sizes_are_read(size):
    picture = load(io.BytesIO(written(Image.new("RGB", size, "red"), "png")))
    assert picture.size == size[::-1]


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that claims to be huge."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(100_000, 100_000))
    with pytest.raises(ImageError) as caught:
        load(path)
    one_line(caught, "bomb.png", "100000 x 100000", "--max-pixels 10000000000")


def test_the_limit_can_be_moved_and_pillow_keeps_its_own():
    before = Image.MAX_IMAGE_PIXELS
    image = Image.new("L", (50, 50))
    assert load(io.BytesIO(written(image, "png")), limits=DecodeLimits(max_pixels=2500)).size == (50, 50)
    for source in (io.BytesIO(written(image, "png")), image, np.zeros((50, 50), np.uint8)):
        with pytest.raises(ImageError, match="--max-pixels 2500"):
            load(source, limits=DecodeLimits(max_pixels=2499))
    with pytest.raises(ImageError, match="damaged"):  # past Pillow's limit, within ours: decoding is tried
        load(io.BytesIO(bomb(100_000, 100_000)[:60]), limits=DecodeLimits(max_pixels=10**11))
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_directory_and_a_pipe(tmp_path):
    with pytest.raises(ImageError) as caught:
        load(tmp_path)
    one_line(caught, str(tmp_path), "is a directory")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        load(tmp_path / "pipe.png")


def test_a_missing_file_and_names_like_it(tmp_path):
    save(tmp_path / "Starry_Night.jpg", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ImageError) as caught:
        load(tmp_path / "stary_night.jpg")
    one_line(caught, "stary_night.jpg", "does not exist: did you mean", "Starry_Night.jpg")
    with pytest.raises(ImageError, match="does not exist: check the name"):
        load(tmp_path / "zzz.png")
    with pytest.raises(ImageError, match="does not exist or cannot be read"):
        load(tmp_path / "none" / "zzz.png")
    with pytest.raises(ImageError, match="is not a folder"):
        load(tmp_path / "Starry_Night.jpg" / "zzz.png")
    with pytest.raises(ImageError, match="cannot be opened"):
        load("zero\0byte.png")
    with pytest.raises(ImageError) as caught:
        load(tmp_path / "two\nlines.png")
    one_line(caught, "two\\nlines.png")


def test_no_permission_to_read(tmp_path, monkeypatch):
    path = save(tmp_path / "mine.png", np.zeros((4, 4, 3), np.float32))

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError) as caught:
        load(path)
    one_line(caught, "mine.png", "cannot be read: permission denied", "chmod u+r")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission_to_read_for_real(tmp_path):
    path = save(tmp_path / "mine.png", np.zeros((4, 4, 3), np.float32))
    path.chmod(0)
    with pytest.raises(ImageError, match="cannot be read: permission denied"):
        load(path)


def test_values_outside_the_range_of_a_float_picture():
    for value in (7.0, -1.0, float("nan")):
        with pytest.raises(ImageError) as caught:
            load(Image.fromarray(np.full((3, 3), value, np.float32)))
        one_line(caught, "outside 0 to 1")
    np.testing.assert_array_equal(load(Image.fromarray(np.full((3, 3), 0.5, np.float32))).pixels, 0.5)
    with pytest.raises(ImageError, match="outside 0 to 65535"):
        load(Image.fromarray(np.full((3, 3), 70_000, np.int32)))


def test_threads_may_load_at_once_and_warnings_survive():
    filters = list(warnings.filters)
    data = written(RGB, "jpg")
    found: list[Picture] = []
    threads = [threading.Thread(target=lambda: found.append(load(io.BytesIO(data)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert warnings.filters == filters


@pytest.mark.parametrize(
    ("module", "function", "name"),
    [
        (decode, "_eight", "a.jpg"),
        (decode, "_deep", "a.tif"),
        (sixteen_bit, "is_deep", "a.png"),
        (sixteen_bit, "read_deep", "a.tif"),
        (metadata, "_block", "a.jpg"),
        (icc, "values_to_srgb", "a.tif"),
    ],
)
@pytest.mark.parametrize("bug", [TypeError, AttributeError, KeyError, ValueError])
def test_a_bug_of_ours_is_not_reported_as_a_damaged_file(tmp_path, monkeypatch, module, function, name, bug):
    path = tmp_path / name
    save(path, np.full((8, 8, 3), 0.5, np.float32), bits=16 if name == "a.tif" else 8)

    def broken(*_args, **_settings):
        raise bug("a bug")

    monkeypatch.setattr(module, function, broken)
    with pytest.raises(bug, match="a bug") as caught:
        load(path)
    assert not isinstance(caught.value, ImageError)
