"""Random weights of VGG-19, for tests that need a network and not the one that sees."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.network.weights.vgg19 import layer_shapes


def state_before(last: str = "conv6", seed: int = 7, *, thinner: int = 1) -> dict[str, Tensor]:
    """Return random weights for the convolutions before one, all of them by default.

    Args:
        last: the first convolution that is left out.
        seed: of the weights.
        thinner: what channels are divided by; float64 has no fast convolution.
    """
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, (outputs, inputs, *kernel) in layer_shapes().items():
        if name < last:
            shape = (outputs // thinner, inputs if inputs == 3 else inputs // thinner, *kernel)
            state[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / (shape[1] * 9)) ** 0.5
            state[f"{name}.bias"] = torch.zeros(shape[0])
    return state
