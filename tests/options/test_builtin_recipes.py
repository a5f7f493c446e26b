"""The built-in recipes run, also on blank images, and accept the published step count."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from impasto.api import last
from impasto.errors import ImageError, OptionError
from impasto.events import Finished, Stepped, Warned
from impasto.objective.loss_factory import REGULARIZERS
from impasto.options import recipes
from impasto.options.builtin_recipes import BUILT_IN
from impasto.options.choices import ContentLossName, StyleLossName
from impasto.options.fields import Options
from impasto.options.layer_names import BLOCKS, CHANNELS
from impasto.regions.spec import parse_regions
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache
from impasto.workflows.replay import iter_replay, read_source
from rounding import differences, epsilon
from runs import iter_stylize, stylize


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, torch.Tensor]]:
    """Return random narrow networks by name."""
    draws, made = torch.Generator().manual_seed(1), {}
    for name, blocks in BLOCKS.items():
        state, before = {}, 3
        for number, count in enumerate(blocks, start=1):
            for index in range(1, count + 1):
                width = CHANNELS[number - 1] // 32
                scale = (2 / (9 * before)) ** 0.5
                state[f"conv{number}_{index}.weight"] = torch.randn(width, before, 3, 3, generator=draws) * scale
                state[f"conv{number}_{index}.bias"] = torch.rand(width, generator=draws) * 0.1
                before = width
        made[name] = state
    return made


def run(content: object, style: object, states: dict[str, dict[str, torch.Tensor]], **options: object) -> list[Stepped]:
    """Paint for a few steps and return them; every loss and the image are finite."""
    given = {"size": 80, "steps": 8, "threads": 1, **options}
    network = recipes.resolve(**given).features.network
    events = list(iter_stylize(content, style, cache=TargetCache(states[network]), **given))
    last = events[-1]
    assert isinstance(last, Finished)
    assert np.isfinite(last.result.pixels).all()
    steps = [event for event in events if isinstance(event, Stepped)]
    assert all(np.isfinite(list(step.losses.values())).all() for step in steps)
    return steps


@pytest.mark.parametrize("name", list(BUILT_IN))
@pytest.mark.parametrize("blank", ["content", "style", "both"])
@pytest.mark.parametrize("level", [0, 255])
def test_blank_images(name: str, blank: str, level: int, tiny_picture, tiny_style, states) -> None:
    plain = np.full((48, 64, 3), level, np.uint8)
    content = tiny_picture if blank == "style" else plain
    style = tiny_style if blank == "content" else plain
    assert len(run(content, style, states, recipe=name, steps=5)) == 5


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_the_smallest_images(name: str, states) -> None:
    draws = np.random.default_rng(1)
    content, style = (draws.integers(0, 256, shape, np.uint8) for shape in ((16, 19, 3), (17, 16, 3)))
    if name == "mrf":  # its patches of 3x3 cells have no room in the deeper layers
        with pytest.raises(OptionError, match="use a larger --size, --scales 1, or a shallower layer"):
            run(content, style, states, recipe=name, size="full", steps=4)
    else:
        assert len(run(content, style, states, recipe=name, size="full", steps=4)) == 4


@pytest.mark.parametrize("which", ["content", "style"])
def test_an_image_one_pixel_wide_is_rejected(which: str, tiny_picture, tiny_style, states) -> None:
    line = np.full((60, 1, 3), 128, np.uint8)
    pair = (line, tiny_style) if which == "content" else (tiny_picture, line)
    with pytest.raises(ImageError, match=f"the {which} .* is 1x60 px, .* use an image with at least 16 px"):
        run(*pair, states)


def test_a_style_smaller_than_the_canvas_is_reported_once(tiny_picture, tiny_style, states) -> None:
    small = np.asarray(tiny_style)[:20, :20]
    options = {"size": 80, "steps": 4, "scales": 2, "style_layers": "relu1_1", "content_layers": "relu1_1"}
    events = list(iter_stylize(tiny_picture, small, cache=TargetCache(states["vgg19"]), **options))
    told = [event.message for event in events if isinstance(event, Warned)]
    assert len([text for text in told if "the style is smaller than the output requires" in text]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "impasto"])
def test_every_recipe_lowers_its_objective(name: str, tiny_picture, tiny_style, states) -> None:
    steps = run(tiny_picture, tiny_style, states, recipe=name, scales=1, steps=12)
    assert min(step.total for step in steps[1:]) < steps[0].total


@pytest.mark.slow
@pytest.mark.parametrize("name", get_args(StyleLossName))
@pytest.mark.parametrize("tile", [None, 64])
def test_every_style_loss_runs(name: str, tile: int | None, tiny_picture, tiny_style, states) -> None:
    shallow = {"style_layers": "relu1_1+relu2_1+relu3_1"}
    steps = run(tiny_picture, tiny_style, states, style_loss=name, tile=tile, steps=6, scales=1, **shallow)
    assert steps[-1].total < steps[0].total


@pytest.mark.parametrize("name", get_args(ContentLossName))
def test_every_content_loss_runs(name: str, tiny_picture, tiny_style, states) -> None:
    steps = run(tiny_picture, tiny_style, states, content_loss=name, steps=6, scales=1, init="random", strength=0.1)
    assert steps[-1].losses["content"] < steps[0].losses["content"]


def test_regularizers_are_terms_if_their_weight_is_positive(tiny_picture, tiny_style, states) -> None:
    weights = {option: 0.5 for option, _ in REGULARIZERS.values()}
    steps = run(tiny_picture, tiny_style, states, init="random", scales=1, **weights)
    assert {name for name in steps[0].losses if name.startswith("guard:")} == set(REGULARIZERS)
    assert not any(name.startswith("guard:") for name in run(tiny_picture, tiny_style, states)[0].losses)


def test_refresh_every_sets_the_interval(tiny_picture, tiny_style, states, monkeypatch) -> None:
    from impasto.losses.mrf import MRFLoss

    seen: list[int] = []
    plain = MRFLoss.refresh
    monkeypatch.setattr(MRFLoss, "refresh", lambda self, *given: (seen.append(1), plain(self, *given))[1])
    counts = {}
    for every in (0, 4, 10):
        seen.clear()
        run(
            tiny_picture,
            tiny_style,
            states,
            style_loss="mrf",
            optimizer="adam",
            steps=12,
            scales=1,
            refresh_every=every,
        )
        counts[every] = len(seen) - 1  # one before the first step belongs to the reference
    assert counts == {0: 1, 4: 3, 10: 2}


def test_a_blend_of_a_style_with_itself_equals_that_style(tiny_picture, tiny_style, states) -> None:
    for name in ("moments", "sliced", "nearest"):
        given = {"style_loss": name, "steps": 3, "scales": 1, "precision": "fp32"}
        single = [step.total for step in run(tiny_picture, tiny_style, states, **given)]
        twice = [step.total for step in run(tiny_picture, [tiny_style, tiny_style], states, **given)]
        if name == "nearest":  # whose matches are centered on the mean of the style's 300 places, or of twice as many
            assert max(differences(twice, single).values()) < epsilon(torch.float32, layers=3, terms=600)
        else:  # halves of equal numbers are exact
            assert twice == single


def test_nearest_neighbors_end_with_per_layer_matching(tiny_picture, tiny_style, states, monkeypatch) -> None:
    from impasto.objective import loss_factory

    made: list[str] = []
    for kind in ("NearestLoss", "PerLayerNearestLoss"):
        plain = getattr(loss_factory, kind)
        monkeypatch.setattr(
            loss_factory, kind, lambda *a, plain=plain, kind=kind, **k: (made.append(kind), plain(*a, **k))[1]
        )
    steps = run(tiny_picture, tiny_style, states, recipe="nnst", steps=20, scales=2)
    assert made == ["NearestLoss", "NearestLoss", "PerLayerNearestLoss"]
    assert [sum(step.scale == scale for step in steps) for scale in range(3)][2] == 4  # a fifth
    made.clear()
    assert len(run(tiny_picture, tiny_style, states, recipe="nnst", steps=6, scales=1, per_layer_fraction=0.0)) == 6
    assert made == ["NearestLoss"]


def test_a_run_with_a_per_layer_pass_replays(tiny_picture, tiny_style, states) -> None:
    options = recipes.resolve(recipe="nnst", size=80, steps=10, scales=1)
    first = prepare(tiny_picture, parse_regions(tiny_style), options)
    again = prepare(tiny_picture, parse_regions(tiny_style), options, decisions=first.decisions)
    assert list(again.scales) == list(first.scales)
    assert [scale.per_layer for scale in again.scales] == [False, True]


def test_a_poster_has_the_per_layer_pass(tiny_files, states, tmp_path) -> None:
    proof, cache = tmp_path / "proof.png", TargetCache(states[recipes.resolve(recipe="nnst").features.network])
    stylize(*tiny_files, output=proof, recipe="nnst", size=32, steps=10, cache=cache)
    source = dataclasses.replace(read_source(proof), cache=cache)
    poster = last(iter_replay(source, tmp_path / "poster.png", size="64"))
    height, width, _, _, *per_layer = poster.record["decisions"]["scales"][-1]
    assert (height, width, per_layer) == (48, 64, [True])


def test_published_steps() -> None:
    assert recipes.resolve(recipe="wasserstein", steps="published").optimization.steps == 3000
    assert recipes.resolve(recipe="nnst", steps="250").optimization.steps == 250
    assert [
        recipes.resolve(recipe=name, steps="published").optimization.steps for name in ("mrf", "sliced", "texture")
    ] == [
        300,
        1280,
        2000,
    ]
    with pytest.raises(OptionError, match="the source of impasto does not state a step count"):
        recipes.resolve(recipe="impasto", steps="published")
    with pytest.raises(OptionError, match="'many'"):
        recipes.resolve(steps="many")


def test_a_strength_replaces_plain_weights() -> None:
    options = recipes.resolve(recipe="strotss", strength=0.4)
    assert isinstance(options, Options)
    assert (options.loss_weights.units, options.loss_weights.strength) == ("unitless", 0.4)


def test_patches_need_a_minimum_size(tiny_picture, tiny_style, states) -> None:
    with pytest.raises(OptionError, match="relu5_1 of the canvas is only 2 cells .*48 px. at every scale: use"):
        run(tiny_picture, tiny_style, states, style_loss="mrf", style_layers="relu5_1", size=48, scales=1)
