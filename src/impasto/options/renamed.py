"""Former names of options, which files written by earlier versions contain.

Every stored form of options (records, checkpoints, user recipes, the studio's database, REST requests) is read through
``current_names``; only the current names are written. The command line accepts a former name and prints a note; the
Python API rejects it and states the current one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

RENAMED = {
    "apart": "per_layer_fraction",
    "recolour": "final_recolor",
    "anchor_weight": "color_anchor_weight",
    "photo_weight": "photorealism_weight",
    "speck_weight": "despeckle_weight",
}
"""The current name of an option by its former name."""

RENAMED_TRAINING = {
    "side": "crop_size",
    "batch": "batch_size",
    "rate": "learning_rate",
    "leave_out": "hold_out",
    "check_every": "validate_every",
}
"""The same for the options of a training, which were also flags of ``impasto train``."""


def current_names(stored: Mapping[str, Value]) -> dict[str, Value]:
    """Return option values under the current names of the options.

    Args:
        stored: values by flat name, as written by this or an earlier version.
    """
    return {RENAMED.get(name, name): value for name, value in stored.items()}


def former_names(values: Mapping[str, Value], renamed: Mapping[str, str]) -> dict[str, Value]:
    """Return option values under the names that they had in the first version."""
    former = {new: old for old, new in renamed.items()}
    return {former.get(name, name): value for name, value in values.items()}
