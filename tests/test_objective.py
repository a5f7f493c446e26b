"""The objective: tiles equal the whole, weights are factors, and what weighs nothing costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from impasto.encoder import BLOCKS, CHANNELS, Encoder, stride
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, gram_targets
from impasto.losses.protocol import Loss
from impasto.losses.tv import TotalVariationLoss
from impasto.objective import Objective

STYLE = {"relu1_1": 0.2, "relu2_1": 0.3, "relu3_1": 0.5}
DEEP = {"relu1_1": 0.2, "relu4_1": 0.3, "relu5_1": 0.5}
WEIGHTS = {"content": 2.0, "style": 3.0, "tv": 0.7}


def network(last: str) -> Encoder:
    """Return an encoder with seeded weights up to a convolution."""
    generator, state, before = torch.Generator().manual_seed(1), {}, 3
    for block, (count, after) in enumerate(zip(BLOCKS["vgg19"], CHANNELS, strict=True), start=1):
        for index in range(1, count + 1):
            state[f"conv{block}_{index}.weight"] = (
                torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            )
            state[f"conv{block}_{index}.bias"] = torch.zeros(after)
            before = after
            if last == f"conv{block}_{index}":
                return Encoder(state)
    raise AssertionError(last)


@pytest.fixture(scope="module")
def shallow() -> Encoder:
    """Return a network as deep as relu3_1."""
    return network("conv3_1")


@pytest.fixture(scope="module")
def deep() -> Encoder:
    """Return a network as deep as relu5_1."""
    return network("conv5_1")


def picture(height: int, width: int, seed: int) -> Tensor:
    """Return a random picture."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def objective(net: Encoder, size: tuple[int, int], style: Mapping[str, float], tile: int | None = None) -> Objective:
    """Return content, Gram and total variation against random targets."""
    height, width = size
    content = next(reversed(style))
    positions = {layer: float((height // stride(layer)) * (width // stride(layer))) for layer in style}
    with torch.no_grad():
        target = net(picture(height, width, 2), [content])
        grams = gram_targets(net(picture(80, 96, 3), list(style)))
    terms: dict[str, Loss] = {
        "content": ContentLoss(target, {content: 1.0}),
        "style": GramLoss(grams, style, positions, normalisation="relative"),
        "tv": TotalVariationLoss(height, width),
    }
    return Objective(net, terms, height, width, tile=tile)


@pytest.mark.parametrize("size", [(64, 64), (65, 127), (131, 81), (97, 30)])
def test_tiles_equal_the_whole(shallow: Encoder, size: tuple[int, int]) -> None:
    canvas = picture(*size, 4)
    whole = objective(shallow, size, STYLE).evaluate(canvas, WEIGHTS)
    tiled = objective(shallow, size, STYLE, tile=32)
    assert len(tiled.regions) > 1
    compare(tiled.evaluate(canvas, WEIGHTS), whole)


@pytest.mark.slow
def test_tiles_equal_the_whole_to_the_deepest_layer(deep: Encoder) -> None:
    size = (113, 197)
    canvas = picture(*size, 4)
    whole = objective(deep, size, DEEP).evaluate(canvas, WEIGHTS)
    compare(objective(deep, size, DEEP, tile=64).evaluate(canvas, WEIGHTS), whole)


def compare(one: Any, other: Any) -> None:
    """Hold two evaluations against each other."""
    assert one.losses.keys() == other.losses.keys()
    for name, value in other.losses.items():
        assert one.losses[name] == pytest.approx(value, rel=1e-5), name
    assert one.total == pytest.approx(other.total, rel=1e-5)
    assert float((one.gradient - other.gradient).norm() / other.gradient.norm()) < 1e-5
    assert float((one.gradient - other.gradient).abs().max() / other.gradient.abs().max()) < 1e-5


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
    assert len(objective(shallow, (40, 64), STYLE, tile=64).regions) == 1


@pytest.mark.parametrize("tile", [None, 32])
def test_the_gradient_is_the_slope(shallow: Encoder, tile: int | None) -> None:
    size = (48, 80)
    terms, canvas = objective(shallow, size, STYLE, tile), picture(*size, 5) * 0.8 + 0.1
    at = terms.evaluate(canvas, WEIGHTS)
    way = at.gradient / at.gradient.norm()
    step = 1e-2
    ahead, behind = (terms.evaluate(canvas + sign * step * way, WEIGHTS).total for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(float(at.gradient.norm()), rel=1e-2)


@pytest.mark.parametrize("tile", [None, 32])
def test_a_weight_is_a_factor(shallow: Encoder, tile: int | None) -> None:
    size = (48, 80)
    terms, canvas = objective(shallow, size, STYLE, tile), picture(*size, 5)
    values, once = terms.values(canvas), terms.evaluate(canvas, WEIGHTS)
    assert once.total == pytest.approx(sum(once.losses.values()))
    for name, value in values.items():
        assert once.losses[name] == pytest.approx(WEIGHTS[name] * value, rel=1e-5)
    alone = [terms.evaluate(canvas, {name: weight}) for name, weight in WEIGHTS.items()]
    together = torch.stack([part.gradient for part in alone]).sum(0)
    assert float((together - once.gradient).norm() / once.gradient.norm()) < 1e-5


class Refusing:
    """A term that must not be computed."""

    layers = ("relu5_4",)

    def summarise(self, *arguments: Any) -> Tensor:
        """Fail."""
        raise AssertionError("a term without weight was computed")

    value = summarise


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
    for tile, features, region in terms.sweep(canvas):
        owned = region.own(tile)
        count, total = count + owned[0, 0].numel(), total + float(owned.double().sum())
        assert set(features) == set(terms.layers)
        assert not tile.requires_grad
    assert count == 70 * 81
    assert total == pytest.approx(float(canvas.double().sum()))
