"""The two small networks that draw masks, run by OpenCV on the CPU.

Input: pixels ``[H, W, 3]`` in sRGB, 0 to 1. Output: the probability of a person at each place, or the raw boxes of
faces. The networks are MediaPipe's (Apache-2.0, 250 KB each): BlazeFace (Bazarevsky, Kartynnik, Vakunov, Raveendran &
Grundmann, 2019) and a MobileNetV3 encoder and decoder for people, which also marks animals and objects in the
foreground.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Literal

import numpy as np

from impasto.network.weights import mask_networks
from impasto.regions.segmentation.opencv import Pixels, resized

NetworkFile = Literal["face_detection_short_range", "selfie_segmentation"]
PEOPLE_SIDE = 256
FACE_SIDE = 128


@cache
def _load(name: NetworkFile) -> tuple[Any, str]:
    import cv2

    data = mask_networks()[name]
    # OpenCV 5 has two engines, and the new one cannot run BlazeFace; OpenCV 4 has one and no such argument.
    engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    return cv2.dnn.readNetFromTFLite(np.frombuffer(data, np.uint8), **engine), hashlib.sha256(data).hexdigest()


def file_hash(name: NetworkFile) -> str:
    """Return the SHA-256 of a network's file.

    Raises:
        WeightsError: the networks have not been fetched.
    """
    return _load(name)[1]


def people(pixels: Pixels) -> Pixels:
    """Return how probable a person is in each cell, ``[256, 256]`` in [0, 1], whatever the image's size.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].

    Raises:
        WeightsError: the networks have not been fetched.
    """
    net = _load("selfie_segmentation")[0]
    small = resized(pixels, (PEOPLE_SIDE, PEOPLE_SIDE))
    net.setInput(np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32))
    return np.array(net.forward()[0, 0], np.float32)


def face_boxes(square: Pixels) -> tuple[Pixels, Pixels]:
    """Return BlazeFace's raw output for a square image.

    Args:
        square: ``[128, 128, 3]`` sRGB in [0, 1].

    Returns:
        Scores ``[896]`` in (0, 1), and ``[896, 16]``: center x, center y, width, height, then x and y of the right
        eye, left eye, nose, mouth, right ear and left ear, relative to the square.

    Raises:
        WeightsError: the networks have not been fetched.
    """
    net = _load("face_detection_short_range")[0]
    net.setInput(np.ascontiguousarray(square.transpose(2, 0, 1)[None] * 2 - 1, np.float32))
    boxes, logits = (np.array(net.forward(name)[0], np.float32) for name in ("regressors", "classificators"))
    boxes /= np.float32(FACE_SIDE)
    boxes[:, 0:2] += _anchors()
    boxes[:, 4:] += np.tile(_anchors(), 6)
    return 1 / (1 + np.exp(-logits[:, 0].clip(-80, 80))), boxes


@cache
def _anchors() -> Pixels:
    """Return the centers of BlazeFace's 896 anchors as x and y: two at each cell of 16x16, six at each of 8x8."""
    found = []
    for cells, repeats in ((16, 2), (8, 6)):
        rows, columns = np.mgrid[0:cells, 0:cells]
        centers = (np.stack([columns.ravel(), rows.ravel()], -1) + 0.5) / cells
        found.append(np.repeat(centers, repeats, axis=0))
    return np.concatenate(found).astype(np.float32)
