"""Properties of every optimizer: it descends, stays in bounds, reverts on request, and resumes from its state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from impasto.optimizers import Adam, BoundedLBFGS, lbfgs
from impasto.optimizers.preconditioner import precondition
from impasto.optimizers.protocol import Optimizer
from rounding import assert_as_exact, assert_same, epsilon

Make = Callable[[Tensor], Optimizer]
OPTIMIZERS: dict[str, Make] = {"lbfgs": BoundedLBFGS, "adam": Adam}
SHAPE = (1, 3, 12, 17)


@pytest.fixture(params=OPTIMIZERS)
def make(request: pytest.FixtureRequest) -> Make:
    """Return each optimizer's constructor in turn."""
    return OPTIMIZERS[request.param]


@pytest.fixture
def start(generator: torch.Generator) -> Tensor:
    """Return a canvas to start from, far enough from the bounds for a step."""
    return 0.3 + 0.4 * torch.rand(SHAPE, generator=generator)


@pytest.fixture
def bowl(generator: torch.Generator) -> Callable[[Tensor], tuple[float, Tensor]]:
    """Return a loss with its gradient: a long narrow bowl whose bottom lies partly out of bounds."""
    bottom = torch.rand(SHAPE, generator=generator) * 1.6 - 0.3
    curvature = torch.logspace(0, 2, bottom.numel()).view(SHAPE)

    def loss(canvas: Tensor) -> tuple[float, Tensor]:
        away = canvas - bottom
        return float((curvature * away.square()).sum() / 2), curvature * away

    return loss


def descend(optimizer: Optimizer, loss: Callable[[Tensor], tuple[float, Tensor]], steps: int) -> list[float]:
    """Take steps and return the losses on the way."""
    losses = []
    for _ in range(steps):
        value, gradient = loss(optimizer.canvas())
        optimizer.step(value, gradient)
        losses.append(value)
    return losses


def test_it_starts_where_it_is_told(make: Make, start: Tensor) -> None:
    optimizer = make(start)
    torch.testing.assert_close(optimizer.canvas(), start)
    torch.testing.assert_close(optimizer.picture(), start)
    assert optimizer.canvas().shape == SHAPE


def test_the_start_is_not_changed(make: Make, start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]) -> None:
    before = start.clone()
    descend(make(start), bowl, 5)
    assert torch.equal(start, before)


def test_white_and_black_can_be_painted_over(make: Make) -> None:
    optimizer = make(torch.ones(SHAPE))
    descend(optimizer, lambda canvas: (float((canvas - 0.5).square().sum()), 2 * (canvas - 0.5)), 60)
    assert float((optimizer.picture() - 0.5).abs().max()) < 0.1


def test_white_and_black_can_be_reached(make: Make) -> None:
    optimizer = make(torch.full(SHAPE, 0.5))
    descend(optimizer, lambda canvas: (float((1 - canvas).square().sum()), 2 * (canvas - 1)), 60)
    assert float(optimizer.canvas().min()) > 0.99


def test_it_descends_within_the_bounds(
    make: Make, start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]
) -> None:
    optimizer = make(start)
    first = bowl(optimizer.canvas())[0]
    for _ in range(80):
        value, gradient = bowl(optimizer.canvas())
        optimizer.step(value, gradient)
        for picture in (optimizer.canvas(), optimizer.picture()):
            assert float(picture.min()) >= 0
            assert float(picture.max()) <= 1
    assert bowl(optimizer.picture())[0] < 0.7 * first


def test_lbfgs_finds_the_best_picture_within_the_bounds(start: Tensor) -> None:
    bottom = torch.linspace(-0.3, 1.3, start.numel()).view(SHAPE)
    optimizer, best = BoundedLBFGS(start), bottom.clamp(0, 1)
    descend(optimizer, lambda canvas: (float((canvas - bottom).square().sum()), 2 * (canvas - bottom)), 60)
    assert float((optimizer.picture() - best).norm()) < 0.03 * float((start - best).norm())


def test_lbfgs_shows_a_picture_whose_loss_is_known(
    start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]
) -> None:
    optimizer, known = BoundedLBFGS(start), []
    for _ in range(30):
        value, gradient = bowl(optimizer.canvas())
        optimizer.step(value, gradient)
        known.append(value)
        shown = bowl(optimizer.picture())[0]
        assert shown in known  # the same numbers in the same order


def test_lbfgs_limits_how_far_a_step_goes(start: Tensor) -> None:
    optimizer = BoundedLBFGS(start, max_change=0.03)
    for step in range(20):
        before = optimizer.canvas().clone()
        optimizer.step(1000.0 - step, torch.randn(SHAPE, generator=torch.Generator().manual_seed(step)))
        assert float((optimizer.canvas() - before).square().mean().sqrt()) <= 0.03 + torch.finfo(torch.float32).eps


