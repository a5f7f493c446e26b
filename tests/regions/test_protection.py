"""What stays as it is: protected and unpainted pixels, alpha and hidden colors, on small images and networks."""

# ruff: noqa: F401, F811  (fixtures of the tests of regions)
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_region_tensors import FEW, SIZE, cache, evaluation_of, left, paint, paintings, photo, same

from impasto.api import last
from impasto.errors import ImageError
from impasto.events import Warned
from impasto.imaging.images import quantize
from impasto.regions.spec import parse_regions
from impasto.run.target_cache import TargetCache
from runs import iter_stylize, stylize


def test_full_protection_keeps_the_pixels(paint: Any, photo: Any, paintings: Any) -> None:
    result = paint(paintings[0], protect=left(40), strength=1.0, steps=12)
    assert np.abs(result.pixels[:, :36] - photo[:, :36]).max() < 0.5 / 255
    assert np.abs(result.pixels[:, 48:] - photo[:, 48:]).mean() > 10 / 255
    seam = np.abs(np.diff(result.pixels[:, 36:44].mean(0), axis=0))
    assert seam.max() < 0.5 * np.abs(result.pixels[:, 44:48] - photo[:, 44:48]).mean() + 0.2  # feathered


def test_weaker_protection_holds_less(paint: Any, photo: Any, paintings: Any) -> None:
    kept = [
        float(np.abs(paint(paintings[0], protect=left(40), protect_strength=p, steps=12).pixels - photo)[:, :36].mean())
        for p in (1.0, 0.8, 0.3, 0.0)
    ]
    assert kept[0] < 0.001 < kept[1] < kept[2] < kept[3]


def test_protection_raises_the_content_and_leaves_the_style(cache: TargetCache, photo: Any, paintings: Any) -> None:
    plain = evaluation_of(cache, photo, paintings[0])
    held = evaluation_of(cache, photo, paintings[0], protect=left(40), protect_strength=0.5)
    assert set(held.losses) == {"style", "content", "content:protected"}
    none = evaluation_of(cache, photo, paintings[0], protect=left(40), protect_strength=0.0)
    assert same(none, plain)


def test_faces_of_an_earlier_record_that_are_not_there_are_said(cache: TargetCache, photo: Any, paintings: Any) -> None:
    spec = replace(parse_regions(paintings[0]), protect="faces")  # found by the cascade of earlier versions
    events = list(iter_stylize(photo, spec, cache=cache, **{**FEW, "steps": 1}))
    assert any(isinstance(event, Warned) and "no face found" in event.message for event in events)


def test_style_only_leaves_the_rest(cache: TargetCache, photo: Any, paintings: Any) -> None:
    painted = stylize(photo, paintings[0], style_only=left(40), cache=cache, **FEW)
    assert np.abs(painted.pixels[:, 40:] - photo[:, 40:]).max() < 0.5 / 255
    assert np.abs(painted.pixels[:, :40] - photo[:, :40]).max() > 0.05
    region = stylize(photo, None, regions=[(left(40), paintings[0])], cache=cache, **FEW)
    assert np.array_equal(painted.pixels, region.pixels)
    blend = stylize(photo, list(paintings[:2]), style_only=left(40), cache=cache, **FEW)
    assert np.abs(blend.pixels[:, 40:] - photo[:, 40:]).max() < 0.5 / 255


def test_everything_protected_leaves_the_content(cache: TargetCache, photo: Any, paintings: Any) -> None:
    whole = np.ones(SIZE, np.float32)
    events = list(iter_stylize(photo, paintings[0], protect=whole, cache=cache, **FEW))
    assert np.abs(last(iter(events)).pixels - photo).max() < 0.5 / 255
    assert any(isinstance(event, Warned) and "is left to paint" in event.message for event in events)


def test_alpha_comes_back_to_the_byte(paint: Any, photo: Any, paintings: Any, tmp_path: Path) -> None:
    alpha = np.linspace(0, 255, SIZE[1]).astype(np.uint8) * np.ones((SIZE[0], 1), np.uint8)
    rgba = np.dstack([quantize(photo, 8), alpha])
    Image.fromarray(rgba).save(tmp_path / "in.png")
    paint(paintings[0], content=tmp_path / "in.png", output=tmp_path / "out.png", steps=2)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png"))[..., 3], alpha)


def test_hidden_colors_have_no_part(paint: Any, photo: Any, paintings: Any) -> None:
    alpha = np.dstack([left(40)])
    results = []
    for hidden in (0.0, 1.0):
        content = np.where(alpha > 0, photo, hidden).astype(np.float32)
        results.append(paint(paintings[0], content=np.dstack([content, alpha]), steps=4))
    assert np.array_equal(results[0].pixels, results[1].pixels)
    style = np.dstack([paintings[0], np.ones((72, 80), np.float32)])
    style[40:, :, 3] = 0
    other = style.copy()
    other[40:, :, :3] = 1
    assert np.array_equal(paint(style, steps=4).pixels, paint(other, steps=4).pixels)


def test_transparent_everywhere_is_refused(paint: Any, photo: Any, paintings: Any) -> None:
    clear = np.dstack([photo, np.zeros(SIZE, np.float32)])
    with pytest.raises(ImageError, match="completely transparent"):
        paint(paintings[0], content=clear)
    with pytest.raises(ImageError, match="completely transparent"):
        paint(clear)
