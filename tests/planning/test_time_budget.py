"""Plans for a time limit: properties of plain numbers, and one run with a simulated clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from impasto.errors import OptionError
from impasto.events import Finished, Planned
from impasto.options.validation import parse_seconds
from impasto.planning import time_budget
from impasto.planning.schedule import Scale, plan_scales
from impasto.planning.time_budget import REPLAN_AFTER_STEPS, StepCost, TimeBudget, fit, seconds_for
from runs import iter_stylize

RATE = StepCost(1e-6)


@given(st.floats(5, 200), st.integers(64, 1024))
def test_a_plan_takes_the_time_it_was_made_for(seconds: float, side: int) -> None:
    usual = plan_scales(side, side, quality="standard")
    fitted = fit(usual, RATE, seconds)
    least, most = (
        seconds_for([Scale(s.height, s.width, 1) for s in usual], RATE),
        seconds_for([Scale(s.height, s.width, round(s.steps * time_budget.MAX_STEP_FACTOR)) for s in usual], RATE),
    )
    rounding = sum(RATE.of(scale) for scale in usual)
    assert min(max(seconds, least), most) == pytest.approx(seconds_for(fitted, RATE), abs=rounding)
    assert all(scale.steps >= 1 for scale in fitted)


def test_a_rate_learns_from_what_was_seen() -> None:
    rate = StepCost(1.0)
    rate.learn(Scale(10, 20, 5), 4.0)
    assert rate.of(Scale(10, 20, 5)) == pytest.approx(4.0)
    assert rate.of(Scale(20, 20, 5)) == pytest.approx(8.0)


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("60s", 60), ("1.5m", 90), ("2h", 7200)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "-3s", "0", "nan", "inf", "5 days"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="write it as 60s, 5m or 1h"):
        parse_seconds(text)


class Clock:
    """A clock that an objective's evaluations turn."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Let every evaluation take 2 microseconds a pixel on a clock of the test's own."""
    from impasto.objective.objective import Objective

    turned, real = Clock(), Objective.evaluate

    def evaluate(self: Objective, canvas: torch.Tensor, *rest: object) -> object:
        turned.now += 2e-6 * self.height * self.width
        return real(self, canvas, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "evaluate", evaluate)
    monkeypatch.setattr(time_budget, "time", turned)
    monkeypatch.setattr("impasto.run.painter.time", turned)
    return turned


@pytest.mark.slow
def test_a_run_keeps_within_its_time(
    clock: Clock, tiny_picture: NDArray[np.uint8], tiny_style: NDArray[np.uint8]
) -> None:
    events = list(
        iter_stylize(
            tiny_picture, tiny_style, size=64, scales=2, time="0.5s", started_at=0.0, tolerance=0.0,
            style_layers="relu1_1", content_layers="relu1_1",
        )
    )  # fmt: skip
    plans = [event for event in events if isinstance(event, Planned)]
    assert len(plans) > 2
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.step == plans[-1].total_steps
    assert end.step > REPLAN_AFTER_STEPS
    assert end.result.record["decisions"]["scales"] == plans[-1].decisions["scales"]
    left = 0.5 - time_budget.SAVING_SECONDS
    assert clock.now == pytest.approx(left, rel=0.2)


def test_a_budget_and_a_number_of_steps_exclude_each_other(tiny_picture: NDArray[np.uint8]) -> None:
    with pytest.raises(OptionError, match="time and steps"):
        next(iter_stylize(tiny_picture, tiny_picture, time="60s", steps=10))


def test_a_pace_that_is_late_still_gives_every_scale_a_step() -> None:
    budget = TimeBudget(1.0, began=-100.0)
    budget.calibrate(Scale(8, 8, 1), lambda: None)
    assert [scale.steps for scale in budget.plan([Scale(8, 8, 30), Scale(16, 16, 20)])] == [1, 1]
