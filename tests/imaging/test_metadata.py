"""EXIF that is kept and dropped, and the record inside an image."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from impasto.errors import ImageError, RecordError
from impasto.imaging import metadata
from impasto.imaging.images import DecodeLimits, encode, load, read_record, save

CARRIERS = ["png", "jpg", "webp", "avif", "heic", "tif"]
PIXELS = np.linspace(0, 1, 20 * 30 * 3, dtype=np.float32).reshape(20, 30, 3)


def phone_exif() -> Image.Exif:
    """Return what a phone writes: camera, exposure, place, orientation, old dimensions."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Copyright] = "Somebody"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = {0x829A: 0.01, 0x9003: "2020:01:02 03:04:05", 0xA002: 4000, 0xA003: 3000}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (47.0, 30.0, 0.0)}
    return exif


def phone_picture(tmp_path, thumbnail: bool = False):
    """Return a JPEG with EXIF, with a thumbnail where asked."""
    data = phone_exif().tobytes()
    if thumbnail:
        # The next directory's offset stands behind the first directory's entries.
        tiff = bytearray(data[6:])
        order = "<" if tiff[:2] == b"II" else ">"
        entries = struct.unpack(order + "H", tiff[8:10])[0]
        small = b"\xff\xd8THUMBNAIL\xff\xd9"
        place = len(tiff) + len(tiff) % 2
        directory = struct.pack(order + "HHHLLHHLLL", 2, 0x201, 4, 1, place + 30, 0x202, 4, 1, len(small), 0)
        struct.pack_into(order + "L", tiff, 10 + 12 * entries, place)
        data = data[:6] + bytes(tiff).ljust(place, b"\0") + directory + small
    path = tmp_path / "phone.jpg"
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path, exif=data)
    return path


def read_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def test_exif_is_kept_without_place_and_thumbnail(tmp_path):
    path = phone_picture(tmp_path, thumbnail=True)
    with Image.open(path) as before:
        assert before.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert b"THUMBNAIL" in before.info["exif"]
    kept = read_exif(load(path).exif)
    assert kept[ExifTags.Base.Make] == "Maker"
    assert kept[ExifTags.Base.Copyright] == "Somebody"
    assert kept[ExifTags.Base.Orientation] == 1
    camera = kept.get_ifd(ExifTags.IFD.Exif)
    assert camera[0x9003] == "2020:01:02 03:04:05"
    assert float(camera[0x829A]) == pytest.approx(0.01)
    assert 0xA002 not in camera
    assert not kept.get_ifd(ExifTags.IFD.GPSInfo)
    assert not kept.get_ifd(ExifTags.IFD.IFD1)
    assert b"THUMBNAIL" not in load(path).exif


def test_exif_made_by_a_program_is_cleaned_like_that_of_a_file(tmp_path):
    for place in (False, True):
        made = metadata.clean_exif(phone_exif(), place)
        assert made == load(phone_picture(tmp_path), limits=DecodeLimits(keep_location=place)).exif


def test_the_place_is_kept_where_asked(tmp_path):
    kept = read_exif(load(phone_picture(tmp_path), limits=DecodeLimits(keep_location=True)).exif)
    assert kept.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"


@pytest.mark.parametrize("carrier", [*CARRIERS, "png16", "tif16"])
@pytest.mark.parametrize("place", [False, True])
def test_every_format_carries_exif_and_cleaning_again_changes_nothing(tmp_path, carrier, place):
    exif = load(phone_picture(tmp_path), limits=DecodeLimits(keep_location=place)).exif
    bits = 16 if carrier.endswith("16") else 8
    path = save(tmp_path / f"out.{carrier.removesuffix('16')}", PIXELS, exif=exif, bits=bits)
    again = load(path, limits=DecodeLimits(keep_location=True))
    assert again.size == (20, 30)
    assert again.exif == exif
    with Image.open(path) if carrier != "heic" else Image.open(io.BytesIO(encode(PIXELS, "png", exif=exif))) as other:
        assert other.getexif()[ExifTags.Base.Make] == "Maker"
        assert bool(other.getexif().get_ifd(ExifTags.IFD.GPSInfo)) == place


def test_a_picture_without_exif_stays_without(tmp_path):
    assert load(save(tmp_path / "plain.png", PIXELS)).exif is None


def test_damaged_exif_is_left_out_with_a_note(tmp_path):
    path = tmp_path / "odd.jpg"
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(path, exif=b"Exif\0\0II\x2a\0\x08\0\0\0\xff\xff" + b"\7" * 30)
    loaded = load(path)
    assert loaded.size == (5, 5)
    assert loaded.notes


