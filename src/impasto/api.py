"""The public functions: they take images and options, yield events, and return a ``Result``.

``open_run`` passes a run to the optimizer or to a feed-forward network. It is the entry point below the public
functions, for replays, contact sheets, the studio and several processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from impasto.events import Event, Finished, Mailbox
from impasto.feedforward import run as feedforward_run
from impasto.feedforward.model import Model
from impasto.imaging.images import DecodeLimits, PathLike, PictureLike
from impasto.options import recipes
from impasto.options.fields import Options
from impasto.options.option_fields import OptionFields
from impasto.options.validation import parse_seconds
from impasto.planning.time_budget import TimeBudget
from impasto.regions.spec import Regions, RegionSpec, StyleLike, parse_regions
from impasto.run import input_index, out_of_memory
from impasto.run.checkpoint import RUN, read_run
from impasto.run.engine import run
from impasto.run.painter import CheckpointFolder, History, Painting
from impasto.run.precision_check import choose_precision
from impasto.run.prepared_run import PreparedRun, check_together, prepare
from impasto.run.result import Result
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache
from impasto.runtime import allocator
from impasto.runtime.distributed import ALONE, ProcessGroup


class RunFields(OptionFields, total=False):
    """The keyword arguments of ``iter_stylize``."""

    regions: Regions
    labels: Sequence[PictureLike] | str | None
    protect: PictureLike | None
    style_only: PictureLike | None
    mailbox: Mailbox | None
    preview_every: int
    snapshot_every: int
    checkpoint_dir: PathLike | None


def stylize(
    content: PictureLike,
    style: StyleLike | RegionSpec,
    *,
    output: PathLike | None = None,
    options: Options | None = None,
    **settings: Unpack[RunFields],
) -> Result:
    """Render an image in the style of another.

    On the CPU, the malloc thresholds of the whole process are changed during the run, so that freed memory is returned
    to the system or reused (see ``runtime.allocator``); the number of torch's threads is restored at the end.

    Args:
        content: the content image, as a path, PIL image, array ``[H, W, 3]`` or tensor ``[3, H, W]``.
        style: the style image in the same forms, or a list of images to blend.
        output: file to save the result to.
        options: all options as one object, instead of single ``settings``.
        settings: any option by its flat name, such as ``strength=0.7`` or ``recipe="gatys2016"``, and any other
            parameter of ``iter_stylize``.

    Returns:
        The result, with the image, its losses by step and its options.

    Raises:
        InputError: an image or an option cannot be used.
        MachineError: the device or precision is not available.
        NumericalError: the optimization could not recover from NaN.
    """
    return last(iter_stylize(content, style, output=output, options=options, **settings))


def last(events: Iterator[Event[Result]]) -> Result:
    """Return the result at the end of a run's events."""
    result = None
    for event in events:
        if isinstance(event, Finished):
            result = event.result
    assert isinstance(result, Result)
    return result


def iter_stylize(
    content: PictureLike,
    style: StyleLike | RegionSpec,
    *,
    regions: Regions = (),
    labels: Sequence[PictureLike] | str | None = None,
    protect: PictureLike | None = None,
    style_only: PictureLike | None = None,
    output: PathLike | None = None,
    options: Options | None = None,
    mailbox: Mailbox | None = None,
    preview_every: int = 0,
    snapshot_every: int = 0,
    checkpoint_dir: PathLike | None = None,
    **settings: Unpack[OptionFields],
) -> Iterator[Event[Result]]:
    """Render an image in the style of another, and yield the events of the run.

    Args:
        content, output, options: as in ``stylize``.
        style: an image, or a list of images to blend; ``None`` if every region has its own.
        regions: parts of the content with their own style, each as ``"sky.png=a.jpg,strength=0.8"``, a pair of mask and
            style, or a mapping; see ``spec.parse_regions``. The rest is painted in ``style``, or is unchanged without
            one.
        labels: two images of flat colors, for the content and for the style: regions of equal color are
            paired; or ``"auto"``, which pairs what is alike.
        protect: a mask of the pixels to keep unchanged.
        style_only: a mask of the pixels that ``style`` paints; the rest is unchanged. A mask can also be a name, such
            as ``"faces"``, ``"sky"`` or a point ``"0.42,0.31"``; see ``regions.segmentation.names``.
        mailbox: commands to the run; see ``events.Command``.
        preview_every: number of steps between two ``Stepped`` events with a preview; 0 for never.
        snapshot_every: number of steps between two ``Snapshot`` events; 0 for never.
        checkpoint_dir: a folder to save the state in every 10 s, so that the run can be resumed.
        settings: any option by its flat name.

    Yields:
        ``Planned``, then for each scale ``ScaleStarted`` and its ``Stepped``, and at the end ``Finished`` with a
        ``Result``.
    """
    inputs = Inputs(content, style, regions, labels, protect, style_only)
    monitor = Monitor(mailbox, preview_every, snapshot_every)
    checkpoints = None if checkpoint_dir is None else CheckpointFolder(checkpoint_dir)
    chosen = settings if options is None else options.replace(**settings)
    with open_run(inputs, chosen, output, monitor=monitor, checkpoints=checkpoints) as events:
        yield from events


