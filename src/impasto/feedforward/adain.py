"""The encoder and decoder of AdaIN: an image to features of relu4_1 and back, tile by tile if it is large.

Images are ``[1, 3, H, W]``, sRGB in [0, 1], H and W multiples of 8; features are ``[1, 512, H/8, W/8]`` in the
network's dtype. Network: Huang & Belongie, ICCV 2017: VGG-19 to relu4_1 with its activations normalized, and a mirrored
decoder with nearest upsampling; both pad by reflection. Difference from the paper: the input's channel reordering is
folded into the first convolution. The halo of a tile is as wide as the network's receptive field, so tiles join without
a seam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import WeightsError
from impasto.losses.summaries.protocol import at_least_float32

STRIDE = 8
ENCODER = ("conv1_1", "conv1_2", "pool", "conv2_1", "conv2_2", "pool", "conv3_1", "conv3_2", "conv3_3", "conv3_4",
           "pool", "conv4_1")  # fmt: skip
DECODER = ("conv4_1", "up", "conv3_4", "conv3_3", "conv3_2", "conv3_1", "up", "conv2_2", "conv2_1", "up", "conv1_2",
           "conv1_1")  # fmt: skip
HALO = 32  # px; the receptive radius of a feature is 30 px beyond its cell
DECODER_HALO = 5  # cells; the receptive radius of an output pixel is at most this
MAX_UNTILED = 1_200_000  # px; larger images are painted in tiles by every network
TILE = 512


class AdainNetwork:
    """Encoder and decoder.

    Args:
        state: weights as returned by ``weights.adain_state``.
        device: device of the network.
        dtype: dtype of all convolutions but the first and the last.

    Raises:
        WeightsError: a layer is missing or has a wrong shape.
    """

    def __init__(
        self, state: Mapping[str, Tensor], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self._layers: dict[str, tuple[Tensor, Tensor]] = {}
        folded = _fold_input(state)
        for part, order in (("encoder", ENCODER), ("decoder", DECODER)):
            for name in order:
                if name.startswith("conv"):
                    key = f"{part}.{name}"
                    exact = key in ("encoder.conv1_1", "decoder.conv1_1")
                    kind = torch.promote_types(dtype, torch.float32) if exact else dtype
                    weight, bias = (folded[f"{key}.{what}"].to(self.device, kind) for what in ("weight", "bias"))
                    self._layers[key] = (weight.contiguous(memory_format=torch.channels_last), bias)

    def encode(self, picture: Tensor, tile: int | None = None, padding: str = "reflect") -> Tensor:
        """Return the features of an image.

        Args:
            picture: ``[1, 3, H, W]``, H and W multiples of 8.
            tile: side of a tile in px, a multiple of 8; no tiles if absent.
            padding: padding mode at the image's edges: ``reflect``, or ``circular`` for seamless images.
        """
        height, width = picture.shape[-2:]
        if tile is None or tile >= max(height, width):
            return self._encode(picture, padding)
        features = torch.empty(1, 512, height // STRIDE, width // STRIDE, dtype=self.dtype, device=self.device)
        for top, bottom, left, right in tiles(height, width, tile):
            t, b, l, r = _with_halo(top, bottom, left, right, HALO, height, width)  # noqa: E741
            part = self._encode(picture[..., t:b, l:r], padding)
            y, x = (top - t) // STRIDE, (left - l) // STRIDE
            h, w = (bottom - top) // STRIDE, (right - left) // STRIDE
            features[..., top // STRIDE : bottom // STRIDE, left // STRIDE : right // STRIDE] = part[
                ..., y : y + h, x : x + w
            ]
        return features

    def decode(self, features: Tensor, tile: int | None = None, padding: str = "reflect") -> Tensor:
        """Return the image ``[1, 3, H, W]`` of features, float32 (float64 for float64) and not yet in [0, 1].

        Args:
            features: ``[1, 512, H/8, W/8]``.
            tile: side of a tile in px, a multiple of 8; no tiles if absent.
            padding: as for ``encode``.
        """
        height, width = features.shape[-2:]
        if tile is None or tile >= max(height, width) * STRIDE:
            return self._decode(features, padding)
        kind = torch.promote_types(self.dtype, torch.float32)
        picture = torch.empty(1, 3, height * STRIDE, width * STRIDE, dtype=kind, device=self.device)
        for top, bottom, left, right in tiles(height, width, tile // STRIDE):
            t, b, l, r = _with_halo(top, bottom, left, right, DECODER_HALO, height, width)  # noqa: E741
            part = self._decode(features[..., t:b, l:r], padding)
            y, x = (top - t) * STRIDE, (left - l) * STRIDE
            h, w = (bottom - top) * STRIDE, (right - left) * STRIDE
            picture[..., top * STRIDE : bottom * STRIDE, left * STRIDE : right * STRIDE] = part[
                ..., y : y + h, x : x + w
            ]
        return picture

    def _encode(self, x: Tensor, padding: str) -> Tensor:
        x = x.to(self.device)
        for name in ENCODER:
            if name == "pool":
                x = functional.max_pool2d(x, 2)
            else:
                x = self._convolve(x, f"encoder.{name}", padding).to(self.dtype).relu_()
        return x

    def _decode(self, x: Tensor, padding: str) -> Tensor:
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for name in DECODER:
            if name == "up":
                x = functional.interpolate(x, scale_factor=2, mode="nearest")
            elif name == DECODER[-1]:
                x = self._convolve(at_least_float32(x), f"decoder.{name}", padding)
            else:
                x = self._convolve(x, f"decoder.{name}", padding).relu_()
        return x

    def _convolve(self, x: Tensor, key: str, padding: str) -> Tensor:
        weight, bias = self._layers[key]
        x = x.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode=padding), weight, bias)


def tiles(height: int, width: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield ``top, bottom, left, right`` of tiles that cover a map; a last tile too thin to pad is merged."""
    for top, bottom in _spans(height, side):
        for left, right in _spans(width, side):
            yield top, bottom, left, right


def _spans(length: int, side: int) -> Iterator[tuple[int, int]]:
    count = max(1, round(length / side))
    for index in range(count):
        yield index * side, length if index == count - 1 else (index + 1) * side


def _with_halo(top: int, bottom: int, left: int, right: int, halo: int, height: int, width: int) -> tuple[int, ...]:
    return max(0, top - halo), min(height, bottom + halo), max(0, left - halo), min(width, right + halo)


def _fold_input(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Check the state and fold the input's 1x1 convolution into the first 3x3 one, exact with reflection padding."""
    for part, order in (("encoder", ENCODER), ("decoder", DECODER)):
        for name in (n for n in order if n.startswith("conv")):
            for kind, dimensions in (("weight", 4), ("bias", 1)):
                found = state.get(f"{part}.{name}.{kind}")
                if found is None or found.ndim != dimensions:
                    problem = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
                    raise WeightsError(f"{part}.{name}.{kind} {problem}: these are not AdaIN's weights")
    folded = {name: at_least_float32(tensor) for name, tensor in state.items()}
    if "encoder.input.weight" in folded:
        weight, mix = folded["encoder.conv1_1.weight"], folded["encoder.input.weight"][:, :, 0, 0]
        shift = folded["encoder.input.bias"]
        folded["encoder.conv1_1.bias"] = folded["encoder.conv1_1.bias"] + torch.einsum("oikl,i->o", weight, shift)
        folded["encoder.conv1_1.weight"] = torch.einsum("oikl,ij->ojkl", weight, mix)
    return folded
