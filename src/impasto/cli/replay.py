"""``impasto inspect``, ``replay`` and ``resume``: how a picture was made, once more, and on after a crash."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from impasto.cli.distributed import follow, together
from impasto.cli.progress import Listener
from impasto.cli.run_dir import CHECKPOINT_EVERY, RUN_DIR, check_film, check_unused
from impasto.errors import ImageError, OptionError
from impasto.events import Mailbox
from impasto.options.renamed import current_names

if TYPE_CHECKING:
    from impasto.workflows.replay import Source

CONTENT = typer.Option(None, "--content", help="Where the content is, if it moved.")
STYLE = typer.Option(None, "--style", help="Where the style is, if it moved.")
INPUT = typer.Option([], "--input", metavar="PART=FILE", help="Where any other input is; `inspect` names the parts.")
INIT = typer.Option(None, "--init", help="Where the picture that it started from is, if it moved.")
QUIET = typer.Option(False, "--quiet", "-q", help="Hide progress.")
TIMELAPSE = typer.Option(None, "--timelapse", help="Write a timelapse of the run: .mp4, .gif or .webp.")


def inspect(
    picture: Path = typer.Argument(..., help="A picture that impasto saved."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole record as JSON."),
) -> None:
    """Show how a picture was made."""
    import json

    from impasto.run import record
    from impasto.workflows.replay import as_command

    about = record.read(picture)
    if as_json:
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
        return
    typer.echo(as_command(about))
    for part, found in about["inputs"].items():
        typer.echo(f"{part + ':':10s} {found['name']}  sha256 {found['sha256']}")
    for title in ("versions", "decisions", "losses"):
        typer.echo(f"{title + ':':10s} " + ", ".join(f"{key} {value}" for key, value in about.get(title, {}).items()))
    how = "stopped after" if about.get("stopped") else "ran"
    typer.echo(f"steps:     {how} {about.get('steps')}")
    for entry in about["steering"]:
        told = entry.get("command") or ", ".join(f"{key} {value}" for key, value in entry["values"].items())
        typer.echo(f"  step {entry['step']}: {told}")
    for number, parent in enumerate(about["parents"], start=1):
        typer.echo(f"parent {number}: {as_command(parent)}")
    typer.echo(
        "options:   "
        + ", ".join(f"{key} {value}" for key, value in current_names(about["options"]).items() if value is not None)
    )


def replay(
    picture: Path = typer.Argument(..., help="A picture that impasto saved, or the JSON file of a sheet."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Where to save. (default: NAME-again)"),
    cell: str | None = typer.Option(None, "--cell", metavar="ROW,COLUMN", help="Which picture of a sheet, from 1,1."),
    size: str | None = typer.Option(None, "--size", help="Paint it at another size."),
    dpi: float | None = typer.Option(None, "--dpi", help="With --size in inches: pixels an inch."),
    memory: str | None = typer.Option(None, "--memory", help="With --size: how much memory that may take, as 6GiB."),
    seed: int | None = typer.Option(None, "--seed", min=0, help="Paint it with another seed."),
    more_steps: int | None = typer.Option(None, "--more-steps", min=1, help="Go on from it for so many steps."),
    content: str | None = CONTENT,
    style: str | None = STYLE,
    init: str | None = INIT,
    inputs: list[str] = INPUT,
    timelapse: Path | None = TIMELAPSE,
    report: Path | None = typer.Option(None, "--report", help="Folder for an HTML report of the run."),
    run_dir: Path | None = RUN_DIR,
    checkpoint_every: float = CHECKPOINT_EVERY,
    quiet: bool = QUIET,
) -> None:
    """Make a picture again from the record inside it, or go on from it."""
    from impasto.run.painter import CheckpointFolder
    from impasto.run.state import Monitor
    from impasto.workflows.replay import iter_replay, read_source

    given = _given(inputs, content=content, style=style, init=init)
    source = read_source(picture, _cell(cell), given)
    target = output if output is not None else _beside(picture, cell)
    if source.path is not None and target.exists() and source.path.exists() and target.samefile(source.path):
        raise ImageError(f"{str(target)!r} is the picture itself: name another file with -o")
    check_unused(run_dir)
    check_film(timelapse, target, source.path, *(given or {}).values())
    mailbox = Mailbox()
    with together() as group:
        events = iter_replay(
            source,
            target,
            seed=seed,
            size=size,
            dpi=dpi,
            memory=memory,
            more_steps=more_steps,
            monitor=Monitor(mailbox, 1 if timelapse or report else 0),
            checkpoints=None if run_dir is None else CheckpointFolder(run_dir, checkpoint_every),
            group=group,
        )
        follow(group, events, mailbox, partial(_listeners, source, timelapse, report), quiet)


def resume(
    run_dir: Path = typer.Argument(..., help="The folder that --run-dir named."),
    content: str | None = CONTENT,
    style: str | None = STYLE,
    init: str | None = INIT,
    inputs: list[str] = INPUT,
    quiet: bool = QUIET,
) -> None:
    """Go on with a run that was interrupted, from its last checkpoint."""
    from impasto.run.state import Monitor
    from impasto.workflows.replay import iter_resume

    given = _given(inputs, content=content, style=style, init=init)
    mailbox = Mailbox()
    with together() as group:
        events = iter_resume(run_dir, given=given, monitor=Monitor(mailbox), group=group)
        follow(group, events, mailbox, list, quiet)


def _listeners(source: Source, timelapse: Path | None, report: Path | None) -> list[Listener]:
    listeners: list[Listener] = []
    if timelapse is not None:
        from impasto.workflows.timelapse import Film

        listeners.append(Film(timelapse))
    if report is not None:
        from impasto.workflows.replay import input_of
        from impasto.workflows.report import Report

        listeners.append(Report(report, input_of(source, "content"), input_of(source, "style")))
    return listeners


def _given(inputs: list[str], **named: str | None) -> dict[str, str]:
    """Return where the person says that inputs are, by their part."""
    given = {part: place for part, place in named.items() if place}
    for entry in inputs:
        part, equals, place = entry.partition("=")
        if not equals or not part or not place:
            raise OptionError(f"--input {entry!r}: write PART=FILE, such as 'mask sky=sky.png'", "input")
        given[part] = place
    return given


def _cell(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    row, comma, column = text.partition(",")
    if not comma or not row.strip().isdigit() or not column.strip().isdigit():
        raise OptionError(f"--cell is {text!r}; give row and column from 1, such as 2,3", "cell")
    return int(row), int(column)


def _beside(picture: Path, cell: str | None) -> Path:
    """Return a name that says what it was made from; JPEG stays JPEG."""
    suffix = ".png" if picture.suffix.lower() == ".json" else picture.suffix
    which = f"-{cell.replace(',', '-')}" if cell else ""
    return picture.with_name(f"{picture.stem}{which}-again{suffix}")
