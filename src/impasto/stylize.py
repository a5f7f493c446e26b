"""The one function that knows all stages: pictures and options in, events out, a Result at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto import images, recipes
from impasto.encoder import Encoder, check_layers
from impasto.engine import Knobs, Optimizer, Run, descend
from impasto.errors import ImageError, NumericalError
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Warned
from impasto.machine import Place, choose
from impasto.optimizers import Adam, BoundedLBFGS
from impasto.options import Options, parse_weights
from impasto.problem import Problem, build, resize, starting_canvas
from impasto.schedule import Scale, plan
from impasto.weights import vgg19_state

if TYPE_CHECKING:
    from PIL.Image import Image

STYLE_LAYERS = "relu1_1=0.2+relu2_1=0.2+relu3_1=0.2+relu4_1=0.2+relu5_1=0.2"
CONTENT_LAYERS = "relu4_2"
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Result:
    """A finished picture.

    Args:
        pixels: ``[H, W, 3]`` float32, sRGB in [0, 1]; rounded to the bits asked for.
        alpha: ``[H, W]`` float32, the content's own, or None.
        options: all of them, as resolved.
        losses: weighted terms by step.
        saved_losses: weighted terms of the picture as it is saved.
        steps: evaluations of the objective.
        stopped: whether the run was cut short.
        record: what a saved picture carries.
        path: where it was saved.
    """

    pixels: NDArray[np.float32] = field(repr=False)
    alpha: NDArray[np.float32] | None = field(repr=False)
    options: Options
    losses: list[dict[str, float]] = field(repr=False)
    saved_losses: dict[str, float]
    steps: int
    stopped: bool
    record: dict[str, Any] = field(repr=False)
    path: Path | None = None

    @property
    def picture(self) -> Image:
        """The picture as a PIL image, with the content's alpha if it had one."""
        from PIL import Image as pil

        rgb = images.quantise(self.pixels, 8)
        if self.alpha is None:
            return pil.fromarray(rgb)
        return pil.fromarray(np.dstack([rgb, images.quantise(self.alpha, 8)]))

    @property
    def tensor(self) -> Tensor:
        """The picture as ``[1, 3, H, W]`` float32 in [0, 1]."""
        return _tensor(self.pixels)


def stylize(content: Any, style: Any, *, output: str | os.PathLike[str] | None = None, **options: Any) -> Result:
    """Repaint one picture in the manner of another.

    Args:
        content: path, PIL image, array ``[H, W, 3]`` or tensor ``[3, H, W]``: what is to be seen.
        style: likewise: how it is painted.
        output: where to save the result, if anywhere.
        options: any option by its flat name, such as ``strength=0.7`` or ``recipe="gatys2016"``.

    Returns:
        The picture, its losses by step and its options.

    Raises:
        InputError: a picture or an option cannot be used.
        MachineError: the device or precision is not there.
        NumericalError: the optimisation could not recover from not-a-number.
    """
    result = None
    for event in iter_stylize(content, style, output=output, **options):
        if isinstance(event, Finished):
            result = event.result
    assert isinstance(result, Result)
    return result


def iter_stylize(
    content: Any,
    style: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    mailbox: Mailbox | None = None,
    preview_every: int = 0,
    snapshot_every: int = 0,
    steering: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> Iterator[Event]:
    """Repaint one picture in the manner of another, telling what happens.

    Args:
        content, style, output, options: as for ``stylize``.
        mailbox: for steering; see ``events.Command``.
        preview_every: every how many steps a ``Stepped`` carries a preview; 0 for never.
        snapshot_every: every how many steps a ``Snapshot`` comes; 0 for never.
        steering: an earlier run's commands to repeat, as its record lists them.

    Yields:
        ``Planned``, then for each scale ``ScaleStarted`` and its ``Stepped``, at the end ``Finished`` with a ``Result``.
    """
    chosen = recipes.resolve(**options)
    job = _prepare(content, style, chosen, output)
    yield Planned(
        tuple({"height": s.height, "width": s.width, "steps": s.steps} for s in job.scales),
        sum(s.steps for s in job.scales),
        job.decisions,
    )
    if job.style_is_small:
        yield Warned("the style is smaller than the picture asks for: its strokes are painted at its own size, not enlarged")
    run = Run(_knobs(chosen))
    generator = torch.Generator().manual_seed(chosen.descent.seed)
    encoder = Encoder(
        vgg19_state(), pooling=chosen.features.pooling, dtype=job.place.dtype, device=job.place.device
    )
    canvas: Tensor | None = None
    problem: Problem | None = None
    try:
        for run.scale, scale in enumerate(job.scales):
            run.scale_step = 0
            problem = build(encoder, job.content, job.style, scale, chosen, job.style_layers, job.content_layers)
            canvas = starting_canvas(canvas, problem, chosen.descent.init, generator)
            optimizer = _optimizer(chosen, canvas)
            yield ScaleStarted(run.scale, len(job.scales), scale.height, scale.width, scale.steps)
            try:
                yield from descend(
                    run,
                    problem.objective,
                    optimizer,
                    steps=scale.steps,
                    references=problem.references,
                    content_factor=scale.content_factor,
                    mailbox=mailbox,
                    replayed=steering,
                    preview_every=preview_every,
                    snapshot_every=snapshot_every,
                )
            finally:
                canvas = optimizer.picture()
            if run.stopped:
                break
    except NumericalError as error:
        if job.output is not None and canvas is not None:
            _save(job, canvas, {}, chosen)
            raise NumericalError(f"{error} ({job.output})") from error
        raise
    assert canvas is not None and problem is not None
    result = _finish(job, chosen, run, canvas, problem)
    yield Finished(run.step, run.stopped, result)


@dataclass(frozen=True)
class _Job:
    content: Tensor
    style: Tensor
    content_file: images.Picture
    style_file: images.Picture
    output: Path | None
    place: Place
    scales: list[Scale]
    style_layers: dict[str, float]
    content_layers: dict[str, float]
    size: tuple[int, int]
    style_is_small: bool

    @property
    def decisions(self) -> dict[str, Any]:
        return {
            "device": str(self.place.device),
            "precision": str(self.place.dtype).removeprefix("torch."),
            "threads": self.place.threads,
            "scales": [[s.height, s.width, s.steps] for s in self.scales],
        }


def _prepare(content: Any, style: Any, chosen: Options, output: str | os.PathLike[str] | None) -> _Job:
    place = choose(chosen.machine)
    style_layers = parse_weights(chosen.features.style_layers or STYLE_LAYERS, "style_layers")
    content_layers = parse_weights(chosen.features.content_layers or CONTENT_LAYERS, "content_layers")
    check_layers(style_layers, option="style_layers")
    check_layers(content_layers, option="content_layers")
    limits = {"max_pixels": chosen.output.max_pixels, "keep_location": chosen.output.keep_location}
    content_file = images.load(content, **limits)
    style_file = images.load(style, **limits)
    sources = [file.source for file in (content_file, style_file) if file.source is not None]
    target = images.check_output(output, inputs=sources) if output is not None else None
    height, width = content_file.height, content_file.width
    if chosen.output.size is not None:
        height, width = images.parse_size(chosen.output.size, chosen.output.dpi).fit(height, width)
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"the picture would be {width}x{height} px, too small for the layers; "
            f"every side needs {SMALLEST_SIDE} px: give a larger --size or another picture"
        )
    scales = plan(
        height, width, quality=chosen.descent.quality, scales=chosen.descent.scales, steps=chosen.descent.steps
    )
    scales = [scale for scale in scales if min(scale.height, scale.width) >= SMALLEST_SIDE]
    wanted = max(height, width) * chosen.features.style_scale
    return _Job(
        content=_tensor(content_file.pixels).to(place.device),
        style=_tensor(style_file.pixels).to(place.device),
        content_file=content_file,
        style_file=style_file,
        output=target,
        place=place,
        scales=scales,
        style_layers=style_layers,
        content_layers=content_layers,
        size=(height, width),
        style_is_small=max(style_file.height, style_file.width) < 0.9 * wanted,
    )


