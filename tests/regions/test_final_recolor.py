"""The content's colors, moved to the style's, under the lightness of what was painted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from impasto.regions.color import desaturated, to_oklab
from impasto.regions.final_recolor import FLATNESS, RIDGE, guided, recolored
from impasto.regions.region_tensors import Region, StyleSource, single_style

ROUNDING = 1e-12  # float64, some hundred operations on numbers up to 1


def soft(seed: int, height: int = 40, width: int = 56) -> Tensor:
    """Return an image ``[1, 3, H, W]`` of soft, pale colors, which no gamut cuts."""
    draws = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 5, 7, generator=draws, dtype=torch.float64)
    return 0.35 + 0.3 * torch.nn.functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)


def chroma(picture: Tensor) -> Tensor:
    return to_oklab(picture)[0, 1:].flatten(1)


def test_the_lightness_stays_and_the_colors_become_the_styles() -> None:
    painted, content, style = soft(1), soft(2), soft(3)
    found = recolored(painted, single_style(content, style))
    lightness = to_oklab(style)[:, :1]
    wanted = to_oklab(painted)[:, :1].clamp(lightness.min(), lightness.max())
    assert (to_oklab(found)[:, :1] - wanted).abs().max() < ROUNDING
    # The filter after the map keeps a mean whose outermost pixels are flat, as they are here.
    assert (chroma(found).mean(1) - chroma(style).mean(1)).abs().max() < ROUNDING


def test_float32_is_computed_in_float64() -> None:
    single = [soft(seed).float() for seed in (1, 2, 3)]
    double = [picture.double() for picture in single]
    found = recolored(single[0], single_style(*single[1:]))
    assert found.dtype == torch.float32
    assert (found - recolored(double[0], single_style(*double[1:]))).abs().max() <= 2**-24


def test_a_gray_style_leaves_gray() -> None:
    found = recolored(soft(1), single_style(soft(2), desaturated(soft(3))))
    assert float(chroma(found).abs().max()) < 3 * RIDGE**0.5  # what is left of it has a deviation of that root


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_blank_pictures_are_borne(level: float) -> None:
    blank = torch.full((1, 3, 20, 24), level)
    for painted, content, style in ((blank, blank, blank), (soft(1), blank, soft(3)), (soft(1), soft(2), blank)):
        found = recolored(painted[..., :20, :24], single_style(content[..., :20, :24], style))
        assert torch.isfinite(found).all()
        assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_each_area_takes_its_own_colors_and_what_stays_stays() -> None:
    painted, content = soft(1), soft(2)
    left = torch.zeros(1, 1, 40, 56)
    left[..., :28] = 1
    regions = (
        Region("a", left, (StyleSource(soft(3), None, 1.0),)),
        Region("b", 1 - left, (StyleSource(soft(4), None, 1.0, 0.5), StyleSource(soft(5), None, 1.0, 0.5))),
    )
    frozen_mask = torch.zeros(1, 1, 40, 56)
    frozen_mask[..., :4, :] = 1
    control = replace(
        single_style(content, soft(3)), regions=regions, frozen_mask=frozen_mask, frozen_pixels=frozen_mask * content
    )
    found = recolored(painted, control)
    assert torch.equal(found[..., :4, :], painted[..., :4, :])
    other = recolored(painted, replace(control, regions=(regions[0], replace(regions[1], styles=regions[0].styles))))
    assert (found[..., 4:, :20] - other[..., 4:, :20]).abs().max() < ROUNDING
    assert (found[..., 4:, 40:] - other[..., 4:, 40:]).abs().max() > 1e-2


def test_an_area_that_keeps_the_contents_colors_is_left_alone() -> None:
    painted, control = soft(1), single_style(soft(2), soft(3))
    lightness_only = replace(control, regions=(replace(control.regions[0], lightness_only=True),))
    assert torch.equal(recolored(painted, lightness_only), painted)


def test_the_filter_keeps_the_guides_edges_and_smooths_elsewhere() -> None:
    guide = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    guide[..., 10:] = 1
    rough = guide + 0.1 * torch.randn(1, 1, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = guided(rough, guide, 3)
    assert float(found[..., :10].std()) < 0.5 * float(rough[..., :10].std())
    assert float(found[..., 11].mean() - found[..., 8].mean()) == pytest.approx(1, abs=0.1)
    # A window of 7 columns whose outermost lies across the edge has the least variance that is not 0.
    least = 1 / 7 * 6 / 7
    assert (guided(guide, guide, 3) - guide).abs().max() <= FLATNESS / (least + FLATNESS) + ROUNDING
