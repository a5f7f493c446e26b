"""The options of a run as keyword arguments, for type checkers: one key per option, under its flat name.

``**options: Unpack[OptionFields]`` in a signature accepts any subset of them. A test compares the keys and types with
the dataclasses in ``fields``, which have the defaults, ranges and descriptions.
"""

from __future__ import annotations

from typing import Literal, TypedDict, cast

from impasto.options.choices import (
    Color,
    ContentLossName,
    NetworkName,
    OptimizerName,
    PoolingName,
    Precision,
    Quality,
    StyleLossName,
    TvNorm,
    Units,
)


class OptionFields(TypedDict, total=False):
    """Options by their flat names, and the name of the recipe."""

    recipe: str | None
    # LossWeights
    strength: float | None
    content_weight: float | None
    style_weight: float | None
    tv_weight: float
    units: Units
    # Features
    style_layers: str | None
    content_layers: str | None
    pooling: PoolingName
    network: NetworkName
    style_loss: StyleLossName | None
    content_loss: ContentLossName
    preservation: float
    per_layer_fraction: float
    refresh_every: int | None
    style_scale: float
    # Optimization
    init: str
    seed: int
    optimizer: OptimizerName
    step_size: float
    quality: Quality
    steps: int | str | None
    scales: int | None
    time: str | None
    tolerance: float
    # Regularizers
    tv_norm: TvNorm | None
    edge_weight: float
    color_anchor_weight: float
    photorealism_weight: float
    despeckle_weight: float
    border_weight: float
    # Control
    color: Color
    final_recolor: float
    saturation: float
    style_blend: str | None
    style_scales: str | None
    rotate_style: float
    protect_strength: float
    seamless: bool
    # FeedForward
    fast: bool
    model: str | None
    # Output
    size: str | float | None
    dpi: float | None
    bits: Literal[8, 16]
    keep_location: bool
    no_metadata: bool
    max_pixels: int
    # Machine
    device: str
    precision: Precision
    threads: int | None
    tile: int | None
    memory: str | None
    weights: str | None


def passed(options: OptionFields) -> OptionFields:
    """Return the options that are given, without those that are None."""
    return cast(OptionFields, {name: value for name, value in options.items() if value is not None})
