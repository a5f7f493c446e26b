"""Images, features and values of losses in float64, to be compared with formulas.

Features come from the encoder in float32 and are data here: a formula takes the same, so they need not be exact.
"""

from __future__ import annotations

import loss_cases
import numpy as np
import pytest
import torch
from loss_cases import CASES
from torch import Tensor

from impasto.losses.summaries.protocol import Loss, Refreshing
from impasto.losses.summaries.tile_window import TileWindow

H, W = 40, 33
ROUNDING = 1e-10  # relative: thousands of float64 operations, and room for differences of large numbers
Array = np.ndarray


def noise(seed: int, height: int, width: int) -> Tensor:
    return loss_cases.noise(seed, height, width).double()


def picture(seed: int, height: int, width: int) -> Tensor:
    return loss_cases.picture(seed, height, width).double()


def features(canvas: Tensor) -> dict[str, Tensor]:
    """Return features in float64; here they are data, and the encoder that made them need not be exact."""
    return {layer: part.double() for layer, part in loss_cases.features(canvas.float()).items()}


def on_pixels(name: str, target: Tensor) -> Loss:
    """Return a loss of the table that reads no features."""
    return CASES[name].make(target, {}, None)


def vectors(parts: dict[str, Tensor], layer: str) -> Array:
    """Return the positions of a layer, ``[N, C]``."""
    return np.asarray(parts[layer][0].flatten(1).T)


def pair() -> tuple[Tensor, dict[str, Tensor], Tensor, dict[str, Tensor]]:
    canvas, style = noise(2, H, W), picture(1, 48, 40)
    return canvas, features(canvas), style, features(style)


def value(loss: Loss, canvas: Tensor) -> float:
    """Return a loss in float64, its samples and matches drawn for the canvas."""
    parts, window = features(canvas) if loss.layers else {}, TileWindow.whole(*canvas.shape[-2:])
    if isinstance(loss, Refreshing):
        loss.refresh(torch.Generator().manual_seed(3), lambda: [(canvas, parts, window)])
    summary = loss.summarize(canvas, parts, window)
    found = loss.value(summary)
    assert summary.dtype == found.dtype == torch.float64
    return float(found)


def near(expected: float) -> object:
    return pytest.approx(expected, rel=ROUNDING)


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
