"""The sample images: styles that this project painted, and photographs from scikit-image's wheel.

Samples are loaded or written by name. Nothing is downloaded. ``scripts/sample_styles`` paints the styles and
``scripts/paint_samples.py`` stores them here; the photographs are in the public domain (astronaut: NASA; coffee and the
cat: CC0, by Rachel Michetti and Stefan van der Walt).
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from impasto.errors import ImageError, OptionError, suggest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

StyleName = Literal["blue_swirls", "hatched_ink", "ember_dabs"]
PhotoName = Literal["astronaut", "coffee", "cat"]

STYLE_NAMES: tuple[str, ...] = get_args(StyleName)
PHOTO_NAMES: tuple[str, ...] = get_args(PhotoName)

_PHOTO_FILES = {"astronaut": "astronaut.png", "coffee": "coffee.png", "cat": "chelsea.png"}


def names() -> tuple[str, ...]:
    """Return the names of all samples, the styles first."""
    return STYLE_NAMES + PHOTO_NAMES


def _source(name: str) -> Traversable:
    """Return where a sample lies inside the installed packages."""
    if name in STYLE_NAMES:
        return files("impasto.imaging").joinpath("data", f"{name}.jpg")
    if name in _PHOTO_FILES:
        return files("skimage").joinpath("data", _PHOTO_FILES[name])
    raise OptionError(f"there is no sample {name!r}; {suggest(name, names())}", option="name")


def stored(name: str) -> tuple[str, bytes]:
    """Return a sample's file as it is: its suffix, for example ``.jpg``, and its bytes.

    Raises:
        OptionError: there is no sample of that name.
        ImageError: its file is missing.
    """
    source = _source(name)
    try:
        return Path(source.name).suffix, source.read_bytes()
    except OSError as exc:
        raise ImageError(f"the sample {name!r} is missing from this installation; reinstall impasto") from exc


def load(name: str) -> NDArray[np.uint8]:
    """Return a sample image.

    Args:
        name: one of ``names()``.

    Returns:
        ``[H, W, 3]`` uint8, sRGB.

    Raises:
        OptionError: there is no sample of that name.
        ImageError: its file is missing or damaged.
    """
    import cv2
    import numpy as np

    _, content = stored(name)
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ImageError(f"the sample {name!r} is damaged in this installation; reinstall impasto")
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)


def write(folder: str | Path) -> list[Path]:
    """Write every sample into a folder, which is created if needed; files of the same names are replaced.

    Args:
        folder: the output folder.

    Returns:
        The files written, in the order of ``names()``.

    Raises:
        ImageError: the folder cannot be created or written, or a sample is missing.
    """
    folder = Path(folder)
    written = []
    for name in names():
        suffix, content = stored(name)
        path = folder / f"{name}{suffix}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as exc:
            raise ImageError(f"cannot write samples to {folder}: {exc.strerror}; choose a writable folder") from exc
        written.append(path)
    return written
