"""Names of results."""

from __future__ import annotations

import pytest

from impasto.batch.naming import Namer, stem
from impasto.errors import OptionError


def test_the_template_and_the_tree_make_the_name() -> None:
    assert Namer().name("photos/trip/lake.jpg", ["waves.jpg"], "trip") == "trip/lake_waves.png"
    assert Namer("{style}/{number}-{content}.{ext}", "jpg").name("a.png", ["b.png"]) == "b/00001-a.jpg"


def test_two_photographs_of_one_name_have_two_results() -> None:
    namer = Namer()
    names = [namer.name(path, ["s.jpg"]) for path in ("a.jpg", "a.png", "x/a.png", "A.jpg")]
    assert names == ["a_s.png", "a-png_s.png", "a-png_s-2.png", "A-jpg_s.png"]


def test_a_result_never_has_the_name_of_a_photograph() -> None:
    assert Namer("{content}.{ext}", taken=["a.png"]).name("a.png", ["s.jpg"]) == "a-png.png"


def test_the_name_of_a_blend_has_all_styles() -> None:
    assert Namer().name("a.jpg", ["s.jpg", "t.jpg"]) == "a_s+t.png"
    assert Namer().name("a.jpg", []) == "a_painted.png"


@pytest.mark.parametrize("path", ["d/photo.jpg", "d/photo.jpg#1,2,30,40", "photo.jpg@mask.png"])
def test_a_stem_has_no_crop_and_no_mask(path: str) -> None:
    assert stem(path) == "photo"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{contents}.png", "has no field 'contents'; did you mean 'content'"),
        ("../{content}.png", "inside the output folder"),
        ("/{content}.png", "inside the output folder"),
        ("{content", "cannot be parsed"),
        ("{}.png", "has no field ''"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Namer(template)
