"""Default names of outputs, and existing outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.cli.target import FolderTarget, Target, default_name, free, joined
from impasto.errors import OptionError
from impasto.events import Planned, Warned


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the test's folder and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("styles", "regions", "model", "expected"),
    [
        (["b.jpg"], [], None, "a_b.png"),
        (["x/b.jpg#0,0,64,64"], [], None, "a_b.png"),
        (["b.jpg@mask.png"], [], None, "a_b.png"),
        (["b.jpg,scale=0.5"], [], None, "a_b.png"),
        (["b.jpg", "c.jpg"], [], None, "a_b_c.png"),
        ([], ["sky.png=b.jpg,strength=0.8"], None, "a_b.png"),
        ([], [], "wave.safetensors", "a_wave.png"),
        ([f"{number}.jpg" for number in range(9)], [], None, "a_0_1_2.png"),
    ],
)
def test_default_name(styles: list[str], regions: list[str], model: str | None, expected: str) -> None:
    assert str(default_name("photos/a.jpg", styles, regions, model)) == expected


def test_long_names_stay_below_the_limit_of_a_file_name() -> None:
    name = str(joined(["\N{LATIN SMALL LETTER E WITH ACUTE}" * 100] * 9))
    assert len(name.encode()) < 250
    Path(name).touch()


def test_taken_names_count_up() -> None:
    for expected in ("a.png", "a-2.png", "a-3.png"):
        assert free(Path("a.png")) == Path(expected)
        Path(expected).touch()


def test_no_clobber_refuses_an_existing_file() -> None:
    Path("a.png").touch()
    assert Target(output=Path("a.png")).path(Path("b.png")) == Path("a.png")
    with pytest.raises(OptionError, match=r"a\.png exists, and --no-clobber protects it"):
        Target(output=Path("a.png"), no_clobber=True).path(Path("b.png"))
    assert Target(no_clobber=True).path(Path("a.png")) == Path("a-2.png")


def test_no_clobber_refuses_a_folder_with_a_sheet(folder: Path) -> None:
    (folder / "sheet").mkdir()
    target = FolderTarget(output=Path("sheet"), no_clobber=True)
    assert target.path(Path("sheet"), "sheet.png") == Path("sheet")
    (folder / "sheet" / "sheet.png").touch()
    with pytest.raises(OptionError, match="--no-clobber"):
        target.path(Path("sheet"), "sheet.png")


def test_a_replaced_file_is_noted_after_the_inputs_are_checked() -> None:
    Path("a.png").touch()
    planned = Planned((), 0, {})
    events = list(Target(output=Path("a.png")).noting(iter([planned])))
    assert events[0] is planned
    assert isinstance(events[1], Warned)
    assert "'a.png' exists and is replaced" in events[1].message
    assert len(list(Target(output=Path("b.png")).noting(iter([planned])))) == 1
