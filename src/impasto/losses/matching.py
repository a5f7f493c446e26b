"""Nearest neighbours among feature vectors by cosine, in chunks, so that memory stays bounded whatever the sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

QUERY_CHUNK = 4096
KEY_CHUNK = 8192


def nearest(
    queries: Tensor,
    keys: Tensor,
    *,
    query_chunk: int = QUERY_CHUNK,
    key_chunk: int = KEY_CHUNK,
    prepare: Callable[[Tensor], Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return for each query the index of the key with the largest cosine.

    Args:
        queries: ``[N, D]``.
        keys: ``[M, D]``.
        query_chunk, key_chunk: rows compared at once; the table of a pair of chunks is all that is kept beside the
            input.
        prepare: makes vectors out of a chunk of keys, where whole ones would take too much memory; none if absent.
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
            part = keys[start : start + key_chunk]
            part = part if prepare is None else prepare(part)
            value, place = (
                rows @ functional.normalize(part.to(queries.dtype), dim=1).to(dtype or queries.dtype).T
            ).max(1)
            better = value > best
            best = torch.where(better, value, best)
            index = torch.where(better, place + start, index)
        found.append(index)
    return torch.cat(found)
