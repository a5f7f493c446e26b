"""How long a run takes, and how many steps fit into a time limit.

An evaluation costs about the same per pixel at every size, so one that is timed at the coarsest scale predicts the
others. The measured time of a scale corrects the plan of the remaining scales when the next scale begins, and once more
within the last scale.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from impasto.planning.schedule import Scale

SETUP_EVALUATIONS = 2.0  # targets and reference points of a scale cost about as much
REPLAN_AFTER_STEPS = 3  # steps of the last scale before its plan is corrected
SAVING_SECONDS = 0.3
MAX_STEP_FACTOR = 20.0  # more than this many times the usual steps gain nothing


@dataclass
class StepCost:
    """Seconds per pixel and evaluation, as last measured.

    Args:
        seconds_per_pixel: seconds per pixel of one evaluation.
    """

    seconds_per_pixel: float

    def of(self, scale: Scale) -> float:
        """Return the predicted seconds of one evaluation at a scale."""
        return self.seconds_per_pixel * scale.height * scale.width

    def learn(self, scale: Scale, seconds: float) -> None:
        """Record the measured time of one evaluation at a scale."""
        self.seconds_per_pixel = seconds / (scale.height * scale.width)


def seconds_for(scales: Sequence[Scale], rate: StepCost) -> float:
    """Return the predicted seconds of scales, including their targets."""
    return sum((scale.steps + SETUP_EVALUATIONS) * rate.of(scale) for scale in scales)


def fit(scales: Sequence[Scale], rate: StepCost, seconds: float) -> list[Scale]:
    """Return the scales with their steps multiplied by one factor, so that they fit into a number of seconds.

    Every scale keeps at least one step, even if the budget is too small for that.

    Args:
        scales: the scales as planned without a time limit.
        rate: the measured cost of an evaluation.
        seconds: time for all scales, including their targets.
    """
    setup = sum(SETUP_EVALUATIONS * rate.of(scale) for scale in scales)
    stepping = sum(scale.steps * rate.of(scale) for scale in scales)
    factor = min(max(0.0, seconds - setup) / max(stepping, 1e-12), MAX_STEP_FACTOR)
    return [replace(scale, steps=max(1, round(scale.steps * factor))) for scale in scales]


class TimeBudget:
    """Keeps a run within its time limit: plans the scales from measured times.

    Args:
        seconds: time limit, from ``began`` to the end of the run.
        began: start of the time limit, in seconds of ``time.perf_counter``.
    """

    def __init__(self, seconds: float, began: float) -> None:
        self._deadline = began + seconds
        self.rate: StepCost | None = None

    def calibrate(self, scale: Scale, evaluate: Callable[[], object]) -> None:
        """Time an evaluation at a scale, after one warm-up evaluation."""
        evaluate()
        began = time.perf_counter()
        evaluate()
        self.rate = StepCost((time.perf_counter() - began) / (scale.height * scale.width))

    def learn(self, scale: Scale, steps: int, seconds: float) -> None:
        """Record the measured time of some steps of a scale."""
        if self.rate is not None and steps:
            self.rate.learn(scale, seconds / steps)

    def plan(self, usual: Sequence[Scale], *, begun: bool = False) -> list[Scale]:
        """Return the remaining scales, with steps that fit into the remaining time.

        Args:
            usual: the scales as planned without a time limit.
            begun: whether the targets of the first scale exist already.
        """
        assert self.rate is not None
        last = usual[-1]
        left = self._deadline - time.perf_counter() - SAVING_SECONDS - SETUP_EVALUATIONS * self.rate.of(last) / 2
        if begun:
            left += SETUP_EVALUATIONS * self.rate.of(usual[0])
        return fit(usual, self.rate, left)
