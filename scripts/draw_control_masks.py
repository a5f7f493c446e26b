"""Draw the masks and label maps of docs/regions.md for the sample images.

``python scripts/draw_control_masks.py FOLDER`` writes them to the folder. They consist of hand-placed ellipses and
polygons in the pixel coordinates of the samples, with slightly soft edges.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
COFFEE, ASTRONAUT, STYLE = (400, 600), (512, 512), (576, 768)
CUP = ((290, 112), (119, 95))  # center and half axes, as (x, y)
SAUCER = ((279, 226), (203, 163))
PERSON = [
    (0, 512), (8, 400), (45, 280), (60, 225), (105, 205), (122, 178), (150, 162), (182, 150), (165, 122), (158, 90),
    (162, 45), (200, 18), (245, 14), (285, 35), (300, 75), (295, 110), (280, 132), (262, 146), (258, 160), (278, 175),
    (303, 205), (310, 240), (335, 275), (352, 310), (362, 352), (330, 360), (295, 380), (275, 440), (280, 512),
]  # fmt: skip
FLAG = [(0, 0), (48, 0), (70, 90), (92, 190), (60, 225), (45, 280), (8, 400), (0, 440)]


def ellipse(size: tuple[int, int], *ellipses: tuple[tuple[int, int], tuple[int, int]]) -> Mask:
    """Return a mask ``[H, W]`` uint8 with white ellipses on black."""
    mask = np.zeros(size, np.uint8)
    for center, axes in ellipses:
        cv2.ellipse(mask, center, axes, 0, 0, 360, 255, -1)
    return mask


def polygon(size: tuple[int, int], corners: list[tuple[int, int]]) -> Mask:
    """Return a mask ``[H, W]`` uint8 with a white polygon on black."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.array(corners, np.int32)], 255)
    return mask


def soft(mask: Mask, sigma: float = 2.0) -> Mask:
    """Return a mask with a soft edge."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.uint8)


def labels(size: tuple[int, int], *areas: tuple[tuple[int, int, int], Mask]) -> NDArray[np.uint8]:
    """Return a label map ``[H, W, 3]`` uint8; later areas cover earlier ones."""
    picture = np.zeros((*size, 3), np.uint8)
    for color, mask in areas:
        picture[mask > 127] = color
    return picture


def main(folder: Path) -> None:
    """Write every mask."""
    folder.mkdir(parents=True, exist_ok=True)
    dish = ellipse(COFFEE, SAUCER, CUP)
    person = polygon(ASTRONAUT, PERSON)
    flag = polygon(ASTRONAUT, FLAG)
    whole = np.full(COFFEE, 255, np.uint8)
    left = np.zeros(STYLE, np.uint8)
    left[:, : STYLE[1] // 2] = 255
    red, blue, black = (220, 40, 40), (40, 60, 220), (0, 0, 0)
    pictures = {
        "dish": soft(dish),
        "table": 255 - soft(dish),
        "person": soft(person),
        "flag": soft(flag),
        "left": left,
        "coffee_labels": labels(COFFEE, (black, whole), (red, dish), (blue, ellipse(COFFEE, CUP))),
        "style_labels": labels(
            STYLE, (black, left), (red, 255 - left), (blue, ellipse(STYLE, ((384, 288), (180, 140))))
        ),
    }
    for name, picture in pictures.items():
        path = folder / f"{name}.png"
        data = picture if picture.ndim == 2 else picture[..., ::-1]
        path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(data))[1].tobytes())
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "masks"))
