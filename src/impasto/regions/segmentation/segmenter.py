"""All masks of one image by name: computed once, requested many times.

Input: an image. Output: masks ``[H, W]`` in steps of 1/255, so that a mask written to a file and read again is the
same.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np

from impasto.regions.segmentation import click, faces, networks, people, sky
from impasto.regions.segmentation.features import grid_features
from impasto.regions.segmentation.names import parse_clicks
from impasto.regions.segmentation.opencv import Pixels

MIN_SHARE = 0.002  # of the image; a smaller person or foreground is ignored


class Segmenter:
    """The masks of an image.

    Args:
        pixels: ``[H, W, 3]`` sRGB in [0, 1].
    """

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels

    @cached_property
    def faces(self) -> list[faces.Face]:
        """The faces, the largest first."""
        return faces.find_faces(self._pixels)

    @cached_property
    def features(self) -> dict[str, Pixels]:
        """Features of VGG-19 on a grid."""
        return grid_features(self._pixels)

    @cached_property
    def _foreground(self) -> Pixels:
        return people.foreground_mask(self._pixels, self.faces)

    def mask(self, name: str) -> Pixels | None:
        """Return a mask ``[H, W]`` in [0, 1], or None where the image has nothing of that name.

        Args:
            name: one of ``names.MASK_NAMES``, or points as ``names.parse_clicks`` reads them. ``person`` is what stands
                in front, since the network that draws it marks animals as well; where nothing does, the background is
                the whole image.

        Raises:
            WeightsError: the networks have not been fetched.
        """
        found: Pixels | None
        if name == "faces":
            found = faces.face_mask(self.faces, self._pixels.shape[:2]) if self.faces else None
        elif name == "facial-features":
            found = faces.features_mask(self.faces, self._pixels.shape[:2]) if self.faces else None
        elif name == "sky":
            found = sky.sky_mask(self._pixels, self._foreground, self.features)
        elif name == "background":
            found = 1 - self._foreground
        elif name in ("person", "foreground"):
            found = self._foreground if float(self._foreground.mean()) >= MIN_SHARE else None
        else:
            found = click.selection_mask(self._pixels, parse_clicks(name), self.features)
        return None if found is None else np.asarray(np.round(found * 255) / 255, np.float32)

    def model(self, name: str) -> str:
        """Return the beginning of the SHA-256 of what drew a mask: of the network's file, or of the classifier's."""
        if name in ("faces", "facial-features"):
            return networks.file_hash("face_detection_short_range")[:16]
        if name == "sky":
            return sky.classifier_hash()[:16]
        if name in ("person", "foreground", "background"):
            return networks.file_hash("selfie_segmentation")[:16]
        return "vgg19"


def mask_hash(mask: Pixels) -> str:
    """Return the SHA-256 of a mask's size and levels."""
    levels = np.round(mask * 255).astype(np.uint8)
    return hashlib.sha256(f"{levels.shape[1]}x{levels.shape[0]}\n".encode() + levels.tobytes()).hexdigest()
