"""Tiles: rectangles of an image, the halo that each must read, and how its feature maps are cropped layer by layer.

``tiles`` divides an image into ``Tile`` objects. A tile owns an area whose corners are multiples of 16 px. It reads a
halo around it as wide as the receptive field of the deepest layer; each convolution uses up a part of this halo, so the
maps are cropped to what the rest of the network still needs. Values and gradients in the owned area are those of the
whole image.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from impasto.losses.summaries.tile_window import TileWindow
from impasto.network.encoder import Encoder
from impasto.options.layer_names import BLOCKS, Network, block, receptive_radius, stride

ALIGNMENT = 16
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """An owned area and the halo that it reads.

    ``read`` is its part of the canvas, ``cuts`` what each convolution keeps of its input (see ``Encoder.forward``),
    ``windows`` the owned part of each convolution's output; without them, features include their halo.
    """

    window: TileWindow
    read: Window
    cuts: Mapping[str, Window] = field(default_factory=dict)
    output_windows: Mapping[str, Window] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """Number of pixels that are read."""
        return math.prod(part.stop - part.start for part in self.read)

    def canvas(self, picture: Tensor) -> Tensor:
        """Return the part of an image ``[..., H, W]`` that is read."""
        return picture[..., self.read[0], self.read[1]]

    def seen_from(self, top: int) -> Tile:
        """Return the tile relative to a strip of the image that begins at a row."""
        rows, columns = self.read
        return replace(self, read=(slice(rows.start - top, rows.stop - top), columns))

    def features(self, encoder: Encoder, canvas: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Return the features of the area read, or of the owned area only if maps are cropped."""
        if not layers:
            return {}
        if not self.output_windows:
            found: dict[str, Tensor] = encoder(canvas, layers)
            return found
        made: dict[str, Tensor] = encoder(canvas, layers, self.cuts, self.output_windows)
        for name in made:
            if name.startswith("conv"):
                rows, columns = self.output_windows[name[-3:]]
                made[name] = made[name][..., rows, columns]
        return made


def tiles(
    height: int,
    width: int,
    side: int | None,
    layers: Sequence[str],
    network: Network = "vgg19",
    *,
    reach: int = 0,
    feature_reach: int = 0,
    rows: tuple[int, int] | None = None,
) -> list[Tile]:
    """Return the tiles of an image, row by row.

    Args:
        height, width: size of the image in px.
        side: side of a tile in px, a multiple of 16; None for a single tile.
        layers: names of the layers that are read.
        network: name of the network.
        reach: number of pixels beyond the owned area that a loss reads on the canvas.
        feature_reach: the same for features, in px; if it is not 0, maps are not cropped.
        rows: the rows to cover, starting at a multiple of 16; all if absent.
    """
    first, last = rows or (0, height)
    if (first, last) == (0, height) and (side is None or side >= max(height, width)):
        return [Tile(TileWindow.whole(height, width), (slice(0, height), slice(0, width)))]
    side = side or math.ceil(max(last - first, width) / ALIGNMENT) * ALIGNMENT
    radius = (receptive_radius(layers, network) if layers else 1) + max(reach, feature_reach)
    made = []
    tops, lefts = _starts(first, last, side), _starts(0, width, side)
    for top, bottom in pairwise([*tops, last]):
        for left, right in pairwise([*lefts, width]):
            owned = (top, left, bottom, right)
            if feature_reach or not layers:
                made.append(_plain(height, width, owned, radius))
            else:
                # A loss that reads beyond its area may pool pixels by up to 16: it has to be aligned with the image.
                grain = ALIGNMENT if reach else 2
                made.append(_cut(height, width, owned, math.ceil(radius / grain) * grain, layers, network))
    return made


def _starts(first: int, last: int, side: int) -> list[int]:
    """Return the starts of the tiles; a remainder too thin for a cell of every layer is merged into the last tile."""
    starts = list(range(first, last, side))
    return starts[:-1] if len(starts) > 1 and last - starts[-1] < ALIGNMENT else starts