def test_exif_too_long_for_jpeg_is_left_out():
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 70_000
    assert load(io.BytesIO(encode(PIXELS, "jpeg", exif=metadata.clean_exif(exif)))).exif is None


@pytest.mark.parametrize("carrier", [*CARRIERS, "png16", "tif16"])
@pytest.mark.parametrize("record", ["", '{"seed": 1}', "Ω → ü 🎨\n" * 50])
def test_a_record_comes_back_as_it_was(tmp_path, carrier, record):
    bits = 16 if carrier.endswith("16") else 8
    path = save(tmp_path / f"out.{carrier.removesuffix('16')}", PIXELS, bits=bits, record=record)
    assert read_record(path) == record
    assert load(path).size == (20, 30)
    assert read_record(save(path, PIXELS, bits=bits)) is None


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_long_record_comes_back_too(tmp_path, carrier):
    noise = random.Random(4)
    record = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789äöü", k=600_000))
    path = save(tmp_path / f"out.{carrier}", PIXELS, record=record)
    assert read_record(path) == record
    if carrier != "heic":  # other programs still open it
        with Image.open(path) as image:
            image.load()


def test_long_jpeg_records_take_several_segments():
    record = "".join(random.Random(5).choices("abcdefghijklmnopqrstuvwxyz", k=200_000))
    with Image.open(io.BytesIO(encode(PIXELS, "jpeg", record=record))) as image:
        assert sum(name == "APP9" for name, _ in image.applist) > 1
        assert image.info["icc_profile"]


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=200))
def test_any_text_is_a_record(text):
    data = io.BytesIO(encode(PIXELS, "png", record=text))
    with Image.open(data) as image:
        assert metadata.record_in(image, data) == text


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_a_record_rewritten_by_another_program_is_found(tmp_path, kind):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "someone else")
    if kind == "iTXt":
        info.add_itxt("impasto", "the record", lang="en", tkey="x")
    else:
        info.add_text("impasto", "the record", zip=kind == "zTXt")
    path = tmp_path / "other.png"
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    assert kind.encode() in path.read_bytes()
    assert read_record(path) == "the record"


def test_pictures_without_a_place_for_a_record_have_none(tmp_path):
    assert read_record(save(tmp_path / "out.bmp", PIXELS, record="lost")) is None
    Image.new("P", (4, 4)).save(tmp_path / "x.gif")
    assert read_record(tmp_path / "x.gif") is None


def damaged_pictures() -> dict[str, bytes]:
    cut = encode(PIXELS, "png")
    text = b"impasto\0\1\0\0\0" + zlib.compress(b"text " * 100)[:-8]
    chunk = struct.pack(">I", len(text)) + b"iTXt" + text + struct.pack(">I", zlib.crc32(b"iTXt" + text))
    noise = "".join(random.Random(6).choices("abcdefghijklmnopqrstuvwxyz", k=200_000))
    jpeg = encode(PIXELS, "jpeg", record=noise)
    first = jpeg.index(b"\xff\xe9")
    length = struct.unpack(">H", jpeg[first + 2 : first + 4])[0]
    webp = encode(PIXELS, "webp", record="text " * 100)
    place = webp.index(b'impasto:record="') + 40
    return {
        "png": cut[:33] + chunk + cut[33:],
        "jpg": jpeg[:first] + jpeg[first + 2 + length :],
        "webp": webp[:place] + b"AAAA" + webp[place + 4 :],
        "avif": encode(PIXELS, "avif", record="text").replace(b'impasto:record="e', b'impasto:record="!'),
    }


@pytest.mark.parametrize("carrier", ["png", "jpg", "webp", "avif"])
def test_a_damaged_record_is_an_error_of_its_own(tmp_path, carrier):
    path = tmp_path / f"damaged.{carrier}"
    path.write_bytes(damaged_pictures()[carrier])
    with pytest.raises(RecordError, match="the record inside this image is damaged"):
        read_record(path)


def test_a_record_cannot_fill_the_memory(tmp_path, monkeypatch):
    path = save(tmp_path / "out.webp", PIXELS, record="a" * 100_000)
    monkeypatch.setattr(metadata, "_LARGEST_RECORD", 50_000)
    with pytest.raises(RecordError):
        read_record(path)


def test_reading_a_record_of_no_picture(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_record(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("words")
    with pytest.raises(ImageError, match="not a(n| readable) image"):
        read_record(tmp_path / "text.png")
