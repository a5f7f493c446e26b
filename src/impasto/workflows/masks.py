"""The masks of a photograph as files, with an overview.

Input: a photograph. Output: one gray PNG for each mask that it has, which ``--region``, ``--protect`` and
``--style-only`` read as they do the name, and ``overview.jpg``, the photograph with each mask bright and the rest dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from impasto.errors import OptionError
from impasto.imaging import images
from impasto.imaging.contact_sheet import draw
from impasto.regions.segmentation.names import MASK_NAMES, PLACES, parse_clicks
from impasto.regions.segmentation.pairing import pair
from impasto.regions.segmentation.segmenter import Segmenter

OVERVIEW_SIDE_PX = 400


def write_masks(photo: images.PictureLike, folder: Path, places: Sequence[str] = ()) -> Iterator[str]:
    """Write the masks of a photograph to a folder, and yield a line for each.

    Args:
        photo: as ``images.load`` takes it.
        folder: an existing folder.
        places: what else to select, each as ``0.42,0.31+0.5,0.6-0.1,0.9``.

    Raises:
        OptionError: a point cannot be parsed, or is outside the image.
        WeightsError: the networks have not been fetched.
    """
    for place in places:
        if not parse_clicks(place):
            raise OptionError(f"--select is {place!r}; {PLACES}", "select")
    picture = images.load(photo)
    segmenter = Segmenter(picture.pixels)
    small = _small(picture.pixels)
    cells = [("photo", small)]
    for name in (*MASK_NAMES, *places):
        mask = segmenter.mask(name)
        label = name if name in MASK_NAMES else f"selection{places.index(name) + 1}"
        if mask is None:
            yield f"{label:12s} none found"
            continue
        if name == "person" and not segmenter.faces:
            yield f"{label:12s} no face found: see foreground"
            continue
        path = folder / f"{label}.png"
        images.save(path, np.round(mask * 255).astype(np.uint8)[..., None].repeat(3, -1))
        cells.append((label, shown(small, images.resize(mask, small.shape[:2]))))
        yield f"{label:12s} {mask.mean():6.1%}  {path}"
    path = folder / "overview.jpg"
    images.save(path, draw([[pixels for _, pixels in cells]], [""], [label for label, _ in cells]))
    yield f"{'overview':12s}         {path}"


def write_pairs(photo: images.PictureLike, painting: images.PictureLike, folder: Path) -> Iterator[str]:
    """Write the label images that ``--pair auto`` uses, and both next to their images; yield a line for each file.

    Args:
        photo, painting: as ``images.load`` takes them.
        folder: an existing folder.
    """
    pictures = images.load(photo).pixels, images.load(painting).pixels
    found = pair(*pictures)
    for name, levels in zip(("labels_content", "labels_style"), found, strict=True):
        path = folder / f"{name}.png"
        images.save(path, levels)
        yield f"{name:14s} {path}"
    path = folder / "pairs.jpg"
    row = [_small(pictures[0]), *(images.unit(levels) for levels in found), _small(pictures[1])]
    images.save(path, draw([row], [""], ["photo", "its labels", "labels of the painting", "painting"]))
    yield f"{'pairs':14s} {path}"


def shown(pixels: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image in which a mask is bright and the rest dark and blue."""
    dark = 0.25 * pixels + np.array([0.0, 0.05, 0.2], np.float32)
    return np.asarray(dark + (pixels - dark) * mask[..., None], np.float32)


def _small(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    factor = min(1.0, OVERVIEW_SIDE_PX / max(pixels.shape[:2]))
    height, width = (max(1, round(factor * length)) for length in pixels.shape[:2])
    return images.resize(pixels, (height, width))