@dataclass(frozen=True)
class Inputs:
    """The images of a run, as ``iter_stylize`` takes them."""

    content: PictureLike
    style: StyleLike | RegionSpec
    regions: Regions = ()
    labels: Sequence[PictureLike] | str | None = None
    protect: PictureLike | None = None
    style_only: PictureLike | None = None

    def region_spec(self, limits: DecodeLimits) -> RegionSpec:
        """Return styles, regions, labels and masks with their images loaded."""
        if isinstance(self.style, RegionSpec):
            return self.style
        return parse_regions(
            self.style,
            regions=self.regions,
            labels=self.labels,
            protect=self.protect,
            style_only=self.style_only,
            limits=limits,
        )


class RunSettings(TypedDict, total=False):
    """The keyword arguments of ``open_run``."""

    output: PathLike | None
    history: History
    monitor: Monitor
    checkpoints: CheckpointFolder | None
    cache: TargetCache | None
    group: ProcessGroup
    started_at: float | None


def iter_run(
    inputs: Inputs, options: Options | OptionFields, **settings: Unpack[RunSettings]
) -> Iterator[Event[Result]]:
    """Yield the events of a run; the arguments are those of ``open_run``."""
    with open_run(inputs, options, **settings) as events:
        yield from events


@contextmanager
def open_run(
    inputs: Inputs,
    options: Options | OptionFields,
    output: PathLike | None = None,
    *,
    history: History = History(),  # noqa: B008 - frozen
    monitor: Monitor = Monitor(),  # noqa: B008 - frozen
    checkpoints: CheckpointFolder | None = None,
    cache: TargetCache | None = None,
    group: ProcessGroup = ALONE,
    started_at: float | None = None,
) -> Iterator[Iterator[Event[Result]]]:
    """Prepare a run and return an iterator of its events; torch's threads and the allocator are restored at the end.

    Args:
        inputs: the images.
        options: all options, or single ones by flat name.
        output: file to save the result to.
        history: what the run inherits from earlier runs.
        monitor: mailbox, previews and snapshots.
        checkpoints: the folder to save the state in.
        cache: networks and targets that several runs share.
        group: the processes that share the work; each calls this with the same arguments, see ``distributed.join``.
            Only the first reads commands, writes files and returns the result.
        started_at: start of the time limit of ``time``, in seconds of ``time.perf_counter``; now if absent.
    """
    started_at = time.perf_counter() if started_at is None else started_at
    threads = torch.get_num_threads()
    try:
        with out_of_memory.translate_oom(out_of_memory.oom_error):
            chosen = options if isinstance(options, Options) else recipes.resolve(**options)
            history = _resumed(history, checkpoints)
            prepared, model = _prepared(inputs, chosen, output, history, group, cache)
            if group.is_first:
                input_index.remember(prepared.files)
            if chosen.feed_forward.enabled:
                with allocator.retain_freed_memory():
                    yield feedforward_run.iter_paint(prepared, history.parents, model, cache)
            else:
                with allocator.release_freed_memory():
                    painting = _painting(prepared, cache or TargetCache(), history, monitor, checkpoints)
                    is_resumed = checkpoints is not None and checkpoints.resume
                    limit = chosen.optimization.time
                    is_painted = bool(prepared.tensors.regions)
                    if (
                        limit is not None
                        and is_painted
                        and (is_resumed or not history.decisions)
                        and group.world_size == 1
                    ):
                        painting.budget = TimeBudget(parse_seconds(limit), started_at)
                    yield run(painting)
    finally:
        torch.set_num_threads(threads)


def _resumed(history: History, checkpoints: CheckpointFolder | None) -> History:
    """Return the history stored in the folder of a resumed run, if there is one."""
    if checkpoints is None or not checkpoints.resume or not (Path(checkpoints.path) / RUN).exists():
        return history
    beginning = read_run(Path(checkpoints.path))
    return replace(
        history, decisions=beginning["decisions"], steering=beginning["steering"], parents=beginning["parents"]
    )


def _prepared(
    inputs: Inputs,
    options: Options,
    output: PathLike | None,
    history: History,
    group: ProcessGroup,
    cache: TargetCache | None,
) -> tuple[PreparedRun, Model | None]:
    """Prepare a run, with its trained network if it has one; all processes use the decisions of the first."""
    check_together(options, group, decided=bool(history.decisions))
    model = feedforward_run.model_of(options, cache)
    if model is not None:
        inputs = replace(inputs, style=feedforward_run.style_of(model, inputs.style, inputs.regions, inputs.labels))
    style = inputs.region_spec(DecodeLimits.of(options.output))
    decisions = history.decisions if group.is_first else group.broadcast()
    prepared = prepare(inputs.content, style, options, output, start=history.start, group=group, decisions=decisions)
    if group.is_first:
        group.broadcast(prepared.all_decisions)
    return prepared, model


def _painting(
    prepared: PreparedRun,
    cache: TargetCache,
    history: History,
    monitor: Monitor,
    checkpoints: CheckpointFolder | None,
) -> Painting:
    """Load the network, choose the precision and return the run at its start."""
    cache.encoder(prepared)  # unusable weights are reported before anything else
    prepared, ready = choose_precision(prepared, cache, decided=bool(history.decisions))
    painting = Painting(prepared, cache, history, monitor, checkpoints, first_picture)
    painting.scale_objective = ready
    return painting


def first_picture(prepared: PreparedRun) -> Tensor | None:
    """Return the image that initializes the canvas, if there is one."""
    if prepared.start is None and prepared.options.optimization.init == "fast":
        return feedforward_run.starting_picture(prepared)
    return prepared.start
