"""Output sizes.

A size is ``512`` (long side in px), ``1.5mp`` (area), ``full`` (that of the photograph), or ``36in``, ``90cm``,
``900mm`` (long side on paper, with a dpi), and becomes a ``(height, width)`` with the proportions of the image.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import overload

from impasto.errors import OptionError
from impasto.options.layer_names import SMALLEST_SIDE

FORMS = "512 (long side in px), 1.5mp, full, or 36in, 90cm, 900mm with --dpi"
LARGEST_SIDE = 1_000_000
_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(px|mp|in|cm|mm|)\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Size:
    """A requested size: ``long_side`` in px, ``area`` in px, or ``full``; ``dpi`` is stored in the file."""

    long_side: int | None = None
    area: int | None = None
    dpi: float | None = None
    full: bool = False

    def __post_init__(self) -> None:
        """Check that exactly one of them is set, and its range."""
        if (self.long_side is not None) + (self.area is not None) + self.full != 1:
            raise OptionError("size needs exactly one of a long side, an area or full", "size")
        if self.long_side is not None and not 1 <= self.long_side <= LARGEST_SIDE:
            raise OptionError(f"size {self.long_side} px is outside 1 to {LARGEST_SIDE}: use {FORMS}", "size")
        if self.area is not None and not 1 <= self.area <= LARGEST_SIDE**2:
            raise OptionError(f"an area of {self.area} px is outside 1 to {LARGEST_SIDE**2}: use {FORMS}", "size")

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """Return the requested size for an image of the given proportions.

        Args:
            height: height of the image in px, at least 1.
            width: width of the image in px, at least 1.

        Returns:
            ``(height, width)``, each at least 1 px; the long side is exact if it was requested.
        """
        if self.full:
            return height, width
        if self.long_side is not None:
            factor = self.long_side / max(height, width)
        else:
            assert self.area is not None
            factor = math.sqrt(self.area / (height * width))
        return max(1, round(height * factor)), max(1, round(width * factor))


@overload
def parse_size(text: None, dpi: float | None = None) -> None: ...


@overload
def parse_size(text: str | int | Size, dpi: float | None = None) -> Size: ...


def parse_size(text: str | int | Size | None, dpi: float | None = None) -> Size | None:
    """Parse a size.

    Args:
        text: ``512``, ``"1.5mp"``, ``"full"``, ``"36in"``, ``"90cm"``, ``"900mm"``, a ``Size`` (returned), or None
            (keep the size).
        dpi: dots per inch, needed for a size on paper.

    Returns:
        The size, or None for None.

    Raises:
        OptionError: not a size, not positive, too large, or a size on paper without dpi.
    """
    if dpi is not None and not (isinstance(dpi, (int, float)) and math.isfinite(dpi) and 1 <= dpi <= 100_000):
        raise OptionError(f"dpi is {dpi!r}; it must be between 1 and 100000", "dpi")
    if text is None or isinstance(text, Size):
        return text
    if isinstance(text, str) and text.strip().lower() == "full":
        return Size(dpi=dpi, full=True)
    match = None if isinstance(text, bool) else _PATTERN.fullmatch(str(text))
    if match is None:
        raise OptionError(f"size {text!r} is invalid: use {FORMS}", "size")
    number, unit = float(match[1]), match[2].lower()
    if unit == "mp":
        return _checked(text, area=number * 1e6, dpi=dpi)
    if unit in _INCHES:
        if dpi is None:
            raise OptionError(f"size {text!r} is a length on paper and needs dots per inch: add --dpi 300", "dpi")
        return _checked(text, long_side=number * _INCHES[unit] * dpi, dpi=dpi)
    if number < LARGEST_SIDE and number != int(number):
        raise OptionError(f"size {text!r} is not a whole number of px: use {FORMS}", "size")
    return _checked(text, long_side=number, dpi=dpi)


def canvas_size(picture: tuple[int, int], text: str | int | Size | None, dpi: float | None = None) -> tuple[int, int]:
    """Return the ``(height, width)`` of the canvas for an image of the given size.

    Raises:
        OptionError: as ``parse_size``, or the canvas is too small for the layers of the network.
    """
    requested = parse_size(text, dpi)
    height, width = picture if requested is None else requested.fit(*picture)
    if min(height, width) < SMALLEST_SIDE:
        raise OptionError(
            f"the image would be {width}x{height} px, too small for the layers; "
            f"every side needs {SMALLEST_SIDE} px: use a larger --size or a different image",
            "size",
        )
    return height, width


def _checked(text: object, *, long_side: float | None = None, area: float | None = None, dpi: float | None) -> Size:
    """Return the size rounded to whole px; raise OptionError outside the allowed range."""
    value, most = (long_side, LARGEST_SIDE) if long_side is not None else (area, LARGEST_SIDE**2)
    assert value is not None
    if not 0.5 < value < most + 0.5:
        raise OptionError(f"size {text!r} is {value:.6g} px, outside 1 to {most}: use {FORMS}", "size")
    pixels = max(1, round(value))
    return Size(pixels, None, dpi) if long_side is not None else Size(None, pixels, dpi)
