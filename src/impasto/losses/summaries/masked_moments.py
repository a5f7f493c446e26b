"""Moments of the positions inside a mask, at the cost of the mask's own area.

Rows of features have a weight each; the result is the weighted sums of rows and of their outer products. Rows of weight
0 are never touched, so that four regions together cost about what the whole image does, and nothing is kept for the
backward pass but the features that are there anyway.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impasto.losses.summaries.moment_sums import moment_sums


def masked_moment_sums(rows: Tensor, weights: Tensor) -> Tensor:
    """Return ``[C + 1, C]``: the weighted sum of the rows' outer products, and below it the weighted sum of the rows.

    Args:
        rows: ``[n, C]``, any floating dtype.
        weights: ``[n]`` or ``[n, 1]``, 0 or more.

    Returns:
        float32 for bfloat16, otherwise float64.
    """
    weights = weights.detach().reshape(-1)
    weights = weights.double() if rows.dtype == torch.float64 else weights
    index = weights.nonzero()[:, 0]
    picked = weights[index]
    if len(index) == len(weights) and bool((picked == 1).all()):
        return moment_sums(rows)
    result: Tensor = _MaskedMoments.apply(rows, index, picked)  # type: ignore[no-untyped-call]
    return result


class _MaskedMoments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, index, weights)
        inside = rows.index_select(0, index)
        if bool((weights == 1).all()):
            return moment_sums(inside)
        roots = weights.sqrt()
        raw = moment_sums(inside * roots.to(rows.dtype)[:, None])
        # The last row is each vector times the root of its weight; at soft edges, which are few, the rest is added.
        soft = (weights < 1).nonzero()[:, 0]
        missing = (weights - roots)[soft].to(raw.dtype) @ inside[soft].to(raw.dtype)
        return torch.cat([raw[:-1], raw[-1:] + missing])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        rows, index, weights = ctx.saved_tensors
        products, sums = slopes[0][:-1], slopes[0][-1]
        pulled = torch.addmm(sums.to(rows.dtype), rows.index_select(0, index), (products + products.T).to(rows.dtype))
        pulled.mul_(weights.to(rows.dtype)[:, None])
        return torch.zeros_like(rows).index_copy_(0, index, pulled), None, None
