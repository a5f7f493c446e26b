"""The interface of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """Holds a canvas inside [0, 1] and updates it with gradients."""

    @property
    def min_refresh_interval(self) -> int:
        """Fewest steps for which samples and matches should stay fixed."""
        ...

    def canvas(self) -> Tensor:
        """Return the canvas to evaluate next, ``[1, 3, H, W]`` in [0, 1]."""
        ...

    def picture(self) -> Tensor:
        """Return the image to show and to save, ``[1, 3, H, W]`` in [0, 1]."""
        ...

    def step(self, loss: float, gradient: Tensor) -> None:
        """Take the loss and its gradient ``[1, 3, H, W]`` at ``canvas()``, and move the canvas."""
        ...

    def on_objective_change(self) -> None:
        """Discard the state that depends on the previous objective: a weight has changed."""
        ...

    def on_resample(self) -> None:
        """Discard the state that depends on the previous samples or matches: they have been redrawn."""
        ...

    def recover(self) -> None:
        """Return to the last good image with smaller steps: a loss was not finite."""
        ...

    def set_step_size(self, factor: float) -> None:
        """Set the step size relative to its initial value."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on, for a checkpoint."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        ...
