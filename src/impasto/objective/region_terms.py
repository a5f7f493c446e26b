"""The terms of every area: its style, its share of the content, and how much of the picture it is.

In: a ``Control`` at the canvas's size and how a style loss is built. Out: losses by name, ``style`` and ``content``
for an area that is the whole picture, ``style:sky`` and ``content:sky`` for one that is called so. Masks are weights
inside the losses, each normalized by its own sum, and an area's terms weigh as much as the area is of the picture:
the pull on a pixel is the same wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.blend import Blended, blend_name
from impasto.losses.summaries.protocol import Features, Loss, Maps
from impasto.network.encoder import Encoder
from impasto.objective.tiling import tiled_features, tiles
from impasto.options.layer_names import receptive_radius, stride
from impasto.regions import masks
from impasto.regions.color import desaturated
from impasto.regions.region_tensors import Region, RegionTensors, StyleSource

PROTECTED = "protected"
PROTECTION = 10.0  # how much more the content weighs where it is protected, at protect_strength 1


@dataclass(frozen=True)
class StyleFeatures:
    """One style as the network sees it.

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
        """Yield features and mask, tile by tile where it is large, so that sums over them need little memory."""
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


MakeStyle = Callable[[Sequence[StyleFeatures], "Maps | None"], Callable[[Sequence[float]], Loss]]
"""From the styles of an area and its mask by layer to what makes the style loss for the styles' parts in a blend."""


@dataclass(frozen=True)
class Terms:
    """What the areas give to an objective.

    ``losses`` and ``shares`` (how much of the picture each is) are by term, ``parts`` are the styles' parts in blends
    by the name they are steered by.
    """

    losses: dict[str, Loss]
    shares: dict[str, float]
    parts: dict[str, float]


def area_terms(
    encoder: Encoder,
    control: RegionTensors,
    style_layers: Sequence[str],
    make_style: MakeStyle,
    make_content: Callable[[Maps | None], Loss],
    content_layers: Sequence[str],
    tile: int | None = None,
) -> Terms:
    """Return the style and content terms of every area.

    Args:
        encoder: the network.
        control: at the canvas's size.
        style_layers: read by the style losses.
        make_style: builds a style loss.
        make_content: builds a content loss from a mask by layer, None for all positions alike.
        content_layers: read by the content losses.
        tile: side of a tile in px, for styles that are larger.
    """
    losses: dict[str, Loss] = {}
    shares: dict[str, float] = {}
    parts: dict[str, float] = {}
    for region in control.regions:
        suffix = f":{region.name}" if region.name else ""
        share = 1.0 if region.mask is None else float(region.mask.mean())
        sources = [_data(encoder, source, region, control, style_layers, tile) for source in region.styles]
        maps = None if region.mask is None else at_layers(region.mask, style_layers, encoder)
        losses[f"style{suffix}"] = _style(region, sources, maps, make_style)
        losses[f"content{suffix}"] = make_content(_unmoved(region.mask, content_layers))
        shares[f"style{suffix}"] = shares[f"content{suffix}"] = share
        if len(region.styles) > 1:
            for index, source in enumerate(region.styles):
                parts[blend_name(index)] = source.part
    if control.protected is not None and control.regions:
        losses[f"content:{PROTECTED}"] = make_content(_unmoved(control.protected, content_layers))
        shares[f"content:{PROTECTED}"] = PROTECTION * max(float(control.protected.mean()), 1e-6)
    return Terms(losses, shares, parts)


def _style(region: Region, sources: Sequence[StyleFeatures], maps: Maps | None, make_style: MakeStyle) -> Loss:
    make = make_style(sources, maps)
    return make([1.0]) if len(sources) == 1 else Blended([source.part for source in region.styles], make)


def _data(
    encoder: Encoder,
    source: StyleSource,
    region: Region,
    control: RegionTensors,
    layers: Sequence[str],
    tile: int | None,
) -> StyleFeatures:
    height, width = control.content.shape[-2:]
    picture = style_at(source.picture, max(height, width) * source.scale)
    if region.lightness_only:
        picture = desaturated(picture)
    if control.seamless:
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
    """Return a mask as weights of the positions of layers, eroded by what they see."""
    return masks.layer_masks(
        mask,
        {layer: stride(layer) for layer in layers},
        {layer: receptive_radius([layer], encoder.network) for layer in layers},
    )


def _unmoved(mask: Tensor | None, layers: Sequence[str]) -> dict[str, Tensor] | None:
    if mask is None:
        return None
    return masks.layer_masks(mask, {layer: stride(layer) for layer in layers}, dict.fromkeys(layers, 0))


def style_at(style: Tensor, long_side: float) -> Tensor:
    """Bring a style to a long side; a style is made smaller where it must be, never larger."""
    height, width = style.shape[-2:]
    factor = min(1.0, long_side / max(height, width))
    least = 16
    size = max(least, round(height * factor)), max(least, round(width * factor))
    if size == (height, width):
        return style
    return functional.interpolate(style, size, mode="bicubic", antialias=True).clamp(0, 1)


def noise_maps(control: RegionTensors) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the colors that each place is painted with, ``[1, 3, H or 1, W or 1]``."""
    if len(control.regions) == 1 and control.regions[0].mask is None and len(control.regions[0].styles) == 1:
        return _statistics(control.regions[0].styles[0], control.regions[0], control)
    mean, deviation = control.content.mean((2, 3), keepdim=True), control.content.std((2, 3), keepdim=True)
    for region in control.regions:
        found = [_statistics(source, region, control) for source in region.styles]
        parts = [source.part for source in region.styles]
        total = sum(parts)
        own = [sum(part / total * stats[k] for part, stats in zip(parts, found, strict=True)) for k in (0, 1)]
        share = torch.ones_like(control.content[:, :1]) if region.mask is None else region.mask
        mean, deviation = (base * (1 - share) + new * share for base, new in zip((mean, deviation), own, strict=True))
    return mean, deviation


def _statistics(source: StyleSource, region: Region, control: RegionTensors) -> tuple[Tensor, Tensor]:
    picture = style_at(source.picture, max(control.content.shape[-2:]) * source.scale)
    if region.lightness_only:
        picture = desaturated(picture)
    if source.mask is None:
        return picture.mean((2, 3), keepdim=True), picture.std((2, 3), keepdim=True)
    mask = masks.resize_mask(source.mask, (int(picture.shape[-2]), int(picture.shape[-1])))
    share = mask / mask.sum()
    mean = (picture * share).sum((2, 3), keepdim=True)
    return mean, ((picture - mean).square() * share).sum((2, 3), keepdim=True).sqrt()


def style_total_variation(control: RegionTensors, total_variation: Callable[[Tensor], float]) -> float:
    """Return the total variation of the styles, each by its share of the picture."""
    found, weight = 0.0, 0.0
    for region in control.regions:
        share = 1.0 if region.mask is None else float(region.mask.mean())
        for source in region.styles:
            picture = style_at(source.picture, max(control.content.shape[-2:]) * source.scale)
            found += share * source.part * total_variation(picture)
            weight += share * source.part
    return found / weight if weight > 0 else total_variation(control.content)
