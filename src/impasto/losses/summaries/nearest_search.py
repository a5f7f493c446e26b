"""Nearest neighbors among feature vectors by cosine, in chunks, so that memory stays bounded whatever the sizes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

QUERY_CHUNK = 4096
KEY_CHUNK = 8192
SWEEPS = 3  # of subspace iteration: the directions that matter most come first


def nearest(
    queries: Tensor,
    keys: Tensor,
    *,
    query_chunk: int = QUERY_CHUNK,
    key_chunk: int = KEY_CHUNK,
    normalized: bool = False,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return for each query the index of the key with the largest cosine.

    Args:
        queries: ``[N, D]``.
        keys: ``[M, D]``.
        query_chunk, key_chunk: rows per chunk; only the table of a pair of chunks is stored in addition to the input.
        normalized: whether the keys are taken at the lengths that they have.
        dtype: of the products; the queries' own if absent. In bfloat16 cosines are known to some 0.002.

    Returns:
        ``[N]`` int64; the first of equal ones.
    """
    found = []
    for begin in range(0, len(queries), query_chunk):
        rows = functional.normalize(queries[begin : begin + query_chunk], dim=1).to(dtype or queries.dtype)
        best = rows.new_full((len(rows),), -torch.inf)
        index = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        for start in range(0, len(keys), key_chunk):
            part = keys[start : start + key_chunk].to(queries.dtype)
            part = part if normalized else functional.normalize(part, dim=1)
            value, place = (rows @ part.to(rows.dtype).T).max(1)
            better = value > best
            best = torch.where(better, value, best)
            index = torch.where(better, place + start, index)
        found.append(index)
    return torch.cat(found)


def principal_axes(vectors: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Return an orthonormal basis of the directions in which vectors extend most, by subspace iteration.

    Args:
        vectors: ``[n, D]``, float32, centered.
        rank: how many directions.
        generator: draws the start.

    Returns:
        ``[D, min(rank, n, D)]`` float32. With all D directions it is exact whatever the vectors.
    """
    count = min(rank, *vectors.shape)
    basis = torch.randn(vectors.shape[1], count, generator=generator).to(vectors)
    for _ in range(SWEEPS):
        basis = torch.linalg.qr(vectors.T @ (vectors @ basis)).Q
    return basis
