"""Options: validation, error messages, and the round trip through the flat form."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import OptionError
from impasto.options import recipes
from impasto.options.choices import INIT_NAMES
from impasto.options.fields import GROUPS, Options, declared, limits, names, names_with
from impasto.options.option_fields import OptionFields
from impasto.options.renamed import RENAMED
from impasto.options.validation import parse_weights

DECLARED = {item.name: item for item in declared()}
RANGED = [item for item in DECLARED.values() if item.facts.get("low") is not None]
CHOSEN = [item for item in DECLARED.values() if item.choices]
FREE = ("init", "size", "device", "weights")  # any text will do here
TEXTS = {  # what others take, which have a grammar
    "style_layers": "relu1_1=0.5+relu4_2",
    "content_layers": "relu4_2",
    "style_blend": "0.7,0.3",
    "style_scales": "1,0.5",
    "time": "5m",
}
FLOATS = [item.name for item in DECLARED.values() if item.type is float]


def refused(**flat: Any) -> OptionError:
    """Return the error that the options meet."""
    with pytest.raises(OptionError) as caught:
        Options.of(**flat)
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_defaults_are_allowed_and_frozen() -> None:
    options = Options()
    assert options == Options.of()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.loss_weights.strength = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite(name: str, value: float) -> None:
    error = refused(**{"strength": None, "style_weight": 1.0, name: value})
    assert error.option == name
    assert str(error) == f"{name} is {value}; it must be a finite number"


@pytest.mark.parametrize("item", RANGED, ids=lambda item: item.name)
def test_below_the_range(item: Any) -> None:
    error = refused(**{item.name: item.facts["low"] - 1})
    assert error.option == item.name
    assert str(item.facts["low"]) in str(error)


@pytest.mark.parametrize("item", [i for i in RANGED if i.facts.get("high")], ids=lambda item: item.name)
def test_above_the_range(item: Any) -> None:
    error = refused(**{item.name: item.facts["high"] + 1})
    assert f"it must be between {item.facts['low']} and {item.facts['high']}" in str(error)


def test_the_message_for_a_negative_weight() -> None:
    assert str(refused(tv_weight=-0.5)) == "tv_weight is -0.5; it must be at least 0.0"


@pytest.mark.parametrize("item", CHOSEN, ids=lambda item: item.name)
def test_an_invalid_choice(item: Any) -> None:
    wrong = f"{item.choices[0]}x" if item.type is str else 7
    error = refused(**{item.name: wrong})
    assert error.option == item.name
    for choice in item.choices:
        assert str(choice) in str(error)


def test_the_nearest_choice_is_suggested() -> None:
    assert "did you mean 'average'?" in str(refused(pooling="avrage"))


def test_an_unknown_name_suggests_the_nearest() -> None:
    error = refused(strenght=0.5)
    assert error.option == "strenght"
    assert "there is no option 'strenght'; did you mean 'strength'" in str(error)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("steps", 2.5, "a whole number"),
        ("steps", True, "a whole number"),
        ("strength", "half", "a number"),
        ("strength", True, "a number"),
        ("keep_location", "yes", "true or false"),
        ("keep_location", 1, "true or false"),
        ("init", 3, "text"),
        ("size", 512.5, "text"),
    ],
)
def test_a_value_of_the_wrong_type(name: str, value: Any, wanted: str) -> None:
    assert str(refused(**{name: value})) == f"{name} is {value!r}; it must be {wanted}"


def test_none_is_rejected_if_a_value_is_required() -> None:
    assert refused(tv_weight=None).option == "tv_weight"


def test_numpy_numbers_and_sizes_in_px_are_accepted() -> None:
    options = Options.of(strength=np.float32(0.25), steps=np.int64(7), size=640, dpi=300)
    assert options.flat()["strength"] == 0.25
    assert type(options.flat()["steps"]) is int
    assert options.output.size == "640"
    assert type(options.output.dpi) is float


def test_a_path_is_accepted_for_a_file() -> None:
    assert Options.of(init=Path("start.png")).optimization.init == "start.png"


def test_strength_and_raw_weights_exclude_each_other() -> None:
    assert "strength and raw weights are both given" in str(refused(strength=0.5, style_weight=1.0))
    assert "neither strength nor raw weights" in str(refused(strength=None))
    assert Options.of(strength=None, style_weight=1.0).loss_weights.content_weight is None


def test_units_require_raw_weights() -> None:
    assert "units is 'gatys', which applies to raw weights" in str(refused(units="gatys"))
    assert Options.of(strength=None, content_weight=1e-3, units="gatys").loss_weights.units == "gatys"


def test_a_tile_is_aligned() -> None:
    assert str(refused(tile=100)) == "tile is 100; it must be a multiple of 16, such as 512"


def test_no_flat_name_is_used_twice() -> None:
    flat = [item.name for item in declared()]
    assert len(flat) == len(set(flat)) == len(names())
    assert "recipe" not in flat


def test_lists_of_names_are_derived_from_the_declarations() -> None:
    assert names_with("server") == ("model", "max_pixels", "device", "threads", "weights")
    assert names_with("file") == ("init", "model", "weights")
    assert names_with("raw") == ("content_weight", "style_weight")
    first = sorted(names_with("page_rank"), key=lambda name: DECLARED[name].facts["page_rank"])
    assert first == ["strength", "style_scale", "color", "size", "quality"]
    assert set(names_with("live")) < set(names_with("same_targets"))
    assert limits("style_scale") == (0.05, 8.0)
    assert DECLARED["init"].closed_choices == INIT_NAMES
    assert DECLARED["init"].choices is None


def test_every_group_has_a_title() -> None:
    assert len({group.title for group in GROUPS.values()}) == len(GROUPS) == 8


def test_every_option_has_help() -> None:
    for item in declared():
        assert item.facts["help"], item.name


def values_of(item: Any) -> st.SearchStrategy[Any]:
    """Return values that an option takes."""
    if item.choices:
        return st.sampled_from(item.choices)
    low, high = item.facts.get("low"), item.facts.get("high")
    if item.name == "tile":
        return st.integers(4, 4096).map(lambda n: 16 * n)
    if item.type is bool:
        return st.booleans()
    if item.type is int:
        return st.integers(low, high if high is not None else 10**9)
    if item.type is float:
        return st.floats(low, high if high is not None else 1e30, allow_subnormal=False)
    return st.text(max_size=8) if item.name in FREE else st.just(TEXTS.get(item.name))


@given(st.data())
def test_flat_round_trip(data: st.DataObject) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(DECLARED)), max_size=12))
    drawn = {name: data.draw(values_of(DECLARED[name]), label=name) for name in sorted(some)}
    chosen = {name: value for name, value in drawn.items() if value is not None}
    if "time" in chosen:
        chosen.pop("steps", None)
    raw = {"content_weight", "style_weight"} & chosen.keys()
    if raw:
        chosen["strength"] = None
    elif "units" in chosen:
        chosen["units"] = "unitless"
    options = Options.of(**chosen)
    assert Options.of(**options.flat()) == options
    assert options.replace() == options
    for name, value in chosen.items():
        assert options.flat()[name] == value


def test_replace_changes_one_thing() -> None:
    options = Options.of(recipe="gatys2016", seed=3)
    assert options.replace(strength=0.9).flat() == {**options.flat(), "strength": 0.9}
    with pytest.raises(OptionError, match="there is no option 'colour'"):
        options.replace(colour=1)


def test_parse_layer_weights() -> None:
    assert parse_weights("relu1_1=1+relu3_1=0.5") == {"relu1_1": 1.0, "relu3_1": 0.5}
    assert parse_weights(" relu1_1 + relu2_1 = 2 ") == {"relu1_1": 1.0, "relu2_1": 2.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("relu1_1=a", "the weight of 'relu1_1' is 'a'; it must be a number, as in relu1_1=0.5"),
        ("relu1_1=nan", "'relu1_1=nan' is invalid"),
        ("relu1_1=inf", "'relu1_1=inf' is invalid"),
        ("relu1_1=-1", "with weights of at least 0"),
        ("relu1_1+", "'' is invalid"),
        ("", "'' is invalid"),
        ("relu1_1+relu1_1=2", "relu1_1 appears twice"),
        ("relu1_1=0+relu2_1=0", "every weight in 'relu1_1=0+relu2_1=0' is 0"),
    ],
)
def test_invalid_layer_weights(text: str, message: str) -> None:
    error = refused(style_layers=text)
    assert error.option == "style_layers"
    assert str(error).startswith("style_layers: ")
    assert message in str(error)


@pytest.mark.parametrize(("former", "name"), RENAMED.items())
def test_a_stored_option_is_read_under_its_former_name(former: str, name: str) -> None:
    assert name in names()
    assert former not in names()
    assert Options.of(**{former: 0.25}).flat()[name] == 0.25


def test_a_former_name_is_rejected_with_the_new_one() -> None:
    with pytest.raises(OptionError, match="recolour was renamed: use final_recolor"):
        recipes.resolve(recolour=0.5)


def test_the_keyword_arguments_are_the_options() -> None:
    hints = get_type_hints(OptionFields)
    assert hints.pop("recipe") == str | None
    for item in declared():
        kind = get_type_hints(GROUPS[item.group])[item.name]
        if item.facts.get("words"):
            kind |= str
        if item.facts.get("number"):
            kind |= float
        assert hints.pop(item.name) == kind, item.name
    assert hints == {}
