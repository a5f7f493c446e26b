"""The sample images are there, are what the painter paints, and show texture at more than one scale."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from impasto.errors import ImageError, OptionError
from impasto.imaging import samples
from sample_styles import STYLES


@pytest.mark.parametrize("name", samples.names())
def test_every_sample_is_a_color_picture(name: str) -> None:
    picture = samples.load(name)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert min(picture.shape[:2]) >= 300
    assert picture.std() > 20


def test_painters_and_stored_styles_have_the_same_names() -> None:
    assert set(STYLES) == set(samples.STYLE_NAMES)


def test_stored_styles_are_small() -> None:
    for name in samples.STYLE_NAMES:
        assert 50_000 < len(samples.stored(name)[1]) < 300_000


@pytest.mark.parametrize("name", samples.STYLE_NAMES)
def test_painting_again_gives_the_same_bytes(name: str) -> None:
    first, second = STYLES[name](160), STYLES[name](160)
    assert first.shape == (120, 160, 3)
    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(second.tobytes()).digest()


@pytest.mark.parametrize("name", samples.STYLE_NAMES)
def test_another_seed_paints_another_picture(name: str) -> None:
    assert not np.array_equal(STYLES[name](160), STYLES[name](160, 99))


@pytest.mark.parametrize("name", samples.STYLE_NAMES)
def test_a_small_painting_looks_like_the_stored_one(name: str) -> None:
    painted = STYLES[name](160).reshape(-1, 3).mean(axis=0)
    stored = samples.load(name).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(painted, stored, rtol=0, atol=5)  # of 255 levels


@pytest.mark.parametrize("name", samples.STYLE_NAMES)
def test_styles_have_texture_at_several_scales(name: str) -> None:
    gray = samples.load(name).mean(axis=2)
    for sigma in (1.0, 4.0, 16.0):
        band = cv2.GaussianBlur(gray, (0, 0), sigma) - cv2.GaussianBlur(gray, (0, 0), 2 * sigma)
        assert band.std() > 3.5, f"nothing at {sigma} px"


def test_write_puts_every_sample_into_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    paths = samples.write(folder)
    assert [path.stem for path in paths] == list(samples.names())
    assert sorted(folder.iterdir()) == sorted(paths)
    for path in paths:
        written = cv2.imread(str(path))
        assert written is not None
        assert np.array_equal(written[..., ::-1], samples.load(path.stem))


def test_write_again_replaces(tmp_path: Path) -> None:
    first = samples.write(tmp_path)
    first[0].write_bytes(b"spoilt")
    samples.write(tmp_path)
    assert first[0].read_bytes() == samples.stored(first[0].stem)[1]


def test_write_into_a_file_says_so(tmp_path: Path) -> None:
    blocker = tmp_path / "taken"
    blocker.write_text("a file")
    with pytest.raises(ImageError, match="cannot write samples to .*taken.*choose a writable folder"):
        samples.write(blocker)


def test_an_unknown_sample_is_named_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="there is no sample 'blue_swirl'; did you mean 'blue_swirls'"):
        samples.load("blue_swirl")


def test_a_missing_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "files", lambda _: tmp_path)
    with pytest.raises(ImageError, match="'coffee' is missing .* reinstall"):
        samples.load("coffee")


def test_a_damaged_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coffee.png").write_bytes(b"not an image")
    monkeypatch.setattr(samples, "files", lambda _: tmp_path)
    with pytest.raises(ImageError, match="'coffee' is damaged .* reinstall"):
        samples.load("coffee")
