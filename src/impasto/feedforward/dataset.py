"""A folder of training images: read once, checked, and sampled with a seeded generator.

The samples are crops ``[B, 3, side, side]``, sRGB in [0, 1]. A few hundred photographs suffice, because every draw
varies crop, scale, reflection and color. Paintings vary in crop and scale only: their colors and the direction of their
strokes are what the network has to learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError
from impasto.imaging import images

CACHE_BYTES = 1 << 30  # cache size; images beyond it are read again each time they are drawn
STORED_SIDE = 1.6  # short side of a stored image, relative to the crop
SMALLEST_CROP = 0.5  # of the short side
VALIDATION_PICTURES = 6


@dataclass
class Pictures:
    """The readable images of a folder, with a list of the unreadable ones.

    Args:
        side: side of the crops in px.
        color: whether to vary colors.
    """

    paths: list[Path]
    side: int
    color: bool
    skipped: list[str] = field(default_factory=list)
    _cache: dict[Path, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def draw(self, count: int, generator: torch.Generator, side: int | None = None) -> Tensor:
        """Return random crops ``[count, 3, side, side]``; the generator determines them.

        A ``side`` smaller than ``self.side`` takes a part of each crop, at the same scale.
        """
        side = self.side if side is None else side
        return torch.cat([self._part(self._crop(generator), side, generator) for _ in range(count)])

    def hold_out(self, count: int) -> Pictures:
        """Return the images without the last ``count`` of the folder.

        Raises:
            ImageError: none would remain.
        """
        if count >= len(self.paths):
            raise ImageError(
                f"cannot hold out {count} of {len(self.paths)} photographs: at least one must remain to train on"
            )
        return replace(self, paths=self.paths[: len(self.paths) - count])

    def center_crop(self, index: int) -> Tensor:
        """Return the largest centered square of an image, resized to ``[1, 3, side, side]``."""
        picture = self._picture(index)
        height, width = picture.shape[-2:]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return _resized(picture[..., top : top + short, left : left + short], self.side)

    def split(self) -> tuple[Pictures, Pictures]:
        """Return images for training and, spread over the folder, for validation; if few, all serve as both."""
        count = min(VALIDATION_PICTURES, len(self.paths) // 8)
        if not count:
            return self, self
        chosen = {round((k + 0.5) * len(self.paths) / count) for k in range(count)}
        parts = ([p for k, p in enumerate(self.paths) if (k in chosen) == selected] for selected in (False, True))
        training, validation = (Pictures(paths, self.side, self.color, self.skipped, self._cache) for paths in parts)
        return training, validation

    def _crop(self, generator: torch.Generator) -> Tensor:
        rand = torch.rand(8, generator=generator).tolist()
        picture = self._picture(min(int(rand[0] * len(self.paths)), len(self.paths) - 1))
        height, width = picture.shape[-2:]
        size = max(8, round(min(height, width) * (SMALLEST_CROP + (1 - SMALLEST_CROP) * rand[1])))
        top, left = int(rand[2] * (height - size + 1)), int(rand[3] * (width - size + 1))
        crop = _resized(picture[..., top : top + size, left : left + size], self.side)
        if not self.color:
            return crop
        if rand[4] < 0.5:
            crop = crop.flip(-1)
        brightness, contrast, saturation = 0.8 + 0.4 * rand[5], 0.8 + 0.4 * rand[6], 0.7 + 0.6 * rand[7]
        gray = crop.mean(1, keepdim=True)
        crop = gray + (crop - gray) * saturation
        varied: Tensor = (((crop - crop.mean()) * contrast + crop.mean()) * brightness).clamp(0, 1)
        return varied

    def _part(self, crop: Tensor, side: int, generator: torch.Generator) -> Tensor:
        if side == self.side:
            return crop
        top, left = (int(fraction * (self.side - side + 1)) for fraction in torch.rand(2, generator=generator).tolist())
        return crop[..., top : top + side, left : left + side]

    def _picture(self, index: int) -> Tensor:
        path = self.paths[index]
        levels = self._cache.get(path)
        if levels is None:
            levels = read(path, self.side)
        return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255


def load_folder(folder: str | Path, side: int, *, color: bool) -> Pictures:
    """Read every image of a folder and its subfolders.

    Args:
        folder: the folder.
        side: side of the crops in px.
        color: whether to vary colors.

    Raises:
        ImageError: the folder does not exist, or no image in it can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"the folder {str(folder)!r} does not exist: use a folder with images")
    pictures = Pictures([], side, color)
    free = CACHE_BYTES
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.READ_SUFFIXES):
        try:
            levels = read(path, side)
        except ImageError as error:
            pictures.skipped.append(f"{path}: {error}")
            continue
        pictures.paths.append(path)
        if levels.nbytes <= free:
            pictures._cache[path] = levels
            free -= levels.nbytes
    if not pictures.paths:
        what = f"none of its {len(pictures.skipped)} images can be read" if pictures.skipped else "it has no images"
        raise ImageError(f"the folder {str(folder)!r} cannot be trained on: {what}; use a folder with photographs")
    return pictures


def read(path: Path, side: int) -> NDArray[np.uint8]:
    """Return an image ``[H, W, 3]``, reduced to what crops of ``side`` px need.

    Raises:
        ImageError: it cannot be read, or is smaller than 16 px.
    """
    picture = images.load(path, fill="white")
    if min(picture.size) < 16:
        raise ImageError(f"{path.name!r} is {picture.width}x{picture.height} px; use at least 16 px per side")
    factor = min(1.0, STORED_SIDE * side / min(picture.size))
    size = round(picture.height * factor), round(picture.width * factor)
    return images.quantize(images.resize(picture.pixels, size), 8).astype(np.uint8)


def _resized(picture: Tensor, side: int) -> Tensor:
    if tuple(picture.shape[-2:]) == (side, side):
        return picture
    return functional.interpolate(picture, (side, side), mode="bilinear", antialias=True)
