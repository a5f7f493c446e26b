"""``impasto explore``, ``evaluate`` and ``reconstruct``: compare settings, measure results, visualize features."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import typer

from impasto.cli.flags import QUIET, default_note, with_options
from impasto.cli.progress import status_line
from impasto.cli.signals import stop_on_signal
from impasto.cli.target import FolderTarget, Target, joined
from impasto.errors import OptionError, RecordError
from impasto.events import Mailbox
from impasto.options.option_fields import OptionFields, passed

if TYPE_CHECKING:
    from collections.abc import Mapping


@with_options
def explore(
    content: str = typer.Argument(..., metavar="CONTENT", help="Photograph to repaint."),
    styles: list[str] = typer.Argument(
        ..., metavar="STYLE", help="Paintings; with several, each is a row of the contact sheet."
    ),
    axis: list[str] = typer.Option(
        [], "--axis", metavar="OPTION=VALUE,...", help="Option to vary, such as strength=0.2,0.5,0.8; at most two."
    ),
    cold: bool = typer.Option(False, "--cold", help="Start each cell from scratch instead of from its neighbor."),
    yes: bool = typer.Option(False, "--yes", help="Allow any number of cells."),
    *,
    target: FolderTarget,
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Render a contact sheet of results over one or two options; `impasto replay` renders a cell at full size."""
    began = time.perf_counter()
    from impasto.workflows.explore import CELLS, MAX_CELLS, SHEET, axes_of, iter_explore

    axes = axes_of(axis, styles, cells_allowed=None if yes else MAX_CELLS)
    output = target.path(Path("sheet"), SHEET)
    mailbox, done = Mailbox(), 0
    with status_line(quiet) as show, stop_on_signal(mailbox, "writing the contact sheet of the cells so far"):
        cells = iter_explore(content, styles, axes, output, warm=not cold, mailbox=mailbox, **passed(options))
        for cell in cells:
            if done == 0:
                target.echo_replacing(output / SHEET)
            done += 1
            show(f"cell {cell.row},{cell.column} of {cell.count} cells")
    cells_done = f"{done} cells" if done == cell.count else f"{done} of {cell.count} cells"
    typer.echo(f"{output / SHEET}: {cells_done} in {time.perf_counter() - began:.0f} s")
    words = ["impasto", "replay", str(output / CELLS), "--cell", "1,1", "--size", "1024"]
    typer.echo(f"render one at full size: {shlex.join(words)}")


def evaluate(
    outs: list[Path] = typer.Argument(..., metavar="IMAGE", help="Images to evaluate."),
    content: str | None = typer.Option(None, "--content", help=f"Content image. {default_note('from the record')}"),
    style: str | None = typer.Option(None, "--style", help=f"Style image. {default_note('from the record')}"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Measure content and style of images with metrics that were not optimized."""
    from impasto.workflows.evaluate import Evaluator, table

    given = {part: place for part, place in (("content", content), ("style", style)) if place is not None}
    _check_alike(outs, given)
    places = _inputs_of(outs[0], given)
    evaluator = Evaluator(places["content"], places["style"])
    found = table({_shown(path, outs): evaluator(path) for path in outs})
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_metrics(found)


def _check_alike(outs: list[Path], given: Mapping[str, str]) -> None:
    """Raise OptionError if images have different inputs in their records and none are given."""
    from impasto.run import record

    missing = [part for part in ("content", "style") if part not in given]
    if len(outs) == 1 or not missing:
        return
    try:
        first = record.read(outs[0])["inputs"]
    except RecordError:
        return  # reported when the inputs are searched
    for out in outs[1:]:
        try:
            inputs = record.read(out)["inputs"]
        except RecordError:
            continue  # an image without a record is evaluated with the inputs of the first
        for part in missing:
            if inputs[part]["sha256"] != first[part]["sha256"]:
                raise OptionError(
                    f"{out.name} and {outs[0].name} have a different {part}: pass --{part}, or evaluate them "
                    "one by one",
                    part,
                )


def _inputs_of(out: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the paths of content and style, from the record of the image if they are not given."""
    from impasto.run import record

    missing = [part for part in ("content", "style") if part not in given]
    if not missing:
        return dict(given)
    try:
        about = record.read(out)
    except RecordError as error:
        raise OptionError(f"pass --content and --style: {error}", missing[0]) from error
    folders = (out.resolve().parent, Path.cwd())
    return {**given, **{part: record.find_input(about, part, None, folders) for part in missing}}


def _shown(path: Path, among: list[Path]) -> str:
    """Return the file name of an image, or its path if two images have the same file name."""
    return path.name if [other.name for other in among].count(path.name) == 1 else str(path)


def _print_metrics(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    grid.add_column("metric")
    for row in found["rows"]:
        grid.add_column(row["name"], justify="right", overflow="fold")
    grid.add_column("better")
    several = len(found["rows"]) > 1
    for metric, about in found["metrics"].items():
        best = found["best"][metric] if several else None
        cells = [f"{row[metric]:.4f}" + ("*" if row["name"] == best else " ") for row in found["rows"]]
        grid.add_row(metric, *cells, about["better"])
    Console(highlight=False).print(grid)
    for metric, about in found["metrics"].items():
        typer.echo(f"{metric}: {about['meaning']}")
    if several:
        typer.echo("* best value; rows marked `same network` are not independent evidence")


@with_options
def reconstruct(
    image: str = typer.Argument(..., metavar="IMAGE", help="Image to reconstruct."),
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
        help="Layers whose style is reconstructed, in cumulative sets.",
    ),
    *,
    target: Target,
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Reconstruct an image from its features: content layer by layer, style from cumulative sets of layers."""
    began = time.perf_counter()
    from impasto.workflows.reconstruct import iter_reconstruct

    output = target.path(joined([image, "reconstruction"]))
    with status_line(quiet) as show:
        for part in iter_reconstruct(image, output, content_from.split(","), style_from.split(","), passed(options)):
            if part.number == 1:
                target.echo_replacing(output)
            show(f"{part.kind} from {part.layers} ({part.number} of {part.count})")
    typer.echo(f"{output}: {part.count} reconstructions in {time.perf_counter() - began:.0f} s")
