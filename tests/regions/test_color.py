"""Properties of color transforms: round trips, preserved chroma, matched moments, grays that stay gray.

They are checked in float64, where only rounding is left beside what the method itself leaves open.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from impasto.regions import color

Pixels = NDArray[np.uint8]
ROUNDING = 1e-12  # float64, some hundred operations on numbers up to 1
GAMUT = 1e-7  # linear light may leave [0, 1] by so much and still counts as shown
STEEPEST = 12.92  # slope of sRGB over linear light, at black
GRAY = 1e-7  # the published matrices, of ten digits, bring white to within 4e-8 of lightness 1 and chroma 0


def as_tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy((pixels / 255).transpose(2, 0, 1))[None]


def gamut_in_lab(srgb: Tensor) -> float:
    """Return how far OKLab moves where the linear light of an image moves by ``GAMUT``."""
    cones = color._mix(color.to_linear(srgb), color._TO_CONES)
    return GAMUT * float(cones.min()) ** (-2 / 3) / 3 * np.abs(color._TO_LAB).sum(1).max()


@pytest.fixture
def photo(tiny_picture: Pixels) -> Tensor:
    return as_tensor(tiny_picture)


@pytest.fixture
def painting(tiny_style: Pixels) -> Tensor:
    return as_tensor(tiny_style)


def every_color() -> Tensor:
    """Return 32768 colors over the whole cube, ``[1, 3, 128, 256]``."""
    levels = torch.linspace(0, 1, 32, dtype=torch.float64)
    return torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij")).reshape(1, 3, 128, 256)


def test_oklab_there_and_back() -> None:
    colors = every_color()
    assert (color.from_oklab(color.to_oklab(colors)) - colors).abs().max() < ROUNDING
    assert (color.from_linear(color.to_linear(colors)) - colors).abs().max() < ROUNDING
    rows = colors[0].reshape(3, -1).T.numpy()
    there = torch.from_numpy(color.rows_to_oklab(rows)).T.reshape(colors.shape)
    assert (color.from_oklab(there) - colors).abs().max() < ROUNDING


def test_oklab_there_and_back_in_float32() -> None:
    colors = every_color()
    there = color.to_oklab(colors.float())
    assert there.dtype == torch.float32
    # Four products with matrices of three columns and a few powers are 24 roundings. What comes after a rounding
    # enlarges it as if nothing canceled.
    light = color.to_linear(colors)
    roots = color._mix(light, color._TO_CONES) ** (1 / 3)
    lab = color._mix(roots, np.abs(color._TO_LAB))
    spread = color._mix(3 * roots**2 * color._mix(lab, np.abs(color._FROM_LAB)), np.abs(color._FROM_CONES))
    slope = torch.where(light <= 0.0031308, STEEPEST, 1.055 / 2.4 * light.clamp(min=0.0031308) ** (1 / 2.4 - 1))
    assert ((color.from_oklab(there) - colors).abs() <= 24 * 2**-24 * (slope * spread + 1)).all()


def test_oklab_has_the_published_values() -> None:
    # Ottosson's own pairs, in XYZ: here white, and red by an independent computation with his matrices.
    white = color.rows_to_oklab(np.ones((1, 3)))[0]
    assert np.allclose(white, [1, 0, 0], rtol=0, atol=GRAY)
    red = color.rows_to_oklab(np.array([[1.0, 0, 0]]))[0]
    assert np.allclose(red, [0.62796, 0.22486, 0.12585], rtol=0, atol=0.5e-5 + GRAY)


def test_oklab_has_a_finite_slope_at_black() -> None:
    black = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    color.to_oklab(black).sum().backward()
    assert black.grad is not None
    assert torch.isfinite(black.grad).all()


def test_oklab_gradient() -> None:
    colors = (0.1 + 0.8 * torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))).double()
    assert torch.autograd.gradcheck(color.to_oklab, colors.requires_grad_())
    assert torch.autograd.gradcheck(color.from_oklab, color.to_oklab(colors).detach().requires_grad_())


def chroma_errors(content: Tensor, saved: NDArray[np.float64]) -> NDArray[np.float64]:
    wanted = color.to_oklab(content.double())[0, 1:].permute(1, 2, 0).numpy()
    return np.asarray(np.hypot(*np.moveaxis(color.rows_to_oklab(saved)[..., 1:] - wanted, -1, 0)))


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_kept_chroma_survives_saving(photo: Tensor, painting: Tensor, spread: float) -> None:
    for content in (photo, painting):
        noise = torch.randn(content.shape, generator=torch.Generator().manual_seed(3))
        picture = color.ChromaKeeper(content).color((content + spread * noise).clamp(0, 1))
        saved = np.rint(picture[0].permute(1, 2, 0).numpy().astype(np.float64) * 255) / 255
        assert np.quantile(chroma_errors(content, saved), 0.99) < 1 / 255


def test_kept_chroma_keeps_lightness_where_it_can(photo: Tensor) -> None:
    keeper = color.ChromaKeeper(photo)
    assert (keeper.color(photo) - photo).abs().max() < ROUNDING
    canvas = (photo * 0.9).clamp(0, 1)
    once = keeper.color(canvas)
    assert (keeper.color(once) - once).abs().max() < GAMUT * STEEPEST  # what was clamped
    assert (color.gray_of(keeper.lightness(canvas)) - color.desaturated(once)).abs().max() < GAMUT * STEEPEST


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
    lab = color.to_oklab(every_color()[..., ::4])
    low, high = color.lightness_range(lab)
    assert (low <= lab[:, :1]).all()
    assert (high >= lab[:, :1]).all()
    for lightness in (low, high):
        shown = color.from_oklab(torch.cat([lightness, lab[:, 1:]], 1))
        assert shown.min() >= -1.01 * GAMUT * STEEPEST
        assert shown.max() <= 1 + 1.01 * GAMUT * STEEPEST
    gray = color.to_oklab(torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64))
    low, high = color.lightness_range(gray)
    assert low.item() == 0
    # Here white itself is just outside; the last of the bisections leaves half the way to it, and the matrices' digits.
    assert high.item() > 1 - 2**-color._BISECTIONS - GRAY


def test_limited_chroma_keeps_lightness_and_hue() -> None:
    lab = torch.tensor([0.7, 0.3, -0.2], dtype=torch.float64).view(1, 3, 1, 1)
    limited = color.limit_chroma(lab)
    shown = color.from_oklab(limited)
    assert shown.min() >= -1.01 * GAMUT * STEEPEST
    assert shown.max() <= 1 + 1.01 * GAMUT * STEEPEST
    assert limited[0, 0].item() == 0.7
    assert (limited[0, 1] / limited[0, 2]).item() == pytest.approx(-1.5, rel=ROUNDING)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_saturation(photo: Tensor, factor: float) -> None:
    new = color.saturate(photo, factor)
    before, after = color.to_oklab(photo), color.to_oklab(new)
    assert (before[:, 0] - after[:, 0]).abs().max() < GRAY + max(gamut_in_lab(photo), gamut_in_lab(new))
    if factor == 0:
        assert torch.equal(new, new[:, :1].expand_as(new))
    elif factor < 1:
        assert (after[:, 1:] - factor * before[:, 1:]).abs().max() < ROUNDING
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
    assert np.abs(mean - wanted_mean).max() < ROUNDING
    assert np.abs(covariance - wanted).max() < ROUNDING


def test_match_of_a_picture_with_itself_changes_nothing(photo: Tensor) -> None:
    assert (color.recolor(photo, photo, "match", None, None) - photo).abs().max() < ROUNDING


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
        assert np.median(distance) < 0.005  # a quarter of the spread within each of the two colors


def test_weights_choose_what_is_matched() -> None:
    rng = np.random.default_rng(8)
    target = np.concatenate([rng.normal(0, 0.1, (500, 3)), rng.normal(5, 0.1, (500, 3))])
    first = np.concatenate([np.ones(500), np.zeros(500)])
    for how in (color.match, color.transport):
        moved = how(rng.normal(2, 1, (300, 3)), target, None, first)
        assert np.abs(moved.mean(0) - target[:500].mean(0)).max() < ROUNDING


@pytest.mark.parametrize("how", ["match", "histogram", "palette"])
def test_greys_are_guarded(photo: Tensor, how: str) -> None:
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    flat = torch.full((1, 3, 8, 8), 0.5)
    black = torch.zeros(1, 3, 8, 8)
    for one in (ramp, flat, black):
        for source, target in ((one, photo), (photo, one), (one, flat)):
            new = color.recolor(source, target, how, None, None)
            assert torch.isfinite(new).all()
            assert new.min() >= 0
            assert new.max() <= 1
        gray = color.recolor(photo, one, how, None, None)
        assert (gray - gray.mean(1, keepdim=True)).abs().max() < 0.5 / 255


def test_palette_keeps_lightness_and_takes_colors(photo: Tensor, painting: Tensor) -> None:
    shown = color.recolor(photo, painting, "palette", None, None)
    new = color.to_oklab(shown)
    assert (new[:, 0] - color.to_oklab(photo)[:, 0]).abs().max() < GRAY + gamut_in_lab(shown)
    blue = color.to_oklab(painting)[:, 2].mean()
    before = color.to_oklab(photo)[:, 2].mean()
    assert (new[:, 2].mean() - blue).abs() < (before - blue).abs() / 2
