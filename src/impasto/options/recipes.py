"""Recipes: named presets, each with its paper or program and every difference from it.

A recipe is a set of option values, which the options given by the user override. User recipes are TOML files in the
configuration folder of the user, written by ``impasto recipes save``.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from impasto.errors import OptionError, suggest
from impasto.files import write_atomically
from impasto.options.builtin_recipes import BUILT_IN, Recipe
from impasto.options.fields import Options, names, names_with
from impasto.options.option_fields import OptionFields
from impasto.options.renamed import RENAMED, current_names

DEFAULT = "impasto"
PUBLISHED = "published"
RAW = names_with("raw")


def folder() -> Path:
    """Return the folder of user recipes; ``IMPASTO_CONFIG`` overrides its parent."""
    import platformdirs

    return Path(os.environ.get("IMPASTO_CONFIG") or platformdirs.user_config_dir("impasto")) / "recipes"


def own() -> dict[str, Path]:
    """Return the files of the user recipes by name."""
    return {path.stem: path for path in sorted(folder().glob("*.toml"))}


def get(name: str, children: tuple[str, ...] = ()) -> Recipe:
    """Return a recipe by name, built in or of the user.

    Args:
        name: its name.
        children: the recipes based on it, directly or through others.

    Raises:
        OptionError: there is no such recipe, its file is damaged, or it is based on itself.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    mine = own()
    if name not in mine:
        raise OptionError(f"there is no recipe {name!r}; {suggest(name, [*BUILT_IN, *mine])}", "recipe")
    if name in children:
        chain = " -> ".join([*children, name])
        raise OptionError(f"recipes are based on each other: {chain}; fix or delete {mine[name]}", "recipe")
    try:
        settings = current_names(tomllib.loads(mine[name].read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(
            f"the recipe {name} in {mine[name]} cannot be read ({reason}); fix or delete it", "recipe"
        ) from None
    based = str(settings.pop("based_on", DEFAULT))
    parent = get(based, (*children, name))
    return Recipe(
        f"user recipe, based on {based}",
        mine[name].name,
        parent.departures,
        _merge(parent.settings, settings),
        parent.published_steps,
    )


def resolve(**given: Unpack[OptionFields]) -> Options:
    """Return the options of a run: the defaults, overridden by the recipe, overridden by the given values.

    Args:
        given: options by flat name, and ``recipe``; None stands for not given.

    Raises:
        OptionError: a name is unknown or a value is not allowed.
    """
    name = given.get("recipe") or DEFAULT
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None and key != "recipe"}
    known = names()
    for key in chosen:
        if key in RENAMED:
            raise OptionError(f"{key} was renamed: use {RENAMED[key]}", key)
        if key not in known:
            raise OptionError(f"there is no option {key!r}; {suggest(key, [*known, 'recipe'])}", key)
    recipe = get(name)
    if isinstance(chosen.get("steps"), str):
        chosen["steps"] = _steps(chosen["steps"], name, recipe)
    return Options.of(recipe=name, **_merge(recipe.settings, chosen))


def override(options: Options, **given: Unpack[OptionFields]) -> Options:
    """Return options with some changed, as the command line changes those of a recipe.

    A given recipe replaces the values that it sets, and the other given values override both.

    Args:
        options: all options of a run.
        given: options by flat name, and ``recipe``; None stands for not given.

    Raises:
        OptionError: as ``resolve``.
    """
    name = given.get("recipe")
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None and key != "recipe"}
    values = {key: value for key, value in options.flat().items() if value is not None or key == "strength"}
    values.pop("recipe")
    if isinstance(chosen.get("steps"), str):
        chosen["steps"] = _steps(chosen["steps"], name or options.recipe, get(name or options.recipe))
    if name is not None:
        values = _merge(values, get(name).settings)
    return Options.of(recipe=name or options.recipe, **_merge(values, chosen))


def _steps(text: str, name: str, recipe: Recipe) -> int:
    """Return a number of steps given as text, or the published number for ``published``."""
    if text == PUBLISHED:
        if recipe.published_steps is None:
            raise OptionError(
                f"the source of {name} does not state a step count: use --steps 300, or omit --steps", "steps"
            )
        return recipe.published_steps
    if not text.strip().isdecimal():
        raise OptionError(f"steps is {text!r}; it must be a whole number, or {PUBLISHED}", "steps")
    return int(text)


def _merge(settings: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Override the settings of a recipe; a strength replaces its raw weights, and raw weights its strength.

    The weight of total variation depends on the units: if these change, that of the recipe is dropped.
    """
    merged = dict(settings)
    raw = [key for key in RAW if key in chosen]
    unitless = merged.get("units", "unitless") == "unitless"
    if "strength" in chosen and not raw:
        if not unitless:
            merged.pop("tv_weight", None)
        for key in (*RAW, "units"):
            merged.pop(key, None)
    elif raw and "strength" not in chosen:
        merged["strength"] = None
        if unitless and chosen.get("units") != "unitless" and not any(key in merged for key in RAW):
            merged.pop("tv_weight", None)
            merged["units"] = "neural-style"
    if "time" in chosen:
        merged.pop("steps", None)  # the recipe's; a time limit plans its own
    elif "steps" in chosen:
        merged.pop("time", None)
    merged.update(chosen)
    return merged


def save(name: str, settings: Mapping[str, object], *, based_on: str = DEFAULT) -> Path:
    """Write a user recipe and return its path.

    Raises:
        OptionError: the name is that of a built-in recipe or not a file name, or a setting is not allowed.
    """
    if name in BUILT_IN or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
        raise OptionError(
            f"{name!r} cannot be the name of a recipe; use letters, digits, - and _, and no built-in name", "recipe"
        )
    if name == based_on:
        raise OptionError(f"the recipe {name!r} cannot be based on itself; choose a different name", "recipe")
    given: dict[str, Any] = {**settings, "recipe": based_on}
    checked: Mapping[str, object] = resolve(**given).flat()
    chosen = {key: checked[key] for key, value in settings.items() if value is not None}
    lines = [f'based_on = "{based_on}"', *(f"{key} = {_toml(value)}" for key, value in sorted(chosen.items()))]
    path = folder() / f"{name}.toml"
    try:
        write_atomically(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise OptionError(
            f"the recipe cannot be saved to {path} ({reason}); set IMPASTO_CONFIG to a writable folder", "recipe"
        ) from None
    return path


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML has the escapes of JSON, and requires one more character to be escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
