"""Format and size of an image from its header, truncated at any point."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from impasto.studio.store.image_header import HEAD_BYTES, UnknownFormatError, sniff

KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("PNG", {}, "image/png"),
    ("JPEG", {}, "image/jpeg"),
    ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + b"\0" * 60_000}, "image/jpeg"),
    ("WEBP", {}, "image/webp"),
    ("WEBP", {"lossless": True}, "image/webp"),
    ("WEBP", {"exif": b"Exif\0\0"}, "image/webp"),
    ("GIF", {}, "image/gif"),
    ("BMP", {}, "image/bmp"),
    ("TIFF", {}, "image/tiff"),
    ("TIFF", {"big_endian": True}, "image/tiff"),
    ("AVIF", {}, "image/avif"),
    ("HEIF", {}, "image/heic"),
]


def encoded(kind: str, **how: Any) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    Image.effect_noise((128, 64), 90).convert("RGB").save(buffer, kind, **how)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "how", "media_type"), KINDS)
def test_the_size_of_every_format(kind: str, how: dict[str, Any], media_type: str) -> None:
    body = encoded(kind, **how)
    header = sniff(body, whole=True)
    assert header is not None
    assert (header.media_type, header.width, header.height) == (media_type, 128, 64)


@pytest.mark.parametrize(("kind", "how", "media_type"), KINDS)
def test_a_truncated_header_needs_more_bytes_or_is_right(kind: str, how: dict[str, Any], media_type: str) -> None:
    body = encoded(kind, **how)
    for cut in [*range(400), *range(400, len(body), 997)]:
        header = sniff(body[:cut])
        assert header is None or (header.width, header.height) == (128, 64)
        if header is None:
            with pytest.raises(UnknownFormatError):
                sniff(body[:cut], whole=True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "accepted formats: PNG, JPEG"),
        (b"%PDF-1.7" + b" " * 40, "accepted formats: PNG, JPEG"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 40, "accepted formats: PNG, JPEG"),
        (b"\xff\xd8\xff\xe0\0\x04ab" + b"x" * 40, "the JPEG is damaged"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + b"\0" * 16, "no pixels"),
        (b"II*\0\x08\0\0\0\0\0" + b"\0" * 40, "the TIFF has no size"),
        (b"", "accepted formats: PNG, JPEG"),
    ],
)
def test_other_files_are_rejected(body: bytes, words: str) -> None:
    with pytest.raises(UnknownFormatError, match=words):
        sniff(body, whole=True)


def test_a_jpeg_with_long_metadata() -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG")
    block = b"\xff\xe1\xff\xff" + b"x" * 65533
    body = file.getvalue()[:2] + 20 * block + file.getvalue()[2:]
    assert sniff(body[: HEAD_BYTES + 1]) is None
    header = sniff(body, whole=True)
    assert header is not None
    assert (header.width, header.height) == (40, 30)
