"""The public functions: images and options in, events out, a Result at the end.

Here a run goes to the optimizer, scale by scale, or to a feed-forward network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.events import Event, Finished, Mailbox, Warned
from impasto.feedforward import run as fast_paint
from impasto.imaging.images import DecodeLimits
from impasto.options import recipes
from impasto.options.fields import Options, parse_seconds
from impasto.planning.time_budget import TimeBudget
from impasto.regions.spec import RegionSpec, parse_regions
from impasto.run import out_of_memory
from impasto.run.checkpoint import RUN, read_run
from impasto.run.painter import Painting, planned
from impasto.run.precision_check import choose_precision
from impasto.run.prepared_run import PreparedRun, check_together, prepare
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache
from impasto.runtime import allocator
from impasto.runtime.distributed import ALONE, ProcessGroup


def stylize(content: Any, style: Any, *, output: str | os.PathLike[str] | None = None, **options: Any) -> Result:
    """Repaint one picture in the manner of another.

    Args:
        content: path, PIL image, array ``[H, W, 3]`` or tensor ``[3, H, W]``: what is to be seen.
        style: likewise: how it is painted.
        output: where to save the result, if anywhere.
        options: any option by its flat name, such as ``strength=0.7`` or ``recipe="gatys2016"``; or anything else that
            ``iter_stylize`` takes.

    Returns:
        The picture, its losses by step and its options.

    Raises:
        InputError: a picture or an option cannot be used.
        MachineError: the device or precision is not there.
        NumericalError: the optimization could not recover from not-a-number.
    """
    return last(iter_stylize(content, style, output=output, **options))


def last(events: Iterator[Event]) -> Result:
    """Return the result at the end of a run's events."""
    result = None
    for event in events:
        if isinstance(event, Finished):
            result = event.result
    assert isinstance(result, Result)
    return result


@out_of_memory.translate_oom_in_events
def iter_stylize(
    content: Any,
    style: Any,
    *,
    regions: Any = (),
    labels: Sequence[Any] | None = None,
    protect: Any = None,
    output: str | os.PathLike[str] | None = None,
    mailbox: Mailbox | None = None,
    preview_every: int = 0,
    snapshot_every: int = 0,
    steering: Sequence[Mapping[str, Any]] = (),
    start: Any = None,
    parents: Sequence[Mapping[str, Any]] = (),
    resolved: Options | None = None,
    decisions: Mapping[str, Any] | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 10.0,
    resume: bool = False,
    cache: TargetCache | None = None,
    began: float | None = None,
    group: ProcessGroup = ALONE,
    **options: Any,
) -> Iterator[Event]:
    """Repaint one picture in the manner of another, telling what happens.

    Args:
        content, output, options: as for ``stylize``.
        style: a painting, or a list of them to be blended; ``None`` where regions bring theirs.
        regions: what is painted like another painting, each as ``"sky.png=a.jpg,strength=0.8"``, a pair of mask and
            style, or a mapping; see ``spec.parse_regions``. What no region takes is painted like ``style``, or stays.
        labels: two pictures of flat colors, the content's and the style's: equal colors pair up.
        protect: a mask of what stays as it is, or ``"faces"``.
        mailbox: for steering; see ``events.Command``.
        preview_every: every how many steps a ``Stepped`` carries a preview; 0 for never.
        snapshot_every: every how many steps a ``Snapshot`` comes; 0 for never.
        steering: an earlier run's commands to repeat, as its record lists them.
        start: a picture that the canvas begins as, instead of what ``init`` says.
        parents: records of the pictures that ``start`` came from, the oldest first; they go into the new record.
        resolved: all options at once, instead of single ones.
        decisions: an earlier run's, to be taken again, as its record lists them.
        checkpoint_dir: a folder to keep the run in, so that it can be resumed.
        checkpoint_seconds: how long between two checkpoints; 0 for every step.
        resume: go on from the last checkpoint in the folder, if it has one.
        cache: what other runs have prepared and this one may use.
        began: when the clock of ``time`` started, as ``time.perf_counter`` tells it; now if absent.
        group: the processes that paint the picture together, each calling this with the same arguments; see
            ``distributed.join``. The first alone reads commands, writes files and has the result.

    Yields:
        ``Planned``, then for each scale ``ScaleStarted`` and its ``Stepped``, at the end ``Finished`` with a
        ``Result``.
    """
    began = time.perf_counter() if began is None else began
    chosen = resolved or recipes.resolve(**options)
    threads = torch.get_num_threads()
    if resume and checkpoint_dir is not None and (Path(checkpoint_dir) / RUN).exists():
        kept = read_run(Path(checkpoint_dir))
        decisions, steering, parents = kept["decisions"], kept["steering"], kept["parents"]
    check_together(chosen, group, decided=bool(decisions))
    model = fast_paint.model_of(chosen)
    if model is not None:
        style = fast_paint.style_of(model, style, regions, labels)
    if not isinstance(style, RegionSpec):
        limits = DecodeLimits.of(chosen.output)
        style = parse_regions(style, regions=regions, labels=labels, protect=protect, limits=limits)
    prepared = _prepared(partial(prepare, content, style, chosen, output, start=start, group=group), group, decisions)
    try:
        with allocator.retain_freed_memory() if chosen.instant.at_once else allocator.release_freed_memory():
            if chosen.instant.at_once:
                yield from fast_paint.iter_paint(prepared, parents, model)
                return
            cache = cache or TargetCache()
            cache.encoder(prepared)  # what is wrong with the weights is said before anything else
            prepared, ready = choose_precision(prepared, cache, TargetCache(cache.state), decided=bool(decisions))
            yield planned(prepared)
            for note in prepared.notes:
                yield Warned(note)
            painting = Painting(prepared, cache, list(steering), parents, first_picture)
            painting.problem = ready
            if chosen.descent.time is not None and (resume or not decisions) and group.world_size == 1:
                painting.budget = TimeBudget(parse_seconds(chosen.descent.time), began)
            listeners = {"mailbox": mailbox, "preview_every": preview_every, "snapshot_every": snapshot_every}
            yield from painting.events(checkpoint_dir, checkpoint_seconds, resume, listeners)
    finally:
        torch.set_num_threads(threads)  # the caller's own, which a run may have changed


def _prepared(
    make: Callable[..., PreparedRun], group: ProcessGroup, decisions: Mapping[str, Any] | None
) -> PreparedRun:
    """Return the prepared run, the same in every process: the first decides."""
    if not group.is_first:
        return make(decisions=group.broadcast())
    prepared = make(decisions=decisions)
    group.broadcast(prepared.planned)
    return prepared


def first_picture(prepared: PreparedRun) -> Tensor | None:
    """Return the picture that the canvas begins as, where there is one."""
    if prepared.start is None and prepared.options.descent.init == "fast":
        return fast_paint.starting_picture(prepared)
    return prepared.start
