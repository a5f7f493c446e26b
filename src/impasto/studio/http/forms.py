"""Request models, read off the option dataclasses, so that the API can offer nothing that the options do not have.

In: ``fields.declared()``. Out: pydantic models with the same names, ranges, choices and help. What a server must not
let a visitor choose (the device, a file of the server's as the start) is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from impasto.errors import OptionError
from impasto.network import weights
from impasto.options import recipes
from impasto.options.fields import Declared, declared

SERVER_OWNED = frozenset({"device", "threads", "max_pixels", "weights", "model"})
INITS = ("content", "random", "style", "fast")
ASSET_ID = r"^[0-9a-f]{64}$"
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def option_model(name: str, options: Iterable[Declared], left_out: Collection[str] = SERVER_OWNED) -> type[BaseModel]:
    """Make a request model of options; all are optional, and what is not given is left to the recipe.

    Args:
        name: of the model in the OpenAPI document.
        options: as declared.
        left_out: names that are not offered.

    Returns:
        A model that refuses unknown fields, NaN and infinity.
    """
    fields: dict[str, Any] = {}
    for option in options:
        if option.name in left_out:
            continue
        choices = INITS if option.name == "init" else option.choices
        kind: Any = Literal[choices] if choices else option.type
        facts = {"ge": option.facts.get("low"), "le": option.facts.get("high")} if not choices else {}
        if kind is str:
            facts = {"max_length": 2000}
        limits: dict[str, Any] = {key: value for key, value in facts.items() if value is not None}
        description = f"{option.facts.get('help', '')}; default {option.default}"
        fields[option.name] = (kind | None, Field(default=None, description=description, **limits))
    return create_model(name, __config__=STRICT, **fields)


def live_options() -> list[Declared]:
    """Return the options that can be changed while a run goes on."""
    return [option for option in declared() if option.facts.get("live")]


class _RecipeName(BaseModel):
    model_config = STRICT

    recipe: str | None = Field(default=None, max_length=100, description="a preset's name; default impasto")


class _Terms(BaseModel):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1}, **STRICT)

    terms: dict[str, float] | None = Field(
        default=None, max_length=40, description="factors on single terms, such as style:sky"
    )

    @model_validator(mode="after")
    def some(self) -> Self:
        """Refuse an empty wish."""
        if not self.amounts():
            raise ValueError("nothing to steer is given: name at least one value")
        return self

    def amounts(self) -> dict[str, float]:
        """Return what is to be set, by name."""
        given = self.model_dump(exclude_none=True)
        terms = given.pop("terms", {})
        return {**given, **terms}


OptionsForm: type[BaseModel] = type("OptionsForm", (option_model("OptionFields", declared()), _RecipeName), {})
Steer = cast(type[_Terms], type("Steer", (_Terms, option_model("SteerFields", live_options(), ())), {}))


def resolved(form: BaseModel) -> dict[str, Any]:
    """Return the options that a job is stored with: what was given, checked together with its recipe.

    Raises:
        OptionError: naming the option that does not go with the others.
    """
    given = form.model_dump(exclude_none=True)
    chosen = recipes.resolve(**given)
    for name, needed in (("fast", chosen.instant.fast), ("init", chosen.descent.init == "fast")):
        if needed and not instant():
            raise OptionError(
                f"{name} needs weights that are not here; fetch them on the server: impasto weights fetch adain", name
            )
    return given


def instant() -> bool:
    """Say whether the weights of instant mode have been fetched."""
    return weights.stored("adain").is_file()
