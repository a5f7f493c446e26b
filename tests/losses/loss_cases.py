"""Inputs of the property tests: a narrow random encoder, images, masks, and every loss built for them.

``CASES`` is the table. A case says how its loss is made for a target image, what leaves it unchanged, and at which
image it is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from invariances import (
    Invariance,
    Maps,
    brighter,
    checkered,
    ramped,
    recolored,
    reflected,
    samples_reversed,
    scaled,
    shuffled,
    tripled,
)
from torch import Tensor
from torch.nn import functional

from impasto.losses.batchnorm import BatchNormLoss
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss
from impasto.losses.histogram import HistogramLoss
from impasto.losses.mmd import GaussianMMDLoss, PolynomialMMDLoss
from impasto.losses.moments import MomentsLoss
from impasto.losses.mrf import MRFLoss
from impasto.losses.nearest import NearestLoss
from impasto.losses.per_layer_nearest import PerLayerNearestLoss
from impasto.losses.regularizers.borders import BorderLoss
from impasto.losses.regularizers.color_anchor import ColorAnchorLoss
from impasto.losses.regularizers.edges import EdgeLoss
from impasto.losses.regularizers.matting import MattingLoss
from impasto.losses.regularizers.proof_anchor import ProofAnchorLoss
from impasto.losses.regularizers.specks import SpeckLoss
from impasto.losses.regularizers.tv import TotalVariationLoss
from impasto.losses.sliced import SlicedLoss
from impasto.losses.strotss import SelfSimilarityLoss, StrotssLoss
from impasto.losses.summaries.protocol import Loss, Refreshing
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.wasserstein import WassersteinLoss
from impasto.network.encoder import Encoder
from impasto.objective.objective import Objective
from impasto.options.layer_names import stride

WIDTHS = (4, 6, 8, 8, 8)
COUNTS = (2, 2, 4, 4, 4)
HEIGHT, WIDTH = 149, 101  # neither a multiple of 16 nor of 2
LAYERS = {"relu1_1": 0.3, "relu2_1": 0.3, "relu3_1": 0.4}


@cache
def encoder(dtype: torch.dtype = torch.float32) -> Encoder:
    """Return VGG-19 with a few random channels a block, the same weights in every dtype."""
    draws = torch.Generator().manual_seed(7)
    state, before = {}, 3
    for number, (count, width) in enumerate(zip(COUNTS, WIDTHS, strict=True), start=1):
        for index in range(1, count + 1):
            scale = (2 / (9 * before)) ** 0.5 * (0.02 if (number, index) == (1, 1) else 1.0)
            state[f"conv{number}_{index}.weight"] = torch.randn(width, before, 3, 3, generator=draws) * scale
            state[f"conv{number}_{index}.bias"] = torch.rand(width, generator=draws) * 0.1
            before = width
    return Encoder(state, dtype=dtype)


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Return an image ``[1, 3, H, W]`` with large and small shapes."""
    draws = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for cells, share in ((4, 0.5), (16, 0.3), (64, 0.2)):
        small = torch.rand(1, 3, cells, cells, generator=draws)
        total += share * functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    return total


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Return uniform noise ``[1, 3, H, W]``."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def features(canvas: Tensor, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Return the features of ``LAYERS``, in the canvas's dtype if none is given."""
    with torch.no_grad():
        return encoder(dtype or canvas.dtype)(canvas, list(LAYERS))


