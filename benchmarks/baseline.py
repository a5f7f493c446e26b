"""The program that Impasto is raced against: pastiche 1.6.0, its command line, its loader and its objective.

In: a photograph and a painting. Out: the pictures that it saves over time, and the loss of any picture by its own
objective in float32, with the targets that its own loader makes. Nothing else in Impasto imports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import ImageError, MachineError

NAME, VERSION = "pastiche", "1.6.0"
ROOT = Path(__file__).resolve().parent.parent  # where ``benchmarks`` is found
STEPS = 1000  # its own default
PIXELS = 500**2  # likewise
SAVE_EVERY = 10  # likewise


@dataclass(frozen=True)
class Saved:
    """A picture on disk: after how many steps, and how many seconds after the process was started."""

    step: int
    seconds: float
    path: Path


def check() -> None:
    """Raise MachineError unless the peer is installed in the version that is meant."""
    try:
        found = metadata.version(NAME)
    except metadata.PackageNotFoundError:
        found = "absent"
    if found != VERSION:
        raise MachineError(f"{NAME} is {found} here, the race is against {VERSION}: pip install {NAME}=={VERSION}")


def load(content: Path, style: Path, size: int | None) -> tuple[Tensor, Tensor]:
    """Return both pictures as the peer reads them and brings them to size, ``[1, 3, H, W]`` in [0, 1].

    Args:
        content, style: files.
        size: long side of the content in px; 500 x 500 pixels in the content's shape if absent.

    Raises:
        ImageError: it cannot read one of them.
    """
    first = _read(content, pixels=PIXELS, size=size)
    second = _read(style, pixels=first.shape[-2] * first.shape[-1], size=None)
    return _as_rgb(first), _as_rgb(second)


def _read(path: Path, *, pixels: int | None, size: int | Sequence[int] | None) -> Tensor:
    from pastiche import pastiche

    try:
        with warnings.catch_warnings():  # it reads pixels in a way that Pillow is about to drop
            warnings.simplefilter("ignore", DeprecationWarning)
            picture: Tensor = pastiche.load_image(path, pixels=pixels, size=size)
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{NAME} cannot read {path} ({error}); give a JPEG or PNG file") from error
    return picture


def _as_rgb(picture: Tensor) -> Tensor:
    from pastiche import pastiche

    return ((picture + torch.tensor(pastiche.VGG_MEAN).view(1, 3, 1, 1)) / 255).flip(1)


class Ruler:
    """The peer's objective as a measure of pictures, in float32 on the CPU.

    Args:
        content, style: files; the targets are made of them as the peer makes them.
        size: as in ``load``.
    """

    def __init__(self, content: Path, style: Path, size: int | None) -> None:
        from pastiche import pastiche

        for path in (content, style):
            _read(path, pixels=None, size=16)  # says in one line what cannot be read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._artist = pastiche.PasticheArtist(
                str(content), [str(style)], device="cpu", size_pixels=PIXELS, size=size
            )
        self.size: tuple[int, int] = tuple(self._artist.content_size)

    def __call__(self, picture: Path) -> float:
        """Return the loss of a saved picture."""
        with torch.no_grad():
            self._artist.pastiche = _read(picture, pixels=None, size=self.size)
            return float(self._artist._calc_loss())


def command(content: Path, style: Path, folder: Path, size: int | None, steps: int | None) -> list[str]:
    """Return the peer's command line: all its defaults, but for the size where one is given."""
    line = [sys.executable, "-m", NAME, "--content", str(content), "--styles", str(style)]
    line += ["--output", str(folder / "final.png"), "--workspace", str(folder / "steps")]
    line += ["--device", "cpu"]
    line += [] if size is None else ["--size", str(size)]
    return line if steps is None else [*line, "--num-steps", str(steps)]


def timed(line: Sequence[str], pictures: Path, last: Saved | None = None) -> list[Saved]:
    """Run a command from a cold start and return the numbered pictures that it saved, in order.

    A picture's time is when its file was written, counted from the start of the process.

    Args:
        line: the command.
        pictures: the folder of ``0010.png`` and so on.
        last: a picture that the command saves at its end elsewhere, with its step; its seconds are not read.

    Raises:
        MachineError: the command failed, or saved nothing.
    """
    began = time.time()
    done = subprocess.run(
        line,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))},
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no word"]
        raise MachineError(f"{' '.join(line[1:4])} ended with status {done.returncode}: {said[-1]}")
    steps = {int(path.stem): path for path in sorted(pictures.glob("*.png"))}
    if last is not None:
        steps.setdefault(last.step, last.path)
    if not steps:
        raise MachineError(f"{' '.join(line[1:4])} saved no picture in {pictures}")
    return [Saved(step, path.stat().st_mtime - began, path) for step, path in sorted(steps.items())]
