"""Random weights in the shapes of VGG-19, for tests that do not need a trained network."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.network.weights.vgg19 import layer_shapes


def state_before(last: str = "conv6", seed: int = 7, *, thinner: int = 1) -> dict[str, Tensor]:
    """Return random weights for the convolutions before ``last``, by default for all of them.

    Args:
        last: the first convolution without weights.
        seed: random seed.
        thinner: divisor for the numbers of channels, because float64 convolutions are slow.
    """
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, (outputs, inputs, *kernel) in layer_shapes().items():
        if name < last:
            shape = (outputs // thinner, inputs if inputs == 3 else inputs // thinner, *kernel)
            state[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / (shape[1] * 9)) ** 0.5
            state[f"{name}.bias"] = torch.zeros(shape[0])
    return state
