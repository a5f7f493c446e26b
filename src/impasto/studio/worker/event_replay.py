"""The events of a finished run, replayed from the store's log into the timelapse and report writers.

The timelapse is an MP4 file, the report one HTML file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from impasto.events import Event, Finished, Planned, Stepped
from impasto.imaging import images
from impasto.run import record
from impasto.run.result import Result
from impasto.studio.store.exports import ExportInput
from impasto.workflows.report import PAGE, Report
from impasto.workflows.timelapse import Timelapse


def events_from_log(export_input: ExportInput) -> Iterator[Event[Result]]:
    """Yield the events of a finished run; steps whose preview was deleted have none.

    The steps that a crash undid appear once, as in a run that was not interrupted.
    """
    steps: dict[int, Stepped] = {}
    scales: tuple[dict[str, Any], ...] = ()
    pictures = dict(export_input.previews)
    for event in export_input.events:
        data = json.loads(event.data)
        if event.kind == "planned":
            scales = tuple(data["scales"])
        elif event.kind == "step":
            losses = {name: float("nan") if value is None else value for name, value in data["losses"].items()}
            total = float("nan") if data["total"] is None else data["total"]
            steps[data["step"]] = Stepped(data["step"], data["scale"], data["scale_step"], total, losses)
    steps = {step: steps[step] for step in sorted(steps) if step <= export_input.job.step}
    # A stopped run counts as complete, so its timelapse ends with its last step.
    yield Planned(scales, max(1, export_input.job.step), {})
    for number, step in steps.items():
        preview = images.load(pictures[number]).pixels if number in pictures else None
        image = None if preview is None else images.quantize(preview).astype("uint8")
        yield Stepped(number, step.scale, step.scale_step, step.total, step.losses, image)
    yield Finished(export_input.job.step, export_input.job.stopped, _result(export_input, list(steps.values())))


def film(export_input: ExportInput, path: Path) -> str:
    """Write the timelapse of a run and return its media type."""
    listener = Timelapse(path)
    try:
        for event in events_from_log(export_input):
            listener(event)
    finally:
        listener.close()
    return "video/mp4"


def report(export_input: ExportInput, path: Path) -> str:
    """Write the report of a run and return its media type."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        listener = Report(folder, export_input.content, export_input.style)
        for event in events_from_log(export_input):
            listener(event)
        (Path(folder) / PAGE).replace(path)
    return "text/html"


def _result(export_input: ExportInput, steps: list[Stepped]) -> Result:
    """Rebuild a result from its file and its record."""
    assert export_input.job.record is not None
    job_record = cast("record.Record", export_input.job.record)
    picture = images.load(export_input.final)
    return Result(
        pixels=picture.pixels,
        alpha=picture.alpha,
        options=record.options_of(job_record),
        losses=[{"step": step.step, "scale": step.scale, "total": step.total, **step.losses} for step in steps],
        saved_losses=dict(job_record.get("losses", {})),
        steps=export_input.job.step,
        stopped=export_input.job.stopped,
        record=job_record,
        path=export_input.final,
    )
