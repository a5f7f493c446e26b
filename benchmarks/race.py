"""The race: how long the peer takes to its best saved picture, and how long Impasto takes to one as good.

In: a photograph and a painting. Out: in a folder, ``race.json``, the curves and the pictures side by side. Both run as
processes of their own from a cold start, one after the other; every picture that either saves is read back and measured
by the peer's own objective in float32 (see ``baseline.Ruler``). The ratio is the peer's time to its own best saved
picture over ours to the first picture that is at least as good. Our default recipe paints the pair too: it minimizes
something else, so it is not part of the ratio, and all pictures are evaluated by ``impasto.workflows.evaluate``.

A loss alone can flatter: the peer optimizes outside [0, 1], and what it clips on saving may cost it more of this number
than of its looks. So a second time is taken, to our first picture that is as near to the style by a network that
neither side optimized (``style_distance``).

The peer's curve is kept in the cache, by machine, versions, pair, size and steps, since at its own size it takes the
better part of an hour.
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
    """A saved picture: its step, the seconds since the start of the process, its loss by the peer's objective."""

    step: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """What one side saved over time, in order, with the files."""

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
    """Race the peer on one pair of pictures.

    Args:
        content, style: files that the peer can read (JPEG, PNG).
        out: folder for what comes out; it is made.
        size: long side in px; the peer's default of 500 x 500 pixels in the content's shape if absent.
        steps: of the peer; its default of 1000 if absent.
        own_steps: of ours at the last scale; ``baseline_objective_run.SCHEDULE`` if absent.
        fresh: run the peer even where its curve is kept.
        default: paint the pair with the default recipe too.
        tell: is told what goes on.

    Returns:
        What ``race.json`` holds.

    Raises:
        ImageError: the peer cannot read a picture.
        MachineError: the peer is not installed, or one of the runs failed.
    """
    baseline.check()
    ruler = baseline.Ruler(content, style, size)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="race-", dir=out) as work:
        tell("Impasto, on the peer's objective")
        ours = _measured(_own_run(content, style, Path(work), size, own_steps), ruler)
        theirs, kept = _peer_curve(content, style, Path(work), size, steps, ruler, fresh, tell)
        found = summary(theirs, ours) | _about(content, style, ruler, theirs, ours, kept)
        shown = {
            f"{baseline.NAME}, its best": theirs.files[theirs.best.step],
            "Impasto, as good": ours.files[(ours.reaches(theirs.best.loss) or ours.points[-1]).step],
            "Impasto, at its end": ours.files[ours.points[-1].step],
        }
        if default:
            tell("Impasto, the default recipe")
            found["default"], shown["Impasto, default recipe"] = _default(content, style, out, ruler)
        tell("judging the pictures")
        found["evaluation"], found["by_style"] = _evaluated(content, style, shown, theirs, ours)
        images.save(out / "pictures.png", side_by_side(content, style, shown))
    plot_race(found, out / "curves.png")
    (out / "race.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def summary(theirs: Curve, ours: Curve) -> dict[str, Any]:
    """Return the ratio, and the same at the peer's milestones.

    Returns:
        ``ratio`` (None where ours never was as good) and ``rows``: the peer's step, loss and seconds, ours to the same
        loss, and the ratio of these.
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
    return baseline.timed(line, work / "own")


def _measured(saved: Sequence[baseline.Saved], ruler: baseline.Ruler) -> Curve:
    points = tuple(Point(one.step, one.seconds, ruler(one.path)) for one in saved)
    return Curve(points, {one.step: one.path for one in saved})


def _peer_curve(
    content: Path,
    style: Path,
    work: Path,
    size: int | None,
    steps: int | None,
    ruler: baseline.Ruler,
    fresh: bool,
    tell: Tell,
) -> tuple[Curve, bool]:
    """Return the peer's curve and whether it was kept from an earlier race."""
    key: dict[str, Any] = {"machine": machine(), "versions": _versions(), "pair": _pair(content, style)}
    key |= {"size": list(ruler.size), "steps": steps or baseline.STEPS}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    folder = cache_folder() / "race" / name
    if not fresh and (folder / "curve.json").exists():
        tell(f"{baseline.NAME} {baseline.VERSION}, as it was measured before")
        points = tuple(Point(**point) for point in json.loads((folder / "curve.json").read_text("utf-8"))["points"])
        curve = Curve(points, {})
        return Curve(points, {curve.best.step: folder / "best.png"}), True
    tell(f"{baseline.NAME} {baseline.VERSION}, its own defaults")
    line = baseline.command(content, style, work, size, steps)
    end = baseline.Saved(steps or baseline.STEPS, 0.0, work / "final.png")
    curve = _measured(baseline.timed(line, work / "steps", end), ruler)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(curve.files[curve.best.step], folder / "best.png")
    text = json.dumps(key | {"points": [asdict(point) for point in curve.points]}, indent=2)
    write_atomically(folder / "curve.json", text.encode())
    return curve, False


def _default(content: Path, style: Path, out: Path, ruler: baseline.Ruler) -> tuple[dict[str, Any], Path]:
    """Paint with the default recipe from a cold start; its loss is what the peer's objective says of it."""
    path = out / "default.png"
    path.unlink(missing_ok=True)
    line = [sys.executable, "-m", "impasto", "stylize", str(content), str(style), "--output", str(path), "--quiet"]
    (saved,) = baseline.timed([*line, "--size", str(max(ruler.size))], out / "none", baseline.Saved(0, 0.0, path))
    return {"seconds": saved.seconds, "loss": ruler(path)}, path


def _evaluated(
    content: Path, style: Path, shown: dict[str, Path], theirs: Curve, ours: Curve
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the measures of the pictures, and our first that is as near to the style as the peer's best."""
    try:
        evaluator = Evaluator(content, style)
        goal = evaluator(theirs.files[theirs.best.step])["style_distance"]
    except (WeightsError, ImageError) as error:  # not fetched, or pictures too small to evaluate
        return {"missing": str(error)}, None
    nearest = None
    for point in ours.points:
        if evaluator(ours.files[point.step])["style_distance"] <= goal:
            nearest = asdict(point) | {"ratio": theirs.best.seconds / point.seconds}
            shown["Impasto, as near to the style"] = ours.files[point.step]
            break
    return table({name: evaluator(path) for name, path in shown.items()}), nearest


def _about(content: Path, style: Path, ruler: baseline.Ruler, theirs: Curve, ours: Curve, kept: bool) -> dict[str, Any]:
    return {
        "content": content.name,
        "style": style.name,
        "pair": _pair(content, style),
        "height": ruler.size[0],
        "width": ruler.size[1],
        "machine": machine(),
        "versions": _versions() | {"impasto": __version__},
        "peer_from_cache": kept,
        "peer": [asdict(point) for point in theirs.points],
        "own": [asdict(point) for point in ours.points],
    }


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, threads, vector instructions, system."""
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
