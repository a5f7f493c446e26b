"""A feed-forward run: one or two passes of a network instead of an optimization.

A ``PreparedRun`` whose options select ``fast`` or a trained ``model`` yields the usual events and a ``Result`` with a
record. The image can also initialize the optimizer, see ``starting_picture``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import OptionError
from impasto.events import Event, Finished, Planned, ScaleStarted, Warned
from impasto.feedforward.any_style import FastStylizer
from impasto.feedforward.model import Model, load
from impasto.imaging.images import PictureLike
from impasto.network.weights import adain_state
from impasto.options.fields import Options
from impasto.regions.canvas_view import CanvasView
from impasto.regions.region_tensors import RegionTensors
from impasto.regions.spec import Regions, RegionSpec, StyleLike
from impasto.run.prepared_run import PreparedRun
from impasto.run.record import InputEntry, Record
from impasto.run.result import Result, finish
from impasto.run.state import RunState
from impasto.run.target_cache import TargetCache

FULL_PASS_STRENGTH = 0.5  # the strength at which a trained network's output is used unchanged


def model_of(options: Options, cache: TargetCache | None = None) -> Model | None:
    """Return the trained network that the options name, on the CPU; None if they name none.

    Args:
        options: of the run.
        cache: networks that several runs share; a file that has changed is loaded again.
    """
    name = options.feed_forward.model
    if name is None or cache is None or not Path(name).exists():
        return None if name is None else load(name)
    key = "model", name, Path(name).stat().st_mtime_ns
    if key not in cache.feed_forward:
        cache.feed_forward[key] = load(name)
    model: Model = cache.feed_forward[key]
    return model


def style_of(
    model: Model, style: StyleLike | RegionSpec, regions: Regions, labels: Sequence[PictureLike] | None
) -> StyleLike | RegionSpec:
    """Return the style of a run with a trained network: the painting passed, or the one it was trained on.

    Raises:
        OptionError: there are regions, labels or several paintings, or no painting for an arbitrary-style network.
    """
    if regions or labels is not None or (isinstance(style, (list, tuple)) and len(style) > 1):
        raise OptionError(
            f"the network {model.name!r} paints the whole image in one style: pass at most one painting, and omit "
            "--region and --labels",
            "model",
        )
    if not model.shape.any_style:
        return model.style_thumbnail()
    if style is None:
        raise OptionError(f"the network {model.name!r} accepts arbitrary styles: pass a painting", "model")
    return style


def iter_paint(
    prepared: PreparedRun,
    parents: Sequence[Record] = (),
    model: Model | None = None,
    cache: TargetCache | None = None,
) -> Iterator[Event[Result]]:
    """Paint a prepared run in one pass and yield the events of a run.

    Args:
        prepared: the run.
        parents: the records of the images that it continues.
        model: the trained network that its options name, as ``model_of`` returns it.
        cache: networks that several runs share.
    """
    height, width = prepared.size
    if model is not None:
        model = model.to(prepared.compute.device, prepared.compute.dtype)
    painted = _painter(prepared, model, cache)
    yield Planned(({"height": height, "width": width, "steps": 0},), 0, prepared.decisions)
    for note in prepared.notes:
        yield Warned(note)
    yield ScaleStarted(0, 1, height, width, 0)
    network: InputEntry | None = None
    if model is not None and model.shape.any_style:  # one of a single style is recorded as the style's file
        network = {"name": model.name, "sha256": model.sha256}
    state = RunState(prepared.initial_weights())
    result = finish(prepared, state, painted(), parents=parents, network=network)
    yield from [Warned(note) for note in result.notes]
    yield Finished(0, False, result)


def starting_picture(prepared: PreparedRun) -> Tensor:
    """Return the start of ``init=fast``: ``[1, 3, H, W]``, one pass at the run's size, at most 1024 px."""
    height, width = prepared.size
    factor = min(1.0, 1024 / max(height, width))
    size = max(16, round(height * factor)), max(16, round(width * factor))
    return _adain(prepared)(prepared.tensors, size, FULL_PASS_STRENGTH)


def _adain(prepared: PreparedRun, cache: TargetCache | None = None) -> FastStylizer:
    networks = {} if cache is None else cache.feed_forward
    key = "adain", prepared.compute.device, prepared.compute.dtype
    if key not in networks:
        networks[key] = FastStylizer(adain_state(), device=prepared.compute.device, dtype=prepared.compute.dtype)
    stylizer: FastStylizer = networks[key]
    return stylizer


def _painter(prepared: PreparedRun, model: Model | None, cache: TargetCache | None) -> Callable[[], Tensor]:
    """Load the network and return the function that paints the prepared run; unusable weights raise here."""
    strength = prepared.options.loss_weights.strength
    strength = FULL_PASS_STRENGTH if strength is None else strength
    tile = prepared.options.machine.tile
    if model is not None:
        return lambda: by_model(model, prepared.tensors, prepared.size, strength, tile)
    stylizer = _adain(prepared, cache)
    return lambda: stylizer(prepared.tensors, prepared.size, strength, tile)


def by_model(
    model: Model, tensors: RegionTensors, size: tuple[int, int], strength: float, tile: int | None = None
) -> Tensor:
    """Return an image by a trained network, ``[1, 3, H, W]`` in [0, 1].

    Args:
        model: as ``load`` returns it.
        tensors: the content, its colors and protected areas; at most one style.
        size: ``(height, width)`` in px.
        strength: 0 is the content, 0.5 and more the network's output.
        tile: side of a tile in px, a multiple of 16.
    """
    with torch.inference_mode():
        tensors = tensors.at(size)
        view = CanvasView(tensors)
        if not tensors.regions:
            return view.picture(tensors.content).clamp(0, 1)
        style = tensors.regions[0].styles[0].picture if model.shape.any_style else None
        own = tensors.regions[0].strength
        share = min(1.0, (strength if own is None else own) / FULL_PASS_STRENGTH)
        painted = model(tensors.content, style, tile).to(tensors.content)
        return view.picture(torch.lerp(tensors.content, painted, share)).clamp(0, 1)
