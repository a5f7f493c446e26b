"""A contact sheet: every image is on it, in its place."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.imaging import contact_sheet


def flat(value: float, height: int = 30, width: int = 40) -> contact_sheet.Pixels:
    return np.full((height, width, 3), value, np.float32)


def levels(value: float) -> int:
    return int(value * 255 + 0.5)


def test_every_picture_is_there_whole() -> None:
    drawn = contact_sheet.draw([[flat(0.1), flat(0.2)], [flat(0.3), flat(0.4)]], ["a", "b"], ["one", "two"])
    for value in (0.1, 0.2, 0.3, 0.4):
        assert int((drawn == levels(value)).all(2).sum()) >= 30 * 40


def test_rows_go_down_and_columns_to_the_right() -> None:
    drawn = contact_sheet.draw([[flat(0.1), flat(0.2)], [flat(0.3), flat(0.4)]], ["a", "b"], ["one", "two"])
    middle = {v: np.argwhere((drawn == levels(v)).all(2)).mean(0) for v in (0.1, 0.2, 0.3)}
    assert middle[0.2][1] > middle[0.1][1]
    assert middle[0.3][0] > middle[0.1][0]


def test_a_larger_picture_keeps_its_shape() -> None:
    drawn = contact_sheet.draw([[flat(0.1), flat(0.7, 60, 40)]], [""], ["", ""])
    rows, columns = np.nonzero((drawn == levels(0.7)).all(2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (60, 40)


def test_an_empty_place_is_paper() -> None:
    drawn = contact_sheet.draw([[flat(0.1), None]], [""], ["", ""])
    assert (drawn[:, -20:] == contact_sheet.PAPER).all()


@pytest.mark.parametrize("captions", [(), [["relu4_2"]]])
def test_labels_are_ink_and_captions_need_room(captions: list[list[str]]) -> None:
    drawn = contact_sheet.draw([[flat(0.5)]], ["strength 0.5"], ["relu1_1+relu2_1+relu3_1"], captions)
    bare = contact_sheet.draw([[flat(0.5)]], [""], [""])
    assert drawn.shape[1] > bare.shape[1]
    assert int((drawn.max(2) < 60).sum()) > 20
    taller = contact_sheet.draw([[flat(0.5)]], ["strength 0.5"], ["relu1_1+relu2_1+relu3_1"], [["x"]])
    assert (taller.shape[0] > drawn.shape[0]) == (not captions)
