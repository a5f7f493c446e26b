"""Numbers for several styles: their weights in a blend, and their scales."""

from __future__ import annotations

import math

from impasto.errors import OptionError


def parse_numbers(text: str, name: str, count: int, *, low: float = 0.0, high: float = math.inf) -> list[float]:
    """Parse comma-separated numbers, one per style.

    Raises:
        OptionError: they are not numbers, out of range, or not as many as styles.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"{name} is {text!r}; use comma-separated numbers, such as 0.7,0.3", name) from None
    if len(numbers) != count:
        raise OptionError(f"{name} has {len(numbers)} numbers for {count} styles: pass one per style", name)
    if not all(math.isfinite(number) and low <= number <= high for number in numbers):
        span = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise OptionError(f"{name} is {text!r}; each number must be {span}", name)
    return numbers


def blend_of(text: str | None, count: int) -> list[float]:
    """Return the weight of each style in a blend; the weights sum to one.

    Raises:
        OptionError: not one number per style, or all are 0.
    """
    if text is None:
        return [1 / count] * count
    numbers = parse_numbers(text, "style_blend", count)
    if not sum(numbers) > 0:
        raise OptionError(f"style_blend is {text!r}; at least one number must be above 0", "style_blend")
    return [number / sum(numbers) for number in numbers]
