"""Adam with moments in bfloat16, for images too large for other optimizers: 24 bytes per pixel less than Adam.

The canvas is clamped to [0, 1]. Kingma & Ba, ICLR 2015. Differences from the paper: both moments are kept in bfloat16
and rounded at random, up or down in proportion, so that small changes add up instead of being lost; no iterates are
averaged; the step shrinks as 1 over the square root of its number past the tenth. All computations run in chunks, so
that nothing but the canvas, the gradient and the moments is as large as the image.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.optimizers.adam import EPSILON, update_moments_
from impasto.runtime.distributed import RowShard

PIECE = 1 << 22
STEADY = 10
BETAS = (0.9, 0.99)
RANK_STRIDE = 1_000_003  # between the seeds of two processes; torch's CPU generator reads only the lower 32 bits


def stochastic_round(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return float32 values in bfloat16, each rounded up or down so that the mean over many draws is the value."""
    noise = torch.randint(0, 1 << 16, values.shape, dtype=torch.int32, generator=generator).to(values.device)
    bits = values.contiguous().view(torch.int32) + noise
    return (bits & -65536).view(torch.float32).to(torch.bfloat16)


class LowMemoryAdam:
    """First-order descent under the bounds 0 and 1, with little state.

    Args:
        start: ``[1, 3, H, W]`` in [0, 1].
        rate: step size in units of the image's range.
        shard: which rows of the image the start is; all if absent. Each process rounds by its own draws.
    """

    min_refresh_interval = 1

    def __init__(self, start: Tensor, *, rate: float = 0.02, shard: RowShard | None = None) -> None:
        self._shard = shard or RowShard(start.shape[-2])
        self._x = start.detach().float().clamp(0, 1).contiguous()
        self._first = torch.zeros_like(self._x, dtype=torch.bfloat16)
        self._second = torch.zeros_like(self._x, dtype=torch.bfloat16)
        self.rate, self._initial_rate, self._count = rate, rate, 0

    def canvas(self) -> Tensor:
        """Return the image to evaluate, ``[1, 3, H, W]`` in [0, 1]."""
        return self._x

    def picture(self) -> Tensor:
        """Return the image as it is."""
        return self._x

    def step(self, loss: float, gradient: Tensor) -> None:
        """Take the gradient ``[1, 3, H, W]`` at ``canvas()``, and move the canvas."""
        self._count += 1
        draws = torch.Generator().manual_seed(self._count + self._shard.group.rank * RANK_STRIDE)
        fast, slow = BETAS
        rate = self.rate * min(1.0, (STEADY / self._count) ** 0.5) / (1 - fast**self._count)
        flat = [tensor.view(-1) for tensor in (self._x, self._first, self._second)]
        slopes = gradient.reshape(-1)
        for begin in range(0, len(slopes), PIECE):
            slope = slopes[begin : begin + PIECE]
            x, first, second = (tensor[begin : begin + PIECE] for tensor in flat)
            mean, size = first.float(), second.float()
            update_moments_(mean, size, slope, BETAS)
            first.copy_(stochastic_round(mean, draws))
            second.copy_(stochastic_round(size, draws))
            x.addcdiv_(mean, size.div_(1 - slow**self._count).sqrt_().add_(EPSILON), value=-rate).clamp_(0, 1)

    def on_objective_change(self) -> None:
        """Do nothing: the moments do not depend on the loss's value."""

    def on_resample(self) -> None:
        """Do nothing: the moments average over samples."""

    def recover(self) -> None:
        """Forget the moments and halve the step."""
        self._first.zero_()
        self._second.zero_()
        self._count = 0
        self.rate /= 2

    def set_step_size(self, factor: float) -> None:
        """Set the step size relative to its start."""
        self.rate = self._initial_rate * factor

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on; with several processes the first has all of it."""
        parts = {"x": self._x, "first": self._first, "second": self._second}
        numbers = torch.tensor([self._count, self.rate], dtype=torch.float64)
        return {**{key: self._shard.gather(part) for key, part in parts.items()}, "numbers": numbers}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        own = {key: self._shard.cut(state[key]).to(self._x.device) for key in ("x", "first", "second")}
        self._x, self._first, self._second = own.values()
        count, self.rate = state["numbers"].tolist()
        self._count = int(count)
