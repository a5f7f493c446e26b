"""The objective: tiles equal the whole, weights are factors, and what weighs nothing costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss
from impasto.losses.regularizers.tv import TotalVariationLoss
from impasto.losses.summaries.protocol import Loss
from impasto.losses.summaries.style_target import StyleTarget
from impasto.network.encoder import Encoder
from impasto.objective.objective import Objective
from impasto.options.layer_names import BLOCKS
from rounding import assert_as_exact, assert_same, epsilon

STYLE = {"relu1_1": 0.2, "relu2_1": 0.3, "relu3_1": 0.5}
DEEP = {"relu1_1": 0.2, "relu4_1": 0.3, "relu5_1": 0.5}
WEIGHTS = {"content": 2.0, "style": 3.0, "tv": 0.7}


CHANNELS = (8, 12, 16, 24, 24)  # of each block: float64 has no fast convolution
HALF_AND_FULL = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def weights(last: str) -> dict[str, Tensor]:
    """Return seeded weights of a narrow VGG-19 up to a convolution."""
    generator, state, before = torch.Generator().manual_seed(1), {}, 3
    for block, (count, after) in enumerate(zip(BLOCKS["vgg19"], CHANNELS, strict=True), start=1):
        for index in range(1, count + 1):
            state[f"conv{block}_{index}.weight"] = (
                torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            )
            state[f"conv{block}_{index}.bias"] = torch.zeros(after)
            before = after
            if last == f"conv{block}_{index}":
                return state
    raise AssertionError(last)


def network(last: str, dtype: torch.dtype = torch.float64) -> Encoder:
    """Return an encoder with these weights."""
    return Encoder(weights(last), dtype=dtype)


@pytest.fixture(scope="module")
def shallow() -> Encoder:
    """Return a network as deep as relu3_1."""
    return network("conv3_1")


@pytest.fixture(scope="module")
def deep() -> Encoder:
    """Return a network as deep as relu5_1."""
    return network("conv5_1")


def picture(height: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return a random image, the same in every dtype."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)).to(dtype)


def objective(net: Encoder, size: tuple[int, int], style: Mapping[str, float], tile: int | None = None) -> Objective:
    """Return content, Gram and total variation against random targets."""
    height, width = size
    content, kept = next(reversed(style)), net.means.dtype
    with torch.no_grad():
        target = net(picture(height, width, 2, kept), [content])
        painting = StyleTarget(net(picture(80, 96, 3, kept), list(style)), style, height, width)
    terms: dict[str, Loss] = {
        "content": ContentLoss(target, {content: 1.0}),
        "style": GramLoss(painting, normalization="relative"),
        "tv": TotalVariationLoss(height, width),
    }
    return Objective(net, terms, height, width, tile=tile)


@pytest.mark.parametrize("size", [(64, 64), (65, 127), (131, 81), (97, 30)])
def test_tiles_equal_the_whole(shallow: Encoder, size: tuple[int, int]) -> None:
    canvas = picture(*size, 4)
    whole = objective(shallow, size, STYLE).evaluate(canvas, WEIGHTS)
    tiled = objective(shallow, size, STYLE, tile=32)
    assert len(tiled.windows) > 1
    assert_same(tiled.evaluate(canvas, WEIGHTS), whole)


@pytest.mark.slow
def test_tiles_equal_the_whole_to_the_deepest_layer(deep: Encoder) -> None:
    size = (113, 197)
    canvas = picture(*size, 4)
    whole = objective(deep, size, DEEP).evaluate(canvas, WEIGHTS)
    assert_same(objective(deep, size, DEEP, tile=64).evaluate(canvas, WEIGHTS), whole)


@HALF_AND_FULL
def test_tiles_are_as_exact_as_the_whole(shallow: Encoder, dtype: torch.dtype) -> None:
    size, net = (131, 81), network("conv3_1", dtype)
    exact = objective(shallow, size, STYLE).evaluate(picture(*size, 4), WEIGHTS)
    canvas = picture(*size, 4, torch.float32)
    whole = objective(net, size, STYLE).evaluate(canvas, WEIGHTS)
    tiled = objective(net, size, STYLE, tile=32).evaluate(canvas, WEIGHTS)
    assert_as_exact(tiled, whole, exact, least=rounding_to("conv3_1", dtype, size))


@HALF_AND_FULL
def test_tiles_are_as_exact_as_the_whole_to_the_deepest_layer(deep: Encoder, dtype: torch.dtype) -> None:
    size, net = (113, 197), network("conv5_1", dtype)
    exact = objective(deep, size, DEEP).evaluate(picture(*size, 4), WEIGHTS)
    canvas = picture(*size, 4, torch.float32)
    whole = objective(net, size, DEEP).evaluate(canvas, WEIGHTS)
    tiled = objective(net, size, DEEP, tile=64).evaluate(canvas, WEIGHTS)
    assert_as_exact(tiled, whole, exact, least=rounding_to("conv5_1", dtype, size))


def rounding_to(last: str, dtype: torch.dtype, size: tuple[int, int]) -> float:
    """Return what rounding may do: the products of each convolution there and back, and a sum over the positions."""
    shapes = [weight.shape for name, weight in weights(last).items() if name.endswith(".weight")]
    products = sum(9 * (shape[0] + shape[1]) for shape in shapes)
    return epsilon(dtype, layers=2 * len(shapes), terms=products + size[0] * size[1])


@pytest.mark.slow
def test_kept_first_passes_change_no_bit(shallow: Encoder) -> None:
    size, canvas = (97, 131), picture(97, 131, 4)
    found = []
    for keep in (1, 3, 100):
        made = objective(shallow, size, STYLE, tile=32)
        made = Objective(shallow, made.terms, *size, tile=32, keep=keep)
        assert made.keep == min(keep, len(made.tiles))
        found.append(made.evaluate(canvas, WEIGHTS))
    for other in found[1:]:
        assert other.losses == found[0].losses
        assert torch.equal(other.gradient, found[0].gradient)


def test_a_tile_as_large_as_the_picture_is_the_whole(shallow: Encoder) -> None:
    assert len(objective(shallow, (40, 64), STYLE, tile=64).windows) == 1


@pytest.mark.parametrize("tile", [None, 32])
def test_the_gradient_is_the_slope(shallow: Encoder, tile: int | None) -> None:
    size = (48, 80)
    terms, canvas = objective(shallow, size, STYLE, tile), picture(*size, 5) * 0.8 + 0.1
    at = terms.evaluate(canvas, WEIGHTS)
    way = at.gradient / at.gradient.norm()
    # The rounding of the values, some 1e-13 of them, is divided by the step; in so short a step hardly a rectifier or a
    # maximum changes sides, and the quotient's own error goes with the step's square.
    step = 1e-5
    ahead, behind = (terms.evaluate(canvas + sign * step * way, WEIGHTS).total for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(float(at.gradient.norm()), rel=1e-5)


@pytest.mark.parametrize("tile", [None, 32])
def test_a_weight_is_a_factor(shallow: Encoder, tile: int | None) -> None:
    size = (48, 80)
    terms, canvas = objective(shallow, size, STYLE, tile), picture(*size, 5)
    values, once = terms.values(canvas), terms.evaluate(canvas, WEIGHTS)
    assert once.total == sum(once.losses.values())
    assert_same(once.losses, {name: WEIGHTS[name] * value for name, value in values.items()})
    alone = [terms.evaluate(canvas, {name: weight}) for name, weight in WEIGHTS.items()]
    together = torch.stack([part.gradient for part in alone]).sum(0)
    assert_same(together, once.gradient)


class Refusing:
    """A term that must not be computed."""

    layers = ("relu5_4",)
    halo_px = 0
    refresh_every: int | None = None

    def summarize(self, *arguments: Any) -> Tensor:
        """Fail."""
        raise AssertionError("a term without weight was computed")

    value = summarize


@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("weights", [{"content": 1.0}, {"content": 1.0, "refusing": 0.0}])
def test_what_weighs_nothing_is_not_computed(shallow: Encoder, tile: int | None, weights: dict[str, float]) -> None:
    size = (48, 80)
    terms = objective(shallow, size, STYLE, tile)
    terms.terms["refusing"] = Refusing()  # the network does not even have its layer
    assert set(terms.evaluate(picture(*size, 6), weights).losses) == {"content"}


@pytest.mark.parametrize("tile", [None, 32])
def test_without_any_weight_there_is_nothing_to_do(
    shallow: Encoder, tile: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = objective(shallow, (48, 80), STYLE, tile)
    monkeypatch.setattr(terms, "encoder", None)
    nothing = terms.evaluate(picture(48, 80, 7), dict.fromkeys(WEIGHTS, 0.0))
    assert (nothing.losses, nothing.total) == ({}, 0.0)
    assert not nothing.gradient.any()


@pytest.mark.parametrize("tile", [None, 32])
def test_a_term_on_pixels_alone_needs_no_network(
    shallow: Encoder, tile: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = objective(shallow, (48, 80), STYLE, tile)
    convolved: list[str] = []
    monkeypatch.setattr(Encoder, "_convolve", lambda self, x, name: convolved.append(name))
    assert terms.evaluate(picture(48, 80, 8), {"tv": 1.0}).losses["tv"] > 0
    assert convolved == []


def test_the_canvas_is_left_alone(shallow: Encoder) -> None:
    terms, canvas = objective(shallow, (48, 80), STYLE), picture(48, 80, 9)
    before = canvas.clone()
    terms.evaluate(canvas, WEIGHTS)
    assert torch.equal(canvas, before)
    assert not canvas.requires_grad


def test_a_sweep_goes_over_every_pixel_once(shallow: Encoder) -> None:
    terms, canvas = objective(shallow, (70, 81), STYLE, tile=32), picture(70, 81, 10)
    count, total = 0, 0.0
    for tile, features, window in terms.sweep(canvas):
        owned = window.crop_tile(tile)
        count, total = count + owned[0, 0].numel(), total + float(owned.sum())
        assert set(features) == set(terms.layers)
        assert not tile.requires_grad
    assert count == 70 * 81
    assert_same(total, float(canvas.sum()))
