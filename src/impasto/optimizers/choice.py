"""Which optimiser a name stands for, with the state that memory allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from impasto.memory import Plan
from impasto.optimizers.adam import Adam
from impasto.optimizers.lbfgs import BoundedLBFGS
from impasto.optimizers.lean import Lean
from impasto.optimizers.pyramid import Pyramid

Chosen = BoundedLBFGS | Adam | Lean | Pyramid
OTHERS: Mapping[str, Callable[[Tensor], Chosen]] = {"adam": Adam, "pyramid": Pyramid}


def optimizer_for(name: str, start: Tensor, plan: Plan) -> Chosen:
    """Return an optimiser at a picture ``[1, 3, H, W]``.

    Args:
        name: ``lbfgs``, ``adam`` or ``pyramid``.
        start: in [0, 1].
        plan: how much state fits.
    """
    if plan.lean:
        return Lean(start)
    if name == "lbfgs":
        kept = torch.bfloat16 if plan.half else torch.float32
        return BoundedLBFGS(start, history=plan.pairs, history_dtype=kept)
    return OTHERS[name](start)
