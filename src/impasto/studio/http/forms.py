"""Request models generated from the declared options, so that the API has exactly those options.

The pydantic models have the names, ranges, choices and help texts of ``fields.declared()``. Options that a visitor must
not choose (the device, a file on the server as the initial image) are excluded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from impasto.errors import OptionError
from impasto.network import weights
from impasto.options import recipes
from impasto.options.declaration import Declared
from impasto.options.fields import declared, names_with
from impasto.options.renamed import current_names

SERVER_OWNED = frozenset(names_with("server"))
ASSET_ID = r"^[0-9a-f]{64}$"
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def option_model(name: str, options: Iterable[Declared], excluded: Collection[str] = SERVER_OWNED) -> type[BaseModel]:
    """Build a request model; all options are optional, and the recipe supplies those that are missing.

    Args:
        name: of the model in the OpenAPI document.
        options: the declared options.
        excluded: names of options to exclude.

    Returns:
        A model that rejects unknown fields, NaN and infinity.
    """
    fields: dict[str, Any] = {}
    for option in options:
        if option.name in excluded:
            continue
        choices = option.closed_choices
        kind: Any = Literal[choices] if choices else option.type
        facts = {"ge": option.facts.get("low"), "le": option.facts.get("high")} if not choices else {}
        if kind is str:
            facts = {"max_length": 2000}
        limits: dict[str, Any] = {key: value for key, value in facts.items() if value is not None}
        description = f"{option.facts.get('help', '')}; default {option.default}"
        fields[option.name] = (kind | None, Field(default=None, description=description, **limits))
    return create_model(name, __config__=STRICT, **fields)


def live_options() -> list[Declared]:
    """Return the options that can be changed during a run."""
    return [option for option in declared() if option.facts.get("live")]


class _RecipeName(BaseModel):
    model_config = STRICT

    recipe: str | None = Field(default=None, max_length=100, description="name of a recipe; default impasto")

    @model_validator(mode="before")
    @classmethod
    def accept_former_names(cls, body: Any) -> Any:
        """Read options under the names that earlier versions used."""
        return current_names(body) if isinstance(body, dict) else body


class _Terms(BaseModel):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1}, **STRICT)

    terms: dict[str, float] | None = Field(
        default=None, max_length=40, description="factors for single terms, such as style:sky"
    )

    @model_validator(mode="after")
    def some(self) -> Self:
        """Reject an empty request."""
        if not self.amounts():
            raise ValueError("no value is given: specify at least one option or term")
        return self

    def amounts(self) -> dict[str, float]:
        """Return the values to set, by name."""
        given = self.model_dump(exclude_none=True)
        terms = given.pop("terms", {})
        return {**given, **terms}


OptionsForm: type[BaseModel] = type("OptionsForm", (option_model("OptionFields", declared()), _RecipeName), {})
Steer = cast(type[_Terms], type("Steer", (_Terms, option_model("SteerFields", live_options(), ())), {}))


def validated_options(form: BaseModel) -> dict[str, object]:
    """Return the given options, validated together with their recipe.

    Raises:
        OptionError: naming the option that conflicts with the others.
    """
    given = form.model_dump(exclude_none=True)
    chosen = recipes.resolve(**given)
    for name, needed in (("fast", chosen.feed_forward.fast), ("init", chosen.optimization.init == "fast")):
        if needed and not instant_available():
            raise OptionError(
                f"{name} needs weights that are not installed; on the server, run: impasto weights fetch adain", name
            )
    return given


def instant_available() -> bool:
    """Return whether the weights of the feed-forward network are installed."""
    return weights.stored("adain").is_file()
