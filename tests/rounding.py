"""How two ways to compute the same thing are held against each other, and what rounding may part them by.

A law such as "tiles equal the whole" is checked twice. In float64 by ``assert_same``, with a bound that no processor
and no order of additions reaches and that every real mistake exceeds. In the dtype that runs use by
``assert_as_exact``: both ways are compared with the float64 result, and the way under test may be off by a small
multiple of what the plain way is off by. A fixed bound between the two in float32 would hold on one processor and fail
on the next, since each adds up in an order of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

SAME = 1e-10
"""Bound in float64, relative. A sum of n terms is off by less than n * 2^-53: a million terms give 1.1e-10 at the very
worst, and 1e-13 (the root of n) in practice; what a tile leaves out or counts twice changes a result by 1e-5 or more.
"""

TIMES = 4.0
"""How much farther from the float64 result the way under test may be. Both errors are sums of independent roundings of
like number and size, and their ratio is then near 1; a way with half the digits would be off by thousands."""

Numbers = Tensor | float


def difference(found: Numbers, exact: Numbers) -> float:
    """Return how far one tensor or number is from another of its shape, relative to that: in norm, and at its worst.

    Both are 0 for two tensors of zeros, infinite for any other difference from zeros and for what is not a number.
    """
    one, other = (torch.as_tensor(part).detach().double() for part in (found, exact))
    assert one.shape == other.shape, f"{tuple(one.shape)} is compared with {tuple(other.shape)}"
    apart = one - other
    if not apart.numel() or not bool(apart.any()):
        return 0.0
    if not bool(other.any()):
        return math.inf
    worst = max(float(apart.norm() / other.norm()), float(apart.abs().max() / other.abs().max()))
    return worst if math.isfinite(worst) else math.inf


def parts_of(result: Any, name: str = "result") -> dict[str, Numbers]:
    """Return the tensors and numbers of a result by their place in it.

    Args:
        result: a tensor, a number, a dict or list of such, or an ``Evaluation``.
        name: of the whole.
    """
    if hasattr(result, "gradient"):
        result = {"losses": result.losses, "total": result.total, "gradient": result.gradient}
    if isinstance(result, Tensor | float | int):
        return {name: result}
    items = result.items() if isinstance(result, Mapping) else enumerate(result)
    return {place: part for key, inner in items for place, part in parts_of(inner, f"{name}[{key}]").items()}


def differences(found: Any, exact: Any) -> dict[str, float]:
    """Return the ``difference`` of every tensor and number of two results of like structure, by its place."""
    one, other = parts_of(found), parts_of(exact)
    assert one.keys() == other.keys(), f"{sorted(one)} is compared with {sorted(other)}"
    return {place: difference(one[place], part) for place, part in other.items()}


def assert_same(found: Any, expected: Any, bound: float = SAME) -> None:
    """Raise unless two results in float64 are the same but for rounding.

    Args:
        found, expected: as in ``parts_of``; a tensor that is not in float64 is refused.
        bound: relative; a larger one than ``SAME`` needs a reason where it is given.
    """
    for place, part in (parts_of(found) | parts_of(expected)).items():
        assert not isinstance(part, Tensor) or part.dtype == torch.float64, f"{place} is in {part.dtype}, not float64"
    apart = differences(found, expected)
    assert max(apart.values(), default=0.0) <= bound, f"parted by more than {bound:g}: {_listed(apart)}"


def epsilon(dtype: torch.dtype, *, layers: int, terms: int) -> float:
    """Return what rounding alone may part a result from the float64 one by, relative.

    One rounding is off by at most eps / 2 and by 0.29 eps as a standard deviation, so the root of their number times
    eps is 3.5 standard deviations of their sum (Higham & Mary, SIAM J. Scientific Computing 2019). It is what is left
    where the plain way happens to be off by nothing.

    Args:
        dtype: that results between two steps are kept in.
        layers: how many such steps follow each other, there and back.
        terms: how many products are added up on the longest way through all steps; sums are in float32 or better.
    """
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.finfo(dtype).eps * layers**0.5 + torch.finfo(sums).eps * terms**0.5


def assert_as_exact(found: Any, plain: Any, exact: Any, *, least: float) -> None:
    """Raise unless a result is about as near to the float64 result as the plain way's result is.

    The errors compared are the largest of all numbers in a result, and the largest of all tensors: that of one number
    may be 0 by chance.

    Args:
        found: the result of the way under test, in float32 or bfloat16; as in ``parts_of``.
        plain: that of the plain way, in the same dtype.
        exact: that of the plain way in float64.
        least: the error that is allowed in any case, see ``epsilon``.
    """
    mine, theirs = differences(found, exact), differences(plain, exact)
    tensors = {place for place, part in parts_of(exact).items() if isinstance(part, Tensor) and part.ndim}
    for places in (tensors, mine.keys() - tensors):
        if places:
            reached = max(theirs[place] for place in places)
            own = {place: mine[place] for place in places}
            assert max(own.values()) <= TIMES * reached + least, (
                f"off by more than {TIMES:g} times the plain way's {reached:.2e} and {least:.2e}: {_listed(own)}"
            )


def _listed(apart: Mapping[str, float]) -> str:
    worst = sorted(apart.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} by {value:.2e}" for name, value in worst)
