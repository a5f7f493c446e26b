"""Recipes: precedence of the settings, and user recipes on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import OptionError
from impasto.options import recipes
from impasto.options.fields import Options

RAW_RECIPES = ["gatys2016", "neural-style"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a person's own recipes in the test's folder, and return it."""
    monkeypatch.setenv("IMPASTO_CONFIG", str(tmp_path))
    return tmp_path / "recipes"


def test_no_options_are_the_default_recipe() -> None:
    assert recipes.resolve() == recipes.resolve(recipe="impasto")
    assert recipes.resolve(recipe=None, strength=None).recipe == "impasto"


@pytest.mark.parametrize("name", list(recipes.BUILT_IN))
def test_built_in_recipes_resolve_and_have_a_source(name: str) -> None:
    recipe = recipes.get(name)
    options = recipes.resolve(recipe=name)
    assert options.recipe == name
    for key, value in recipe.settings.items():
        assert options.flat()[key] == value
    assert recipe.summary
    assert recipe.source


def test_settings_of_the_paper() -> None:
    flat = recipes.resolve(recipe="gatys2016").flat()
    assert (flat["init"], flat["optimizer"], flat["pooling"], flat["scales"]) == ("random", "lbfgs", "average", 1)
    assert flat["units"] == "gatys"
    assert 1e-4 <= flat["content_weight"] / flat["style_weight"] <= 1e-1
    assert recipes.get("gatys2016").departures


def test_settings_of_the_program() -> None:
    flat = recipes.resolve(recipe="neural-style").flat()
    numbers = {key: flat[key] for key in ("content_weight", "style_weight", "tv_weight", "units", "pooling")}
    assert numbers == {
        "content_weight": 5.0,
        "style_weight": 100.0,
        "tv_weight": 1e-3,
        "units": "neural-style",
        "pooling": "max",
    }


@pytest.mark.parametrize("name", RAW_RECIPES)
def test_a_strength_replaces_raw_weights(name: str) -> None:
    flat = recipes.resolve(recipe=name, strength=0.7).flat()
    assert (flat["strength"], flat["content_weight"], flat["style_weight"]) == (0.7, None, None)
    assert (flat["units"], flat["tv_weight"]) == ("unitless", 0.0)
    assert flat["init"] == "random"  # the rest of the recipe stays


def test_raw_weights_replace_a_strength() -> None:
    flat = recipes.resolve(style_weight=100.0).flat()
    assert (flat["strength"], flat["style_weight"], flat["units"]) == (None, 100.0, "neural-style")
    assert recipes.resolve(style_weight=1.0, units="gatys").loss_weights.units == "gatys"
    assert recipes.resolve(style_weight=1.0, units="unitless").loss_weights.units == "unitless"


@pytest.mark.parametrize("name", RAW_RECIPES)
def test_one_raw_weight_keeps_the_other_of_the_recipe(name: str) -> None:
    before, after = recipes.resolve(recipe=name).flat(), recipes.resolve(recipe=name, style_weight=7.0).flat()
    assert after == {**before, "style_weight": 7.0}


def test_strength_and_raw_weights_together_are_rejected() -> None:
    with pytest.raises(OptionError, match="strength and raw weights are both given"):
        recipes.resolve(strength=0.5, style_weight=1.0)
    with pytest.raises(OptionError, match="strength and raw weights are both given"):
        recipes.resolve(recipe="gatys2016", strength=0.5, content_weight=1.0)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(OptionError, match="there is no option 'strenght'; did you mean 'strength'"):
        recipes.resolve(strenght=1)
    with pytest.raises(OptionError, match="there is no recipe 'gatys'; did you mean 'gatys2016'"):
        recipes.resolve(recipe="gatys")


def test_user_recipes_are_saved_listed_and_used(folder: Path) -> None:
    path = recipes.save("soft", {"strength": 0.3, "seed": 9, "keep_location": True, "init": None})
    assert path == folder / "soft.toml"
    assert recipes.own() == {"soft": path}
    options = recipes.resolve(recipe="soft")
    assert options == recipes.resolve(strength=0.3, seed=9, keep_location=True).replace(recipe="soft")
    assert recipes.resolve(recipe="soft", seed=1).optimization.seed == 1
    assert recipes.get("soft").summary == "user recipe, based on impasto"
    assert sorted(entry.name for entry in folder.iterdir()) == ["soft.toml"]  # no temporary file is left
    with pytest.raises(OptionError, match="did you mean 'soft'"):
        recipes.get("sofd")


