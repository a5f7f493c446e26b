"""``impasto masks``, and the flags of ``stylize`` that limit what is painted, or how, to parts of the content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from impasto.errors import OptionError, suggest
from impasto.files import folder_for
from impasto.options.declaration import option

FACE_MODES = ("keep", "recognizable", "paint")
# What `--faces recognizable` stands for: mask, scale of the strokes and strength.
RECOGNIZABLE = (("faces", 0.5, 0.3), ("facial-features", 0.5, 0.2))


@dataclass(frozen=True, kw_only=True)
class AreaFlags:
    """Which parts of the content are painted or protected."""

    protect: str | None = option(None, "keep the white area of a mask unchanged, such as faces", metavar="MASK")
    style_only: str | None = option(None, "paint only the white area of a mask, such as background", metavar="MASK")


@dataclass(frozen=True, kw_only=True)
class Masks(AreaFlags):
    """Which parts of the content are painted, protected or paired."""

    select: str | None = option(
        None,
        "paint only what is at a point, from 0,0 (top left) to 1,1; + adds another point, - removes one",
        metavar="X,Y[+X,Y][-X,Y]",
    )
    pair: str | None = option(
        None, "pair similar parts of the photograph and the painting, such as sky with sky", metavar="auto"
    )
    faces: str | None = option(
        None,
        "keep faces unchanged, paint them recognizably with finer strokes, or paint them like the rest (default)",
        metavar="keep|recognizable|paint",
    )

    def inputs(self, regions: Sequence[str], labels: tuple[str, str] | None, styles: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of ``api.Inputs`` that these flags stand for.

        Args:
            regions: as passed to ``--region``.
            labels: the two label images, if they are passed.
            styles: the paintings.

        Raises:
            OptionError: flags contradict each other, or a value cannot be parsed.
        """
        labels_or_pair = self._labels(labels)
        protect, finer = self.protect, list[str]()
        if self.faces not in (None, *FACE_MODES):
            raise OptionError(f"--faces is {self.faces!r}; {suggest(str(self.faces), FACE_MODES)}", "faces")
        if self.faces == "keep":
            if protect is not None:
                raise OptionError("--faces keep and --protect are both given: choose one", "faces")
            protect = "faces"
        elif self.faces == "recognizable":
            if len(styles) != 1 or labels_or_pair is not None:
                raise OptionError("--faces recognizable needs one painting, and neither --labels nor --pair", "faces")
            finer = [f"{name}={styles[0]},scale={scale},strength={weight}" for name, scale, weight in RECOGNIZABLE]
        return {
            "regions": [*regions, *finer],
            "labels": labels_or_pair,
            "protect": protect,
            "style_only": self._painted_area(),
        }

    def _labels(self, files: tuple[str, str] | None) -> tuple[str, str] | str | None:
        """Return the label images, or that they are drawn."""
        if self.pair is None:
            return files
        if files is not None:
            raise OptionError("--labels and --pair are both given: choose one", "labels")
        if self.pair != "auto":
            raise OptionError(f"--pair is {self.pair!r}; it must be auto; see `impasto masks --pair PAINTING`", "pair")
        return self.pair

    def _painted_area(self) -> str | None:
        """Return the mask of what is painted: a name, a file or points."""
        if self.select is None:
            return self.style_only
        from impasto.regions.segmentation.names import PLACES, parse_clicks

        if self.style_only is not None:
            raise OptionError("--style-only and --select are both given: choose one", "select")
        if not parse_clicks(self.select):
            raise OptionError(f"--select is {self.select!r}; {PLACES}", "select")
        return self.select


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
