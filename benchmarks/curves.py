"""Plots of a race: the losses over time, and the images side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.imaging import contact_sheet, images


def plot_race(found: Mapping[str, Any], path: Path) -> Path:
    """Draw both curves on logarithmic axes and return the file.

    Args:
        found: the result of ``race``.
        path: output file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side, label in (
        ("baseline", f"pastiche {found['versions']['pastiche']}"),
        ("own", "Impasto, the same objective"),
    ):
        points = found[side]
        axes.plot([p["seconds"] for p in points], [p["loss"] for p in points], ".-", markersize=4, label=label)
    if "default" in found:
        default = found["default"]
        axes.plot([default["seconds"]], [default["loss"]], "D", label="Impasto, default recipe (different objective)")
    best = min(point["loss"] for point in found["baseline"])
    axes.axhline(best, color="0.6", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("seconds since the start of the process")
    axes.set_ylabel("loss of the saved image (objective of the baseline, float32)")
    ratio = "not reached" if found["ratio"] is None else f"{found['ratio']:.1f} times as fast"
    axes.set_title(f"{found['content']} + {found['style']}, {found['width']}x{found['height']} px: {ratio}")
    axes.legend(loc="best")
    canvas.draw()
    return images.save(path, np.asarray(canvas.buffer_rgba())[..., :3].copy())


def side_by_side(content: Path, style: Path, shown: Mapping[str, Path]) -> NDArray[np.uint8]:
    """Return photograph, painting and results side by side, ``[H, W, 3]``.

    Args:
        content, style: files.
        shown: files of the results, by caption.
    """
    made = [images.load(path).pixels for path in shown.values()]
    size = made[0].shape[:2]
    given = [images.resize(images.load(path).pixels, size) for path in (content, style)]
    return contact_sheet.draw([[*given, *made]], [""], [content.stem, style.stem, *shown])
