"""Where a command writes its result: the default name, which counts up, and what happens to a file that exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from impasto.errors import OptionError
from impasto.events import Event, Warned
from impasto.options.declaration import option

if TYPE_CHECKING:
    from impasto.run.result import Result

LONGEST_PART = 60  # bytes of a file name that one input contributes; a name holds 255
MAX_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class Target:
    """The output of a command."""

    output: Path | None = option(
        None,
        "output file; its extension selects the format. Default: a name made from the names of the inputs, which "
        "counts up",
        short="-o",
    )
    no_clobber: bool = option(False, "refuse to replace an existing file")

    def path(self, default: Path, inside: str = "") -> Path:
        """Return the path to write.

        Args:
            default: the path if none is given; a number is added if it exists.
            inside: if the output is a folder, the file in it that is written.

        Raises:
            OptionError: the given file exists, and ``--no-clobber`` protects it.
        """
        if self.output is None:
            return free(default)
        if self.no_clobber and (self.output / inside).exists():
            raise OptionError(
                f"--output {self.output / inside} exists, and --no-clobber protects it: choose a different output",
                "output",
            )
        return self.output

    def noting(self, events: Iterator[Event[Result]]) -> Iterator[Event[Result]]:
        """Yield the events of a run, with a note if its output replaces a file."""
        replaced = self.output is not None and self.output.is_file()
        for number, event in enumerate(events):
            yield event
            if number == 0 and replaced and self.output is not None:  # the first event: the inputs are valid
                yield Warned(_replaces(self.output))

    def echo_replacing(self, path: Path) -> None:
        """Print a note on stderr if a file is replaced."""
        if path.is_file():
            typer.echo(f"note: {_replaces(path)}", err=True)


@dataclass(frozen=True, kw_only=True)
class FolderTarget(Target):
    """The output folder of a command that writes several files."""

    output: Path | None = option(None, "output folder. Default: a name with a number that counts up", short="-o")


def free(path: Path) -> Path:
    """Return a path, or the first of ``NAME-2``, ``NAME-3`` and so on that does not exist."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


def joined(parts: Iterable[object], suffix: str = ".png") -> Path:
    """Return a file name in the current folder made from the names of files.

    Args:
        parts: paths, with crop or mask as the command line accepts them; or words.
        suffix: extension of the name.
    """
    from impasto.regions.spec_text import style_file

    stems = [_shortened(style_file(str(part)).stem) for part in parts]
    return Path("_".join([stem for stem in stems if stem][:MAX_PARTS]) + suffix)


def default_name(content: str, styles: Sequence[str], regions: Sequence[str], model: str | None) -> Path:
    """Return the default output of ``stylize``: the names of content and styles, as in ``photo_painting.png``."""
    from impasto.regions.spec_text import split_region

    painted = [split_region(entry)[2] for entry in regions]
    return joined([content, *(styles or painted or ([model] if model else []))])


def _replaces(path: Path) -> str:
    return f"{str(path)!r} exists and is replaced; --no-clobber prevents this"


def _shortened(stem: str) -> str:
    """Return a name of at most ``LONGEST_PART`` bytes; no character is cut in half."""
    encoded = stem.encode("utf-8", "surrogateescape")
    if len(encoded) <= LONGEST_PART:
        return stem
    return encoded[:LONGEST_PART].decode("utf-8", "ignore")