@cache
def soft_mask(height: int = HEIGHT, width: int = WIDTH, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return a mask by layer that rises from left to right and is empty on one side."""
    ramp = torch.linspace(-0.3, 1, width).clamp_min(0).expand(1, 1, height, width)
    return {
        layer: functional.interpolate(ramp, (height // stride(layer), width // stride(layer)), mode="area").to(dtype)
        for layer in LAYERS
    }


@dataclass(frozen=True)
class Case:
    """A loss of the table.

    Args:
        make: builds the loss for a target image, its features and a mask of the canvas.
        invariance: a change that leaves the loss at the same value.
        own: makes of the target the image at which the loss is 0.
        floor: what is left there, relative to the loss at noise.
        masked: whether it takes a mask.
    """

    make: Callable[[Tensor, Maps, Maps | None], Loss]
    invariance: Invariance
    own: Callable[[Tensor], Tensor] = lambda target: target
    floor: float = 1e-6
    masked: bool = True


def _flat(target: Tensor) -> Tensor:
    return torch.full_like(target, 0.4)


def _size(target: Tensor) -> tuple[int, int]:
    return target.shape[-2], target.shape[-1]


def _target(picture: Tensor, style: Maps, mask: Maps | None) -> StyleTarget:
    return StyleTarget(style, LAYERS, *_size(picture), mask, mask, picture)


ANY_ORDER = Invariance("features", shuffled)
BRIGHTNESS = Invariance("canvas", brighter)

CASES: dict[str, Case] = {
    "gram": Case(lambda t, f, m: GramLoss(_target(t, f, m)), ANY_ORDER),
    "moments": Case(lambda t, f, m: MomentsLoss(_target(t, f, m)), ANY_ORDER),
    "wasserstein": Case(lambda t, f, m: WassersteinLoss(_target(t, f, m)), ANY_ORDER, floor=2e-3),
    "batchnorm": Case(lambda t, f, m: BatchNormLoss(_target(t, f, m)), ANY_ORDER),
    "mmd": Case(lambda t, f, m: PolynomialMMDLoss(_target(t, f, m)), ANY_ORDER),
    "mmd-gauss": Case(
        lambda t, f, m: GaussianMMDLoss(_target(t, f, m), samples=200),
        Invariance("summary", samples_reversed(200, joint=False)),
    ),
    "sliced": Case(lambda t, f, m: SlicedLoss(_target(t, f, m)), ANY_ORDER),
    "histogram": Case(lambda t, f, m: HistogramLoss(_target(t, f, m)), ANY_ORDER),
    "mrf": Case(
        lambda t, f, m: MRFLoss(StyleTarget(f, {"relu2_1": 0.5, "relu3_1": 0.5}, *_size(t), m)),
        Invariance("matches", scaled),
        floor=1e-5,
    ),
    "nearest": Case(
        lambda t, f, m: NearestLoss(StyleTarget(f, LAYERS, *_size(t), m), content=f, preservation=0.75),
        Invariance("features", scaled, refresh=False),
        floor=1e-5,
    ),
    "per_layer": Case(
        lambda t, f, m: PerLayerNearestLoss(StyleTarget(f, LAYERS, *_size(t), m), side=32),
        Invariance("features", scaled),
        floor=1e-5,
    ),
    "strotss": Case(
        lambda t, f, m: StrotssLoss(_target(t, f, m), samples=200, style_samples=200),
        Invariance("summary", samples_reversed(200, joint=True)),
    ),
    "content": Case(lambda t, f, m: ContentLoss(f, LAYERS, mask=m), Invariance("features", reflected)),
    "self-similarity": Case(
        lambda t, f, m: SelfSimilarityLoss(f, LAYERS, t, mask=m, samples=200),
        Invariance("summary", tripled),
        floor=1e-5,
    ),
    "edges": Case(lambda t, f, m: EdgeLoss(t), Invariance("canvas", ramped), masked=False),
    "anchor": Case(lambda t, f, m: ColorAnchorLoss(t), Invariance("canvas", checkered, rel=1e-3), masked=False),
    "matting": Case(
        lambda t, f, m: MattingLoss(t), Invariance("canvas", recolored, rel=1e-6), masked=False, floor=1e-3
    ),
    "composition": Case(lambda t, f, m: ProofAnchorLoss(t, cell=8), Invariance("canvas", checkered), masked=False),
    "specks": Case(lambda t, f, m: SpeckLoss(*_size(t)), BRIGHTNESS, own=_flat, masked=False),
    "border": Case(lambda t, f, m: BorderLoss(*_size(t)), BRIGHTNESS, own=_flat, masked=False),
    "tv-l1": Case(lambda t, f, m: TotalVariationLoss(*_size(t), norm="l1"), BRIGHTNESS, own=_flat, masked=False),
    "tv-l2": Case(lambda t, f, m: TotalVariationLoss(*_size(t), norm="l2"), BRIGHTNESS, own=_flat, masked=False),
    "tv-nine": Case(lambda t, f, m: TotalVariationLoss(*_size(t), norm="nine"), BRIGHTNESS, own=_flat, masked=False),
}


def make(name: str, target: Tensor, *, masked: bool = False, dtype: torch.dtype | None = None) -> Loss:
    """Return a loss of the table for a target image, whose features are in its dtype if none is given."""
    mask = soft_mask(*_size(target), target.dtype) if masked else None
    return CASES[name].make(target, features(target, dtype), mask)


def stage(
    loss: Loss, canvas: Tensor, *, tile: int | None = None, refresh: bool = True, dtype: torch.dtype | None = None
) -> Objective:
    """Return an objective of one loss, its samples and matches drawn for a canvas; as ``make`` does."""
    objective = Objective(encoder(dtype or canvas.dtype), {"it": loss}, *_size(canvas), tile=tile)
    if refresh and isinstance(loss, Refreshing):
        loss.refresh(torch.Generator().manual_seed(3), lambda: objective.sweep(canvas))
    return objective
