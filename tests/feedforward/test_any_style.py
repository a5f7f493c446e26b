"""Any style at once, with strength, blends, regions and colors."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from impasto.feedforward.any_style import FastStylizer
from impasto.feedforward.matching import VARIANCE_FLOOR, Affine, Statistics
from impasto.regions.color import to_oklab
from impasto.regions.region_tensors import Region, RegionTensors, StyleSource, single_style
from rounding import assert_as_exact, assert_same, epsilon

SIZE = (64, 80)


def channelwise(source: Statistics, target: Statistics) -> Affine:
    """Match mean and deviation of each channel alone, as AdaIN does."""
    ratio = ((target.covariance.diagonal() + 1e-5) / (source.covariance.diagonal() + 1e-5)).clamp(min=0).sqrt()
    return Affine(ratio.diag(), target.mean - ratio * source.mean)


@pytest.fixture(scope="module")
def stylizer(adain: dict[str, Tensor]) -> FastStylizer:
    return FastStylizer(adain)


@pytest.fixture(scope="module")
def double(adain: dict[str, Tensor]) -> FastStylizer:
    return FastStylizer(adain, dtype=torch.float64)


def test_no_strength_gives_the_content(stylizer: FastStylizer, photograph: Tensor, painting: Tensor) -> None:
    assert torch.equal(stylizer(single_style(photograph, painting), SIZE, 0.0), photograph.clamp(0, 1))


def test_every_strength_gives_another_picture_in_range(
    stylizer: FastStylizer, photograph: Tensor, painting: Tensor
) -> None:
    found = [stylizer(single_style(photograph, painting), SIZE, strength) for strength in (0.25, 0.5, 0.75, 1.0)]
    for picture in found:
        assert picture.shape == (1, 3, *SIZE)
        assert picture.min() >= 0
        assert picture.max() <= 1
    for first, second in itertools.pairwise(found):
        assert not torch.equal(first, second)


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (61, 17)])
def test_any_size(stylizer: FastStylizer, photograph: Tensor, painting: Tensor, size: tuple[int, int]) -> None:
    found = stylizer(single_style(photograph, painting), size)
    assert found.shape == (1, 3, *size)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_tiles_equal_the_whole(double: FastStylizer, photograph: Tensor, painting: Tensor, strength: float) -> None:
    tensors, size = single_style(photograph.double(), painting.double()), (102, 118)
    # The root of a covariance turns rounding (eps) in directions without variance into its root, and the inverse, which
    # is bounded by the floor, enlarges that.
    bound = torch.finfo(torch.float64).eps ** 0.5 / VARIANCE_FLOOR
    assert_same(double(tensors, size, strength, 48), double(tensors, size, strength), bound)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_tiles_equal_the_whole_where_no_root_is_taken(
    adain: dict[str, Tensor], photograph: Tensor, painting: Tensor, strength: float
) -> None:
    double = FastStylizer(adain, dtype=torch.float64, matching=channelwise)
    tensors, size = single_style(photograph.double(), painting.double()), (102, 118)
    assert_same(double(tensors, size, strength, 48), double(tensors, size, strength))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_are_as_exact_as_the_whole(
    adain: dict[str, Tensor], double: FastStylizer, photograph: Tensor, painting: Tensor, dtype: torch.dtype
) -> None:
    tensors, size, made = single_style(photograph, painting), (102, 118), FastStylizer(adain, dtype=dtype)
    exact = double(single_style(photograph.double(), painting.double()), size)
    products = 9 * sum(weight.shape[1] for name, weight in adain.items() if name.endswith(".weight"))
    assert_as_exact(
        made(tensors, size, tile=48), made(tensors, size), exact, least=epsilon(dtype, layers=18, terms=products)
    )


def test_a_blend_of_one_style_with_itself_is_that_style(
    double: FastStylizer, photograph: Tensor, painting: Tensor
) -> None:
    photograph, painting = photograph.double(), painting.double()
    sources = tuple(StyleSource(painting, None, 1.0, part) for part in (0.3, 0.7))
    blended = double(RegionTensors(photograph, (Region("", None, sources),)), SIZE)
    assert_same(blended, double(single_style(photograph, painting), SIZE))


def test_a_region_is_painted_and_the_rest_is_left(stylizer: FastStylizer, photograph: Tensor, painting: Tensor) -> None:
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., :40] = 1
    region = Region("left", mask, (StyleSource(painting, None, 1.0),))
    tensors = RegionTensors(photograph, (region,), frozen_mask=1 - mask, frozen_pixels=photograph)
    found = stylizer(tensors, SIZE)
    assert torch.equal(found[..., 40:], photograph[..., 40:].clamp(0, 1))
    assert not torch.allclose(found[..., :40], photograph[..., :40], atol=0.05)
    still = stylizer(replace(tensors, regions=(replace(region, strength=0.0),)), SIZE)
    assert torch.equal(still, photograph.clamp(0, 1))


def test_the_contents_colors_stay(stylizer: FastStylizer, photograph: Tensor, painting: Tensor) -> None:
    region = Region("", None, (StyleSource(painting, None, 1.0),), lightness_only=True)
    picture = photograph * 0.4 + 0.3
    found = stylizer(RegionTensors(picture, (region,), content_chroma_mask=torch.ones(1, 1, *SIZE)), SIZE)
    assert (to_oklab(found)[:, 1:] - to_oklab(picture)[:, 1:]).abs().max() < 0.02
    assert not torch.allclose(found, picture, atol=0.02)
