"""Former names are accepted, and words that are no command name the right one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from impasto.cli import NATURAL_WORDS, run
from impasto.run import record


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the test's folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@pytest.mark.parametrize("flags", [["--recolour", "0.5"], ["--recolour=0.5"]])
def test_a_former_name_of_an_option_is_accepted_with_a_note(
    flags: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMPASTO_CONFIG", str(folder))
    assert run(["recipes", "save", "mine", *flags]) == 0
    assert capsys.readouterr().err == "note: --recolour is now called --final-recolor\n"
    assert "final_recolor = 0.5" in (folder / "recipes" / "mine.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("former", "current"),
    [
        (["train", "painting.png", "--side", "1"], ["--crop-size"]),
        (["train", "painting.png", "--rate=0", "--leave-out", "-1"], ["--learning-rate", "--hold-out"]),
        (["train", "painting.png", "--batch", "0", "--check-every", "0"], ["--batch-size", "--validate-every"]),
        (["demo", "--out", "new", "--content", "none"], ["--output"]),
        (["anatomy", "none.png"], ["reconstruct"]),
    ],
    ids=" ".join,
)
def test_former_names_of_commands_and_flags(
    former: list[str], current: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = ["--photos", "photos"] if former[0] == "train" else []
    assert run([*former, *photos]) == 2
    *notes, message = capsys.readouterr().err.splitlines()
    assert [note.rpartition(" is now called ")[2] for note in notes] == current
    assert "No such" not in message


def test_differences_of_the_machine_are_named() -> None:
    here = torch.backends.cpu.get_cpu_capability()
    assert record.machine_differences({"cpu": here}) == []
    assert record.machine_differences({}) == []
    found = record.machine_differences({"cpu": "SSE", "ranks": 2})
    assert found == [
        f"the instruction set of the CPU was SSE and is {here} here",
        "the number of processes was 2 and is 1 here",
    ]
