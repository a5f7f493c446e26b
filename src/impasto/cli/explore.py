"""``impasto explore``, ``evaluate`` and ``anatomy``: choose before the long run, judge after it, see what the
network sees."""

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
    content: str = typer.Argument(..., help="Photograph: what is to be seen."),
    styles: list[str] = typer.Argument(..., metavar="STYLE...", help="Paintings; several are the rows of the sheet."),
    axis: list[str] = typer.Option(
        [], "--axis", metavar="OPTION=VALUE,...", help="What varies, such as strength=0.2,0.5,0.8; once or twice."
    ),
    output: Path = typer.Option(
        Path("sheet"), "--output", "-o", help="Folder for the sheet, its cells and sheet.json."
    ),
    cold: bool = typer.Option(False, "--cold", help="Start every cell afresh instead of from its neighbour."),
    yes: bool = typer.Option(False, "--yes", help="Paint more than 100 cells."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
    **options: Any,
) -> None:
    """Paint one sheet of small pictures over one or two options; `impasto replay` makes a chosen one large."""
    began = time.perf_counter()
    from rich.console import Console

    from impasto.workflows.explore import CELLS, SHEET, axes_of, iter_explore

    axes = axes_of(axis, styles, cells_allowed=None if yes else 100)
    given = {name: value for name, value in options.items() if value is not None}
    with Console(stderr=True).status("preparing", spinner="line") as status:
        for cell in iter_explore(content, styles, axes, output, warm=not cold, **given):
            if not quiet:
                status.update(f"cell {cell.row},{cell.column} of {cell.count} cells is done")
    typer.echo(f"{output / SHEET}: {cell.count} cells in {time.perf_counter() - began:.0f} s")
    typer.echo(f"one of them large: impasto replay {output / CELLS} --cell 1,1 --size 1024")


def evaluate(
    outs: list[Path] = typer.Argument(..., metavar="OUT...", help="Pictures to judge."),
    content: str | None = typer.Option(None, "--content", help="What they should show. (default: from the record)"),
    style: str | None = typer.Option(None, "--style", help="How they should be painted. (default: from the record)"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Measure how much content and how much style is in pictures, by measures that were not optimised."""
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
                    f"{out.name} was painted from another {part} than {outs[0].name}: give --{part}, or judge them "
                    "one by one",
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
        typer.echo("* the best of these; no claim rests on what is marked `same network`")


@with_options
def anatomy(
    image: str = typer.Argument(..., help="Picture to take apart."),
    output: Path = typer.Option(Path("anatomy.png"), "--output", "-o", help="Where the sheet goes."),
    content_from: str = typer.Option(
        "relu1_2,relu2_2,relu3_2,relu4_2,relu5_2",
        "--content-from",
        metavar="LAYER,...",
        help="Content, layer by layer.",
    ),
    style_from: str = typer.Option(
        "relu1_1,relu2_1,relu3_1,relu4_1,relu5_1",
        "--style-from",
        metavar="LAYER,...",
        help="Style, growing sets of these.",
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
    **options: Any,
) -> None:
    """Show what the network keeps of a picture: its content from single layers, its style from growing sets."""
    began = time.perf_counter()
    from rich.console import Console

    from impasto.workflows.reconstruct import iter_anatomy

    given = {name: value for name, value in options.items() if value is not None}
    with Console(stderr=True).status("preparing", spinner="line") as status:
        for part in iter_anatomy(image, output, content_from.split(","), style_from.split(","), **given):
            if not quiet:
                status.update(f"{part.kind} from {part.layers} is done, {part.number} of {part.count}")
    typer.echo(f"{output}: {part.count} reconstructions in {time.perf_counter() - began:.0f} s")
