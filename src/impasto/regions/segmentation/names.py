"""The masks that have a name instead of a file: ``person``, ``sky``, or points to click on.

``0.42,0.31`` selects what is at 42 % of the width and 31 % of the height; ``0.42,0.31+0.5,0.6-0.1,0.9`` adds what is at
a second point and removes what is at a third.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from impasto.errors import OptionError

MaskName = Literal["person", "foreground", "background", "faces", "facial-features", "sky"]
MASK_NAMES: tuple[str, ...] = get_args(MaskName)
# A mask with a name earlier in this list takes its pixels from those later in it.
PRECEDENCE = ("facial-features", "faces", "person", "foreground", "sky", "background")

PLACES = "write points as 0.42,0.31 or 0.42,0.31+0.5,0.6-0.1,0.9"

_NUMBER = r"\d*\.?\d+"
_CLICK = re.compile(rf"\s*(?P<sign>[+-]?)\s*(?P<x>{_NUMBER})\s*,\s*(?P<y>{_NUMBER})\s*")

Click = tuple[float, float, bool]


def drawn_name(mask: object) -> str | None:
    """Return the name of a mask that is drawn automatically, or None for a file or an image.

    Raises:
        OptionError: it is a point outside the image.
    """
    if not isinstance(mask, str):
        return None
    text = mask.strip()
    return text if text in MASK_NAMES or parse_clicks(text) else None


def parse_clicks(text: str) -> list[Click]:
    """Return points as x, y and whether they are added, the first of them always; nothing if the text has another form.

    Raises:
        OptionError: a point is outside the image, or the first one is subtracted.
    """
    clicks: list[Click] = []
    position = 0
    while position < len(text):
        match = _CLICK.match(text, position)
        if match is None or (clicks and not match["sign"]):
            return []
        x, y, added = float(match["x"]), float(match["y"]), match["sign"] != "-"
        if not (x <= 1 and y <= 1):
            raise OptionError(
                f"the point {match['x']},{match['y']} is outside the image: x and y must be between 0 and 1, from "
                "the left and from the top",
                "select",
            )
        clicks.append((x, y, added))
        position = match.end()
    if clicks and not clicks[0][2]:
        raise OptionError(f"the points {text!r} begin with one that is removed: begin with one to select", "select")
    return clicks
