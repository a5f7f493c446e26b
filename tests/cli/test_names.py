"""Words that are no command name the right one."""

from __future__ import annotations

import pytest
import torch

from impasto.cli import NATURAL_WORDS, run
from impasto.run import record


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["paint", "a.jpg", "b.jpg"], "did you mean 'impasto stylize'?"),
        (["a.jpg", "b.jpg"], "did you mean 'impasto stylize a.jpg'?"),
        (["show", "a.jpg"], "did you mean 'impasto inspect'?"),
        (["download"], "did you mean 'impasto weights fetch'?"),
    ],
)
def test_the_right_command_is_suggested(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    told = capsys.readouterr().err
    assert f"there is no command {words[0]!r}" in told
    assert meant in told


def test_a_natural_word_has_one_meaning() -> None:
    words = [word for meanings in NATURAL_WORDS.values() for word in meanings]
    assert len(words) == len(set(words))


def test_differences_of_the_machine_are_named() -> None:
    here = torch.backends.cpu.get_cpu_capability()
    assert record.machine_differences({"cpu": here}) == []
    assert record.machine_differences({}) == []
    found = record.machine_differences({"cpu": "SSE", "ranks": 2})
    assert found == [
        f"the instruction set of the CPU was SSE and is {here} here",
        "the number of processes was 2 and is 1 here",
    ]
