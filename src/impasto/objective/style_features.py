"""A style for the losses: its image, scaled to the size of its strokes on the canvas, its features and its mask.

``style_features`` builds them from a ``StyleSource``; the features of a large style are computed tile by tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from impasto.losses.summaries.protocol import Features, Maps
from impasto.network.encoder import Encoder
from impasto.objective.tiling import tiled_features, tiles
from impasto.options.layer_names import receptive_radius, stride
from impasto.regions import masks
from impasto.regions.color import desaturated
from impasto.regions.geometry import resize
from impasto.regions.region_tensors import Region, RegionTensors, StyleSource


@dataclass(frozen=True)
class StyleFeatures:
    """One style as input of the network.

    ``precomputed`` holds its features by layer, or None if the style is larger than a tile: ``features`` then computes
    them on access and ``iter_tiles`` yields them tile by tile. ``mask`` weights its positions by layer; ``picture`` is
    ``[1, 3, h, w]``.
    """

    precomputed: Features | None
    mask: Maps | None
    picture: Tensor
    encoder: Encoder | None = None
    layers: tuple[str, ...] = ()
    tile: int | None = None

    @cached_property
    def features(self) -> Features:
        """Features of the whole style by layer."""
        if self.precomputed is not None:
            return self.precomputed
        assert self.encoder is not None and self.tile is not None
        return tiled_features(self.encoder, self.picture, self.layers, self.tile)

    def iter_tiles(self) -> Iterator[tuple[Features, Maps | None]]:
        """Yield features and mask, tile by tile for a large style, so that sums over them need little memory."""
        if self.precomputed is not None:
            yield self.precomputed, self.mask
            return
        assert self.encoder is not None
        height, width = self.picture.shape[-2:]
        for tile in tiles(height, width, self.tile, self.layers, self.encoder.network):
            found = tile.features(self.encoder, tile.canvas(self.picture), self.layers)
            mask = self.mask
            yield (
                {layer: tile.window.crop_tile(part, stride(layer)) for layer, part in found.items()},
                None
                if mask is None
                else {name: tile.window.crop_full(mask[name], stride(name)) for name in self.layers},
            )


def style_features(
    source: StyleSource,
    region: Region,
    tensors: RegionTensors,
    encoder: Encoder,
    layers: Sequence[str],
    tile: int | None,
) -> StyleFeatures:
    """Return the features of a style, scaled to the size of its strokes on the canvas.

    Args:
        source: the style before scaling.
        region: the region that the style paints.
        tensors: at the canvas's size.
        encoder: the network.
        layers: layers to compute.
        tile: side of a tile in px; a larger style is computed tile by tile when its features are read.
    """
    height, width = tensors.content.shape[-2:]
    picture = style_at(source.picture, max(height, width) * source.scale)
    if region.lightness_only:
        picture = desaturated(picture)
    if tensors.seamless:
        # Opposite edges of the canvas join, those of the style do not.
        encoder = copy(encoder)
        encoder.padding = "replicate"
    maps = None
    if source.mask is not None:
        mask = masks.resize_mask(source.mask, (int(picture.shape[-2]), int(picture.shape[-1])))
        maps = at_layers(mask, layers, encoder)
    if tile is not None and tile < max(picture.shape[-2:]):
        return StyleFeatures(None, maps, picture, encoder, tuple(layers), tile)
    return StyleFeatures(encoder(picture, list(layers)), maps, picture)


def at_layers(mask: Tensor, layers: Sequence[str], encoder: Encoder) -> dict[str, Tensor]:
    """Return a mask as weights of each layer's positions, eroded by the layer's receptive field."""
    return masks.layer_masks(
        mask,
        {layer: stride(layer) for layer in layers},
        {layer: receptive_radius([layer], encoder.network) for layer in layers},
    )


def style_at(style: Tensor, long_side: float) -> Tensor:
    """Resize a style to a long side; it is reduced if necessary, never enlarged."""
    height, width = style.shape[-2:]
    factor = min(1.0, long_side / max(height, width))
    least = 16
    size = max(least, round(height * factor)), max(least, round(width * factor))
    return resize(style, size)
