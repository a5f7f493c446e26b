"""The coarse-to-fine schedule as plain data: the sizes of a run and the number of steps at each.

Large shapes of the style come from the coarse scales, where the network's receptive field covers more of the image;
brush strokes come from the fine ones. Coarse scales lose content more easily, so each scale has a factor for the
content weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from impasto.options.fields import Options
from impasto.options.layer_names import SMALLEST_SIDE

RATIO = 0.6
SMALLEST_LONG_SIDE = 150
CONTENT_EXPONENT = 1.0

# Steps from the coarsest scale to the finest; sizes in between take the geometric mean.
STEPS: dict[str, tuple[int, int]] = {"draft": (30, 8), "standard": (60, 22), "fine": (150, 80)}


@dataclass(frozen=True)
class Scale:
    """One scale of a run.

    ``content_factor`` multiplies the content weight; ``per_layer`` says that nearest neighbors are searched separately
    in each layer.
    """

    height: int
    width: int
    steps: int
    content_factor: float = 1.0
    per_layer: bool = False

    def as_data(self) -> list[float]:
        """Return the scale as a record stores it."""
        return [self.height, self.width, self.steps, self.content_factor, *[True] * self.per_layer]

    @classmethod
    def from_data(cls, data: Sequence[float]) -> Scale:
        """Return the scale that ``as_data`` stored."""
        height, width, steps, factor, *per_layer = data
        return cls(int(height), int(width), int(steps), float(factor), bool(per_layer))


def scales_for(options: Options, height: int, width: int) -> list[Scale]:
    """Return the scales of a run with these options that ends at ``(height, width)``.

    The steps of scales too small for the network go to the finest scale. With ``per_layer_fraction``, the last entry is
    the pass that matches each layer separately, at the finest size.
    """
    descent = options.optimization
    share = options.features.per_layer_fraction if options.features.style_loss == "nearest" else 0.0
    steps = None if descent.steps is None else max(1, round((1 - share) * descent.steps))
    scales = plan_scales(height, width, quality=descent.quality, scales=descent.scales, steps=steps)
    large = [scale for scale in scales[:-1] if min(scale.height, scale.width) >= SMALLEST_SIDE] + scales[-1:]
    if steps is not None:
        large[-1] = replace(large[-1], steps=large[-1].steps + steps - sum(scale.steps for scale in large))
    last = round(share * sum(scale.steps for scale in large)) if descent.steps is None else descent.steps - (steps or 0)
    return [*large, replace(large[-1], steps=last, per_layer=True)] if last else large


def plan_scales(
    height: int, width: int, *, quality: str, scales: int | None = None, steps: int | None = None
) -> list[Scale]:
    """Return the scales of a run, coarsest first, the last being ``(height, width)``.

    Args:
        height, width: the final size in px.
        quality: a key of ``STEPS``.
        scales: number of scales; depends on the size if absent.
        steps: evaluations over all scales; depends on the quality if absent.
    """
    long_side = max(height, width)
    if scales is None:
        scales = 1 + max(0, math.floor(math.log(SMALLEST_LONG_SIDE / long_side) / math.log(RATIO) + 0.5))
    factors = [RATIO ** (scales - 1 - k) for k in range(scales)]
    shares = _shares(quality, scales)
    if steps is not None:
        shares = _apportion(steps, shares)
    return [
        Scale(
            max(1, round(height * factor)) if factor < 1 else height,
            max(1, round(width * factor)) if factor < 1 else width,
            count,
            factor**-CONTENT_EXPONENT,
        )
        for factor, count in zip(factors, shares, strict=True)
        if count
    ]


def _shares(quality: str, scales: int) -> list[int]:
    first, last = STEPS[quality]
    if scales == 1:
        return [round(first + last)]
    return [round(first * (last / first) ** (k / (scales - 1))) for k in range(scales)]


def _apportion(total: int, shares: list[int]) -> list[int]:
    """Divide a number of steps in proportion to shares; the finest scale is filled first and gets at least one."""
    weight = sum(shares)
    counts = [math.floor(total * share / weight) for share in shares]
    counts[-1] += total - sum(counts)
    return counts
