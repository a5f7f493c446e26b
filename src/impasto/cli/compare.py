"""``impasto compare`` and ``impasto texture``: recipes side by side, and texture synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import typer

from impasto.cli.flags import QUIET, with_options
from impasto.cli.progress import status_line, watch
from impasto.cli.signals import stop_on_signal
from impasto.cli.target import FolderTarget, Target, joined
from impasto.errors import OptionError
from impasto.events import Mailbox
from impasto.options.option_fields import OptionFields

DEFAULT_RECIPES = "impasto,gatys2016,wasserstein,sliced"
CELL = 16  # px; the sides of a seamless image are multiples of this, so that all pooling windows align


@with_options
def compare(
    content: str = typer.Argument(..., metavar="CONTENT", help="Photograph to repaint."),
    style: str = typer.Argument(..., metavar="STYLE", help="Painting whose style is used."),
    recipes: str = typer.Option(
        DEFAULT_RECIPES,
        "--recipes",
        metavar="NAME,...",
        help="Recipes to run; NAME@published uses the published step count.",
    ),
    *,
    target: FolderTarget,
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Run recipes on the same inputs and show the results side by side, with time and metrics."""
    from impasto.workflows.compare import SHEET, iter_compare, plan

    planned = plan(recipes, **options)
    output = target.path(Path("comparison"), SHEET)
    mailbox = Mailbox()
    with status_line(quiet) as show, stop_on_signal(mailbox, "writing the sheet of the recipes so far"):
        for number, entry in enumerate(iter_compare(content, style, planned, output, mailbox=mailbox), start=1):
            if number == 1 and entry.note:
                typer.echo(f"note: {entry.note}", err=True)
            if number == 1:
                target.echo_replacing(output / SHEET)
            metrics = "".join(f"  {name} {value:.3f}" for name, value in entry.metrics.items())
            typer.echo(f"{entry.name:22s} {entry.seconds:6.1f} s  {entry.result.steps:5d} steps{metrics}")
            show(f"{number} of {len(planned)} recipes")
    typer.echo(output / SHEET)


@with_options
def texture(
    style: str = typer.Argument(..., metavar="STYLE", help="Painting or pattern."),
    width: int = typer.Option(512, "--width", min=16, help="Width in px; with --size, in proportion."),
    height: int = typer.Option(512, "--height", min=16, help="Height in px; with --size, in proportion."),
    *,
    target: Target,
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Synthesize a texture of any size from a style; --seamless makes it tileable."""
    if options.get("size") is not None:
        from impasto.options.sizes import parse_size

        height, width = parse_size(str(options["size"]), options.get("dpi")).fit(height, width)
    if options.get("seamless") and (width % CELL or height % CELL):
        near = " by ".join(str(max(CELL, round(side / CELL) * CELL)) for side in (width, height))
        raise OptionError(
            f"the sides of a seamless texture must be multiples of {CELL} px, and this is {width} by {height}: "
            f"use {near}",
            "width",
        )
    import numpy as np

    from impasto.api import iter_stylize

    blank = np.full((height, width, 3), 0.5, np.float32)
    options["recipe"] = options.get("recipe") or "texture"
    options["size"] = str(max(width, height))
    mailbox = Mailbox()
    output = target.path(joined([style, "texture"]))
    events = iter_stylize(blank, style, output=output, mailbox=mailbox, **options)
    watch(target.noting(events), mailbox, [], quiet)
