"""Faces: found where there is one, and not elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.imaging import samples
from impasto.regions.faces import face_mask, find_faces


@pytest.mark.slow
def test_a_face_is_found_and_covered() -> None:
    pixels = samples.load("astronaut").astype(np.float32) / 255
    faces = find_faces(pixels)
    assert len(faces) == 1
    row, column, side = faces[0]
    assert abs(row - 112) < 15
    assert abs(column - 222) < 15
    assert 70 < side < 130
    mask = face_mask(pixels)
    assert mask is not None
    assert mask.shape == pixels.shape[:2]
    assert mask[112, 222] == 1
    assert mask[400, 100] == 0
    assert float(((mask > 0) & (mask < 1)).mean()) > 0  # a soft edge


def test_no_face_is_found_where_there_is_none() -> None:
    assert face_mask(np.full((64, 80, 3), 0.5, np.float32)) is None
    assert find_faces(np.zeros((8, 8, 3), np.float32)) == []
    assert face_mask(samples.load("coffee").astype(np.float32) / 255) is None
