"""The part of the image inside a tile, and the part that it reads.

A tile reads a rectangle of the canvas and owns a smaller one inside it; the rest is a halo that makes the features
in the owned part exact. Owned rectangles begin at multiples of 16 px, so that each layer's cells belong to exactly
one tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TileWindow:
    """A tile of an image, in pixels of the whole image.

    Args:
        height, width: size of the whole image.
        top, left, bottom, right: what the tile owns.
        read_top, read_left: where the tile's canvas and features begin.
    """

    height: int
    width: int
    top: int
    left: int
    bottom: int
    right: int
    read_top: int = 0
    read_left: int = 0

    @classmethod
    def whole(cls, height: int, width: int) -> TileWindow:
        """Return the window that owns and reads the whole image."""
        return cls(height, width, 0, 0, height, width)

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole image."""
        return (self.top, self.left, self.bottom, self.right) == (0, 0, self.height, self.width)

    def rows(self, stride: int) -> tuple[int, int]:
        """Return the first row inside the tile and the one past the last, in a map of a stride."""
        return self.top // stride, self.bottom // stride

    def columns(self, stride: int) -> tuple[int, int]:
        """Return the first column inside the tile and the one past the last, in a map of a stride."""
        return self.left // stride, self.right // stride

    def crop_tile(self, tile_map: Tensor, stride: int = 1) -> Tensor:
        """Crop a map ``[..., h, w]`` of the tile's canvas to what the tile owns, unless it is cropped already."""
        if self.is_whole:
            return tile_map
        (r0, r1), (c0, c1) = self.rows(stride), self.columns(stride)
        if tile_map.shape[-2:] == (r1 - r0, c1 - c0):
            return tile_map
        dr, dc = self.read_top // stride, self.read_left // stride
        return tile_map[..., r0 - dr : r1 - dr, c0 - dc : c1 - dc]

    def crop_full(self, whole_map: Tensor, stride: int = 1) -> Tensor:
        """Crop a map ``[..., h, w]`` of the whole image, such as a target or a mask, to what the tile owns."""
        if self.is_whole:
            return whole_map
        (r0, r1), (c0, c1) = self.rows(stride), self.columns(stride)
        return whole_map[..., r0:r1, c0:c1]
