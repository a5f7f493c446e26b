"""The folder that a run is kept in: its flags, and what is refused; what would be written over."""

from __future__ import annotations

from pathlib import Path

import typer

from impasto.errors import OptionError

RUN_DIR = typer.Option(None, "--run-dir", help="Folder to keep the run in, for `impasto resume` after a crash.")
CHECKPOINT_EVERY = typer.Option(10.0, "--checkpoint-every", min=0.0, help="Seconds between two states kept.")


def check_film(film: Path | None, output: str | Path | None, *inputs: object) -> None:
    """Raise OptionError for a film that would take the place of the picture or of an input."""
    if film is None:
        return
    from impasto.imaging.images import split_crop

    taken = [split_crop(other)[0] for other in (output, *inputs) if isinstance(other, (str, Path))]
    if any(other.resolve() == film.resolve() for other in taken):
        raise OptionError(f"--timelapse {film} is the picture itself or an input: name another file", "timelapse")


def check_unused(run_dir: Path | None) -> None:
    """Raise OptionError for a folder that holds a run already."""
    if run_dir is not None and (run_dir / "run.json").exists():
        raise OptionError(
            f"--run-dir {run_dir} holds a run: impasto resume {run_dir}, or name another folder", "run_dir"
        )