def test_user_recipes_may_be_based_on_user_recipes() -> None:
    recipes.save("old", {"seed": 5, "tv_weight": 2.0}, based_on="neural-style")
    recipes.save("older", {"steps": 12}, based_on="old")
    flat = recipes.resolve(recipe="older").flat()
    assert (flat["seed"], flat["steps"], flat["units"], flat["tv_weight"]) == (5, 12, "neural-style", 2.0)
    assert recipes.get("older").published_steps == 1000


def test_circular_recipes_are_rejected(folder: Path) -> None:
    recipes.save("a", {"seed": 1})
    recipes.save("b", {"seed": 2}, based_on="a")
    recipes.save("a", {"seed": 3}, based_on="b")
    with pytest.raises(OptionError, match=r"based on each other: a -> b -> a"):
        recipes.resolve(recipe="a")


def test_a_unitless_weight_is_kept_when_the_strength_changes() -> None:
    recipes.save("smooth", {"tv_weight": 0.2, "strength": 0.4})
    assert recipes.resolve(recipe="smooth", strength=0.8).loss_weights.tv_weight == 0.2
    assert recipes.resolve(recipe="smooth", style_weight=100.0).loss_weights.tv_weight == 0.0  # other units


@pytest.mark.parametrize("name", ["impasto", "gatys2016", "", ".hidden", "a/b", "../up", "a b", "x" * 62])
def test_names_that_cannot_be_saved(name: str) -> None:
    with pytest.raises(OptionError, match="cannot be the name of a recipe"):
        recipes.save(name, {"seed": 1})


def test_a_recipe_is_not_based_on_itself() -> None:
    recipes.save("mine", {"seed": 1})
    with pytest.raises(OptionError, match="cannot be based on itself"):
        recipes.save("mine", {"seed": 2}, based_on="mine")


def test_settings_are_checked_before_they_are_saved(folder: Path) -> None:
    with pytest.raises(OptionError, match="strength is 2.0; it must be between 0.0 and 1.0"):
        recipes.save("bad", {"strength": 2.0})
    with pytest.raises(OptionError, match="there is no recipe 'nothing'"):
        recipes.save("bad", {}, based_on="nothing")
    assert not folder.exists()


def test_a_folder_that_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMPASTO_CONFIG", str(tmp_path / "file"))
    with pytest.raises(OptionError, match=r"cannot be saved to .*soft\.toml .*set IMPASTO_CONFIG"):
        recipes.save("soft", {"seed": 1})


@pytest.mark.parametrize("damage", [b"seed = ", b"\xff\xfe", b"seed = 1\nseed = 2\n"])
def test_a_damaged_file_is_reported_in_one_line(folder: Path, damage: bytes) -> None:
    path = recipes.save("torn", {"seed": 1})
    path.write_bytes(damage)
    with pytest.raises(OptionError, match="fix or delete it") as caught:
        recipes.resolve(recipe="torn")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_setting_in_a_file_is_rejected(folder: Path) -> None:
    recipes.save("odd", {"seed": 1}).write_text("sead = 1\n")
    with pytest.raises(OptionError, match="there is no option 'sead'; did you mean 'seed'"):
        recipes.resolve(recipe="odd")


@given(text=st.text(max_size=12) | st.just('a"\\\x7f\n'), weight=st.floats(0, 1e30), steps=st.integers(1, 10**6))
def test_saved_recipe_round_trip(text: str, weight: float, steps: int) -> None:
    settings: dict[str, Any] = {"init": text, "tv_weight": weight, "steps": steps}
    recipes.save("any", settings)
    assert recipes.get("any").settings == settings


def test_options_resolve_to_themselves() -> None:
    for given_ in ({}, {"recipe": "gatys2016"}, {"recipe": "neural-style", "strength": 0.2}, {"style_weight": 3.0}):
        options = recipes.resolve(**given_)
        assert recipes.resolve(**options.flat()) == options
        assert isinstance(options, Options)


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMPASTO_CONFIG")
    assert recipes.folder().name == "recipes"
    assert os.environ["XDG_CONFIG_HOME"] in str(recipes.folder())


def test_a_recipe_saved_under_a_former_name_of_an_option_is_read(folder: Path) -> None:
    recipes.save("mine", {"final_recolor": 0.5})
    path = recipes.own()["mine"]
    path.write_text(path.read_text(encoding="utf-8").replace("final_recolor", "recolour"), encoding="utf-8")
    assert recipes.resolve(recipe="mine").control.final_recolor == 0.5


def test_a_time_limit_replaces_the_steps_of_a_recipe() -> None:
    assert recipes.resolve(recipe="gatys2016").optimization.steps == 300
    optimization = recipes.resolve(recipe="gatys2016", time="60s").optimization
    assert (optimization.steps, optimization.time) == (None, "60s")
    with pytest.raises(OptionError, match="time and steps are both given"):
        recipes.resolve(recipe="gatys2016", time="60s", steps=10)
