"""A blend of several styles, each with a weight.

``Blended`` is a loss against several styles whose weights can be changed during a run. Statistics that mix linearly
(Gram matrices, raw moments) are mixed, which asks for strokes that are between the styles; others cannot be mixed, and
the losses are, which asks for an image between the styles. Gatys, Ecker, Bethge, Hertzmann & Shechtman, CVPR 2017,
section 6, mix styles; that a blend of a style with itself is that style holds either way. 0 means the mixed statistics
are met, or those of all styles simultaneously.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import Features, Loss, Refreshing, Sweep
from impasto.losses.summaries.tile_window import TileWindow

Moments = Mapping[str, Tensor]


def blend_name(index: int) -> str:
    """Return the name by which a style's weight is steered: ``blend:1`` for the first."""
    return f"blend:{index + 1}"


def mix(moments: Sequence[Moments], parts: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of raw moments, layer by layer; the parts need not sum to one."""
    total = sum(parts)
    return {
        layer: torch.stack([part / total * each[layer] for part, each in zip(parts, moments, strict=True)]).sum(0)
        for layer in moments[0]
    }


class Blended:
    """A loss against several styles.

    Args:
        parts: of each style, 0 or more, not all 0.
        make: builds the loss for parts that sum to one: against mixed moments, or a ``Weighted`` of one loss per style.
    """

    def __init__(self, parts: Sequence[float], make: Callable[[Sequence[float]], Loss]) -> None:
        self.parts = tuple(parts)
        self._make = make
        self._loss = make(_normalized(parts))

    @property
    def layers(self) -> tuple[str, ...]:
        """Encoder layers read."""
        return self._loss.layers

    @property
    def halo_px(self) -> int:
        """Pixels read beyond a tile and the encoder's receptive field."""
        return self._loss.halo_px

    @property
    def refresh_every(self) -> int | None:
        """Steps between two refreshes of samples and matches; None without any."""
        return self._loss.refresh_every

    def blend(self, weights: Mapping[str, float]) -> None:
        """Set the styles' weights by name (see ``blend_name``); if all are 0 they do not change."""
        parts = tuple(weights.get(blend_name(index), part) for index, part in enumerate(self.parts))
        if parts != self.parts and sum(parts) > 0:
            self.parts = parts
            self._loss = self._make(_normalized(parts))

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the inner loss's summary."""
        return self._loss.summarize(canvas, features, window)

    def value(self, summary: Tensor) -> Tensor:
        """Return the inner loss's value."""
        return self._loss.value(summary)

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Refresh the samples and matches of the inner loss."""
        if isinstance(self._loss, Refreshing):
            self._loss.refresh(generator, sweep)

    def state(self) -> dict[str, Tensor]:
        """Return the samples and matches of the inner loss."""
        return self._loss.state() if isinstance(self._loss, Refreshing) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        if isinstance(self._loss, Refreshing):
            self._loss.load_state(state)


class Weighted:
    """A weighted sum of losses, whose summaries stand side by side.

    Args:
        losses: each against one style; their summaries have one size.
        parts: weight of each.
    """

    def __init__(self, losses: Sequence[Loss], parts: Sequence[float]) -> None:
        self._losses, self._parts = tuple(losses), tuple(parts)
        self.layers = tuple(dict.fromkeys(layer for loss in losses for layer in loss.layers))
        self.halo_px = max((loss.halo_px for loss in losses), default=0)
        intervals = [loss.refresh_every for loss in losses if loss.refresh_every is not None]
        self.refresh_every: int | None = min(intervals, default=None)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the losses' summaries one after another."""
        summaries = [loss.summarize(canvas, features, window) for loss in self._losses]
        assert len({len(summary) for summary in summaries}) == 1
        return torch.cat(summaries)

    def value(self, summary: Tensor) -> Tensor:
        """Return the weighted sum of the losses' values."""
        shares = summary.chunk(len(self._losses))
        values = [part * loss.value(share) for part, loss, share in zip(self._parts, self._losses, shares, strict=True)]
        return torch.stack(values).sum()

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Refresh the losses, each from the same draws, so that equal styles stay equal."""
        start = generator.get_state()
        for loss in self._losses:
            if isinstance(loss, Refreshing):
                generator.set_state(start)
                loss.refresh(generator, sweep)

    def state(self) -> dict[str, Tensor]:
        """Return the samples and matches of the losses, keyed by the number of the loss."""
        return {
            f"{number} {name}": value
            for number, loss in enumerate(self._losses)
            if isinstance(loss, Refreshing)
            for name, value in loss.state().items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        for number, loss in enumerate(self._losses):
            own = {name.partition(" ")[2]: v for name, v in state.items() if name.partition(" ")[0] == str(number)}
            if isinstance(loss, Refreshing) and own:
                loss.load_state(own)


def _normalized(parts: Sequence[float]) -> list[float]:
    return [part / sum(parts) for part in parts]
