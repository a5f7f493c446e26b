"""Styles larger than a tile: the same statistics, in pieces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from drawn import state_before
from impasto.areas import StyleData, area_terms
from impasto.control import plain
from impasto.encoder import Encoder
from impasto.losses.gram import summed_grams
from impasto.losses.moments import summed_moments

LAYERS = ("relu1_1", "relu2_1", "relu3_1")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Return random weights down to the third block."""
    return Encoder(state_before("conv3_2"))


def style(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("summed", "dtype"), [(summed_moments, torch.float64), (summed_grams, torch.float32)])
def test_statistics_in_pieces_are_those_of_the_whole(
    encoder: Encoder, summed: object, dtype: torch.dtype, masked: bool
) -> None:
    picture = style(113, 97)
    features = encoder(picture, LAYERS)
    mask = {layer: torch.rand_like(part[:, :1]) for layer, part in features.items()} if masked else None
    whole, large = StyleData(features, mask, picture), StyleData(None, mask, picture, encoder, LAYERS, 32)
    assert len(list(whole.pieces())) == 1
    assert len(list(large.pieces())) == 12
    assert callable(summed)
    at_once, in_pieces = summed(whole.pieces()), summed(large.pieces())
    for layer in LAYERS:
        assert at_once[layer].dtype == in_pieces[layer].dtype == dtype
        assert float((at_once[layer] - in_pieces[layer]).norm() / at_once[layer].norm()) < 1e-5
        assert float((large.features[layer] - features[layer]).norm() / features[layer].norm()) < 1e-5


@pytest.mark.parametrize(("tile", "pieces"), [(None, 1), (128, 1), (32, 9)])
def test_only_styles_larger_than_a_tile_come_in_pieces(encoder: Encoder, tile: int | None, pieces: int) -> None:
    found: list[StyleData] = []

    def make(styles: object, mask: object) -> object:
        found.extend(styles)  # type: ignore[arg-type]
        return lambda parts: parts

    control = plain(torch.rand(1, 3, 128, 128), style(96, 96))
    area_terms(encoder, control, LAYERS, make, lambda mask: None, ["relu2_1"], tile)  # type: ignore[arg-type, return-value]
    assert len(list(found[0].pieces())) == pieces
