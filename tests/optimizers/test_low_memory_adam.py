"""The lean method: rounding without bias, bounds, descent, and the way back from a checkpoint."""

from __future__ import annotations

import torch

from impasto.optimizers import LowMemoryAdam
from impasto.optimizers.low_memory_adam import stochastic_round
from impasto.runtime.distributed import ProcessGroup, RowShard


def test_rounding_at_random_is_right_on_average() -> None:
    draws = torch.Generator().manual_seed(0)
    values = torch.full((200_000,), 1.001)
    found = stochastic_round(values, draws).float()
    assert set(found.tolist()) == {1.0, 1.0078125}
    assert abs(float(found.mean()) - 1.001) < 2e-5  # 3.5 deviations: 0.0078 sqrt(0.128 * 0.872 / 200,000) is 5.8e-6
    assert torch.equal(stochastic_round(torch.tensor([0.5, 0.0, -2.0]), draws).float(), torch.tensor([0.5, 0.0, -2.0]))


def test_it_descends_within_the_bounds() -> None:
    target = torch.tensor([-0.5, 0.3, 1.5]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    lean = LowMemoryAdam(torch.full((1, 3, 8, 8), 0.5))
    for _ in range(150):
        lean.step(0.0, lean.canvas() - target)
    assert torch.allclose(lean.picture(), target.clamp(0, 1), atol=lean.rate)  # one step
    assert lean._first.dtype is lean._second.dtype is torch.bfloat16


def test_it_goes_on_from_its_state() -> None:
    slopes = [torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(6)]
    start = torch.full((1, 3, 8, 8), 0.5)
    straight, first, second = LowMemoryAdam(start), LowMemoryAdam(start), LowMemoryAdam(start)
    for slope in slopes:
        straight.step(0.0, slope)
    for slope in slopes[:3]:
        first.step(0.0, slope)
    second.load_state({key: value.clone() for key, value in first.state().items()})
    for slope in slopes[3:]:
        second.step(0.0, slope)
    assert torch.equal(second.picture(), straight.picture())


def test_two_processes_round_by_draws_of_their_own() -> None:
    painted = []
    for index in (0, 0, 1):
        # Each paints all rows, so that nothing but the draws is different.
        shard = RowShard(8, tuple((0, 8 if index == other else 0) for other in (0, 1)), ProcessGroup(index, 2))
        lean = LowMemoryAdam(torch.full((1, 3, 8, 8), 0.5), shard=shard)
        for step in range(3):
            lean.step(0.0, torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(step)))
        painted.append(lean.picture())
    assert torch.equal(painted[0], painted[1])
    assert not torch.equal(painted[0], painted[2])


def test_recovering_halves_the_step() -> None:
    lean = LowMemoryAdam(torch.full((1, 3, 8, 8), 0.5))
    lean.step(0.0, torch.ones(1, 3, 8, 8))
    lean.recover()
    assert lean.rate == 0.01
    assert not lean._first.any()
    lean.set_step_size(2.0)
    assert lean.rate == 0.04
