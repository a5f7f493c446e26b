"""The report of a run: a self-contained HTML page.

``index.html`` in the output folder contains the inputs, the result compared with the content, intermediate steps, the
losses by term, the metrics, the command and the record. The content security policy of the page forbids loading
anything.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impasto.errors import ImageError, WeightsError
from impasto.events import Event, Finished, Planned, Stepped
from impasto.files import folder_for, write_atomically
from impasto.imaging import images
from impasto.imaging.images import PictureLike
from impasto.workflows.command import commands
from impasto.workflows.timelapse import shown_step

if TYPE_CHECKING:
    from impasto.run.result import Result

FRAMES = 32
LONG_SIDE = 1024
FRAME_SIDE = 512
PAGE = "index.html"


class Report:
    """Writes the report of a run; call it with every event.

    Args:
        folder: output folder.
        content, style: the inputs of the run: path, array, tensor or PIL image.

    Raises:
        OptionError: the folder cannot be created; raised when the run begins.
    """

    def __init__(self, folder: str | Path, content: PictureLike, style: PictureLike) -> None:
        self.folder = Path(folder)
        self._content, self._style = content, style
        self._wanted: set[int] = set()
        self._frames: list[tuple[int, str]] = []

    def __call__(self, event: Event[Result]) -> None:
        """Handle an event: steps with a preview become frames; the last event writes the page."""
        if isinstance(event, Planned):
            folder_for(self.folder, "report")
            self._wanted = {round(shown_step(index, FRAMES, event.total_steps)) for index in range(FRAMES)}
        elif isinstance(event, Stepped) and event.preview is not None and event.step in self._wanted:
            self._frames.append((event.step, data_uri(event.preview, FRAME_SIDE, quality=80)))
        elif isinstance(event, Finished) and event.result is not None:
            write(self.folder, event.result, self._content, self._style, self._frames)


def write(
    folder: Path, result: Result, content: PictureLike, style: PictureLike, frames: Sequence[tuple[int, str]]
) -> Path:
    """Write the page and return its path.

    Args:
        folder: output folder.
        result: result of the run.
        content, style: its inputs.
        frames: steps and their images, as data URIs.
    """
    about = result.record
    most = result.options.output.max_pixels
    inputs = {
        part: images.load(source, limits=images.DecodeLimits(max_pixels=most))
        for part, source in (("content", content), ("style", style))
    }
    names = {part: html.escape(str(about["inputs"][part]["name"])) for part in inputs}
    shown = [{"step": step, "picture": picture} for step, picture in frames if step < result.steps]
    shown.append({"step": result.steps, "picture": data_uri(result.pixels, FRAME_SIDE, quality=80)})
    height, width = result.pixels.shape[:2]
    ended = f"stopped after {result.steps} steps" if result.stopped else f"{result.steps} steps"
    text = Template(files("impasto.workflows").joinpath("report.html").read_text(encoding="utf-8")).substitute(
        title=f"{names['content']} in the style of {names['style']}",
        summary=f"{width}x{height} px, {ended}, impasto {html.escape(about['versions']['impasto'])}",
        result=data_uri(result.pixels, LONG_SIDE),
        content=data_uri(images.resize(inputs["content"].pixels, (height, width)), LONG_SIDE),
        style=data_uri(inputs["style"].pixels, FRAME_SIDE),
        content_name=names["content"],
        style_name=names["style"],
        curves="\n".join(curves(result.losses)),
        evaluation=_evaluation(result.pixels, inputs["content"], inputs["style"]),
        command=html.escape(commands(about, result.path)),
        record=html.escape(json.dumps(about, indent=2, ensure_ascii=False)),
        frames=json.dumps(shown).replace("<", "\\u003c"),
    )
    write_atomically(folder / PAGE, text.encode())
    return folder / PAGE


def data_uri(pixels: NDArray[np.generic], long_side: int, quality: int = 90) -> str:
    """Return an image ``[H, W, 3]``, float or uint8, as a JPEG inside a URI, at most ``long_side`` px."""
    height, width = pixels.shape[:2]
    factor = min(1.0, long_side / max(height, width))
    if factor < 1:
        values = pixels.astype(np.float32) / np.float32(255) if pixels.dtype == np.uint8 else pixels
        pixels = images.resize(values, (max(1, round(height * factor)), max(1, round(width * factor))))
    return "data:image/jpeg;base64," + base64.b64encode(images.encode(pixels, "JPEG", quality=quality)).decode()


def curves(losses: Sequence[Mapping[str, float]]) -> list[str]:
    """Return one SVG for the total and each term.

    Args:
        losses: one entry per step, with ``step``, ``scale``, ``total`` and the terms.
    """
    names = [name for name in dict.fromkeys(key for entry in losses for key in entry) if name not in ("step", "scale")]
    drawn = []
    for name in names:
        points = [(int(entry["step"]), int(entry["scale"]), float(entry[name])) for entry in losses if name in entry]
        points = [point for point in points if math.isfinite(point[2]) and point[2] > 0]
        if len(points) > 1:
            drawn.append(_curve(name, points))
    return drawn


def _curve(name: str, points: Sequence[tuple[int, int, float]]) -> str:
    width, height, left, bottom = 360, 180, 44, 20
    steps, values = [point[0] for point in points], [math.log10(point[2]) for point in points]
    low, high = math.floor(min(values)), max(math.ceil(max(values)), math.floor(min(values)) + 1)

    def x(step: float) -> float:
        return left + (width - left - 8) * (step - steps[0]) / (steps[-1] - steps[0])

    def y(value: float) -> float:
        return 22 + (height - bottom - 22) * (high - value) / (high - low)

    label = html.escape(name)
    parts = [
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="loss: {label}">',
        f'<text x="{left}" y="12">{label}</text>',
    ]
    for power in range(low, high + 1):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y(power):.1f}" y2="{y(power):.1f}"/>')
        parts.append(f'<text x="2" y="{y(power) + 4:.1f}">1e{power}</text>')
    begins = [now[0] for before, now in pairwise(points) if before[1] != now[1]]
    dashes = f'<line class="grid" stroke-dasharray="3 3" y1="22" y2="{height - bottom}"'
    parts += [f'{dashes} x1="{x(step):.1f}" x2="{x(step):.1f}"/>' for step in begins]
    for scale in dict.fromkeys(point[1] for point in points):
        line = " ".join(f"{x(s):.1f},{y(v):.1f}" for (s, at, _), v in zip(points, values, strict=True) if at == scale)
        parts.append(f'<polyline class="curve" points="{line}"/>')
    parts.append(f'<text x="{left}" y="{height - 4}">step {steps[0]}</text>')
    parts.append(f'<text x="{width - 8}" y="{height - 4}" text-anchor="end">{steps[-1]}</text></svg></figure>')
    return "".join(parts)


def _evaluation(pixels: NDArray[np.float32], content: images.Picture, style: images.Picture) -> str:
    """Return the metrics as a table, or the reason why there are none."""
    from impasto.workflows.evaluate import METRICS, evaluate

    try:
        found = evaluate(pixels, content, style)
    except (WeightsError, ImageError) as error:
        return f"<p>Not evaluated: {html.escape(str(error))}</p>"
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="number">{value:.4g}</td><td>{METRICS[name].better}</td>'
        f"<td>{html.escape(METRICS[name].meaning)}</td></tr>"
        for name, value in found.items()
    )
    return f"<table><tr><th>metric</th><th>value</th><th>better</th><th>meaning</th></tr>{rows}</table>"
