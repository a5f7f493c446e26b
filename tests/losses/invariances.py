"""Changes that leave a loss at the same value; each case of ``loss_cases.CASES`` names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from rounding import SAME

Maps = Mapping[str, Tensor]


@dataclass(frozen=True)
class Invariance:
    """A change that leaves a loss at the same value.

    Args:
        of: what is changed: the canvas, its features, or the summary. ``matches`` are the matches of changed features;
            they stay the same although the value may not.
        change: takes that and, in this order of ``of``, the target image, the target's features, or the features of
            the canvas; returns it changed.
        refresh: whether samples and matches are renewed after a change of features.
        rel: relative tolerance in float64; larger than rounding where the change is not exactly neutral.
    """

    of: Literal["canvas", "features", "summary", "matches"]
    change: Callable[[Any, Any], Any]
    refresh: bool = True
    rel: float = SAME


def shuffled(features: Maps, _: Maps) -> Maps:
    """Rearrange the positions of each layer."""
    draws = torch.Generator().manual_seed(5)
    return {
        layer: part.flatten(2)[..., torch.randperm(part[0, 0].numel(), generator=draws)].view(part.shape)
        for layer, part in features.items()
    }


def scaled(features: Maps, _: Maps) -> Maps:
    """Double the contrast."""
    return {layer: 2 * part for layer, part in features.items()}


def reflected(features: Maps, target: Maps) -> Maps:
    """Reflect the features about those of the target."""
    return {layer: 2 * target[layer] - part for layer, part in features.items()}


def samples_reversed(samples: int, *, joint: bool) -> Callable[[Tensor, Maps], Tensor]:
    """Return a change that reverses the order of the samples in a summary, of each layer or of all layers joined."""

    def change(summary: Tensor, features: Maps) -> Tensor:
        counts = [min(samples, part[0, 0].numel()) for part in features.values()]
        widths = [part.shape[1] for part in features.values()]
        if joint:
            counts, widths = [samples], [len(summary) // samples]
        split = summary.split([count * width for count, width in zip(counts, widths, strict=True)])
        parts = zip(split, counts, widths, strict=True)
        return torch.cat([part.view(count, width).flip(0).flatten() for part, count, width in parts])

    return change


def tripled(summary: Tensor, _: Maps) -> Tensor:
    """Scale every hypercolumn."""
    return 3 * summary


def brighter(canvas: Tensor, _: Tensor) -> Tensor:
    """Add a constant."""
    return canvas + 0.1


def ramped(canvas: Tensor, _: Tensor) -> Tensor:
    """Add a linear ramp from left to right."""
    return canvas + torch.linspace(0, 0.3, canvas.shape[-1], dtype=canvas.dtype)


def checkered(canvas: Tensor, _: Tensor) -> Tensor:
    """Add a checkerboard, whose mean over every cell is zero."""
    rows, columns = torch.arange(canvas.shape[-2])[:, None], torch.arange(canvas.shape[-1])
    return canvas + 0.1 * (1 - 2.0 * ((rows + columns) % 2))


def recolored(canvas: Tensor, target: Tensor) -> Tensor:
    """Add an affine function of the target's colors."""
    return canvas + 0.2 * target.flip(1) + 0.1
