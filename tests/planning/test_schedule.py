"""Properties of the schedule, on generated input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.options import recipes
from impasto.planning.schedule import STEPS, Scale, plan_scales, scales_for

SIDES = st.integers(16, 6000)
QUALITIES = st.sampled_from(sorted(STEPS))


@given(height=SIDES, width=SIDES, quality=QUALITIES)
def test_sizes_rise_to_the_one_asked_for(height: int, width: int, quality: str) -> None:
    scales = plan_scales(height, width, quality=quality)
    assert (scales[-1].height, scales[-1].width) == (height, width)
    sides = [max(scale.height, scale.width) for scale in scales]
    assert sides == sorted(set(sides))
    for scale in scales:
        assert scale.steps >= 1
        assert abs(scale.height / scale.width - height / width) * scale.width <= 1 + height / width


@given(height=SIDES, width=SIDES, quality=QUALITIES)
def test_the_content_weighs_more_where_it_is_lost(height: int, width: int, quality: str) -> None:
    factors = [scale.content_factor for scale in plan_scales(height, width, quality=quality)]
    assert factors[-1] == 1
    assert factors == sorted(factors, reverse=True)


@given(
    height=SIDES,
    width=SIDES,
    quality=QUALITIES,
    scales=st.none() | st.integers(1, 12),
    steps=st.integers(1, 5000),
)
def test_the_steps_add_up(height: int, width: int, quality: str, scales: int | None, steps: int) -> None:
    planned = plan_scales(height, width, quality=quality, scales=scales, steps=steps)
    assert sum(scale.steps for scale in planned) == steps
    assert all(scale.steps >= 1 for scale in planned)
    assert (planned[-1].height, planned[-1].width) == (height, width)


@pytest.mark.parametrize("scales", [1, 2, 3, 5])
def test_the_number_of_scales_is_obeyed(scales: int) -> None:
    assert len(plan_scales(700, 1000, quality="standard", scales=scales)) == scales


def test_more_quality_is_more_steps_at_every_scale() -> None:
    draft, standard, fine = (plan_scales(400, 512, quality=name) for name in ("draft", "standard", "fine"))
    assert len(draft) == len(standard) == len(fine)
    for few, some, many in zip(draft, standard, fine, strict=True):
        assert few.steps < some.steps < many.steps


def test_a_larger_picture_has_no_fewer_scales() -> None:
    counts = [len(plan_scales(side, side, quality="standard")) for side in (64, 128, 256, 512, 1024, 2048, 4096)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[-1] > counts[3] > 1


@given(height=SIDES, width=SIDES, steps=st.none() | st.integers(2, 500))
def test_a_last_pass_takes_its_share_of_the_steps(height: int, width: int, steps: int | None) -> None:
    options = recipes.resolve(recipe="nnst") if steps is None else recipes.resolve(recipe="nnst", steps=steps)
    scales = scales_for(options, height, width)
    assert all(min(scale.height, scale.width) >= 16 for scale in scales)
    assert (scales[-1].height, scales[-1].width) == (height, width)
    assert steps is None or sum(scale.steps for scale in scales) == steps
    assert not any(scale.per_layer for scale in scales[:-1])
    assert scales[-1].per_layer or (steps is not None and steps * options.features.per_layer_fraction <= 0.5)
    assert [Scale.from_data(scale.as_data()) for scale in scales] == scales


def test_a_picture_too_small_for_the_network_has_one_scale() -> None:
    assert [scale.width for scale in scales_for(recipes.resolve(scales=4), 8, 12)] == [12]
