"""Layers of the networks by name, without loading the networks or torch.

Names are those of the papers, such as ``relu4_1`` or ``conv4_2``. An OptionError lists the layers.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from impasto.errors import OptionError, suggest

Network = Literal["vgg19", "vgg16"]

BLOCKS: dict[str, tuple[int, ...]] = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
SMALLEST_SIDE = 16  # px: one position of the deepest layers

CHANNELS = (64, 128, 256, 512, 512)
_LAYER = re.compile(r"(?:relu|conv)([1-5])_([1-4])")


def layer_names(network: Network = "vgg19") -> list[str]:
    """Return the names of all layers, in the order in which the network computes them."""
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


def block(layer: str) -> int:
    """Return the block, 1 to 5, that a layer belongs to."""
    match = _LAYER.fullmatch(layer)
    if match is None:
        raise OptionError(f"there is no layer {layer!r}; {suggest(layer, layer_names())}", "layers")
    return int(match[1])


def stride(layer: str) -> int:
    """Return the distance in px between two positions of a layer."""
    return 1 << (block(layer) - 1)


def channels(layer: str) -> int:
    """Return the number of channels of a layer."""
    return CHANNELS[block(layer) - 1]


def receptive_radius(layers: Collection[str], network: Network = "vgg19") -> int:
    """Return the receptive radius in px of the deepest layer: how far it reads beyond its own cell.

    A tile that is extended by this many pixels on every side has exact features inside.
    """
    furthest = 0
    for layer in layers:
        number, index = block(layer), int(layer[-1])
        reach = sum(count << b for b, count in enumerate(BLOCKS[network][: number - 1]))
        reach += index << (number - 1)
        furthest = max(furthest, reach)
    return furthest
