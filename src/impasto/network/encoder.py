"""VGG with named layers: images in, features out.

The encoder maps a canvas ``[B, 3, H, W]``, sRGB in [0, 1], float32 (float64 for an encoder in float64) to a dict from
layer name to features ``[B, C, H/s, W/s]`` in the encoder's dtype, where the stride s is 1, 2, 4, 8 or 16 for the
blocks 1 to 5. Means, BGR order, padding, pooling, dtype and memory format are handled here and nowhere else.

Network: Simonyan & Zisserman, ICLR 2015, configurations D (VGG-16) and E (VGG-19), in the Caffe convention (BGR, 0 to
255, means subtracted). Differences from the paper: the means and the channel order are folded into the first
convolution; the first convolution sees replicated pixels beyond the image's edge instead of zeros (after
crowsonkb/style-transfer-pytorch), which leaves no dark frame around the image; average and L2 pooling are rescaled so
that activations keep the size that max pooling gives.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.errors import ImageError, OptionError, suggest
from impasto.network.convolution import convolve_rectified, cut_back, max_pooled, tapped, turned
from impasto.network.weights.vgg19 import CAFFE_MEAN_BGR
from impasto.options.layer_names import BLOCKS, Network, block, check_layers, stride

Pooling = Literal["max", "average", "l2"]
Padding = Literal["replicate", "zeros", "circular"]

# Factors that restore the activation scale of max pooling, on photographs and paintings (root mean square over
# relu2_1 to relu5_1, on the sample images; 2 and 0.78, which are in use elsewhere, let relu5_1 grow to 3.5 and 1.9).
POOLING_SCALES: dict[str, float] = {"average": 1.43, "l2": 0.65}


class Encoder(nn.Module):
    """VGG-16 or VGG-19 up to the deepest requested layer.

    Args:
        state: ``conv1_1.weight``, ``conv1_1.bias`` and so on, in the Caffe convention.
        network: which of the two the state belongs to.
        pooling: ``max``, ``average`` or ``l2``; the latter two are rescaled, see ``POOLING_SCALES``.
        padding: ``replicate`` continues the edge pixels under the first convolution, ``zeros`` is the original network,
            ``circular`` joins opposite edges in every layer, for images that tile.
        dtype: of everything after the first convolution; the first runs in float32, since bfloat16 holds no 8-bit step.
            With float64 all layers are, which is slow; it is the reference for the other dtypes.
        device: where it runs.
    """

    means: Tensor

    def __init__(
        self,
        state: Mapping[str, Tensor],
        *,
        network: Network = "vgg19",
        pooling: Pooling = "max",
        padding: Padding = "replicate",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise OptionError(f"pooling is {pooling!r}; {suggest(pooling, get_args(Pooling))}", "pooling")
        self.network: Network = network
        self.pooling = pooling
        self.padding = padding
        self.dtype = dtype
        self.device = torch.device(device)
        first_dtype = _at_least_float32(dtype)
        for name, tensor in _folded(state, padding).items():
            kept = tensor.to(self.device, first_dtype if name.startswith("conv1_1") else dtype)
            if kept.ndim == 4:
                kept = kept.contiguous(memory_format=torch.channels_last)
                self.register_buffer(name.replace(".weight", "_back"), turned(kept.to(dtype)), persistent=False)
            self.register_buffer(name.replace(".", "_"), kept, persistent=False)
        means = torch.tensor(CAFFE_MEAN_BGR, dtype=first_dtype).flip(0)
        self.register_buffer("means", means.view(1, 3, 1, 1).to(self.device), persistent=False)

    def to_float32(self) -> Encoder:
        """Return a copy that computes in float32 with the same weights, rounded as they are here."""
        copied = copy.deepcopy(self).float()
        copied.dtype = torch.float32
        return copied

    def forward(
        self,
        canvas: Tensor,
        layers: Collection[str],
        cuts: Mapping[str, tuple[slice, slice]] | None = None,
        windows: Mapping[str, tuple[slice, slice]] | None = None,
    ) -> dict[str, Tensor]:
        """Return the features of the named layers.

        Args:
            canvas: ``[B, 3, H, W]``, sRGB in [0, 1]; float32, or float64 for an encoder in float64.
            layers: names such as ``relu4_1`` or ``conv4_2``.
            cuts: what to keep of the maps that a convolution reads, by its number, such as ``4_1``; see
                ``objective.tiling``.
            windows: what of each convolution's output is returned, by its number; all of it if absent.

        Raises:
            OptionError: the network has no such layer.
            ImageError: the canvas is too small for the deepest layer.
        """
        if not layers:
            return {}
        check_layers(layers, self.network)
        wanted = set(layers)
        deepest = max(wanted, key=lambda name: (block(name), int(name[-1]), name.startswith("relu")))
        least = stride(deepest)
        height, width = canvas.shape[-2:]
        if min(height, width) < least:
            raise ImageError(
                f"an image of {width}x{height} px is too small for layer {deepest}: "
                f"use an image of at least {least} px per side, a larger --size, or shallower layers"
            )
        features: dict[str, Tensor] = {}
        x = canvas
        for number, count in enumerate(BLOCKS[self.network], start=1):
            for index in range(1, count + 1):
                if cuts is not None and (cut := cuts.get(f"{number}_{index}")) is not None:
                    x = cut_back(x, cut)
                x = self._layer(x, f"{number}_{index}", wanted, features)
                if windows is not None and (relu := f"relu{number}_{index}") in features:
                    x, features[relu] = tapped(x, windows[f"{number}_{index}"])
                if deepest in features:
                    return features
            x = self._pool(x)
        return features

    def _layer(self, x: Tensor, name: str, wanted: set[str], features: dict[str, Tensor]) -> Tensor:
        """Return ``relu`` of the named convolution, noting it and what came before it if they are wanted."""
        conv, relu = f"conv{name}", f"relu{name}"
        if conv in wanted or self.padding == "circular" or (name == "1_1" and self.padding == "zeros"):
            x = self._convolve(x, conv)
            if conv in wanted:
                features[conv] = x
                x = functional.relu(x)
            else:
                x = functional.relu_(x)
        else:
            first = name == "1_1"
            x = functional.pad(x, (1, 1, 1, 1), mode="replicate") if first else x
            weight, bias, back = (getattr(self, f"{conv}_{part}") for part in ("weight", "bias", "back"))
            x = convolve_rectified(x, weight, bias, back, padding=0 if first else 1)
        if relu in wanted:
            features[relu] = x
        return x

    def _convolve(self, x: Tensor, name: str) -> Tensor:
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        if name != "conv1_1":
            if self.padding == "circular":
                return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="circular"), weight, bias)
            return functional.conv2d(x, weight, bias, padding=1)
        if self.padding == "zeros":
            # The original network pads with zeros after the means are subtracted: they cannot be folded here.
            out = functional.conv2d(x * 255 - self.means, weight, bias, padding=1)
        else:
            out = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode=self.padding), weight, bias)
        return out.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return max_pooled(x)
        if self.pooling == "average":
            return functional.avg_pool2d(x, 2) * POOLING_SCALES["average"]
        return functional.avg_pool2d(x.square(), 2).mul(4).add(1e-8).sqrt() * POOLING_SCALES["l2"]


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _folded(state: Mapping[str, Tensor], padding: Padding) -> dict[str, Tensor]:
    """Turn the first convolution, for BGR minus means, into one for RGB in [0, 1] (means stay under zero padding)."""
    folded = {name: tensor.detach().to(_at_least_float32(tensor.dtype)) for name, tensor in state.items()}
    weight = folded["conv1_1.weight"]
    if padding == "zeros":
        folded["conv1_1.weight"] = weight.flip(1).contiguous()
        return folded
    means = torch.tensor(CAFFE_MEAN_BGR, dtype=weight.dtype).view(1, 3, 1, 1)
    folded["conv1_1.bias"] = folded["conv1_1.bias"] - (weight * means).sum((1, 2, 3))
    folded["conv1_1.weight"] = (weight.flip(1) * 255).contiguous()
    return folded
