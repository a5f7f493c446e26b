"""Projected L-BFGS: the canvas stays in [0, 1], so what is saved is what was optimized.

Liu & Nocedal, Mathematical Programming 1989 (the two-loop recursion); projection of the step after Bertsekas, SIAM J.
Control and Optimization 1982: a pixel that sits on a bound and is pushed outwards takes no part. Differences from the
paper: no line search, since a trial step costs as much as a real one. The full step is taken; where the loss rises it
is taken back to a shorter one on the same line, and where the direction does not descend the history is dropped. A step
moves the image by at most ``max_change`` (root mean square over its values). The recursion starts from a multiple of
the preconditioner in ``precondition`` instead of the identity. Where several processes paint, each holds its rows of
every vector: inner products are summed one by one, as each of the recursion's depends on the one before, and the
preconditioner is applied in a margin of ``REACH`` rows.

A sigmoid (x = sigmoid(u)) and a sine were compared with the projection: the projection was ahead at every number of
steps, and reaches pure white and black, which a sigmoid only approaches.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import at_least_float32
from impasto.optimizers.preconditioner import REACH, depth, precondition
from impasto.runtime.distributed import RowShard

FIRST_CHANGE = 0.02
RISE_ALLOWED = 1.02
PIECE = 1 << 22  # values processed at once where a poster has no room for another copy


class BoundedLBFGS:
    """Limited-memory BFGS under the bounds 0 and 1.

    Args:
        start: ``[1, 3, H, W]`` in [0, 1], computed in float32 (float64 in float64), of an image in several processes
            the rows of this one.
        history: pairs of steps and gradient changes kept.
        max_change: largest root mean square change of the image in one step.
        history_dtype: what the pairs are kept in.
        shard: which rows those are; all if absent.
    """

    min_refresh_interval = (
        10  # steps that samples and matches should stay fixed for: the history is dropped when they change
    )

    def __init__(
        self,
        start: Tensor,
        *,
        history: int = 10,
        max_change: float = 0.2,
        history_dtype: torch.dtype = torch.float32,
        shard: RowShard | None = None,
    ) -> None:
        self.shape = start.shape
        self._shard = shard or RowShard(start.shape[-2])
        self._levels = depth(self._shard.height, start.shape[-1])
        size = start.numel()
        self._x = at_least_float32(start.detach()).clamp(0, 1).flatten()
        self._initial_limit = self.limit = max_change
        self._history = history
        self._steps = torch.zeros(history, size, dtype=history_dtype, device=start.device)
        self._changes = torch.zeros(history, size, dtype=history_dtype, device=start.device)
        self._rho: list[float] = []
        self._order: list[int] = []
        self._good_x = self._x
        self._good_gradient: Tensor | None = None
        self._good_loss = float("inf")
        self._move: Tensor | None = None
        self._retries = 0

    def canvas(self) -> Tensor:
        """Return the image to evaluate, ``[1, 3, H, W]`` in [0, 1]."""
        return self._x.view(self.shape)

    def picture(self) -> Tensor:
        """Return the best image whose loss is known."""
        return self._good_x.view(self.shape)

    def step(self, loss: float, gradient: Tensor) -> None:
        """Take the loss and its gradient ``[1, 3, H, W]`` at ``canvas()``, and move the canvas."""
        if loss > RISE_ALLOWED * self._good_loss and self._move is not None and self._retries < 3:
            self._shorten()
            return
        slope = at_least_float32(gradient.flatten())
        slope = slope.masked_fill(((self._x <= 0) & (slope > 0)) | ((self._x >= 1) & (slope < 0)), 0)
        self._move = (
            None  # here and below, in place where the result is bitwise the same: a vector is as large as the image
        )
        if self._good_gradient is not None:
            self._remember(self._x - self._good_x, slope - self._good_gradient)
        self._good_x, self._good_gradient, self._good_loss = self._x, slope, loss
        self._retries = 0
        direction = self._direction(slope)
        descent, size = self._sums(_inner(direction, slope), _inner(direction, direction))
        if descent >= 0:
            self.forget()
            direction = self._direction(slope)
            (size,) = self._sums(_inner(direction, direction))
        self._move = self._limited(direction, size)
        self._x = (self._good_x + self._move).clamp_(0, 1)

    def forget(self) -> None:
        """Drop the history."""
        self._order, self._rho = [], []

    def on_objective_change(self) -> None:
        """Drop the history and the known loss: the objective has changed."""
        self.forget()
        self._good_loss = float("inf")
        self._good_gradient = None

    def on_resample(self) -> None:
        """Drop the history and the known loss: the objective has drawn new samples."""
        self.on_objective_change()

    def recover(self) -> None:
        """Return to the last good image and continue with half the step."""
        self.forget()
        self.limit /= 2
        self._good_gradient, self._move = None, None
        self._x = self._good_x

    def set_step_size(self, factor: float) -> None:
        """Set the largest change a step may make, relative to its start."""
        self.limit = self._initial_limit * factor

    def _shorten(self) -> None:
        assert self._move is not None
        self._retries += 1
        self._move = self._move * 0.25
        self._x = (self._good_x + self._move).clamp_(0, 1)

    def _limited(self, direction: Tensor, size: float) -> Tensor:
        count = self.shape[1] * self._shard.height * self.shape[3]
        change = max((size / count) ** 0.5, 1e-20)
        if not self._order:  # no curvature is known yet
            return direction * float(min(FIRST_CHANGE, self.limit) / change)
        return direction * float(min(1.0, self.limit / change))

    def _remember(self, step: Tensor, change: Tensor) -> None:
        curvature, step_size, change_size = self._sums(_inner(step, change), _inner(step, step), _inner(change, change))
        if curvature <= 1e-10 * (step_size * change_size) ** 0.5:
            return
        slot = self._order.pop(0) if len(self._order) == self._history else len(self._order)
        if len(self._rho) == self._history:
            self._rho.pop(0)
        self._steps[slot], self._changes[slot] = step, change
        self._order.append(slot)
        self._rho.append(1 / curvature)

    def _direction(self, slope: Tensor) -> Tensor:
        direction = -slope
        alphas = []
        for slot, rho in zip(reversed(self._order), reversed(self._rho), strict=True):
            alpha = rho * self._sums(_inner(self._steps[slot], direction))[0]
            _add(direction, self._changes[slot], -alpha)
            alphas.append(alpha)
        last = [at_least_float32(self._changes[slot]) for slot in self._order[-1:]]
        wide = self._shard.with_halo([part.view(self.shape) for part in (direction, *last)], REACH, "preconditioner")
        direction = self._precondition(wide[0])
        wide = wide[1:]
        if last:
            direction.div_(self._rho[-1] * self._sums(_inner(last[0], self._precondition(wide[0])))[0])
        del wide, last
        for slot, rho, alpha in zip(self._order, self._rho, reversed(alphas), strict=True):
            beta = rho * self._sums(_inner(self._changes[slot], direction))[0]
            _add(direction, self._steps[slot], alpha - beta)
        return direction

    def _precondition(self, wide: Tensor) -> Tensor:
        return self._shard.without_halo(precondition(wide, self._levels), REACH).flatten()

    def _sums(self, *parts: Tensor) -> list[float]:
        return self._shard.group.all_reduce_scalars(*map(float, parts))

    def _whole(self, vectors: Tensor) -> Tensor:
        """Return vectors ``[..., 3 h W]`` of this process's rows as those of the image, on the first process."""
        start = vectors.shape[:-1]
        return self._shard.gather(vectors.view(*start, *self.shape[1:])).reshape(*start, -1)

    def _own(self, vectors: Tensor) -> Tensor:
        """Return this process's rows of vectors of the image."""
        start = vectors.shape[:-1]
        whole = vectors.view(*start, self.shape[1], self._shard.height, self.shape[3])
        return self._shard.cut(whole).reshape(*start, -1).to(self._x.device)

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on; with several processes the first has all of it."""
        state = {
            "x": self._whole(self._x),
            "good_x": self._whole(self._good_x),
            "steps": self._whole(self._steps),
            "changes": self._whole(self._changes),
            "order": torch.tensor(self._order, dtype=torch.int64),
            "rho": torch.tensor(self._rho, dtype=torch.float64),
            "numbers": torch.tensor([self._good_loss, self.limit, self._retries], dtype=torch.float64),
        }
        if self._good_gradient is not None:
            state["good_gradient"] = self._whole(self._good_gradient)
        if self._move is not None:
            state["move"] = self._whole(self._move)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        vectors = {key: self._own(value) for key, value in state.items() if key not in ("order", "rho", "numbers")}
        self._x, self._good_x = vectors["x"], vectors["good_x"]
        self._steps, self._changes = vectors["steps"], vectors["changes"]
        self._order = state["order"].tolist()
        self._rho = state["rho"].tolist()
        self._good_loss, self.limit, retries = state["numbers"].tolist()
        self._retries = int(retries)
        self._good_gradient, self._move = vectors.get("good_gradient"), vectors.get("move")


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """Return the inner product of two vectors, in pieces: kept ones in bfloat16 take no whole copy in float32."""
    pairs = zip(torch.split(one, PIECE), torch.split(other, PIECE), strict=True)
    parts = [at_least_float32(a) @ at_least_float32(b) for a, b in pairs]
    return parts[0] if len(parts) == 1 else torch.stack(parts).double().sum()


def _add(vector: Tensor, kept: Tensor, factor: float) -> None:
    """Add a stored vector times a factor, in chunks."""
    for part, own in zip(torch.split(vector, PIECE), torch.split(kept, PIECE), strict=True):
        part.add_(at_least_float32(own), alpha=factor)
