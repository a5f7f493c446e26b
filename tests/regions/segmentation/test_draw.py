"""Names in a spec become masks: their order, what is missing, and what the record keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from impasto.errors import OptionError
from impasto.imaging import images
from impasto.regions.command_line import as_words
from impasto.regions.segmentation import draw
from impasto.regions.segmentation.draw import draw_masks
from impasto.regions.segmentation.segmenter import mask_hash
from impasto.regions.spec import RegionSpec, parse_regions

PICTURE = np.full((24, 32, 3), 0.5, np.float32)


class Halves:
    """Stands for ``Segmenter``: a person on the left, whose face is the upper quarter; sky everywhere above."""

    faces = (1,)

    def __init__(self, pixels: Any) -> None:
        self.size = pixels.shape[:2]

    def mask(self, name: str) -> Any:
        mask = np.zeros(self.size, np.float32)
        rows, columns = self.size[0] // 2, self.size[1] // 2
        parts = {"person": np.s_[:, :columns], "faces": np.s_[:rows, :columns], "sky": np.s_[:rows]}
        if name not in parts:
            return None
        mask[parts[name]] = 1
        return mask

    def model(self, name: str) -> str:
        return f"model of {name}"


@pytest.fixture(autouse=True)
def halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "Segmenter", Halves)


def drawn(style: Any = None, **settings: Any) -> tuple[RegionSpec, list[str]]:
    return draw_masks(parse_regions(style, **settings), images.load(PICTURE))


def level(spec: RegionSpec, role: str) -> Any:
    return spec.mask(role).pixels[..., 0]


def test_without_names_nothing_is_drawn() -> None:
    spec = parse_regions(PICTURE)
    assert draw_masks(spec, images.load(PICTURE)) == (spec, [])


def test_the_more_specific_name_has_the_pixels() -> None:
    spec, notes = drawn(regions={"sky": PICTURE, "faces": PICTURE, "person": PICTURE})
    assert not notes
    face, person, sky = (level(spec, f"mask {name}") for name in ("faces", "person", "sky"))
    assert (face + person + sky).max() == 1
    assert face[:12, :16].min() == 1
    assert person[12:, :16].min() == 1
    assert person[:12].max() == 0
    assert sky[:12, 16:].min() == 1


def test_a_protection_keeps_its_overlap() -> None:
    spec, _ = drawn(regions={"person": PICTURE}, protect="faces")
    assert level(spec, "protect")[:12, :16].min() == 1
    assert level(spec, "mask person")[:, :16].min() == 1


def test_the_record_has_what_drew_a_mask_and_its_hash() -> None:
    spec, _ = drawn(PICTURE, style_only="sky")
    about = spec.as_data()["drawn"]["style only"]
    assert about == {"name": "sky", "model": "model of sky", "sha256": mask_hash(Halves(PICTURE).mask("sky"))}
    again, notes = draw_masks(RegionSpec.from_data(spec.as_data(), spec.pictures), images.load(PICTURE))
    assert again == spec
    assert not notes


def test_a_mask_that_came_out_otherwise_is_said() -> None:
    spec, _ = drawn(PICTURE, style_only="sky")
    data = spec.as_data()
    data["drawn"]["style only"]["sha256"] = "0" * 64
    _, notes = draw_masks(RegionSpec.from_data(data, spec.pictures), images.load(PICTURE))
    assert notes == ["the mask 'sky' differs from that of the recorded run, and so may the image"]


def test_a_region_of_what_is_not_there_is_left_out() -> None:
    spec, notes = drawn(PICTURE, regions={"foreground": PICTURE, "sky": PICTURE})
    assert [style.region for style in spec.styles] == [None, "sky"]
    assert notes == ["no foreground found in 'picture': its region is left out, and painted like the rest"]


@pytest.mark.parametrize(
    ("settings", "message", "option"),
    [
        ({"style": PICTURE, "protect": "foreground"}, "no foreground found in 'picture', so --protect", "protect"),
        ({"style": PICTURE, "style_only": "foreground"}, "so --style-only foreground cannot be applied", "style_only"),
        ({"regions": {"foreground": PICTURE}}, "and no other region is to be painted", "regions"),
        ({"style": {"style": PICTURE, "style_mask": "foreground"}}, "no foreground found in 'style'", "style"),
    ],
)
def test_what_was_asked_for_and_is_missing_is_refused(settings: dict[str, Any], message: str, option: str) -> None:
    with pytest.raises(OptionError, match=message) as info:
        drawn(**settings)
    assert info.value.option == option


def test_names_are_words_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images.save("a.png", PICTURE)
    spec = parse_regions("a.png@sky", regions=["0.2,0.3+0.4,0.4=a.png", "person=a.png"], protect="faces")
    assert [style.region for style in spec.styles] == [None, "selection", "person"]
    files = {role: picture.name for role, picture in spec.pictures.items()}
    assert as_words(spec.as_data(), files) == [
        "a.png@sky", "--region", "0.2,0.3+0.4,0.4=a.png", "--region", "person=a.png", "--protect", "faces",
    ]  # fmt: skip
    only = parse_regions("a.png", style_only="background")
    assert as_words(only.as_data(), {"style": "a.png"}) == ["a.png", "--style-only", "background"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"style": PICTURE, "labels": (PICTURE, PICTURE), "style_only": "sky"}, "labels and style_only cannot"),
        ({"style": None, "regions": {"sky": PICTURE}, "style_only": "sky"}, "needs a painting without a region"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_regions(**settings)


def test_alike_parts_become_labels() -> None:
    photo, painting = np.full((96, 128, 3), 0.2, np.float32), np.full((128, 96, 3), 0.3, np.float32)
    photo[:48], painting[:64] = (0.5, 0.7, 0.95), (0.55, 0.65, 0.9)
    noise = np.random.default_rng(0)
    photo[48:] += noise.normal(0, 0.15, (48, 128, 3)).astype(np.float32)
    painting[64:] += noise.normal(0, 0.15, (64, 96, 3)).astype(np.float32)
    spec, notes = draw_masks(parse_regions(painting.clip(0, 1), labels="auto"), images.load(photo.clip(0, 1)))
    assert not notes
    content, style = (spec.mask(role).pixels for role in ("labels content", "labels style"))
    top = content[20, content.shape[1] // 2]
    assert (style[: style.shape[0] // 3] == top).all(-1).mean() > 0.7  # the smooth upper halves belong together
    assert (style[-style.shape[0] // 3 :] == top).all(-1).mean() < 0.3
    assert as_words(spec.as_data(), {"style": "a.png"}) == ["a.png", "--pair", "auto"]
    again, notes = draw_masks(RegionSpec.from_data(spec.as_data(), spec.pictures), images.load(photo.clip(0, 1)))
    assert (again, notes) == (spec, [])
