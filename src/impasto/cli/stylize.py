"""``impasto stylize`` and ``impasto demo``: the commands that paint."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import typer

from impasto.cli.distributed import follow, together
from impasto.cli.flags import with_options
from impasto.cli.progress import Listener, folder_for, snapshots_in, watch
from impasto.cli.run_dir import CHECKPOINT_EVERY, RUN_DIR, check_film, check_unused
from impasto.errors import OptionError, suggest
from impasto.events import Mailbox


@with_options
def stylize(
    content: str = typer.Argument(..., help="Photograph to repaint."),
    styles: list[str] | None = typer.Argument(
        None,
        metavar="STYLE...",
        help="Painting whose style is used. a.jpg#x,y,w,h crops it, a.jpg@mask.png uses the white part of a mask; "
        "several paintings are blended. Optional with --region.",
    ),
    region: list[str] | None = typer.Option(
        None,
        "--region",
        metavar="MASK=STYLE",
        help="Paint the white area of a mask in the style of another painting: sky.png=a.jpg, optionally followed by "
        ",strength=0.8 ,color=content ,scale=0.5 ,rotate=45. Repeatable.",
    ),
    labels: tuple[str, str] | None = typer.Option(
        None,
        "--labels",
        metavar="CONTENT STYLE",
        help="Two label images, one for the content and one for the style: areas of equal color are paired.",
    ),
    protect: str | None = typer.Option(
        None, "--protect", metavar="MASK|faces", help="Keep the white area of a mask, or faces, unchanged."
    ),
    output: str = typer.Option("out.png", "--output", "-o", help="Output file; its extension selects the format."),
    snapshots: Path | None = typer.Option(None, "--snapshots", help="Folder for numbered intermediate images."),
    every: int = typer.Option(10, "--every", min=1, help="Steps between two snapshots."),
    timelapse: Path | None = typer.Option(
        None, "--timelapse", help="Write a timelapse of the run: .mp4, .gif or .webp."
    ),
    report: Path | None = typer.Option(None, "--report", help="Folder for an HTML report of the run."),
    run_dir: Path | None = RUN_DIR,
    checkpoint_every: float = CHECKPOINT_EVERY,
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the estimated time and memory, then exit."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
    **options: Any,
) -> None:
    """Repaint CONTENT in the style of STYLE."""
    began = time.perf_counter() - _age()
    placed: dict[str, Any] = {"regions": region or (), "labels": labels, "protect": protect}
    if dry_run:
        _foresee(content, styles or None, **placed, output=output, began=began, **options)
        return
    check_unused(run_dir)
    check_film(timelapse, output, content, *(styles or ()))
    style: Any = styles[0] if styles else None
    if report is not None and (style is None or not Path(style).exists()):
        from impasto.imaging.images import MAX_PIXELS, DecodeLimits
        from impasto.regions.spec import parse_regions

        limits = DecodeLimits(options.get("max_pixels") or MAX_PIXELS)
        style = parse_regions(styles, **placed, limits=limits).pictures["style"].pixels
    from impasto.api import Inputs, iter_run
    from impasto.run.painter import CheckpointFolder
    from impasto.run.state import Monitor

    mailbox = Mailbox()
    with together() as group:
        events = iter_run(
            Inputs(content, styles or None, **placed),
            options,
            output=output,
            monitor=Monitor(mailbox, 1 if timelapse or report else 0, every if snapshots else 0),
            checkpoints=None if run_dir is None else CheckpointFolder(run_dir, checkpoint_every),
            started_at=began,
            group=group,
        )
        listeners = partial(listeners_for, content, style, snapshots, timelapse, report)
        follow(group, events, mailbox, listeners, quiet)


def _foresee(content: Any, style: Any, **given: Any) -> None:
    from impasto.workflows.estimate import forecast

    typer.echo("\n".join(forecast(content, style, **given).lines()))


def _age() -> float:
    """Return for how many seconds this process has been running, where the system tells; 0 elsewhere."""
    import os

    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0


def listeners_for(
    content: str, style: Any, snapshots: Path | None, timelapse: Path | None, report: Path | None
) -> list[Listener]:
    """Return what writes snapshots, a film and a report, as far as they are asked for."""
    listeners: list[Listener] = []
    if snapshots is not None:
        listeners.append(snapshots_in(folder_for(snapshots, "snapshots")))
    if timelapse is not None:
        from impasto.workflows.timelapse import Film

        listeners.append(Film(timelapse))
    if report is not None:
        from impasto.workflows.report import Report

        listeners.append(Report(report, content, style))
    return listeners


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Folder for the pictures."),
    content: str = typer.Option("coffee", "--content", help="Sample photograph."),
    style: str = typer.Option("blue_swirls", "--style", help="Sample painting."),
    size: int = typer.Option(512, "--size", min=64, help="Long side in px."),
) -> None:
    """Repaint a sample photograph in the style of a sample painting, with intermediate steps."""
    from impasto.imaging import samples

    for name, value, known in (("content", content, samples.PHOTO_NAMES), ("style", style, samples.STYLE_NAMES)):
        if value not in known:
            raise OptionError(f"--{name} is {value!r}; {suggest(value, known)}", name)
    began = time.perf_counter()
    out = folder_for(out, "out")
    paths = {path.stem: path for path in samples.write(out / "samples")}
    from impasto.workflows.demo import paint

    made = paint(
        paths[content],
        paths[style],
        out,
        size=size,
        follow=lambda events, mailbox: watch(events, mailbox, [], quiet=False),
    )
    typer.echo(f"done in {time.perf_counter() - began:.0f} s; files:")
    for what, path in made.items():
        typer.echo(f"  {what:12s} {path}")
