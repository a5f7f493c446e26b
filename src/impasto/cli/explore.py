"""``impasto explore``, ``evaluate`` and ``anatomy``: compare settings, measure results, visualize features."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.cli.flags import with_options
from impasto.errors import OptionError, RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping


@with_options
def explore(
    content: str = typer.Argument(..., help="Photograph to repaint."),
    styles: list[str] = typer.Argument(
        ..., metavar="STYLE...", help="Paintings; with several, each is a row of the sheet."
    ),
    axis: list[str] = typer.Option(
        [], "--axis", metavar="OPTION=VALUE,...", help="Option to vary, such as strength=0.2,0.5,0.8; at most two."
    ),
    output: Path = typer.Option(
        Path("sheet"), "--output", "-o", help="Output folder for the sheet, its cells and sheet.json."
    ),
    cold: bool = typer.Option(False, "--cold", help="Start each cell from scratch instead of from its neighbor."),
    yes: bool = typer.Option(False, "--yes", help="Allow more than 100 cells."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
    **options: Any,
) -> None:
    """Paint a contact sheet over one or two options; `impasto replay` renders a cell at full size."""
    began = time.perf_counter()
    from rich.console import Console

    from impasto.workflows.explore import CELLS, SHEET, axes_of, iter_explore

    axes = axes_of(axis, styles, cells_allowed=None if yes else 100)
    given = {name: value for name, value in options.items() if value is not None}
    with Console(stderr=True).status("preparing", spinner="line") as status:
        for cell in iter_explore(content, styles, axes, output, warm=not cold, **given):
            if not quiet:
                status.update(f"cell {cell.row},{cell.column} of {cell.count} cells")
    typer.echo(f"{output / SHEET}: {cell.count} cells in {time.perf_counter() - began:.0f} s")
    typer.echo(f"render one at full size: impasto replay {output / CELLS} --cell 1,1 --size 1024")


def evaluate(
    outs: list[Path] = typer.Argument(..., metavar="OUT...", help="Images to evaluate."),
    content: str | None = typer.Option(None, "--content", help="Content image. (default: from the record)"),
    style: str | None = typer.Option(None, "--style", help="Style image. (default: from the record)"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Measure content and style of images with metrics that were not optimized."""
    from impasto.workflows.evaluate import Judge, table

    given = {part: place for part, place in (("content", content), ("style", style)) if place is not None}
    _check_alike(outs, given)
    places = _inputs_of(outs[0], given)
    judge = Judge(places["content"], places["style"])
    found = table({_shown(path, outs): judge(path) for path in outs})
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_measures(found)


def _check_alike(outs: list[Path], given: Mapping[str, str]) -> None:
    """Raise OptionError where pictures were painted from other inputs than the first, and nothing says which count."""
    from impasto.run import record

    missing = [part for part in ("content", "style") if part not in given]
    if len(outs) == 1 or not missing:
        return
    try:
        first = record.read(outs[0])["inputs"]
    except RecordError:
        return  # which is said when its inputs are looked for
    for out in outs[1:]:
        try:
            inputs = record.read(out)["inputs"]
        except RecordError:
            continue  # a picture without a record is judged beside the first
        for part in missing:
            if inputs[part]["sha256"] != first[part]["sha256"]:
                raise OptionError(
                    f"{out.name} was painted from another {part} than {outs[0].name}: give --{part}, or evaluate "
                    "them one by one",
                    part,
                )


def _inputs_of(out: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return content and style, from the picture's record where they are not given."""
    from impasto.run import record

    missing = [part for part in ("content", "style") if part not in given]
    if not missing:
        return dict(given)
    try:
        about = record.read(out)
    except RecordError as error:
        raise OptionError(f"give --content and --style: {error}", missing[0]) from error
    folders = (out.resolve().parent, Path.cwd())
    return {**given, **{part: record.find_input(about, part, None, folders) for part in missing}}


def _shown(path: Path, among: list[Path]) -> str:
    """Return a short name that tells a picture from the others."""
    return path.name if [other.name for other in among].count(path.name) == 1 else str(path)


def _print_measures(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    grid.add_column("measure")
    for row in found["rows"]:
        grid.add_column(row["name"], justify="right", overflow="fold")
    grid.add_column("better")
    several = len(found["rows"]) > 1
    for measure, about in found["measures"].items():
        best = found["best"][measure] if several else None
        cells = [f"{row[measure]:.4f}" + ("*" if row["name"] == best else " ") for row in found["rows"]]
        grid.add_row(measure, *cells, about["better"])
    Console(highlight=False).print(grid)
    for measure, about in found["measures"].items():
        typer.echo(f"{measure}: {about['meaning']}")
    if several:
        typer.echo("* best value; rows marked `same network` are not independent evidence")


@with_options
def anatomy(
    image: str = typer.Argument(..., help="Image to reconstruct."),
    output: Path = typer.Option(Path("anatomy.png"), "--output", "-o", help="Output file."),
    content_from: str = typer.Option(
        "relu1_2,relu2_2,relu3_2,relu4_2,relu5_2",
        "--content-from",
        metavar="LAYER,...",
        help="Layers whose content is reconstructed, one by one.",
    ),
    style_from: str = typer.Option(
        "relu1_1,relu2_1,relu3_1,relu4_1,relu5_1",
        "--style-from",
        metavar="LAYER,...",
        help="Layers whose style is reconstructed, in growing sets.",
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
    **options: Any,
) -> None:
    """Reconstruct an image from its features: content layer by layer, style from growing sets of layers."""
    began = time.perf_counter()
    from rich.console import Console

    from impasto.workflows.reconstruct import iter_anatomy

    given = {name: value for name, value in options.items() if value is not None}
    with Console(stderr=True).status("preparing", spinner="line") as status:
        for part in iter_anatomy(image, output, content_from.split(","), style_from.split(","), **given):
            if not quiet:
                status.update(f"{part.kind} from {part.layers} ({part.number} of {part.count})")
    typer.echo(f"{output}: {part.count} reconstructions in {time.perf_counter() - began:.0f} s")
