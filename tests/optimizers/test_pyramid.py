"""The Laplacian pyramid as variables."""

from __future__ import annotations

import pytest
import torch

from impasto.optimizers.pyramid import LaplacianPyramidAdam, Rule, bands_of, picture_of
from rounding import assert_same


def drawn(seed: int, height: int = 45, width: int = 70) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(45, 70), (16, 16), (7, 90), (64, 128)])
def test_bands_add_up_to_the_picture(size: tuple[int, int]) -> None:
    picture = drawn(1, *size).double()
    bands = bands_of(picture)
    assert_same(picture_of(bands), picture)
    assert len(bands) == (1 if min(size) < 16 else 1 + int(torch.tensor(min(size) / 8).log2()))


@pytest.mark.parametrize("rule", ["adam", "rmsprop"])
def test_it_finds_the_bottom_of_a_bowl(rule: Rule) -> None:
    target = 0.2 + 0.6 * drawn(2)
    optimizer = LaplacianPyramidAdam(drawn(1), rate=0.01, rule=rule)
    first = float((optimizer.canvas() - target).square().mean())
    for _ in range(150):
        away = optimizer.canvas() - target
        optimizer.step(float(away.square().mean()), 2 * away)
        assert torch.equal(optimizer.canvas(), optimizer.canvas().clamp(0, 1))
    assert float((optimizer.picture() - target).square().mean()) < 0.02 * first


def test_large_shapes_move_faster_than_in_pixels() -> None:
    start = torch.full((1, 3, 64, 64), 0.3)
    optimizer = LaplacianPyramidAdam(start, rate=0.01)
    optimizer.step(1.0, -torch.ones_like(start))
    moved = optimizer.canvas() - start
    assert float(moved.min()) > 0.02  # every band takes a step of its own


def test_it_goes_on_from_its_state() -> None:
    target = drawn(2)
    one, other = LaplacianPyramidAdam(drawn(1)), LaplacianPyramidAdam(drawn(3))
    for step in range(6):
        if step == 3:
            other.load_state({key: part.clone() for key, part in one.state().items()})
        for optimizer in (one, other):
            optimizer.step(1.0, optimizer.canvas() - target)
    assert torch.equal(one.canvas(), other.canvas())


def test_recovery_goes_back_and_halves_the_step() -> None:
    optimizer = LaplacianPyramidAdam(drawn(1), rate=0.01)
    optimizer.step(1.0, drawn(2))
    optimizer.step(1.0, drawn(3))
    good = optimizer.picture()
    optimizer.recover()
    assert torch.equal(optimizer.canvas(), good)
    assert optimizer.rate == 0.005
    optimizer.set_step_size(2.0)
    assert optimizer.rate == 0.02
    optimizer.on_objective_change()
    assert torch.equal(optimizer.canvas(), good)
