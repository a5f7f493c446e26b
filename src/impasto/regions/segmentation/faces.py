"""Faces in a photograph, as soft ellipses.

Input: an image. Output: where faces are, how they are tilted, and a mask over them. BlazeFace looks at the whole image,
then at overlapping windows of a half and of a quarter of its long side, in which small faces are large enough; every
detection is confirmed in windows around it, rotated so that the line between its eyes is level. Difference from the
paper: the confirmation, without which stones and ladybugs are detected as faces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from impasto.regions.segmentation.networks import FACE_SIDE, face_boxes
from impasto.regions.segmentation.opencv import Pixels, resized, shrunk

CANDIDATE_SCORE = 0.5
CONFIRMED_SCORE = 0.725  # mean score over the confirming windows; among 300 photographs no false detection is above it
SAME_FACE = 0.3  # intersection over union above which two boxes are one face
SECOND_LOOKS = (1.7, 2.2, 2.8, 3.6)  # sides of the confirming windows relative to the box
WINDOWS = (1.0, 0.5, 0.25)  # relative to the long side
LONG_SIDE_PX = 1024
SMALLEST_PX = 10.0  # at the size of the window; smaller faces have no features to protect


@dataclass(frozen=True)
class Face:
    """A face: center and side of its box in px, its tilt in radians (clockwise positive), its score in (0, 1).

    ``points`` is ``[6, 2]``, x and y in px of the right eye, left eye, nose, mouth, right ear and left ear, where right
    is the person's.
    """

    x: float
    y: float
    side: float
    tilt: float
    score: float
    points: NDArray[np.float32]


def find_faces(pixels: Pixels) -> list[Face]:
    """Return the faces in an image, the largest first.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].

    Raises:
        WeightsError: the networks have not been fetched.
    """
    small = shrunk(pixels, LONG_SIDE_PX)
    factor = small.shape[0] / pixels.shape[0]
    levels = _levels(small)
    windows = _windows((small.shape[0], small.shape[1]))
    candidates = [face for window in windows for face in _look(levels, *window, CANDIDATE_SCORE)]
    looks = [_confirmed(levels, face) for face in _distinct(candidates)]
    found = _distinct([face for face in looks if face is not None and face.side >= SMALLEST_PX])
    by_size = sorted(found, key=lambda face: -face.side)
    return [replace(f, x=f.x / factor, y=f.y / factor, side=f.side / factor, points=f.points / factor) for f in by_size]


def face_mask(faces: list[Face], size: tuple[int, int]) -> Pixels:
    """Return a soft mask ``[H, W]`` in [0, 1] over faces: 1 on the face, 0 from a quarter beyond it.

    Args:
        faces: as ``find_faces`` returned them.
        size: ``(height, width)`` of their image in px.
    """
    mask = np.zeros(size, np.float32)
    for face in faces:
        # The box ends at the eyebrows, so the ellipse is centered a little above it.
        above = 0.10 * face.side
        x, y = face.x + above * math.sin(face.tilt), face.y - above * math.cos(face.tilt)
        _add_ellipse(mask, x, y, face.side * 0.52, face.side * 0.70, face.tilt)
    return mask


def features_mask(faces: list[Face], size: tuple[int, int]) -> Pixels:
    """Return a soft mask ``[H, W]`` in [0, 1] over the eyes and mouths of faces.

    Args:
        faces: as ``find_faces`` returned them.
        size: ``(height, width)`` of their image in px.
    """
    mask = np.zeros(size, np.float32)
    for face in faces:
        for point, across, along in ((0, 0.17, 0.12), (1, 0.17, 0.12), (3, 0.22, 0.13)):
            x, y = (float(value) for value in face.points[point])
            _add_ellipse(mask, x, y, face.side * across, face.side * along, face.tilt)
    return mask


def _add_ellipse(mask: Pixels, x: float, y: float, across: float, along: float, tilt: float) -> None:
    """Raise a mask to 1 in an ellipse that fades within a quarter beyond it; half axes in px."""
    height, width = mask.shape
    cos, sin = math.cos(tilt), math.sin(tilt)
    reach = math.ceil(1.3 * max(across, along))
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    rows, columns = np.mgrid[top : min(height, int(y) + reach + 1), left : min(width, int(x) + reach + 1)]
    dx, dy = columns - x, rows - y
    away = np.hypot((dx * cos + dy * sin) / across, (dy * cos - dx * sin) / along)
    soft = np.clip((1.25 - away) / 0.25, 0, 1)
    part = mask[top : top + rows.shape[0], left : left + rows.shape[1]]
    np.maximum(part, soft * soft * (3 - 2 * soft), out=part)


def _windows(size: tuple[int, int]) -> Iterator[tuple[float, float, float, float]]:
    """Yield overlapping square windows as center x, center y, side in px and tilt."""
    height, width = size
    for share in WINDOWS:
        side = share * max(height, width)
        across, down = (1 if side >= length else math.ceil(2 * length / side) - 1 for length in (width, height))
        for row in range(down):
            for column in range(across):
                x = width / 2 if across == 1 else side / 2 + column * (width - side) / (across - 1)
                y = height / 2 if down == 1 else side / 2 + row * (height - side) / (down - 1)
                yield x, y, side, 0.0


def _look(levels: list[Pixels], x: float, y: float, side: float, tilt: float, least: float) -> list[Face]:
    """Return the faces of at least a score in a window turned by its tilt; coordinates are those of ``levels[0]``."""
    import cv2

    scale = FACE_SIDE / side
    cos, sin = math.cos(tilt), math.sin(tilt)
    level = min(len(levels) - 1, max(0, math.floor(math.log2(1 / scale))))
    # From the network's pixels to the image's; positions count from the corner, so a pixel's center is at 0.5.
    turn = np.array([[cos, -sin], [sin, cos]]) / scale
    shift = np.array([x, y]) - turn @ [FACE_SIDE / 2, FACE_SIDE / 2]
    turn, shift = turn / 2**level, shift / 2**level
    mapping = np.concatenate([turn, (turn @ [0.5, 0.5] + shift - 0.5)[:, None]], 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = cv2.warpAffine(levels[level], mapping, (FACE_SIDE, FACE_SIDE), flags=flags)
    scores, boxes = face_boxes(np.asarray(square, np.float32))
    found = []
    for index in np.flatnonzero(scores >= least):
        places = boxes[index, [0, 1, *range(4, 16)]].reshape(7, 2) - 0.5  # the center first, in sides of the window
        places = places * side @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
        across, down = (float(value) for value in places[2] - places[1])  # from the right eye to the left one
        found.append(
            Face(
                x=float(places[0, 0]),
                y=float(places[0, 1]),
                side=float(boxes[index, 2] + boxes[index, 3]) / 2 * side,
                tilt=math.atan2(down, across),
                score=float(scores[index]),
                points=places[1:].astype(np.float32),
            )
        )
    return _distinct(found)


def _confirmed(levels: list[Pixels], face: Face) -> Face | None:
    """Return a detection refined in a closer window, or None if windows of several sizes do not agree on a face."""
    scores, best = [], None
    for reach in SECOND_LOOKS:
        again = _look(levels, face.x, face.y, reach * face.side, face.tilt, 0.05)
        again = [found for found in again if _overlap(found, face) > SAME_FACE]
        scores.append(max((found.score for found in again), default=0.0))
        best = again[0] if again and (best is None or again[0].score > best.score) else best
    score = sum(scores) / len(scores)
    return None if best is None or score < CONFIRMED_SCORE else replace(best, score=score)


def _levels(pixels: Pixels) -> list[Pixels]:
    """Return an image at its own size, a half, a quarter and so on, down to the network's input."""
    levels = [np.ascontiguousarray(pixels, np.float32)]
    while max(levels[-1].shape[:2]) >= 2 * FACE_SIDE:
        height, width = (max(1, round(length / 2)) for length in levels[-1].shape[:2])
        levels.append(resized(levels[-1], (height, width)))
    return levels


def _distinct(faces: list[Face]) -> list[Face]:
    """Return one face for each group that overlaps, that with the highest score."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face, other) <= SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Face, other: Face) -> float:
    """Return the intersection over union of two boxes, or over the smaller box where one lies within the other."""
    width = min(one.x + one.side / 2, other.x + other.side / 2) - max(one.x - one.side / 2, other.x - other.side / 2)
    height = min(one.y + one.side / 2, other.y + other.side / 2) - max(one.y - one.side / 2, other.y - other.side / 2)
    common = max(0.0, width) * max(0.0, height)
    smaller = min(one.side, other.side) ** 2
    return max(common / (one.side**2 + other.side**2 - common), common / smaller if common > 0.8 * smaller else 0.0)
