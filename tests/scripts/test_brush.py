"""What a brush does, on canvases small enough to reason about."""

from __future__ import annotations

import numpy as np
import pytest

from sample_styles import brush


def circles(points: brush.Floats) -> brush.Floats:
    """Return directions around (32, 32)."""
    away = points - 32.0
    turned = np.stack([-away[:, 1], away[:, 0]], axis=1)
    return np.asarray(turned / (np.linalg.norm(turned, axis=1, keepdims=True) + 1e-9))


def test_trace_keeps_to_a_circle_and_has_the_length_asked_for(rng: np.random.Generator) -> None:
    starts = 32.0 + np.array([[20.0, 0.0], [0.0, -15.0]])
    paths = brush.trace(circles, starts, 30.0, 31)
    assert paths.shape == (2, 31, 2)
    np.testing.assert_allclose(paths[:, 15], starts)
    radii = np.linalg.norm(paths - 32.0, axis=2)
    np.testing.assert_allclose(radii, np.array([[20.0], [15.0]]) * np.ones(31), rtol=0.01)
    np.testing.assert_allclose(np.linalg.norm(np.diff(paths, axis=1), axis=2).sum(axis=1), 30.0, rtol=1e-6)


def test_trace_does_not_turn_back_where_the_field_flips_its_sign() -> None:
    def flipping(points: brush.Floats) -> brush.Floats:
        return np.stack([np.where(points[:, 0] > 10, -1.0, 1.0), np.zeros(len(points))], axis=1)

    path = brush.trace(flipping, np.array([[8.0, 5.0]]), 12.0, 13)[0]
    np.testing.assert_allclose(path[:, 0], np.arange(2.0, 15.0))


def test_normals_are_unit_and_across(rng: np.random.Generator) -> None:
    paths = brush.trace(circles, 32.0 + rng.uniform(5, 20, (6, 2)), 20.0, 11)
    across, along = brush.normals(paths), np.gradient(paths, axis=1)
    np.testing.assert_allclose(np.linalg.norm(across, axis=2), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.sum(across * along, axis=2), 0.0, atol=1e-9)


def test_a_stroke_colors_its_path_and_nothing_far_from_it(rng: np.random.Generator) -> None:
    canvas = brush.new_canvas(64, 64, (10, 20, 30))
    path = np.stack([np.linspace(12, 52, 9), np.full(9, 32.0)], axis=1)[None]
    plain = brush.Brush(bristles=8, streak=0, ragged=0, dry=0, load=0)
    brush.stroke(canvas, path, np.array([12.0]), np.array([[200.0, 100.0, 50.0]]), plain, rng)
    assert canvas[32, 32, :3].tolist() == [200, 100, 50]
    untouched = brush.new_canvas(64, 64, (10, 20, 30))
    assert np.array_equal(canvas[:20], untouched[:20])
    assert np.array_equal(canvas[44:], untouched[44:])


def test_flat_paint_is_lit_evenly() -> None:
    canvas = brush.new_canvas(16, 16, (90, 120, 60))
    assert np.array_equal(brush.light(canvas, 0.8), canvas[..., :3])


def test_a_ridge_is_bright_towards_the_lamp_and_dark_behind() -> None:
    canvas = brush.new_canvas(32, 32, (100, 100, 100))
    canvas[:, 14:18, 3] = 200
    lit = brush.light(canvas, 0.8)[16, :, 0].astype(int)
    assert lit[13] > 100 > lit[18]


def test_scatter_covers_every_cell(rng: np.random.Generator) -> None:
    points = brush.scatter(100, 140, 10, rng)
    cells = np.histogram2d(points[:, 1], points[:, 0], bins=(5, 7), range=((0, 100), (0, 140)))[0]
    assert cells.min() > 0


def test_noise_is_centred_and_smooth(rng: np.random.Generator) -> None:
    noise = brush.smooth_noise(200, 300, 10, rng)
    assert noise.shape == (200, 300)
    assert abs(noise.mean()) < 0.15
    assert noise.std() == pytest.approx(1.0, abs=0.25)
    assert np.abs(np.diff(noise, axis=1)).max() < 1.0


def test_sample_takes_the_border_outside() -> None:
    grid = np.arange(12.0).reshape(3, 4)
    points = np.array([[-5.0, -5.0], [9.0, 9.0], [1.2, 2.0]])
    assert brush.sample(grid, points).tolist() == [0.0, 11.0, 9.0]


def test_ramp_meets_its_stops_and_lies_between() -> None:
    stops = np.array([[0.0, 0, 10, 20], [1.0, 100, 30, 20]])
    np.testing.assert_allclose(
        brush.ramp(stops, np.array([0.0, 0.25, 1.0])), [[0, 10, 20], [25, 15, 20], [100, 30, 20]]
    )


def test_reduced_is_the_mean_of_the_pixels_below() -> None:
    large = np.zeros((4, 6, 3), np.uint8)
    large[:, 1::2] = 100
    assert brush.reduced(large).tolist() == [[[50, 50, 50]] * 3] * 2


def test_linen_stays_within_its_depth() -> None:
    assert np.abs(brush.linen(40, 40, 3.0)).max() <= 3.0
