"""``impasto stylize`` and ``impasto demo``: the commands that paint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import typer

from impasto.cli.distributed import follow, together
from impasto.cli.flags import QUIET, with_options
from impasto.cli.progress import watch
from impasto.cli.recording import Recording
from impasto.cli.target import Target, default_name
from impasto.errors import OptionError, suggest
from impasto.events import Mailbox
from impasto.files import folder_for
from impasto.options.option_fields import OptionFields

FACE_MODES = ("keep", "recognizable", "paint")
# What `--faces recognizable` stands for: mask, scale of the strokes and strength.
RECOGNIZABLE = (("faces", 0.5, 0.3), ("facial-features", 0.5, 0.2))
REGION = typer.Option(
    None,
    "--region",
    metavar="MASK=STYLE",
    help="Use a separate painting for the white area of a mask: sky.png=a.jpg, optionally followed by "
    ",strength=0.8 ,color=content ,scale=0.5 ,rotate=45. Repeatable.",
)
PROTECT = typer.Option(
    None, "--protect", metavar="MASK", help="Keep the white area of a mask unchanged, such as faces."
)
STYLE_ONLY = typer.Option(
    None, "--style-only", metavar="MASK", help="Paint only the white area of a mask, such as background."
)
PAIR = typer.Option(
    None, "--pair", metavar="auto", help="Pair similar parts of the photograph and the painting, such as sky with sky."
)
FACES = typer.Option(
    None,
    "--faces",
    metavar="keep|recognizable|paint",
    help="Keep faces unchanged, paint them recognizably with finer strokes, or paint them like the rest (default).",
)
SELECT = typer.Option(
    None,
    "--select",
    metavar="X,Y[+X,Y][-X,Y]",
    help="Paint only what is at a point, from 0,0 (top left) to 1,1; + adds another point, - removes one.",
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
    protect: str | None = PROTECT,
    style_only: str | None = STYLE_ONLY,
    select: str | None = SELECT,
    like: Path | None = LIKE,
    pair: str | None = PAIR,
    faces: str | None = FACES,
    *,
    target: Target,
    recording: Recording,
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the estimated time and memory, then exit."),
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Repaint CONTENT in the style of STYLE."""
    began = time.perf_counter() - _age()
    placed: dict[str, Any] = {"regions": region or (), "labels": _labels(labels, pair), "protect": protect}
    placed |= faces_as_regions(faces, styles or (), placed)
    placed["style_only"] = _style_only(style_only, select)
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


def faces_as_regions(mode: str | None, styles: Sequence[str], placed: dict[str, Any]) -> dict[str, Any]:
    """Return the regions and the protection that a mode of ``--faces`` stands for."""
    if mode in (None, "paint"):
        return {}
    if mode not in FACE_MODES:
        raise OptionError(f"--faces is {mode!r}; {suggest(str(mode), FACE_MODES)}", "faces")
    if mode == "keep":
        if placed["protect"] is not None:
            raise OptionError("--faces keep and --protect are both given: choose one", "faces")
        return {"protect": "faces"}
    if len(styles) != 1 or placed["labels"] is not None:
        raise OptionError("--faces recognizable needs one painting, and neither --labels nor --pair", "faces")
    finer = [f"{name}={styles[0]},scale={scale},strength={strength}" for name, scale, strength in RECOGNIZABLE]
    return {"regions": [*placed["regions"], *finer]}


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


def _labels(files: tuple[str, str] | None, pair: str | None) -> Any:
    """Return the label images, or that they are drawn."""
    if pair is None:
        return files
    if files is not None:
        raise OptionError("--labels and --pair are both given: choose one", "labels")
    if pair != "auto":
        raise OptionError(f"--pair is {pair!r}; it must be auto; see `impasto masks --pair PAINTING`", "pair")
    return pair


def _style_only(mask: str | None, places: str | None) -> str | None:
    """Return the mask of what is painted, by name, file or points."""
    if places is None:
        return mask
    from impasto.regions.segmentation.names import PLACES, parse_clicks

    if mask is not None:
        raise OptionError("--style-only and --select are both given: choose one", "select")
    if not parse_clicks(places):
        raise OptionError(f"--select is {places!r}; {PLACES}", "select")
    return places


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
