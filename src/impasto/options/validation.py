"""Validation and parsing of option values.

An OptionError contains the value received and the values allowed.
"""

from __future__ import annotations

import math
import numbers
import os
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from impasto.errors import OptionError, suggest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "K": 2**10, "M": 2**20, "G": 2**30}


def check(group: DataclassInstance) -> None:
    """Validate every field of a group against its type, choices and range.

    Raises:
        OptionError: a value is not allowed; the message has the value and what is allowed.
    """
    hints = typing.get_type_hints(type(group))
    for item in fields(group):
        value = getattr(group, item.name)
        kind, optional = without_none(hints[item.name])
        if value is None and optional:
            continue
        object.__setattr__(group, item.name, _checked(item.name, value, kind, item.metadata))
    for item in fields(group):
        if item.metadata.get("layers") and getattr(group, item.name) is not None:
            parse_weights(getattr(group, item.name), item.name)


def _checked(name: str, value: Any, kind: Any, facts: Mapping[str, Any]) -> Any:
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        if value not in allowed:
            raise OptionError(f"{name} is {value!r}; {suggest(str(value), [str(a) for a in allowed])}", name)
        return allowed[allowed.index(value)]
    counts = not isinstance(value, bool)  # bool is a subclass of int
    if counts and isinstance(value, numbers.Integral):
        # A size in px may be given as a number; numpy numbers are accepted as those of Python.
        value = float(value) if kind is float else str(value) if facts.get("number") else int(value)
    elif counts and kind is float and isinstance(value, numbers.Real):
        value = float(value)
    elif kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, kind) or (kind is int and not counts):
        raise OptionError(f"{name} is {value!r}; it must be {_word(kind)}", name)
    if kind is float and not math.isfinite(value):
        raise OptionError(f"{name} is {value}; it must be a finite number", name)
    low, high = facts.get("low"), facts.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"must be at least {low}" if high is None else f"must be between {low} and {high}"
        raise OptionError(f"{name} is {value}; it {span}", name)
    return value


def _word(kind: Any) -> str:
    words: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return words[kind]


def without_none(kind: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether it includes None."""
    if get_origin(kind) in (typing.Union, types.UnionType):
        rest = [arg for arg in get_args(kind) if arg is not type(None)]
        return rest[0], len(rest) < len(get_args(kind))
    return kind, False


def parse_seconds(text: str, name: str = "time") -> float:
    """Parse ``60``, ``60s``, ``5m`` or ``1h`` as seconds.

    Raises:
        OptionError: its form is invalid, or it is not positive.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise OptionError(f"{name} is {text!r}; write it as 60s, 5m or 1h", name)
    return seconds


def parse_weights(text: str, name: str = "layers") -> dict[str, float]:
    """Parse ``relu1_1=1+relu3_1=0.5``; a layer without a number has weight 1.

    Raises:
        OptionError: a name is empty or appears twice, or a weight is negative or not finite.
    """
    weights: dict[str, float] = {}
    for part in text.split("+"):
        layer, _, number = part.strip().partition("=")
        layer = layer.strip()
        try:
            weight = float(number) if number else 1.0
        except ValueError:
            raise OptionError(
                f"{name}: the weight of {layer!r} is {number!r}; it must be a number, as in {layer}=0.5", name
            ) from None
        if not layer or not math.isfinite(weight) or weight < 0:
            raise OptionError(
                f"{name}: {part!r} is invalid; write layers as relu1_1=1+relu3_1=0.5, with weights of at least 0", name
            )
        if layer in weights:
            raise OptionError(f"{name}: {layer} appears twice", name)
        weights[layer] = weight
    if not any(weights.values()):
        raise OptionError(f"{name}: every weight in {text!r} is 0; at least one must be positive", name)
    return weights


def parse_bytes(text: str, name: str = "memory") -> int:
    """Parse ``4GiB``, ``500MB`` or a number of bytes.

    Raises:
        OptionError: its form is invalid, or it is 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS or float(match[1]) == 0:
        raise OptionError(f"{name} is {text!r}; write it as 4GiB or 800MiB", name)
    return int(float(match[1]) * UNITS[match[2].upper()])
