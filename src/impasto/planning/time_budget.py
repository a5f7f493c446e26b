"""How long a run will take, and how many steps fit into the time there is.

In: measured seconds of single evaluations. Out: seconds for a plan, or a plan for seconds. An evaluation costs about
the same per pixel at every size, so one measured at the coarsest scale foretells the others; what a scale then takes
corrects the rest of the plan when the next scale begins, and once more within the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from impasto.planning.schedule import Scale

SETUP_EVALUATIONS = 2.0  # targets and reference points of a scale cost about as much
REPLAN_AFTER_STEPS = 3  # steps of the last scale before its plan is corrected
SAVING_SECONDS = 0.3
MAX_STEP_FACTOR = 20.0  # past this many times the usual steps nothing is gained


@dataclass
class StepCost:
    """Seconds per pixel and evaluation, as last measured.

    Args:
        seconds_per_pixel: of one evaluation.
    """

    seconds_per_pixel: float

    def of(self, scale: Scale) -> float:
        """Return the seconds that one evaluation takes at a scale."""
        return self.seconds_per_pixel * scale.height * scale.width

    def learn(self, scale: Scale, seconds: float) -> None:
        """Take what one evaluation really took at a scale."""
        self.seconds_per_pixel = seconds / (scale.height * scale.width)


def seconds_for(scales: Sequence[Scale], rate: StepCost) -> float:
    """Return how long scales take, their targets included."""
    return sum((scale.steps + SETUP_EVALUATIONS) * rate.of(scale) for scale in scales)


def fit(scales: Sequence[Scale], rate: StepCost, seconds: float) -> list[Scale]:
    """Return the scales with their steps multiplied by one factor, so that they take so many seconds.

    Every scale keeps at least one step. A budget too small for that is overdrawn.

    Args:
        scales: as usually planned.
        rate: measured.
        seconds: for all of them, targets included.
    """
    setup = sum(SETUP_EVALUATIONS * rate.of(scale) for scale in scales)
    stepping = sum(scale.steps * rate.of(scale) for scale in scales)
    factor = min(max(0.0, seconds - setup) / max(stepping, 1e-12), MAX_STEP_FACTOR)
    return [replace(scale, steps=max(1, round(scale.steps * factor))) for scale in scales]


class TimeBudget:
    """Keeps a run within its time: plans the scales from what evaluations really take.

    Args:
        seconds: from ``began`` to the end.
        began: when the clock started, as ``time.perf_counter`` tells it.
    """

    def __init__(self, seconds: float, began: float) -> None:
        self._deadline = began + seconds
        self.rate: StepCost | None = None

    def calibrate(self, scale: Scale, evaluate: Callable[[], object]) -> None:
        """Time an evaluation at a scale; the first, which prepares things, does not count."""
        evaluate()
        began = time.perf_counter()
        evaluate()
        self.rate = StepCost((time.perf_counter() - began) / (scale.height * scale.width))

    def learn(self, scale: Scale, steps: int, seconds: float) -> None:
        """Take what so many steps of a scale took."""
        if self.rate is not None and steps:
            self.rate.learn(scale, seconds / steps)

    def plan(self, usual: Sequence[Scale], *, begun: bool = False) -> list[Scale]:
        """Return the scales that are left, with steps that fit into the time that is left.

        Args:
            usual: as planned without a budget.
            begun: the first of them has its targets already.
        """
        assert self.rate is not None
        last = usual[-1]
        left = self._deadline - time.perf_counter() - SAVING_SECONDS - SETUP_EVALUATIONS * self.rate.of(last) / 2
        if begun:
            left += SETUP_EVALUATIONS * self.rate.of(usual[0])
        return fit(usual, self.rate, left)
