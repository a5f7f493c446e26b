"""Masks: loading, meeting, the layers, transparency, labels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.errors import ImageError, OptionError
from impasto.regions import masks

FP32 = 2**-24  # unit roundoff
ROUNDING = 1e-14  # of a few operations on numbers up to 1 in float64


def box(height: int, width: int, rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mask[..., rows, columns] = 1
    return mask


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_any_kind_of_picture_is_a_mask(tmp_path: Path, mode: str) -> None:
    values = np.zeros((40, 60), np.uint8)
    values[:, 30:] = 255
    picture = Image.fromarray(values)
    if mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16) * 257)
    elif mode != "L":
        picture = picture.convert(mode)
    picture.save(tmp_path / "mask.png")
    mask = masks.load_mask(tmp_path / "mask.png", (80, 120), "the mask")
    assert mask.shape == (1, 1, 40, 60)
    assert mask[..., :30].max() == 0
    assert mask[..., 30:].min() == 1


def test_arrays_and_alpha_are_masks() -> None:
    there = np.zeros((10, 10), bool)
    there[2:4] = True
    assert masks.load_mask(there, (10, 10), "m").sum() == 20
    soft = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    # A mask is the mean of three equal channels: two sums and a division in float32.
    assert torch.allclose(masks.load_mask(soft, (10, 10), "m")[0, 0], torch.from_numpy(soft), rtol=3 * FP32, atol=0)
    flat = np.zeros((10, 10, 4), np.uint8)
    flat[:5, :, 3] = 255
    assert masks.load_mask(flat, (10, 10), "m").sum() == 50


def test_a_mask_of_another_shape_is_refused() -> None:
    mask = np.ones((40, 60), np.float32)
    with pytest.raises(ImageError, match=r"60x40 px and its image 100x100: the aspect ratio differs by 50.0%"):
        masks.load_mask(mask, (100, 100), "the mask")
    with pytest.raises(ImageError, match="more than 1%"):
        masks.check_aspect((1000, 1015), (1000, 1000), "the mask")
    masks.check_aspect((1000, 1009), (1000, 1000), "the mask")
    masks.check_aspect((33, 50), (400, 600), "the mask")  # two thirds of 50 is 33.3: rounding


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ImageError, match="sky is zero everywhere"):
        masks.load_mask(np.zeros((4, 4), np.float32), (4, 4), "sky")


def test_masks_sum_to_one_where_they_meet() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = masks.share_out([torch.rand(1, 1, 6, 6, generator=generator, dtype=torch.float64) for _ in range(3)])
    assert (torch.cat(shares).sum(0) - 1).abs().max() < ROUNDING
    left, right = box(4, 8, slice(None), slice(0, 5)), 0.5 * box(4, 8, slice(None), slice(3, 7))
    one, other = masks.share_out([left, right])
    total = (one + other)[0, 0, 0]
    assert (total - torch.tensor([1.0, 1, 1, 1, 1, 0.5, 0.5, 0])).abs().max() < ROUNDING
    assert masks.share_out([]) == []


def test_sharing_does_not_depend_on_the_order() -> None:
    generator = torch.Generator().manual_seed(1)
    parts = [torch.rand(1, 1, 5, 5, generator=generator) for _ in range(2)]
    there, back = masks.share_out(parts), masks.share_out(parts[::-1])
    assert torch.equal(there[0], back[1])


def test_resized_masks_still_sum_to_one() -> None:
    left = box(50, 70, slice(None), slice(0, 33))
    total = masks.resize_mask(left, (21, 30)) + masks.resize_mask(1 - left, (21, 30))
    assert (total - 1).abs().max() < ROUNDING
    assert masks.resize_mask(left, (50, 70)) is left


def test_erosion_goes_on_beyond_the_edge() -> None:
    mask = box(9, 9, slice(0, 5), slice(None))
    eroded = masks.erode(mask, 2)
    assert torch.equal(eroded, box(9, 9, slice(0, 3), slice(None)))
    assert masks.erode(mask, 0) is mask


def test_layers_see_the_inside_of_a_mask() -> None:
    mask = box(64, 64, slice(None), slice(0, 32))
    maps = masks.layer_masks(mask, {"relu1_1": 1, "relu3_1": 4}, {"relu1_1": 1, "relu3_1": 18})
    assert maps["relu1_1"].shape == (1, 1, 64, 64)
    assert maps["relu3_1"].shape == (1, 1, 16, 16)
    assert maps["relu3_1"][..., :6].min() == 1
    assert maps["relu3_1"][..., 7:].max() == 0  # one cell is taken off for what lies across the edge
    assert 0 < maps["relu3_1"].sum() < 16 * 8


def test_a_small_region_is_not_eroded_away() -> None:
    mask = box(64, 64, slice(20, 26), slice(20, 26))
    maps = masks.layer_masks(mask, {"relu3_1": 4, "relu4_1": 8}, {"relu3_1": 40, "relu4_1": 100})
    assert all(found.sum() > 0 for found in maps.values())


def test_hidden_pixels_continue_the_visible_ones() -> None:
    picture = torch.zeros(1, 3, 33, 20, dtype=torch.float64)
    picture[..., :10] = 0.7
    picture[..., 10:] = torch.nan
    alpha = box(33, 20, slice(None), slice(0, 10))
    filled = masks.fill_hidden(torch.nan_to_num(picture, nan=123.0), alpha)
    assert (filled - 0.7).abs().max() < ROUNDING


def label_pictures() -> tuple[np.ndarray, np.ndarray]:
    content = np.zeros((40, 60, 3), np.uint8)
    content[:, 30:] = [255, 0, 0]
    style = np.zeros((30, 30, 3), np.uint8)
    style[:10] = [255, 0, 0]
    return content, style


def test_equal_colors_pair_up() -> None:
    pairs, notes = masks.pair_labels(*label_pictures(), (40, 60), (30, 30))
    assert notes == []
    found = {name: (float(there.sum()), float(here.sum())) for name, there, here in pairs}
    assert found == {"#000000": (1200, 600), "#ff0000": (1200, 300)}


def test_noise_is_snapped_and_counted() -> None:
    content, style = label_pictures()
    file = io.BytesIO()
    Image.fromarray(content).save(file, "JPEG", quality=70)
    noisy = np.asarray(Image.open(file))
    changed = int((noisy != content).any(-1).sum())
    assert changed > 0
    pairs, notes = masks.pair_labels(noisy, style, (40, 60), (30, 30))
    assert len(pairs) == 2
    assert "were given to the nearest of 2" in notes[0]
    assert int(notes[0].split()[0]) > 0
    clean, _ = masks.pair_labels(content, style, (40, 60), (30, 30))
    for (_, there, _), (_, wanted, _) in zip(sorted(pairs), sorted(clean), strict=True):
        assert (there - wanted).abs().mean() < 0.02


def test_near_equal_colors_of_a_palette_are_one_label(tmp_path: Path) -> None:
    content, style = label_pictures()
    content[:3, :30] = [6, 6, 6]
    Image.fromarray(content).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "labels.png")
    pairs, notes = masks.pair_labels(tmp_path / "labels.png", style, (40, 60), (30, 30))
    assert len(pairs) == 2
    assert notes[0].startswith("90 px of the content's label image")


def test_a_label_without_partner_is_refused() -> None:
    content, style = label_pictures()
    content[:5] = [0, 255, 0]
    with pytest.raises(OptionError, match=r"label #00ff00 of the content \(12.5% of it\) has no match") as caught:
        masks.pair_labels(content, style, (40, 60), (30, 30))
    assert caught.value.option == "labels"


def test_transparent_pixels_have_no_label() -> None:
    content, style = label_pictures()
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:5] = 0
    pairs, _ = masks.pair_labels(np.concatenate([content, alpha], -1), style, (40, 60), (30, 30))
    assert sum(float(there.sum()) for _, there, _ in pairs) == 35 * 60
    with pytest.raises(ImageError, match="transparent everywhere"):
        masks.pair_labels(np.concatenate([content, 0 * alpha], -1), style, (40, 60), (30, 30))


def test_white_without_a_match_takes_the_whole_style() -> None:
    content, style = np.full((40, 60, 3), 255, np.uint8), np.zeros((30, 30, 3), np.uint8)
    content[:, :20] = style[:10] = [200, 30, 30]
    pairs, notes = masks.pair_labels(content, style, (40, 60), (30, 30))
    assert not notes
    assert {name: (float(here.mean()), float(there.mean())) for name, here, there in pairs} == {
        "#ffffff": (pytest.approx(2 / 3), 1.0),
        "#c81e1e": (pytest.approx(1 / 3), pytest.approx(1 / 3)),
    }
