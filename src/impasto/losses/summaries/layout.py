"""Where each layer's numbers lie in a summary, for losses that join them into one vector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


class SummaryLayout:
    """The layers of a summary in their order, and the shape of each layer's numbers.

    Args:
        shapes: shape by layer, in the order in which ``summarize`` joins the flattened tensors.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)
        self._sizes = [math.prod(shape) for shape in shapes.values()]

    def split(self, summary: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer with its numbers, views into ``summary`` in the layer's shape."""
        parts = torch.split(summary, self._sizes)
        for (layer, shape), part in zip(self._shapes.items(), parts, strict=True):
            yield layer, part.view(shape)
