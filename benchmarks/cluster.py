"""A simulated forecast of a large batch on a cluster, from measured figures.

In: seconds per image on one worker, seconds that the driver spends per image, seconds until a worker is ready, and how
often workers are lost. Out: hours of the batch and how well the workers are used. The simulation has the rules of
``batch/loop.py``: one driver hands out images one after the other, a lost worker loses its image and is replaced, and
an image is tried at most three times.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from impasto.batch.loop import MAX_ATTEMPTS


@dataclass(frozen=True)
class ClusterModel:
    """What a simulated cluster is like.

    Args:
        workers: on all nodes.
        seconds: per image on one worker.
        spread: standard deviation of the seconds, as a share of them.
        driver: seconds that the driver spends per image, while it can do nothing else.
        start: seconds until a worker is ready.
        loss_hours: mean time until a worker is lost, in hours; 0 for never.
    """

    workers: int
    seconds: float
    spread: float = 0.1
    driver: float = 0.03
    start: float = 30.0
    loss_hours: float = 100.0


@dataclass(frozen=True)
class Forecast:
    """The outcome of a simulated batch; ``use`` is the share of the workers' time in which they paint."""

    hours: float
    use: float
    lost: int
    failed: int


def simulate(count: int, model: ClusterModel, seed: int = 0) -> Forecast:
    """Simulate a batch of ``count`` images."""
    rng = random.Random(seed)
    rate = 1 / (3600 * model.loss_hours) if model.loss_hours else 0.0
    ready = [(model.start, worker) for worker in range(model.workers)]  # when each worker is idle
    waiting = [1] * count  # attempts
    driver_free, painted, end, lost, failed = 0.0, 0.0, 0.0, 0, 0
    while waiting:
        idle, worker = heapq.heappop(ready)
        began = max(idle, driver_free)
        driver_free = began + model.driver
        attempt = waiting.pop()
        took = max(0.0, rng.gauss(model.seconds, model.spread * model.seconds))
        until_lost = rng.expovariate(rate) if rate else took
        if until_lost < took:
            lost, end = lost + 1, max(end, driver_free + until_lost)
            heapq.heappush(ready, (driver_free + until_lost + model.start, worker))
            if attempt < MAX_ATTEMPTS:
                waiting.append(attempt + 1)
            else:
                failed += 1
            continue
        painted += took
        end = max(end, driver_free + took)
        heapq.heappush(ready, (driver_free + took, worker))
    return Forecast(end / 3600, painted / (model.workers * end), lost, failed)
