"""Images out: rounding, formats, and a file that is replaced in one step or not at all."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from impasto.errors import ImageError
from impasto.files import write_atomically
from impasto.imaging import encode as encode_module
from impasto.imaging import sixteen_bit
from impasto.imaging.icc import srgb_profile
from impasto.imaging.images import check_output, encode, load, quantize, read_record, save

SMOOTH = np.stack(np.meshgrid(np.linspace(0, 1, 50), np.linspace(0, 1, 40), indexing="xy"), -1)
SMOOTH = np.concatenate([SMOOTH, 1 - SMOOTH[:, :, :1]], axis=2).astype(np.float32)  # [40, 50, 3]
ALPHA = np.linspace(0, 1, 40 * 50, dtype=np.float32).reshape(40, 50)
LOSSLESS = ("PNG", "TIFF", "BMP")


def one_line(caught, *words: str) -> None:
    """Check that an error is one line with these words in it."""
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


# Rounding


@pytest.mark.parametrize("bits", [8, 16])
def test_quantising_undoes_scaling(bits):
    levels = np.arange(2**bits)
    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(quantize((levels / (2**bits - 1)).astype(kind), bits), levels)


@given(arrays.arrays(np.float64, 20, elements=st.floats(-3, 3)), st.sampled_from([8, 16]))
def test_quantising_takes_the_nearest_level(values, bits):
    top = 2**bits - 1
    levels = quantize(values, bits)
    assert levels.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(levels / top - np.clip(values, 0, 1)).max() <= 0.5 / top + 1e-12
    order = np.argsort(values)
    assert (np.diff(levels[order].astype(int)) >= 0).all()


def test_infinity_is_clipped_and_nan_is_refused():
    np.testing.assert_array_equal(quantize(np.array([-np.inf, np.inf])), [0, 255])
    with pytest.raises(ImageError) as caught:
        quantize(np.array([0.5, np.nan, np.nan]))
    one_line(caught, "2 values", "NaN")


@pytest.mark.parametrize("bits", [1, 12, 32])
def test_other_depths_are_refused(bits):
    for action in (lambda: quantize(SMOOTH, bits), lambda: encode(SMOOTH, "png", bits=bits)):
        with pytest.raises(ImageError) as caught:
            action()
        one_line(caught, str(bits), "8 or 16")


# Round trips


@pytest.mark.parametrize("suffix", [*encode_module.SUFFIXES, ".PNG", ".Jpg"])
def test_the_suffix_says_the_format(tmp_path, suffix):
    path = save(tmp_path / f"out{suffix}", SMOOTH)
    kind = encode_module.SUFFIXES[suffix.lower()]
    data = path.read_bytes()
    if kind != "HEIC":
        with Image.open(path) as image:
            assert image.format == kind
    else:
        assert data[4:12] == b"ftypheic"
    assert data == encode(SMOOTH, suffix[1:])
    loaded = load(path)
    assert loaded.size == (40, 50)
    assert np.abs(loaded.pixels - SMOOTH).max() <= (0.5001 / 255 if kind in LOSSLESS else 0.06)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_srgb_is_embedded(kind):
    for bits in (8, 16) if kind in encode_module.DEEP_FORMATS else (8,):
        with Image.open(io.BytesIO(encode(SMOOTH, kind, bits=bits))) as image:
            assert image.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("kind", encode_module.FORMATS)
def test_the_same_picture_gives_the_same_bytes(kind):
    assert encode(SMOOTH, kind, alpha=ALPHA, record="r", dpi=300) == encode(
        SMOOTH, kind, alpha=ALPHA, record="r", dpi=300
    )


@pytest.mark.parametrize("kind", encode_module.FORMATS)
def test_alpha_is_attached_or_laid_on_white(kind):
    loaded = load(io.BytesIO(encode(SMOOTH, kind, alpha=ALPHA, quality=100)))
    if kind in ("JPEG", "BMP"):
        assert loaded.alpha is None
        expected = SMOOTH * ALPHA[:, :, None] + 1 - ALPHA[:, :, None]
        assert np.abs(loaded.pixels - expected).mean() < 0.01
        np.testing.assert_allclose(loaded.pixels[0, 0], 1, atol=0.01)
    else:
        exact = kind not in ("AVIF", "HEIC")
        assert np.abs(loaded.alpha - ALPHA).max() <= (0.5001 / 255 if exact else 0.05)


@pytest.mark.parametrize("bits", [8, 16])
def test_levels_are_written_as_they_are(bits):
    levels = np.random.default_rng(0).integers(0, 2**bits, (9, 8, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    loaded = load(io.BytesIO(encode(levels, "png", bits=bits)))
    np.testing.assert_array_equal(quantize(loaded.pixels, bits), levels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF"])
def test_dpi_is_written(kind):
    for bits in (8, 16) if kind in encode_module.DEEP_FORMATS else (8,):
        with Image.open(io.BytesIO(encode(SMOOTH, kind, dpi=300, bits=bits))) as image:
            found = image.info.get("dpi", (image.getexif().get(282), image.getexif().get(283)))
            assert [round(float(value)) for value in found] == [300, 300]


def test_better_quality_is_closer_and_larger():
    noise = np.random.default_rng(1).random((64, 64, 3)).astype(np.float32)
    for kind in ("JPEG", "WEBP", "AVIF", "HEIC"):
        files = [encode(noise, kind, quality=quality) for quality in (30, 95)]
        errors = [np.abs(load(io.BytesIO(data)).pixels - noise).mean() for data in files]
        assert len(files[0]) < len(files[1])
        assert errors[0] > errors[1]


def test_a_noisy_jpeg_at_full_quality_is_written():
    noise = np.random.default_rng(2).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    assert load(io.BytesIO(encode(noise, "jpeg", quality=100))).size == (700, 900)


# What cannot be written


@pytest.mark.parametrize(
    ("pixels", "options", "words"),
    [
        (SMOOTH[:, :, 0], {}, ["(40, 50)"]),
        (SMOOTH[:0], {}, ["(0, 50, 3)"]),
        (np.dstack([SMOOTH, ALPHA]), {}, ["(40, 50, 4)"]),
        (SMOOTH, {"alpha": ALPHA[:5]}, ["(5, 50)", "(40, 50)"]),
        (SMOOTH * np.nan, {}, ["NaN"]),
        (SMOOTH * np.nan, {"bits": 16}, ["NaN"]),
        (SMOOTH, {"alpha": ALPHA * np.nan}, ["NaN"]),
        (SMOOTH, {"quality": 0}, ["quality 0", "1 to 100"]),
        (SMOOTH, {"quality": 101}, ["quality 101"]),
    ],
)
def test_pictures_that_cannot_be_written(tmp_path, pixels, options, words):
    with pytest.raises(ImageError) as caught:
        save(tmp_path / "out.png", pixels, **options)
    one_line(caught, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.gif", "out.jpgg", "out", "out.", ".png"])
def test_a_suffix_that_is_not_known(tmp_path, name):
    for action in (lambda: save(tmp_path / name, SMOOTH), lambda: check_output(tmp_path / name)):
        with pytest.raises(ImageError) as caught:
            action()
        one_line(caught, repr(name), ".png")
    with pytest.raises(ImageError, match="did you mean '.jpg'"):
        check_output(tmp_path / "out.jpgg")


def test_a_format_that_is_not_known():
    with pytest.raises(ImageError) as caught:
        encode(SMOOTH, "jpgg")
    one_line(caught, "'jpgg'", "PNG")


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".heic", ".bmp"])
def test_sixteen_bits_need_png_or_tiff(tmp_path, suffix):
    for action in (
        lambda: save(tmp_path / f"out{suffix}", SMOOTH, bits=16),
        lambda: check_output(tmp_path / f"out{suffix}", bits=16),
    ):
        with pytest.raises(ImageError) as caught:
            action()
        one_line(caught, "PNG or TIFF")


def test_sizes_that_a_format_cannot_hold(tmp_path):
    with pytest.raises(ImageError) as caught:
        check_output(tmp_path / "out.webp", size=(100, 20_000))
    one_line(caught, "'out.webp'", "20000 x 100", "16383", "PNG or TIFF")
    with pytest.raises(ImageError, match="JPEG allows at most"):
        encode(np.zeros((1, 70_000, 3), np.uint8), "jpeg")


# Tiles


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("covered", [False, True])
def test_large_tiffs_are_tiled_and_lose_nothing(tmp_path, monkeypatch, bits, big, covered):
    monkeypatch.setattr(encode_module, "TILED_FROM", 1)
    monkeypatch.setattr(sixteen_bit, "_BIG_FROM", 0 if big else 1 << 32)
    levels = np.random.default_rng(1).integers(0, 2**bits, (300, 520, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    alpha = None if not covered else levels[:, :, 0].astype(np.float32) / (2**bits - 1)
    exif = Image.Exif()
    exif[271], exif[306] = "Impasto Cameras", "2020:02:02 02:02:02"
    exif.get_ifd(0x8769).update({33434: 0.25, 34855: 200, 37510: b"ASCII\0\0\0hello", 36867: "2020:02:02 02:02:02"})
    target = save(
        tmp_path / "a.tif", levels, alpha=alpha, bits=bits, exif=exif.tobytes(), dpi=300, record='{"seed": 3, "é": "ß"}'
    )
    with tifffile.TiffFile(target) as file:
        page = file.pages.first
        assert (file.is_bigtiff, page.tile, page.compression) == (big, (256, 256), 8)
        assert page.iccprofile == srgb_profile()
    read = load(target)
    np.testing.assert_array_equal(quantize(read.pixels, bits), levels)
    assert (read.alpha is None) == (not covered)
    if covered:
        np.testing.assert_array_equal(quantize(read.alpha, bits), levels[:, :, 0])
    assert read.notes == ()
    assert read_record(target) == '{"seed": 3, "é": "ß"}'
    again = Image.Exif()
    again.load(read.exif)
    assert again[271] == "Impasto Cameras"
    with Image.open(target) as image:
        assert image.info["dpi"] == (300, 300)
    inner = again.get_ifd(0x8769)
    assert (float(inner[33434]), inner[34855], inner[37510]) == (0.25, 200, b"ASCII\0\0\0hello")


def test_tiles_and_strips_hold_the_same(tmp_path, monkeypatch):
    files = []
    for limit in (1 << 24, 1):
        monkeypatch.setattr(encode_module, "TILED_FROM", limit)
        files.append(save(tmp_path / f"{limit}.tif", SMOOTH, alpha=ALPHA, bits=16, record="r"))
        assert encode(SMOOTH, "tiff", alpha=ALPHA, bits=16, record="r") == files[-1].read_bytes()
    assert np.array_equal(*(load(file).pixels for file in files))
    layouts = []
    for file in files:
        with tifffile.TiffFile(file) as opened:
            layouts.append(opened.pages.first.is_tiled)
    assert layouts == [False, True]


# One step or not at all


@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, moment, failure):
    target = save(tmp_path / "out.png", SMOOTH)
    before = target.read_bytes()

    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr(encode_module.os if moment == "fsync" else Path, moment, fail)
    with pytest.raises(ImageError if isinstance(failure, OSError) else KeyboardInterrupt) as caught:
        save(target, 1 - SMOOTH)
    if isinstance(failure, OSError):
        one_line(caught, "out.png", "No space left on device")
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_saving_makes_the_folder_and_replaces(tmp_path):
    target = tmp_path / "new" / "out.png"
    assert save(target, SMOOTH) == target
    save(target, 1 - SMOOTH)
    np.testing.assert_allclose(load(target).pixels, 1 - SMOOTH, atol=0.5001 / 255)
    assert list(target.parent.iterdir()) == [target]


def test_a_link_stays_a_link_and_modes_stay(tmp_path):
    target = save(tmp_path / "real.png", SMOOTH)
    target.chmod(0o640)
    link = tmp_path / "link.png"
    link.symlink_to(target)
    save(link, 1 - SMOOTH)
    assert link.is_symlink()
    assert load(target).pixels[0, 0, 0] == 1
    assert target.stat().st_mode & 0o777 == 0o640
    fresh = tmp_path / "fresh"
    fresh.touch()
    assert save(tmp_path / "new.png", SMOOTH).stat().st_mode == fresh.stat().st_mode


def test_any_bytes_can_be_written_in_one_step(tmp_path):
    write_atomically(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"{}"


LOOP = """
import sys
import numpy as np
from impasto.imaging.images import save
images = [np.full((300, 400, 3), value, np.float32) for value in (0.0, 1.0)]
count = 0
while True:
    save(sys.argv[1], images[count % 2])
    count += 1
    print(count, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("saves", [2, 5, 9])
def test_killed_while_saving_leaves_a_whole_picture(tmp_path, saves):
    target = tmp_path / "out.png"
    source = Path(encode_module.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(target)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(source)}
    )
    with process:
        for _ in range(saves):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert np.ptp(load(target).pixels) == 0
    assert load(target).size == (300, 400)
