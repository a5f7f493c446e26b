"""How long a job's settings would take at another size, judged by the log of the job itself.

In: a job that has made some steps. Out: the size, the steps and the seconds of the same run at another long side. A
step costs about the same per pixel at every size, as ``time_budget`` has it; nothing is computed here.
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
    """Say what a job would take.

    Args:
        store: where its log is.
        job: that has been painted, in part at least.
        long_side: in px.
    """
    content = store.asset(job.pictures["content"])
    log = _log(store, job)
    height, width = _upright(content.height, content.width, log)
    factor = long_side / max(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    chosen = recipes.resolve(**job.options)
    if chosen.instant.fast:
        return Estimate(width=width, height=height, steps=0, seconds=None)
    scales = scales_for(chosen, height, width)
    rate = _rate(log)
    seconds = None if rate is None else round(seconds_for(scales, rate), 1)
    return Estimate(width=width, height=height, steps=sum(scale.steps for scale in scales), seconds=seconds)


def _upright(height: int, width: int, log: list[StoredEvent]) -> tuple[int, int]:
    """Return a photograph's sides as it was painted: files of telephones may lie on their side."""
    painted = [json.loads(event.data) for event in log if event.kind == "scale"]
    lies = bool(painted) and (painted[-1]["height"] - painted[-1]["width"]) * (height - width) < 0
    return (width, height) if lies else (height, width)


def _log(store: Store, job: Job) -> list[StoredEvent]:
    events: list[StoredEvent] = []
    while batch := store.events(job.id, events[-1].number if events else 0):
        events += batch
    return events


def _rate(events: list[StoredEvent]) -> StepCost | None:
    """Return what a pixel of a step took at the finest scale that was reached; pauses do not move a median."""
    pixels, last = 0, None
    took: dict[int, list[float]] = {}
    for event in events:
        if event.kind == "scale":
            data = json.loads(event.data)
            pixels, last = data["height"] * data["width"], None
        elif event.kind == "step":
            if last is not None and pixels:
                took.setdefault(pixels, []).append(event.created - last)
            last = event.created
        else:
            last = None
    if not took:
        return None
    finest = max(took)
    return StepCost(median(took[finest]) / finest)