def halo(layers: Sequence[str], network: Network = "vgg19", reach: int = 0) -> int:
    """Return the width of a tile's halo in px, a multiple of 16."""
    radius = (receptive_radius(layers, network) if layers else 1) + reach
    return math.ceil(max(radius, 1) / ALIGNMENT) * ALIGNMENT


def _plain(height: int, width: int, owned: tuple[int, int, int, int], radius: int) -> Tile:
    """Return a tile that reads its halo and crops nothing."""
    top, left, bottom, right = _grown(owned, math.ceil(radius / ALIGNMENT) * ALIGNMENT, height, width)
    return Tile(TileWindow(height, width, *owned, top, left), (slice(top, bottom), slice(left, right)))


def _cut(
    height: int, width: int, owned: tuple[int, int, int, int], radius: int, layers: Sequence[str], network: Network
) -> Tile:
    """Return a tile whose maps are cropped, convolution by convolution."""
    start = _grown(owned, radius, height, width)
    current: tuple[int, ...] = start
    cuts: dict[str, Window] = {}
    output_windows: dict[str, Window] = {}
    for name, need in _needs(layers, network):
        step = 1 << (int(name[0]) - 1)
        if name.endswith("_1") and step > 1:
            current = tuple(edge // 2 for edge in current)  # the pooling before it
        grown = [edge // step for edge in _grown(owned, need, height, width)]
        wanted = (*grown[:2], min(grown[2], current[2]), min(grown[3], current[3]))
        if step > 1 and wanted != current:
            rows = slice(wanted[0] - current[0], wanted[2] - current[0])
            cuts[name] = (rows, slice(wanted[1] - current[1], wanted[3] - current[1]))
            current = wanted
        top, left, bottom, right = (edge // step for edge in owned)
        output_windows[name] = (
            slice(top - current[0], bottom - current[0]),
            slice(left - current[1], right - current[1]),
        )
    window = TileWindow(height, width, *owned, start[0], start[1])
    return Tile(window, (slice(start[0], start[2]), slice(start[1], start[3])), cuts, output_windows)


def _needs(layers: Sequence[str], network: Network) -> Iterator[tuple[str, int]]:
    """Yield each convolution down to the deepest, and the number of px around the tile that its input must contain."""
    deepest = max((block(layer), int(layer[-1])) for layer in layers)
    names = [(b, i) for b, count in enumerate(BLOCKS[network], start=1) for i in range(1, count + 1)]
    names = [name for name in names if name <= deepest]
    left = sum(1 << (b - 1) for b, _ in names)
    for b, index in names:
        # Where a pooling follows, maps begin at even cells, so that it pools the same cells as in the whole image.
        grain = (1 << (b - 1)) * (2 if b < deepest[0] else 1)
        yield f"{b}_{index}", math.ceil(left / grain) * grain
        left -= 1 << (b - 1)


def _grown(owned: tuple[int, int, int, int], by: int, height: int, width: int) -> tuple[int, int, int, int]:
    top, left, bottom, right = owned
    return max(0, top - by), max(0, left - by), min(height, bottom + by), min(width, right + by)


def tiled_features(encoder: Encoder, picture: Tensor, layers: Sequence[str], side: int) -> dict[str, Tensor]:
    """Return the features of a whole image, computed tile by tile without gradient.

    Args:
        encoder: the network.
        picture: the image, ``[1, 3, H, W]``.
        layers: names of the layers.
        side: side of a tile in px.
    """
    height, width = picture.shape[-2:]
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for tile in tiles(height, width, side, layers, encoder.network):
            for layer, part in tile.features(encoder, tile.canvas(picture), layers).items():
                step = stride(layer)
                if layer not in found:
                    found[layer] = part.new_empty(1, part.shape[1], height // step, width // step).contiguous(
                        memory_format=torch.channels_last
                    )
                tile.window.crop_full(found[layer], step).copy_(tile.window.crop_tile(part, step))
    return found
