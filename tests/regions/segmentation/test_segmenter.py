"""The networks on photographs: a person, a face, a sky, and images without them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import required
from impasto.errors import WeightsError
from impasto.imaging import samples
from impasto.regions.segmentation import networks
from impasto.regions.segmentation.faces import face_mask, find_faces
from impasto.regions.segmentation.segmenter import Segmenter

# Drawn by hand along the astronaut and the helmet in her arm, as x and y in px.
ASTRONAUT = [
    (22, 512), (22, 415), (30, 330), (45, 275), (75, 240), (115, 215), (112, 190), (130, 160), (165, 150), (186, 150),
    (183, 122), (165, 112), (155, 85), (157, 55), (175, 28), (210, 15), (255, 17), (285, 35), (300, 60), (300, 90),
    (285, 118), (272, 122), (262, 155), (256, 172), (285, 195), (303, 220), (305, 237), (335, 255), (352, 285),
    (362, 335), (366, 347), (400, 343), (440, 355), (480, 395), (495, 450), (512, 470), (512, 512),
]  # fmt: skip


def pixels(name: Any) -> NDArray[np.float32]:
    return samples.load(name).astype(np.float32) / 255


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture(scope="module")
def astronaut() -> Segmenter:
    required.weights("masks")
    return Segmenter(pixels("astronaut"))


@pytest.mark.weights
def test_a_person_is_found(astronaut: Segmenter) -> None:
    drawn = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(drawn, [np.array(ASTRONAUT, np.int32)], 1)
    mask = astronaut.mask("person")
    assert mask is not None
    assert overlap(mask > 0.5, drawn > 0) > 0.95
    background = astronaut.mask("background")
    assert background is not None
    assert np.abs(mask + background - 1).max() < 1e-6
    assert np.array_equal(mask, np.round(mask * 255).astype(np.float32) / np.float32(255))


@pytest.mark.weights
def test_a_face_is_found_and_covered(astronaut: Segmenter) -> None:
    (face,) = astronaut.faces
    assert abs(face.x - 224) < 12
    assert abs(face.y - 124) < 15
    assert 75 < face.side < 130
    assert np.abs(face.points[:4] - [[203, 103], [247, 107], [222, 128], [221, 148]]).max() < 12  # eyes, nose, mouth
    mask = astronaut.mask("faces")
    assert mask is not None
    assert mask[112, 222] == 1
    assert mask[400, 100] == 0
    assert ((mask > 0) & (mask < 1)).any()  # a soft edge


@pytest.mark.weights
@pytest.mark.parametrize("degrees", [-35, 25])
def test_a_tilted_face_has_a_tilted_ellipse(astronaut: Segmenter, degrees: float) -> None:
    turn = cv2.getRotationMatrix2D((222, 125), -degrees, 1)
    turned = np.asarray(cv2.warpAffine(pixels("astronaut"), turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))
    (face,) = [face for face in find_faces(turned.astype(np.float32)) if face.side > 60]
    upright = astronaut.faces[0].tilt
    assert abs(np.degrees(face.tilt - upright) - degrees) < 8


@pytest.mark.weights
def test_a_small_face_is_found(astronaut: Segmenter) -> None:
    picture = np.full((700, 1000, 3), 0.4, np.float32)
    picture[300:500, 600:800] = cv2.resize(pixels("astronaut"), (200, 200), interpolation=cv2.INTER_AREA)
    (face,) = find_faces(picture)
    assert abs(face.x - 687) < 6
    assert abs(face.y - 349) < 6


@pytest.mark.weights
def test_nothing_is_found_where_nothing_is() -> None:
    required.weights("masks")
    gray = Segmenter(np.full((64, 80, 3), 0.5, np.float32))
    assert gray.faces == []
    assert gray.mask("faces") is None
    assert gray.mask("sky") is None
    assert find_faces(np.zeros((8, 8, 3), np.float32)) == []
    assert Segmenter(pixels("coffee")).mask("faces") is None
    assert Segmenter(pixels("coffee")).mask("sky") is None
    assert face_mask([], (4, 5)).shape == (4, 5)


@pytest.mark.weights
def test_sky_is_found() -> None:
    required.weights("masks")
    from skimage import data

    camera = np.repeat(data.camera()[..., None], 3, -1).astype(np.float32) / 255
    mask = Segmenter(camera).mask("sky")
    assert mask is not None
    assert mask[:50].min() > 0.9
    assert mask[:100, 300:].min() > 0.9
    assert mask[250:].max() < 0.1
    assert mask[200:230, 80:130].max() < 0.1  # the photographer's coat


@pytest.mark.weights
def test_a_place_selects_what_is_there() -> None:
    required.weights("masks")
    picture = np.full((120, 160, 3), (0.2, 0.5, 0.2), np.float32)
    picture += np.random.default_rng(0).normal(0, 0.02, picture.shape).astype(np.float32)
    cv2.circle(picture, (50, 60), 30, (0.8, 0.2, 0.1), -1)
    cv2.circle(picture, (125, 60), 25, (0.8, 0.2, 0.1), -1)
    segmenter = Segmenter(picture.clip(0, 1))
    y, x = np.mgrid[0:120, 0:160]
    left, right = np.hypot(x - 50, y - 60) <= 30, np.hypot(x - 125, y - 60) <= 25

    def selected(places: str) -> NDArray[np.bool_]:
        mask = segmenter.mask(places)
        assert mask is not None
        return np.asarray(mask > 0.5, bool)

    assert overlap(selected("0.31,0.5"), left) > 0.9
    assert overlap(selected("0.31,0.5+0.78,0.5"), left | right) > 0.9
    assert not (selected("0.05,0.05-0.31,0.5") & left).any()
    assert np.array_equal(selected("0.31,0.5"), selected("0.31,0.5"))


def test_missing_networks_say_what_to_run(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    networks._load.cache_clear()
    with pytest.raises(WeightsError, match="the masks weights are not downloaded; run: impasto weights fetch masks"):
        networks.file_hash("selfie_segmentation")
