"""Evaluation: each metric is 0, 1 or least where it says so, and moves the right way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import required
from impasto.errors import ImageError, OptionError, WeightsError
from impasto.imaging import images
from impasto.network import weights
from impasto.workflows import evaluate as ev

Pixels = NDArray[np.float32]
FP32 = 2**-24  # unit roundoff
ROUNDING = 1e-12  # relative, in float64


def waves(height: int, width: int, seed: int, finest: float = 0.35) -> Pixels:
    """Return a smooth image of many waves in many colors."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    total = np.zeros((height, width, 3), np.float32)
    for _ in range(12):
        slope = generator.uniform(-finest, finest, 2)
        phase = generator.uniform(0, 6.28, 3)
        total += np.sin(slope[0] * y[..., None] + slope[1] * x[..., None] + phase).astype(np.float32)
    return np.clip(0.5 + total / 10, 0, 1).astype(np.float32)


def noisy(pixels: Pixels, amount: float) -> Pixels:
    noise = np.random.default_rng(9).normal(0, 1, pixels.shape)
    return np.clip(pixels + amount * noise, 0, 1).astype(np.float32)


CONTENT = waves(96, 128, 1, finest=0.2)
STYLE = waves(80, 112, 2)


@pytest.fixture(scope="module")
def evaluator() -> ev.Evaluator:
    """The real networks, on small images."""
    required.weights("evaluation")
    return ev.Evaluator(CONTENT, STYLE)


# ---- with AlexNet


@pytest.mark.weights
def test_the_content_itself_is_at_no_distance(evaluator: ev.Evaluator) -> None:
    found = evaluator(CONTENT)
    assert found["lpips"] == 0
    assert found["ssim"] == pytest.approx(1, abs=4 * FP32)
    assert found["style_distance"] > 0.2
    assert found["vgg_style"] > 0.2


@pytest.mark.weights
def test_the_style_itself_is_at_no_distance(evaluator: ev.Evaluator) -> None:
    found = evaluator(STYLE)
    assert found["style_distance"] == 0
    assert found["vgg_style"] == 0
    assert found["palette"] == 0
    assert found["specks"] == 1
    assert found["lpips"] > 0.1


@pytest.mark.slow
@pytest.mark.weights
def test_metrics_are_named_finite_and_repeatable(evaluator: ev.Evaluator) -> None:
    first = ev.evaluate(noisy(CONTENT, 0.05), CONTENT, STYLE)
    assert list(first) == list(ev.METRICS)
    assert all(isinstance(value, float) and math.isfinite(value) and value >= 0 for value in first.values())
    assert evaluator(noisy(CONTENT, 0.05)) == first


@pytest.mark.slow
@pytest.mark.weights
def test_content_is_lost_with_noise(evaluator: ev.Evaluator) -> None:
    found = [evaluator(noisy(CONTENT, amount)) for amount in (0.0, 0.05, 0.1, 0.2, 0.4)]
    assert [row["lpips"] for row in found] == sorted(row["lpips"] for row in found)
    assert [row["ssim"] for row in found] == sorted((row["ssim"] for row in found), reverse=True)
    assert [row["specks"] for row in found] == sorted(row["specks"] for row in found)


@pytest.mark.slow
@pytest.mark.weights
def test_style_is_lost_with_noise(evaluator: ev.Evaluator) -> None:
    found = [evaluator(noisy(STYLE, amount)) for amount in (0.0, 0.05, 0.1, 0.2, 0.4)]
    for name in ("style_distance", "vgg_style"):
        assert [row[name] for row in found] == sorted(row[name] for row in found)


@pytest.mark.slow
@pytest.mark.weights
def test_constant_pictures_are_evaluated(evaluator: ev.Evaluator) -> None:
    white = np.ones((96, 128, 3), np.float32)
    for found in (evaluator(white), ev.evaluate(CONTENT, white, white)):
        assert all(math.isfinite(value) for value in found.values())


@pytest.mark.weights
def test_large_pictures_are_evaluated_small_with_their_own_specks() -> None:
    large = np.kron(CONTENT, np.ones((2, 2, 1), np.float32))
    small = ev.Evaluator(CONTENT, STYLE, long_side=64)
    specks = large.copy()
    specks[5::11, 5::11] = 1
    assert small(specks)["specks"] > 2 * small(large)["specks"]
    assert set(small._prepared) == {(64, 85)}  # the short side stays at 64


@pytest.mark.weights
def test_alexnet_has_five_activations() -> None:
    shapes = [tuple(layer.shape) for layer in ev.alexnet_features(torch.rand(1, 3, 224, 224), weights.alexnet_state())]
    assert shapes == [(1, 64, 55, 55), (1, 192, 27, 27), (1, 384, 13, 13), (1, 256, 13, 13), (1, 256, 13, 13)]


@pytest.mark.weights
def test_files_and_pictures_are_accepted(evaluator: ev.Evaluator, tmp_path: Path) -> None:
    from PIL import Image

    stored = np.round(CONTENT * 255).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "out.png")
    expected = evaluator(stored)
    assert evaluator(tmp_path / "out.png") == expected
    assert evaluator(images.load(stored)) == expected


# ---- refusals


def test_missing_weights_say_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    with pytest.raises(
        WeightsError, match="the evaluation weights are not downloaded; run: impasto weights fetch evaluation"
    ):
        ev.evaluate(CONTENT, CONTENT, STYLE)


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ImageError, match="128x63 px, too small to evaluate: it needs at least 64 px per side"):
        ev._pixels(np.zeros((63, 128, 3), np.float32), "style")


