"""Tiles: they cover the image once, read no more than they must, and give the features of the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from impasto.losses.moments import MomentsLoss
from impasto.losses.summaries.style_target import StyleTarget
from impasto.network.convolution import tapped
from impasto.network.encoder import Encoder
from impasto.objective.objective import Objective
from impasto.objective.tiling import halo, tiled_features, tiles
from impasto.options.layer_names import BLOCKS, receptive_radius, stride
from rounding import assert_as_exact, assert_same, epsilon

LAYERS = ["relu1_1", "relu2_2", "relu3_1", "relu4_1", "relu4_3", "relu5_1"]


def network(dtype: torch.dtype = torch.float64) -> Encoder:
    draws, state, before = torch.Generator().manual_seed(3), {}, 3
    for number, count in enumerate(BLOCKS["vgg19"], start=1):
        for index in range(1, count + 1):
            weight = torch.randn(6, before, 3, 3, generator=draws) * (2 / (9 * before)) ** 0.5
            state[f"conv{number}_{index}.weight"] = weight
            state[f"conv{number}_{index}.bias"] = torch.rand(6, generator=draws) * 0.1
            before = 6
    return Encoder(state, dtype=dtype)


@pytest.fixture(scope="module")
def narrow() -> Encoder:
    return network()


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)).double()


@given(st.integers(16, 300), st.integers(16, 300), st.sampled_from([16, 64, 128]))
def test_tiles_own_every_pixel_once(height: int, width: int, side: int) -> None:
    seen = torch.zeros(height, width)
    for tile in tiles(height, width, side, LAYERS):
        window = tile.window
        seen[window.top : window.bottom, window.left : window.right] += 1
        assert window.top % 16 == window.left % 16 == 0
        assert window.top - tile.read[0].start <= receptive_radius(LAYERS)
    assert bool((seen == 1).all())


@pytest.mark.parametrize("size", [(256, 192), (229, 301), (97, 160)])
def test_features_by_tiles_are_those_of_the_whole(narrow: Encoder, size: tuple[int, int]) -> None:
    canvas = picture(*size)
    layers = [*LAYERS, "conv4_2"]
    assert_same(tiled_features(narrow, canvas, layers, 64), narrow(canvas, layers))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_by_tiles_are_as_exact_as_those_of_the_whole(narrow: Encoder, dtype: torch.dtype) -> None:
    exact, net, canvas = narrow(picture(229, 301), LAYERS), network(dtype), picture(229, 301).float()
    tiled = tiled_features(net, canvas, LAYERS, 64)
    assert_as_exact(tiled, net(canvas, LAYERS), exact, least=epsilon(dtype, layers=13, terms=13 * 9 * 6))


def test_maps_are_cut_on_the_way_down(narrow: Encoder) -> None:
    inner = next(tile for tile in tiles(512, 512, 128, LAYERS) if tile.window.top == tile.window.left == 128)
    assert set(inner.cuts) == {"2_1", "3_1", "3_3", "4_1", "4_3", "5_1"}
    for layer, part in inner.features(narrow, inner.canvas(picture(512, 512)), LAYERS).items():
        assert part.shape[-2:] == (128 // stride(layer), 128 // stride(layer))


def test_a_loss_that_reads_beyond_its_area_gets_uncut_maps() -> None:
    assert not any(tile.cuts for tile in tiles(512, 512, 128, LAYERS, feature_reach=16))
    assert halo(LAYERS) == 80


def test_rows_restrict_the_tiles() -> None:
    made = tiles(300, 200, 64, LAYERS, rows=(128, 256))
    assert {(tile.window.top, tile.window.bottom) for tile in made} == {(128, 192), (192, 256)}


@pytest.mark.parametrize("keep", [0, 1, 3, 99])
def test_keeping_a_first_pass_changes_nothing(narrow: Encoder, keep: int) -> None:
    size, layers = (229, 181), dict.fromkeys(LAYERS, 1.0)
    loss = MomentsLoss(StyleTarget(narrow(picture(160, 160, 1), LAYERS), layers, *size))
    canvas = picture(*size)
    whole = Objective(narrow, {"style": loss}, *size).evaluate(canvas, {"style": 1.0})
    tiled = Objective(narrow, {"style": loss}, *size, tile=64, keep=keep).evaluate(canvas, {"style": 1.0})
    assert_same(tiled, whole)


@pytest.mark.parametrize("used", ["both", "through", "seen"])
def test_a_tap_has_the_gradient_of_a_window(used: str) -> None:
    window = (slice(1, 3), slice(2, 5))
    factor = {"both": (2.0, 3.0), "through": (2.0, 0.0), "seen": (0.0, 3.0)}[used]

    def total(x: Tensor, through: Tensor, seen: Tensor) -> Tensor:
        parts = [(part * by).square().sum() for part, by in ((through, factor[0]), (seen, factor[1])) if by]
        return sum(parts, x.new_zeros(()))

    x = picture(6, 7).requires_grad_(True)
    middle = x * 1.0
    (single_style,) = torch.autograd.grad(total(x, middle, middle[..., 1:3, 2:5]), x)
    (found,) = torch.autograd.grad(total(x, *tapped(x * 1.0, window)), x)
    assert_same(found, single_style)
