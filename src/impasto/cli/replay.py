"""``impasto inspect``, ``replay`` and ``resume``: show the record of an image, repeat a run, resume one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import typer

from impasto.cli.distributed import follow, together
from impasto.cli.flags import QUIET, with_groups
from impasto.cli.recording import Recording
from impasto.cli.target import Target
from impasto.errors import ImageError, OptionError
from impasto.events import Mailbox
from impasto.options.declaration import option
from impasto.options.renamed import current_names

CONTENT = typer.Option(None, "--content", metavar="FILE", help="New path of the content, if it was moved.")
STYLE = typer.Option(None, "--style", metavar="FILE", help="New path of the style, if it was moved.")
INIT = typer.Option(None, "--init", metavar="FILE", help="New path of the initial image, if it was moved.")
INPUT = typer.Option(
    [], "--input", metavar="ROLE=FILE", help="New path of any other input; `inspect` lists the roles. Repeatable."
)


@dataclass(frozen=True, kw_only=True)
class Resize:
    """The size at which an image is rendered again."""

    size: str | None = option(None, "render at a different size", metavar="SIZE")
    dpi: float | None = option(None, "with --size in inches: dots per inch")
    memory: str | None = option(None, "with --size: memory limit, such as 6GiB", metavar="SIZE")


def inspect(
    picture: Path = typer.Argument(..., metavar="IMAGE", help="Image written by Impasto."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole record as JSON."),
) -> None:
    """Show the command, inputs, options and losses of an image."""
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
    tables: dict[str, Mapping[str, object]] = {
        "versions": about.get("versions", {}),
        "decisions": about.get("decisions", {}),
        "losses": about.get("losses", {}),
    }
    for title, table in tables.items():
        typer.echo(f"{title + ':':10s} " + ", ".join(f"{key} {value}" for key, value in table.items()))
    how = "stopped after" if about.get("stopped") else "ran"
    typer.echo(f"steps:     {how} {about.get('steps')}")
    for entry in about["steering"]:
        shown = entry.get("command") or ", ".join(f"{key} {value}" for key, value in entry["values"].items())
        typer.echo(f"  step {entry['step']}: {shown}")
    for number, parent in enumerate(about["parents"], start=1):
        typer.echo(f"parent {number}: {as_command(parent)}")
    typer.echo(
        "options:   "
        + ", ".join(f"{key} {value}" for key, value in current_names(about["options"]).items() if value is not None)
    )


@with_groups()
def replay(
    picture: Path = typer.Argument(
        ..., metavar="IMAGE", help="Image written by Impasto, or sheet.json of a contact sheet."
    ),
    cell: str | None = typer.Option(None, "--cell", metavar="ROW,COLUMN", help="Cell of a contact sheet, from 1,1."),
    *,
    target: Target,
    resize: Resize,
    seed: int | None = typer.Option(None, "--seed", min=0, help="Use a different random seed."),
    more_steps: int | None = typer.Option(None, "--more-steps", min=1, help="Continue the image for this many steps."),
    content: str | None = CONTENT,
    style: str | None = STYLE,
    init: str | None = INIT,
    inputs: list[str] = INPUT,
    recording: Recording,
    quiet: bool = QUIET,
) -> None:
    """Reproduce an image from its embedded record, or continue optimizing it."""
    from impasto.run.state import Monitor
    from impasto.workflows.replay import input_of, iter_replay, read_source

    given = _given(inputs, content=content, style=style, init=init)
    source = read_source(picture, _cell(cell), given)
    output = target.path(_beside(picture, cell))
    if source.path is not None and output.exists() and source.path.exists() and output.samefile(source.path):
        raise ImageError(f"{str(output)!r} is the image itself: choose a different file with -o")
    recording.check_paths(output, source.path, *(given or {}).values())
    mailbox = Mailbox()
    with together() as group:
        events = iter_replay(
            source,
            output,
            seed=seed,
            **asdict(resize),
            more_steps=more_steps,
            monitor=Monitor(mailbox, recording.preview_every),
            checkpoints=recording.checkpoints(),
            group=group,
        )
        listeners = partial(recording.listeners, partial(input_of, source))
        follow(group, target.noting(events), mailbox, listeners, quiet, recording.run_dir)


def resume(
    run_dir: Path = typer.Argument(..., metavar="FOLDER", help="Folder passed to --run-dir."),
    content: str | None = CONTENT,
    style: str | None = STYLE,
    init: str | None = INIT,
    inputs: list[str] = INPUT,
    quiet: bool = QUIET,
) -> None:
    """Resume an interrupted run from its last checkpoint."""
    from impasto.run.state import Monitor
    from impasto.workflows.replay import iter_resume

    given = _given(inputs, content=content, style=style, init=init)
    mailbox = Mailbox()
    with together() as group:
        events = iter_resume(run_dir, given=given, monitor=Monitor(mailbox), group=group)
        follow(group, events, mailbox, list, quiet, run_dir)


def _given(inputs: list[str], **named: str | None) -> dict[str, str]:
    """Return the given paths of inputs, by role."""
    given = {part: place for part, place in named.items() if place}
    for entry in inputs:
        part, equals, place = entry.partition("=")
        if not equals or not part or not place:
            raise OptionError(f"--input {entry!r}: write ROLE=FILE, such as 'mask sky=sky.png'", "input")
        given[part] = place
    return given


def _cell(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    row, comma, column = text.partition(",")
    if not comma or not row.strip().isdigit() or not column.strip().isdigit():
        raise OptionError(f"--cell is {text!r}; write row,column, counted from 1, such as 2,3", "cell")
    return int(row), int(column)


def _beside(picture: Path, cell: str | None) -> Path:
    """Return the default output path, with the suffix of the image."""
    suffix = ".png" if picture.suffix.lower() == ".json" else picture.suffix
    which = f"-{cell.replace(',', '-')}" if cell else ""
    return picture.with_name(f"{picture.stem}{which}-again{suffix}")
