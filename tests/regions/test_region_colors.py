"""The color modes of regions."""

# ruff: noqa: F401, F811  (fixtures of the other tests of control)
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_region_tensors import SIZE, cache, evaluation_of, left, paint, paintings, photo, same, scale_objective_of

from impasto.imaging.images import load, quantize
from impasto.options import recipes
from impasto.regions import color
from impasto.regions.region_tensors import build_region_tensors
from impasto.regions.spec import parse_regions
from impasto.run.target_cache import TargetCache


def test_content_colors_stay_to_the_saved_picture(paint: Any, photo: Any, paintings: Any) -> None:
    result = paint(paintings[0], color="content", strength=0.9, steps=12)
    saved = quantize(result.pixels, 8).astype(np.float64) / 255
    found, wanted = color.rows_to_oklab(saved), color.rows_to_oklab(photo)
    assert np.quantile(np.hypot(*np.moveaxis(found[..., 1:] - wanted[..., 1:], -1, 0)), 0.99) < 1 / 255
    assert np.abs(found[..., 0] - wanted[..., 0]).mean() > 0.02


def test_content_colors_are_compared_by_lightness_alone(cache: TargetCache, photo: Any, paintings: Any) -> None:
    gray = color.desaturated(torch.from_numpy(paintings[0].transpose(2, 0, 1))[None])[0].permute(1, 2, 0).numpy()
    one = evaluation_of(cache, photo, paintings[0], color="content")
    # The gray style is stored in float32, and the published matrices find lightness again to within 4e-8.
    assert same(one, evaluation_of(cache, photo, gray, color="content"), 16 * 2**-24)


def test_the_gradient_goes_through_the_view(cache: TargetCache, photo: Any, paintings: Any) -> None:
    _, scale_objective = scale_objective_of(
        cache, photo, None, {"regions": [{"mask": left(48, soft=20), "style": paintings[0], "color": "content"}]}
    )
    weights = {name: 1 / value for name, value in scale_objective.normalizers.items() if name != "tv"}
    canvas = 0.1 + 0.8 * torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    canvas = 0.5 * canvas + 0.5 * scale_objective.content
    evaluation = scale_objective.objective.evaluate(canvas, weights)
    # Where lightness is held at the gamut's limit the gradient leads back inside, which the value does not know.
    held = color.ChromaKeeper(scale_objective.content).lightness(canvas) != color.to_oklab(canvas)[:, :1]
    assert 0 < float(held.double().mean()) < 0.5
    direction = evaluation.gradient.masked_fill(held, 0)
    direction = direction / direction.norm()

    def total(canvas: torch.Tensor) -> float:
        losses = scale_objective.objective.values(scale_objective.view.picture(canvas))
        return sum(weight * losses[name] for name, weight in weights.items())

    change = 1e-6  # leaves 1e-10 of rounding and 1e-12 of curvature
    slope = (total(canvas + change * direction) - total(canvas - change * direction)) / (2 * change)
    assert slope == pytest.approx(float((evaluation.gradient * direction).sum()), rel=1e-6)


@pytest.mark.parametrize("mode", ["match", "histogram"])
def test_matched_styles_have_the_contents_colors(photo: Any, paintings: Any, mode: str) -> None:
    region = {"mask": left(), "style": paintings[0], "color": mode}
    for placed, part in ((parse_regions(None, regions=[region]), photo[:, :48]), (parse_regions(paintings[0]), photo)):
        found = build_region_tensors(placed, load(photo), recipes.resolve(color=mode)).regions[0].styles[0].picture
        mean, covariance = color.moments(color.rows_to_oklab(found[0].permute(1, 2, 0).reshape(-1, 3).numpy()))
        wanted_mean, wanted = color.moments(color.rows_to_oklab(part.reshape(-1, 3)))
        assert np.abs(mean - wanted_mean).max() < 0.02  # colors outside the gamut were brought in
        assert np.abs(covariance - wanted).max() < 0.01


def test_palette_keeps_structure(paint: Any, photo: Any, paintings: Any) -> None:
    result = paint(paintings[0], color="palette")
    found, before = color.rows_to_oklab(result.pixels), color.rows_to_oklab(photo)
    assert np.abs(found[..., 0] - before[..., 0]).max() < 0.02
    style = color.rows_to_oklab(paintings[0])
    assert np.abs(found[..., 1:].mean((0, 1)) - style[..., 1:].mean((0, 1))).max() < 0.05
    assert set(result.saved_losses) <= {"tv"}


def test_each_region_has_its_colors(paint: Any, photo: Any, paintings: Any) -> None:
    regions = [
        {"mask": left(), "style": paintings[0], "color": "palette"},
        {"mask": 1 - left(), "style": paintings[0], "color": "content"},
    ]
    result = paint(None, regions=regions, strength=0.9)
    found, before = color.rows_to_oklab(result.pixels), color.rows_to_oklab(photo)
    assert np.abs(found[:, :48, 0] - before[:, :48, 0]).max() < 0.02
    assert np.quantile(np.abs(found[:, 48:, 1:] - before[:, 48:, 1:]), 0.99) < 1.5 / 255
    assert np.abs(found[:, :48, 1:] - before[:, :48, 1:]).mean() > 0.02


@pytest.mark.parametrize("saturation", [0.0, 0.4, 2.0])
def test_saturation(paint: Any, paintings: Any, saturation: float) -> None:
    chroma = [
        np.hypot(*np.moveaxis(color.rows_to_oklab(paint(paintings[0], saturation=s, steps=12).pixels)[..., 1:], -1, 0))
        for s in (1.0, saturation)
    ]
    if saturation == 0:
        assert chroma[1].max() < 1e-7  # as near as the published matrices bring a gray to 0
    else:
        assert (chroma[1].mean() < 0.7 * chroma[0].mean()) == (saturation < 1)
        assert (chroma[1].mean() > 1.1 * chroma[0].mean()) == (saturation > 1)


@pytest.mark.parametrize("mode", ["style", "content", "match", "histogram", "palette"])
@pytest.mark.parametrize("saturation", [0.0, 2.0])
def test_greys_give_no_nan(paint: Any, photo: Any, paintings: Any, mode: str, saturation: float) -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[:, None, None], (1, 64, 3))
    flat = np.full((64, 64, 3), 0.5, np.float32)
    options = {"color": mode, "saturation": saturation, "steps": 2, "size": 64}
    for content, style in ((ramp, paintings[0]), (photo, ramp), (flat, flat), (0 * flat, paintings[0])):
        assert np.isfinite(paint(style, content=content, **options).pixels).all()
