"""Properties that every loss has, tested for every row of ``CASES``."""

from __future__ import annotations

import pytest
import torch
from loss_cases import CASES, HEIGHT, LAYERS, WIDTH, WIDTHS, encoder, features, make, noise, picture, stage
from torch import Tensor

from impasto.losses.summaries.protocol import Features, Loss, Refreshing
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from rounding import assert_as_exact, assert_same, epsilon

EVERY = pytest.mark.parametrize("name", CASES)
WITH_MASKS = pytest.mark.parametrize(
    ("name", "masked"), [(name, masked) for name, case in CASES.items() for masked in (False, True)[: 1 + case.masked]]
)
HALF_AND_FULL = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def value(loss: Loss, canvas: Tensor, **facts: bool) -> float:
    return stage(loss, canvas, **facts).values(canvas)["it"]


@WITH_MASKS
def test_it_is_zero_at_its_own_target(name: str, masked: bool) -> None:
    case = CASES[name]
    target = picture(1)
    loss = make(name, target, masked=masked)
    at_noise, at_home = value(loss, noise(2)), value(loss, case.own(target))
    assert case.floor <= 0.01
    assert at_noise > 0
    assert -1e-9 <= at_home <= case.floor * at_noise


@EVERY
def test_its_gradient_is_that_of_its_value(name: str) -> None:
    small, start = picture(1, 48, 33), noise(2, 48, 33)
    loss = make(name, small)
    stage(loss, start)
    inputs = [start.double(), *(part.double() for part in features(start).values())]
    window = TileWindow.whole(48, 33)

    def run(canvas: Tensor, *parts: Tensor) -> Tensor:
        made = dict(zip(LAYERS, parts, strict=True))
        summary = loss.summarize(canvas, made, window)
        assert summary.dtype == torch.float64
        return loss.value(summary)

    leaves = [part.requires_grad_(True) for part in inputs]
    assert run(*leaves).dtype == torch.float64
    used = torch.autograd.grad(run(*leaves), leaves, allow_unused=True)
    assert any(part is not None for part in used)
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True, eps=1e-7, atol=1e-6, rtol=1e-4)


@EVERY
@pytest.mark.parametrize("target", [0.0, 1.0, None])
@pytest.mark.parametrize("canvas", [0.0, 1.0])
def test_constant_pictures_give_finite_numbers(name: str, target: float | None, canvas: float) -> None:
    size = (1, 3, 64, 48)
    wanted = picture(1, 64, 48) if target is None else torch.full(size, target)
    plain = torch.full(size, canvas)
    objective = stage(make(name, wanted), plain)
    evaluation = objective.evaluate(plain, {"it": 1.0})
    assert torch.isfinite(torch.tensor(evaluation.total))
    assert torch.isfinite(evaluation.gradient).all()


@EVERY
def test_a_step_against_the_gradient_descends(name: str) -> None:
    start = noise(2, 96, 80)
    objective = stage(make(name, picture(1, 96, 80)), start)
    before = objective.evaluate(start, {"it": 1.0})
    size = float(before.gradient.norm())
    assert size > 0
    moved = [
        objective.values(start - length * before.gradient / size)["it"] < before.total for length in (1.0, 0.1, 0.01)
    ]
    assert any(moved)


@WITH_MASKS
def test_tiles_equal_the_whole(name: str, masked: bool) -> None:
    canvas = (0.5 * noise(2) + 0.5 * picture(3)).double()
    loss = make(name, picture(1).double(), masked=masked)
    whole = stage(loss, canvas).evaluate(canvas, {"it": 1.0})
    kept = {key: part.clone() for key, part in loss.state().items()} if isinstance(loss, Refreshing) else {}
    objective = stage(loss, canvas, tile=64)
    assert len(list(objective.sweep(canvas))) == 6
    if isinstance(loss, Refreshing):
        found, matches = loss.state(), {key for key, part in kept.items() if part.dtype == torch.int64}
        assert all(torch.equal(found[key], kept[key]) for key in matches)
        drawn = kept.keys() - matches
        assert_same({key: found[key] for key in drawn}, {key: kept[key] for key in drawn})
        loss.load_state(kept)
    assert_same(objective.evaluate(canvas, {"it": 1.0}), whole)


@WITH_MASKS
@HALF_AND_FULL
def test_tiles_are_as_exact_as_the_whole(name: str, masked: bool, dtype: torch.dtype) -> None:
    canvas, target = 0.5 * noise(2) + 0.5 * picture(3), picture(1)
    loss = make(name, target.double(), masked=masked)
    exact = stage(loss, canvas.double()).evaluate(canvas.double(), {"it": 1.0})
    kept = loss.state() if isinstance(loss, Refreshing) else {}
    loss = make(name, target, masked=masked, dtype=dtype)
    if isinstance(loss, Refreshing):
        loss.load_state(kept)
    whole, tiled = (
        stage(loss, canvas, tile=tile, refresh=False, dtype=dtype).evaluate(canvas, {"it": 1.0}) for tile in (None, 64)
    )
    assert_as_exact(tiled, whole, exact, least=rounding_to(dtype))


