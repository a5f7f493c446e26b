"""Commands in the documentation parse, without being executed; its tables have every loss and recipe."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from impasto.cli.app import app
from impasto.objective.loss_factory import STYLE_LOSSES
from impasto.options.builtin_recipes import BUILT_IN
from impasto.options.choices import StyleLossName
from impasto.options.recipes import resolve
from impasto.planning.schedule import scales_for

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(text: str) -> list[str]:
    """Return the ``impasto`` commands of a Markdown page: lines of code blocks, and code spans with arguments."""
    text = text.replace("\\\n", " ")
    lines = re.findall(r"^(?:    )?(?:torchrun .* -m )?(?:\.venv/bin/)?(impasto [a-z-].*)$", text, re.MULTILINE)
    spans = re.findall(r"`(impasto [^`\n]+)`", text)
    found = [line.partition(" && ")[0] for line in [*lines, *spans] if "`" not in line]
    return sorted({" ".join(shlex.split(line, comments=True)) for line in found if "..." not in line})


def parse(command: Any, arguments: list[str]) -> None:
    """Parse arguments as a command or group of commands would, without executing it.

    Raises:
        TyperException: an option or command does not exist, or a value has the wrong type.
    """
    if not hasattr(command, "resolve_command"):
        command.make_context(command.name, arguments, resilient_parsing=not arguments)  # a span may only name it
        return
    with command.make_context(command.name, [*arguments], resilient_parsing=not arguments) as context:
        rest = [*context._protected_args, *context.args]
        if rest:
            _, inner, rest = command.resolve_command(context, rest)
            parse(inner, rest)


COMMANDS = [(page.name, command) for page in PAGES for command in commands_in(page.read_text(encoding="utf-8"))]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 80
    assert {page.name for page in PAGES} == {name for name, _ in COMMANDS}


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[" ".join(pair) for pair in COMMANDS])
def test_a_command_parses(page: str, command: str) -> None:
    arguments = shlex.split(command)[1:]
    if "--help" not in arguments:
        parse(get_command(app), arguments)


def test_an_unknown_option_does_not_parse() -> None:
    with pytest.raises(Exception, match="no-such-option"):
        parse(get_command(app), ["stylize", "photo.jpg", "painting.jpg", "--no-such-option"])


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_the_files_it_names_exist(page: Path) -> None:
    names = re.findall(r"`((?:\w+/)+\w+\.(?:py|ipynb|sh))`", page.read_text(encoding="utf-8"))
    assert [name for name in names if not ((ROOT / name).exists() or (ROOT / "src" / "impasto" / name).exists())] == []


METHODS = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def rows_under(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of ``docs/methods.md``, without its header."""
    section = METHODS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_style_losses_is_complete_and_in_order() -> None:
    names = [re.findall(r"`([^`]+)`", first) for first, *_ in rows_under("Style losses")]
    assert names == [[name] for name in get_args(StyleLossName)]
    assert set(get_args(StyleLossName)) == set(STYLE_LOSSES)


def test_the_table_and_the_descriptions_of_recipes_are_complete() -> None:
    named = {name for _, use, _ in rows_under("Overview") for name in re.findall(r"`([^` ]+)`", use)}
    assert named == set(BUILT_IN)
    section = METHODS.split("\n## Recipes in detail\n")[1].split("\n## ")[0]
    bold = re.findall(r"^\*\*(.+?)\.\*\* ", section, re.MULTILINE)
    described = [name for heading in bold for name in heading.replace("*", "").split(" and ")]
    assert sorted(described) == sorted(BUILT_IN)


def test_the_numbers_of_steps_are_those_of_the_recipes() -> None:
    section = METHODS.split("\n## Default and published numbers of steps\n")[1].split("\n## ")[0]
    stated = {name: (int(a), int(b)) for name, a, b in re.findall(r"`([^`]+)`\s+(\d+)\s+of\s+(\d+)", section)}
    expected = {}
    for name, recipe in BUILT_IN.items():
        if recipe.published_steps is not None:
            scales = scales_for(resolve(recipe=name), 512, 512)
            expected[name] = sum(scale.steps for scale in scales), recipe.published_steps
    assert stated == expected
