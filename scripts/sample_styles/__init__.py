"""The sample styles: images that this project paints itself, so that it can ship them.

``STYLES`` maps a name to its painter: ``(long_side, seed) -> [H, W, 3]`` uint8, sRGB.
"""

from __future__ import annotations

from collections.abc import Callable

from sample_styles.blue_swirls import blue_swirls
from sample_styles.brush import Bytes
from sample_styles.ember_dabs import ember_dabs
from sample_styles.hatched_ink import hatched_ink

STYLES: dict[str, Callable[..., Bytes]] = {
    "blue_swirls": blue_swirls,
    "hatched_ink": hatched_ink,
    "ember_dabs": ember_dabs,
}
