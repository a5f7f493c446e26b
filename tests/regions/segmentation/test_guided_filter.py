"""The guided filter against its laws, and the cut by colors on images of two."""

from __future__ import annotations

import numpy as np

from impasto.regions.segmentation.guided_filter import guided_filter
from impasto.regions.segmentation.opencv import grab_cut, k_means, resized, shrunk


def halves(height: int = 60, width: int = 80) -> np.ndarray:
    picture = np.full((height, width, 3), (0.9, 0.6, 0.2), np.float32)
    picture[:, width // 2 :] = (0.1, 0.2, 0.7)
    return picture


def test_a_constant_mask_stays() -> None:
    for value in (0.0, 0.25, 1.0):
        found = guided_filter(halves(), np.full((15, 20), value, np.float32), 0.05, 1e-3)
        assert found.shape == (60, 80)
        assert np.abs(found - value).max() < 1e-4


def test_a_coarse_mask_follows_the_edge() -> None:
    coarse = np.zeros((6, 8), np.float32)
    coarse[:, 4:] = 1
    mask = resized(coarse, (60, 80))
    before = np.abs(mask - (np.arange(80) >= 40)).max()
    after = guided_filter(halves(), mask, 0.1, 1e-4)
    assert before > 0.4
    assert np.abs(after - (np.arange(80) >= 40)).max() < 0.2


def test_without_edges_it_is_a_blur() -> None:
    mask = np.zeros((60, 80), np.float32)
    mask[:, 40:] = 1
    found = guided_filter(np.full((60, 80, 3), 0.5, np.float32), mask, 0.05, 1e-3)
    assert np.all(np.diff(found[30]) > -1e-5)
    assert 0.3 < found[30, 40] < 0.7


def test_a_cut_has_the_colors_of_what_is_certain() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (60, 80, 3)).astype(np.float32)
    picture = np.clip(halves() + noise, 0, 1)
    inside, outside = np.zeros((2, 60, 80), bool)
    inside[25:35, 5:10] = True
    outside[25:35, 70:75] = True
    found = grab_cut(picture, np.zeros((60, 80), bool), inside, outside)
    assert (found == (np.arange(80) < 40)).mean() > 0.97
    assert np.array_equal(found, grab_cut(picture, np.zeros((60, 80), bool), inside, outside))


def test_a_cut_without_two_sides_is_the_guess() -> None:
    none = np.zeros((60, 80), bool)
    assert not grab_cut(halves(), none, none, none).any()
    assert grab_cut(halves(), ~none, none, none).all()


def test_points_apart_are_clusters() -> None:
    points = np.repeat(np.array([[0, 0], [9, 0], [0, 9]], np.float32), 20, axis=0)
    labels = k_means(points, 3).reshape(3, 20)
    assert (labels == labels[:, :1]).all()
    assert len(set(labels[:, 0])) == 3


def test_a_small_picture_is_not_enlarged() -> None:
    assert shrunk(halves(), 200).shape == (60, 80, 3)
    assert shrunk(halves(), 40).shape == (30, 40, 3)
