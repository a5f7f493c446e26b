"""A folder of pictures to train on: read once, checked, and drawn from with chance that repeats.

In: a folder. Out: crops ``[B, 3, side, side]``, sRGB in [0, 1]. A few hundred photographs do, because every draw is
another crop, scale, reflection and colour. Paintings get crops and scales only: their colours and the direction of
their strokes are what is to be learnt.
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

SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif"])
KEPT_BYTES = 1 << 30  # pictures beyond this are read again whenever they are drawn
ROOM = 1.6  # the short side that is kept, in crops
SMALLEST_CROP = 0.5  # of the short side
HELD_OUT = 6


@dataclass
class Pictures:
    """Readable pictures of a folder, the unreadable ones listed beside them.

    Args:
        side: of the crops in px.
        colour: whether colours are varied too.
    """

    paths: list[Path]
    side: int
    colour: bool
    skipped: list[str] = field(default_factory=list)
    _kept: dict[Path, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def draw(self, count: int, generator: torch.Generator, side: int | None = None) -> Tensor:
        """Return crops ``[count, 3, side, side]``, the same from the same generator.

        A smaller ``side`` than the pictures' own gives a part of each crop, at the same scale.
        """
        side = self.side if side is None else side
        return torch.cat([self._part(self._crop(generator), side, generator) for _ in range(count)])

    def leave_out(self, count: int) -> Pictures:
        """Return the pictures without the last ones of the folder.

        Raises:
            ImageError: none is left.
        """
        if count >= len(self.paths):
            raise ImageError(
                f"of {len(self.paths)} photographs {count} are to be left out: at least one must be left to learn from"
            )
        return replace(self, paths=self.paths[: len(self.paths) - count])

    def middle(self, index: int) -> Tensor:
        """Return the middle of a picture, ``[1, 3, side, side]``, as it is."""
        picture = self._picture(index)
        height, width = picture.shape[-2:]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return _sized(picture[..., top : top + short, left : left + short], self.side)

    def split(self) -> tuple[Pictures, Pictures]:
        """Return the pictures to learn from and, evenly out of the folder, some to look at; all serve both if few."""
        count = min(HELD_OUT, len(self.paths) // 8)
        if not count:
            return self, self
        held = {round((k + 0.5) * len(self.paths) / count) for k in range(count)}
        parts = ([p for k, p in enumerate(self.paths) if (k in held) == wanted] for wanted in (False, True))
        first, second = (Pictures(paths, self.side, self.colour, self.skipped, self._kept) for paths in parts)
        return first, second

    def _crop(self, generator: torch.Generator) -> Tensor:
        chances = torch.rand(8, generator=generator).tolist()
        picture = self._picture(min(int(chances[0] * len(self.paths)), len(self.paths) - 1))
        height, width = picture.shape[-2:]
        size = max(8, round(min(height, width) * (SMALLEST_CROP + (1 - SMALLEST_CROP) * chances[1])))
        top, left = int(chances[2] * (height - size + 1)), int(chances[3] * (width - size + 1))
        crop = _sized(picture[..., top : top + size, left : left + size], self.side)
        if not self.colour:
            return crop
        if chances[4] < 0.5:
            crop = crop.flip(-1)
        light, contrast, vividness = 0.8 + 0.4 * chances[5], 0.8 + 0.4 * chances[6], 0.7 + 0.6 * chances[7]
        grey = crop.mean(1, keepdim=True)
        crop = grey + (crop - grey) * vividness
        varied: Tensor = (((crop - crop.mean()) * contrast + crop.mean()) * light).clamp(0, 1)
        return varied

    def _part(self, crop: Tensor, side: int, generator: torch.Generator) -> Tensor:
        if side == self.side:
            return crop
        top, left = (int(chance * (self.side - side + 1)) for chance in torch.rand(2, generator=generator).tolist())
        return crop[..., top : top + side, left : left + side]

    def _picture(self, index: int) -> Tensor:
        path = self.paths[index]
        levels = self._kept.get(path)
        if levels is None:
            levels = read(path, self.side)
        return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255


def gather(folder: str | Path, side: int, *, colour: bool) -> Pictures:
    """Read every picture of a folder and those below it.

    Args:
        folder: where they are.
        side: of the crops in px.
        colour: whether colours are varied too.

    Raises:
        ImageError: there is no such folder, or no picture in it can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"there is no folder {str(folder)!r}: name one with pictures in it")
    pictures = Pictures([], side, colour)
    room = KEPT_BYTES
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            levels = read(path, side)
        except ImageError as error:
            pictures.skipped.append(f"{path}: {error}")
            continue
        pictures.paths.append(path)
        if levels.nbytes <= room:
            pictures._kept[path] = levels
            room -= levels.nbytes
    if not pictures.paths:
        what = f"none of its {len(pictures.skipped)} pictures can be read" if pictures.skipped else "it has no pictures"
        raise ImageError(f"the folder {str(folder)!r} cannot be trained on: {what}; give one with photographs")
    return pictures


def read(path: Path, side: int) -> NDArray[np.uint8]:
    """Return a picture ``[H, W, 3]`` no larger than crops of ``side`` px need it.

    Raises:
        ImageError: it cannot be read, or is smaller than 16 px.
    """
    picture = images.load(path, fill="white")
    if min(picture.size) < 16:
        raise ImageError(f"{path.name!r} is {picture.width}x{picture.height} px; give at least 16 px a side")
    factor = min(1.0, ROOM * side / min(picture.size))
    size = round(picture.height * factor), round(picture.width * factor)
    return images.quantise(images.resize(picture.pixels, size), 8).astype(np.uint8)


def _sized(picture: Tensor, side: int) -> Tensor:
    if tuple(picture.shape[-2:]) == (side, side):
        return picture
    return functional.interpolate(picture, (side, side), mode="bilinear", antialias=True)
