"""From the name of an optimizer to the optimizer, with the state that fits into memory."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.optimizers.adam import Adam
from impasto.optimizers.lbfgs import BoundedLBFGS
from impasto.optimizers.low_memory_adam import LowMemoryAdam
from impasto.optimizers.pyramid import LaplacianPyramidAdam
from impasto.planning.memory import MemoryPlan
from impasto.runtime.distributed import RowShard

Chosen = BoundedLBFGS | Adam | LowMemoryAdam | LaplacianPyramidAdam


def optimizer_for(name: str, start: Tensor, plan: MemoryPlan, shard: RowShard | None = None) -> Chosen:
    """Return an optimizer at an image ``[1, 3, H, W]``, or at the rows of it that this process owns.

    Args:
        name: ``lbfgs``, ``adam`` or ``pyramid``.
        start: in [0, 1].
        plan: how much state fits.
        shard: which rows those are; all if absent. The pyramid's bands of frequencies are not split.
    """
    if plan.first_order:
        return LowMemoryAdam(start, shard=shard)
    if name == "lbfgs":
        kept = torch.bfloat16 if plan.bf16_history else torch.float32
        return BoundedLBFGS(start, history=plan.pairs, history_dtype=kept, shard=shard)
    return Adam(start, shard=shard) if name == "adam" else LaplacianPyramidAdam(start)
