"""``impasto stylize`` and ``impasto demo``: the commands that paint."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import typer

from impasto.cli.distributed import follow, together
from impasto.cli.flags import QUIET, with_options
from impasto.cli.masks import Masks
from impasto.cli.progress import watch
from impasto.cli.recording import Recording
from impasto.cli.target import Target, default_name
from impasto.errors import OptionError, suggest
from impasto.events import Mailbox
from impasto.files import folder_for
from impasto.options.option_fields import OptionFields

REGION = typer.Option(
    None,
    "--region",
    metavar="MASK=STYLE",
    help="Use a separate painting for the white area of a mask: sky.png=a.jpg, optionally followed by "
    ",strength=0.8 ,color=content ,scale=0.5 ,rotate=45. Repeatable.",
)
LIKE = typer.Option(
    None,
    "--like",
    metavar="IMAGE",
    help="Use the paintings and options of a finished image; options given here override them.",
)


@with_options
def stylize(
    content: str = typer.Argument(..., metavar="CONTENT", help="Photograph to repaint."),
    styles: list[str] | None = typer.Argument(
        None,
        metavar="STYLE",
        help="Painting whose style is used. a.jpg#x,y,w,h crops it, a.jpg@mask.png uses the white part of a mask; "
        "several paintings are blended. Optional with --region.",
    ),
    region: list[str] | None = REGION,
    labels: tuple[str, str] | None = typer.Option(
        None,
        "--labels",
        metavar="CONTENT STYLE",
        help="Two label images, one for the content and one for the style: areas of equal color are paired.",
    ),
    like: Path | None = LIKE,
    *,
    masks: Masks,
    target: Target,
    recording: Recording,
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the estimated time and memory, then exit."),
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Repaint CONTENT in the style of STYLE."""
    began = time.perf_counter() - _age()
    placed = masks.inputs(region or [], labels, styles or [])
    if like is not None:
        styles, placed, options = _like(like, styles, placed, options)
    output = target.path(default_name(content, styles or (), region or (), options.get("model")))
    if dry_run:
        _print_estimate(content, styles or None, **placed, output=output, began=began, **options)
        return
    recording.check_paths(output, content, *(styles or ()))
    style = _style_for_report(styles, placed, options) if recording.report is not None else None
    from impasto.api import Inputs, iter_run

    mailbox = Mailbox()
    with together() as group:
        events = iter_run(
            Inputs(content, styles or None, **placed),
            options,
            output=output,
            monitor=recording.monitor(mailbox),
            checkpoints=recording.checkpoints(),
            started_at=began,
            group=group,
        )
        pictures: dict[str, Any] = {"content": content, "style": style}
        listeners = partial(recording.listeners, pictures.__getitem__)
        follow(group, target.noting(events), mailbox, listeners, quiet, recording.run_dir)


def _print_estimate(*inputs: Any, **arguments: Any) -> None:
    from impasto.workflows.estimate import forecast

    typer.echo("\n".join(forecast(*inputs, **arguments).lines()))


def _like(
    picture: Path, styles: list[str] | None, placed: dict[str, Any], options: OptionFields
) -> tuple[list[str] | None, dict[str, Any], OptionFields]:
    """Return the arguments of a run with those of a finished image where none are given."""
    from impasto.workflows.like import read_look

    look = read_look(picture)
    for note in look.notes:
        typer.echo(f"note: {note}", err=True)
    own = bool(styles or placed["regions"] or placed["labels"] or options.get("model"))
    options = look.with_changes(options, own_styles=own)
    if own:
        return styles, placed, options
    given = {name: value for name, value in placed.items() if value}
    return list(look.styles) or None, placed | look.placed | given, options


def _style_for_report(styles: list[str] | None, placed: dict[str, Any], options: OptionFields) -> Any:
    """Return the path of the first style, or its pixels if it is a crop, is masked or belongs to a region."""
    if styles and Path(styles[0]).exists():
        return styles[0]
    from impasto.imaging.images import MAX_PIXELS, DecodeLimits
    from impasto.regions.spec import parse_regions

    limits = DecodeLimits(options.get("max_pixels") or MAX_PIXELS)
    return parse_regions(styles, **placed, limits=limits).pictures["style"].pixels


def _age() -> float:
    """Return the age of this process in seconds; 0 where the system does not report it."""
    import os

    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0


def demo(
    output: Path = typer.Option(Path("demo"), "--output", "-o", help="Folder for the images."),
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
    output = folder_for(output, "output")
    paths = {path.stem: path for path in samples.write(output / "samples")}
    from impasto.workflows.demo import paint

    made = paint(
        paths[content],
        paths[style],
        output,
        size=size,
        follow=lambda events, mailbox: watch(events, mailbox, [], quiet=False),
    )
    typer.echo(f"done in {time.perf_counter() - began:.0f} s; files:")
    for what, path in made.items():
        typer.echo(f"  {what:12s} {path}")
