"""Adam on the pixels, clamped to [0, 1] after each step, with averaged iterates.

Kingma & Ba, ICLR 2015; the clamp and the exponential average of the iterates, corrected for its start, are those of
crowsonkb/style-transfer-pytorch. Difference from the paper: moments whose pixel sits on a bound and is pushed outwards
are not reset.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import at_least_float32
from impasto.runtime.distributed import RowShard

EPSILON = 1e-8


def update_moments_(first: Tensor, second: Tensor, gradient: Tensor, betas: tuple[float, float]) -> None:
    """Move both moments toward a gradient of their shape, in place."""
    fast, slow = betas
    first.lerp_(gradient, 1 - fast)
    second.mul_(slow).addcmul_(gradient, gradient, value=1 - slow)


def adam_change(first: Tensor, second: Tensor, count: int, rate: float, betas: tuple[float, float]) -> Tensor:
    """Return Adam's change of the canvas, to be subtracted, after ``count`` updates of the moments."""
    fast, slow = betas
    denominator = (second / (1 - slow**count)).sqrt_().add_(EPSILON)
    return rate / (1 - fast**count) * first / denominator


class Adam:
    """First-order descent with the clamp.

    Args:
        start: ``[1, 3, H, W]`` in [0, 1]; computations are in float32 (float64 for float64).
        rate: step size in units of the image's range.
        betas: decay of the two moments.
        average: decay of the averaged iterates; 0 shows the last iterate.
        shard: which rows of the image the start is; all if absent.
    """

    min_refresh_interval = 1

    def __init__(
        self,
        start: Tensor,
        *,
        rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.99),
        average: float = 0.99,
        shard: RowShard | None = None,
    ) -> None:
        self._shard = shard or RowShard(start.shape[-2])
        self._x = at_least_float32(start.detach()).clamp(0, 1).clone()
        self._first, self._second = torch.zeros_like(self._x), torch.zeros_like(self._x)
        self._mean = torch.zeros_like(self._x)
        self.rate, self._initial_rate = rate, rate
        self._betas, self._average = betas, average
        self._count = 0
        self._averaged = 0

    def canvas(self) -> Tensor:
        """Return the image to evaluate, ``[1, 3, H, W]`` in [0, 1]."""
        return self._x

    def picture(self) -> Tensor:
        """Return the averaged iterates."""
        if self._averaged == 0 or self._average == 0:
            return self._x
        return (self._mean / (1 - self._average**self._averaged)).clamp(0, 1)

    def step(self, loss: float, gradient: Tensor) -> None:
        """Take the gradient ``[1, 3, H, W]`` at ``canvas()``, and move the canvas."""
        self._count += 1
        self._averaged += 1
        update_moments_(self._first, self._second, gradient, self._betas)
        change = adam_change(self._first, self._second, self._count, self.rate, self._betas)
        self._x = (self._x - change).clamp_(0, 1)
        self._mean.lerp_(self._x, 1 - self._average)

    def on_objective_change(self) -> None:
        """Restart the average: the objective has changed."""
        self._averaged = 0
        self._mean.zero_()

    def on_resample(self) -> None:
        """Do nothing: the moments average over samples."""

    def recover(self) -> None:
        """Return to the average of the good images and halve the step."""
        self._x = self.picture().clone()
        self._first.zero_()
        self._second.zero_()
        self._count = 0
        self.rate /= 2

    def set_step_size(self, factor: float) -> None:
        """Set the step size relative to its start."""
        self.rate = self._initial_rate * factor

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on; with several processes the first has all of it."""
        parts = {"x": self._x, "first": self._first, "second": self._second, "mean": self._mean}
        numbers = torch.tensor([self._count, self._averaged, self.rate], dtype=torch.float64)
        return {**{key: self._shard.gather(part) for key, part in parts.items()}, "numbers": numbers}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        own = {key: self._shard.cut(state[key]).to(self._x.device) for key in ("x", "first", "second", "mean")}
        self._x, self._first, self._second, self._mean = own.values()
        count, averaged, self.rate = state["numbers"].tolist()
        self._count, self._averaged = int(count), int(averaged)
