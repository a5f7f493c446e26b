"""Masks by name: what is a name, what is a file, and what is said of a place that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from impasto.errors import OptionError
from impasto.regions.segmentation.names import MASK_NAMES, PRECEDENCE, drawn_name, parse_clicks


@pytest.mark.parametrize("text", [*MASK_NAMES, "0.42,0.31", "0.1,0.2+0.3,0.4-.5,1", "0, 1"])
def test_names_and_places_are_drawn(text: str) -> None:
    assert drawn_name(text) == text


@pytest.mark.parametrize(
    "mask", ["sky.png", "./sky", "mask", "", "0.4", "0.4,0.3,0.2", "0.4,0.3 0.5,0.5", Path("sky"), np.ones((2, 2))]
)
def test_files_and_arrays_are_not(mask: object) -> None:
    assert drawn_name(mask) is None


def test_places_are_added_and_removed() -> None:
    assert parse_clicks("0.1,0.2+0.3,0.4-.5,1") == [(0.1, 0.2, True), (0.3, 0.4, True), (0.5, 1.0, False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.4,1.2", r"the point 0.4,1.2 is outside the image: x and y must be between 0 and 1"),
        ("0.4,0.2+3,0", r"the point 3,0 is outside"),
        ("-0.4,0.2", r"begin with one that is removed"),
    ],
)
def test_places_outside_are_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as info:
        drawn_name(text)
    assert info.value.option == "select"


def test_every_name_has_a_place_in_the_order() -> None:
    assert sorted(PRECEDENCE) == sorted(MASK_NAMES)
