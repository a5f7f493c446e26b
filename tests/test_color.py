"""Laws of colour: there and back, kept chroma, matched moments, greys that stay grey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from impasto import color

Pixels = NDArray[np.uint8]


def as_tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy((pixels / 255).astype(np.float32).transpose(2, 0, 1))[None]


@pytest.fixture
def photo(tiny_picture: Pixels) -> Tensor:
    return as_tensor(tiny_picture)


@pytest.fixture
def painting(tiny_style: Pixels) -> Tensor:
    return as_tensor(tiny_style)


def every_colour() -> Tensor:
    """Return 32768 colours over the whole cube, ``[1, 3, 128, 256]``."""
    levels = torch.linspace(0, 1, 32)
    return torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij")).reshape(1, 3, 128, 256)


def test_oklab_there_and_back() -> None:
    colours = every_colour()
    assert (color.from_oklab(color.to_oklab(colours)) - colours).abs().max() < 5e-5
    assert (color.from_linear(color.to_linear(colours)) - colours).abs().max() < 1e-6
    rows = np.random.default_rng(0).random((50, 3))
    assert np.abs(color.rows_from_oklab(color.rows_to_oklab(rows)) - rows).max() < 1e-9


def test_oklab_has_the_published_values() -> None:
    # Ottosson's own pairs, in XYZ: here white, and red by an independent computation with his matrices.
    white = color.rows_to_oklab(np.ones((1, 3)))[0]
    assert np.allclose(white, [1, 0, 0], atol=1e-6)
    red = color.rows_to_oklab(np.array([[1.0, 0, 0]]))[0]
    assert np.allclose(red, [0.62796, 0.22486, 0.12585], atol=1e-4)


def test_oklab_has_a_finite_slope_at_black() -> None:
    black = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    color.to_oklab(black).sum().backward()
    assert black.grad is not None
    assert torch.isfinite(black.grad).all()


def test_oklab_gradient() -> None:
    colours = (0.1 + 0.8 * torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))).double()
    assert torch.autograd.gradcheck(color.to_oklab, colours.requires_grad_())
    assert torch.autograd.gradcheck(color.from_oklab, color.to_oklab(colours).detach().requires_grad_())


def chroma_errors(content: Tensor, saved: NDArray[np.float64]) -> NDArray[np.float64]:
    wanted = color.to_oklab(content.double())[0, 1:].permute(1, 2, 0).numpy()
    return np.asarray(np.hypot(*np.moveaxis(color.rows_to_oklab(saved)[..., 1:] - wanted, -1, 0)))


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_kept_chroma_survives_saving(photo: Tensor, painting: Tensor, spread: float) -> None:
    for content in (photo, painting):
        noise = torch.randn(content.shape, generator=torch.Generator().manual_seed(3))
        picture = color.ChromaKeeper(content).colour((content + spread * noise).clamp(0, 1))
        saved = np.rint(picture[0].permute(1, 2, 0).numpy().astype(np.float64) * 255) / 255
        assert np.quantile(chroma_errors(content, saved), 0.99) < 1 / 255


def test_kept_chroma_keeps_lightness_where_it_can(photo: Tensor) -> None:
    keeper = color.ChromaKeeper(photo)
    assert (keeper.colour(photo) - photo).abs().max() < 1e-4
    canvas = (photo * 0.9).clamp(0, 1)
    once = keeper.colour(canvas)
    assert (keeper.colour(once) - once).abs().max() < 1e-4
    assert (keeper.grey(canvas) - color.desaturated(once)).abs().max() < 2e-4


def test_a_pixel_at_the_limit_can_come_back() -> None:
    content = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1)
    keeper = color.ChromaKeeper(content)
    white = torch.ones(1, 3, 1, 1, requires_grad=True)
    keeper.lightness(white).sum().backward()
    assert white.grad is not None
    assert white.grad.abs().max() > 0  # descent would make it darker: let through
    white = torch.ones(1, 3, 1, 1, requires_grad=True)
    (-keeper.lightness(white)).sum().backward()
    assert white.grad is not None
    assert white.grad.abs().max() == 0  # descent would push it further out: held


def test_lightness_range_is_the_gamuts() -> None:
    lab = color.to_oklab(every_colour().double()[..., ::4])
    low, high = color.lightness_range(lab)
    assert (low <= lab[:, :1] + 1e-9).all()
    assert (high >= lab[:, :1] - 1e-9).all()
    for lightness in (low, high):
        shown = color.from_oklab(torch.cat([lightness, lab[:, 1:]], 1))
        assert shown.min() > -1e-3
        assert shown.max() < 1 + 1e-3
    grey = color.to_oklab(torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64))
    low, high = color.lightness_range(grey)
    assert low.item() < 1e-3
    assert high.item() > 1 - 1e-3


def test_limited_chroma_keeps_lightness_and_hue() -> None:
    lab = torch.tensor([0.7, 0.3, -0.2]).view(1, 3, 1, 1).double()
    limited = color.limit_chroma(lab)
    shown = color.from_oklab(limited)
    assert shown.min() > -1e-4
    assert shown.max() < 1 + 1e-4
    assert limited[0, 0].item() == pytest.approx(0.7)
    assert (limited[0, 1] / limited[0, 2]).item() == pytest.approx(-1.5)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_saturation(photo: Tensor, factor: float) -> None:
    new = color.saturate(photo, factor)
    before, after = color.to_oklab(photo), color.to_oklab(new)
    assert (before[:, 0] - after[:, 0]).abs().max() < 2e-3
    if factor == 0:
        assert (new - new.mean(1, keepdim=True)).abs().max() < 1e-6
    elif factor < 1:
        assert (after[:, 1:] - factor * before[:, 1:]).abs().max() < 2e-3
    elif factor == 1:
        assert new is photo
    else:
        assert after[:, 1:].abs().mean() > before[:, 1:].abs().mean()
        assert new.min() >= 0
        assert new.max() <= 1


@given(st.integers(0, 2**32 - 1))
def test_match_maps_mean_and_covariance_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(200, 3)) * [0.2, 0.1, 0.05] @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    target = rng.random((200, 3)) @ rng.random((3, 3))
    weight, target_weight = rng.random(200), rng.random(200)
    matched = color.match(source, target, weight, target_weight)
    mean, covariance = color.moments(matched, weight)
    wanted_mean, wanted = color.moments(target, target_weight)
    assert np.abs(mean - wanted_mean).max() < 1e-4
    assert np.abs(covariance - wanted).max() < 1e-4


def test_match_of_a_picture_with_itself_changes_nothing(photo: Tensor) -> None:
    assert (color.recolour(photo, photo, "match", None, None) - photo).abs().max() < 1e-4


def test_transport_meets_the_whole_distribution() -> None:
    rng = np.random.default_rng(7)
    source = rng.normal(size=(4000, 3)) * [0.1, 0.2, 0.1]
    target = np.where(rng.random((5000, 1)) < 0.3, [0.9, 0.1, 0.0], [0.2, -0.1, 0.3]) + 0.02 * rng.normal(
        size=(5000, 3)
    )
    moved = color.transport(source, target)
    for axis in range(3):
        distance = np.abs(
            np.quantile(moved[:, axis], np.linspace(0, 1, 50)) - np.quantile(target[:, axis], np.linspace(0, 1, 50))
        )
        assert np.median(distance) < 0.03


def test_weights_choose_what_is_matched() -> None:
    rng = np.random.default_rng(8)
    target = np.concatenate([rng.normal(0, 0.1, (500, 3)), rng.normal(5, 0.1, (500, 3))])
    first = np.concatenate([np.ones(500), np.zeros(500)])
    for how in (color.match, color.transport):
        assert np.abs(how(rng.normal(2, 1, (300, 3)), target, None, first).mean(0)).max() < 0.1


@pytest.mark.parametrize("how", ["match", "histogram", "palette"])
def test_greys_are_guarded(photo: Tensor, how: str) -> None:
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    flat = torch.full((1, 3, 8, 8), 0.5)
    black = torch.zeros(1, 3, 8, 8)
    for one in (ramp, flat, black):
        for source, target in ((one, photo), (photo, one), (one, flat)):
            new = color.recolour(source, target, how, None, None)
            assert torch.isfinite(new).all()
            assert new.min() >= 0
            assert new.max() <= 1
        grey = color.recolour(photo, one, how, None, None)
        assert (grey - grey.mean(1, keepdim=True)).abs().max() < 0.02


def test_palette_keeps_lightness_and_takes_colours(photo: Tensor, painting: Tensor) -> None:
    new = color.to_oklab(color.recolour(photo, painting, "palette", None, None))
    assert (new[:, 0] - color.to_oklab(photo)[:, 0]).abs().max() < 2e-3
    blue = color.to_oklab(painting)[:, 2].mean()
    before = color.to_oklab(photo)[:, 2].mean()
    assert (new[:, 2].mean() - blue).abs() < (before - blue).abs() / 2
