"""The demo: one run, with intermediate steps.

The output folder contains the result, an early and a later iteration, all of them side by side, and a plot of the
losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.api import iter_stylize, last
from impasto.events import Event, Mailbox, Planned, Stepped
from impasto.imaging import contact_sheet, images
from impasto.run.result import Result

EARLY, LATER = 0.04, 0.4  # of all steps
SIZE = 512

Follow = Callable[[Iterator[Event[Result]], Mailbox], Result]


def paint(
    content_path: Path, style_path: Path, out: Path, *, size: int = SIZE, follow: Follow | None = None
) -> dict[str, Path]:
    """Repaint a photograph and write intermediate steps and a plot of the losses.

    Args:
        content_path, style_path: the photograph and the painting.
        out: output folder, created if necessary.
        size: long side of the image in px.
        follow: consumes the events, shows the progress and returns the result; default: shows nothing.

    Returns:
        The files by content: image, early, later, side by side, losses.

    Raises:
        ImpastoError: as ``iter_stylize``.
    """
    mailbox = Mailbox()
    events = iter_stylize(content_path, style_path, output=out / "out.png", mailbox=mailbox, preview_every=1, size=size)
    kept: list[Stepped] = []
    watched = _keeping(events, kept)
    result = follow(watched, mailbox) if follow is not None else last(watched)
    files = {"image": out / "out.png"}
    pictures = [images.resize(images.load(content_path).pixels, result.pixels.shape[:2])]
    labels = ["photograph"]
    for name, event in zip(("early", "later"), kept, strict=False):
        assert event.preview is not None
        files[name] = images.save(out / f"{name}.png", event.preview)
        pictures.append(images.resize(event.preview.astype(np.float32) / np.float32(255), result.pixels.shape[:2]))
        labels.append(f"step {event.step} of {result.steps}")
    beside = contact_sheet.draw([[*pictures, result.pixels]], [""], [*labels, f"step {result.steps}"])
    files["side by side"] = images.save(out / "steps.png", beside)
    files["losses"] = plot_losses(result, out / "losses.png")
    return files


def _keeping(events: Iterator[Event[Result]], kept: list[Stepped]) -> Iterator[Event[Result]]:
    """Pass on the events and append the steps of an early and a later iteration to ``kept``."""
    wanted: set[int] = set()
    for event in events:
        if isinstance(event, Planned):
            wanted = {max(1, round(event.total_steps * part)) for part in (EARLY, LATER)}
        elif isinstance(event, Stepped) and event.step in wanted:
            kept.append(event)
        yield event


def plot_losses(result: Result, path: Path) -> Path:
    """Draw the weighted losses by step on a logarithmic axis, scale by scale, and return the file.

    Args:
        result: result of a run with at least one step.
        path: output file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    scales = sorted({int(line["scale"]) for line in result.losses})
    sizes = result.record["decisions"]["scales"]
    names = [name for name in result.losses[0] if name not in ("step", "scale")]
    for number, scale in enumerate(scales):
        lines = [line for line in result.losses if line["scale"] == scale]
        steps = [line["step"] for line in lines]
        axes.axvspan(steps[0] - 0.5, steps[-1] + 0.5, color="0.5", alpha=0.12 if number % 2 else 0.03, linewidth=0)
        height, width = sizes[scale][:2]
        axes.annotate(
            f"{width}x{height}",
            ((steps[0] + steps[-1]) / 2, 1),
            (0, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=9,
        )
        for index, name in enumerate(names):
            values = _positive([line.get(name, 0.0) for line in lines])
            axes.plot(steps, values, color=f"C{index}", label=name if number == 0 else None)
    axes.set_yscale("log")
    axes.set_xlim(0.5, max(result.steps, 1) + 0.5)
    axes.set_xlabel("step (evaluations of the objective)")
    axes.set_ylabel("weighted loss")
    axes.set_title("Losses by step; each band is a scale, with its size in px")
    axes.legend(loc="best")
    canvas.draw()
    return images.save(path, np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _positive(values: Sequence[float]) -> NDArray[np.float64]:
    """Replace values that have no logarithm by NaN."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(numbers > 0, numbers, np.nan)
