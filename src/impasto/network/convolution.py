"""A 3x3 convolution and its ReLU as one step, and max pooling, with a gradient for the image only.

The network's weights are never trained, so the gradient with respect to the input is all that is needed, and for
stride 1 that is again a convolution: with the weights turned by 180 degrees, input and output channels exchanged.
oneDNN runs it up to three times as fast as its backward primitive, and only the output is kept for the backward pass.
Pooling keeps nothing more: where each maximum was, eight bytes per cell, is found again in the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def turned(weight: Tensor) -> Tensor:
    """Return the weights ``[in, out, 3, 3]`` that push a gradient back through ``weight`` ``[out, in, 3, 3]``."""
    return weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def convolve_rectified(x: Tensor, weight: Tensor, bias: Tensor, back: Tensor, padding: int = 1) -> Tensor:
    """Return ``relu(conv(x))`` in the dtype of ``back``, in channels-last order.

    Args:
        x: ``[B, in, H, W]``.
        weight, bias: ``[out, in, 3, 3]`` and ``[out]``, in the dtype of ``x``.
        back: ``turned(weight)``, in the dtype of everything that follows.
        padding: zeros around ``x``, 0 or 1.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return _forward(x, weight, bias, back.dtype, padding)
    result: Tensor = _Rectified.apply(x, weight, bias, back, padding)  # type: ignore[no-untyped-call]
    return result


def _forward(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype, padding: int) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    return functional.conv2d(x, weight, bias, padding=padding).to(dtype).relu_()


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, back: Tensor, padding: int) -> Tensor:
        out = _forward(x, weight, bias, back.dtype, padding)
        ctx.save_for_backward(out, back)
        ctx.padding, ctx.dtype = 2 - padding, x.dtype
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        out, back = ctx.saved_tensors
        slope = slopes[0].contiguous(memory_format=torch.channels_last)
        slope = torch.ops.aten.threshold_backward(slope, out, 0)
        return functional.conv2d(slope, back, padding=ctx.padding).to(ctx.dtype), None, None, None, None


def max_pooled(x: Tensor) -> Tensor:
    """Return the largest of each 2x2 cells of a map ``[B, C, H, W]``; an odd last row or column is left out.

    Args:
        x: a map that is kept for the backward pass in any case, as rectified convolutions keep theirs.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return functional.max_pool2d(x, 2)
    result: Tensor = _MaxPooled.apply(x)  # type: ignore[no-untyped-call]
    return result


class _MaxPooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return functional.max_pool2d(x, 2)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        places = functional.max_pool2d(x, 2, return_indices=True)[1]
        back = torch.ops.aten.max_pool2d_with_indices_backward
        slope: Tensor = back(slopes[0], x, [2, 2], [2, 2], [0, 0], [1, 1], False, places)
        return slope


def cut_back(x: Tensor, window: tuple[slice, slice]) -> Tensor:
    """Return what a window shows of a map ``[B, C, h, w]``; its gradient comes back in channels-last order.

    That of a plain slice comes back in the other order, and the pooling before it would have to turn it round.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x[..., window[0], window[1]]
    seen: Tensor = _Cut.apply(x, window)  # type: ignore[no-untyped-call]
    return seen


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: tuple[slice, slice]) -> Tensor:
        ctx.window, ctx.shape = window, x.shape
        return x[..., window[0], window[1]]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        whole = torch.zeros_like(slopes[0].new_empty(ctx.shape), memory_format=torch.channels_last)
        whole[..., ctx.window[0], ctx.window[1]] = slopes[0]
        return whole, None


def tapped(x: Tensor, window: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
    """Return a map ``[B, C, h, w]`` as it is, for one further use, and what a window shows of it.

    In the backward pass the window's gradient is added where it belongs, without a map of zeros around it.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x, x[..., window[0], window[1]]
    through, seen = _Tapped.apply(x, window)  # type: ignore[no-untyped-call]
    return through, seen


class _Tapped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
        ctx.window, ctx.shape = window, x.shape
        ctx.set_materialize_grads(False)
        return x.view_as(x), x[..., window[0], window[1]]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, None]:
        through, seen = slopes
        if seen is None:
            return through, None
        if through is None:
            through = seen.new_zeros(ctx.shape).contiguous(memory_format=torch.channels_last)
        # This gradient comes from the next convolution or pooling, and nothing else references it.
        through[..., ctx.window[0], ctx.window[1]].add_(seen)
        return through, None
