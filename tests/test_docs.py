"""The commands in the documentation parse with the command line's own parser; none is executed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from impasto.cli.app import app

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
