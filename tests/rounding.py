"""Compare two computations of the same result, up to rounding.

A property such as "tiles equal the whole" is checked twice. ``assert_same`` checks it in float64, with a tolerance that
rounding does not reach on any processor and that every real error exceeds. ``assert_as_exact`` checks it in the dtype
of real runs: both computations are compared with the float64 result, and the error of the tested one may be a small
multiple of the error of the reference. A fixed float32 tolerance would hold on one processor and fail on the next,
because each sums in a different order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

SAME = 1e-10
"""Relative tolerance in float64. The error of a sum of n terms is below n * 2^-53: 1.1e-10 in the worst case for a
million terms, and 1e-13 (the root of n) in practice. A tile that omits a value or counts it twice changes a result by
1e-5 or more.
"""

TIMES = 4.0
"""Largest ratio between the error of the tested computation and that of the reference. Both errors are sums of
independent rounding errors of similar number and size, so the ratio is close to 1; with half the digits it would be in
the thousands.
"""

Numbers = Tensor | float


def difference(found: Numbers, exact: Numbers) -> float:
    """Return the relative difference of two tensors or numbers of equal shape: the larger of the norm and the maximum.

    It is 0 for two tensors of zeros, and infinite for any other difference from zeros and for NaN.
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
    """Return the tensors and numbers of a nested result by their path.

    Args:
        result: a tensor, a number, a dict or list of these, or an ``Evaluation``.
        name: root of the paths.
    """
    if hasattr(result, "gradient"):
        result = {"losses": result.losses, "total": result.total, "gradient": result.gradient}
    if isinstance(result, Tensor | float | int):
        return {name: result}
    items = result.items() if isinstance(result, Mapping) else enumerate(result)
    return {place: part for key, inner in items for place, part in parts_of(inner, f"{name}[{key}]").items()}


def differences(found: Any, exact: Any) -> dict[str, float]:
    """Return the ``difference`` of every tensor and number of two results of equal structure, by path."""
    one, other = parts_of(found), parts_of(exact)
    assert one.keys() == other.keys(), f"{sorted(one)} is compared with {sorted(other)}"
    return {place: difference(one[place], part) for place, part in other.items()}


def assert_same(found: Any, expected: Any, bound: float = SAME) -> None:
    """Raise unless two float64 results are equal up to rounding.

    Args:
        found, expected: as in ``parts_of``; tensors must be float64.
        bound: relative tolerance; the caller must give a reason for one above ``SAME``.
    """
    for place, part in (parts_of(found) | parts_of(expected)).items():
        assert not isinstance(part, Tensor) or part.dtype == torch.float64, f"{place} is in {part.dtype}, not float64"
    apart = differences(found, expected)
    assert max(apart.values(), default=0.0) <= bound, f"differ by more than {bound:g}: {_listed(apart)}"


def epsilon(dtype: torch.dtype, *, layers: int, terms: int) -> float:
    """Return a bound on the relative rounding error of a computation in a dtype.

    A single rounding error is at most eps / 2, with a standard deviation of 0.29 eps, so eps times the root of their
    number is 3.5 standard deviations of their sum (Higham & Mary, SIAM J. Scientific Computing 2019). The bound is
    needed where the error of the reference happens to be 0.

    Args:
        dtype: of the intermediate results.
        layers: number of consecutive steps, forward and backward.
        terms: number of products that are summed along the longest path through all steps; sums are float32 or better.
    """
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.finfo(dtype).eps * layers**0.5 + torch.finfo(sums).eps * terms**0.5


def assert_as_exact(found: Any, plain: Any, exact: Any, *, least: float) -> None:
    """Raise unless a result is about as close to the float64 result as the reference is.

    The largest error over all numbers of a result is compared, and the largest over all tensors, because the error of a
    single number may be 0 by chance.

    Args:
        found: the tested result, in float32 or bfloat16; as in ``parts_of``.
        plain: the reference result, in the same dtype.
        exact: the reference result in float64.
        least: error that is always allowed, see ``epsilon``.
    """
    mine, theirs = differences(found, exact), differences(plain, exact)
    tensors = {place for place, part in parts_of(exact).items() if isinstance(part, Tensor) and part.ndim}
    for places in (tensors, mine.keys() - tensors):
        if places:
            reached = max(theirs[place] for place in places)
            own = {place: mine[place] for place in places}
            assert max(own.values()) <= TIMES * reached + least, (
                f"error above {TIMES:g} times the reference's {reached:.2e} plus {least:.2e}: {_listed(own)}"
            )


def _listed(apart: Mapping[str, float]) -> str:
    worst = sorted(apart.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} by {value:.2e}" for name, value in worst)