def test_small_long_side_is_refused() -> None:
    with pytest.raises(OptionError, match="long_side is 32; it must be at least 64"):
        ev.Evaluator(CONTENT, STYLE, long_side=32)


# ---- metrics that need no network


def test_oklab_of_known_colors() -> None:
    colors = np.array([[[1, 1, 1], [0, 0, 0], [1, 0, 0]]], np.float64)
    expected = [[[1, 0, 0], [0, 0, 0], [0.62796, 0.22486, 0.12585]]]
    found = ev.oklab(colors)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.51e-5)  # published with five digits
    # Two products with matrices and two powers: at most 12 roundings, and the matrix's rows sum up to 4.9 at most.
    np.testing.assert_allclose(ev.oklab(colors.astype(np.float32)), found, rtol=0, atol=12 * 4.9 * FP32)


def test_palette_ignores_positions() -> None:
    content = CONTENT.astype(np.float64)
    mixed = content.reshape(-1, 3)[np.random.default_rng(0).permutation(96 * 128)].reshape(CONTENT.shape)
    assert ev.palette_distance(content, mixed) < ROUNDING
    assert ev.palette_distance(CONTENT, STYLE) > 0.01


def test_palette_distance_of_two_flat_colors_is_their_distance() -> None:
    one = np.broadcast_to([0.8, 0.3, 0.2], (64, 64, 3))
    other = np.broadcast_to([0.1, 0.5, 0.9], (70, 90, 3))
    expected = np.linalg.norm(ev.oklab(one)[0, 0] - ev.oklab(other)[0, 0])
    assert ev.palette_distance(one, other) == pytest.approx(expected, rel=ROUNDING)


def test_quantiles_ignore_positions_and_size() -> None:
    features = torch.rand(8, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixed = features.flatten(1)[:, torch.randperm(256, generator=torch.Generator().manual_seed(1))]
    found = ev.projected_quantiles(features)
    assert found.shape == (ev.DIRECTIONS, ev.QUANTILES)
    assert (found.diff(dim=1) >= 0).all()
    assert torch.allclose(ev.projected_quantiles(mixed.view(8, 8, 32)), found, rtol=0, atol=ROUNDING)
    assert ev.quantile_distance([found], [found]) == 0
    assert ev.quantile_distance([found + 1], [found]) > 1


def test_statistics_ignore_positions_and_see_scale() -> None:
    features = torch.rand(1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    mean, covariance = ev.statistics(features)
    flat = features[0].flatten(1).double()
    torch.testing.assert_close(mean, flat.mean(1), rtol=0, atol=ROUNDING)
    torch.testing.assert_close(covariance, torch.cov(flat, correction=0), rtol=0, atol=ROUNDING)
    # Twice the features: the mean is 1 of its size away, the covariance 3 of its, sizes being at least 1e-6.
    sizes = [float(part.norm()) for part in (mean, covariance)]
    expected = sum(times * size / (size + 1e-6) for times, size in zip((1, 3), sizes, strict=True)) / 2
    found = ev.statistics_distance([ev.statistics(2 * features)], [(mean, covariance)])
    assert found == pytest.approx(expected, rel=ROUNDING)


def test_specks_rise_with_every_speck_added() -> None:
    energies = []
    for step in (0, 24, 12, 6):
        pixels = CONTENT.copy()
        if step:
            pixels[3::step, 3::step] = 0
        energies.append(ev.speck_energy(pixels))
    assert energies == sorted(energies)
    assert energies[1] > 2 * energies[0]


def test_edges_are_no_specks() -> None:
    halves = np.zeros((64, 64, 3), np.float32)
    halves[:, 32:] = 1
    assert ev.speck_energy(halves) == 0


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("color", [0.0, 1.0])
def test_frames_are_found(width: int, color: float) -> None:
    framed = np.full_like(CONTENT, color)
    framed[width:-width, width:-width] = CONTENT[width:-width, width:-width]
    assert ev.border_energy(framed) > 2 * ev.border_energy(CONTENT)


def test_one_side_is_enough_for_a_frame() -> None:
    framed = CONTENT.copy()
    framed[-3:] *= 0.3
    assert ev.border_energy(framed) > 1.3 * ev.border_energy(CONTENT)
    # Steps that are rounding alone vanish beside the floor, a level squared.
    assert ev.border_energy(np.ones((64, 64, 3), np.float32)) == pytest.approx(1, abs=(64 * FP32 * 255) ** 2)


def test_evaluation_size_keeps_proportions() -> None:
    assert ev.evaluation_size(300, 400, 512) == (300, 400)
    assert ev.evaluation_size(3000, 4000, 512) == (384, 512)
    assert ev.evaluation_size(300, 9000, 512) == (64, 1920)


# ---- the table


def test_table_is_plain_data_with_the_best_named() -> None:
    one = dict.fromkeys(ev.METRICS, 1.0)
    other = dict.fromkeys(ev.METRICS, 2.0)
    found = ev.table({"a": one, "b": other})
    assert json.loads(json.dumps(found)) == found
    assert found["rows"][1] == {"name": "b", **other}
    assert found["best"]["lpips"] == "a"
    assert found["best"]["ssim"] == "b"
    assert [name for name, about in found["metrics"].items() if not about["independent"]] == ["vgg_style"]
    assert ev.table({})["best"] == {}
