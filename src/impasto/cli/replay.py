"""``impasto replay`` and ``resume``: repeat a run from the record of its image, resume one from its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

import typer

from impasto.cli.distributed import follow, together
from impasto.cli.flags import QUIET, with_groups
from impasto.cli.recording import Recording
from impasto.cli.target import Target
from impasto.errors import ImageError, OptionError
from impasto.events import Mailbox
from impasto.options.declaration import option
from impasto.options.fields import declared
from impasto.options.option_fields import OptionFields

INPUT = typer.Option(
    [], "--input", metavar="ROLE=FILE", help="New path of any other input; `inspect` lists the roles. Repeatable."
)


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Where inputs are now."""

    content: str | None = option(None, "new path of the content, if it was moved", metavar="FILE")
    style: str | None = option(None, "new path of the style, if it was moved", metavar="FILE")
    init: str | None = option(None, "new path of the initial image, if it was moved", metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class Resize:
    """The size at which an image is rendered again."""

    size: str | None = option(None, "render at a different size", metavar="SIZE")
    dpi: float | None = option(None, "with --size in inches: dots per inch")
    memory: str | None = option(None, "with --size: memory limit, such as 6GiB", metavar="SIZE")


# Options that mean something else here: a different size keeps the composition, and --init is a moved file.
OWN = ("size", "dpi", "memory", "init")


@with_groups("recipe", *(item.name for item in declared() if item.name not in OWN))
def replay(
    picture: Path = typer.Argument(
        ..., metavar="IMAGE", help="Image written by Impasto, or sheet.json of a contact sheet."
    ),
    cell: str | None = typer.Option(None, "--cell", metavar="ROW,COLUMN", help="Cell of a contact sheet, from 1,1."),
    *,
    target: Target,
    resize: Resize,
    more_steps: int | None = typer.Option(None, "--more-steps", min=1, help="Continue the image for this many steps."),
    moved: Moved,
    inputs: list[str] = INPUT,
    recording: Recording,
    quiet: bool = QUIET,
    **changes: Unpack[OptionFields],
) -> None:
    """Reproduce an image from its embedded record, change some of its options, or continue optimizing it."""
    from impasto.workflows.replay import input_of, iter_replay, read_source

    given = _given(inputs, **asdict(moved))
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
            seed=changes.pop("seed", None),
            **asdict(resize),
            more_steps=more_steps,
            changes=changes,
            monitor=recording.monitor(mailbox),
            checkpoints=recording.checkpoints(),
            group=group,
        )
        listeners = partial(recording.listeners, partial(input_of, source))
        follow(group, target.noting(events), mailbox, listeners, quiet, recording.run_dir)


@with_groups()
def resume(
    run_dir: Path = typer.Argument(..., metavar="FOLDER", help="Folder passed to --run-dir."),
    *,
    moved: Moved,
    inputs: list[str] = INPUT,
    quiet: bool = QUIET,
) -> None:
    """Resume an interrupted run from its last checkpoint."""
    from impasto.run.state import Monitor
    from impasto.workflows.replay import iter_resume

    given = _given(inputs, **asdict(moved))
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
