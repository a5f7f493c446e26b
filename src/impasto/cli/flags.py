"""Flags read off the option dataclasses, so that no default or range is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from impasto.errors import OptionError
from impasto.options.declaration import Declared
from impasto.options.fields import GROUPS, declared


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a flag for every option.

    The command's own parameters stay; it receives the options in ``**options``, None standing for not given.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    recipe = inspect.Parameter(
        "recipe",
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, "--recipe", help="Named preset; see `impasto recipes`. (default: impasto)"),
        annotation=str | None,
    )
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    flags = [recipe, *(_parameter(item) for item in declared())]

    def call(**arguments: Any) -> Any:
        return command(**arguments)

    call.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    call.__doc__ = command.__doc__
    call.__name__ = command.__name__
    return call


def _parameter(item: Declared) -> inspect.Parameter:
    names = [f"--{item.name.replace('_', '-')}"]
    facts: dict[str, Any] = {"help": _help(item), "rich_help_panel": GROUPS[item.group].title}
    kind = item.type
    if kind is bool:
        facts["show_default"] = False
    elif item.facts.get("words"):
        kind = str  # a number or a word; recipes.resolve tells which
        facts["metavar"] = item.facts["metavar"]
    elif item.choices is not None:
        facts["metavar"] = "|".join(str(choice) for choice in item.choices)
    elif "metavar" in item.facts:
        facts["metavar"] = item.facts["metavar"]
    if kind in (int, float):
        facts["parser"] = _reader(kind, names[0])
        facts.setdefault("metavar", "N" if kind is int else "NUMBER")
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=typer.Option(None, *names, **facts), annotation=kind | None
    )


def _reader(kind: type[Any], flag: str) -> Callable[[str], Any]:
    """Return what turns a flag's text into a number; typer's own would not name the value that it refuses."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise OptionError(f"{flag} is {text!r}; it must be {wanted}", flag.removeprefix("--")) from None

    return read


def _help(item: Declared) -> str:
    text = str(item.facts["help"])
    text = text[0].upper() + text[1:] + "."
    if item.default is None or item.type is bool:
        return text
    return f"{text} (default: {item.default})"
