"""Flags that are read from option dataclasses, so that no name, default or range is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import typer

from impasto.errors import OptionError
from impasto.options.declaration import Declared, declared_in
from impasto.options.fields import GROUPS, declared

QUIET = typer.Option(False, "--quiet", "-q", help="Hide progress.")


def default_note(text: object) -> str:
    """Return a default as typer shows its own, with the bracket escaped because help texts are rich markup."""
    return f"\\[default: {text}]"


RECIPE = inspect.Parameter(
    "recipe",
    inspect.Parameter.KEYWORD_ONLY,
    default=typer.Option(None, "--recipe", help=f"Named preset; see `impasto recipes`. {default_note('impasto')}"),
    annotation=str | None,
)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every option of a run, besides its own parameters.

    The command receives the options in ``**options``; None stands for an option that is not given. A parameter whose
    type is an option dataclass is expanded as by ``with_groups``.
    """
    return _expanded(command, [RECIPE, *(_parameter(item) for item in declared())])


def with_groups(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that expands the parameters of a command whose type is an option dataclass.

    Each field becomes a flag, and the command receives an instance, constructed from the flags that are given.

    Args:
        names: options of a run that the command also takes, in ``**options``; ``recipe`` is one of them.
    """

    def expand(command: Callable[..., None]) -> Callable[..., None]:
        chosen = {item.name: item for item in declared() if item.name in names}
        return _expanded(command, [RECIPE if name == "recipe" else _parameter(chosen[name]) for name in names])

    return expand


def _expanded(command: Callable[..., None], options: list[inspect.Parameter]) -> Callable[..., None]:
    groups: dict[str, Any] = {}
    flags: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            flags += _flags_of(parameter.annotation)
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            flags.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    flags += options

    def call(**arguments: Any) -> None:
        for name, group in groups.items():
            values = {item.name: arguments.pop(item.name) for item in declared_in(group, name)}
            arguments[name] = group(**{key: value for key, value in values.items() if value is not None})
        command(**arguments)

    call.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    call.__annotations__ = {flag.name: flag.annotation for flag in flags}
    call.__doc__ = command.__doc__
    call.__name__ = command.__name__
    return call


def _flags_of(group: Any) -> Iterator[inspect.Parameter]:
    for item in declared_in(group, ""):
        yield _parameter(item, getattr(group, "title", None))


def _parameter(item: Declared, panel: str | None = None) -> inspect.Parameter:
    names = [f"--{item.name.replace('_', '-')}", *([item.facts["short"]] if "short" in item.facts else [])]
    facts: dict[str, Any] = {"help": _help(item), "rich_help_panel": panel}
    if item.group in GROUPS:
        facts["rich_help_panel"] = GROUPS[item.group].title
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
        facts["parser"] = _number_parser(kind, names[0])
        facts.setdefault("metavar", "N" if kind is int else "NUMBER")
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=typer.Option(None, *names, **facts), annotation=kind | None
    )


def _number_parser(kind: type[Any], flag: str) -> Callable[[str], Any]:
    """Return a parser of a number whose error names the value; that of typer does not."""

    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise OptionError(f"{flag} is {text!r}; it must be {wanted}", flag.removeprefix("--")) from None

    return parse


def _help(item: Declared) -> str:
    text = str(item.facts["help"])
    text = text[0].upper() + text[1:] + "."
    if item.default is None or item.type is bool:
        return text
    return f"{text} {default_note(item.default)}"
