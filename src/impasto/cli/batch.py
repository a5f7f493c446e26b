"""``impasto batch``: many images in one command, and its progress."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import typer

from impasto.cli.flags import QUIET, with_options
from impasto.cli.masks import AreaFlags
from impasto.cli.signals import handled
from impasto.errors import OptionError
from impasto.options.declaration import option
from impasto.options.option_fields import OptionFields, passed

if TYPE_CHECKING:
    from impasto.batch.events import BatchEvent, BatchFinished, StopFlag
    from impasto.batch.executor import Executor
    from impasto.batch.forecast import BatchForecast
    from impasto.batch.job import Job

SOME_FAILED = 3


@dataclass(frozen=True, kw_only=True)
class BatchFlags(AreaFlags):
    """What to paint, how results are named, where to paint, and what to print."""

    pairs: bool = option(False, "paint the first photograph in the first style, the second in the second, and so on")
    manifest: Path | None = option(
        None, "a .csv or .jsonl file with one image per row, and any option per row", metavar="FILE"
    )
    name: str = option(
        "{content}_{style}.{ext}", "names of the results; {number} is the position in the batch", metavar="TEMPLATE"
    )
    format: str = option("png", "format of the results: png, jpg, webp, tif, ...", metavar="EXT")
    workers: str = option(
        "auto", "images to paint at a time; auto: as many as the CPU cores and memory allow", metavar="N|auto"
    )
    ray: str | None = option(None, "paint on a Ray cluster: start one here, or join one", metavar="local|ADDRESS")

    force: bool = option(False, "paint all images, including those that exist")
    skip_existing: bool = option(
        False, "skip images whose file was painted from the same inputs with the same options; the default"
    )
    report: Path | None = option(None, "only write the report of a batch, which may still be running", metavar="DIR")
    json: bool = option(False, "print one event per line as JSON")
    dry_run: bool = option(False, "print the number of images and the estimated time, memory and disk space, then exit")

    @property
    def worker_count(self) -> int | None:
        """The number of workers; None for auto.

        Raises:
            OptionError: it is not a number from 1 to 4096.
        """
        if self.workers == "auto":
            return None
        if not self.workers.isdecimal() or not 1 <= int(self.workers) <= 4096:
            raise OptionError(f"--workers is {self.workers!r}; it must be auto or a number from 1 to 4096", "workers")
        return int(self.workers)


@with_options
def batch(
    photos: list[str] | None = typer.Argument(
        None,
        metavar="PHOTO",
        help="Photographs: files, folders with all their subfolders, patterns such as 'trip/*.jpg', or - for a list of "
        "paths on standard input.",
    ),
    style: list[str] = typer.Option(
        [],
        "--style",
        "-s",
        metavar="STYLE",
        help="Painting whose style is used, as for `impasto stylize`, or a folder or pattern of paintings. Repeatable: "
        "every photograph is painted in every style.",
    ),
    output: Path = typer.Option(Path("painted"), "--output", "-o", help="Folder of the results."),
    *,
    flags: BatchFlags,
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Paint many photographs. The same command continues a batch that was stopped."""
    if flags.report is not None:
        from impasto.batch.report import write_report

        typer.echo(write_report(flags.report))
        return
    count = flags.worker_count
    from impasto.batch.build import Request, jobs_of
    from impasto.batch.forecast import plan_batch

    given = flags.pairs, flags.manifest, flags.protect, flags.style_only, flags.name, flags.format
    request = Request(photos or (), style, output, passed(options), *given)
    jobs = jobs_of(request, sys.stdin if "-" in (photos or ()) else ())
    forecast = plan_batch(jobs, output, count, measure=flags.dry_run)
    if flags.dry_run:
        typer.echo("\n".join(forecast.lines()))
        return
    _check_disk(output, forecast)
    stopped_by, finished = _paint(jobs, output, forecast, flags, quiet)
    if not flags.json:
        _summarize(output, finished)
    if finished.stopped:
        raise typer.Exit(128 + (stopped_by or signal.SIGINT))
    if finished.failed:
        raise typer.Exit(SOME_FAILED)


def _check_disk(output: Path, forecast: BatchForecast) -> None:
    """Raise OptionError if the results of a new batch do not fit on the disk."""
    from impasto.batch.journal import JOURNAL
    from impasto.files import disk_shortfall

    short = disk_shortfall([(output, forecast.disk, "the results")])
    if short is not None and not (output / JOURNAL).exists():
        raise OptionError(short, "output")


