"""Time per image of a batch against single runs, and the rate of ``--fast`` against a bare loop.

In: a photograph and a painting. Out: seconds per image. The photographs of the batch are crops of one photograph, so
that they differ. Everything is measured after its start: single runs load the network, but not Python and torch; a
batch counts from the end of the first image of each worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from impasto.imaging import images


def photographs(source: Path, folder: Path, count: int) -> list[Path]:
    """Write crops of a photograph, each shifted by some pixels, and return their paths."""
    pixels = images.load(source).pixels
    height, width = (round(0.8 * side) for side in pixels.shape[:2])
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        top = (pixels.shape[0] - height) * number // max(1, count - 1)
        left = (pixels.shape[1] - width) * (number * 7 % count) // count
        paths.append(folder / f"photo{number}.png")
        images.save(paths[-1], pixels[top : top + height, left : left + width])
    return paths


def batch_seconds(
    photos: list[Path], style: Path, options: dict[str, Any], workers: int | None, folder: Path
) -> tuple[float, int]:
    """Paint a batch; return the seconds per image after the first image of each worker, and the number of workers."""
    import impasto
    from impasto.batch.events import JobDone
    from impasto.batch.forecast import plan_batch
    from impasto.batch.local import LocalExecutor

    jobs = [impasto.Job(str(path), (str(style),), f"{path.stem}.png", options) for path in photos]
    plan = plan_batch(jobs, folder, workers)
    executor = LocalExecutor(plan.workers)
    events = impasto.iter_batch(jobs, folder, executor=executor, threads=plan.threads)
    ends = [time.perf_counter() for event in events if isinstance(event, JobDone)]
    executor.close()
    return (ends[-1] - ends[plan.workers - 1]) / (len(jobs) - plan.workers), plan.workers


def single_seconds(photos: list[Path], style: Path, options: dict[str, Any], folder: Path) -> float:
    """Return the seconds of a run in this process, as of one command without its start: each loads the network."""
    import impasto

    took = []
    for path in photos:
        began = time.perf_counter()
        impasto.stylize(str(path), str(style), output=folder / f"single-{path.stem}.png", **options)
        took.append(time.perf_counter() - began)
    return sum(took[1:]) / len(took[1:])  # the first also imports


def loop_seconds(photos: list[Path], style: Path, size: int, folder: Path) -> float:
    """Return the seconds per image of a loop over the stylizer: decode, paint, encode."""
    import torch

    from impasto.feedforward.any_style import FastStylizer
    from impasto.network.weights import adain_state
    from impasto.options import recipes
    from impasto.regions.region_tensors import build_region_tensors
    from impasto.regions.spec import parse_regions
    from impasto.runtime.device import resolve_device

    options = recipes.resolve(fast=True, size=str(size))
    place = resolve_device(options.machine)
    stylizer = FastStylizer(adain_state(), device=place.device, dtype=place.dtype)
    spec = parse_regions([str(style)])

    def paint(path: Path) -> None:
        picture = images.load(path)
        tensors = build_region_tensors(spec, picture, options, place.device)
        painted = stylizer(tensors, images.canvas_size(picture.size, str(size)), 0.5)
        images.save(folder / f"loop-{path.name}", painted[0].permute(1, 2, 0).float().numpy())

    with torch.inference_mode():
        return _per_call(paint, photos)


def _per_call(call: Callable[[Path], None], paths: list[Path]) -> float:
    call(paths[0])
    began = time.perf_counter()
    for path in paths[1:]:
        call(path)
    return (time.perf_counter() - began) / len(paths[1:])


def measure(
    content: Path, style: Path, *, count: int = 40, singles: int = 5, workers: int | None = None, fast: bool = True
) -> dict[str, float]:
    """Return the figures by name.

    Args:
        content, style: a photograph and a painting.
        count: images of a batch.
        singles: number of single runs.
        workers: of the batch; None for auto.
        fast: also measure ``--fast`` at 512 px.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        photos = photographs(content, folder / "photos", count)
        options: dict[str, Any] = {"size": "256"}
        found: dict[str, float] = {"single": single_seconds(photos[: singles + 1], style, options, folder)}
        found["batch"], found["workers"] = batch_seconds(photos, style, options, workers, folder / "batch")
        found["ratio"] = found["batch"] / found["single"]
        if fast:
            found["loop"] = loop_seconds(photos, style, 512, folder)
            options = {"size": "512", "fast": True}
            found["fast"], _ = batch_seconds(photos, style, options, workers, folder / "fast")
            found["fast_rate"] = found["loop"] / found["fast"]
        return found
