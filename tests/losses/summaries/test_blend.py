"""Several styles in one loss, and moments inside masks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from impasto.losses.summaries.blend import Blended, Weighted, blend_name, mix
from impasto.losses.summaries.masked_moments import masked_moment_sums
from impasto.losses.summaries.moment_sums import moment_sums
from impasto.losses.summaries.protocol import Features, Sweep
from impasto.losses.summaries.tile_window import TileWindow
from rounding import difference, epsilon

WHOLE = TileWindow.whole(4, 4)


class Distance:
    """Squared distance of the canvas's mean from a number, with a draw to keep."""

    layers: tuple[str, ...] = ()
    halo_px = 0
    refresh_every: int | None = 3

    def __init__(self, wanted: float) -> None:
        self.wanted, self.drawn = wanted, torch.zeros(1)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        return canvas.mean().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        return (summary - self.wanted).square().sum()

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        self.drawn = torch.rand(1, generator=generator)

    def state(self) -> dict[str, Tensor]:
        return {"drawn of all": self.drawn}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.drawn = state["drawn of all"]


def weighted(one: Distance, other: Distance, parts: list[float]) -> Blended:
    return Blended(parts, lambda shares: Weighted([one, other], shares))


def value(loss: Blended, canvas: Tensor) -> float:
    return float(loss.value(loss.summarize(canvas, {}, WHOLE)))


def test_moments_are_mixed_by_their_parts() -> None:
    one, other = {"a": torch.tensor([1.0])}, {"a": torch.tensor([3.0])}
    assert mix([one, other], [3, 1])["a"].item() == pytest.approx(1.5)
    assert mix([one, one], [0.2, 0.7])["a"].item() == pytest.approx(1.0)


def test_other_losses_are_weighed() -> None:
    canvas = torch.full((1, 3, 4, 4), 0.5)
    loss = weighted(Distance(0.0), Distance(1.5), [3, 1])
    assert value(loss, canvas) == pytest.approx(0.75 * 0.25 + 0.25 * 1.0)
    assert value(weighted(Distance(0.1), Distance(0.1), [0.4, 0.2]), canvas) == pytest.approx(0.16)


def test_parts_are_steered_by_name() -> None:
    canvas = torch.full((1, 3, 4, 4), 0.5)
    loss = weighted(Distance(0.0), Distance(1.5), [1, 1])
    assert [blend_name(index) for index in range(2)] == ["blend:1", "blend:2"]
    loss.blend({"blend:2": 0.0, "style": 9.0})
    assert value(loss, canvas) == pytest.approx(0.25)
    loss.blend({"blend:1": 0.0, "blend:2": 0.0})  # nothing to blend: as it was
    assert value(loss, canvas) == pytest.approx(0.25)


def test_equal_styles_get_equal_draws_and_keep_them() -> None:
    one, other = Distance(0.0), Distance(0.0)
    loss = weighted(one, other, [1, 1])
    loss.refresh(torch.Generator().manual_seed(3), list)
    assert one.drawn == other.drawn != 0
    kept = loss.state()
    again = weighted(Distance(0.0), Distance(0.0), [1, 1])
    again.load_state(kept)
    assert again.state() == kept
    assert loss.refresh_every == 3
    assert loss.halo_px == 0
    assert loss.layers == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["hard", "soft", "ones", "few"])
def test_masked_moments_are_weighted_sums(dtype: torch.dtype, kind: str) -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.rand(200, 5, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weights = torch.rand(200, 1, generator=generator)
    weights = {
        "hard": (weights > 0.5).float(),
        "soft": weights,
        "ones": torch.ones(200, 1),
        "few": (weights > 0.99) * 0.3,
    }[kind]
    found = masked_moment_sums(rows, weights)
    exact = rows.detach().double().requires_grad_()
    wanted = torch.cat([(exact * weights).T @ exact, (exact * weights).sum(0, keepdim=True)])
    # Products and the slope are rounded once each to the rows' dtype, and 200 rows are added up.
    near = epsilon(dtype, layers=4, terms=len(rows))
    assert difference(found, wanted) < near
    slope = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    found.backward(slope.to(found.dtype))
    wanted.backward(slope)
    assert rows.grad is not None
    assert exact.grad is not None
    assert difference(rows.grad, exact.grad) < near
    assert (rows.grad[weights[:, 0] == 0] == 0).all()


def test_moments_in_float32_are_summed_in_float64() -> None:
    def covariance(sums: Tensor) -> Tensor:
        mean = sums[-1].double() / len(rows)
        return sums[:-1].double() / len(rows) - torch.outer(mean, mean)

    generator, found, plain = torch.Generator().manual_seed(8), 0.0, 0.0
    for offset in (3, 10, 30):  # a covariance is a small difference of large sums
        rows = offset + torch.randn(5000, 6, generator=generator)
        sums, exact = moment_sums(rows), covariance(moment_sums(rows.double()))
        assert sums.dtype == torch.float64
        found += float((covariance(sums) - exact).norm())
        plain += float((covariance(torch.cat([rows.T @ rows, rows.sum(0)[None]])) - exact).norm())
    assert found < plain
