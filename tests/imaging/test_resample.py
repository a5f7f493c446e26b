"""Pixels brought to another size: constants, edges and proportions stay."""

from __future__ import annotations

import numpy as np

from impasto.imaging.resample import resize


def test_resizing_keeps_a_constant_and_its_shape():
    for shape in [(40, 30), (40, 30, 3), (40, 30, 1)]:
        for size in [(7, 9), (80, 60), (100, 5), (1, 1), (40, 30)]:
            resized = resize(np.full(shape, 0.25, np.float32), size)
            assert resized.shape == (*size, *shape[2:])
            assert resized.dtype == np.float32
            np.testing.assert_allclose(resized, 0.25, rtol=2**-23, atol=0)  # two passes, each rounded to float32


def test_resizing_to_the_same_size_is_the_identity():
    pixels = np.random.default_rng(0).random((9, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(resize(pixels, (9, 8)), pixels)


def test_shrinking_a_checkerboard_gives_gray():
    board = (np.indices((256, 256)).sum(axis=0) % 2).astype(np.float32)
    shrunk = resize(board, (32, 32))
    np.testing.assert_allclose(shrunk[4:-4, 4:-4], 0.5, atol=0.02)


def test_edges_do_not_ring_out_of_range():
    step = np.zeros((64, 64, 3), np.float32)
    step[:, 32:] = 1
    for size in [(20, 20), (200, 200)]:
        resized = resize(step, size)
        assert resized.min() >= 0
        assert resized.max() <= 1


def test_turning_and_resizing_commute():
    pixels = np.random.default_rng(1).random((30, 20, 3)).astype(np.float32)
    turned = resize(np.ascontiguousarray(pixels.swapaxes(0, 1)), (8, 12))
    # Each of the two passes rounds to float32, in the other order; an error of the first is enlarged by the second's
    # weights, which sum up to less than 1.5, signs aside.
    rounding = 2 * (1.5 + 1) * 1.5 * 2**-24
    np.testing.assert_allclose(turned.swapaxes(0, 1), resize(pixels, (12, 8)), rtol=0, atol=rounding)