def rounding_to(dtype: torch.dtype) -> float:
    """Return what rounding may do on the way to relu3_1 and back, and in a sum over the positions."""
    channels = (3, *WIDTHS[:1] * 2, *WIDTHS[1:2] * 2, WIDTHS[2])
    return epsilon(dtype, layers=2 * 5, terms=2 * 9 * sum(channels) + HEIGHT * WIDTH)


@EVERY
def test_tiles_equal_the_whole_where_one_column_is_left_over(name: str) -> None:
    canvas = (0.5 * noise(2, 81, 129) + 0.5 * picture(3, 81, 129)).double()
    loss = make(name, picture(1, 81, 129).double())
    whole = stage(loss, canvas).evaluate(canvas, {"it": 1.0})
    tiled = stage(loss, canvas, tile=64, refresh=False).evaluate(canvas, {"it": 1.0})
    assert_same(tiled, whole)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.masked])
def test_a_mask_of_ones_is_no_mask(name: str) -> None:
    canvas, target = noise(2).double(), picture(1).double()
    ones = {layer: torch.ones_like(part[:, :1]) for layer, part in features(canvas).items()}
    plain = stage(make(name, target), canvas).evaluate(canvas, {"it": 1.0})
    masked = stage(CASES[name].make(target, features(target), ones), canvas).evaluate(canvas, {"it": 1.0})
    assert_same(masked, plain)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.masked])
def test_what_a_mask_hides_has_no_gradient(name: str) -> None:
    canvas = noise(2)
    evaluation = stage(make(name, picture(1), masked=True), canvas).evaluate(canvas, {"it": 1.0})
    hidden, seen = evaluation.gradient[..., :4], evaluation.gradient[..., 40:]
    assert float(hidden.abs().sum()) == 0
    assert float(seen.abs().sum()) > 0


@EVERY
def test_its_invariance(name: str) -> None:
    canvas, target = noise(2, 64, 48).double(), picture(1, 64, 48).double()
    loss, invariance = make(name, target), CASES[name].invariance
    if invariance.of == "canvas":
        first, second = value(loss, canvas), value(loss, invariance.change(canvas, target))
    elif invariance.of == "summary":
        summary = loss.summarize(canvas, features(canvas), window(canvas))
        changed = invariance.change(summary, features(canvas))
        first, second = float(loss.value(summary)), float(loss.value(changed))
    else:
        changed = invariance.change(features(canvas), features(target))
        first, matches = value_of_features(loss, canvas, features(canvas), refresh=True)
        second, other = value_of_features(loss, canvas, changed, refresh=invariance.refresh)
        if invariance.of == "matches":
            assert matches.keys() == other.keys()
            assert all(len(found.unique()) > 5 for found in matches.values())
            assert all(torch.equal(found, other[layer]) for layer, found in matches.items())
            return
    assert second == pytest.approx(first, rel=invariance.rel, abs=0)
    assert value(loss, picture(9, 64, 48).double()) != pytest.approx(value(loss, canvas), rel=0.05)


def value_of_features(loss: Loss, canvas: Tensor, parts: Features, *, refresh: bool) -> tuple[float, dict[str, Tensor]]:
    """Return the value for given features of the canvas, and the samples and matches it is computed with."""
    refreshing = isinstance(loss, Refreshing)
    if refreshing and refresh:
        loss.refresh(torch.Generator().manual_seed(3), lambda: [(canvas, parts, window(canvas))])
    state = {key: found.clone() for key, found in loss.state().items()} if refreshing else {}
    return float(loss.value(loss.summarize(canvas, parts, window(canvas)))), state


def window(canvas: Tensor) -> TileWindow:
    return TileWindow.whole(canvas.shape[-2], canvas.shape[-1])


def test_the_order_of_rotated_styles_changes_nothing() -> None:
    from impasto.losses.nearest import NearestLoss, rotations

    canvas = noise(2, 64, 48).double()
    styles = [features(part) for part in rotations(picture(1, 64, 48).double())]

    def distance(*order: Features) -> float:
        return value(NearestLoss(StyleTarget(order[0], LAYERS, 64, 48), rotated=order[1:]), canvas)

    values = [distance(*order) for order in (styles, styles[::-1])]
    assert_same(values[0], values[1])
    assert values[0] < distance(styles[0])


@pytest.mark.parametrize("name", [n for n in CASES if isinstance(make(n, picture(1, 64, 48)), Refreshing)])
def test_samples_and_matches_come_back_from_a_checkpoint(name: str) -> None:
    canvas = noise(2, 64, 48)
    first, second = make(name, picture(1, 64, 48)), make(name, picture(1, 64, 48))
    objective = stage(first, canvas)
    assert isinstance(first, Refreshing)
    assert isinstance(second, Refreshing)
    second.load_state(first.state())
    again = stage(second, canvas, refresh=False)
    assert again.values(canvas) == objective.values(canvas)
    assert encoder(canvas.dtype) is again.encoder