def _executor(ray: str | None, asked: int | None, forecast: BatchForecast, jobs: list[Job]) -> Executor:
    """Return where to paint."""
    if ray is not None:
        from impasto.batch.ray_cluster import ActorSettings, RayExecutor

        gpus = int(any(str(job.options.get("device", "")).startswith("cuda") for job in jobs))
        return RayExecutor(ray, asked, ActorSettings(forecast.threads, forecast.bytes // forecast.workers, gpus))
    from impasto.batch.forecast import gpu_count
    from impasto.batch.local import LocalExecutor

    return LocalExecutor(forecast.workers, gpus=gpu_count(jobs))


def _paint(
    jobs: list[Job], output: Path, forecast: BatchForecast, flags: BatchFlags, quiet: bool
) -> tuple[int | None, BatchFinished]:
    """Paint a batch, show its progress, and return the signal that stopped it and its last event."""
    from impasto.batch.events import BatchFinished, StopFlag, as_data
    from impasto.batch.loop import iter_batch

    stop, executor = StopFlag(), _executor(flags.ray, flags.worker_count, forecast, jobs)
    settings: dict[str, Any] = {"threads": forecast.threads, "force": flags.force, "stop": stop}
    try:
        with _stop_on_signals(stop) as received, BatchProgress(quiet or flags.json) as progress:
            for event in iter_batch(jobs, output, executor=executor, **settings):
                progress.show(event)
                if flags.json:
                    typer.echo(json.dumps(as_data(event), ensure_ascii=False))
                if isinstance(event, BatchFinished):
                    finished = event
    finally:
        executor.close()
    return (received[0] if received else None), finished


@contextmanager
def _stop_on_signals(stop: StopFlag) -> Iterator[list[int]]:
    """Finish the current images on the first Ctrl-C; abandon them on the second, on SIGTERM and on SIGHUP.

    Yields:
        The signals that were received.
    """
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if number == signal.SIGINT and not received:
            stop.set("finish")
            print("\nstopping when the current images are done (Ctrl-C again to abort)", file=sys.stderr)
        else:
            stop.set("now")
        received.append(number)

    with handled(handle):
        yield received


def _summarize(output: Path, finished: BatchFinished) -> None:
    """Write the report and print what was done and how to continue."""
    from impasto.batch.journal import FAILED
    from impasto.batch.report import write_report

    parts = [f"{finished.painted} painted"]
    parts += [f"{finished.skipped} skipped"] if finished.skipped else []
    parts += [f"{finished.failed} failed"] if finished.failed else []
    page = write_report(output)
    typer.echo(f"{output}: {', '.join(parts)}; report: {page}")
    if finished.failed:
        typer.echo(f"failures: {output / FAILED}, which --manifest accepts", err=True)
    if finished.stopped:
        typer.echo("stopped: the same command continues", err=True)


class BatchProgress:
    """Shows events of a batch on stderr; a context manager.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._began = time.monotonic()
        self._count = self._settled = self._painted = self._failed = 0
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            self._console = Console(stderr=True)
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._live = self._console.is_terminal
            self._progress = Progress(*columns, console=self._console, disable=not self._live)
            self._total = self._progress.add_task("total", total=None, note="preparing")
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._quiet:
            self._progress.stop()

    def show(self, event: BatchEvent) -> None:
        """Show an event."""
        if self._quiet:
            return
        from impasto.batch import events

        if isinstance(event, events.BatchStarted):
            self._count = event.count
        elif isinstance(event, events.JobStarted):
            self._start(event.worker, event.job.output)
        elif isinstance(event, events.JobProgress):
            self._progress.update(self._bars[event.worker], completed=event.fraction)
        elif isinstance(event, events.JobSkipped):
            self._settled += 1
        elif isinstance(event, events.JobDone):
            self._settled, self._painted = self._settled + 1, self._painted + 1
            self._progress.update(self._bars[event.worker], completed=1.0)
            self._line(f"{event.job.output}: {event.seconds:.1f} s", always=False)
        elif isinstance(event, events.JobFailed):
            self._settled, self._failed = self._settled + 1, self._failed + 1
            self._line(f"{event.job.output} failed: {event.reason}")
        elif isinstance(event, events.JobRetried):
            self._line(f"{event.job.output} is retried: {event.reason}")
        self._progress.update(self._total, total=self._count or None, completed=self._settled, note=self._note())

    def _start(self, worker: str, output: str) -> None:
        """Show what a worker begins."""
        if worker not in self._bars:
            self._bars[worker] = self._progress.add_task(f"worker {worker}", total=1.0, note="")
        self._progress.reset(self._bars[worker], total=1.0, note=output)

    def _line(self, text: str, *, always: bool = True) -> None:
        """Print a line; on a terminal only what must not be missed."""
        if always or not self._live:
            self._console.print(
                f"[{self._settled}/{self._count}] {text}", highlight=False, soft_wrap=True, markup=False
            )

    def _note(self) -> str:
        """Return the number of images, the rate, the time left and the failures."""
        from impasto.batch.forecast import duration

        parts = [f"{self._settled}/{self._count}"]
        if self._painted:
            each = (time.monotonic() - self._began) / self._painted
            parts += [f"{60 / each:.1f} per min", f"{duration(each * (self._count - self._settled))} left"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        return ", ".join(parts)
