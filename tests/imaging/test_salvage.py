"""No metadata costs the pixels of a picture."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import metadata_fuzz
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from impasto.errors import ImageError
from impasto.imaging.images import Picture, load, read_record, save

PIXELS = np.linspace(0, 1, 20 * 30 * 3, dtype=np.float32).reshape(20, 30, 3)
IMAGE = Image.fromarray(np.rint(PIXELS * 255).astype(np.uint8))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def only_note(picture: Picture, *words: str) -> str:
    (note,) = picture.notes
    assert all(word in note for word in words), note
    return note


def png(*chunks: bytes, behind: bool = False) -> bytes:
    file = io.BytesIO()
    IMAGE.save(file, "PNG")
    data = file.getvalue()
    place = len(data) - 12 if behind else data.index(b"IDAT") - 4
    return data[:place] + b"".join(chunks) + data[place:]


PACKED = zlib.compress(b"x" * 3_000_000)
LARGE_CHUNKS = {
    "zTXt": [chunk(b"zTXt", b"Comment\0\0" + PACKED)],
    "iTXt": [chunk(b"iTXt", b"Comment\0\1\0\0\0" + PACKED)],
    "iCCP": [chunk(b"iCCP", b"profile\0\0" + PACKED)],
    "in all": [chunk(b"zTXt", b"k%d\0\0" % number + zlib.compress(b"x" * 1_000_000)) for number in range(70)],
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("name", LARGE_CHUNKS)
def test_large_chunks_of_a_png_are_left_out_with_one_note(name, behind):
    read = load(io.BytesIO(png(*LARGE_CHUNKS[name], behind=behind)))
    np.testing.assert_array_equal(np.rint(read.pixels * 255), np.asarray(IMAGE))
    only_note(read, "metadata")


def test_a_record_is_read_next_to_large_chunks(tmp_path):
    path = save(tmp_path / "a.png", PIXELS, record="the record")
    data = path.read_bytes()
    place = data.index(b"IDAT") - 4
    path.write_bytes(data[:place] + LARGE_CHUNKS["zTXt"][0] + data[place:])
    assert read_record(path) == "the record"


def test_a_record_of_any_size_is_read_with_its_pixels(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", PIXELS, record="record" * 100_000)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 100_000)  # as if it had more than 64 MB
    assert read_record(path) == "record" * 100_000
    assert load(path).size == (20, 30)


def test_a_png_without_its_end_is_still_damaged():
    with pytest.raises(ImageError, match="damaged"):
        load(io.BytesIO(png(*LARGE_CHUNKS["zTXt"])[:-40]))


def test_a_resolution_of_the_wrong_type_does_not_cost_a_jpeg():
    entry = struct.pack("<HHIHH", 0x011A, 2, 4, 0, 0) + struct.pack("<HHIHH", 0x0128, 3, 1, 2, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entry + bytes(4)
    file = io.BytesIO()
    IMAGE.save(file, "JPEG", exif=exif)
    data = file.getvalue()
    data = data[:2] + data[20:]  # without the JFIF segment, whose resolution has precedence
    assert load(io.BytesIO(data)).size == (20, 30)


def test_a_note_on_damaged_exif_names_the_file_in_plain_words(tmp_path):
    path = tmp_path / "phone.jpg"
    IMAGE.save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01")
    assert "Expecting" not in only_note(load(path), "metadata", "phone.jpg")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF", "MPO"])
def test_more_images_in_a_file_are_mentioned_once(kind, tmp_path):
    path = tmp_path / "several"
    IMAGE.save(path, kind, save_all=True, append_images=[IMAGE.rotate(180)])
    only_note(load(path), "more than one image", "several")


def check(seed: int, count: int) -> None:
    width, height = metadata_fuzz.SIZE
    failures = []
    for name, data in metadata_fuzz.pictures(seed, count):
        try:
            if load(io.BytesIO(data)).size not in ((height, width), (width, height)):
                failures.append(f"{name}: size")
        except ImageError as error:
            failures.append(f"{name}: {error}")
    assert not failures, "\n".join(itertools.islice(failures, 20))


def test_damaged_metadata_does_not_cost_the_pixels():
    check(seed=19, count=120)


@pytest.mark.slow
def test_much_damaged_metadata_does_not_cost_the_pixels():
    check(seed=1, count=5000)
