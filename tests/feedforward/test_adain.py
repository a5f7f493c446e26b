"""AdaIN's encoder and decoder."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from impasto.errors import WeightsError
from impasto.feedforward.adain import AdainNetwork, tiles
from rounding import assert_as_exact, assert_same, epsilon


def test_tiles_equal_the_whole(adain: dict[str, Tensor]) -> None:
    network = AdainNetwork(adain, dtype=torch.float64)
    picture = torch.rand(1, 3, 144, 112, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.inference_mode():
        whole = network.encode(picture)
        assert whole.shape == (1, 512, 18, 14)
        assert_same(network.encode(picture, 48), whole)
        painted = network.decode(whole)
        assert painted.shape == picture.shape
        assert_same(network.decode(whole, 48), painted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_are_as_exact_as_the_whole(adain: dict[str, Tensor], dtype: torch.dtype) -> None:
    double, network = AdainNetwork(adain, dtype=torch.float64), AdainNetwork(adain, dtype=dtype)
    picture = torch.rand(1, 3, 144, 112, generator=torch.Generator().manual_seed(0))
    products = 9 * sum(weight.shape[1] for name, weight in adain.items() if name.endswith(".weight"))
    least = epsilon(dtype, layers=9, terms=products)  # nine convolutions there, nine back
    with torch.inference_mode():
        exact, whole = double.encode(picture.double()), network.encode(picture)
        assert_as_exact(network.encode(picture, 48), whole, exact, least=least)
        painted = double.decode(whole.double())
        assert_as_exact(network.decode(whole, 48), network.decode(whole), painted, least=least)


def test_reflection_lets_the_input_be_folded(adain: dict[str, Tensor]) -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    adain = {name: value.double() for name, value in adain.items()}
    plain = {name: value for name, value in adain.items() if not name.startswith("encoder.input")}
    mixed = torch.nn.functional.conv2d(picture, adain["encoder.input.weight"], adain["encoder.input.bias"])
    with torch.inference_mode():
        one, other = AdainNetwork(adain, dtype=torch.float64), AdainNetwork(plain, dtype=torch.float64)
        assert_same(one.encode(picture), other.encode(mixed))


def test_circular_padding_moves_with_the_picture(adain: dict[str, Tensor]) -> None:
    network = AdainNetwork(adain, dtype=torch.float64)
    picture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.inference_mode():
        moved = network.encode(picture.roll(16, -1), padding="circular")
        assert_same(moved, network.encode(picture, padding="circular").roll(2, -1))


def test_foreign_weights_are_named(adain: dict[str, Tensor]) -> None:
    lacking = {name: value for name, value in adain.items() if name != "decoder.conv2_1.weight"}
    with pytest.raises(WeightsError, match=r"decoder\.conv2_1\.weight is missing: these are not AdaIN's weights"):
        AdainNetwork(lacking)
    with pytest.raises(WeightsError, match=r"encoder\.conv1_2\.bias has the shape \(2, 2\)"):
        AdainNetwork({**adain, "encoder.conv1_2.bias": torch.zeros(2, 2)})


@pytest.mark.parametrize(("height", "width", "side"), [(100, 33, 32), (8, 8, 16), (64, 200, 64)])
def test_tiles_cover_everything_once(height: int, width: int, side: int) -> None:
    seen = torch.zeros(height, width)
    for top, bottom, left, right in tiles(height, width, side):
        seen[top:bottom, left:right] += 1
        assert bottom - top >= min(height, side / 2)
        assert right - left >= min(width, side / 2)
    assert seen.min() == seen.max() == 1
