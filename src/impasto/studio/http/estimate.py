"""Estimate the time of a job at a different size from the job's own log.

The estimate is the size, the steps and the seconds of the same run at a different long side. The cost of a step is
about the same per pixel at every size, as in ``planning.time_budget``.
"""

from __future__ import annotations

import json
from statistics import median

from impasto.options import recipes
from impasto.planning.schedule import scales_for
from impasto.planning.time_budget import StepCost, seconds_for
from impasto.studio.http.views import Estimate
from impasto.studio.store.database import Store
from impasto.studio.store.records import Job, StoredEvent


def estimate(store: Store, job: Job, long_side: int) -> Estimate:
    """Estimate a job at a different size.

    Args:
        store: the store with its log.
        job: a job, finished or not.
        long_side: in px.
    """
    content = store.asset(job.pictures["content"])
    log = _log(store, job)
    height, width = _upright(content.height, content.width, log)
    factor = long_side / max(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    chosen = recipes.resolve(**job.options)
    if chosen.feed_forward.fast:
        return Estimate(width=width, height=height, steps=0, seconds=None)
    scales = scales_for(chosen, height, width)
    rate = _rate(log)
    seconds = None if rate is None else round(seconds_for(scales, rate), 1)
    return Estimate(width=width, height=height, steps=sum(scale.steps for scale in scales), seconds=seconds)


def _upright(height: int, width: int, log: list[StoredEvent]) -> tuple[int, int]:
    """Return the size as it was painted: the files of phones may need a rotation by 90 degrees."""
    painted = [json.loads(event.data) for event in log if event.kind == "scale"]
    rotated = bool(painted) and (painted[-1]["height"] - painted[-1]["width"]) * (height - width) < 0
    return (width, height) if rotated else (height, width)


def _log(store: Store, job: Job) -> list[StoredEvent]:
    events: list[StoredEvent] = []
    while batch := store.events(job.id, events[-1].number if events else 0):
        events += batch
    return events


def _rate(events: list[StoredEvent]) -> StepCost | None:
    """Return the time per pixel and step at the finest scale reached; the median is not affected by pauses."""
    pixels, last = 0, None
    durations: dict[int, list[float]] = {}
    for event in events:
        if event.kind == "scale":
            data = json.loads(event.data)
            pixels, last = data["height"] * data["width"], None
        elif event.kind == "step":
            if last is not None and pixels:
                durations.setdefault(pixels, []).append(event.created - last)
            last = event.created
        else:
            last = None
    if not durations:
        return None
    finest = max(durations)
    return StepCost(median(durations[finest]) / finest)
