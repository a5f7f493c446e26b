"""The declaration of an option: a dataclass field with its default, help text, range and properties.

The command line, the web API, the controls of the page, the record and the cache of targets are derived from these
facts, so a new option is one field.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, cast, get_args, get_origin

from impasto.options.validation import without_none

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = TypeVar("Value")


class Facts(TypedDict, total=False):
    """The metadata of an option; every list of option names is derived from it."""

    help: str
    """One line, without a period; the first letter may be capitalized."""
    low: float
    high: float
    metavar: str
    """Placeholder in the help of the command line."""
    short: str
    """One-letter flag of the command line."""
    names: tuple[str, ...]
    """Named values of a text option that also accepts other text."""
    layers: bool
    """Layers with weights; validated as ``parse_weights`` does."""
    number: bool
    """Text that may be given as a number."""
    words: bool
    """A whole number, or a word that the recipe resolves to one."""
    live: bool
    """Can be changed during a run."""
    raw: bool
    """A raw loss weight, which replaces ``strength``."""
    file: bool
    """May be the path of a file; the record stores its name only."""
    same_targets: bool
    """Runs that differ only in such options share the targets and losses of a scale."""
    server: bool
    """Chosen by the owner of a server, not by visitors."""
    hidden: bool
    """Not shown among the controls of the studio's page."""
    page_rank: int
    """Position among the first controls of the studio's page, outside the groups."""
    preview: bool
    """Also applies to the instant preview of the studio."""


def option(default: Value, text: str, **facts: Unpack[Facts]) -> Value:
    """Declare an option.

    Args:
        default: the default value.
        text: one line of help.
        facts: range, placeholder and properties; see ``Facts``.

    Returns:
        A dataclass field with these facts as its metadata, typed as the default so that mypy compares it with the
        annotation.
    """
    return field(default=default, metadata={"help": text, **facts})


@dataclass(frozen=True)
class Declared:
    """One option, as a command line or a form needs it."""

    name: str
    group: str
    type: Any
    default: Any
    choices: tuple[str | int, ...] | None
    optional: bool
    facts: Facts

    @property
    def closed_choices(self) -> tuple[str | int, ...] | None:
        """The values that a visitor of a server may choose: without files, the named ones only."""
        return self.choices or self.facts.get("names")


def declared_in(group: type[DataclassInstance], name: str) -> Iterator[Declared]:
    """Yield the options of a dataclass.

    Args:
        group: a dataclass whose fields are declared with ``option``.
        name: the name of the group, for ``Declared.group``.
    """
    hints = typing.get_type_hints(group)
    for item in fields(group):
        kind, optional = without_none(hints[item.name])
        choices = get_args(kind) if get_origin(kind) is Literal else None
        base = type(choices[0]) if choices else kind
        yield Declared(item.name, name, base, item.default, choices, optional, cast(Facts, item.metadata))
