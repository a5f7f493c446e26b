"""``impasto stylize`` and ``impasto demo``: the commands that paint."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from impasto.cli.flags import with_options
from impasto.errors import OptionError
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Stepped, Warned


@with_options
def stylize(
    content: str = typer.Argument(..., help="Photograph: what is to be seen."),
    style: str = typer.Argument(..., help="Painting: how it is painted. painting.jpg#x,y,w,h takes a part of it."),
    output: str = typer.Option("out.png", "--output", "-o", help="Where to save; the suffix chooses the format."),
    snapshots: Path | None = typer.Option(None, "--snapshots", help="Folder for numbered pictures on the way."),
    every: int = typer.Option(10, "--every", min=1, help="Steps between two snapshots."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
    **options: Any,
) -> None:
    """Repaint CONTENT in the manner of STYLE."""
    began = time.perf_counter()
    from impasto.stylize import iter_stylize

    mailbox = Mailbox()
    if snapshots is not None:
        snapshots = _folder(snapshots)
    events = iter_stylize(
        content, style, output=output, mailbox=mailbox, snapshot_every=every if snapshots else 0, **options
    )
    with _stop_on_interrupt(mailbox):
        result = _show(events, snapshots, quiet)
    seconds = time.perf_counter() - began
    how = f"stopped after {result.steps} steps" if result.stopped else f"{result.steps} steps"
    height, width = result.pixels.shape[:2]
    losses = ", ".join(f"{name} {value:.3g}" for name, value in result.saved_losses.items())
    typer.echo(
        f"{result.path}: {Path(content).name} painted as {Path(style).name}, {width}x{height} px, "
        f"{how} in {seconds:.0f} s" + (f" ({losses})" if losses else "")
    )


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--snapshots {path}: the folder cannot be made ({error.strerror})", "snapshots") from None
    return path


@contextmanager
def _stop_on_interrupt(mailbox: Mailbox) -> Iterator[None]:
    """Let the first Ctrl-C end the run with its picture and the second end the program."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping: the picture is written as it is (Ctrl-C again to give up)", file=sys.stderr)
        mailbox.post("stop")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(events: Iterator[Event], snapshots: Path | None, quiet: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[scale]}"),
        BarColumn(),
        TextColumn("step {task.fields[step]}"),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    result = None
    with Progress(*columns, console=console, disable=quiet) as bar:
        task = bar.add_task("", total=None, scale="preparing", step="0", losses="")
        pixels: tuple[int, ...] = ()
        total = 0
        for event in events:
            if isinstance(event, Planned):
                pixels = tuple(s["height"] * s["width"] for s in event.scales)
                total = event.total_steps
                work = sum(p * s["steps"] for p, s in zip(pixels, event.scales, strict=True))
                bar.update(task, total=work)
            elif isinstance(event, ScaleStarted):
                name = f"scale {event.index + 1}/{event.count} {event.width}x{event.height}"
                bar.update(task, scale=name)
                if not quiet and not console.is_terminal:
                    console.print(name, highlight=False)
            elif isinstance(event, Stepped):
                losses = " ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
                bar.update(task, advance=pixels[event.scale], step=f"{event.step}/{total}", losses=losses)
            elif isinstance(event, Snapshot) and snapshots is not None:
                from impasto.images import save

                save(snapshots / f"{event.step:05d}.png", event.picture)
            elif isinstance(event, Warned):
                console.print(f"note: {event.message}", highlight=False)
            elif isinstance(event, Finished):
                result = event.result
    return result


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Folder for the pictures."),
    content: str = typer.Option("coffee", "--content", help="Sample photograph."),
    style: str = typer.Option("blue_swirls", "--style", help="Sample painting."),
) -> None:
    """Repaint a sample photograph with a sample painting and show the way there."""
    from impasto import samples
    from impasto.bench.demo import paint

    began = time.perf_counter()
    paths = {path.stem: path for path in samples.write(out / "samples")}
    made = paint(paths[content], paths[style], out)
    typer.echo(f"done in {time.perf_counter() - began:.0f} s:")
    for what, path in made.items():
        typer.echo(f"  {what:12s} {path}")
