"""The race: the time of the baseline to its best saved image, and that of Impasto to an equal loss.

In: a photograph and a painting. Out: in a folder, ``race.json``, the curves and the images side by side. Both run
as separate processes from a cold start, one after the other; every saved image is read back and measured with the
objective of the baseline in float32 (``baseline.BaselineLoss``). The ratio is the time of the baseline to its best
saved image over the time of Impasto to the first image that is at least as good. The default recipe is run as
well: it minimizes another objective, so it is not part of the ratio, and all images are evaluated by
``impasto.workflows.evaluate``.

The loss alone may favor Impasto: the baseline optimizes outside [0, 1], and clipping on saving may increase its loss
more than it degrades the image. Therefore a second time is reported: that of the first image of Impasto with an
equal ``style_distance``, on a network that neither side optimized.

The curve of the baseline is cached by machine, versions, pair, size and steps, because it takes more than half an
hour at the default size.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import baseline
from benchmarks.curves import plot_race, side_by_side
from impasto import __version__
from impasto.errors import ImageError, WeightsError
from impasto.files import write_atomically
from impasto.imaging import images
from impasto.network.weights import cache_folder
from impasto.workflows.evaluate import Evaluator, table

MILESTONES = (100, 200, 500, 1000)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """A saved image: its step, seconds since the start of the process, and loss (objective of the baseline)."""

    step: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """The saved images of one side over time, with their files."""

    points: tuple[Point, ...]
    files: Mapping[int, Path]

    @property
    def best(self) -> Point:
        """Return the point of least loss."""
        return min(self.points, key=lambda point: point.loss)

    def reaches(self, loss: float) -> Point | None:
        """Return the first point that is at least as good as a loss, if there is one."""
        return next((point for point in self.points if point.loss <= loss), None)


def race(
    content: Path,
    style: Path,
    out: Path,
    *,
    size: int | None = None,
    steps: int | None = None,
    own_steps: int | None = None,
    fresh: bool = False,
    default: bool = True,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """Run the race on one pair of images.

    Args:
        content, style: files that the baseline can read (JPEG, PNG).
        out: output folder, created if necessary.
        size: long side in px; default: that of the baseline, 500 * 500 px in total.
        steps: steps of the baseline; default: 1000.
        own_steps: steps of Impasto at the last scale; default: ``baseline_objective_run.SCHEDULE``.
        fresh: run the baseline even if its curve is cached.
        default: also run the default recipe.
        tell: called with progress messages.

    Returns:
        The content of ``race.json``.

    Raises:
        ImageError: the baseline cannot read an image.
        MachineError: the baseline is not installed, or one of the runs failed.
    """
    baseline.check()
    loss_of = baseline.BaselineLoss(content, style, size)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="race-", dir=out) as work:
        tell("Impasto, on the objective of the baseline")
        ours = _measured(_own_run(content, style, Path(work), size, own_steps), loss_of)
        theirs, kept = _baseline_curve(content, style, Path(work), size, steps, loss_of, fresh, tell)
        found = summary(theirs, ours) | _about(content, style, loss_of, theirs, ours, kept)
        shown = {
            f"{baseline.NAME}, best": theirs.files[theirs.best.step],
            "Impasto, equal loss": ours.files[(ours.reaches(theirs.best.loss) or ours.points[-1]).step],
            "Impasto, final": ours.files[ours.points[-1].step],
        }
        if default:
            tell("Impasto, the default recipe")
            found["default"], shown["Impasto, default recipe"] = _default(content, style, out, loss_of)
        tell("evaluating the images")
        found["evaluation"], found["by_style"] = _evaluated(content, style, shown, theirs, ours)
        images.save(out / "pictures.png", side_by_side(content, style, shown))
    plot_race(found, out / "curves.png")
    (out / "race.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def summary(theirs: Curve, ours: Curve) -> dict[str, Any]:
    """Return the ratio, and the ratios at the milestones of the baseline.

    Returns:
        ``ratio`` (None if Impasto did not reach the loss) and ``rows``: step, loss and seconds of the baseline, the
        seconds of Impasto to the same loss, and their ratio.
    """
    marks = [point for point in theirs.points if point.step in MILESTONES]
    if theirs.best not in marks:
        marks.append(theirs.best)
    rows = []
    for point in sorted(marks, key=lambda point: point.step):
        own = ours.reaches(point.loss)
        rows.append(
            {
                "step": point.step,
                "best": point is theirs.best,
                "loss": point.loss,
                "seconds": point.seconds,
                "own_seconds": own.seconds if own else None,
                "ratio": point.seconds / own.seconds if own else None,
            }
        )
    own = ours.reaches(theirs.best.loss)
    return {"ratio": theirs.best.seconds / own.seconds if own else None, "rows": rows}


def _own_run(content: Path, style: Path, work: Path, size: int | None, steps: int | None) -> list[baseline.Saved]:
    line = [sys.executable, "-m", "benchmarks.baseline_objective_run", str(content), str(style), str(work / "own")]
    line += [] if size is None else ["--size", str(size)]
    line += [] if steps is None else ["--steps", str(steps)]
    return baseline.run_timed(line, work / "own")


def _measured(saved: Sequence[baseline.Saved], loss_of: baseline.BaselineLoss) -> Curve:
    points = tuple(Point(one.step, one.seconds, loss_of(one.path)) for one in saved)
    return Curve(points, {one.step: one.path for one in saved})


def _baseline_curve(
    content: Path,
    style: Path,
    work: Path,
    size: int | None,
    steps: int | None,
    loss_of: baseline.BaselineLoss,
    fresh: bool,
    tell: Tell,
) -> tuple[Curve, bool]:
    """Return the curve of the baseline, and whether it is from the cache."""
    key: dict[str, Any] = {"machine": machine(), "versions": _versions(), "pair": _pair(content, style)}
    key |= {"size": list(loss_of.size), "steps": steps or baseline.STEPS}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    folder = cache_folder() / "race" / name
    if not fresh and (folder / "curve.json").exists():
        tell(f"{baseline.NAME} {baseline.VERSION}, from the cache")
        points = tuple(Point(**point) for point in json.loads((folder / "curve.json").read_text("utf-8"))["points"])
        curve = Curve(points, {})
        return Curve(points, {curve.best.step: folder / "best.png"}), True
    tell(f"{baseline.NAME} {baseline.VERSION}, its defaults")
    line = baseline.command(content, style, work, size, steps)
    end = baseline.Saved(steps or baseline.STEPS, 0.0, work / "final.png")
    curve = _measured(baseline.run_timed(line, work / "steps", end), loss_of)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(curve.files[curve.best.step], folder / "best.png")
    text = json.dumps(key | {"points": [asdict(point) for point in curve.points]}, indent=2)
    write_atomically(folder / "curve.json", text.encode())
    return curve, False


def _default(content: Path, style: Path, out: Path, loss_of: baseline.BaselineLoss) -> tuple[dict[str, Any], Path]:
    """Run the default recipe from a cold start; the loss is that of the objective of the baseline."""
    path = out / "default.png"
    path.unlink(missing_ok=True)
    line = [sys.executable, "-m", "impasto", "stylize", str(content), str(style), "--output", str(path), "--quiet"]
    (saved,) = baseline.run_timed([*line, "--size", str(max(loss_of.size))], out / "none", baseline.Saved(0, 0.0, path))
    return {"seconds": saved.seconds, "loss": loss_of(path)}, path


def _evaluated(
    content: Path, style: Path, shown: dict[str, Path], theirs: Curve, ours: Curve
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the metrics of the images, and the first point of Impasto with the style distance of the baseline."""
    try:
        evaluator = Evaluator(content, style)
        goal = evaluator(theirs.files[theirs.best.step])["style_distance"]
    except (WeightsError, ImageError) as error:  # weights not downloaded, or images too small
        return {"missing": str(error)}, None
    nearest = None
    for point in ours.points:
        if evaluator(ours.files[point.step])["style_distance"] <= goal:
            nearest = asdict(point) | {"ratio": theirs.best.seconds / point.seconds}
            shown["Impasto, equal style distance"] = ours.files[point.step]
            break
    return table({name: evaluator(path) for name, path in shown.items()}), nearest


def _about(
    content: Path, style: Path, loss_of: baseline.BaselineLoss, theirs: Curve, ours: Curve, kept: bool
) -> dict[str, Any]:
    return {
        "content": content.name,
        "style": style.name,
        "pair": _pair(content, style),
        "height": loss_of.size[0],
        "width": loss_of.size[1],
        "machine": machine(),
        "versions": _versions() | {"impasto": __version__},
        "baseline_from_cache": kept,
        "baseline": [asdict(point) for point in theirs.points],
        "own": [asdict(point) for point in ours.points],
    }


def machine() -> dict[str, Any]:
    """Return what times depend on: processor, cores, threads, vector instructions, system."""
    processor = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        named = [
            line.partition(":")[2].strip() for line in listing.read_text("utf-8").splitlines() if "model name" in line
        ]
        processor = named[0] if named else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
    }


def _versions() -> dict[str, str]:
    return {baseline.NAME: baseline.VERSION, "torch": str(torch.__version__), "python": platform.python_version()}


def _pair(content: Path, style: Path) -> dict[str, str]:
    return {
        part: hashlib.sha256(path.read_bytes()).hexdigest() for part, path in (("content", content), ("style", style))
    }
