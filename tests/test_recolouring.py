"""The content's colours, moved to the style's, under the lightness of what was painted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from impasto.color import desaturated, to_oklab
from impasto.control import Area, StyleSource, plain
from impasto.recolouring import guided, recoloured


def soft(seed: int, height: int = 40, width: int = 56) -> Tensor:
    """Return a picture ``[1, 3, H, W]`` of soft, pale colours, which no gamut cuts."""
    draws = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 5, 7, generator=draws)
    return 0.35 + 0.3 * torch.nn.functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)


def chroma(picture: Tensor) -> Tensor:
    return to_oklab(picture.double())[0, 1:].flatten(1)


def test_the_lightness_stays_and_the_colours_become_the_styles() -> None:
    painted, content, style = soft(1), soft(2), soft(3)
    found = recoloured(painted, plain(content, style))
    wanted = to_oklab(painted.double())[:, :1]
    lightness = to_oklab(style.double())[:, :1]
    assert torch.allclose(to_oklab(found.double())[:, :1], wanted.clamp(lightness.min(), lightness.max()), atol=1e-3)
    assert torch.allclose(chroma(found).mean(1), chroma(style).mean(1), atol=2e-3)


def test_a_grey_style_leaves_grey() -> None:
    found = recoloured(soft(1), plain(soft(2), desaturated(soft(3))))
    assert float(chroma(found).abs().max()) < 0.03


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_blank_pictures_are_borne(level: float) -> None:
    blank = torch.full((1, 3, 20, 24), level)
    for painted, content, style in ((blank, blank, blank), (soft(1), blank, soft(3)), (soft(1), soft(2), blank)):
        found = recoloured(painted[..., :20, :24], plain(content[..., :20, :24], style))
        assert torch.isfinite(found).all()
        assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_each_area_takes_its_own_colours_and_what_stays_stays() -> None:
    painted, content = soft(1), soft(2)
    left = torch.zeros(1, 1, 40, 56)
    left[..., :28] = 1
    areas = (
        Area("a", left, (StyleSource(soft(3), None, 1.0),)),
        Area("b", 1 - left, (StyleSource(soft(4), None, 1.0, 0.5), StyleSource(soft(5), None, 1.0, 0.5))),
    )
    pin = torch.zeros(1, 1, 40, 56)
    pin[..., :4, :] = 1
    control = replace(plain(content, soft(3)), areas=areas, pin=pin, pinned=pin * content)
    found = recoloured(painted, control)
    assert torch.equal(found[..., :4, :], painted[..., :4, :])
    other = recoloured(painted, replace(control, areas=(areas[0], replace(areas[1], styles=areas[0].styles))))
    assert torch.allclose(found[..., 4:, :20], other[..., 4:, :20], atol=1e-5)
    assert not torch.allclose(found[..., 4:, 40:], other[..., 4:, 40:], atol=1e-2)


def test_an_area_that_keeps_the_contents_colours_is_left_alone() -> None:
    painted, control = soft(1), plain(soft(2), soft(3))
    grey = replace(control, areas=(replace(control.areas[0], grey=True),))
    assert torch.equal(recoloured(painted, grey), painted)


def test_the_filter_keeps_the_guides_edges_and_smooths_elsewhere() -> None:
    guide = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    guide[..., 10:] = 1
    rough = guide + 0.1 * torch.randn(1, 1, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = guided(rough, guide, 3)
    assert float(found[..., :10].std()) < 0.5 * float(rough[..., :10].std())
    assert float(found[..., 11].mean() - found[..., 8].mean()) == pytest.approx(1, abs=0.1)
    assert torch.allclose(guided(guide, guide, 3), guide, atol=0.01)
