"""Estimate the scales, steps, time and memory of a run without running it.

``forecast`` takes the arguments of ``iter_stylize`` and returns a ``Forecast``. The time is extrapolated from two
evaluations at the coarsest scale, with the cost model of ``planning.time_budget``; the memory comes from the model in
``planning.memory``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from impasto.api import Inputs, first_picture
from impasto.errors import OptionError
from impasto.imaging.images import DecodeLimits, PathLike, PictureLike
from impasto.objective.scale_objective import starting_canvas
from impasto.options import recipes
from impasto.options.option_fields import OptionFields
from impasto.options.validation import parse_seconds
from impasto.planning.schedule import Scale
from impasto.planning.time_budget import TimeBudget, seconds_for
from impasto.regions.spec import Regions, RegionSpec, StyleLike
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache


@dataclass(frozen=True)
class Forecast:
    """The estimated cost of a run.

    Args:
        scales: from coarse to fine.
        seconds: wall time from ``began`` to the end of the run.
        bytes: peak resident memory; 0 if ``tile`` was set by the user.
        tile: side of a tile in px at the finest scale; None without tiles.
    """

    scales: list[Scale]
    seconds: float
    bytes: int
    tile: int | None

    def lines(self) -> list[str]:
        """Return the estimate as text, line by line."""
        found = [f"{s.width:5d}x{s.height:<5d} {s.steps:4d} steps" for s in self.scales]
        found.append(f"about {self.seconds:.0f} s, including startup")
        if self.bytes:
            found.append(f"about {self.bytes / 2**30:.1f} GiB of memory at most")
        if self.tile is not None:
            found.append(f"in tiles of {self.tile} px")
        return found


def forecast(
    content: PictureLike,
    style: StyleLike | RegionSpec,
    *,
    regions: Regions = (),
    labels: Sequence[PictureLike] | str | None = None,
    protect: PictureLike | None = None,
    style_only: PictureLike | None = None,
    output: PathLike | None = None,
    began: float | None = None,
    cache: TargetCache | None = None,
    **options: Unpack[OptionFields],
) -> Forecast:
    """Estimate a run.

    Args:
        content, style, regions, labels, protect, style_only, output, options: as for ``iter_stylize``.
        began: start of the process as a value of ``time.perf_counter``; default: now.
        cache: networks and targets shared with other runs.

    Raises:
        InputError: as ``iter_stylize``.
    """
    import torch

    began = time.perf_counter() if began is None else began
    chosen = recipes.resolve(**options)
    if chosen.feed_forward.enabled:
        raise OptionError("--dry-run estimates optimization runs; omit it with --fast and --model")
    inputs = Inputs(content, style, regions, labels, protect, style_only)
    prepared = prepare(content, inputs.region_spec(DecodeLimits.of(chosen.output)), chosen, output)
    scale = prepared.scales[0]
    scale_objective = (cache or TargetCache()).scale_objective(prepared, scale)
    generator = torch.Generator().manual_seed(chosen.optimization.seed)
    canvas = starting_canvas(first_picture(prepared), scale_objective, chosen.optimization.init, generator)
    weights = prepared.initial_weights().weights(scale_objective.normalizers, scale.content_factor)
    budget = TimeBudget(parse_seconds(chosen.optimization.time) if chosen.optimization.time else 0.0, began)
    with prepared.allocator_at(scale):
        budget.calibrate(scale, lambda: scale_objective.objective.evaluate(canvas, weights))
    started = time.perf_counter() - began
    scales = budget.plan(prepared.scales) if chosen.optimization.time else list(prepared.scales)
    assert budget.rate is not None
    last = prepared.memory_plan_at(scales[-1].height, scales[-1].width)
    most = max(prepared.memory_plan_at(s.height, s.width).bytes for s in scales)
    return Forecast(scales, started + seconds_for(scales, budget.rate), most, last.tile)
