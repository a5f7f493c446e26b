"""A finished run told again, to those who listen to runs: its film and its report.

In: a job's log and kept pictures, out of the store. Out: the same events as then, as far as they were kept, and with
them a film (MP4) or a report (one HTML file).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.events import Event, Finished, Planned, Stepped
from impasto.imaging import images
from impasto.run import record
from impasto.run.result import Result
from impasto.studio.store.exports import Material
from impasto.workflows.report import PAGE, Report
from impasto.workflows.timelapse import Film


def retell(material: Material) -> Iterator[Event]:
    """Yield a finished run's events; steps whose preview was thinned out come without one.

    A run that went on after a crash is told as if it had not stopped.
    """
    steps: dict[int, Stepped] = {}
    scales: tuple[dict[str, Any], ...] = ()
    pictures = dict(material.previews)
    for event in material.events:
        data = json.loads(event.data)
        if event.kind == "planned":
            scales = tuple(data["scales"])
        elif event.kind == "step":
            losses = {name: float("nan") if value is None else value for name, value in data["losses"].items()}
            total = float("nan") if data["total"] is None else data["total"]
            steps[data["step"]] = Stepped(data["step"], data["scale"], data["scale_step"], total, losses)
    steps = {step: steps[step] for step in sorted(steps) if step <= material.job.step}
    # A run that was stopped is told whole: its film ends where it ended.
    yield Planned(scales, max(1, material.job.step), {})
    for step, told in steps.items():
        preview = images.load(pictures[step]).pixels if step in pictures else None
        shown = None if preview is None else images.quantise(preview).astype("uint8")
        yield Stepped(step, told.scale, told.scale_step, told.total, told.losses, shown)
    yield Finished(material.job.step, material.job.stopped, _result(material, list(steps.values())))


def film(material: Material, path: Path) -> str:
    """Write a run's film and return its media type."""
    telling = Film(path)
    try:
        for event in retell(material):
            telling(event)
    finally:
        telling.close()
    return "video/mp4"


def report(material: Material, path: Path) -> str:
    """Write a run's report and return its media type."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        telling = Report(folder, material.content, material.style)
        for event in retell(material):
            telling(event)
        (Path(folder) / PAGE).replace(path)
    return "text/html"


def _result(material: Material, steps: list[Stepped]) -> Result:
    """Put a result together again from its file and its record."""
    about = material.job.record
    assert about is not None
    picture = images.load(material.final)
    return Result(
        pixels=picture.pixels,
        alpha=picture.alpha,
        options=record.options_of(about),
        losses=[{"step": step.step, "scale": step.scale, "total": step.total, **step.losses} for step in steps],
        saved_losses=dict(about.get("losses", {})),
        steps=material.job.step,
        stopped=material.job.stopped,
        record=about,
        path=material.final,
    )
