"""Float32, and what is approximate by design, each held to a bound that follows from its rounding or its design."""

from __future__ import annotations

import loss_cases
import numpy as np
import pytest
import torch
from in_float64 import ROUNDING, H, W, features, pair, unit, value
from loss_cases import CASES, LAYERS

from impasto.losses.histogram import QUANTILES, quantiles, remap
from impasto.losses.nearest import STEP, NearestLoss
from impasto.losses.summaries.hypercolumns import grid
from impasto.losses.summaries.moment_sums import self_product
from impasto.losses.summaries.nearest_search import SWEEPS, nearest, principal_axes
from impasto.losses.summaries.protocol import Refreshing
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow

BF16, FP32 = 2**-8, 2**-24  # unit roundoffs


@pytest.mark.parametrize(
    ("name", "masked"),
    [(name, masked) for name, case in CASES.items() for masked in (False, True) if case.masked or not masked],
)
def test_float32_is_as_near_as_rounding_allows(name: str, masked: bool) -> None:
    height, width = 64, 48
    target, canvas = loss_cases.picture(1, height, width), loss_cases.noise(2, height, width)
    mask, window = loss_cases.soft_mask(height, width) if masked else None, TileWindow.whole(height, width)
    plain = CASES[name].make(target, loss_cases.features(target), mask)
    exact = CASES[name].make(target.double(), features(target), mask)
    seen = loss_cases.features(canvas)
    leaves = {"canvas": canvas.double(), **{layer: part.double() for layer, part in seen.items()}}
    if isinstance(exact, Refreshing) and isinstance(plain, Refreshing):
        exact.refresh(torch.Generator().manual_seed(3), lambda: [(leaves["canvas"], leaves, window)])
        plain.load_state(exact.state())
    for leaf in leaves.values():
        leaf.requires_grad_()
    wanted = exact.value(exact.summarize(leaves["canvas"], leaves, window))
    slopes = torch.autograd.grad(wanted, list(leaves.values()), allow_unused=True)
    with torch.no_grad():
        found = plain.value(plain.summarize(canvas, seen, window).double())
    # If each input were off by one rounding, the value would be off by this much at most. A sum of n terms is off by
    # sqrt(n) roundings of its terms (Higham & Mary, SIAM J. Sci. Comput. 2019); n is the number of positions.
    pairs = zip(slopes, leaves.values(), strict=True)
    once = sum(float((slope * leaf.detach()).abs().sum()) for slope, leaf in pairs if slope is not None)
    wanted = wanted.detach()
    assert float((found - wanted).abs()) <= (height * width) ** 0.5 * FP32 * (once + float(wanted))


@pytest.mark.parametrize("count", [4000, 700])
def test_matching_histograms_sends_quantiles_to_quantiles(count: int) -> None:
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(count, 2, generator=draws, dtype=torch.float64)
    y = torch.rand(count, 2, generator=draws, dtype=torch.float64).square() * 3
    moved, wanted = remap(x, quantiles(x), quantiles(y)).gather(0, x.argsort(0)), y.sort(0).values
    assert bool((moved.diff(dim=0) >= 0).all())
    # A value and the one it should become lie between the same two quantiles, which are this many ranks apart.
    ranks = int(np.ceil((count - 1) / (QUANTILES - 1)))
    above = wanted[torch.arange(count).add(ranks).clamp_max(count - 1)]
    below = wanted[torch.arange(count).sub(ranks).clamp_min(0)]
    assert bool(((moved - wanted).abs() <= (above - below) * (1 + ROUNDING)).all())


def test_directions_are_those_of_the_largest_extent() -> None:
    draws = torch.Generator().manual_seed(1)
    extents = torch.tensor([9.0, 7.0, 5.0] + [0.1] * 9, dtype=torch.float64)
    vectors = torch.randn(200, 12, generator=draws, dtype=torch.float64) * extents
    start = torch.randn(12, 3, generator=torch.Generator().manual_seed(2)).double()
    axes = principal_axes(vectors, 3, torch.Generator().manual_seed(2))
    assert torch.allclose(axes.T @ axes, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-13)
    _, values, basis = torch.linalg.svd(vectors)
    # Each sweep shrinks the tangent of the angle to the true directions by the squared ratio of extents.
    tangent = torch.linalg.matrix_norm(basis[3:] @ start @ torch.linalg.inv(basis[:3] @ start), 2)
    bound = float(tangent * (values[3] / values[2]) ** (2 * SWEEPS))
    assert float(torch.linalg.matrix_norm(basis[3:] @ axes, 2)) <= bound + 1e-13
    assert principal_axes(vectors[:5], 8, draws).shape == (12, 5)


def test_matching_in_fewer_directions_misses_what_lies_in_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas, mine, _, theirs = pair()
    monkeypatch.setattr("impasto.losses.nearest.DIRECTIONS", 12)
    loss, window = NearestLoss(StyleTarget(theirs, LAYERS, H, W)), TileWindow.whole(H, W)
    assert loss._reduced.shape[1] == 12 < loss._keys.shape[1]
    value(loss, canvas)
    axes, keys = np.asarray(loss._axes), np.asarray(loss._keys)
    queries = np.asarray(grid(mine, LAYERS, window, STEP))
    queries, keys = unit(queries - queries.mean(0)), unit(keys - keys.mean(0))
    cosine, found = queries @ keys.T, np.asarray(loss.state()["index"].flatten())
    # The cosine is that along the directions plus that of the rests, which is at most the product of their lengths.
    rests = [np.sqrt((1 - ((part @ axes) ** 2).sum(1)).clip(0)) for part in (queries, keys)]
    rows = np.arange(len(queries))
    missed = cosine.max(1) - cosine[rows, found]
    assert (missed <= rests[0] * (rests[1][cosine.argmax(1)] + rests[1][found]) + ROUNDING).all()


def test_one_product_back_is_two() -> None:
    rows = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(self_product, (rows,))
    rows = rows.detach().float()
    half = self_product(rows, torch.bfloat16)
    # Both factors and the result are rounded to bfloat16; sums in float32 add nothing beside that.
    bound = ((1 + BF16) ** 3 - 1 + 1e-6) * (rows.abs().T @ rows.abs())
    assert bool(((half - rows.T @ rows).abs() <= bound).all())


def test_matching_in_chunks_equals_matching_at_once() -> None:
    draws = torch.Generator().manual_seed(1)
    queries, keys = (torch.randn(size, 12, generator=draws, dtype=torch.float64) for size in (57, 83))
    enabled = torch.nn.functional.cosine_similarity(queries[:, None], keys[None], dim=2).argmax(1)
    assert torch.equal(nearest(queries, keys, query_chunk=10, key_chunk=7), enabled)


def test_matching_in_half_precision_is_close() -> None:
    draws = torch.Generator().manual_seed(1)
    queries, keys = (torch.randn(size, 64, generator=draws, dtype=torch.float64) for size in (50, 300))
    queries, keys = (torch.nn.functional.normalize(part, dim=1) for part in (queries, keys))
    cosines, best = queries @ keys.T, torch.arange(50)
    found = nearest(queries.float(), keys.float(), dtype=torch.bfloat16)
    # Both factors of each product and the cosine are rounded to bfloat16, so each of two compared is off by so much.
    off = ((1 + BF16) ** 3 - 1 + 1e-6) * (queries.abs() @ keys.abs().T)
    missed = cosines.max(1).values - cosines[best, found]
    assert bool((missed <= off[best, cosines.argmax(1)] + off[best, found]).all())
