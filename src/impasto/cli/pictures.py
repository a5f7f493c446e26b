"""``impasto stylize`` and ``impasto demo``: the commands that paint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer

from impasto.cli.flags import with_options
from impasto.cli.progress import Listener, folder_for, snapshots_in, watch
from impasto.errors import OptionError
from impasto.events import Mailbox


@with_options
def stylize(
    content: str = typer.Argument(..., help="Photograph: what is to be seen."),
    style: str = typer.Argument(..., help="Painting: how it is painted. painting.jpg#x,y,w,h takes a part of it."),
    output: str = typer.Option("out.png", "--output", "-o", help="Where to save; the suffix chooses the format."),
    snapshots: Path | None = typer.Option(None, "--snapshots", help="Folder for numbered pictures on the way."),
    every: int = typer.Option(10, "--every", min=1, help="Steps between two snapshots."),
    timelapse: Path | None = typer.Option(None, "--timelapse", help="Film of the run: .mp4, .gif or .webp."),
    report: Path | None = typer.Option(None, "--report", help="Folder for one web page that shows the run."),
    run_dir: Path | None = typer.Option(
        None, "--run-dir", help="Folder to keep the run in, for `impasto resume` after a crash."
    ),
    checkpoint_every: float = typer.Option(
        10.0, "--checkpoint-every", min=0.0, help="Seconds between two states kept."
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
    **options: Any,
) -> None:
    """Repaint CONTENT in the manner of STYLE."""
    if run_dir is not None and (run_dir / "run.json").exists():
        raise OptionError(
            f"--run-dir {run_dir} holds a run: impasto resume {run_dir}, or name another folder", "run_dir"
        )
    listeners = listeners_for(content, style, snapshots, timelapse, report)
    from impasto.stylize import iter_stylize

    mailbox = Mailbox()
    events = iter_stylize(
        content,
        style,
        output=output,
        mailbox=mailbox,
        preview_every=1 if timelapse or report else 0,
        snapshot_every=every if snapshots else 0,
        checkpoint_dir=run_dir,
        checkpoint_seconds=checkpoint_every,
        **options,
    )
    watch(events, mailbox, listeners, quiet)


def listeners_for(
    content: str, style: str, snapshots: Path | None, timelapse: Path | None, report: Path | None
) -> list[Listener]:
    """Return what writes snapshots, a film and a report, as far as they are asked for."""
    listeners: list[Listener] = []
    if snapshots is not None:
        listeners.append(snapshots_in(folder_for(snapshots, "snapshots")))
    if timelapse is not None:
        from impasto.film import Film

        listeners.append(Film(timelapse))
    if report is not None:
        from impasto.report import Report

        listeners.append(Report(report, content, style))
    return listeners


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
