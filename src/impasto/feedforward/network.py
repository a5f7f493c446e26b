"""A feed-forward network that stylizes an image in one pass.

The input is ``[B, 3, H, W]``, sRGB in [0, 1], each side at least 16 px, and for an arbitrary-style network also a
painting; the output has the same size, in [0, 1]. After Johnson, Alahi & Fei-Fei, ECCV 2016 (two strided convolutions,
residual blocks, upsampling) with instance normalization (Ulyanov, Vedaldi & Lempitsky, CVPR 2017) and nearest
upsampling. For arbitrary styles, a small network predicts the scales and shifts of the normalizations from the painting
(Ghiasi et al., BMVC 2017). Differences from the paper: width and depth are options; the output is added to the image
before a sigmoid, so training starts at the content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.losses.summaries.protocol import at_least_float32

MARGIN = 0.02  # colors are clamped this far from 0 and 1 before the logit
HALO = 64  # px; with five blocks the receptive radius of an output pixel is at most 56
STYLE_INPUT_SIDE = 256  # px; long side to which a painting is reduced for the style predictor
# Prefixes of parameter names in files of version 1, and what they are called now.
OLD_PREFIXES = {"enter.": "stem.", "leave.": "head.", "reader.": "style_predictor."}


@dataclass(frozen=True)
class Shape:
    """The width and depth of a network, and whether it accepts arbitrary styles."""

    width: int = 32
    blocks: int = 5
    any_style: bool = False

    @property
    def channels(self) -> list[int]:
        """The channels of every normalization, in order."""
        w = self.width
        return [w, 2 * w, 4 * w, *([4 * w] * (2 * self.blocks)), 2 * w, w]


@dataclass
class Moments:
    """Means and deviations of the normalizations: collected in one pass, or fixed for all tiles of an image."""

    found: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    fixed: bool = False

    def of(self, features: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Return mean and inverse deviation of a normalization, ``[B, C, 1, 1]``."""
        if self.fixed:
            mean, inverse = self.found[index]
            return mean.to(features), inverse.to(features)
        variance, mean = torch.var_mean(features, (2, 3), correction=0, keepdim=True)
        inverse = (variance + 1e-5).rsqrt()
        self.found.append((mean, inverse))
        return mean, inverse


class StyleNetwork(nn.Module):
    """The feed-forward network.

    Args:
        shape: width, depth and kind of the network.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        w = shape.width
        self.stem = nn.Conv2d(3, w, 9)
        self.down1 = nn.Conv2d(w, 2 * w, 3, 2)
        self.down2 = nn.Conv2d(2 * w, 4 * w, 3, 2)
        self.blocks = nn.ModuleList(nn.Conv2d(4 * w, 4 * w, 3) for _ in range(2 * shape.blocks))
        self.up1 = nn.Conv2d(4 * w, 2 * w, 3)
        self.up2 = nn.Conv2d(2 * w, w, 3)
        self.head = nn.Conv2d(w, 3, 9)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.constant_(self.head.bias, 0.0)  # type: ignore[arg-type]
        self.scales = nn.ParameterList(torch.ones(count) for count in shape.channels)
        self.shifts = nn.ParameterList(torch.zeros(count) for count in shape.channels)
        self.style_predictor = StylePredictor(2 * sum(shape.channels)) if shape.any_style else None

    def forward(self, picture: Tensor, style: Tensor | None = None) -> Tensor:
        """Return the painted images.

        Args:
            picture: ``[B, 3, H, W]`` in [0, 1].
            style: ``[B, 3, h, w]`` or ``[1, 3, h, w]`` for an arbitrary-style network.
        """
        return self.paint(picture, self.style_parameters(style), Moments())

    def style_parameters(self, style: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Return scale and shift of every normalization, ``[B or 1, C, 1, 1]``."""
        base = [(a.view(1, -1, 1, 1), b.view(1, -1, 1, 1)) for a, b in zip(self.scales, self.shifts, strict=True)]
        if self.style_predictor is None:
            return base
        assert style is not None, "an any-style network needs a painting"
        predicted = self.style_predictor(style)[:, :, None, None]
        counts = [count for channels in self.shape.channels for count in (channels, channels)]
        offsets = predicted.split(counts, 1)
        return [(a + offsets[2 * k], b + offsets[2 * k + 1]) for k, (a, b) in enumerate(base)]

    def paint(self, picture: Tensor, parameters: list[tuple[Tensor, Tensor]], moments: Moments) -> Tensor:
        """Return the painted images ``[B, 3, H, W]``.

        Args:
            picture: ``[B, 3, H, W]`` in [0, 1].
            parameters: the scales and shifts, as ``style_parameters`` returns them.
            moments: fixed ones are used; others are computed and collected here.
        """
        height, width = picture.shape[-2:]
        at = iter(range(len(parameters)))

        def normal(x: Tensor) -> Tensor:
            index = next(at)
            mean, inverse = moments.of(x, index)
            scale, shift = parameters[index]
            return (x - mean) * (inverse * scale.to(x)) + shift.to(x)

        x = functional.relu(normal(self.stem(_padded(picture, 4))))
        x = functional.relu(normal(self.down1(_padded(x, 1))))
        x = functional.relu(normal(self.down2(_padded(x, 1))))
        for first, second in _pairs(self.blocks):
            y = functional.relu(normal(first(_padded(x, 1))))
            x = x + normal(second(_padded(y, 1)))
        x = functional.relu(normal(self.up1(_padded(_doubled(x), 1))))
        x = functional.relu(normal(self.up2(_padded(_doubled(x), 1))))
        x = at_least_float32(self.head(_padded(x, 4))[..., :height, :width])
        clamped = at_least_float32(picture).clamp(MARGIN, 1 - MARGIN)
        return torch.sigmoid(x + torch.log(clamped / (1 - clamped)))


class StylePredictor(nn.Module):
    """Predicts scales and shifts from a painting: five convolutions, means and deviations of the last, one matrix."""

    def __init__(self, count: int) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96, 128)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, padding=1) for a, b in pairwise(widths))
        self.matrix = nn.Linear(2 * widths[-1], count)
        nn.init.normal_(self.matrix.weight, std=1e-3)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, style: Tensor) -> Tensor:
        """Return ``[B, count]`` of paintings ``[B, 3, h, w]``."""
        x = style * 2 - 1
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
        variance, mean = torch.var_mean(at_least_float32(x), (2, 3), correction=0)
        predicted: Tensor = self.matrix(torch.cat([mean, (variance + 1e-5).sqrt()], 1))
        return predicted


def current_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file under the current parameter names; version 1 had different names for three
    modules."""
    renamed = {}
    for name, value in tensors.items():
        old = next((prefix for prefix in OLD_PREFIXES if name.startswith(prefix)), None)
        renamed[name if old is None else OLD_PREFIXES[old] + name.removeprefix(old)] = value
    return renamed


def _padded(x: Tensor, by: int) -> Tensor:
    return functional.pad(x, (by, by, by, by), mode="reflect")


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _pairs(blocks: nn.ModuleList) -> Iterator[tuple[nn.Module, nn.Module]]:
    for index in range(0, len(blocks), 2):
        yield blocks[index], blocks[index + 1]
