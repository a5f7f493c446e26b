"""Arbitrary style transfer in one or two passes, by matching the statistics of one layer's features.

``FastStylizer`` takes the same ``RegionTensors`` as the optimizer and returns an image ``[1, 3, H, W]`` in [0, 1].
AdaIN (Huang & Belongie, ICCV 2017) with these differences: the whole covariance is matched, not each channel alone (see
``matching``); a second pass stylizes the first one's output. A strength of 0.5 is one whole pass; below it the features
move part of the way, above it the second pass is blended in: 1 is two whole passes.

Large images are processed in tiles: all tiles are encoded first and their features stored (16 bytes per pixel in
bfloat16), so that the statistics are those of the whole image and the result equals that without tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto.feedforward.adain import MAX_UNTILED, STRIDE, TILE, AdainNetwork
from impasto.feedforward.matching import Affine, Statistics, blend, statistics, transport, weaken
from impasto.losses.summaries.protocol import at_least_float32
from impasto.objective.style_features import style_at
from impasto.regions import masks
from impasto.regions.canvas_view import CanvasView
from impasto.regions.color import desaturated
from impasto.regions.geometry import resize
from impasto.regions.region_tensors import Region, RegionTensors, StyleSource

LAYER = "relu4_1"
RADIUS = 30  # px; receptive radius of a feature beyond its cell


class FastStylizer:
    """Applies an arbitrary style in one or two passes.

    Args:
        state: weights as returned by ``weights.adain_state``.
        device: device of the network.
        dtype: dtype of the network; bfloat16 is fast on hardware that supports it.
        matching: returns the map from features with the first statistics to features with the second.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        matching: Callable[[Statistics, Statistics], Affine] = transport,
    ) -> None:
        self.network = AdainNetwork(state, device, dtype)
        self.matching = matching

    def __call__(
        self, tensors: RegionTensors, size: tuple[int, int], strength: float = 0.5, tile: int | None = None
    ) -> Tensor:
        """Return the stylized content.

        Args:
            tensors: content, styles and regions, at any size.
            size: ``(height, width)`` of the image in px.
            strength: 0 is the content, 0.5 one whole pass, 1 two; a region can override it.
            tile: side of a tile in px, a multiple of 16; chosen by the size if absent.

        Returns:
            ``[1, 3, height, width]`` in [0, 1]; float32, or float64 for tensors and a network in float64.
        """
        with torch.inference_mode():
            tensors = tensors.at(size)
            view = CanvasView(tensors)
            tile = tile if tile is not None or size[0] * size[1] <= MAX_UNTILED or tensors.seamless else TILE
            canvas = tensors.content
            strengths = [strength if region.strength is None else region.strength for region in tensors.regions]
            targets = [self._targets(region, size, tile) for region in tensors.regions]
            for number in (0, 1):
                shares = [min(max(2 * value - number, 0.0), 1.0) for value in strengths]
                if any(shares):
                    canvas = self._pass(view.as_compared(canvas), tensors, targets, shares, tile)
            return view.picture(canvas).clamp(0, 1)

    def _pass(
        self,
        as_compared: Tensor,
        tensors: RegionTensors,
        targets: Sequence[Sequence[tuple[float, Statistics]]],
        shares: Sequence[float],
        tile: int | None,
    ) -> Tensor:
        """Return an image with the features of every region moved toward its styles."""
        size = int(as_compared.shape[-2]), int(as_compared.shape[-1])
        padding = "circular" if tensors.seamless else "reflect"
        features = self.network.encode(_to_multiples_of_8(as_compared, tensors.seamless), tile, padding)
        moved = features if any(region.mask is not None for region in tensors.regions) else None
        for region, styles, share in zip(tensors.regions, targets, shares, strict=True):
            if not share:
                continue
            weight = None if region.mask is None else _cells(region.mask, features)
            one = weaken(self._map(features, weight, styles), share)
            if moved is None:
                moved = _applied(one, features)
            else:
                assert weight is not None
                moved = moved + (_applied(one, features) - features) * weight.to(features)
        picture = self.network.decode(features if moved is None else moved, tile, padding)
        return _from_multiples_of_8(picture, size, tensors.seamless).clamp(0, 1)

    def _map(self, features: Tensor, weight: Tensor | None, styles: Sequence[tuple[float, Statistics]]) -> Affine:
        own = statistics(_bands(features, weight))
        return blend((part, self.matching(own, target)) for part, target in styles)

    def _targets(self, region: Region, size: tuple[int, int], tile: int | None) -> list[tuple[float, Statistics]]:
        total = sum(source.part for source in region.styles)
        return [
            (source.part / total, self._style(source, region.lightness_only, max(size), tile))
            for source in region.styles
        ]

    def _style(self, source: StyleSource, lightness_only: bool, long_side: int, tile: int | None) -> Statistics:
        picture = style_at(source.picture, long_side * source.scale)
        if lightness_only:
            picture = desaturated(picture)
        side = tile or (TILE if picture.shape[-2] * picture.shape[-1] > MAX_UNTILED else None)
        features = self.network.encode(_to_multiples_of_8(picture, False), side)
        weight = None
        if source.mask is not None:
            weight = _cells(masks.resize_mask(source.mask, (int(picture.shape[-2]), int(picture.shape[-1]))), features)
        return statistics(_bands(features, weight))


def _applied(one: Affine, features: Tensor) -> Tensor:
    """Map features in blocks of rows, so that there is no second copy in addition to the result."""
    result = torch.empty_like(features)
    for start in range(0, features.shape[-2], 64):
        result[..., start : start + 64, :] = one(at_least_float32(features[..., start : start + 64, :])).to(features)
    return result


def _bands(features: Tensor, weight: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
    rows = range(0, features.shape[-2], 64)
    return [(features[..., r : r + 64, :], None if weight is None else weight[..., r : r + 64, :]) for r in rows]


def _cells(mask: Tensor, features: Tensor) -> Tensor:
    """Return a mask as the weight of each feature, eroded by the receptive field."""
    found = masks.layer_masks(_to_multiples_of_8(mask, False), {LAYER: STRIDE}, {LAYER: RADIUS})[LAYER]
    return found.to(features.device)


def _to_multiples_of_8(picture: Tensor, seamless: bool) -> Tensor:
    """Return an image with sides that are multiples of 8, at least 16: padded, or resized if it is seamless."""
    height, width = picture.shape[-2:]
    tall, wide = (max(16, -(-side // STRIDE) * STRIDE) for side in (height, width))
    if seamless or (tall, wide) == (height, width):
        return resize(picture, (tall, wide))
    return functional.pad(picture, (0, wide - width, 0, tall - height), mode="replicate")


def _from_multiples_of_8(picture: Tensor, size: tuple[int, int], seamless: bool) -> Tensor:
    return resize(picture, size) if seamless else picture[..., : size[0], : size[1]]
