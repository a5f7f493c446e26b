"""Images in: every format, mode and orientation, arrays and tensors, and parts of images."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from impasto.errors import ImageError
from impasto.imaging.images import encode, load, split_crop

LEVELS = np.stack(np.meshgrid(np.arange(0, 240, 6), np.arange(0, 180, 6), indexing="xy"), axis=-1)
LEVELS = np.concatenate([LEVELS, 255 - LEVELS[:, :, :1]], axis=2).astype(np.uint8)  # [30, 40, 3], smooth
RGB = Image.fromarray(LEVELS)
ALPHA = np.linspace(0, 255, 30 * 40).round().astype(np.uint8).reshape(30, 40)
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


# Formats and modes


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(tmp_path, kind):
    path = tmp_path / f"picture.{kind}"
    path.write_bytes(written(RGB, kind))
    picture = load(path)
    assert picture.size == (picture.height, picture.width) == (30, 40)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.flags.c_contiguous
    assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1
    error = np.abs(picture.pixels * 255 - LEVELS)
    assert error.mean() < (0.01 if kind in ("png", "tif", "bmp") else 4 if kind == "gif" else 3)
    assert picture.alpha is None
    assert picture.bits == 8
    assert (picture.name, picture.source, picture.crop) == (path.name, path, None)
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture.notes == ()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "RGBA", "PA", "I", "I;16"])
@pytest.mark.parametrize("source", ["file", "image"])
def test_every_mode_is_read(mode, source):
    deep = np.asarray(RGB.convert("L")).astype(np.uint16) * 257
    if mode.startswith("I"):
        image = Image.fromarray(deep if mode == "I;16" else deep.astype(np.int32))
    else:
        image = (RGB.convert("L") if mode in ("LA", "PA") else RGB).convert(mode)
    picture = load(io.BytesIO(written(image, "tif")) if source == "file" and mode not in ("PA", "YCbCr") else image)
    gray = {"1": "1", "L": "L", "LA": "L", "PA": "L", "I": "L", "I;16": "L"}.get(mode)
    expected = RGB.convert(gray).convert("RGB") if gray else image.convert("RGB")
    np.testing.assert_allclose(picture.pixels * 255, np.asarray(expected), atol=0.01)
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA", "PA"))
    assert picture.bits == (16 if mode.startswith("I") else 8)


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_alpha_is_kept_to_the_byte(kind):
    image = RGB.copy()
    image.putalpha(Image.fromarray(ALPHA))
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    picture = load(io.BytesIO(written(image, kind, **options)))
    np.testing.assert_array_equal(np.rint(picture.alpha * 255), ALPHA)
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), LEVELS)
    again = load(io.BytesIO(encode(picture.pixels, kind, alpha=picture.alpha, quality=100)))
    np.testing.assert_array_equal(again.alpha, picture.alpha)
    np.testing.assert_array_equal(again.pixels, picture.pixels)


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_transparent_palette_color_becomes_alpha(kind):
    image = Image.new("P", (4, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1] * 4)
    picture = load(io.BytesIO(written(image, kind, transparency=1)))
    np.testing.assert_array_equal(picture.alpha, [[1, 0, 1, 0]] * 2)
    np.testing.assert_array_equal(picture.pixels[0, 0], [1, 0, 0])


def test_a_transparent_color_of_a_png_becomes_alpha():
    picture = load(io.BytesIO(written(RGB, "png", transparency=tuple(map(int, LEVELS[3, 5])))))
    assert picture.alpha[3, 5] == 0
    assert picture.alpha.sum() == 30 * 40 - 1


def test_fill_lays_transparent_parts_on_a_color():
    image = RGB.copy()
    image.putalpha(Image.fromarray(np.where(ALPHA > 127, 255, 0).astype(np.uint8)))
    for fill, color in [("white", [1, 1, 1]), ("#ff0000", [1, 0, 0]), ((0.5, 0.25, 0), [0.5, 0.25, 0])]:
        picture = load(image, fill=fill)
        np.testing.assert_allclose(picture.pixels[ALPHA <= 127], np.broadcast_to(color, ((ALPHA <= 127).sum(), 3)))
        np.testing.assert_array_equal(picture.pixels[ALPHA > 127], load(image).pixels[ALPHA > 127])
        assert picture.alpha is not None


@pytest.mark.parametrize("fill", ["no color", (1, 2, 3), (0.5,), (float("nan"), 0, 0)])
def test_a_fill_that_is_no_color(fill):
    with pytest.raises(ImageError) as caught:
        load(Image.new("RGBA", (2, 2)), fill=fill)
    one_line(caught, "is not a color")


def test_only_the_first_frame_of_a_film_is_read():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for kind in ("gif", "webp", "png", "avif"):
        data = written(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_allclose(load(io.BytesIO(data)).pixels[4, 4], [1, 0, 0], atol=0.05)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp", "avif", "heic"])
def test_orientation_is_applied_and_reset(kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Maker"
    plain = written(RGB, kind)
    turned = load(io.BytesIO(written(RGB, kind, exif=exif.tobytes())))
    flat = Image.fromarray(np.rint(load(io.BytesIO(plain)).pixels * 255).astype(np.uint8))
    flat.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(flat))
    assert turned.size == expected.shape[:2]
    assert np.abs(turned.pixels * 255 - expected).max() <= (0.01 if kind not in ("heic", "avif") else 12)
    kept = Image.Exif()
    kept.load(turned.exif)
    assert kept[ExifTags.Base.Orientation] == 1
    again = load(io.BytesIO(encode(turned.pixels, "png", exif=turned.exif)))
    assert again.size == turned.size


# Sources


def test_arrays_and_tensors():
    import torch

    floats = LEVELS.astype(np.float32) / 255
    reference = load(LEVELS).pixels
    np.testing.assert_array_equal(reference, floats)
    tensor = torch.from_numpy(floats).permute(2, 0, 1)
    for source in [floats, floats.astype(np.float64), LEVELS.astype(np.uint16) * 257, tensor, tensor[None], RGB]:
        np.testing.assert_allclose(load(source).pixels, reference, rtol=2**-23, atol=0)  # one rounding each
    np.testing.assert_allclose(load(tensor.half()).pixels, reference, rtol=2**-11, atol=2**-25)  # of float16
    assert load(tensor.clone().requires_grad_()).size == (30, 40)
    assert load(LEVELS.astype(np.uint16)).bits == 16
    gray = load(LEVELS[:, :, 0])
    np.testing.assert_array_equal(gray.pixels, np.repeat(floats[:, :, :1], 3, axis=2))
    with_alpha = load(np.dstack([LEVELS, ALPHA]))
    np.testing.assert_array_equal(np.rint(with_alpha.alpha * 255), ALPHA)
    assert load(LEVELS).sha256 == hashlib.sha256(LEVELS.tobytes()).hexdigest()
    assert load(RGB).sha256 == hashlib.sha256(LEVELS.tobytes()).hexdigest()


def test_a_picture_does_not_share_memory_with_its_source():
    floats = LEVELS.astype(np.float32) / 255
    picture = load(floats)
    floats[:] = 0
    assert picture.pixels.max() > 0.5
    assert load(picture) is picture


def test_file_objects(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(written(RGB, "png"))
    with path.open("rb") as file:
        picture = load(file)
    assert picture.name == "x.png"
    assert picture.sha256 == load(path).sha256
    assert picture.source is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.full((4, 4, 3), np.nan), ["nan", "between 0 and 1"]),
        (np.full((4, 4, 3), 200.0), ["200", "between 0 and 1"]),
        (np.full((4, 4, 3), -0.5), ["-0.5"]),
        (np.zeros((4, 4, 5)), ["(4, 4, 5)", "[height, width, 3]"]),
        (np.zeros((3, 8, 9)), ["(3, 8, 9)", "[height, width, 3]"]),
        (np.zeros((4,)), ["(4,)"]),
        (np.zeros((0, 4, 3)), ["(0, 4, 3)"]),
        (np.zeros((2, 4, 4, 3)), ["(2, 4, 4, 3)"]),
        (np.zeros((4, 4, 3), np.int64), ["int64", "uint8"]),
        (np.zeros((4, 4, 3), bool), ["bool"]),
        (None, ["NoneType"]),
        (17, ["int"]),
        (io.StringIO("text"), ["binary mode"]),
    ],
)
def test_arrays_that_are_no_picture(source, words):
    with pytest.raises(ImageError) as caught:
        load(source)
    one_line(caught, *words)


def test_tensors_that_are_no_picture():
    import torch

    for tensor, word in [
        (torch.zeros(4, 4, 3), "(4, 4, 3)"),
        (torch.zeros(2, 3, 4, 4), "(2, 3, 4, 4)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "uint8"),
        (torch.full((3, 4, 4), float("nan")), "nan"),
        (torch.zeros(3, 0, 4), "not an image"),
    ]:
        with pytest.raises(ImageError) as caught:
            load(tensor)
        one_line(caught, word)


# A part of an image


def test_a_part_is_cut_out(tmp_path):
    path = tmp_path / "x.png"
    image = RGB.copy()
    image.putalpha(Image.fromarray(ALPHA))
    path.write_bytes(written(image, "png"))
    whole, part = load(path), load(f"{path}#5,7,20,10")
    np.testing.assert_array_equal(part.pixels, whole.pixels[7:17, 5:25])
    np.testing.assert_array_equal(part.alpha, whole.alpha[7:17, 5:25])
    assert part.crop == (5, 7, 20, 10)
    assert (part.name, part.sha256, part.source) == (whole.name, whole.sha256, whole.source)
    np.testing.assert_array_equal(load(f"{path}#0,0,40,30").pixels, whole.pixels)


def test_a_part_is_counted_on_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "x.png"
    path.write_bytes(written(RGB, "png", exif=exif))
    np.testing.assert_array_equal(load(f"{path}#0,10,30,30").pixels, load(path).pixels[10:])


def test_a_name_with_a_hash_still_works(tmp_path):
    odd, plain = tmp_path / "photo.png#1,1,2,2", tmp_path / "photo.png"
    plain.write_bytes(written(RGB, "png"))
    assert load(str(odd)).size == (2, 2)
    odd.write_bytes(written(RGB, "png"))
    assert load(str(odd)).size == (30, 40)
    assert load(f"{odd}#0,0,3,4").size == (4, 3)
    number = tmp_path / "a#1.png"
    number.write_bytes(written(RGB, "png"))
    assert load(number).name == "a#1.png"
    assert split_crop(tmp_path / "missing#1.png") == (tmp_path / "missing#1.png", None)


@pytest.mark.parametrize(
    "crop",
    ["40,0,1,1", "0,0,41,30", "0,0,40,31", "-1,0,5,5", "0,0,0,5", "0,0,5,-5", "1,2,3", "a,b,c,d", "", "1,2,3,4,5"],
)
def test_a_part_outside_the_picture(tmp_path, crop):
    path = tmp_path / "x.png"
    path.write_bytes(written(RGB, "png"))
    with pytest.raises(ImageError) as caught:
        load(f"{path}#{crop}")
    one_line(caught, repr(crop), "x.png", "40", "30")
