"""Small networks and images for the tests of instant mode."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from impasto.feedforward.adain import DECODER, ENCODER

CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512}


@pytest.fixture(scope="session")
def adain() -> dict[str, Tensor]:
    """Random weights in the shape of AdaIN's encoder and decoder, scaled so that signals keep their size."""
    generator = torch.Generator().manual_seed(3)
    state: dict[str, Tensor] = {
        "encoder.input.weight": torch.eye(3).flip(0)[:, :, None, None] * 2,
        "encoder.input.bias": torch.tensor([-1.0, -0.9, -0.8]),
    }
    for part, order in (("encoder", ENCODER), ("decoder", DECODER)):
        width = 3 if part == "encoder" else 512
        layers = [name for name in order if name.startswith("conv")]
        for index, name in enumerate(layers):
            if part == "encoder":
                out = CHANNELS[int(name[4])]
            else:
                out = 3 if index == len(layers) - 1 else CHANNELS[int(layers[index + 1][4])]
            weight = torch.randn(out, width, 3, 3, generator=generator) * (2 / (9 * width)) ** 0.5
            if part == "decoder" and out == 3:
                weight *= 0.1  # images within [0, 1]
            state[f"{part}.{name}.weight"] = weight
            state[f"{part}.{name}.bias"] = torch.full((out,), 0.5 if name == "conv1_1" and part == "decoder" else 0.02)
            width = out
    return state


@pytest.fixture
def photograph() -> Tensor:
    """A soft image ``[1, 3, 64, 80]``."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 80), indexing="ij")
    return torch.stack([x, y, (6 * x * y).sin() / 2 + 0.5])[None]


@pytest.fixture
def painting() -> Tensor:
    """A striped image ``[1, 3, 64, 64]``."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    stripes = (40 * (x + y)).sin() / 2 + 0.5
    return torch.stack([stripes, 0.3 * stripes, 1 - stripes])[None]
