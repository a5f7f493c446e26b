"""What the inputs of a run hold in addition to colors: transparency, print resolution, gray, and nothing to paint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.api import last
from impasto.events import Planned, Stepped, Warned
from impasto.imaging import images
from impasto.options import recipes
from impasto.run import precision_check
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache
from random_weights import state_before
from runs import iter_stylize, stylize

FEW: dict[str, Any] = {
    "size": "32",
    "steps": 3,
    "scales": 1,
    "style_layers": "relu1_1",
    "content_layers": "relu1_2",
    "precision": "fp32",
}
NOISE = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
OTHER = np.random.default_rng(1).random((32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return random weights for the first block."""
    return TargetCache(state_before("conv2"))


def gray(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[:, :, :1], 3, axis=2)


@pytest.mark.parametrize("init", ["content", "random"])
def test_gray_content_and_gray_style_give_a_gray_result(cache: TargetCache, init: str) -> None:
    result = stylize(gray(NOISE), gray(OTHER), cache=cache, init=init, **FEW)
    levels = np.rint(result.pixels * 255)
    assert (levels.max(axis=2) - levels.min(axis=2)).max() <= 1
    assert np.abs(result.pixels - gray(NOISE)).max() > 0.01  # it was painted


def test_a_gray_content_takes_the_colors_of_its_style(cache: TargetCache) -> None:
    result = stylize(gray(NOISE), OTHER, cache=cache, **FEW)
    assert np.ptp(result.pixels, axis=2).max() > 0.05


def test_hidden_colors_of_init_are_not_used(cache: TargetCache) -> None:
    alpha = np.ones((32, 32, 1), np.float32)
    alpha[:, :16] = 0
    results = []
    for hidden in (0.0, 1.0):
        init = np.where(alpha > 0, NOISE, np.float32(hidden))
        start = np.concatenate([init, alpha], axis=2)
        results.append(stylize(NOISE, OTHER, cache=cache, start=start, **FEW).pixels)
    np.testing.assert_array_equal(*results)


def test_everything_protected_takes_no_steps(cache: TargetCache) -> None:
    mask = np.ones((32, 32), np.float32)
    events = list(iter_stylize(NOISE, OTHER, cache=cache, protect=mask, **{**FEW, "precision": "auto", "scales": 2}))
    (planned,) = [event for event in events if isinstance(event, Planned)]
    assert planned.total_steps == 0
    assert not [event for event in events if isinstance(event, Stepped)]
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert not [note for note in notes if "cosine" in note]
    assert [note for note in notes if "is left to paint" in note]
    result = last(events)
    np.testing.assert_array_equal(np.rint(result.pixels * 255), np.rint(NOISE * 255))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif", "heic", "bmp"])
def test_the_size_on_paper_is_kept(cache: TargetCache, tmp_path: Path, suffix: str) -> None:
    content = tmp_path / "photo.png"
    Image.fromarray(np.rint(NOISE * 255).astype(np.uint8)).save(content, dpi=(300, 300))
    for size, dpi, expected in (("32", None, 300), ("64", None, 600), ("64", 100, 100)):
        out = tmp_path / f"out.{suffix}"
        stylize(content, OTHER, cache=cache, output=out, **{**FEW, "size": size, "steps": 1, "dpi": dpi})
        found = images.load(out).dpi
        assert found is not None
        assert abs(found - expected) < 0.02


def test_two_zero_gradients_agree(cache: TargetCache) -> None:
    prepared = prepare(NOISE, OTHER, recipes.resolve(**FEW))
    scale_objective = cache.scale_objective(prepared, prepared.scales[0])
    weights = dict.fromkeys(scale_objective.objective.terms, 0.0)
    encoder = cache.encoder(prepared)
    found = precision_check.agreement(scale_objective, encoder, weights, tile=None, seed=0)
    assert found == 1.0
