"""The network's layers by name, for those who check a wish without the network.

In: names such as ``relu4_1`` or ``conv4_2``. Out: the names that there are, or an OptionError. No torch.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from impasto.errors import OptionError, suggest

Network = Literal["vgg19", "vgg16"]

BLOCKS: dict[str, tuple[int, ...]] = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
SMALLEST_SIDE = 16  # px: one position of the deepest layers


def layer_names(network: Network = "vgg19") -> list[str]:
    """Return every layer that can be named, in the order in which the network computes them."""
    return [
        f"{kind}{block}_{index}"
        for block, count in enumerate(BLOCKS[network], start=1)
        for index in range(1, count + 1)
        for kind in ("conv", "relu")
    ]


def check_layers(layers: Collection[str], network: Network = "vgg19", option: str = "layers") -> None:
    """Raise OptionError for a layer that the network does not have."""
    known = layer_names(network)
    for layer in layers:
        if layer not in known:
            raise OptionError(f"{option}: {network} has no layer {layer!r}; {suggest(layer, known)}", option)
