"""What a batch needs before it starts: workers that fit this machine, time, memory and disk.

Input: jobs and their options. Output: a ``BatchForecast``. Sizes are read from the headers of the photographs. The time
is extrapolated from the largest job, of which two evaluations are measured, by pixels times steps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from impasto.batch.job import Job, OptionTable
from impasto.errors import ImageError, ImpastoError
from impasto.imaging.decode import check_pixels, header, opened, quiet
from impasto.imaging.images import canvas_size, estimated_bytes, load, split_crop
from impasto.objective.loss_factory import default_content_layers, default_style_layers
from impasto.options.fields import Options
from impasto.options.layer_names import block
from impasto.options.option_fields import OptionFields
from impasto.options.validation import parse_weights
from impasto.planning import memory
from impasto.planning.schedule import scales_for

MAX_HEADERS = 1000  # of a larger batch, evenly spaced jobs are read
MAX_MEASURED = 5  # jobs to try, because a photograph with a good header may be damaged
CALIBRATION_SIZE = "512"  # of the pass that is timed with --fast, in px
FAST_DEPTH = 4  # deepest block of the networks that paint in one pass


@dataclass(frozen=True)
class Sized:
    """A job with the size of its result, ``(height, width)`` in px."""

    job: Job
    options: Options
    size: tuple[int, int]

    @property
    def work(self) -> float:
        """Pixels times steps over all scales; pixels if the result is painted in one pass."""
        if self.options.feed_forward.enabled:
            return float(self.size[0] * self.size[1])
        return float(sum(s.height * s.width * s.steps for s in scales_for(self.options, *self.size)))

    @property
    def bytes(self) -> int:
        """Peak memory of a worker that paints the result whole, in bytes."""
        layers = [
            *parse_weights(self.options.features.style_layers or default_style_layers(self.options)),
            *parse_weights(self.options.features.content_layers or default_content_layers(self.options)),
        ]
        depth = FAST_DEPTH if self.options.feed_forward.enabled else max(map(block, layers), default=0)
        model = memory.MemoryModel(
            *self.size,
            depth=depth,
            bf16_features=False,
            optimizer=self.options.optimization.optimizer,
            inputs=2 * self.size[0] * self.size[1],
            recolor=self.options.control.final_recolor > 0,
        )
        return model.peak(memory.MemoryPlan())


@dataclass(frozen=True)
class BatchForecast:
    """Estimates of a batch.

    Args:
        count: number of images.
        unreadable: how many of them have photographs whose header cannot be read.
        workers: images at a time.
        threads: CPU threads of each; it does not depend on the number of workers that is asked for.
        seconds: time of the batch; None if it was not measured.
        bytes: memory of all workers.
        disk: size of the results in bytes.
    """

    count: int
    unreadable: int
    workers: int
    threads: int
    seconds: float | None
    bytes: int
    disk: int

    def lines(self) -> list[str]:
        """Return the forecast as text, line by line."""
        images = f"{self.count} image{'' if self.count == 1 else 's'}"
        unreadable = f", {self.unreadable} of them from unreadable files" if self.unreadable else ""
        found = [f"{images}{unreadable}"]
        if self.seconds is not None:
            found.append(f"about {duration(self.seconds)} with {self.workers} at a time")
        found.append(f"about {self.bytes / 2**30:.1f} GiB of memory")
        found.append(f"at most {self.disk / 2**20:.0f} MiB on the disk")
        return found


def duration(seconds: float) -> str:
    """Return a number of seconds as ``45 s``, ``12 min`` or ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def sizes(jobs: Sequence[Job], table: OptionTable) -> Iterator[Sized | None]:
    """Yield jobs with the size of their results; None for a photograph that cannot be read."""
    step = max(1, len(jobs) // MAX_HEADERS)
    for job in jobs[::step]:
        options = table.of(job)
        try:
            size = _size(job.content, options.output.max_pixels)
            yield Sized(job, options, canvas_size(size, options.output.size, options.output.dpi))
        except (ImpastoError, OSError):
            yield None


def _size(content: str, max_pixels: int) -> tuple[int, int]:
    """Return height and width of a photograph from its header; a rotated one may have them swapped."""
    path, crop = split_crop(content)
    if crop is not None:
        return load(content).size
    with opened(path) as stream, quiet([]):
        width, height = header(stream, repr(str(path))).size
    check_pixels((width, height), max_pixels, repr(str(path)))
    return height, width


def cores_here() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def auto_workers(largest: int, cores: int, free: int | None) -> int:
    """Return how many workers fit the cores and the free memory, at least one.

    Args:
        largest: peak bytes of the largest image.
        cores: CPU cores, or as many times the threads of a worker as there are.
        free: bytes of free memory; None if unknown.
    """
    fitting = cores if free is None else int(memory.FREE_SHARE * free) // max(1, largest)
    return max(1, min(cores, fitting))


def plan_batch(
    jobs: Sequence[Job], folder: Path, workers: int | None = None, *, measure: bool = False
) -> BatchForecast:
    """Estimate a batch.

    Args:
        jobs: the jobs.
        folder: of the results.
        workers: images at a time; None for as many as fit, or one per GPU.
        measure: measure the time of the largest job; else ``seconds`` is None.
    """
    found = list(sizes(jobs, OptionTable()))
    readable = [one for one in found if one is not None]
    share = len(jobs) / max(1, len(found))
    largest = max((one.bytes for one in readable), default=memory.BASE)
    cores = cores_here()
    given = max((one.options.machine.threads or 1 for one in readable), default=1)
    fitting = auto_workers(largest, max(1, cores // given), memory.free_bytes())
    threads = given if given > 1 else max(1, cores // fitting)
    count = min(workers or gpu_count(jobs) or fitting, max(1, len(jobs)))
    disk = sum(estimated_bytes(folder / one.job.output, one.size, one.options.output.bits) for one in readable)
    seconds = None
    if measure and readable:
        rate = _rate(sorted(readable, key=lambda one: one.work, reverse=True), threads)
        seconds = None if rate is None else sum(one.work for one in readable) * share * rate / count
    unreadable = round((len(found) - len(readable)) * share)
    return BatchForecast(len(jobs), unreadable, count, threads, seconds, largest * count, round(disk * share))


def gpu_count(jobs: Sequence[Job]) -> int:
    """Return the number of GPUs, 0 if a job sets the device."""
    import torch

    return 0 if any("device" in job.options for job in jobs) else torch.cuda.device_count()


def _rate(readable: Sequence[Sized], threads: int) -> float | None:
    """Return the seconds per unit of work of the first of a few jobs that can be measured, None if none can."""
    for sized in readable[:MAX_MEASURED]:
        with contextlib.suppress(ImageError):
            return _seconds_per_work(sized, threads)
    return None


def _seconds_per_work(sized: Sized, threads: int) -> float:
    """Measure a job with so many threads and return its seconds per unit of work."""
    from impasto.api import Inputs, iter_run, last
    from impasto.workflows.estimate import forecast

    job, options = sized.job, sized.options.replace(threads=threads)
    if options.feed_forward.enabled:
        small = options.replace(size=CALIBRATION_SIZE)
        for _ in range(2):  # the first pass also loads the network
            began = time.perf_counter()
            inputs = Inputs(job.content, list(job.styles) or None, protect=job.protect, style_only=job.style_only)
            result = last(iter_run(inputs, small))
        height, width = result.pixels.shape[:2]
        return (time.perf_counter() - began) / float(height * width)
    given = cast(OptionFields, {"threads": threads, **job.options})
    foreseen = forecast(job.content, list(job.styles), protect=job.protect, style_only=job.style_only, **given)
    return foreseen.seconds / sized.work
