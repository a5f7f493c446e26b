"""``impasto masks``: the masks that names draw, as files to look at and to edit."""

from __future__ import annotations

from pathlib import Path

import typer

from impasto.files import folder_for


def masks(
    photo: str = typer.Argument(..., metavar="PHOTO", help="Photograph."),
    output: Path = typer.Option(Path("masks"), "--output", "-o", help="Folder for the masks."),
    select: list[str] | None = typer.Option(
        None,
        "--select",
        metavar="X,Y[+X,Y][-X,Y]",
        help="Also write what is at a point, from 0,0 (top left) to 1,1; + adds a point, - removes one. Repeatable.",
    ),
    pair: str | None = typer.Option(
        None, "--pair", metavar="PAINTING", help="Write the label images of the photograph and a painting instead."
    ),
) -> None:
    """Write the masks of a photograph: person, foreground, background, faces and sky, with an overview."""
    from impasto.workflows.masks import write_masks, write_pairs

    folder = folder_for(output, "output")
    lines = write_masks(photo, folder, select or ()) if pair is None else write_pairs(photo, pair, folder)
    for line in lines:
        typer.echo(line)
