"""The commands and the Python examples of the README match the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from impasto.cli import run

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (impasto .+)$", README, re.MULTILINE)]
SPANS = re.findall(r"`([^`\n]+)`", README)
FLAGS = sorted({flag for span in SPANS if span.startswith("--") for flag in re.findall(r"--[a-z-]+", span)})
COMMANDS += [shlex.split(span)[1:] for span in SPANS if span.startswith("impasto ") and " " in span[8:]]
SUBCOMMANDS = {"recipes": {"show", "save"}, "weights": {"fetch"}}


def head(command: list[str]) -> list[str]:
    """Return a command without what follows its name."""
    return command[: 2 if command[1:2] and command[1] in SUBCOMMANDS.get(command[0], ()) else 1]


def help_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return a command's help."""
    assert run([*head(command), "--help"]) == 0
    return capsys.readouterr().out


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 6
    assert len(FLAGS) > 12


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_in_the_readme_parse(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = help_of(command, capsys)
    for flag in (word for word in command if word.startswith("-")):
        assert f"{flag} " in text, flag


def test_every_flag_in_the_readme_exists(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = help_of(["stylize"], capsys)
    assert [flag for flag in FLAGS if f"{flag} " not in text] == []


def test_every_python_example_compiles() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        compile(example, "README.md", "exec")


def test_every_linked_page_exists() -> None:
    pages = [link for link in re.findall(r"\]\(([^)#:]+)\)", README) if not link.startswith("docs/images/")]
    assert pages
    assert [page for page in pages if not (ROOT / page).is_file()] == []


def test_no_absolute_paths() -> None:
    assert not re.search(r"(?<![\w.])/(home|root|work|opt|usr|tmp)/", README)
