"""Properties of regions and blends, on small images and networks."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from impasto.api import last
from impasto.errors import ImageError, OptionError
from impasto.imaging.images import load, quantize
from impasto.objective.scale_objective import ScaleObjective
from impasto.options import recipes
from impasto.options.layer_names import BLOCKS
from impasto.regions.region_tensors import build_region_tensors
from impasto.regions.spec import parse_regions
from impasto.run.prepared_run import PreparedRun, prepare
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache
from runs import stylize

Pixels = NDArray[np.uint8]
SIZE = (64, 96)
ROUNDING = 1e-10  # of float64, relative to the largest value of a gradient
FEW: dict[str, Any] = {
    "size": 96,
    "scales": 1,
    "steps": 6,
    "threads": 1,
    "precision": "fp32",
    "style_layers": "relu1_1+relu2_1+relu3_1",
    "content_layers": "relu3_1",
}


def tiny_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    state, before = {}, 3
    for block, count in enumerate(BLOCKS["vgg19"], start=1):
        for index in range(1, count + 1):
            name = f"conv{block}_{index}"
            state[f"{name}.weight"] = torch.randn(8, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            state[f"{name}.bias"] = torch.zeros(8)
            before = 8
    return state


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    return TargetCache(state=tiny_state())


@pytest.fixture(scope="module")
def photo() -> NDArray[np.float32]:
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    x, y = columns / SIZE[1], rows / SIZE[0]
    picture = np.stack([0.3 + 0.5 * x, 0.5 + 0.3 * np.sin(9 * y), 0.7 - 0.5 * x * y], -1)
    picture[(np.hypot(x - 0.5, y - 0.5) < 0.25)] = [0.8, 0.3, 0.2]
    return quantize(picture, 8).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def paintings() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[0:72, 0:80]
    wave = 0.5 + 0.5 * np.sin(rows / 3 + 2 * np.sin(columns / 7))
    one = np.stack([0.1 + 0.2 * wave, 0.3 * wave, 0.4 + 0.5 * wave], -1) + 0.05 * rng.random((72, 80, 3))
    two = np.stack([0.9 * wave, 0.6 * (1 - wave), 0.1 + 0.1 * wave], -1)
    return [np.clip(p, 0, 1).astype(np.float32) for p in (one, two)]


def left(columns: int = 48, soft: int = 0) -> NDArray[np.float32]:
    ramp = np.clip((columns + soft / 2 - np.arange(SIZE[1])) / max(soft, 1), 0, 1)
    return np.tile(ramp.astype(np.float32), (SIZE[0], 1))


@pytest.fixture
def paint(cache: TargetCache, photo: NDArray[np.float32]) -> Any:
    def run(style: Any, content: Any = photo, **options: Any) -> Result:
        return stylize(content, style, cache=cache, **{**FEW, **options})

    return run


def in_float64(part: Any) -> Any:
    """Return a control, or what it is made of, with its images and masks in float64."""
    if isinstance(part, torch.Tensor):
        return part.double()
    if isinstance(part, tuple):
        return tuple(map(in_float64, part))
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{field.name: in_float64(getattr(part, field.name)) for field in fields(part)})
    return part


def scale_objective_of(
    cache: TargetCache, content: Any, style: Any, placed: dict[str, Any], **options: Any
) -> tuple[PreparedRun, ScaleObjective]:
    """Return a prepared run and the objective of its first scale in float64, where equal results differ by rounding
    only."""
    prepared = prepare(content, parse_regions(style, **placed), recipes.resolve(**{**FEW, **options}))
    prepared = replace(
        prepared, compute=replace(prepared.compute, dtype=torch.float64), tensors=in_float64(prepared.tensors)
    )
    cache.encoder(prepared).double()  # the first convolution with the others
    return prepared, cache.scale_objective(prepared, prepared.scales[0])


def evaluation_of(cache: TargetCache, content: Any, style: Any, canvas: Any = None, **options: Any) -> Any:
    placed = {key: options.pop(key) for key in ("regions", "labels", "protect") if key in options}
    _, scale_objective = scale_objective_of(cache, content, style, placed, **options)
    picture = scale_objective.content * 0.8 + 0.1 if canvas is None else canvas
    weights = {
        name: (ref if name.startswith("blend") else 1 / ref) for name, ref in scale_objective.normalizers.items()
    }
    return scale_objective.objective.evaluate(picture, {**weights, "tv": 0.0})


def same(one: Any, other: Any, tolerance: float = ROUNDING) -> bool:
    return bool((one.gradient - other.gradient).abs().max() <= tolerance * other.gradient.abs().max())


# Regions


def test_regions_of_one_style_are_one(cache: TargetCache, photo: Any, paintings: Any) -> None:
    plain = evaluation_of(cache, photo, paintings[0])
    halves = [(left(), paintings[0]), (1 - left(), paintings[0])]
    together = evaluation_of(cache, photo, None, regions=halves)
    assert same(together, plain)
    assert set(together.losses) == {"style", "content"}
    with_rest = evaluation_of(cache, photo, paintings[0], regions=halves[:1])
    assert same(with_rest, plain)
    soft = [(left(soft=10), paintings[0]), (1 - left(soft=10), paintings[0])]
    assert same(evaluation_of(cache, photo, None, regions=soft), plain)


def test_other_settings_keep_regions_apart(cache: TargetCache, photo: Any, paintings: Any) -> None:
    halves = [
        {"mask": left(), "style": paintings[0], "name": "a"},
        {"mask": 1 - left(), "style": paintings[0], "scale": 0.5},
    ]
    assert len(evaluation_of(cache, photo, None, regions=halves).losses) == 4


def test_order_of_regions_is_of_no_account(cache: TargetCache, photo: Any, paintings: Any) -> None:
    regions = [
        {"mask": left(40), "style": paintings[0], "name": "a"},
        {"mask": 1 - left(56), "style": paintings[1], "name": "b"},
        {"mask": left(60) * (1 - left(36)), "style": paintings[1], "name": "c", "strength": 0.8},
    ]
    one = evaluation_of(cache, photo, paintings[0][::-1], regions=regions)
    other = evaluation_of(cache, photo, paintings[0][::-1], regions=regions[::-1])
    assert torch.equal(one.gradient, other.gradient)
    assert one.losses == other.losses


def test_pixels_in_no_region_keep_the_content(paint: Any, photo: Any, paintings: Any) -> None:
    result = paint(None, regions=[(left(48), paintings[0])], strength=1.0, steps=12)
    assert np.abs(result.pixels[:, 48:] - photo[:, 48:]).max() < 0.5 / 255
    assert np.abs(result.pixels[:, :44] - photo[:, :44]).mean() > 10 / 255
    assert set(result.saved_losses) - {"tv"} == {"style:region"}  # a strength of 1 leaves the content out


def test_nothing_bleeds_over_a_soft_edge(paint: Any, photo: Any, paintings: Any) -> None:
    for options in ({"style": None}, {"style": None, "color": "content"}, {"style": None, "init": "random"}):
        result = paint(**options, regions=[(left(48, soft=8), paintings[0])], strength=1.0, steps=12)
        band = np.abs(result.pixels[:, 52:68].mean((0, 1)) - photo[:, 52:68].mean((0, 1)))
        assert band.max() < 2 / 255


@pytest.mark.slow
def test_neighbors_of_another_style_do_not_bleed(paint: Any, photo: Any, paintings: Any) -> None:
    alone = paint(None, regions=[(1 - left(), paintings[1])], steps=20)
    for other in (paintings[0], 1 - paintings[0]):
        both = paint(None, regions=[(left(), other), (1 - left(), paintings[1])], steps=20)
        inside = np.abs(both.pixels[:, 64:80].mean((0, 1)) - alone.pixels[:, 64:80].mean((0, 1)))
        assert inside.max() < 16 / 255  # far less than the two paintings differ, which is 100 levels and more


def test_tiles_change_nothing(cache: TargetCache, photo: Any, paintings: Any) -> None:
    # Flat places would leave the choice of a maximum to rounding.
    canvas = 0.1 + 0.8 * torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def at(tile: int | None) -> Any:
        return evaluation_of(
            cache, photo, paintings[0], canvas, regions=[(left(40, soft=6), paintings[1])], color="content",
            tile=tile, style_layers="relu1_1+relu2_1", content_layers="relu2_1",
        )  # fmt: skip

    assert same(at(64), at(None))


def test_a_style_mask_chooses_what_is_learned(cache: TargetCache, photo: Any, paintings: Any) -> None:
    joined = np.concatenate([paintings[0], paintings[1]], 1)
    half = np.zeros(joined.shape[:2], np.float32)
    half[:, :80] = 1
    chosen = evaluation_of(cache, photo, {"style": joined, "style_mask": half}, style_layers="relu1_1", size=160)
    cut = evaluation_of(cache, photo, paintings[0], style_layers="relu1_1", size=160, style_scales="0.5")
    assert chosen.losses["style"] == pytest.approx(cut.losses["style"], rel=0.05)
    whole = evaluation_of(cache, photo, joined, style_layers="relu1_1", size=160)
    assert not same(chosen, whole, 0.05)


def test_labels_pair_regions(cache: TargetCache, photo: Any, paintings: Any) -> None:
    content = np.zeros((*SIZE, 3), np.uint8)
    content[:, 48:, 0] = 255
    style = np.zeros((72, 80, 3), np.uint8)
    style[:30, :, 0] = 255
    found = evaluation_of(cache, photo, paintings[0], labels=(content, style))
    assert set(found.losses) == {"style:#000000", "content:#000000", "style:#ff0000", "content:#ff0000"}
    one_label = (np.zeros_like(content), np.zeros_like(style))
    # Without the references: a deviation divides by n under a mask, and by n - 1 without one.
    plain, labeled = (
        scale_objective_of(cache, photo, paintings[0], placed)[1].objective for placed in ({}, {"labels": one_label})
    )
    canvas = 0.8 * in_float64(scale_objective_of(cache, photo, paintings[0], {})[1].content) + 0.1
    weights = {"style": 1.0, "content": 1.0}
    assert same(labeled.evaluate(canvas, weights), plain.evaluate(canvas, weights))


def test_fifty_regions(cache: TargetCache, photo: Any, paintings: Any) -> None:
    def regions(settings: bool) -> list[dict[str, Any]]:
        return [
            {"mask": left(2 * k + 2), "style": paintings[0], **({"strength": k / 50} if settings else {})}
            for k in range(50)
        ]

    with pytest.raises(OptionError, match="50 regions with different styles or settings"):
        scale_objective_of(cache, photo, None, {"regions": regions(True)})
    assert set(evaluation_of(cache, photo, None, regions=regions(False)).losses) <= {"style", "content"} | {
        name for name in evaluation_of(cache, photo, None, regions=regions(False)).losses if "+" in name
    }


# Blends


def test_a_blend_of_a_style_with_itself_is_that_style(cache: TargetCache, photo: Any, paintings: Any) -> None:
    plain = evaluation_of(cache, photo, paintings[0])
    for parts in ("0.5,0.5", "3,1", "0,1"):
        assert same(evaluation_of(cache, photo, [paintings[0]] * 2, style_blend=parts), plain)


def test_a_blend_without_a_part_is_the_other_style(cache: TargetCache, photo: Any, paintings: Any) -> None:
    one = evaluation_of(cache, photo, paintings, style_blend="1,0")
    assert same(one, evaluation_of(cache, photo, paintings[0]))
    between = evaluation_of(cache, photo, paintings, style_blend="0.5,0.5")
    assert not same(between, one, 0.01)


def test_each_style_has_its_scale(cache: TargetCache, photo: Any, paintings: Any) -> None:
    both = evaluation_of(cache, photo, [paintings[0]] * 2, style_scales="0.5,0.5")
    assert same(both, evaluation_of(cache, photo, paintings[0], style_scale=0.5))
    with pytest.raises(OptionError, match="style_scales has 1 numbers for 2 styles: pass one per style"):
        evaluation_of(cache, photo, paintings, style_scales="0.5")


# Tiling


def test_a_seamless_picture_tiles(paint: Any, photo: Any, paintings: Any) -> None:
    def seam(pixels: NDArray[np.float32]) -> float:
        inside = np.abs(np.diff(pixels, axis=1)).mean()
        return float(np.abs(pixels[:, 0] - pixels[:, -1]).mean() / inside)

    plain, joined = (paint(paintings[0], seamless=s, strength=0.7, steps=20).pixels for s in (False, True))
    assert seam(joined) < 2.5
    assert seam(plain) > 2 * seam(joined)
    with pytest.raises(OptionError, match="seamless needs the whole image in one piece"):
        paint(paintings[0], seamless=True, tile=64)


def test_rotation_turns_the_statistics(cache: TargetCache, photo: Any, paintings: Any) -> None:
    turned = evaluation_of(cache, photo, paintings[0], rotate_style=90)
    assert same(turned, evaluation_of(cache, photo, np.ascontiguousarray(np.rot90(paintings[0]))))
    assert same(turned, evaluation_of(cache, photo, {"style": paintings[0], "rotate": 90}))
    assert not same(turned, evaluation_of(cache, photo, paintings[0]), 0.01)


def test_a_placed_run_repeats_from_its_file(photo: Any, paintings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from impasto.workflows.replay import iter_replay, read_source

    monkeypatch.chdir(tmp_path)
    for name, picture in {"p": photo, "a": paintings[0], "b": paintings[1], "sky": left()}.items():
        Image.fromarray(quantize(picture, 8)).save(f"{name}.png")
    cache = TargetCache(state=tiny_state())
    first = stylize("p.png", "b.png", regions=["sky.png=a.png,strength=0.7"], output="one.png", cache=cache, **FEW)
    source = read_source("one.png")
    source = type(source)(**{**vars(source), "cache": cache})
    second = last(iter_replay(source, "two.png"))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert second.record["decisions"]["placement"] == first.record["decisions"]["placement"]


# Masks that do not fit


def test_masks_that_do_not_fit_are_refused(cache: TargetCache, photo: Any, paintings: Any) -> None:
    with pytest.raises(ImageError, match="the mask of region region is 64x64 px and its image 96x64"):
        scale_objective_of(cache, photo, None, {"regions": [(np.ones((64, 64), np.float32), paintings[0])]})
    with pytest.raises(ImageError, match="the mask of region region is zero everywhere"):
        scale_objective_of(cache, photo, None, {"regions": [(np.zeros(SIZE, np.float32), paintings[0])]})
    with pytest.raises(ImageError, match="the mask of --protect"):
        scale_objective_of(cache, photo, paintings[0], {"protect": np.ones((64, 64), np.float32)})
    given = {"style": paintings[0], "style_mask": np.ones((64, 64), np.float32)}
    with pytest.raises(ImageError, match="the mask of style picture"):
        scale_objective_of(cache, photo, given, {})
    with pytest.raises(OptionError, match="at least one number must be above 0"):
        scale_objective_of(cache, photo, paintings, {}, style_blend="0,0")


def test_masks_of_any_size_come_to_the_canvas(photo: Any, paintings: Any) -> None:
    found = build_region_tensors(
        parse_regions(None, regions=[(np.asarray(Image.fromarray(left() > 0).resize((30, 20))), paintings[0])]),
        load(photo),
        recipes.resolve(),
    ).at((32, 48))
    assert found.regions[0].mask is not None
    assert found.regions[0].mask.shape == (1, 1, 32, 48)
    assert found.frozen_mask is not None
    # Both are resized in float32 and limited to [0, 1]: a few roundings of numbers up to 1.
    assert (found.frozen_mask + found.regions[0].mask - 1).abs().max() <= 8 * 2**-24
