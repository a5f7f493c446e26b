"""Styles larger than a tile: the same statistics, in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest
import torch
from torch import Tensor

from impasto.losses.gram import summed_grams
from impasto.losses.moments import summed_moments
from impasto.losses.summaries.protocol import Features, Maps
from impasto.network.encoder import Encoder
from impasto.objective.style_features import StyleFeatures, style_features
from impasto.regions.region_tensors import single_style
from random_weights import state_before
from rounding import assert_as_exact, assert_same, epsilon

Summed = Callable[[Iterable[tuple[Features, Maps | None]]], Mapping[str, Tensor]]
LAYERS = ("relu1_1", "relu2_1", "relu3_1")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Return random weights down to the third block, in float64."""
    return Encoder(state_before("conv3_2"), dtype=torch.float64)


def style(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("summed", [summed_moments, summed_grams])
def test_statistics_in_pieces_are_those_of_the_whole(encoder: Encoder, summed: Summed, masked: bool) -> None:
    picture = style(113, 97)
    features = encoder(picture, LAYERS)
    mask = masks(features, torch.float64) if masked else None
    whole, large = StyleFeatures(features, mask, picture), StyleFeatures(None, mask, picture, encoder, LAYERS, 32)
    assert len(list(whole.iter_tiles())) == 1
    assert len(list(large.iter_tiles())) == 12
    assert_same(summed(large.iter_tiles()), summed(whole.iter_tiles()))
    assert_same(dict(large.features), features)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("summed", "dtype", "kept"),
    [
        (summed_moments, torch.float32, torch.float64),
        (summed_grams, torch.float32, torch.float32),
        (summed_moments, torch.bfloat16, torch.float64),
        (summed_grams, torch.bfloat16, torch.float32),
    ],
)
def test_statistics_in_pieces_are_as_exact(
    encoder: Encoder, summed: Summed, dtype: torch.dtype, kept: torch.dtype, masked: bool
) -> None:
    picture, net = style(113, 97), Encoder(state_before("conv3_2"), dtype=dtype)
    features, exact = net(picture.float(), LAYERS), encoder(picture, LAYERS)
    mask = masks(features, torch.float32) if masked else None
    whole = summed(StyleFeatures(features, mask, picture.float()).iter_tiles())
    by_tiles = summed(StyleFeatures(None, mask, picture.float(), net, LAYERS, 32).iter_tiles())
    assert all(whole[layer].dtype == by_tiles[layer].dtype == kept for layer in LAYERS)
    least = epsilon(dtype, layers=5, terms=9 * (3 + 64 + 64 + 128 + 128) + 113 * 97)
    assert_as_exact(by_tiles, whole, summed([(exact, mask)]), least=least)


def masks(features: Features, dtype: torch.dtype) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(4)
    return {layer: torch.rand(1, 1, *part.shape[-2:], generator=draws).to(dtype) for layer, part in features.items()}


@pytest.mark.parametrize(("tile", "tile_count"), [(None, 1), (128, 1), (32, 9)])
def test_only_a_large_style_is_computed_by_tiles(encoder: Encoder, tile: int | None, tile_count: int) -> None:
    tensors = single_style(style(128, 128), style(96, 96))
    (region,) = tensors.regions
    found = style_features(region.styles[0], region, tensors, encoder, LAYERS, tile)
    assert len(list(found.iter_tiles())) == tile_count
