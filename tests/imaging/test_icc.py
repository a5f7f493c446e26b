"""Color profiles: conversion to sRGB at both depths, with profiles made here."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from impasto.imaging import icc
from impasto.imaging.images import encode, load
from impasto.imaging.sixteen_bit import png_bytes


def icc_profile(space: bytes, pcs: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC version 2 profile."""
    tags = {b"desc": text(b"test"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1, 0.8249), **tags}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, kind, space, pcs)
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(0.9642, 1, 0.8249)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def text(words: bytes) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(words) + 1) + words + b"\0" + bytes(8 + 3 + 67)


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def rgb_profile(exponent: float, order: str = "rgb") -> bytes:
    """Return a profile with sRGB's primaries in any order and a pure power curve."""
    primaries = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708), "b": (0.14307, 0.06061, 0.71410)}
    tags = {f"{name}XYZ".encode(): xyz(*primaries[other]) for name, other in zip("rgb", order, strict=True)}
    tags |= {f"{name}TRC".encode(): gamma(exponent) for name in "rgb"}
    return icc_profile(b"RGB ", b"XYZ ", b"mntr", tags)


def gray_profile(exponent: float) -> bytes:
    return icc_profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": gamma(exponent)})


def cmyk_profile() -> bytes:
    """Return a profile in which only cyan inks darken: lightness 100 without it, 0 with all of it."""
    ramp = bytes(range(256))
    corners = b"".join(bytes([0 if corner & 8 else 255, 128, 128]) for corner in range(16))
    matrix = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + corners + ramp * 3
    return icc_profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": table, b"A2B1": table})


def encoded(linear: np.ndarray) -> np.ndarray:
    """Return linear light in sRGB's own encoding, by its formula."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def png(levels: np.ndarray, profile: bytes) -> io.BytesIO:
    if levels.dtype == np.uint16:
        chunk = b"x\0\0" + zlib.compress(profile)
        return io.BytesIO(png_bytes(levels, [(b"iCCP", chunk)]))
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", icc_profile=profile)
    file.seek(0)
    return file


@pytest.fixture
def levels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 65536, (40, 50, 3), dtype=np.uint16)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_profile_decides_what_a_value_means(levels, depth):
    stored = levels if depth == 16 else (levels >> 8).astype(np.uint8)
    loaded = load(png(stored, rgb_profile(1.0)))
    expected = encoded(stored / np.iinfo(stored.dtype).max)
    assert loaded.bits == depth
    # LittleCMS in 8 bits is off by one level and rounds to half a level; the table for 16 bits adds the bend of sRGB's
    # curve between two of its nodes, which is greatest next to black.
    assert np.abs(loaded.pixels - expected).max() < (0.006 if depth == 8 else 0.02)
    assert np.abs(loaded.pixels - expected).mean() < 0.0025


@pytest.mark.parametrize("depth", [8, 16])
def test_swapped_primaries_swap_the_channels(levels, depth):
    stored = levels if depth == 16 else (levels >> 8).astype(np.uint8)
    straight = load(png(stored, rgb_profile(2.2))).pixels
    swapped = load(png(stored, rgb_profile(2.2, "grb"))).pixels
    np.testing.assert_allclose(swapped, straight[:, :, [1, 0, 2]], atol=1.01 / 255)


def test_sixteen_bits_stay_smooth_through_a_profile():
    ramp = np.repeat(np.arange(65536, dtype=np.uint16)[None, :, None], 3, axis=2)
    loaded = load(png(ramp, rgb_profile(1.8))).pixels[0]
    assert len(np.unique(loaded[:, 1])) > 30_000
    assert np.diff(loaded, axis=0).min() >= -1e-6
    assert np.diff(loaded, axis=0).max() < 0.001


def test_gray_profiles_at_both_depths():
    deep = np.linspace(0, 65535, 500).astype(np.uint16)[None, :]
    file = io.BytesIO()
    Image.fromarray((deep >> 8).astype(np.uint8)).save(file, "PNG", icc_profile=gray_profile(1.0))
    shallow = load(file_again(file))
    np.testing.assert_allclose(shallow.pixels[..., 1], encoded((deep >> 8) / 255), atol=0.006)
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG", icc_profile=gray_profile(1.0))
    loaded = load(file_again(file))
    assert loaded.bits == 16
    np.testing.assert_allclose(loaded.pixels[..., 1], encoded(deep / 65535), atol=0.02)


def file_again(file: io.BytesIO) -> io.BytesIO:
    file.seek(0)
    return file


def test_cmyk_goes_through_its_profile():
    inks = np.zeros((8, 16, 4), np.uint8)
    inks[:, 8:, 0] = 255
    inks[:, :, 1] = 200  # would be pink without the profile
    file = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(file, "TIFF", icc_profile=cmyk_profile())
    loaded = load(file_again(file))
    np.testing.assert_allclose(loaded.pixels[:, :8], 1, atol=0.02)
    np.testing.assert_allclose(loaded.pixels[:, 8:], 0, atol=0.05)
    assert not loaded.notes


def test_lab_needs_no_profile():
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (255, 128, 128)])
    file = io.BytesIO()
    lab.save(file, "TIFF")
    np.testing.assert_allclose(load(file_again(file)).pixels, 1, atol=0.02)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    "broken",
    [b"nonsense", rgb_profile(2.2)[:200], gray_profile(2.2), cmyk_profile()],
    ids=["nonsense", "cut short", "of gray", "of CMYK"],
)
def test_a_broken_or_foreign_profile_is_ignored_with_a_note(levels, depth, broken):
    stored = levels if depth == 16 else (levels >> 8).astype(np.uint8)
    loaded = load(png(stored, broken))
    np.testing.assert_allclose(loaded.pixels, stored / np.iinfo(stored.dtype).max, rtol=2**-23, atol=0)
    assert len(loaded.notes) == 1
    assert "color profile is damaged" in loaded.notes[0]


def test_our_own_profile_is_srgb_and_knows_no_time():
    profile = icc.srgb_profile()
    assert ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile))).startswith("sRGB")
    icc.srgb_profile.cache_clear()
    assert icc.srgb_profile() == profile
    assert struct.unpack(">6H", profile[24:36]) == (2000, 1, 1, 0, 0, 0)


def test_srgb_changes_nothing(levels):
    pixels = levels / np.float32(65535)
    loaded = load(io.BytesIO(encode(pixels, "png", bits=16)))
    np.testing.assert_array_equal(np.rint(loaded.pixels * 65535), levels)
