"""The weights of the loss terms, computed from a strength or raw weights; commands can change them during a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from impasto.errors import OptionError, suggest
from impasto.options.fields import Options, declared


@dataclass
class LiveWeights:
    """The weights that can change during a run.

    With a strength the terms are normalized: the weight of ``content`` is (1 - strength) over its reference, that of
    ``style`` strength over its own. Without one the terms have raw weights, always so if the units are not
    ``unitless``. ``strengths`` are those of regions that have their own, by the region's name.
    """

    strength: float | None
    content_weight: float
    style_weight: float
    tv_weight: float
    step_size: float = 1.0
    terms: dict[str, float] = field(default_factory=dict)
    unitless: bool = True
    strengths: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Options, strengths: Mapping[str, float]) -> LiveWeights:
        """Return the initial weights of a run with these options."""
        weights, step_size = options.loss_weights, options.optimization.step_size
        content, style = (1.0 if raw is None else raw for raw in (weights.content_weight, weights.style_weight))
        unitless = weights.units == "unitless"
        return cls(
            weights.strength,
            content,
            style,
            weights.tv_weight,
            step_size=step_size,
            unitless=unitless,
            strengths=dict(strengths),
        )

    def apply(self, values: Mapping[str, float], names: Sequence[str]) -> None:
        """Set values; the value for the name of a term multiplies that term's weight.

        Raises:
            OptionError: a name is unknown or a value is not allowed.
        """
        live = {item.name: item.facts for item in declared() if item.facts.get("live")}
        regional = [f"strength:{name.partition(':')[2]}" for name in names if name.startswith("style:")]
        names = [*names, *regional]
        for name, value in values.items():
            if name not in live and name not in names:
                raise OptionError(f"{name!r} cannot be changed during a run; {suggest(name, [*live, *names])}", name)
            facts = live.get("strength" if name in regional else name, {})
            low, high = facts.get("low", 0.0), facts.get("high", math.inf)
            if not math.isfinite(value) or not low <= value <= high:
                allowed = (
                    f"a finite number of at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
                )
                raise OptionError(f"{name} is {value}; it must be {allowed}", name)
            if name in regional:
                self.strengths[name.partition(":")[2]] = value
                continue
            if name not in live:
                self.terms[name] = value
                continue
            if name == "strength" and not self.unitless:
                raise OptionError(
                    f"strength is {value}, and this run has raw weights: set content_weight or style_weight", name
                )
            if name in ("content_weight", "style_weight") and self.strength is not None:
                # The weight that is not set remains unchanged.
                self.content_weight, self.style_weight = 1 - self.strength, self.strength
                self.strength = None
            setattr(self, name, value)

    def weights(self, normalizers: Mapping[str, float], content_factor: float) -> dict[str, float]:
        """Return the weight of each term, given the values of the terms at their reference points."""
        weights = {}
        for name, reference in normalizers.items():
            kind, _, region = name.partition(":")
            if kind == "blend":  # a style's part in a blend is the number itself
                weights[name] = self.terms.get(name, reference)
                continue
            if kind == "tv":
                weight = self.tv_weight / reference
            elif kind == "guard":
                weight = 1 / reference
            elif kind == "content":
                weight = self._tradeoff(region)[0] * content_factor / reference
            else:
                weight = self._tradeoff(region)[1] / reference
            weights[name] = weight * self.terms.get(name, 1.0)
        return weights

    def _tradeoff(self, region: str) -> tuple[float, float]:
        """Return the weights of content and style; a region's strength of 0.5 leaves raw weights unchanged."""
        own = self.strengths.get(region)
        if self.strength is None:
            content, style = (1.0, 1.0) if own is None else (2 * (1 - own), 2 * own)
            return content * self.content_weight, style * self.style_weight
        strength = self.strength if own is None else own
        return 1 - strength, strength
