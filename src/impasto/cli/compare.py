"""``impasto compare`` and ``impasto texture``: recipes side by side, and the style alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from impasto.cli.flags import with_options
from impasto.cli.progress import watch
from impasto.errors import OptionError
from impasto.events import Mailbox

SEVERAL = "impasto,gatys2016,wasserstein,sliced"
CELL = 16  # px that opposite edges of a seamless picture must be a multiple of, for the poolings to meet


@with_options
def compare(
    content: str = typer.Argument(..., help="Photograph to repaint."),
    style: str = typer.Argument(..., help="Painting: how it is painted."),
    recipes: str = typer.Option(
        SEVERAL, "--recipes", metavar="NAME,...", help="Which; NAME@published takes the steps of its source."
    ),
    output: Path = typer.Option(Path("comparison"), "--output", "-o", help="Folder for the sheet and its pictures."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
    **options: Any,
) -> None:
    """Paint one picture a recipe and draw them side by side, with time and evaluation under each."""
    from rich.console import Console

    from impasto.workflows.compare import SHEET, iter_compare, plan

    planned = plan(recipes, **options)
    with Console(stderr=True).status("preparing", spinner="line") as status:
        for number, entry in enumerate(iter_compare(content, style, planned, output), start=1):
            if number == 1 and entry.note:
                typer.echo(f"note: {entry.note}", err=True)
            measures = "".join(f"  {name} {value:.3f}" for name, value in entry.measures.items())
            typer.echo(f"{entry.name:22s} {entry.seconds:6.1f} s  {entry.result.steps:5d} steps{measures}")
            if not quiet:
                status.update(f"{number} of {len(planned)} recipes are done")
    typer.echo(output / SHEET)


@with_options
def texture(
    style: str = typer.Argument(..., help="Painting or pattern."),
    output: str = typer.Option("texture.png", "--output", "-o", help="Where to save."),
    width: int = typer.Option(512, "--width", min=16, help="Of the texture, px."),
    height: int = typer.Option(512, "--height", min=16, help="Of the texture, px."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
    **options: Any,
) -> None:
    """Make a picture of any size out of a style alone; with --seamless it tiles."""
    if options.get("seamless") and (width % CELL or height % CELL):
        near = " by ".join(str(max(CELL, round(side / CELL) * CELL)) for side in (width, height))
        raise OptionError(
            f"a seamless texture needs sides that are multiples of {CELL} px, and this is {width} by {height}: "
            f"give {near}",
            "width",
        )
    if options.pop("size", None) is not None:
        raise OptionError("a texture's size is --width and --height: omit --size", "size")
    import numpy as np

    from impasto.api import iter_stylize

    blank = np.full((height, width, 3), 0.5, np.float32)
    options["recipe"] = options.get("recipe") or "texture"
    mailbox = Mailbox()
    events = iter_stylize(blank, style, output=output, mailbox=mailbox, size=str(max(width, height)), **options)
    watch(events, mailbox, [], quiet)
