"""From pictures and options to the objective of one scale: targets, terms, and the sizes that make them unitless.

Each term is divided by its own size at a reference point, so that a strength looks alike across pairs of pictures,
sizes and losses: the content term by what it is at noise of the style's colours, the style term by what it is at the
content, total variation by the style's own. A floor keeps a reference from vanishing (a picture repainted with itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from impasto import images
from impasto.encoder import Encoder, stride
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, gram_targets
from impasto.losses.moments import MomentsLoss, raw_moments
from impasto.losses.protocol import Loss
from impasto.losses.tv import TotalVariationLoss, total_variation
from impasto.objective import Objective
from impasto.options import Options
from impasto.schedule import Scale

FLOOR = 1e-6
BALANCE = 6.0  # how much more the style weighs than the content at strength 0.5; by eye, over the pairs in docs/default.md


@dataclass(frozen=True)
class Problem:
    """An objective with what a run needs beside it.

    ``content`` and ``style`` are ``[1, 3, H, W]`` at this scale; ``references`` divide each term's weight.
    """

    objective: Objective
    references: dict[str, float]
    content: Tensor
    style: Tensor


def build(
    encoder: Encoder,
    content: Tensor,
    style: Tensor,
    scale: Scale,
    options: Options,
    style_layers: Mapping[str, float],
    content_layers: Mapping[str, float],
) -> Problem:
    """Return the problem of one scale.

    Args:
        encoder: the network.
        content, style: ``[1, 3, H, W]`` in [0, 1], at their own sizes.
        scale: the canvas's size.
        options: of the run.
        style_layers, content_layers: weight by layer.
    """
    height, width = scale.height, scale.width
    content = resize(content, (height, width))
    style = _style_at(style, max(height, width) * options.features.style_scale)
    units = options.tradeoff.units
    with torch.no_grad():
        style_features = encoder(style, list(style_layers))
        content_features = encoder(content, list(content_layers))
    positions = {layer: float((height // stride(layer)) * (width // stride(layer))) for layer in style_layers}
    terms: dict[str, Loss] = {
        "content": ContentLoss(content_features, content_layers, half_sum=units == "gatys"),
        "style": MomentsLoss(raw_moments(style_features), style_layers, height, width)
        if units == "unitless"
        else GramLoss(gram_targets(style_features), style_layers, positions, normalisation=units),
        "tv": _smoothness(height, width, units),
    }
    objective = Objective(encoder, terms, height, width, tile=options.machine.tile)
    references = dict.fromkeys(terms, 1.0)
    if units == "unitless":
        references = _references(objective, content, style, options.descent.seed)
    return Problem(objective, references, content, style)


def _smoothness(height: int, width: int, units: str) -> TotalVariationLoss:
    if units == "unitless":
        return TotalVariationLoss(height, width)
    # neural-style-pt sums absolute differences of values from 0 to 255.
    return TotalVariationLoss(height, width, norm="l1", factor=255.0 * 3 * height * width)


def _references(objective: Objective, content: Tensor, style: Tensor, seed: int) -> dict[str, float]:
    at_noise = objective.values(style_noise(style, content.shape[-2:], torch.Generator().manual_seed(seed)))
    at_content = objective.values(content)
    return {
        "content": max(at_noise["content"], FLOOR),
        "style": max(at_content["style"], FLOOR) / BALANCE,
        "tv": max(total_variation(style), FLOOR),
    }


def style_noise(style: Tensor, size: torch.Size | tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return noise ``[1, 3, H, W]`` with the style's mean and deviation in each channel."""
    mean, deviation = style.mean((2, 3), keepdim=True), style.std((2, 3), keepdim=True)
    noise = torch.randn(1, 3, *size, generator=generator).to(style.device)
    return (mean + deviation * noise).clamp(0, 1)


def starting_canvas(previous: Tensor | None, problem: Problem, init: str, generator: torch.Generator) -> Tensor:
    """Return the canvas that a scale starts from: the scale before, enlarged, or the initial image.

    Args:
        previous: the picture of the scale before, ``[1, 3, h, w]``, if there was one.
        problem: of this scale.
        init: ``content``, ``random``, ``style`` or a picture file.
        generator: for the random ones.
    """
    size = problem.objective.height, problem.objective.width
    device = problem.content.device
    if previous is not None:
        return resize(previous, size)
    if init == "content":
        return problem.content.clone()
    if init == "random":
        return torch.rand(1, 3, *size, generator=generator).to(device)
    if init == "style":
        return style_noise(problem.style, size, generator)
    pixels = images.load(init).pixels
    return resize(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(device), size)


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a picture ``[1, 3, H, W]`` at another size, antialiased, in [0, 1]."""
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return functional.interpolate(picture, tuple(size), mode="bicubic", antialias=True).clamp(0, 1)


def _style_at(style: Tensor, long_side: float) -> Tensor:
    """Bring the style to a long side; a style is made smaller where it must be, never larger."""
    height, width = style.shape[-2:]
    factor = min(1.0, long_side / max(height, width))
    least = 16
    return resize(style, (max(least, round(height * factor)), max(least, round(width * factor))))
