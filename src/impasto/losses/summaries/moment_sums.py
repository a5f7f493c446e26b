"""Sums of features and of their outer products, the arithmetic that all losses on moments share, made fast.

In bfloat16 the products run in bfloat16, in chunks of positions whose sums are added up in float32: the rounding of a
chunk's sum (2^-9) averages out over the chunks, and no float32 copy of the features is made. Moments in float32 are
also summed in float64: a covariance is a small difference of them, and would differ between tiles and the whole.
Other dtypes take one plain product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.protocol import Features, Maps, at_least_float32
from impasto.losses.summaries.tile_window import TileWindow
from impasto.options.layer_names import stride

CHUNKS = 16
MIN_POSITIONS = 64
FLOOR = 1e-12  # of a mask's weight
SUBSUMS = 16  # each chunk's plain sum is rounded in as many parts, since a mean has to be more accurate than a product


def owned_rows(feature: Tensor, layer: str, window: TileWindow) -> Tensor:
    """Return what a tile owns of a layer ``[1, C, h, w]`` as rows ``[n, C]``, a view where possible."""
    part = window.crop_tile(feature, stride(layer))
    return part.permute(0, 2, 3, 1).reshape(-1, part.shape[1])


def mean_of_pieces(
    pieces: Iterable[tuple[Features, Maps | None]], sums: Callable[[Tensor, Tensor | None], Tensor]
) -> dict[str, Tensor]:
    """Return sums over an image that comes in pieces, divided by its positions (or its mask's weight), by layer.

    Args:
        pieces: features ``[1, C, h, w]`` by layer, and the weight of each position, ``[1, 1, h, w]``, or None.
        sums: what is summed of a layer's features and its weights. The pieces' sums are added up in float64.
    """
    found: dict[str, Tensor] = {}
    totals: dict[str, float] = {}
    kinds: dict[str, torch.dtype] = {}
    for features, masks in pieces:
        for layer, feature in features.items():
            mask = None if masks is None else masks[layer]
            part = sums(feature, mask)
            kinds[layer] = part.dtype
            found[layer] = found[layer] + part.double() if layer in found else part.double()
            weight = feature.shape[-2] * feature.shape[-1] if mask is None else float(mask.sum())
            totals[layer] = totals.get(layer, 0.0) + weight
    return {layer: (part / max(totals[layer], FLOOR)).to(kinds[layer]) for layer, part in found.items()}


def moment_sums(rows: Tensor) -> Tensor:
    """Return ``[C + 1, C]``: the sum of the rows' outer products, and below it the sum of the rows.

    Args:
        rows: ``[n, C]``, any floating dtype.

    Returns:
        float32 for bfloat16, otherwise float64.
    """
    if rows.dtype == torch.float64:
        return torch.cat([self_product(rows), rows.sum(0, keepdim=True)])
    result: Tensor = _MomentSums.apply(rows if rows.dtype == torch.bfloat16 else at_least_float32(rows))  # type: ignore[no-untyped-call]
    return result


class _MomentSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        count, channels = rows.shape
        size = max(MIN_POSITIONS, -(-count // (CHUNKS * SUBSUMS)) * SUBSUMS)
        rest = -count % size
        padded = functional.pad(rows, (0, 0, 0, rest)) if rest else rows
        chunks = padded.view(-1, size, channels)
        total = torch.float32 if rows.dtype == torch.bfloat16 else torch.float64
        products = torch.bmm(chunks.transpose(1, 2), chunks).sum(0, dtype=total)
        sums = padded.view(-1, size // SUBSUMS, channels).sum(1).sum(0, dtype=total)
        return torch.cat([products, sums[None]])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        products, sums = slopes[0][:-1], slopes[0][-1]
        return torch.addmm(sums.to(rows.dtype), rows, (products + products.T).to(rows.dtype))


def self_product(rows: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return the sum ``[C, C]`` of the outer products of rows ``[n, C]``, in the rows' dtype.

    Args:
        rows: ``[n, C]``.
        dtype: of the products, there and back; the rows' own if absent. Sums are taken in float32 either way.
    """
    result: Tensor = _SelfProduct.apply(rows, dtype or rows.dtype)  # type: ignore[no-untyped-call]
    return result


class _SelfProduct(torch.autograd.Function):
    """One product in the backward pass instead of two, since the result is symmetric."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, dtype: torch.dtype) -> Tensor:
        kept = rows.to(dtype)
        ctx.save_for_backward(kept)
        return (kept.T @ kept).to(rows.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (kept @ (slopes[0] + slopes[0].T).to(kept.dtype)).to(slopes[0].dtype), None


def mean_and_covariance(x: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """Return mean ``[D]`` and covariance ``[D, D]`` of ``[N, D]``, products in another dtype if one is given."""
    mean = x.mean(0)
    return mean, self_product(x - mean, dtype) / len(x)
