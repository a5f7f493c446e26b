"""Former names of options, which files written by earlier versions contain.

Every stored form of options (records, checkpoints, user recipes, the studio's database, REST requests) is read through
``current_names``; only the current names are written. The command line and the Python API reject a former name and
state the current one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "apart": "per_layer_fraction",
    "recolour": "final_recolor",
    "anchor_weight": "color_anchor_weight",
    "photo_weight": "photorealism_weight",
    "speck_weight": "despeckle_weight",
}
"""The current name of an option by its former name."""


def current_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return option values under the current names of the options.

    Args:
        stored: values by flat name, as written by this or an earlier version.
    """
    return {RENAMED.get(name, name): value for name, value in stored.items()}
