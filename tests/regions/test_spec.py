"""What the person wants where: read from text and objects, kept as data, refused clearly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError, OptionError
from impasto.regions.blend import blend_of, parse_numbers
from impasto.regions.command_line import as_words
from impasto.regions.spec import (
    RegionSpec,
    check_count,
    parse_regions,
    require_picture,
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "sky.png", "ground.png", "half.png", "a@2x.png"):
        Image.fromarray(np.full((8, 8), 200, np.uint8)).save(name)
    return tmp_path


PICTURE = np.full((8, 8, 3), 0.5, np.float32)
MASK = np.ones((8, 8), np.float32)


def test_one_style_is_plain(files: Path) -> None:
    found = parse_regions("a.png")
    assert found.is_plain
    assert list(found.pictures) == ["style"]
    assert not parse_regions("a.png", protect="faces").is_plain
    assert not parse_regions("a.png,scale=0.5").is_plain


def test_styles_have_masks_and_settings(files: Path) -> None:
    found = parse_regions(["a.png@half.png,scale=0.5,rotate=-30", "b.png#0,0,4,4"])
    first, second = found.styles
    assert (first.style, first.style_mask, first.scale, first.rotate) == ("style", "style mask", 0.5, -30.0)
    assert (second.style, second.style_mask, second.scale) == ("style 2", None, None)
    assert found.pictures["style 2"].crop == (0, 0, 4, 4)
    assert parse_regions("a@2x.png").styles[0].style_mask is None  # a file of that name comes before a mask


def test_regions_have_names_masks_and_settings(files: Path) -> None:
    found = parse_regions("b.png", regions=["sky.png=a.png@half.png,strength=0.8,color=content", "ground.png=b.png"])
    rest, sky, ground = found.styles
    assert rest.region is None
    assert (sky.region, sky.mask, sky.style, sky.strength, sky.color) == (
        "sky",
        "mask sky",
        "style sky",
        0.8,
        "content",
    )
    assert sky.style_mask == "style sky mask"
    assert ground.region == "ground"
    assert set(found.pictures) == {"style", "mask sky", "style sky", "style sky mask", "mask ground", "style ground"}


def test_names_of_regions_are_not_those_of_styles(files: Path) -> None:
    for name in ("2.png", "mask.png"):
        Image.fromarray(np.full((8, 8), 100, np.uint8)).save(name)
    blend = parse_regions(["a.png", "b.png"], regions=["2.png=ground.png"])
    assert [blend.pictures[style.style].name for style in blend.styles] == ["a.png", "b.png", "ground.png"]
    masked = parse_regions("a.png@half.png", regions=["mask.png=b.png"])
    assert masked.pictures["style mask"].name == "half.png"
    assert masked.pictures[masked.styles[1].style].name == "b.png"


def test_regions_as_objects() -> None:
    mapping = {"mask": MASK, "style": PICTURE, "name": "sky", "strength": 0.3, "rotate": 90}
    for regions in ([(MASK, PICTURE), mapping], [(MASK > 0, {"style": PICTURE}), mapping]):
        first, second = parse_regions(None, regions=regions).styles
        assert (first.region, second.region, second.strength, second.rotate) == ("region", "sky", 0.3, 90.0)
    assert parse_regions(None, regions=[(MASK, PICTURE)] * 2).styles[1].region == "region2"


def test_a_placement_survives_its_record(files: Path) -> None:
    found = parse_regions("b.png,scale=2", regions=["sky.png=a.png@half.png,strength=0.8"], protect="half.png")
    again = RegionSpec.from_data(json.loads(json.dumps(found.as_data())), found.pictures)
    assert again == found
    labels = parse_regions("a.png", labels=("sky.png", "ground.png"))
    assert RegionSpec.from_data(labels.as_data(), labels.pictures) == labels


def test_a_placement_as_words(files: Path) -> None:
    found = parse_regions(["b.png,scale=2", "a.png"], regions=["sky.png=a.png@half.png,strength=0.8"], protect="faces")
    words = as_words(found.as_data(), {part: picture.name for part, picture in found.pictures.items()})
    assert words == [
        "b.png,scale=2", "a.png", "--region", "sky.png=a.png@half.png,strength=0.8", "--protect", "faces",
    ]  # fmt: skip
    labels = parse_regions("a.png", labels=("sky.png", "ground.png"))
    words = as_words(labels.as_data(), {part: picture.name for part, picture in labels.pictures.items()})
    assert words == ["a.png", "--labels", "sky.png", "ground.png"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"style": None}, "no style: pass a painting"),
    ({"style": "a.png", "regions": ["sky.png"]}, "region 'sky.png' cannot be parsed: write MASK=PAINTING"),
    ({"style": "a.png", "regions": [3]}, "pass a mask and a style"),
    ({"style": "a.png", "regions": [{"mask": MASK}]}, "a region needs a mask and a style"),
    ({"style": "a.png", "regions": [{"mask": MASK, "style": "a.png", "size": 3}]}, "has no setting 'size'"),
    ({"style": {"style": "a.png", "color": "match"}}, "a style has no setting 'color'"),
    ({"style": "a.png,scal=0.5"}, "unknown setting 'scal'; did you mean 'scale'"),
    ({"style": "a.png,scale=9"}, "scale of style is '9'; it must be between 0.05 and 8"),
    ({"style": "a.png,scale=x"}, "scale of style is 'x'"),
    ({"style": "a.png,strength=0.5"}, "a style has no strength"),
    ({"style": "a.png@"}, "write PAINTING@MASK"),
    ({"style": None, "regions": ["sky.png=a.png,color=blue"]}, "color of sky is 'blue'; choose from: content"),
    ({"style": "a.png", "labels": ("sky.png",)}, "labels must be two images"),
    ({"style": "a.png", "labels": "sky.png"}, "labels must be two images"),
    (
        {"style": "a.png", "labels": ("sky.png", "sky.png"), "regions": ["sky.png=a.png"]},
        "labels and regions cannot be combined",
    ),
    ({"style": ["a.png", "b.png"], "labels": ("sky.png", "sky.png")}, "labels divide a single style"),
]


@pytest.mark.parametrize(("wish", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_placed_is_refused(files: Path, wish: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_regions(**wish)
    assert message in str(caught.value)
    assert caught.value.option is not None


def test_a_missing_file_is_named(files: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        parse_regions(None, regions=["nowhere.png=a.png"])
    with pytest.raises(ImageError, match="'style sky' of the regions is missing"):
        require_picture({}, "style sky")


def test_numbers_by_style() -> None:
    assert parse_numbers("1,0.5", "style_scales", 2) == [1.0, 0.5]
    assert blend_of("2,1,1", 3) == [0.5, 0.25, 0.25]
    assert blend_of(None, 4) == [0.25] * 4
    for text, message in {
        "0.7;0.3": "use comma-separated numbers",
        "1": "has 1 numbers for 2 styles",
        "1,-1": "each number must be at least 0",
        "1,nan": "each number must be at least 0",
        "0,0": "at least one number must be above 0",
    }.items():
        with pytest.raises(OptionError, match=message):
            blend_of(text, 2)
    with pytest.raises(OptionError, match="each number must be between 0.05 and 8"):
        parse_numbers("9,1", "style_scales", 2, low=0.05, high=8)


def test_too_many_regions_are_refused() -> None:
    check_count(32)
    with pytest.raises(OptionError, match="50 regions with different styles or settings exceed the maximum of 32"):
        check_count(50)