def test_a_rise_takes_lbfgs_back_on_the_same_line(start: Tensor) -> None:
    optimizer = BoundedLBFGS(start)
    optimizer.step(1.0, torch.ones(SHAPE))
    far = (optimizer.canvas() - start).norm()
    optimizer.step(5.0, torch.ones(SHAPE))
    near = (optimizer.canvas() - start).norm()
    assert 0 < near < far
    assert torch.equal(optimizer.picture(), start)


def test_a_smaller_step_size_moves_less(make: Make, start: Tensor) -> None:
    moved = []
    for factor in (1.0, 0.01):
        optimizer = make(start)
        optimizer.set_step_size(factor)
        optimizer.step(1.0, torch.ones(SHAPE))
        moved.append(float((optimizer.canvas() - start).norm()))
    assert moved[1] < 0.5 * moved[0]


def test_it_goes_back_to_a_good_picture_and_steps_less(
    make: Make, start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]
) -> None:
    optimizer = make(start)
    descend(optimizer, bowl, 4)
    good = optimizer.picture().clone()
    optimizer.recover()
    torch.testing.assert_close(optimizer.canvas(), good)
    descend(optimizer, bowl, 3)
    assert bool(optimizer.canvas().isfinite().all())


def test_each_turn_back_halves_the_step(make: Make, start: Tensor) -> None:
    moved = []
    for turns in (4, 6):
        optimizer = make(start)
        for _ in range(turns):
            optimizer.recover()
        optimizer.step(1.0, torch.ones(SHAPE))
        moved.append(float((optimizer.canvas() - start).norm()))
    # An image's values, up to 1, are rounded by up to 6e-8; a step that was halved six times moves them by 2e-4.
    assert moved[1] == pytest.approx(moved[0] / 4, rel=1e-3)


def test_a_changed_objective_is_followed(
    make: Make, start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]
) -> None:
    optimizer = make(start)
    descend(optimizer, bowl, 10)
    optimizer.on_objective_change()

    def other(canvas: Tensor) -> tuple[float, Tensor]:
        value, gradient = bowl(1 - canvas)
        return 1e6 + value, -gradient  # far above what was known before

    first = other(optimizer.canvas())[0]
    descend(optimizer, other, 60)
    assert other(optimizer.picture())[0] < first


def test_from_its_state_it_goes_on_to_the_byte(
    make: Make, start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]
) -> None:
    straight = make(start)
    descend(straight, bowl, 14)
    state = {name: value.clone() for name, value in straight.state().items()}
    resumed = make(torch.zeros(SHAPE))
    resumed.load_state(state)
    assert descend(straight, bowl, 9) == descend(resumed, bowl, 9)
    assert torch.equal(straight.canvas(), resumed.canvas())
    assert torch.equal(straight.picture(), resumed.picture())


def test_a_fresh_state_is_one_too(make: Make, start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]]) -> None:
    straight, resumed = make(start), make(torch.zeros(SHAPE))
    resumed.load_state({name: value.clone() for name, value in straight.state().items()})
    assert descend(straight, bowl, 5) == descend(resumed, bowl, 5)


@pytest.mark.parametrize("size", [(24, 40), (33, 47)])
def test_the_preconditioner_is_blurring_and_pooling(size: tuple[int, int], generator: torch.Generator) -> None:
    def blurred(picture: Tensor) -> Tensor:
        return functional.avg_pool2d(picture, 3, 1, 1)

    vector = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)
    height, width = size
    even = functional.pad(vector, (0, width % 2, 0, height % 2))
    coarse = functional.avg_pool2d(blurred(even), 2)
    back = blurred(functional.interpolate(coarse, scale_factor=2, mode="nearest"))[..., :height, :width]
    assert_same(precondition(vector, levels=1, growth=3.0), vector + 3 * back)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (16, 16), (33, 18)])
def test_the_preconditioner_is_symmetric_and_positive(size: tuple[int, int], generator: torch.Generator) -> None:
    one, other = (torch.randn(1, 3, *size, generator=generator).double() for _ in range(2))
    assert_same(float((precondition(one) * other).sum()), float((one * precondition(other)).sum()))
    assert float((precondition(one) * one).sum()) >= float(one.square().sum())
    assert precondition(one).shape == one.shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_vectors_in_pieces_move_alike(
    start: Tensor, bowl: Callable[[Tensor], tuple[float, Tensor]], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def painted(canvas: Tensor, kept: torch.dtype) -> Tensor:
        optimizer = BoundedLBFGS(canvas, history_dtype=kept)
        descend(optimizer, bowl, 6)
        return optimizer.picture()

    exact = painted(start.double(), torch.float64)
    whole = painted(start.double() if dtype == torch.float64 else start, dtype)
    monkeypatch.setattr(lbfgs, "PIECE", 50)
    if dtype == torch.float64:
        assert_same(painted(start.double(), dtype), whole)
    else:
        pieces = painted(start, dtype)
        assert_as_exact(pieces, whole, exact, least=epsilon(torch.float32, layers=6, terms=6 * start.numel()))
