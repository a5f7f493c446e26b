"""Any style at once, with strength, blends, regions and colours."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from impasto.color import to_oklab
from impasto.control import Area, Control, StyleSource, plain
from impasto.fast.apply import FastStylizer

SIZE = (64, 80)


@pytest.fixture(scope="module")
def stylizer(adain: dict[str, Tensor]) -> FastStylizer:
    return FastStylizer(adain)


def test_no_strength_gives_the_content(stylizer: FastStylizer, photograph: Tensor, painting: Tensor) -> None:
    assert torch.equal(stylizer(plain(photograph, painting), SIZE, 0.0), photograph.clamp(0, 1))


def test_every_strength_gives_another_picture_in_range(
    stylizer: FastStylizer, photograph: Tensor, painting: Tensor
) -> None:
    found = [stylizer(plain(photograph, painting), SIZE, strength) for strength in (0.25, 0.5, 0.75, 1.0)]
    for picture in found:
        assert picture.shape == (1, 3, *SIZE)
        assert picture.min() >= 0
        assert picture.max() <= 1
    for first, second in itertools.pairwise(found):
        assert not torch.equal(first, second)


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (61, 17)])
def test_any_size(stylizer: FastStylizer, photograph: Tensor, painting: Tensor, size: tuple[int, int]) -> None:
    found = stylizer(plain(photograph, painting), size)
    assert found.shape == (1, 3, *size)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_tiles_equal_the_whole(stylizer: FastStylizer, photograph: Tensor, painting: Tensor, strength: float) -> None:
    control, size = plain(photograph, painting), (150, 190)
    whole, tiled = stylizer(control, size, strength), stylizer(control, size, strength, 64)
    assert (whole - tiled).abs().max() < 5e-3


def test_a_blend_of_one_style_with_itself_is_that_style(
    stylizer: FastStylizer, photograph: Tensor, painting: Tensor
) -> None:
    sources = tuple(StyleSource(painting, None, 1.0, part) for part in (0.3, 0.7))
    blended = stylizer(Control(photograph, (Area("", None, sources),)), SIZE)
    assert torch.allclose(blended, stylizer(plain(photograph, painting), SIZE), atol=1e-3)


def test_a_region_is_painted_and_the_rest_is_left(stylizer: FastStylizer, photograph: Tensor, painting: Tensor) -> None:
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., :40] = 1
    area = Area("left", mask, (StyleSource(painting, None, 1.0),))
    control = Control(photograph, (area,), pin=1 - mask, pinned=photograph)
    found = stylizer(control, SIZE)
    assert torch.equal(found[..., 40:], photograph[..., 40:].clamp(0, 1))
    assert not torch.allclose(found[..., :40], photograph[..., :40], atol=0.05)
    still = stylizer(replace(control, areas=(replace(area, strength=0.0),)), SIZE)
    assert torch.equal(still, photograph.clamp(0, 1))


def test_the_contents_colours_stay(stylizer: FastStylizer, photograph: Tensor, painting: Tensor) -> None:
    area = Area("", None, (StyleSource(painting, None, 1.0),), grey=True)
    picture = photograph * 0.4 + 0.3
    found = stylizer(Control(picture, (area,), keep_chroma=torch.ones(1, 1, *SIZE)), SIZE)
    assert (to_oklab(found)[:, 1:] - to_oklab(picture)[:, 1:]).abs().max() < 0.02
    assert not torch.allclose(found, picture, atol=0.02)