def _knobs(chosen: Options) -> Knobs:
    tradeoff = chosen.tradeoff
    content = 1.0 if tradeoff.content_weight is None else tradeoff.content_weight
    style = 1.0 if tradeoff.style_weight is None else tradeoff.style_weight
    return Knobs(tradeoff.strength, content, style, tradeoff.tv_weight, chosen.descent.step_size)


def _optimizer(chosen: Options, canvas: Tensor) -> Optimizer:
    optimizer: Optimizer = Adam(canvas) if chosen.descent.optimizer == "adam" else BoundedLBFGS(canvas)
    optimizer.set_step_size(chosen.descent.step_size)
    return optimizer


def _finish(job: _Job, chosen: Options, run: Run, canvas: Tensor, problem: Problem) -> Result:
    if tuple(canvas.shape[-2:]) != job.size:
        canvas = resize(canvas, job.size)
    record = {
        "impasto": _version(),
        "options": chosen.flat(),
        "decisions": job.decisions,
        "inputs": {
            "content": {"name": job.content_file.name, "sha256": job.content_file.sha256},
            "style": {"name": job.style_file.name, "sha256": job.style_file.sha256},
        },
        "steering": run.steering,
        "steps": run.step,
        "stopped": run.stopped,
    }
    bits = chosen.output.bits
    levels = 2**bits - 1
    pixels = images.quantise(canvas[0].permute(1, 2, 0).cpu().numpy(), bits).astype(np.float32) / np.float32(levels)
    at_size = run.scale == len(job.scales) - 1
    record["losses"] = _losses_of(pixels, problem, run, job) if at_size else {}
    path = _save(job, canvas, record, chosen) if job.output is not None else None
    saved = record["losses"]
    if path is not None and at_size and path.suffix.lower() not in (".png", ".tif", ".tiff", ".bmp"):
        saved = _losses_of(images.load(path).pixels, problem, run, job)
    return Result(
        pixels, _alpha(job), chosen, run.losses, saved, run.step, run.stopped, record, path
    )


def _losses_of(pixels: NDArray[np.float32], problem: Problem, run: Run, job: _Job) -> dict[str, float]:
    weights = run.knobs.weights(problem.references, job.scales[run.scale].content_factor)
    values = problem.objective.values(_tensor(pixels).to(job.place.device))
    return {name: weights[name] * value for name, value in values.items() if weights[name] > 0}


def _alpha(job: _Job) -> NDArray[np.float32] | None:
    alpha = job.content_file.alpha
    return None if alpha is None else images.resize(alpha, job.size)


def _save(job: _Job, canvas: Tensor, record: Mapping[str, Any], chosen: Options) -> Path:
    import json

    assert job.output is not None
    if tuple(canvas.shape[-2:]) != job.size:
        canvas = resize(canvas, job.size)
    return images.save(
        job.output,
        canvas[0].permute(1, 2, 0).cpu().numpy(),
        alpha=_alpha(job),
        exif=job.content_file.exif,
        bits=chosen.output.bits,
        dpi=chosen.output.dpi,
        record=json.dumps(record, sort_keys=True) if record else None,
    )


def _version() -> str:
    from impasto import __version__

    return __version__


def _tensor(pixels: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
