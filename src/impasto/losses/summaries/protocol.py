"""The protocol of a loss: ``value(sum over tiles of summarize(tile))``.

Because of this split, tiles, processes and masks add up to exactly the loss of the whole image. A loss with
samples or matches can also ``refresh`` them; between two refreshes it is a fixed function of the canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from impasto.losses.summaries.tile_window import TileWindow

Features = Mapping[str, Tensor]
Maps = Mapping[str, Tensor]
"""Weight of each position by layer, ``[1, 1, H/s, W/s]``: a mask brought to the layers."""

Sweep = Callable[[], Iterable[tuple[Tensor, Features, TileWindow]]]
"""Yields (canvas, features, window) tile by tile, without gradient."""


class Loss(Protocol):
    """A term of the objective; a mask is a weight inside ``summarize``.

    A class that implements it declares all three attributes.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Encoder layers read, by name; none for a loss on pixels."""
        ...

    @property
    def halo_px(self) -> int:
        """Pixels read beyond a tile and the encoder's own receptive field, as for patches; 0 for most losses."""
        ...

    @property
    def refresh_every(self) -> int | None:
        """Steps between two refreshes of samples or matches; 0 to refresh once a scale; None without any."""
        ...

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return a vector ``[K]`` that adds up over disjoint tiles; float32 or float64, never less.

        Args:
            canvas: ``[1, 3, h, w]``, the part that the tile reads, sRGB in [0, 1].
            features: the layers of ``layers`` on that canvas, ``[1, C, h/s, w/s]``.
            window: the part inside the tile.
        """
        ...

    def value(self, summary: Tensor) -> Tensor:
        """Return the loss, a scalar of the summary's dtype, from the summaries' sum over all tiles."""
        ...


@runtime_checkable
class Refreshing(Loss, Protocol):
    """A loss whose samples or matches are redrawn from time to time; between two refreshes it is a fixed function."""

    refresh_every: int | None

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Draw new samples or matches."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the samples or matches, for a checkpoint."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        ...


def at_least_float32(values: Tensor) -> Tensor:
    """Return values in float32, or unchanged where they are in float64: sums are never taken in half precision."""
    return values if values.dtype == torch.float64 else values.float()
